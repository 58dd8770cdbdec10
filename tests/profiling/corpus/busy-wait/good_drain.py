def drain(pipe, numbers):
    while pipe.read(4096):
        pass
    while numbers and numbers.pop() < 3:
        ...
    while (part := pipe.read(1)) != b"":
        pass
    return part
