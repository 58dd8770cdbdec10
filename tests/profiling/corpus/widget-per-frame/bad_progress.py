import ipywidgets as widgets


def run(count, work):
    bar = widgets.FloatProgress(max=count)
    for done in range(count):
        work(done)
        bar.value = done + 1
