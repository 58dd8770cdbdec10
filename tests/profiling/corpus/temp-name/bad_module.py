import tempfile

name = tempfile.mktemp(suffix=".mp4")
