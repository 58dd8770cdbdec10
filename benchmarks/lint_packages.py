"""How many findings `profile lint` has in well-kept packages: `python benchmarks/lint_packages.py`.

The goal is fewer than one finding in 500 lines, and each of them read.  READINGS holds what reading them gave; the
others are counted as unread.  Prints a table and writes results/lint_packages.json.
"""

from __future__ import annotations

import importlib.metadata
import importlib.util
import time
from collections import Counter
from pathlib import Path

import common

from toolkit.profiling.lint import Finding, lint

PACKAGES = ("pooch", "tqdm", "joblib")
GOAL = 1.0  # findings in 500 lines
READINGS = {
    ("joblib", "communicate-without-timeout"): "fair: tests of deadlocks that wait for a child without a limit",
    ("joblib", "growing-cache"): "fair: every wrapped function stays, with what it closes over, until the process ends",
    ("joblib", "pipe-never-drained"): "fair: tests that wait() for a child before they read its pipes",
    ("joblib", "polling-too-fast"): "fair: loops that look every 1 to 10 ms for a job, a worker or a connection",
    ("joblib", "run-without-timeout"): "fair: lscpu, pgrep, taskkill and children of tests, without a limit",
}


def main() -> None:
    rows = []
    for name in PACKAGES:
        folder = Path(importlib.util.find_spec(name).origin).parent
        began = time.perf_counter()
        report = lint([folder])
        seconds = time.perf_counter() - began
        found = Counter(f.rule for f in report.findings)
        rows.append(
            {
                "package": name,
                "version": importlib.metadata.version(name),
                "files": report.files,
                "lines": report.lines,
                "findings": len(report.findings),
                "per_500_lines": round(500 * len(report.findings) / report.lines, 3),
                "unread": sum((name, f.rule) not in READINGS for f in report.findings),
                "not_parsed": len(report.unread),
                "seconds": round(seconds, 2),
                "rules": {r: {"count": n, "reading": READINGS.get((name, r), "unread")} for r, n in found.items()},
                "places": [place(f, folder) for f in report.findings],
            }
        )
    print(f"{'package':<10} {'version':<8} {'files':>5} {'lines':>6} {'findings':>8} {'per 500':>8} {'seconds':>8}")
    for r in rows:
        print(
            f"{r['package']:<10} {r['version']:<8} {r['files']:>5} {r['lines']:>6} {r['findings']:>8} "
            f"{r['per_500_lines']:>8.2f} {r['seconds']:>8.1f}"
        )
        for rule, found in r["rules"].items():
            print(f"    {found['count']:>3} {rule}: {found['reading']}")
    reached = all(r["per_500_lines"] < GOAL and not r["unread"] for r in rows)
    print(f"fewer than {GOAL:g} in 500 lines, all read: {reached}")
    print(common.save("lint_packages", {"goal_per_500_lines": GOAL, "reached": reached, "packages": rows}))


def place(finding: Finding, folder: Path) -> str:
    return f"{Path(finding.path).relative_to(folder.parent).as_posix()}:{finding.line}: {finding.rule}"


if __name__ == "__main__":
    main()
