"""Every stage there is: kernels, nets and plug-ins bound to their names."""

from __future__ import annotations

from collections.abc import Iterator

from toolkit.stages.base import Stage
from toolkit.stages.bm3d import Bm3d
from toolkit.stages.deinterlace import Deinterlacer
from toolkit.stages.deinterlace_motion import MotionDeinterlacer
from toolkit.stages.denoise import Denoiser, Smoother, Spectral
from toolkit.stages.film import Film
from toolkit.stages.motion import MotionMean
from toolkit.stages.repair import ChromaShift, HeadSwitching, HealDropouts, Levels
from toolkit.stages.signal import Dehalo, Dejitter, FrameComb
from toolkit.stages.upscale import Net, Resample


def made() -> Iterator[Stage]:
    yield from _deinterlacers()
    yield from _repairs()
    yield from _denoisers()
    yield from _upscalers()


def _deinterlacers() -> Iterator[Stage]:
    from kernels.deinterlace import methods

    for kernel in methods().values():
        yield Deinterlacer(kernel)
    yield MotionDeinterlacer()
    yield Film()


def _repairs() -> Iterator[Stage]:
    yield HealDropouts()
    yield ChromaShift()
    yield Levels()
    yield HeadSwitching()
    yield Dehalo()
    yield Dejitter()
    yield FrameComb()


def _denoisers() -> Iterator[Stage]:
    from kernels.denoise.dft import dft_coloured, dft_threshold
    from kernels.denoise.hqdn3d import hqdn3d
    from kernels.denoise.median import median, temporal_median
    from kernels.denoise.nlmeans import nlmeans
    from kernels.denoise.temporal import temporal

    yield Smoother(hqdn3d)
    # How many times the noise, and which radius, was best on noise and made tapes (benchmarks/denoise_quality.py).
    yield Denoiser(temporal, {"gate": 4.5}, better={"radius": 3})
    yield Denoiser(nlmeans, {"strength": 0.8, "noise": 1.0}, better={"search": 4, "radius": 1})
    yield Spectral(dft_threshold, dft_coloured)
    yield Bm3d()
    yield MotionMean()
    yield Denoiser(median)
    yield Denoiser(temporal_median)


def _upscalers() -> Iterator[Stage]:
    yield Resample("lanczos", "lanczos3", "Enlarges with the Lanczos window of three lobes: sharp, true to the source.")
    yield Resample("bicubic", "bicubic", "Enlarges with the cubic of Keys (Catmull-Rom): a little softer than Lanczos.")
    yield Resample("spline36", "spline36", "Enlarges with the six-point cubic spline: close to Lanczos, less ringing.")
    from toolkit.upscale import plugins, weights

    for name, entry in weights.table().items():
        yield Net(name, name, entry.summary)
    for name in plugins.upscalers():
        yield Net(name, name, f"The upscaler {name!r} of another package.")
    yield Net("net", None, "Enlarges with the net in a weight file (.pth or .safetensors), `model` its path.")
