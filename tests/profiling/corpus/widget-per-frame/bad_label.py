from ipywidgets import Label


class Panel:
    def __init__(self):
        self.label = Label()

    def run(self, frames, work):
        for frame in frames:
            work(frame)
            self.label.value = f"{frame.time:.1f} s"
