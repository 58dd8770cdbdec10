def serve(socket):
    seen = []
    while True:
        message = socket.receive()
        seen.append(message)
        socket.answer(len(message))
