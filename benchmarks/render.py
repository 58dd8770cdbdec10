"""Renders the tables of benchmarks/README.md from the committed JSON in results/.  Numbers are never typed in.

python benchmarks/render.py           # rewrites the tables
python benchmarks/render.py --check   # exit 1 when they are not those of the JSON
"""

from __future__ import annotations

import json
import sys
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import render_kernels

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
                [r["chain"], r["encoder"], side, s["fps"], s["fps_steady"], ratio, s["cpu_ms_per_frame"],
                 s.get("cpu_ms_steady", ""), s["peak_mib"], f"{s['psnr_Y']:.3f}", f"{s['ssim_Y']:.4f}"]
            )  # fmt: skip
        for side, key in (("x264 alone", "x264_cpu_ms"), ("tape read", "tape_cpu_ms")):
            if found := r.get("alone"):
                rows.append([r["chain"], r["encoder"], side, "", "", "", "", found[key], "", "", ""])
    head = (
        "chain|encoder|side|fps|fps steady|ours / this, steady|CPU ms a frame|CPU ms a frame, steady|peak MiB|"
        "PSNR Y|SSIM Y"
    ).split("|")
    text = f"## The whole chain: `bench_restore.py`\n\n{where(result)}\n{data['note']}\n\n" + table(head, rows)
    text += _goal_of_chain(data["rows"])
    if m := data["memory"]:
        text += (
            f"\nMemory of ours: imports {m['imports_mib']} MiB; a tape of {data['tape_frames']} frames adds "
            f"{m['beyond_imports_mib']} MiB, one ten times longer {m['ten_times_longer_beyond_mib']} MiB "
            f"({m['growth_percent']:+.1f} % of the whole).\n"
        )
    return text


def _goal_of_chain(rows: list[dict[str, Any]]) -> str:
    told = []
    for r in rows:
        ratio, found = r["ratios"]["ffmpeg"]["fps_steady"], r.get("alone")
        bound = f"; {found['bound']:.2f} could be reached if filters cost nothing" if found else ""
        told.append(f"{r['chain']}, {r['encoder']} {ratio:.2f} ({'met' if ratio >= 1.5 else 'MISSED'}{bound})")
    lines = [f"\nGoal: 1.5 times FFmpeg, steady: {'. '.join(told)}.\n"]
    for plain, name in (("psnr_Y", "PSNR Y"), ("ssim_Y", "SSIM Y")):
        less = [r["sides"]["ours"][plain] - r["sides"]["ffmpeg"][plain] for r in rows]
        word, signed = "met" if min(less) >= 0 else "MISSED", ", ".join(f"{d:+.4f}" for d in less)
        lines.append(f"Goal: {name} no lower than FFmpeg's: differences {signed}: {word}.\n")
    return "".join(lines)


def upscale(result: dict[str, Any]) -> str:
    head = (
        "net|input|precision|frames at once|fps|realesrgan's loop, fps|ours / rival|net alone, fps|"
        "share of its convolutions|share of a matrix product's peak|MiB|PSNR to the rival"
    ).split("|")
    rows = [
        [r["model"], r["size"], r["precision"], r["batch"], f"{r['fps']:.2f}", f"{r['rival_fps']:.2f}",
         f"{r['times_rival']:.2f}", f"{r['net_fps']:.2f}", f"{r['share_of_convs']:.2f}", f"{r['share_of_matmul']:.2f}",
         f"{r['peak_mib']:.0f}", f"{r['psnr_to_rival']:.1f}"]
        for r in result["measured"]["rows"]
    ]  # fmt: skip
    if all("share_of_own_convs" in r for r in result["measured"]["rows"]):  # older results do not tell
        head.insert(9, "share of those that ours runs")
        for row, r in zip(rows, result["measured"]["rows"], strict=True):
            row.insert(9, f"{r['share_of_own_convs']:.2f}")
    text = f"## Nets on the CPU: `bench_upscale.py`\n\n{where(result)}\n"
    return text + f"{upscale_goals(result['measured']['rows'])}\n\n" + table(head, rows)


#: Precision, figure, least value, of what.
UPSCALE_GOALS = (
    ("bf16", "times_rival", 3, "the rival"),
    ("float32", "times_rival", 1.2, "the rival"),
    ("bf16", "share_of_convs", 0.8, "its convolutions alone"),
    ("float32", "share_of_convs", 0.8, "its convolutions alone"),
)


def upscale_goals(rows: list[dict[str, Any]]) -> str:
    told = []
    for precision, key, least, of in UPSCALE_GOALS:
        lowest = min(r[key] for r in rows if r["precision"] == precision)
        verdict = "met" if lowest >= least else "MISSED"
        told.append(f"{precision} {least} times {of} (lowest {lowest:.2f}, {verdict})")
    text = f"The rival is the one-frame loop of the package realesrgan on the same frames. Goals: {'; '.join(told)}."
    if not (HERE / "results" / "upscale_cuda.json").exists():
        text += " No GPU was at hand, so nothing was measured on one: `bench_upscale.py --cuda`."
    return text


def upscale_overlap(result: dict[str, Any]) -> str:
    head = ["net", "tile", "overlap", "PSNR to the whole picture", "largest error, of full scale"]
    rows = [
        [r["model"], r["tile"], r["overlap"], f"{r['psnr']:.1f}", f"{r['largest']:.4f}"]
        for r in result["measured"]["rows"]
    ]
    return f"## What tiles cost: `bench_upscale.py --overlap`\n\n{where(result)}\n" + table(head, rows)


def upscale_quality(result: dict[str, Any]) -> str:
    data = result["measured"]
    head = ["input", "upscaler", "steady", "PSNR Y", "SSIM Y", "flicker, levels"]
    rows = [
        [r["input"], r["upscaler"], r["steady"] or "", f"{r['psnr']:.2f}", f"{r['ssim']:.4f}", f"{r['flicker']:.3f}"]
        for r in data["rows"]
    ]
    return (
        f"## Nets against a known truth: `bench_upscale.py --quality`\n\n{where(result)}\n"
        f"{data['frames']} frames, {data['size']}. Nets trained to please the eye lower the PSNR: Lanczos and bicubic "
        "stand beside them. `steady` blends each frame with the one before along motion.\n\n" + table(head, rows)
    )


def audio(result: dict[str, Any]) -> str:
    data = result["measured"]
    text = f"## Sound: `bench_audio.py`\n\n{where(result)}\n"
    if q := data.get("quality"):
        head = ["sound", "treated by", "SNR gain, dB", "SNR of magnitudes, dB", "log-spectral distance, dB"]
        rows = [
            [
                sound,
                name.removesuffix(" restored"),
                f"{s['snr_gain_db']:+.2f}",
                f"{s['spectral_snr_db']:.2f}",
                f"{s['lsd_db']:.2f}",
            ]
            for sound, table_ in q["scores"].items()
            for name, s in table_.items()
            if name == "damaged" or name.endswith("restored")
        ]
        text += (
            f"Speech by {q['speech_source']}, {q['seconds']:g} s each, FFmpeg {q['ffmpeg']}, noisereduce "
            f"{q['noisereduce']}. Compressor, equaliser and loudness are left out here, on every side; `tuned` had its "
            "best setting chosen by the score. FFmpeg's filters turn the phase, which costs SNR and no magnitude.\n\n"
        ) + table(head, rows)
        head = ["`moderate` ahead of", "by", *next(iter(v for k, v in q.items() if k.startswith("moderate over")))]
        ahead = {k.removeprefix("moderate over "): v for k, v in q.items() if k.startswith("moderate over")}
        rows = [[*k.rsplit(", ", 1), *(f"{x:+.2f}" for x in v.values())] for k, v in ahead.items()]
        text += "\n" + table(head, rows)
    if m := data.get("loudness"):
        text += (
            f"\nLoudness, {len(m['rows'])} results judged by FFmpeg's ebur128 and by pyloudnorm: at most "
            f"{m['largest_miss_lu']:.2f} LU off {m['target_lufs']} LUFS, true peaks up to {m['highest_dbtp']:.1f} dBTP "
            f"(limit {m['limit_dbtp']}).\n"
        )
    if d := data.get("drift"):
        rows = [[k, f"{v['left_ms_per_hour']:+.3f}", v["windows"]] for k, v in d.items()]
        text += "\n" + table(["drift made", "left, ms an hour", "windows"], rows)
    if m := data.get("memory"):
        text += (
            f"\nMemory: {m['hours']:g} hours of stereo add {m['over_baseline_mib']} MiB to {m['baseline_mib']} MiB; "
            f"files left on disk: {len(m['left_on_disk'])}.\n"
        )
    if s := data.get("speed"):
        theirs = s["ffmpeg (two passes)"]["cpu_s"]
        rows = [
            [k, v["cpu_s"], v["times_real_time_cpu"], v["times_real_time_wall"], f"{theirs / v['cpu_s']:.1f}"]
            for k, v in s.items()
            if isinstance(v, dict)
        ]
        head = ["chain", "CPU s", "times real time, CPU", "times real time, wall", "times FFmpeg's, CPU"]
        text += f"\nOne core, {s['seconds_of_stereo']:g} s of stereo at 48 kHz"
        if "goal" in s:
            text += f"; goal {s['goal']} times real time by processor time for `moderate`: "
            text += "met" if s["met"] else "MISSED"
        text += ":\n\n" + table(head, rows)
    if p := data.get("prepare"):
        names = [k for k in p if k != "fresh process"]
        rows = [[k, p[k]["build_ms"], p[k]["from_lru_ms"], p[k]["text_of_the_chain_ms"]] for k in names]
        f = p["fresh process"]
        text += "\nWhat preparing once saves:\n\n" + table(
            ["mode", "build, ms", "from the LRU, ms", "its text, ms"], rows
        )
        text += (
            f"\nA fresh process: {f['import_s']} s of imports, first call {f['first_call_s']} s, second "
            f"{f['second_call_s']} s.\n"
        )
    return text


def kills(result: dict[str, Any], title: str) -> str:
    data = result["measured"]
    places = ", ".join(f"{k} {v}" for k, v in sorted(data["where"].items()))
    return (
        f"## {title}\n\n{where(result)}\n{data['runs']} seeded runs, {data['killed']} of them killed (kill -9; "
        f"{places}) and gone on with: {data['same']} of {data['runs']} files are byte for byte those of an undisturbed "
        f"run, {data['clean']} left nothing else behind.\n"
    )


def queue_status(result: dict[str, Any]) -> str:
    d = result["measured"]
    head = "jobs|add them, s|status of 50, ms|reads/s, 8 threads|read p50 / p99 / p99.9, ms|writes/s of 2 threads|torn"
    reads, writes = " / ".join(map(str, d["read_ms"].values())), " + ".join(map(str, d["transactions_per_second"]))
    row = [d["jobs"], d["add_s"], d["status_of_50_jobs_ms"], d["reads_per_second"], reads, writes, d["torn_reads"]]
    text = f"## The queue's status beside writers: `queue_status.py`\n\n{where(result)}\n"
    return text + table(head.split("|"), [row])


def long_tape(result: dict[str, Any]) -> str:
    d = result["measured"]
    slope, files = d["slope_bytes_per_1000_frames"], d["files"]
    head = ("frames|size|file|resident MiB|bytes for 1,000 frames|joining adds MiB|checking adds MiB|"
            "open files, first / last / most|temporary MB|output and one segment, MB|fps|goal").split("|")  # fmt: skip
    row = [
        d["frames"], d["size"], d["container"], d["resident_mib"],
        f"{slope['slope']:+.0f} ({slope['low']:+.0f} to {slope['high']:+.0f})", d["stages_add_mib"]["join"],
        d["stages_add_mib"]["check"], f"{files['first']} / {files['last']} / {files['most']}",
        f"{d['temporary_bytes'] / 1e6:.1f}", f"{d['bound_bytes'] / 1e6:.1f}", d["fps"], "met" if d["met"] else "MISSED",
    ]  # fmt: skip
    text = f"## A tape of {d['hours']:g} hours: `long_tape.py --size {d['size']}`\n\n{where(result)}\n"
    text += (
        "Resident memory while segments are made, which is nearly all of a run, at `vhs-fast` with `--resume`, looked "
        f"at from outside; goal: {d['goal']}. What joining adds at the end is not in the goal; it grows with length: "
        "FFmpeg's index of an MP4 or MOV (an entry for each packet) and the sound's loudness, 2 kB a second. "
    )
    if d["size"] != "720x480":
        text += "Frames are small so that the hours pass in minutes: what grows with each frame shows all the same."
    return text + "\n\n" + table(head, [row])


def compare(result: dict[str, Any]) -> str:
    rows = [
        [name, f"{r['seconds']:.1f}", f"{r['times_ours']:.1f}" if "times_ours" in r else "", f"{r['bytes'] / 1e6:.1f}",
         int(r["frames"])]
        for name, r in result["measured"]["rows"].items()
    ]  # fmt: skip
    return (
        f"## Looking at a tape in three places: `bench_compare.py`\n\n{where(result)}\n"
        "A minute of HuffYUV tape. `sample` takes three bursts of 12 frames into memory (the field order is measured, "
        "too); the others cut three clips of 10 s to disk with FFmpeg and read them back.\n\n"
        + table(["way", "seconds", "this / sample", "MB written", "frames"], rows)
    )


def blind(result: dict[str, Any]) -> str:
    data = result["measured"]
    rows = [
        [r["tape"], r["seed"], r["luma_noise"], r["what"], r["settings"], f"{r['regret_db']:.2f}",
         f"{r['median_regret_db']:.2f}", f"{r['best_db'] - r['worst_db']:.2f}"]
        for r in data["rows"]
    ]  # fmt: skip
    sums = "; ".join(
        f"{name}: {s['within_goal']} of {s['tapes']} tapes, at most {s['largest_regret_db']:.2f} dB"
        for name, s in data["summary"].items()
    )
    return (
        f"## Ranking without a truth: `bench_blind.py`\n\n{where(result)}\n"
        "Regret: luma PSNR of the best setting less that of the setting chosen without the truth. Beside it the regret "
        "of a middling setting and the distance of best and worst. "
        f"Within the goal of {data['goal_db']} dB: {sums}.\n\n"
        + table(["tape", "seed", "noise", "what", "settings", "regret dB", "middling dB", "spread dB"], rows)
    )


def process_thousands(result: dict[str, Any]) -> str:
    d = result["measured"]
    names = ("ran", "failed", "hung", "orphans", "zombies", "descriptors", "seconds")
    text = f"## Programs by the thousand: `process_thousands.py`\n\n{where(result)}\n"
    text += f"Goal: {d['goal']}: {'met' if d['met'] else 'MISSED'}.\n\n"
    return text + table(list(names), [[d[n] for n in names]])


def progress_cost(result: dict[str, Any]) -> str:
    d = result["measured"]
    rows = [[name, f"{100 * share:.4f}"] for name, share in d["share_of_a_core"].items()]
    text = f"## What progress costs: `progress_cost.py`\n\n{where(result)}\n"
    text += f"60 updates a second; goal below {100 * d['goal']:g} % of a core: {'met' if d['met'] else 'MISSED'}.\n\n"
    return text + table(["drawn as", "% of a core"], rows)


def profile_overhead(result: dict[str, Any]) -> str:
    d = result["measured"]
    rows = [[r["run"], r["watcher"], f"{100 * r['share']:.2f}", f"{100 * r['share_of_looks']:.2f}"] for r in d["rows"]]
    text = f"## What watching costs: `profile_overhead.py`\n\n{where(result)}\n"
    text += f"Processor time of `profile watch` / of the run; goal below {100 * d['goal']:g} %: "
    text += f"{'met' if d['met'] else 'MISSED'}.\n\n"
    return text + table(["run, CPU s", "watcher, CPU s", "%", "% without the start and the end"], rows)


def sweep(result: dict[str, Any]) -> str:
    d, goals = result["measured"], result["measured"]["goals"]
    met = {k: "met" if d["met"][k] else "MISSED" for k in ("busy", "cost")}
    busy = f"{100 * d['sweep']['busy']:.0f} %"
    rows = [
        [f"sweep of {d['settings']} settings", d["sweep"]["wall"], d["sweep"]["cpu"], busy],
        [f"{d['settings']} whole runs", d["whole"]["wall"], d["whole"]["cpu"], ""],
        ["sweep / runs", d["cost"]["wall"], d["cost"]["cpu"], ""],
    ]
    return (
        f"## A sweep beside whole runs: `bench_sweep.py`\n\n{where(result)}\n"
        f"24 settings on {d['sample_frames']} frames (3 bursts) of a 720x480 tape, every result measured against the "
        f"truth, two worker processes; beside it each of the 24 pipelines over all {d['tape_frames']} frames of the "
        "tape, all of them run, none measured. The sweep does not grow with the tape, the runs do. "
        f"Goals: both cores {100 * goals['busy']:.0f} % busy ({met['busy']}), at most {goals['cost']} of the runs "
        f"({met['cost']}).\n\n" + table(["", "wall s", "processor s", "busy"], rows)
    )


def compare_thousand(result: dict[str, Any]) -> str:
    d = result["measured"]
    row = [d["comparisons"], d["failed"], d["files_left"], d["descriptors_most_more"], d["children_left"],
           f"{d['slope_kib']:.2f}", "met" if d["met"] else "MISSED"]  # fmt: skip
    return (
        f"## A thousand comparisons in a row: `compare_thousand.py`\n\n{where(result)}\n"
        f"A third fail on purpose. Memory: the least-squares line through the resident memory after {d['warm_up']} of "
        f"them; goal: nothing left and less than {d['goal_kib']:g} KiB for each.\n\n"
        + table(["comparisons", "failed", "files left", "descriptors left", "children left", "KiB each", "goal"], [row])
    )


def baselines(result: dict[str, Any]) -> str:
    rows = [
        [g["goal"], f"{g['figure']:g}", "met" if g["met"] else "**MISSED**"]
        for g in result["measured"].get("goals", [])
    ]
    return (
        f"## Ours beside plain baselines: `bench_baselines.py`\n\n{where(result)}\nItem by item in "
        "[REPORT.md](REPORT.md).\n\n" + table(["goal", "figure", ""], rows)
    )


def performance_report() -> str | None:
    """REPORT.md as the JSON has it, None while there is none."""
    from report import report

    path = HERE / "results" / "baselines.json"
    return report(json.loads(path.read_text()), table, where) if path.exists() else None


def leaderboard(result: dict[str, Any]) -> str:
    data = result["measured"]
    versions = ", ".join(f"{k} {v}" for k, v in sorted(data["versions"].items()))
    text = (
        f"## Leaderboard: `leaderboard.py`\n\n{where(result)}{versions}.\n\n"
        f"{data['frames_each']} frames of each of {', '.join(data['scenes'])}, {data['size']}, best first; every side "
        "tuned by the same rule. Deinterlacers on tapes without other faults; denoisers on the same frames out of our "
        f"bwdif (noise of {data['noise']:g} levels, {data['denoise_before_psnr']:.2f} dB before). Against the truth at "
        f"equal times, nothing corrected, without {data['ends_left_out']} frames of the result at each end and "
        f"{data['edges_left_out']} samples at each edge; what the alignment found stands last. `*`: at the end of what "
        "the filter takes. fps: frames of input a second at 720x480, filtering alone;"
        " none where the filter is too fast beside the pipe to its program.\n"
    )
    for name in ("deinterlace", "denoise"):
        if name not in data:  # `--only` the other, so far
            continue
        head = ["method", "side", "setting", "tried", "PSNR Y", "SSIM Y", "combing", "detail kept", "fps", "found"]
        rows = [
            [r["method"], r["side"], f"`{r['words']}`" + ("*" if r["at_end_of_range"] else ""),
             r["settings_tried"] or "as FFmpeg", f"{r['psnr']:.2f}", f"{r['ssim']:.4f}", f"{r['combing']:.5f}",
             f"{r['detail']:.3f}", r.get("fps") or "", "; ".join(r["findings"])]
            for r in data[name]["rows"]
        ]  # fmt: skip
        text += f"\n### {name.capitalize()}\n\n" + table(head, rows)
        text += "".join(f"\nNot run: {f['method']} ({f['side']}): {f['error']}\n" for f in data[name]["failed"])
    return text


def denoise_quality(result: dict[str, Any]) -> str:
    data = result["measured"]
    rows = [
        [r["input"], r["side"], r["denoiser"], r["how"], f"{r['psnr']:.2f}", f"`{r['settings']}`"] for r in data["rows"]
    ]
    goals = [
        [name, f"{s['ours_best']:.2f}", f"{s['rival_best']:.2f}", s["against_rival"], f"{s['default']:.2f}",
         s["default_goal"]]
        for name, s in data["summary"].items()
    ]  # fmt: skip
    own = [
        [name, denoiser, how, f"{found['psnr']:.2f}", f"{ways['best']:.2f}", f"{found['psnr'] - ways['best']:+.2f}",
         found["goal"]]
        for name, s in data["summary"].items() for denoiser, ways in s["defaults"].items()
        for how, found in ways.items() if how != "best"
    ]  # fmt: skip
    head = "input|our best|FFmpeg's best|within 0.1 dB|default (motion_mean)|within 0.5 dB of our best"
    second = "input|denoiser|set by|PSNR Y|its best|apart|within 0.5 dB"
    return (
        f"## What denoisers restore: `denoise_quality.py`\n\n{where(result)}\nPSNR of luma, {data['frames']} frames, "
        f"FFmpeg {data['ffmpeg']}; each side has the best of the settings tried, ours in times the true noise. A "
        f"default has no knob set and measures the noise itself (hqdn3d's are FFmpeg's values; `auto` measures).\n\n"
        + table(head.split("|"), goals) + "\nEach default beside the same denoiser's best:\n\n"
        + table(second.split("|"), own) + "\nEverything:\n\n"
        + table(["input", "side", "denoiser", "how", "PSNR Y", "settings"], rows)
    )  # fmt: skip


def widgets(result: dict[str, Any]) -> str:
    data = result["measured"]
    rows = []
    for state, told in (("idle", "nothing else running"), ("busy", "beside a restore")):
        for case, c in data[state].items():
            rows.append([case, told, c["n"], c["p50"], c["p95"], c["worst"], c.get("pictures_per_second", "")])
    word = {k: "met" if v else "MISSED" for k, v in data["met"].items()}
    goals, stop = data["goals"], data["stop"]
    head = ["preset, slider", "while", "moves", "p50, ms", "p95, ms", "worst, ms", "pictures a second"]
    return (
        f"## From the hand to the picture: `bench_widgets.py`\n\n{where(result)}\n"
        "`widgets.panel` in JupyterLab and Chromium, a 720x480 tape: from the key to the new picture on the screen.\n\n"
        + table(head, rows)
        + f"\nGoals: half of the moves within {goals['idle']:.0f} ms with nothing else running: {word['idle']}; 95 % "
        f"below {goals['busy']:.0f} ms beside a restore that a worker of `widgets.jobs` makes: {word['busy']}.\n"
        f"The stop button ends a restore in a cell, with nothing left behind, after {stop['p50']} ms ({stop['worst']} "
        f"at most of {stop['n']}; goal below {goals['stop']:.0f}: {word['stop']}).\n"
    )


def widgets_memory(result: dict[str, Any]) -> str:
    data = result["measured"]
    names = {"kernel": "kernel", "page": "page (renderer process)", "both": "both, judged",
             "others": "the browser's other processes", "heap": "page: JavaScript heap", "nodes": "page: nodes",
             "listeners": "page: listeners"}  # fmt: skip
    rows = []
    for key, name in names.items():
        s = data["slopes"][key]
        if key in ("nodes", "listeners"):
            rows.append([name, *(f"{s[k]:+.2f}" for k in ("per_move", "low", "high")), *(f"{s[k]:.0f}" for k in
                        ("first", "last"))])  # fmt: skip
        else:
            slopes = [f"{s[k] / 1024:+.2f} KiB" for k in ("per_move", "low", "high")]
            rows.append([name, *slopes, *(f"{s[k] / 2**20:.1f} MiB" for k in ("first", "last"))])
    head = ["what", "a move", "from", "to", f"after {data['counted_from']} moves", f"after {data['moves']} moves"]
    return (
        f"## What moves of a slider leave behind: `widgets_memory.py`\n\n{where(result)}\n{data['moves']} moves of a "
        "slider of `widgets.panel`, after garbage collection; slopes of Theil and Sen with intervals of 95 %.\n\n"
        + table(head, rows)
        + f"\nGoal: below {data['goal_bytes_per_move'] / 1024:.0f} KiB a move, kernel and page together: "
        f"{'met' if data['met'] else 'MISSED'}.\n"
    )


RENDERERS = {
    "compile": lambda r: render_kernels.compile_times(r, table, where),
    "scaling": lambda r: render_kernels.scaling(r, table, where),
    "denoise_quality": denoise_quality,
    "restore": restore,
    "upscale": upscale,
    "upscale_quality": upscale_quality,
    "upscale_overlap": upscale_overlap,
    "bench_audio": audio,
    "kill_resume": lambda r: kills(r, "Killed and gone on with: `kill_resume.py`"),
    "kill_queue": lambda r: kills(r, "Workers and jobs killed: `kill_resume.py --queue`"),
    "queue_status": queue_status,
    "long_tape_720x480": long_tape,
    "long_tape_160x120": long_tape,
    "process_thousands": process_thousands,
    "progress_cost": progress_cost,
    "profile_overhead": profile_overhead,
    "compare": compare,
    "blind": blind,
    "sweep": sweep,
    "compare_thousand": compare_thousand,
    "baselines": baselines,
    "leaderboard": leaderboard,
    "widgets": widgets,
    "widgets_memory": widgets_memory,
}


#: What stands together in the one table of the kernels' speeds.
KERNELS = ("kernels", "kernels_denoise_rivals", "bm3d")


def results(names: Iterable[str]) -> dict[str, dict[str, Any]]:
    """The JSON of those that were measured."""
    paths = {name: HERE / "results" / f"{name}.json" for name in names}
    return {name: json.loads(path.read_text()) for name, path in paths.items() if path.exists()}


def rendered() -> str:
    speeds = render_kernels.section(results(KERNELS), table, where)
    parts = [RENDERERS[name](result) for name, result in results(RENDERERS).items()]
    return "\n".join([speeds, *parts] if speeds else parts)


def main() -> int:
    path = HERE / "README.md"
    text = path.read_text()
    before, _, rest = text.partition(BEGIN)
    _, _, after = rest.partition(END)
    wanted = f"{before}{BEGIN}{rendered()}{END}{after}"
    told, told_path = performance_report(), HERE / "REPORT.md"
    if "--check" in sys.argv:
        stale = told is not None and (not told_path.exists() or told_path.read_text() != told)
        return int(text != wanted or stale)
    path.write_text(wanted)
    if told is not None:
        told_path.write_text(told)
    return 0


if __name__ == "__main__":
    sys.exit(main())
