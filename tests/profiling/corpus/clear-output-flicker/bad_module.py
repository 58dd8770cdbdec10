import IPython.display


def play(frames):
    for frame in frames:
        IPython.display.clear_output()
        IPython.display.display(frame)
