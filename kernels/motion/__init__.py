"""Motion between frames: its search, and what is done along it."""
