"""Runs bm3dcpu over raw grey frames from standard input.  Started by `bench_bm3d.py` in a Python that has VapourSynth
and the plugin; it knows nothing of this project.

    python vs_bm3d.py '{"width": 720, "height": 480, "threads": 1, "loops": 4, "radius": 0, "final": false,
                        "sigma": [8.0], "step": 8}'

Standard input holds the noisy frames, then as many true ones.  What it did goes to standard error as one line of JSON:
PSNR by sigma, and (wall, processor) seconds for `loops` times the frames without and with the filter (of the best
sigma).
"""

import importlib.metadata
import json
import os
import sys
import time

import numpy as np
import vapoursynth as vs

core = vs.core


def source(frames):
    height, width = frames.shape[1:]
    blank = core.std.BlankClip(width=width, height=height, format=vs.GRAYS, length=len(frames), keep=True)

    def fill(n, f):
        made = f.copy()
        np.copyto(np.asarray(made[0]), frames[n])
        return made

    return core.std.ModifyFrame(blank, blank, fill)


def filtered(clip, wish, sigma):
    knobs = {"block_step": wish["step"], "bm_range": 9, "radius": wish["radius"]}
    run = core.bm3dcpu.BM3Dv2
    basic = run(clip, sigma=sigma, **knobs)
    return run(clip, ref=basic, sigma=sigma, **knobs) if wish["final"] else basic


def spend(clip):
    """Wall and processor seconds.  Not by `clip.frames()`, which was seen to wait for itself for ever."""
    began, cpu = time.perf_counter(), time.process_time()
    with open(os.devnull, "wb") as nowhere:
        clip.output(nowhere)
    return time.perf_counter() - began, time.process_time() - cpu


def main():
    wish = json.loads(sys.argv[1])
    both = np.frombuffer(sys.stdin.buffer.read(), np.uint8).reshape(2, -1, wish["height"], wish["width"])
    noisy, truth = both[0].astype(np.float32) / np.float32(255), both[1].astype(np.float64)
    core.num_threads = wish["threads"]
    clip, found, best = source(noisy), {}, (0.0, None)
    for sigma in wish["sigma"]:
        done = filtered(clip, wish, sigma)
        got = np.stack([np.asarray(done.get_frame(n)[0]) for n in range(len(noisy))])
        got = np.clip(np.rint(got * 255), 0, 255)
        found[sigma] = float(10 * np.log10(255**2 / np.mean((got - truth) ** 2)))
        best = max(best, (found[sigma], sigma))
    long = core.std.Loop(clip, wish["loops"])
    spent = [spend(long), spend(filtered(long, wish, best[1]))]
    versions = {n: importlib.metadata.version(n) for n in ("vapoursynth", "vapoursynth-bm3dcpu")}
    print(json.dumps({"psnr": found, "seconds": spent, "frames": len(noisy) * wish["loops"], "versions": versions}),
          file=sys.stderr)  # fmt: skip


main()
