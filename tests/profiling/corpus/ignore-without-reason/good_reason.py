import subprocess
import tempfile

subprocess.run(["make"], check=True)  # lint: ignore[run-without-timeout] the caller has a limit of its own
# lint: ignore[temp-name] the name is only printed
name = tempfile.mktemp()
subprocess.run(  # lint: ignore[run-without-timeout, exit-code-ignored] an interactive program
    ["vi"],
)
subprocess.run(
    ["vi"],
)  # lint: ignore[run-without-timeout, exit-code-ignored] an interactive program
