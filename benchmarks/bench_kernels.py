"""Every kernel beside its rivals in one run: FFmpeg's filters, OpenCV and scikit-image, same input, same threads.

    python benchmarks/bench_kernels.py [--repeats 3] [--only deinterlace denoise measure repair]

How each family is measured, and how the results are compared before anything is timed, is said at the head of
`kernels_deinterlace.py`, `kernels_denoise.py` and, for measures and repairs, `kernels_compare.py`; each also runs
alone.  `ratio` is by the clock, `ratio_cpu` by processor time; above 1 ours is faster.  The rivals that need a Python
of their own, VapourSynth's plugins, are measured by `kernels_denoise_rivals.py` (with OpenCV's denoisers) and
`bench_bm3d.py`; `render.py` puts all of them into one table.
"""

from __future__ import annotations

import argparse
import json
import os

from common import RESULTS, ffmpeg_version, save


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--repeats", type=int, default=3)
    parser.add_argument("--only", nargs="*", choices=("deinterlace", "denoise", "measure", "repair"), default=[])
    chosen = parser.parse_args()
    import kernels_deinterlace
    import kernels_denoise
    import kernels_measure
    import kernels_repair
    from kernels_compare import measure

    families = {
        "deinterlace": lambda n: kernels_deinterlace.measure(repeats=n),
        "denoise": lambda n: kernels_denoise.measure(repeats=n),
        "measure": lambda n: measure(kernels_measure.cases(), repeats=n),
        "repair": lambda n: measure(kernels_repair.cases(), repeats=n),
    }
    path = RESULTS / "kernels.json"
    found = json.loads(path.read_text())["measured"]["families"] if chosen.only and path.exists() else {}
    for name, family in families.items():
        if not chosen.only or name in chosen.only:
            load = os.getloadavg()[0] if hasattr(os, "getloadavg") else None
            found[name] = {"load_before": load, "rows": family(chosen.repeats)}
    print(save("kernels", {"ffmpeg": ffmpeg_version(), "families": found}))


if __name__ == "__main__":
    main()
