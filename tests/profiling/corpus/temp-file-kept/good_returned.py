import tempfile


def spool(data):
    with tempfile.NamedTemporaryFile("wb", delete=False) as file:
        file.write(data)
    path = file.name
    return path


def count(data):
    with tempfile.NamedTemporaryFile("wb") as file:
        return file.write(data)
