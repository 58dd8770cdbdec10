"""The rules, by subject.  Importing this package declares them all."""

from toolkit.profiling.lint.rules import (
    caches,
    ignore,
    interface,
    io,
    locks,
    memory,
    pipes,
    processes,
    progress,
    temporary,
    threads,
    video,
)

__all__ = [
    "caches",
    "ignore",
    "interface",
    "io",
    "locks",
    "memory",
    "pipes",
    "processes",
    "progress",
    "temporary",
    "threads",
    "video",
]
