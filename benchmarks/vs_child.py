"""Runs one VapourSynth filter over raw planar 8-bit frames from standard input to standard output.  Started by
`leaderboard.py` in a Python that has VapourSynth; it knows nothing of this project.

    python vs_child.py '{"method": "qtgmc", "width": 720, "height": 480, "subsampling": [1, 0], "rate": [30000, 1001],
                         "knobs": {}}'

What it did goes to standard error as one line of JSON: seconds of filtering, and versions.
"""

import importlib.metadata
import json
import sys
import time

import numpy as np
import vapoursynth as vs

core = vs.core


def source(wish, frames):
    shape = wish["width"], wish["height"]
    sx, sy = wish["subsampling"]
    form = core.query_video_format(vs.YUV, vs.INTEGER, 8, sx, sy)
    blank = core.std.BlankClip(
        width=shape[0], height=shape[1], format=form.id, length=len(frames), fpsnum=wish["rate"][0],
        fpsden=wish["rate"][1], keep=True,
    )  # fmt: skip

    def fill(n, f):
        made, at = f.copy(), 0
        for plane in range(3):
            target = np.asarray(made[plane])
            target[:] = frames[n, at : at + target.size].reshape(target.shape)
            at += target.size
        return made

    clip = core.std.ModifyFrame(blank, blank, fill)
    return core.std.SetFrameProps(clip, _FieldBased=2 if wish.get("interlaced") else 0, _Matrix=6, _Range=0)


def filtered(clip, method, knobs):
    if method == "bwdif":
        return core.bwdif.Bwdif(clip, field=3)
    if method == "znedi3":
        return core.znedi3.nnedi3(clip, field=3, **knobs)
    if method == "qtgmc":
        from vsdeinterlace import QTempGaussMC

        return QTempGaussMC(**knobs).deinterlace(clip)
    if method == "dfttest2":
        from dfttest2 import Backend, DFTTest2

        return DFTTest2(clip, backend=Backend.CPU(), planes=[0], **knobs)
    if method == "degrain":
        from vsdenoise import mc_degrain

        return mc_degrain(clip, **knobs)
    raise SystemExit(f"there is no method {method}")


def main():
    wish = json.loads(sys.argv[1])
    sx, sy = wish["subsampling"]
    each = wish["width"] * wish["height"]
    each += 2 * (each >> (sx + sy))
    frames = np.frombuffer(sys.stdin.buffer.read(), np.uint8).reshape(-1, each)
    core.num_threads = wish.get("threads", 2)
    clip = filtered(source(wish, frames), wish["method"], wish["knobs"])
    if clip.format.bits_per_sample != 8:
        clip = core.resize.Point(clip, format=clip.format.replace(bits_per_sample=8).id)
    began = time.perf_counter()
    done = [[np.asarray(f[p]).tobytes() for p in range(3)] for f in clip.frames(close=False)]
    seconds = time.perf_counter() - began
    for planes in done:
        for plane in planes:
            sys.stdout.buffer.write(plane)
    names = [d.metadata["Name"] for d in importlib.metadata.distributions()]
    found = {n: importlib.metadata.version(n) for n in names if n.lower().startswith(("vapoursynth", "vsjet"))}
    print(json.dumps({"seconds": seconds, "versions": found}), file=sys.stderr)


main()
