import subprocess

subprocess.run(["make"], check=True, timeout=5)  # lint: ignore[run-without-timeuot] misspelt
