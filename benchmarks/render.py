"""Renders the tables of benchmarks/README.md from the committed JSON in results/.  Numbers are never typed in.

python benchmarks/render.py           # rewrites the tables
python benchmarks/render.py --check   # exit 1 when they are not those of the JSON
"""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Any

HERE = Path(__file__).parent
BEGIN, END = "<!-- tables -->\n", "<!-- end of tables -->"


def table(head: list[str], rows: list[list[Any]]) -> str:
    lines = [head, ["---"] * len(head), *rows]
    return "\n".join("| " + " | ".join(str(cell) for cell in line) + " |" for line in lines) + "\n"


def where(result: dict[str, Any]) -> str:
    m = result["machine"]
    packages = ", ".join(f"{k} {v}" for k, v in m["packages"].items())
    return f"{m['cpu']}, {m['cores']} cores, Python {m['python']}, {packages}; {m['date']}.\n"


def restore(result: dict[str, Any]) -> str:
    data = result["measured"]
    rows = []
    for r in data["rows"]:
        for side in r["sides"]:
            s = r["sides"][side]
            ratio = "" if side == "ours" else f"{r['ratios'][side]['fps_steady']:.2f}"
            rows.append(
                [r["chain"], r["encoder"], side, s["fps"], s["fps_steady"], ratio, s["cpu_ms_per_frame"], s["peak_mib"],
                 f"{s['psnr_Y']:.2f}", f"{s['ssim_Y']:.4f}"]
            )  # fmt: skip
    head = "chain|encoder|side|fps|fps steady|ours / this, steady|CPU ms a frame|peak MiB|PSNR Y|SSIM Y".split("|")
    text = f"## The whole chain: `bench_restore.py`\n\n{where(result)}\n{data['note']}\n\n" + table(head, rows)
    if m := data["memory"]:
        text += (
            f"\nMemory of ours: imports {m['imports_mib']} MiB; a tape of {data['tape_frames']} frames adds "
            f"{m['beyond_imports_mib']} MiB, one ten times longer {m['ten_times_longer_beyond_mib']} MiB "
            f"({m['growth_percent']:+.1f} % of the whole).\n"
        )
    return text


RENDERERS = {"restore": restore}


def rendered() -> str:
    parts = []
    for name, render in RENDERERS.items():
        path = HERE / "results" / f"{name}.json"
        if path.exists():
            parts.append(render(json.loads(path.read_text())))
    return "\n".join(parts)


def main() -> int:
    path = HERE / "README.md"
    text = path.read_text()
    before, _, rest = text.partition(BEGIN)
    _, _, after = rest.partition(END)
    wanted = f"{before}{BEGIN}{rendered()}{END}{after}"
    if "--check" in sys.argv:
        return int(text != wanted)
    path.write_text(wanted)
    return 0


if __name__ == "__main__":
    sys.exit(main())
