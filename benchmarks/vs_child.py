"""Runs VapourSynth filters for `rivals.py`, in a Python that has VapourSynth; it knows nothing of this project.

It answers requests one after the other.  A request is a line of JSON and then so many `bytes` of raw planar 8-bit
frames on standard input:

    {"method": "qtgmc", "knobs": {}, "width": 720, "height": 480, "subsampling": [1, 0], "rate": [30000, 1001],
     "interlaced": true, "bytes": 11059200}

The answer is a line of JSON on standard output, {"bytes": N, "seconds": of filtering} and then the frames, or
{"error": "..."}.  The first line it writes are the versions of what is installed.
"""

import importlib.metadata
import json
import os
import sys
import time

import numpy as np
import vapoursynth as vs

core = vs.core


def source(wish, frames):
    sx, sy = wish["subsampling"]
    form = core.query_video_format(vs.YUV, vs.INTEGER, 8, sx, sy)
    blank = core.std.BlankClip(
        width=wish["width"], height=wish["height"], format=form.id, length=len(frames), fpsnum=wish["rate"][0],
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


def of_bits(clip, bits):
    return core.resize.Point(clip, format=clip.format.replace(bits_per_sample=bits, sample_type=vs.INTEGER).id)


def as_float(clip):
    return core.resize.Point(clip, format=clip.format.replace(bits_per_sample=32, sample_type=vs.FLOAT).id)


def luma_alone(clip, work):
    """`work` on the luma of the clip; chroma as it was."""
    luma = work(core.std.ShufflePlanes(clip, 0, vs.GRAY))
    return core.std.ShufflePlanes([luma, clip, clip], [0, 1, 2], vs.YUV)


def bwdif(clip, smooth=None):
    """`smooth`: knobs of nnedi3, which then fills what does not move in place of bwdif's own short filter."""
    if smooth is None:
        return core.bwdif.Bwdif(clip, field=3)
    return core.bwdif.Bwdif(clip, field=3, edeint=core.znedi3.nnedi3(clip, field=3, **smooth))


def qtgmc(clip, bobber=None, **knobs):
    from vsaa import NNEDI3
    from vsdeinterlace import QTempGaussMC

    if bobber is not None:
        knobs["basic_bobber"] = NNEDI3(**bobber)
    return QTempGaussMC(**knobs).deinterlace(of_bits(clip, 16))


def eedi3(clip, **knobs):
    return core.eedi3m.EEDI3(clip, field=3, **knobs)


def dfttest2(clip, **knobs):
    from dfttest2 import Backend, DFTTest2

    return DFTTest2(of_bits(clip, 16), backend=Backend.CPU(), **knobs)


def degrain(clip, prefilter=None, **knobs):
    """`prefilter`: the name of what is put on the clip in which motion is sought."""
    from vsdenoise import Prefilter, mc_degrain

    if prefilter is not None:
        knobs["prefilter"] = Prefilter[prefilter]
    return mc_degrain(of_bits(clip, 16), **knobs)


def nlm_ispc(clip, **knobs):
    return luma_alone(of_bits(clip, 16), lambda y: core.nlm_ispc.NLMeans(y, channels="Y", **knobs))


def bm3dcpu(clip, final=True, **knobs):
    """Basic estimate and, guided by it, the final one; luma alone."""

    def both(y):
        y = as_float(y)
        done = core.bm3dcpu.BM3Dv2(y, **knobs)
        done = core.bm3dcpu.BM3Dv2(y, ref=done, **knobs) if final else done
        return of_bits(done, 16)

    return luma_alone(of_bits(clip, 16), both)


METHODS = {
    "nothing": lambda clip: clip, "bwdif": bwdif, "qtgmc": qtgmc, "eedi3": eedi3, "dfttest2": dfttest2,
    "degrain": degrain, "nlm_ispc": nlm_ispc, "bm3dcpu": bm3dcpu,
    "znedi3": lambda clip, **knobs: core.znedi3.nnedi3(clip, field=3, **knobs),
}  # fmt: skip


def answer(wish, data):
    sx, sy = wish["subsampling"]
    each = wish["width"] * wish["height"]
    each += 2 * (each >> (sx + sy))
    frames = np.frombuffer(data, np.uint8).reshape(-1, each)
    clip = METHODS[wish["method"]](source(wish, frames), **wish["knobs"])
    if clip.format.bits_per_sample != 8:
        clip = of_bits(clip, 8)
    began = time.perf_counter()
    done = [[np.asarray(f[p]).tobytes() for p in range(3)] for f in clip.frames(close=True)]
    seconds = time.perf_counter() - began
    return seconds, b"".join(plane for planes in done for plane in planes)


def main():
    out = os.fdopen(os.dup(1), "wb")  # what plugins print must not come between
    os.dup2(2, 1)

    def say(data, more=b""):
        out.write(json.dumps(data).encode() + b"\n" + more)
        out.flush()

    core.num_threads = 2
    names = [d.metadata["Name"] for d in importlib.metadata.distributions()]
    wanted = ("vapoursynth", "vsjet", "dfttest2")
    say({n.lower().replace("_", "-"): importlib.metadata.version(n) for n in names if n.lower().startswith(wanted)})
    while line := sys.stdin.buffer.readline():
        wish = json.loads(line)
        data = sys.stdin.buffer.read(wish["bytes"])
        try:
            seconds, frames = answer(wish, data)
        except Exception as error:  # said to the one who asked
            say({"error": f"{type(error).__name__}: {error}"})
        else:
            say({"bytes": len(frames), "seconds": seconds}, frames)
        core.clear_cache()


main()
