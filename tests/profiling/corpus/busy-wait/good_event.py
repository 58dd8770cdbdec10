def wait(event):
    event.wait()
    while not event.is_set():
        event.wait(1)
