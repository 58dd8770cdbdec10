import av
import ipywidgets as widgets

button = widgets.Button(description="Measure")


def measure(_):
    with av.open("tape.avi") as container:
        for frame in container.decode(video=0):
            print(frame.pts)


button.on_click(measure)
