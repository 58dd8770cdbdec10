import time

from ipywidgets import FloatSlider


class Panel:
    def __init__(self):
        self.strength = FloatSlider()
        self.strength.observe(self.changed, names="value")

    def changed(self, change):
        time.sleep(0.5)
        print(change)
