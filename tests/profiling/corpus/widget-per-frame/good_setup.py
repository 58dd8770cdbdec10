import ipywidgets


class Knob:
    value = 0


def panel(knobs):
    sliders = []
    for knob in knobs:
        slider = ipywidgets.FloatSlider(value=knob.value)
        knob.value = 3
        sliders.append(slider)
    return sliders
