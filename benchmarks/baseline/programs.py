"""A program read through a pipe.  Fault: when the reader fails, the program runs on and its pipe stays open."""

from __future__ import annotations

import subprocess
from collections.abc import Callable


def read_lines(command: list[str], consume: Callable[[bytes], object]) -> int:
    """Hands each line that `command` prints to `consume`; returns its exit code."""
    program = subprocess.Popen(command, stdout=subprocess.PIPE)
    for line in program.stdout:
        consume(line)
    return program.wait()
