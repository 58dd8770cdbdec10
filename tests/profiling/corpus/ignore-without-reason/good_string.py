TEXT = """
    subprocess.run(["make"])  # lint: ignore[run-without-timeout]
"""
# lint is a word too, and ignore[this] as well
