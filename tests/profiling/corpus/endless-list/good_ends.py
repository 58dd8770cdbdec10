def read_all(socket):
    parts = []
    while True:
        part = socket.receive()
        if not part:
            break
        parts.append(part)
    return parts
