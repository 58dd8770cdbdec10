def write(path, lines):
    file = open(path, "w")
    for line in lines:
        file.write(line)
    file.close()
