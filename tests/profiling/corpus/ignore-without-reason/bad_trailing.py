import subprocess

subprocess.run(["make"], check=True)  # lint: ignore[run-without-timeout]
