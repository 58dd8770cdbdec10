"""The rules, one module for each category.  Importing this package declares them all."""

from toolkit.profiling.lint.rules import caches, ignore, interface, io, memory, processes, threads, video

__all__ = ["caches", "ignore", "interface", "io", "memory", "processes", "threads", "video"]
