"""Reading the queue's status beside those who write to it: reads a second, how long each takes, and who starves.

    python benchmarks/queue_status.py [--jobs 10000] [--seconds 5]

Eight threads read the counts and two write, each changing the states of jobs of its own in transactions of three
changes, as fast as they can.  Every read is checked: counts that do not add up would be a torn read.
"""

from __future__ import annotations

import argparse
import json
import sys
import tempfile
import threading
import time
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parent.parent))

from common import save

from tests import _media as m
from toolkit.jobs import Queue, Wish, status

READERS, WRITERS = 8, 2


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--jobs", type=int, default=10_000)
    parser.add_argument("--seconds", type=float, default=5.0)
    asked = parser.parse_args()
    with tempfile.TemporaryDirectory() as top:
        queue = Queue(Path(top) / "queue.db")
        tape = m.made("huffyuv.avi")
        began = time.perf_counter()
        queue.add(Wish(tape, Path(top) / f"{n}.mp4") for n in range(asked.jobs))
        add = time.perf_counter() - began
        looks = []
        for _ in range(20):
            began = time.perf_counter()
            str(status(queue, limit=50))
            looks.append(time.perf_counter() - began)
        stop, torn = threading.Event(), []
        waits: list[list[float]] = [[] for _ in range(READERS)]
        written = [0] * WRITERS

        def read(n: int) -> None:
            while not stop.is_set():
                began = time.perf_counter()
                counts = queue.counts()
                waits[n].append(time.perf_counter() - began)
                if sum(counts.values()) != asked.jobs:
                    torn.append(counts)

        def write(n: int) -> None:
            while not stop.is_set():
                with queue.change() as db:
                    for state in ("running", "paused", "pending"):
                        db.execute("UPDATE jobs SET state = ? WHERE id = ?", (state, n + 1))
                written[n] += 1

        threads = [threading.Thread(target=read, args=(n,)) for n in range(READERS)]
        threads += [threading.Thread(target=write, args=(n,)) for n in range(WRITERS)]
        for t in threads:
            t.start()
        time.sleep(asked.seconds)
        stop.set()
        for t in threads:
            t.join()
    times = sorted(t for own in waits for t in own)
    found = {
        "jobs": asked.jobs,
        "add_s": round(add, 3),
        "status_of_50_jobs_ms": round(1000 * sorted(looks)[len(looks) // 2], 2),
        "readers": READERS,
        "writers": WRITERS,
        "reads_per_second": round(len(times) / asked.seconds),
        "read_ms": {str(q): round(1000 * times[int(len(times) * q / 100)], 3) for q in (50, 99, 99.9)},
        "fewest_reads_of_a_thread": min(map(len, waits)),
        "transactions_per_second": [round(n / asked.seconds, 1) for n in written],
        "torn_reads": len(torn),
    }
    print(json.dumps(found, indent=1))
    save("queue_status", found)


if __name__ == "__main__":
    main()
