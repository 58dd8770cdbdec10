"""Sound: each mode beside FFmpeg's chain and noisereduce, on made sound whose clean original is known.

    python benchmarks/bench_audio.py [--quick] [--noisereduce FOLDER] [--only PART ...]

Parts: quality, loudness, speed, prepare, drift, memory.  Speech is spoken by espeak-ng where that is installed (the
result says which source it was), music is synthesised; both are damaged by seeded hiss, 60 Hz hum that wanders, and
clicks.  Scores are taken after the result was moved and scaled to fit the original best, so neither delay nor loudness
counts.  `levelled` chains end in compression, equaliser and loudness, which change the sound on purpose; the chains
without these (`restored`) show how much of the damage is gone.

FFmpeg's chain is the one in common use (high-pass 100 Hz, low-pass 14.5 kHz, afftdn at -20 dB, gentle compression,
+2 dB at 3 kHz, two-pass loudnorm), once as it is and once with afftdn's noise floor and reduction at the best of a
grid, chosen by the score itself.  noisereduce is imported from FOLDER, or from the environment, or left out; it runs
as it is, stationary, and stationary with two seconds of the true noise given and the best of four strengths.
"""

from __future__ import annotations

import argparse
import functools
import importlib
import io
import json
import os
import subprocess
import sys
import tempfile
import time
import warnings
from pathlib import Path
from typing import Any

for _name in ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "NUMBA_NUM_THREADS"):  # one core for everybody
    os.environ.setdefault(_name, "1")

import numpy as np  # noqa: E402
from common import RESULTS, ffmpeg_program, ffmpeg_version, median, save  # noqa: E402

from toolkit.audio import MODES, Cleaner, chain_of, clean_samples, measure, prepare  # noqa: E402
from toolkit.audio.example import Damage, damage, music, speech  # noqa: E402
from toolkit.audio.judge import judge  # noqa: E402

RATE = 48000
GOAL = 100  # times real time on one core, `moderate`
DAMAGES = {
    "hiss -46": Damage(hiss=-46, hum=None),
    "hum -40 + hiss -46": Damage(hiss=-46, hum=-40),
    "hum -34 + hiss -36": Damage(hiss=-36, hum=-34),
    "hum -40 + hiss -46 + clicks": Damage(hiss=-46, hum=-40, clicks=2),
}
FILTERS = "highpass=f=100,lowpass=f=14500"
LEVEL = "acompressor=threshold=0.1:ratio=2:attack=20:release=250:detection=rms,equalizer=f=3000:t=o:w=1:g=2"
GRID = [(nf, nr) for nf in (-20, -30, -40, -45, -50, -55, -60) for nr in (12, 20, 30)]


@functools.cache
def sounds(seconds: float) -> tuple[dict[str, np.ndarray], str]:
    spoken, source = speech(seconds, RATE, seed=1)
    return {"speech": spoken, "music": music(seconds, RATE, seed=1)}, source


# FFmpeg


def ffmpeg(samples: np.ndarray, filters: str) -> tuple[np.ndarray, str]:
    """Samples through FFmpeg's program; also what it said."""
    channels = samples.shape[0]
    raw = ["-f", "f32le", "-ar", str(RATE), "-ac", str(channels)]
    command = [ffmpeg_program(), "-hide_banner", *raw, "-i", "pipe:0", "-af", filters, *raw, "pipe:1"]
    done = subprocess.run(command, input=samples.T.astype("<f4").tobytes(), capture_output=True, timeout=600)
    if done.returncode:
        raise RuntimeError(done.stderr.decode(errors="replace")[-1000:])
    return np.frombuffer(done.stdout, "<f4").reshape(-1, channels).T, done.stderr.decode(errors="replace")


def loudnorm(samples: np.ndarray) -> np.ndarray:
    """FFmpeg's two passes."""
    goal = "loudnorm=I=-14:TP=-1.5:LRA=11"
    _, said = ffmpeg(samples, f"{goal}:print_format=json")
    found = json.loads(said[said.rindex("{") : said.rindex("}") + 1])
    names = {"I": "input_i", "TP": "input_tp", "LRA": "input_lra", "thresh": "input_thresh"}
    told = ":".join(f"measured_{k}={found[v]}" for k, v in names.items())
    return ffmpeg(samples, f"{goal}:{told}:offset={found['target_offset']}:linear=true,aresample={RATE}")[0]


def denoiser(nf: float, nr: float) -> str:
    return f"afftdn=nr={nr}:nf={nf}"


# noisereduce


def rival_noisereduce(folder: str | None) -> tuple[Any, str] | None:
    if folder:
        sys.path.insert(0, folder)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            module = importlib.import_module("noisereduce")
    except ImportError:
        return None
    version = next((p.name.split("-")[1].removesuffix(".dist") for p in Path(folder).glob("noisereduce-*")), "?") \
        if folder else importlib.import_module("importlib.metadata").version("noisereduce")  # fmt: skip
    return module, version.removesuffix(".dist-info")


def tuned_noisereduce(module: Any, truth: np.ndarray, hurt: np.ndarray) -> np.ndarray:
    """Its best: the noise itself is given, and the strength is chosen by the score."""
    noise = (hurt - truth)[:, : 2 * RATE]
    best = None
    for strength in (0.4, 0.6, 0.8, 1.0):
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            y = module.reduce_noise(y=hurt, sr=RATE, stationary=True, y_noise=noise, prop_decrease=strength)
        y = np.asarray(y).reshape(hurt.shape)
        score = judge(truth, y, RATE)["snr_db"]
        best = max(best or (-np.inf, None), (score, y), key=lambda pair: pair[0])
    return best[1]


# The parts


def quality(seconds: float, folder: str | None) -> dict[str, Any]:
    clean, source = sounds(seconds)
    noisereduce = rival_noisereduce(folder)
    out: dict[str, Any] = {
        "seconds": seconds,
        "speech_source": source,
        "ffmpeg": ffmpeg_version(),
        "noisereduce": noisereduce[1] if noisereduce else None,
        "scores": {},
    }
    bare = ("compressor", "equaliser", "loudness")
    for sound, truth in clean.items():
        for name, what in DAMAGES.items():
            hurt, _ = damage(truth, RATE, what, seed=3)
            hurt = np.clip(hurt, -1, 1)
            rows = {"damaged": hurt}
            for mode, (_, chain) in MODES.items():
                if mode != "keep":
                    rows[f"{mode} restored"] = clean_samples(hurt, RATE, [s for s in chain if s.name not in bare])[0]
                    rows[f"{mode} levelled"] = clean_samples(hurt, RATE, chain)[0]
            rows["ffmpeg restored"] = ffmpeg(hurt, f"{FILTERS},{denoiser(-20, 12)}")[0]
            tried = {g: ffmpeg(hurt, f"{FILTERS},{denoiser(*g)}")[0] for g in GRID}
            scores = {g: judge(truth, y[:, : truth.shape[1]], RATE)["snr_db"] for g, y in tried.items()}
            best = max(scores, key=scores.get)
            rows["ffmpeg tuned restored"] = tried[best]
            rows["ffmpeg levelled"] = loudnorm(ffmpeg(hurt, f"{FILTERS},{denoiser(-20, 12)},{LEVEL}")[0])
            rows["ffmpeg tuned levelled"] = loudnorm(ffmpeg(hurt, f"{FILTERS},{denoiser(*best)},{LEVEL}")[0])
            if noisereduce:
                for label, stationary in (("noisereduce", False), ("noisereduce stationary", True)):
                    with warnings.catch_warnings():
                        warnings.simplefilter("ignore")
                        y = noisereduce[0].reduce_noise(y=hurt, sr=RATE, stationary=stationary)
                    rows[f"{label} restored"] = np.asarray(y).reshape(hurt.shape)
                rows["noisereduce tuned restored"] = tuned_noisereduce(noisereduce[0], truth, hurt)
            before = None
            table = {}
            for row, y in rows.items():
                found = judge(truth, y[:, : truth.shape[1]], RATE)
                before = before or found
                table[row] = {k: round(float(v), 3) for k, v in found.items()}
                table[row]["snr_gain_db"] = round(float(found["snr_db"] - before["snr_db"]), 2)
            table["ffmpeg tuned restored"]["afftdn"] = f"nf={best[0]}, nr={best[1]}"
            out["scores"][f"{sound}, {name}"] = table
            show(f"{sound}, {name}", table)
    hum = [k for k in out["scores"] if "hum" in k and "clicks" not in k]
    for kind in ("restored", "levelled"):
        for rival in ("ffmpeg", "ffmpeg tuned"):
            for score in ("snr_db", "spectral_snr_db"):
                pairs = {k: (out["scores"][k][f"moderate {kind}"], out["scores"][k][f"{rival} {kind}"]) for k in hum}
                ahead = {k: round(mine[score] - theirs[score], 2) for k, (mine, theirs) in pairs.items()}
                out[f"moderate over {rival}, {kind}, {score}"] = ahead
                print(f"moderate over {rival}, {kind}, {score}: {ahead}")
    return out


def show(title: str, table: dict[str, dict[str, Any]]) -> None:
    print(f"\n{title}\n{'':26}{'SNR':>8}{'gain':>8}{'SNR(mag)':>10}{'LSD':>7}{'late ms':>9}")
    for row, s in table.items():
        print(
            f"{row:26}{s['snr_db']:8.2f}{s['snr_gain_db']:8.2f}{s['spectral_snr_db']:10.2f}{s['lsd_db']:7.2f}"
            f"{s['delay_ms']:9.3f}"
        )


def loudness(seconds: float) -> dict[str, Any]:
    """Each mode's result judged by pyloudnorm and by FFmpeg's ebur128."""
    import pyloudnorm

    clean, _ = sounds(seconds)
    rows = {}
    for sound, truth in clean.items():
        hurt = np.clip(damage(truth, RATE, DAMAGES["hum -40 + hiss -46"], seed=3)[0], -1, 1)
        for mode in MODES:
            if mode == "keep":
                continue
            y, _ = clean_samples(hurt, RATE, mode)
            _, said = ffmpeg(y, "ebur128=peak=true")
            tail = said[said.rindex("Summary:") :].split()
            rows[f"{sound}, {mode}"] = {
                "ebur128_lufs": float(tail[tail.index("I:") + 1]),
                "ebur128_dbtp": float(tail[tail.index("Peak:") + 1]),
                "ebur128_lra": float(tail[tail.index("LRA:") + 1]),
                "pyloudnorm_lufs": round(pyloudnorm.Meter(RATE).integrated_loudness(y.T.astype(np.float64)), 3),
                "own_lufs": round(measure(y, RATE).integrated, 3),
            }
            print(f"{sound}, {mode}: {rows[f'{sound}, {mode}']}")
    off = max(max(abs(r["ebur128_lufs"] + 14), abs(r["pyloudnorm_lufs"] + 14)) for r in rows.values())
    peak = max(r["ebur128_dbtp"] for r in rows.values())
    print(f"largest miss of -14 LUFS: {off:.2f} LU, highest true peak: {peak:.1f} dBTP")
    found = {"target_lufs": -14, "limit_dbtp": -1.5, "largest_miss_lu": round(off, 3), "highest_dbtp": peak}
    return {**found, "rows": rows}


def speed(seconds: float, repeats: int) -> dict[str, Any]:
    """Times real time on one core: processor seconds and wall seconds, everything after the first call counted.

    Goal: `moderate` at 100 times real time by processor time.
    """
    clean, _ = sounds(min(seconds, 60.0))
    one = np.repeat(clean["speech"], 2, axis=0)
    x = np.clip(damage(np.tile(one, (1, round(seconds * RATE / one.shape[1]))), RATE, Damage(), seed=3)[0], -1, 1)
    length = x.shape[1] / RATE
    if hasattr(os, "sched_setaffinity"):
        os.sched_setaffinity(0, {min(os.sched_getaffinity(0))})
    rows: dict[str, Any] = {"seconds_of_stereo": length, "load_average": os.getloadavg()[0]}
    chain = f"{FILTERS},{denoiser(-20, 12)},{LEVEL}"

    def theirs() -> None:
        for filters in (f"{chain},loudnorm=print_format=json", f"{chain},loudnorm,aresample={RATE}"):
            raw = ["-f", "f32le", "-ar", str(RATE), "-ac", "2"]
            single = ["-v", "error", "-threads", "1", "-filter_threads", "1"]
            command = [ffmpeg_program(), *single, *raw, "-i", "pipe:0", "-af", filters, "-f", "null", "-"]
            subprocess.run(command, input=data, check=True, timeout=600, stderr=subprocess.DEVNULL)

    data = x.T.astype("<f4").tobytes()
    jobs = {mode: functools.partial(clean_samples, x, RATE, mode) for mode in MODES if mode != "keep"}
    jobs["ffmpeg (two passes)"] = theirs
    for name, job in jobs.items():
        if job is not theirs:
            job()  # loads what is compiled; a program has nothing to keep
        wall, cpu = [], []
        for _ in range(repeats):
            w, c = time.perf_counter(), sum(os.times()[:4])
            job()
            wall.append(time.perf_counter() - w)
            cpu.append(sum(os.times()[:4]) - c)
        rows[name] = {
            "wall_s": round(median(wall), 3),
            "cpu_s": round(median(cpu), 3),
            "times_real_time_wall": round(length / median(wall), 1),
            "times_real_time_cpu": round(length / median(cpu), 1),
            "best_times_real_time_cpu": round(length / min(cpu), 1),
        }
        print(f"{name}: {rows[name]}")
    ahead = rows["ffmpeg (two passes)"]["cpu_s"] / rows["moderate"]["cpu_s"]
    rows["goal"], rows["met"] = GOAL, rows["moderate"]["times_real_time_cpu"] >= GOAL
    print(f"moderate: {'met' if rows['met'] else 'MISSED'} (goal {GOAL}), {ahead:.1f} times FFmpeg's")
    return rows


def prepared() -> dict[str, Any]:
    """What the LRU saves: building a chain against taking it from there, and the text of a chain alone."""
    from toolkit.audio import chain as C

    rows = {}
    x = np.zeros((2, 4800), np.float32)
    for mode in (*MODES, "upmix", "afftdn"):
        prepare(mode, RATE)
        build, take, text = [], [], []
        for _ in range(9):
            C._kept.clear()
            t = time.perf_counter()
            prepare(mode, RATE)
            build.append(time.perf_counter() - t)
            t = time.perf_counter()
            prepare(mode, RATE)
            take.append(time.perf_counter() - t)
            t = time.perf_counter()
            repr(chain_of(mode))
            text.append(time.perf_counter() - t)
        begin = []
        for _ in range(9):
            t = time.perf_counter()
            Cleaner(mode, RATE).passes or x
            begin.append(time.perf_counter() - t)
        rows[mode] = {
            "build_ms": round(1000 * median(build), 3),
            "from_lru_ms": round(1000 * median(take), 4),
            "text_of_the_chain_ms": round(1000 * median(text), 4),
            "start_a_run_ms": round(1000 * median(begin), 3),
        }
        print(f"{mode}: {rows[mode]}")
    rows["fresh process"] = fresh_process()
    print(f"a fresh process: {rows['fresh process']}")
    return rows


def fresh_process() -> dict[str, float]:
    """What the first call of a process costs, with compiled code on disk, beside the second."""
    program = """
import time
t = time.perf_counter()
import numpy as np
from toolkit.audio import clean_samples
x = np.random.default_rng(0).standard_normal((2, 5 * 48000)).astype(np.float32) * 0.05
spent = [time.perf_counter() - t]
for _ in range(2):
    t = time.perf_counter()
    clean_samples(x, 48000, "moderate")
    spent.append(time.perf_counter() - t)
print(*spent)
"""
    for _ in range(2):  # the first one may have to compile
        done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, timeout=600)
    imported, first, second = map(float, done.stdout.split())
    names = ("import_s", "first_call_s", "second_call_s")
    return dict(zip(names, (round(v, 3) for v in (imported, first, second)), strict=True))


def drift() -> dict[str, Any]:
    """A known drift of 0.1 % on ten minutes of sound against its original: what is left after an hour."""
    from toolkit.audio.drift import against
    from toolkit.audio.resample import Stretcher

    rate = 16000
    x, _ = speech(60.0, rate, seed=2)
    x = np.tile(x, (1, 10)) * np.linspace(0.5, 1, 10 * x.shape[1], dtype=np.float32)
    rows = {}
    for ppm in (1000, -1000, 100):
        slow = Stretcher(1, 1 + ppm * 1e-6)
        y = np.concatenate([slow.process(x), slow.flush()], axis=1)
        y = damage(y, rate, Damage(hiss=-46, hum=-40), seed=5)[0]
        found = against(x, y, rate)
        left = (found.ratio * (1 + ppm * 1e-6) - 1) * 3.6e6
        rows[f"{ppm} ppm"] = {"left_ms_per_hour": round(left, 3), "windows": found.points}
        print(f"{ppm} ppm: {rows[f'{ppm} ppm']}")
    return rows


def memory(hours: float) -> dict[str, Any]:
    """Peak over the baseline (everything imported and ten seconds done) of a long stereo track at 48 kHz."""
    program = """
import sys, numpy as np
from pathlib import Path
from toolkit.audio import Cleaner
from toolkit.audio.spool import Spool
from toolkit.audio.example import damage, music
from toolkit.pipeline import peak_memory
rate = 48000
x = damage(music(10, rate, 1), rate)[0]
def run(seconds):
    cleaner = Cleaner("moderate", rate, "stereo", Spool(Path(sys.argv[2])))
    while cleaner.passes and not cleaner.can_replay:
        for i in range(seconds):
            cleaner.measure(x[:, i % 10 * rate : (i % 10 + 1) * rate])
        cleaner.end_pass()
    return sum(out.shape[1] for out in cleaner.replay())
def peak():
    return peak_memory() / 2**20
run(10)
before = peak()
seconds = int(sys.argv[1])
assert run(seconds) == seconds * rate
print(before, peak())
"""
    with tempfile.TemporaryDirectory() as folder:
        command = [sys.executable, "-c", program, str(round(hours * 3600)), folder]
        done = subprocess.run(command, capture_output=True, text=True, timeout=3600)
        if done.returncode:
            raise RuntimeError(done.stderr[-2000:])
        left = [p.name for p in Path(folder).iterdir()]
    before, after = map(float, io.StringIO(done.stdout).read().split())
    over = round(after - before, 1)
    row = {"hours": hours, "baseline_mib": round(before), "over_baseline_mib": over, "left_on_disk": left}
    print(row)
    return row


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--quick", action="store_true", help="short sounds; the result is not written")
    parser.add_argument("--noisereduce", metavar="FOLDER", help="where the rival was installed with pip --target")
    parser.add_argument("--only", nargs="*", default=[], help="parts to run")
    asked = parser.parse_args()
    quick = asked.quick
    parts = {
        "quality": lambda: quality(12.0 if quick else 60.0, asked.noisereduce),
        "loudness": lambda: loudness(12.0 if quick else 60.0),
        "prepare": prepared,
        "drift": drift,
        "memory": lambda: memory(0.05 if quick else 2.0),
        "speed": lambda: speed(30.0 if quick else 300.0, 2 if quick else 3),  # last: it binds this process to a core
    }
    found = {}
    for name, part in parts.items():
        if not asked.only or name in asked.only:
            print(f"\n== {name}")
            found[name] = part()
    if not quick:
        path = RESULTS / "bench_audio.json"
        if asked.only and path.exists():  # the other parts keep their numbers
            found = {**json.loads(path.read_text())["measured"], **found}
        print(f"\nwritten: {save('bench_audio', found)}")


if __name__ == "__main__":
    main()
