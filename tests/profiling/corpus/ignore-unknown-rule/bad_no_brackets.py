value = 3  # lint: ignore because I say so
