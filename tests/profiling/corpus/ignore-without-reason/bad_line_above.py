import tempfile

# lint: ignore[temp-name] ...
name = tempfile.mktemp()
