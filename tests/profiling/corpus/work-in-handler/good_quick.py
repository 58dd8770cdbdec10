import time

import ipywidgets as widgets

slider = widgets.FloatSlider()
label = widgets.Label()


class Sky:
    def observe(self, star):
        return star


def changed(change):
    label.value = f"{change.new:.2f}"


def stars(_):
    time.sleep(1)


slider.observe(changed, names="value")
Sky().observe(stars)
