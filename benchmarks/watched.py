"""One run of a whole program with all it starts, watched from outside: memory, temporary bytes, what is left."""

from __future__ import annotations

import contextlib
import os
import signal
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

import psutil

from toolkit.profiling.sizes import bytes_under

ROOT = Path(__file__).parent.parent
EVERY = 0.05  # seconds between two looks


def tree_bytes(pid: int) -> int:
    """Memory of a process and of all below it; pages that several share count once (PSS), as far as Linux tells."""
    total = 0
    with contextlib.suppress(psutil.Error):
        top = psutil.Process(pid)
        for one in (top, *top.children(recursive=True)):
            with contextlib.suppress(psutil.Error):
                full = one.memory_full_info()
                total += getattr(full, "pss", full.rss)
    return total


def watched(command: list[str], *, kill_at: float | None = None, timeout: float = 600) -> dict[str, Any]:
    """Runs `command` with a temporary folder of its own.

    Gives wall `seconds`, `peak` memory of all its processes together, the most `temporary` bytes at once, those `left`
    at the end, and what it `said`.  kill_at : it is killed (SIGKILL, its children too) as soon as it holds so many
    temporary bytes (0: once it has run for three seconds).
    """
    with tempfile.TemporaryDirectory(prefix="vhs-watched-") as top:
        folder = Path(top) / "temporary"
        folder.mkdir()
        env = {**os.environ, "TMPDIR": str(folder), "PYTHONPATH": str(ROOT)}
        env["VHS_TOOLKIT_SCRATCH"] = str(folder / "scratch")
        with open(Path(top) / "said", "w+b") as said:
            began = time.perf_counter()
            program = subprocess.Popen(command, env=env, stdout=said, stderr=subprocess.PIPE, start_new_session=True)
            peak = temporary = 0
            killed = False
            while program.poll() is None:
                peak, now = max(peak, tree_bytes(program.pid)), bytes_under(folder)
                temporary = max(temporary, now)
                late = time.perf_counter() - began
                if kill_at is not None and (now >= kill_at if kill_at else late > 3) or late > timeout:
                    os.killpg(program.pid, signal.SIGKILL)
                    killed = True
                time.sleep(EVERY)
            seconds = time.perf_counter() - began
            error = program.stderr.read().decode(errors="replace")
            program.stderr.close()
            if kill_at is None and program.returncode:
                raise RuntimeError(f"{command[:3]} failed: {error[-1500:]}")
            if kill_at is not None:  # what the next start of the toolkit clears away does not count as left
                sweep = "from toolkit import scratch; scratch.sweep()"
                subprocess.run([sys.executable, "-c", sweep], env=env, check=True, timeout=60)
            said.seek(0)
            return {
                "seconds": seconds, "peak": peak, "temporary": temporary, "left": bytes_under(folder),
                "killed": killed, "said": said.read().decode(errors="replace"),
            }  # fmt: skip
