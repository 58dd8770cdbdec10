import time

import ipywidgets as widgets


def run(count, work):
    bar = widgets.FloatProgress(max=count)
    drawn = time.monotonic()
    for done in range(count):
        work(done)
        if done % 50 == 0 and time.monotonic() > drawn + 1:
            bar.value = done
    bar.value = count
