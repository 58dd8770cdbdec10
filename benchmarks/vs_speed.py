"""Times one VapourSynth filter on grey 8-bit frames held in memory.  Started by `kernels_denoise_rivals.py` in a Python
that has VapourSynth; it knows nothing of this project.

    python vs_speed.py '{"file": "noisy.gray", "width": 720, "height": 480, "loops": 4, "threads": 1, "keep": false,
                         "method": "degrain", "knobs": {"radius": 1, "thsad": 400}}'

Seconds of the frames alone ("nothing") and of the filter go to standard error as one line of JSON, with the versions;
with "keep" the filtered frames of one loop go to standard output.
"""

import importlib.metadata
import json
import os
import sys
import time

import numpy as np
import vapoursynth as vs

core = vs.core


def source(wish):
    """The frames of the file, over and over; each is made once and handed out again."""
    frames = np.fromfile(wish["file"], np.uint8).reshape(-1, wish["height"], wish["width"])
    one = core.std.BlankClip(width=wish["width"], height=wish["height"], format=vs.GRAY8, length=1, keep=True)
    made = []
    for frame in frames:
        filled = one.get_frame(0).copy()
        np.asarray(filled[0])[:] = frame
        filled.props["_Range"], filled.props["_Matrix"] = 0, 6
        made.append(filled)
    length = len(made) * wish["loops"]
    blank = core.std.BlankClip(one, length=length, fpsnum=30000, fpsden=1001, keep=True)
    return core.std.ModifyFrame(blank, blank, lambda n, f: made[n % len(made)]), len(made)


def filtered(clip, method, knobs):
    if method == "degrain":
        shape = {"blksize": knobs["block"], "overlap": knobs["block"] // 2}
        sup = core.mvu.Super(clip, pel=2, **shape)
        vectors = core.mvu.AnalyseMany(sup, radius=knobs["radius"], **knobs.get("analyse", {}))
        # Noise would pass for a change of scene, at which nothing is done.
        return core.mvu.Degrain(clip, sup, vectors, thsad=knobs["thsad"], thscd2=100.0)
    if method == "dfttest2":
        from dfttest2 import Backend, DFTTest2

        return DFTTest2(clip, backend=Backend.CPU(), sbsize=16, sosize=12, **knobs)
    if method == "nlm_ispc":
        return core.nlm_ispc.NLMeans(clip, **knobs)
    if method == "median":
        return core.zsmooth.Median(clip, **knobs)
    if method == "temporal_median":
        return core.zsmooth.TemporalMedian(clip, **knobs)
    raise SystemExit(f"there is no method {method}")


def spent(clip):
    began, cpu = time.perf_counter(), time.process_time()
    with open(os.devnull, "wb") as nowhere:  # `clip.frames()` was seen to wait for itself for ever
        clip.output(nowhere)
    return time.perf_counter() - began, time.process_time() - cpu


def main():
    wish = json.loads(sys.argv[1])
    core.num_threads = wish["threads"]
    clip, held = source(wish)
    done = filtered(clip, wish["method"], wish["knobs"])
    if done.format.id != vs.GRAY8:
        raise SystemExit(f"{wish['method']} gave {done.format.name}")
    first = [np.asarray(f[0]).tobytes() for f in done[:held].frames(close=False)]  # warm, too
    # Timed on a chain of its own: VapourSynth keeps the frames that a filter has made.
    found = {"nothing": spent(clip), "filter": spent(filtered(clip, wish["method"], wish["knobs"]))}
    if wish["keep"]:
        sys.stdout.buffer.write(b"".join(first))
    names = [d.metadata["Name"] for d in importlib.metadata.distributions()]
    found["versions"] = {
        n: importlib.metadata.version(n) for n in names if n.lower().startswith(("vapoursynth", "dfttest2"))
    }
    print(json.dumps(found), file=sys.stderr)


main()
