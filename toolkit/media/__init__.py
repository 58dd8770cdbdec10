"""Files in, files out: probe, read, preview, write.  Everything here works on planar frames with their times."""
