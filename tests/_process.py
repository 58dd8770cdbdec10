"""Starts programs by the hundred, some of which fail or hang with grandchildren, and counts what is left of them."""

from __future__ import annotations

import gc
import os
import secrets
import sys
import time
from concurrent.futures import ThreadPoolExecutor

import psutil

from toolkit import process

MARK = "VHS_TOOLKIT_TEST_MARK"
#: What the programs do, in turn: a third of them fails or hangs.  The shell is the lightest program with children.
KINDS = {
    "good": "echo done",
    "talks": "head -c 200000 /dev/zero; head -c 200000 /dev/zero >&2",
    "fails": "exit 3",
    "leaves a grandchild": "sleep 600 & echo done",
    "good again": "cat",
    "hangs with a grandchild": "trap '' TERM; sleep 600 & sleep 600",
}
ORDER = ("good", "talks", "fails", "good again", "leaves a grandchild", "good",
         "talks", "fails", "good", "good again", "good", "hangs with a grandchild")  # fmt: skip


def run_many(count: int, at_once: int = 8, limit: float = 0.3) -> dict[str, int]:
    """Runs `count` programs; how many ended in which way, and what is left of zombies, orphans and descriptors.

    Each program and its offspring carry a word in their environment by which they are found wherever they belong.
    """
    mark = secrets.token_hex(8)
    os.environ[MARK] = mark
    process.run(["sh", "-c", "exit 0"], timeout=20)
    gc.collect()  # what others left open is not to be counted as closed here
    before, others = psutil.Process().num_fds(), set(psutil.Process().children(recursive=True))
    found = {"ran": 0, "failed": 0, "hung": 0}

    def one(number: int) -> str:
        kind = ORDER[number % len(ORDER)]
        grandchild_talks_on = kind == "leaves a grandchild"  # it holds the pipes, so only the time limit ends it
        hangs = kind.startswith("hangs") or grandchild_talks_on
        try:
            process.run(["sh", "-c", KINDS[kind]], timeout=limit if hangs else 60, input=b"text")
            return "ran"
        except process.ProgramFailed as error:
            return "hung" if "still running" in str(error) else "failed"

    grace, process.GRACE = process.GRACE, 0.1
    try:
        with ThreadPoolExecutor(at_once) as pool:
            for how in pool.map(one, range(count)):
                found[how] += 1
    finally:
        process.GRACE = grace
        del os.environ[MARK]
    left = _left(mark)
    end = time.monotonic() + 10
    while left and time.monotonic() < end:  # the system reaps the killed orphans of a dead parent when it gets to it
        time.sleep(0.1)
        left = _left(mark)
    children = set(psutil.Process().children(recursive=True)) - others
    zombies = [c for c in children if c.status() == psutil.STATUS_ZOMBIE]
    return {**found, "orphans": len(left), "zombies": len(zombies), "descriptors": psutil.Process().num_fds() - before}


def gone(pid: int, within: float = 60.0) -> bool:
    """Ended, or soon: a killed process takes a moment, and on a busy machine more."""
    end = time.monotonic() + within
    while time.monotonic() < end:
        try:
            if psutil.Process(pid).status() == psutil.STATUS_ZOMBIE:
                return True
        except psutil.NoSuchProcess:
            return True
        time.sleep(0.05)
    return False


def _left(mark: str) -> list[psutil.Process]:
    found = []
    for one in psutil.process_iter():
        try:
            if one.environ().get(MARK) == mark and one.status() != psutil.STATUS_ZOMBIE:
                found.append(one)
        except (psutil.Error, OSError):
            continue
    return found


if __name__ == "__main__":
    print(run_many(int(sys.argv[1])))
