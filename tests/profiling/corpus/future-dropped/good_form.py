from concurrent.futures import ThreadPoolExecutor


class Form:
    def submit(self):
        return True


def send(work):
    form = Form()
    form.submit()
    with ThreadPoolExecutor() as pool:
        return pool.submit(work).result()
