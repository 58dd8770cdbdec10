"""A thousand comparisons in a row, a third of them failing on purpose: what is left of them.

    python benchmarks/compare_thousand.py [--quick]

Comparisons of files and of frames, samples, contact sheets and FFmpeg's own program; they fail before a file is opened,
while it is read, in the middle (as by Ctrl-C), and in the program.  After each the open descriptors, the children, the
files in temporary folders and the resident memory are looked at.  Slope: the least-squares line through the resident
memory after the warm-up.
"""

from __future__ import annotations

import argparse
import sys
import tempfile
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parent.parent))

from common import save

from tests import _leaks

GOAL_KIB = 1.0


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--quick", action="store_true", help="200 of them; nothing is saved")
    count, warm_up = (200, 60) if parser.parse_args().quick else (1000, 200)
    with tempfile.TemporaryDirectory(prefix="vhs-bench-") as here:
        looks = list(_leaks.run(count, Path(here)))
    warm = looks[warm_up:]
    found = {
        "comparisons": count,
        "failed": sum(look.failed for look in looks),
        "warm_up": warm_up,
        "descriptors_more": warm[-1].open - warm[0].open,
        "descriptors_most_more": max(look.open for look in warm) - warm[0].open,
        "children_left": max(look.children for look in looks),
        "files_left": len(looks[-1].left),
        "resident_mib": [round(look.resident / 1024, 2) for look in warm[:: max(1, len(warm) // 16)]],
        "slope_kib": round(_leaks.slope(warm), 3),
        "ends_kib": round((warm[-1].resident - warm[0].resident) / (len(warm) - 1), 3),
        "goal_kib": GOAL_KIB,
    }
    clean = not any(found[k] for k in ("descriptors_most_more", "children_left", "files_left"))
    found["met"] = bool(clean and found["slope_kib"] < GOAL_KIB)
    print(found)
    if count == 1000:
        print(save("compare_thousand", found))


if __name__ == "__main__":
    main()
