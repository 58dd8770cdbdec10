"""Sound in short windows, many at once: Fourier transforms, hiss, long filters; peaks between samples."""
