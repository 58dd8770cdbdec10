"""benchmarks/REPORT.md: the table of the first performance report, expectation beside measurement, from the JSON."""

from __future__ import annotations

from typing import Any

MIB = 2**20
#: What the report expected of the changes.
EXPECTED = {"memory": "-57 %", "disk": "-75 %", "time": "-33 %", "gpu": "52 % to 89 %", "lag": "2.3 s to 0.4 s"}


def change(after: float, before: float) -> str:
    return f"{100 * (after / before - 1):+.0f} %" if before else "from 0"


def report(result: dict[str, Any], table: Any, where: Any) -> str:
    d = result["measured"]
    parts = [
        "# Before and after\n",
        "Rendered by `render.py` from `results/baselines.json`; no number is typed in. The project began from a "
        "performance report on a VHS upscaler, which expected certain gains. Here each item stands beside a plain "
        "baseline (`baseline/`: what a competent programmer in a hurry writes), on the same tape in the same run "
        "(`bench_baselines.py`).\n",
        where(result),
    ]
    for name, section in SECTIONS.items():
        if name in d:
            parts.append(section(d[name], table))
    rows = [[g["goal"], f"{g['figure']:g}", "met" if g["met"] else "**MISSED**"] for g in d.get("goals", [])]
    parts.append("## Goals\n\n" + table(["goal", "figure", ""], rows))
    return "\n".join(parts)


def tape(d: dict[str, Any], table: Any) -> str:
    s, seconds = d["sides"], d["tape_seconds"]
    names = {"ours": "ours", "disk": "before: frames on disk", "memory": "before: clip in memory"}

    def row(what: str, key: str, scale: float, unit: str, expected: str) -> list[str]:
        cells = [f"{s[n][key] / scale:.1f} {unit}" for n in names]
        return [what, *cells, *(change(s["ours"][key], s[n][key]) for n in ("disk", "memory")), expected]

    rows = [
        row("peak memory of all processes", "peak_bytes", MIB, "MiB", EXPECTED["memory"]),
        row("temporary disk", "temporary_bytes", MIB, "MiB", EXPECTED["disk"]),
        row("time for the tape", "seconds", 1, "s", EXPECTED["time"]),
        row("time per hour of tape", "seconds", seconds / 60, "min", EXPECTED["time"]),
    ]
    head = ["", *names.values(), "against disk", "against memory", "expected"]
    stages = [[names[n], ", ".join(f"{k} {v * 60 / seconds:.0f} min" for k, v in s[n]["stages"].items())] for n in s]
    return (
        f"## A whole tape\n\n{d['frames']} frames ({seconds:g} s) of HuffYUV, deinterlaced to fields, denoised, twice "
        "the size, sound cleaned, x264. There is no single \"before\": kept on disk the frames cost disk and little "
        "memory, kept in memory the other way round, and that memory grows with the tape where ours does not. So no "
        "one baseline can show both expected savings at once.\n\n"
        + table(head, rows)
        + "\nMinutes per hour of tape by stage (ours: stages run beside each other, so they add up to more than the "
        "whole):\n\n" + table(["", "stages"], stages) + _longer(d)
    )  # fmt: skip


def _longer(d: dict[str, Any]) -> str:
    more, s = d["longer"], d["sides"]
    grown = {
        n: (more[n]["peak_bytes"] - s[n]["peak_bytes"]) / MIB / (2 * d["tape_seconds"]) for n in ("ours", "memory")
    }
    return (
        f"\nOf a tape three times as long ({more['frames']} frames): ours {more['ours']['peak_bytes'] / MIB:.0f} MiB, "
        f"the clip in memory {more['memory']['peak_bytes'] / MIB:.0f} MiB. Each further second of tape adds "
        f"{grown['ours']:.1f} MiB to ours and {grown['memory']:.1f} MiB to the baseline.\n"
    )


def leaks(d: dict[str, Any], table: Any) -> str:
    rows = [
        [
            name,
            side,
            *(f"{row[side][end] / MIB:.1f}" if end in row[side] else "" for end in ("success", "error", "kill")),
        ]
        for name, row in d.items()
        for side in ("ours", "baseline")
    ]
    return "## Temporary MiB left behind\n\nAfter a kill: once the toolkit has started again.\n\n" + table(
        ["what", "side", "success", "error in the middle", "kill -9"], rows
    )


def sampling(d: dict[str, Any], table: Any) -> str:
    rows = [[n, f"{r['seconds']:.2f}", f"{r['bytes'] / MIB:.1f}", r.get("times", "")] for n, r in d.items()]
    return (
        "## Looking at a minute of tape in three places\n\n`copy` cuts without encoding, which only tapes without "
        "inter-coded frames allow.\n\n" + table(["way", "seconds", "MiB written", "this / ours"], rows)
    )


def status(d: dict[str, Any], table: Any) -> str:
    row = [d["jobs"], d["ours"], d["one_lock"], d["times"]]
    text = (
        "## Reading the queue's status beside two writers\n\nThe baseline holds its one lock while it writes its file."
    )
    return f"{text}\n\n" + table(["jobs", "ours, reads/s", "one lock, reads/s", "times"], [row])


def progress(d: dict[str, Any], table: Any) -> str:
    rows = [[n.replace("_", " "), d[n]["us_a_frame"], d[n]["bytes"]] for n in ("ours", "every_frame")]
    return f"## Progress of {d['steps']} frames\n\n" + table(["drawn", "CPU us a frame", "characters written"], rows)


def polling(d: dict[str, Any], table: Any) -> str:
    rows = [[n, d[n]["looks"], f"{d[n]['core_percent']:.1f}"] for n in ("ours", "baseline")]
    return f"## A monitor of {d['jobs']} jobs\n\n" + table(["", "looks", "% of a core"], rows)


def thumbnails(d: dict[str, Any], table: Any) -> str:
    row = [d["pictures"], f"{d['ours'] / MIB:.2f}", f"{d['unbounded'] / MIB:.2f}"]
    return "## Thumbnails held\n\n" + table(["different pictures", "ours, MiB", "unbounded, MiB"], [row])


def filters(d: dict[str, Any], table: Any) -> str:
    rows = [
        ["building the text of an FFmpeg chain", f"{d['text_us'] / 1000:.5f}"],
        ["building our chain", f"{d['build_ms']:.3f}"],
        ["taking the built chain from the LRU", f"{d['kept_ms']:.4f}"],
        ["cleaning ten seconds of sound", f"{d['clean_10_s_ms']:.1f}"],
        ["the same, the chain built anew", f"{d['clean_10_s_rebuilding_ms']:.1f}"],
    ]
    return (
        "## Filter chains\n\nThe report expected caching of filter strings to save 10 % of a core. That gain is "
        f"{'not real' if d['text_saves_percent'] < 1 else 'real'}: keeping the text saves "
        f"{d['text_saves_percent']:.5f} % of cleaning a clip of ten seconds. Keeping the built chain saves "
        f"{d['saved_percent']:.2f} %.\n\n" + table(["what", "ms"], rows)
    )


def lag(d: dict[str, Any], table: Any) -> str:
    rows = [["handler works at once", f"{d['baseline']:.2f}", d["drawn_baseline"]]]
    rows.append(["ours: once the slider rests", f"{d['ours']:.2f}", d["drawn_ours"]])
    return (
        f"## Interface lag\n\nA slider dragged for a second ({d['moves']} moves): seconds from the last move to its "
        f"picture. Expected: {EXPECTED['lag']}.\n\n" + table(["", "seconds", "pictures computed"], rows)
    )


def one_at_a_time(d: dict[str, Any], table: Any) -> str:
    row = [d["model"], d["size"], f"{d['device']}, {d['precision']}", d["one_at_a_time"], d["ours"], d["times"]]
    if d["device"] == "cpu":
        gpu = f"No GPU was there: its utilisation (expected: {EXPECTED['gpu']}) was **not measured**."
    else:
        gpu = f"Utilisation (expected: {EXPECTED['gpu']}) is in `bench_upscale.py --cuda`."
    head = ["net", "size", "on", "one frame at a time, fps", "ours, fps", "times"]
    return f"## One frame at a time on the device\n\n{gpu}\n\n" + table(head, [row])


SECTIONS = {
    "tape": tape,
    "leaks": leaks,
    "sampling": sampling,
    "status": status,
    "progress": progress,
    "polling": polling,
    "thumbnails": thumbnails,
    "filters": filters,
    "lag": lag,
    "one_at_a_time": one_at_a_time,
}
