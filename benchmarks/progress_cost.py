"""What 60 updates of the progress a second cost, as a share of one core.

    python benchmarks/progress_cost.py [--quick]

The clock is a counter of 60 updates to the second, so that looks and drawings come as often as in a real run; the
processor time of many such seconds is divided by their number.
"""

from __future__ import annotations

import argparse
import io
import json
import sys
import time
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parent.parent))

from common import save

from toolkit.progress import BarSink, JsonSink, Progress

GOAL = 0.001  # of a core


def share(sink, seconds: int, weights: dict[str, float] | None) -> float:
    now = [0.0]
    progress = Progress(sink, clock=lambda: now[0], weights=weights)
    progress.stage("restore", seconds * 60)
    began = time.process_time()
    for _ in range(seconds * 60):
        now[0] += 1 / 60
        progress.step()
    return (time.process_time() - began) / seconds


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--quick", action="store_true", help="a minute in place of an hour; nothing is saved")
    asked = parser.parse_args()
    seconds = 60 if asked.quick else 3600
    weights = {"restore": 9.0, "join": 0.5, "check": 0.5}
    sinks = {"none": lambda s: None, "terminal": BarSink(io.StringIO()), "json lines": JsonSink(io.StringIO())}
    rows = {name: share(sink, seconds, weights) for name, sink in sinks.items()}
    found = {"seconds": seconds, "share_of_a_core": rows, "goal": GOAL, "met": max(rows.values()) < GOAL}
    print(json.dumps(found, indent=1))
    if not asked.quick:
        save("progress_cost", found)


if __name__ == "__main__":
    main()
