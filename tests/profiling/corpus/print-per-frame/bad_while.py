def run(reader, work):
    done = 0
    while work(reader.read()):
        done += 1
        print("frame", done, end="\r", flush=True)
