"""Motion between frames: its search, and what is done along it."""

from kernels import stamps  # noqa: F401  (whichever module is imported, bodies on disk are judged alike)
