"""Renders what the kernels' benchmarks measured: one table of speeds beside all rivals, the first calls, two cores."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

Result = dict[str, Any]
Where = Callable[[Result], str]
Table = Callable[[list[str], list[list[Any]]], str]

#: Least ratio to a rival's speed, on one core and on two, at its quality: goals by kernel and rival.
GOALS = {
    ("yadif", "FFmpeg yadif"): 1.5, ("w3fdif", "FFmpeg w3fdif"): 1.5, ("bwdif", "FFmpeg bwdif"): 1.0,
    ("hqdn3d", "FFmpeg"): 1.5, ("nlmeans 7x7 in 15x15", "FFmpeg"): 4, ("nlmeans 5x5 in 9x9", "FFmpeg"): 4,
    ("psnr", "scikit-image"): 3, ("ssim gaussian, luma", "scikit-image"): 20, ("ssim 7x7, luma", "scikit-image"): 20,
}  # fmt: skip
WORSE = 0.1  # dB that a denoiser may lie below its rival and still count as equal

HEAD = ["kernel", "beside", "one core, fps", "ratio (by CPU)", "two cores, fps", "ratio (by CPU)", "goal",
        "results compared"]  # fmt: skip


def _quality(row: Result, theirs: str) -> str:
    text = f"PSNR {row['ours_psnr']:.2f} dB, theirs {row[theirs]:.2f} dB"
    apart = row.get("levels_apart")
    return text + ("" if apart is None else f", at most {apart} levels apart" if apart else ", equal")


def _of_bench_kernels(row: Result) -> Result:
    """A row of bench_kernels.json: what, rival, cores, speeds, goal and whether quality forbids it, in words."""
    what = row.get("case") or row["kernel"]
    rival = row.get("rival", "FFmpeg")
    if "rate" in row:
        rival = f"FFmpeg {rival}"
    what = what.removesuffix(f", {rival}")
    goal = GOALS.get((what, rival))
    told, equal = row.get("results") or row.get("agreement"), True
    if told is None:
        told, equal = _quality(row, "ffmpeg_psnr"), row["ours_psnr"] >= row["ffmpeg_psnr"] - WORSE
    what += f", {row['rate']} rate" if "rate" in row else ""
    theirs = row.get("rival_fps", row.get("ffmpeg_fps"))
    return {**row, "what": what, "beside": rival, "theirs": theirs, "goal": goal, "equal": equal, "told": told}


def _of_rivals(row: Result) -> Result:
    equal = row["ours_psnr"] >= row["rival_psnr"] - WORSE
    told = _quality(row, "rival_psnr")
    return {**row, "what": row["kernel"], "beside": row["rival"], "theirs": row["rival_fps"], "equal": equal,
            "told": told}  # fmt: skip


def _of_bm3d(row: Result) -> Result:
    return {**row, "what": f"bm3d {row['case']}", "beside": "bm3dcpu", "theirs": row["bm3dcpu_fps"], "goal": 1.0,
            "equal": row["as_good"] == "met", "told": _quality(row, "bm3dcpu_psnr")}  # fmt: skip


def _families(results: dict[str, Result]) -> dict[str, list[Result]]:
    found: dict[str, list[Result]] = {}
    if "kernels" in results:
        for name, family in results["kernels"]["measured"]["families"].items():
            found[name] = [_of_bench_kernels(r) for r in family["rows"]]
    for name, made in (("kernels_denoise_rivals", _of_rivals), ("bm3d", _of_bm3d)):
        if name in results:
            found.setdefault("denoise", []).extend(made(r) for r in results[name]["measured"]["rows"])
    return found


def _verdict(rows: list[Result]) -> str:
    """ "" without a goal; it must be reached on every number of cores, at equal quality."""
    goal = rows[0]["goal"]
    if goal is None:
        return ""
    met = all(r["ratio"] is not None and r["ratio"] >= goal and r["equal"] for r in rows)
    return f"{goal:g}: {'met' if met else '**MISSED**'}"


def _line(rows: list[Result]) -> list[Any]:
    cells: list[Any] = []
    for cores in (1, 2):
        row = next((r for r in rows if r["cores"] == cores), None)
        if row is None:
            cells += ["", ""]
        elif row["theirs"] is None:
            cells += [_speed(row["ours_fps"]), row.get("why", "")]
        else:
            cells.append(f"{_speed(row['ours_fps'])} / {_speed(row['theirs'])}")
            cells.append(f"{row['ratio']:.2f} ({row['ratio_cpu']:.2f})")
    return [rows[0]["what"], rows[0]["beside"] or "nobody", *cells, _verdict(rows), rows[0]["told"]]


def _speed(fps: float) -> str:
    return f"{fps:.0f}" if fps >= 100 else f"{fps:.1f}"


def section(results: dict[str, Result], table: Table, where: Where) -> str:
    """Everything that stands beside a rival.  `results` has the JSON of those of its parts that were measured."""
    groups: dict[str, dict[tuple[str, str], list[Result]]] = {}
    for family, rows in _families(results).items():
        for row in rows:
            groups.setdefault(family, {}).setdefault((row["what"], row["beside"]), []).append(row)
    if not groups:
        return ""
    lines = [rows for family in groups.values() for rows in family.values()]
    verdicts = {" beside ".join(map(str, (r[0]["what"], r[0]["beside"]))): _verdict(r) for r in lines}
    held = {name: v for name, v in verdicts.items() if v}
    missed = [name for name, v in held.items() if "MISSED" in v]
    machines = list(dict.fromkeys(where(r) for r in results.values()))
    text = (
        "## Kernels: `bench_kernels.py`, `kernels_denoise_rivals.py`, `bench_bm3d.py`\n\n"
        + "\n".join(machines) + _versions(results)
        + "\nFrames a second at 720x480, ours / the rival's, on one core and on two (FFmpeg then as two processes), "
        "the rival's reading time subtracted. Ratios are by the clock and, in brackets, by processor time; above 1 "
        "ours is faster. A goal is met where the clock's ratio reaches it on one core and on two, with results as good "
        f"(denoisers: PSNR within {WORSE} dB). {len(held) - len(missed)} of {len(held)} goals are met"
        + (f"; missed: {', '.join(missed)}" if missed else "") + ".\n"
    )  # fmt: skip
    for family, found in groups.items():
        kernels = list(dict.fromkeys(what for what, _ in found))  # all rivals of one below each other
        ordered = sorted(found.values(), key=lambda rows: kernels.index(rows[0]["what"]))
        text += f"\n### {family.capitalize()}\n\n" + table(HEAD, [_line(rows) for rows in ordered])
    for name, result in results.items():
        for row in result["measured"].get("left_out", []):
            what = f"bm3d {row['case']} beside bm3dcpu" if name == "bm3d" else f"{row['kernel']} beside {row['rival']}"
            text += f"\nLeft out: {what}: {row['why']}\n"
    return text


def _versions(results: dict[str, Result]) -> str:
    found: dict[str, str] = {}
    for name, result in results.items():
        versions = result["measured"].get("versions", {})
        for key, version in versions.items():
            other = name == "bm3d" and found.get(key, version) != version
            found[f"{key} (for bm3dcpu)" if other else key] = version
    if "kernels" in results:
        found["FFmpeg"] = results["kernels"]["measured"]["ffmpeg"]
    return ", ".join(f"{k} {v}" for k, v in sorted(found.items())) + ".\n" if found else ""


def compile_times(result: Result, table: Table, where: Where) -> str:
    data = result["measured"]
    rows = sorted(data["rows"], key=lambda r: -r["cold"][0])
    verdicts = []
    for key, told in (("cold", "compiled anew"), ("cached", "from the disk cache")):
        missed = [r["kernel"] for r in rows if not r[f"{key}_met"]]
        worst = max(r[key][0] for r in rows)
        verdict = f"**MISSED** by {', '.join(missed) if len(missed) < 7 else len(missed)} of {len(rows)}"
        verdict = verdict if missed else "met"
        verdicts.append(f"{told} below {data['goals'][key]:g} s (slowest {worst:.2f} s, {verdict})")
    lines = [
        [r["kernel"], *(f"{r[k][0]:.2f}" for k in ("cold", "cached")), f"{r['second_call'][0]:.3f}",
         f"{r['imports'][0]:.2f}", r["compiled_functions"], f"{r['bytes_on_disk'] / 2**20:.2f}"]
        for r in rows
    ]  # fmt: skip
    head = "kernel|first call, s|from the cache, s|second call, s|imports, s|functions kept|MiB kept".split("|")
    return (
        f"## The first call: `bench_compile.py`\n\n{where(result)}\nProcessor seconds of a kernel's first call in a "
        f"fresh process, {data['frames']} frames of {data['size']}, imports apart. Goals: {'; '.join(verdicts)}. A "
        f"function that does nothing takes {data['nothing'][0]:.2f} s from the cache: Numba's own start, "
        "without what `kernels/start.py` does for it.\n\n"
        + table(head, lines)
    )


def scaling(result: Result, table: Table, where: Where) -> str:
    data = result["measured"]
    judged = [r for r in data["rows"] if r["judged"]]
    missed = [r["kernel"] for r in judged if not r["met"]]
    rows = [
        [r["kernel"] + (" (recursive)" if r["recursive"] else ""), r["one_ms"], r["two_ms"], f"{r['gain']:.2f}",
         f"{r['spent']:.2f}", ("met" if r["met"] else "**MISSED**") if r["judged"] else ""]
        for r in sorted(data["rows"], key=lambda r: -r["one_ms"])
    ]  # fmt: skip
    return (
        f"## What the second core adds: `bench_scaling.py`\n\n{where(result)}\nMilliseconds for a frame of 720x480 "
        f"luma, {data['frames']} at a time. Goal for those above {data['judged_above_ms']:g} ms: {data['goal']} times "
        f"({len(judged) - len(missed)} of {len(judged)} met). `spent`: processor time of two threads over that of "
        "one.\n\n"
        + table(["kernel", "one core, ms", "two cores, ms", "gain", "spent", "goal"], rows)
    )
