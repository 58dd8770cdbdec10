def run(frames, work):
    for index, frame in enumerate(frames):
        work(frame)
        if index % 100 == 0:
            print(index, end="\r")
    print("done", end="\r")
