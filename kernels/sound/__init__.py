"""Sound in short windows, many at once: Fourier transforms, hiss, long filters; peaks between samples."""

from kernels import stamps, start  # noqa: F401  (bodies on disk are judged alike; the first call takes half as long)
