"""Starts 2,000 programs, a third of which fail or hang, some with grandchildren, and counts what is left of them.

    python benchmarks/process_thousands.py [--count 2000] [--quick]
"""

from __future__ import annotations

import argparse
import json
import sys
import time
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parent.parent))

from common import save

from tests._process import run_many

GOAL = "no zombie, no open descriptor, no orphan"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--count", type=int, default=2000)
    parser.add_argument("--quick", action="store_true", help="100 programs; nothing is saved")
    asked = parser.parse_args()
    began = time.perf_counter()
    found = run_many(100 if asked.quick else asked.count)
    found |= {"seconds": round(time.perf_counter() - began, 1), "goal": GOAL}
    found["met"] = found["orphans"] == found["zombies"] == 0 and found["descriptors"] <= 0
    print(json.dumps(found, indent=1))
    if not asked.quick:
        save("process_thousands", found)


if __name__ == "__main__":
    main()
