from IPython.display import clear_output, display


def play(frames):
    for frame in frames:
        clear_output(True)
        display(frame)
