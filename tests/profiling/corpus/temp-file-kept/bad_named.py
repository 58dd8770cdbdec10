from tempfile import NamedTemporaryFile


def preview(picture, show):
    file = NamedTemporaryFile(suffix=".png", delete=False)
    with file:
        picture.save(file)
    show(file.name)
