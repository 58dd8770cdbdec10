"""Ranks settings without a truth: how well a pipeline predicts samples of the tape that it was not shown.

What a pipeline makes of a sample whose noise it has not seen can only be as good as its idea of the picture.  So the
settings with the smallest error against the noisy samples are those with the smallest error against the clean picture,
up to the same constant for all.  There are three ways to keep noise from a pipeline:

    hidden   every fourth line of each field is hidden: the mean of its neighbours stands in for it, and the result
             there is held against the line itself (J-invariance: Batson and Royer, "Noise2Self", ICML 2019;
             scikit-image's `calibrate_denoiser` explains it).  Whole lines, because the noise of a tape runs on along
             the line and is fresh on the next one.  The stand-in is worse than the line, so what averages more seems
             better than it is.
    added    noise z like the tape's own is put on it, and the result is held against the tape less a multiple of z,
             whose noise is then independent (Pang, Zheng, Quan and Ji, "Recorrupted-to-Recorrupted", CVPR 2021).  What
             is not noise by that measure, jitter for one, stays in both, so what averages less seems better than it is.
    halved   the fields of one parity are taken for whole frames, given the noise of the tape anew, and every other
             line of them is dropped: an interlaced tape of half the height whose missing lines are known
             (`toolkit.compare.half_height`).

A result consists of lines that the tape has and lines that it lacks.  `denoise` is the error in the first, the mean of
hidden and added, whose faults offset each other; `deinterlace` is that in the second, halved with the deinterlacer
alone; `all`, where deinterlacer and denoiser differ, is the mean of both, the second with deinterlacer and denoiser.
Squared errors are averaged, as in the PSNR against the truth.  In decibels each would count by what is the same in all
settings, such as the noise of the target, and errors of 1 in 30 would outweigh errors of 2 in 240.  What the choice
costs on made tapes is in benchmarks/README.md.

Scores are PSNR of luma against the noisy tape, in dB: they rank settings of one sample and say nothing else.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any
from weakref import WeakKeyDictionary

import numpy as np

from toolkit.clip import Batch, PictureFormat
from toolkit.compare.half_height import half_height
from toolkit.compare.noise_like import noise_covariance, noise_like
from toolkit.compare.samples import Burst, Sample
from toolkit.errors import PictureError
from toolkit.pipeline import Pipeline
from toolkit.stages import Context

#: One line of a field in so many is hidden.
EVERY = 4
#: Share of the tape's own noise that is added.
SHARE = np.float32(0.5)
_EDGE = 0.04  # of each side is left out: overscan and head switching


def denoise(some: Sample, pipeline: Pipeline, device: str = "cpu") -> float:
    """How well the pipeline tells noise from picture, in dB; for settings of denoisers."""
    return score("denoise", errors("denoise", some, pipeline, device), some.format.bits)


def deinterlace(some: Sample, pipeline: Pipeline, device: str = "cpu") -> float:
    """How well the pipeline's deinterlacer predicts dropped lines, in dB.  Raises `PictureError` without one."""
    return score("deinterlace", errors("deinterlace", some, pipeline, device), some.format.bits)


def both(some: Sample, pipeline: Pipeline, device: str = "cpu") -> float:
    """How near the whole picture comes, in dB; for pipelines that differ in deinterlacer and denoiser."""
    return score("all", errors("all", some, pipeline, device), some.format.bits)


SCORES: dict[str, Callable[[Sample, Pipeline, str], float]] = {
    "all": both,
    "deinterlace": deinterlace,
    "denoise": denoise,
}
#: The ways to keep noise from a pipeline whose squared errors a score weighs together.
WEIGHTS = {
    "all": {"hidden": 0.25, "added": 0.25, "halved": 0.5},
    "deinterlace": {"halved": 1.0},
    "denoise": {"hidden": 0.5, "added": 0.5},
}
#: Counts the changes to what scores mean: rows that a sweep has kept under another number are not taken up.
EDITION = 2


def errors(
    name: str, some: Sample, pipeline: Pipeline, device: str = "cpu", only: int | None = None
) -> dict[str, list[float]]:
    """The mean squared errors behind a score, by way; of the burst number `only`, or of all.

    Those of several bursts, one after the other, are those of all.
    """
    ways = {"hidden": _hidden_lines, "added": _added_noise, "halved": _halved_tape}
    judged = {"halved": pipeline if name != "deinterlace" else _of_groups(pipeline, "deinterlace")}
    return {way: list(ways[way](some, judged.get(way, pipeline), device, only)) for way in WEIGHTS[name]}


def score(name: str, found: dict[str, list[float]], bits: int) -> float:
    """The score of these errors in dB.  Raises `PictureError` where there is none."""
    if not all(found[way] for way in WEIGHTS[name]):
        raise PictureError("the sample is too short to hide a part of it", expected="bursts of 4 frames or more")
    error = sum(weight * float(np.mean(found[way])) for way, weight in WEIGHTS[name].items())
    least = 0.01 * 4.0 ** (bits - 8)  # a hundredth of a squared level: less is taken as that
    return 10 * math.log10(((1 << bits) - 1) ** 2 / max(error, least))


def applies(name: str, pipelines: list[Pipeline], fmt: PictureFormat) -> bool:
    """Whether the score of that name tells these pipelines apart: where just the steps it judges differ."""
    varied = {
        group for group in ("deinterlace", "denoise")
        if len({tuple(s for s in p if s.stage.group == group) for p in pipelines}) > 1
    }  # fmt: skip
    if not fmt.interlaced:
        varied &= {"denoise"}
    return varied == ({"deinterlace", "denoise"} if name == "all" else {name})


def _chosen(some: Sample, only: int | None) -> Iterator[tuple[int, Burst]]:
    """The bursts with their numbers: that one, or all."""
    return ((n, b) for n, b in enumerate(some.bursts) if only in (None, n))


def _hidden_lines(some: Sample, pipeline: Pipeline, device: str, only: int | None = None) -> Iterator[float]:
    pipeline, fmt = _own_size(pipeline), some.format
    for _, burst in _chosen(some, only):
        luma = burst.frames.planes[0]
        hidden = _mask(luma.shape, fmt)
        planes = (_filled(luma, hidden, fmt), *burst.frames.planes[1:])
        result = _run(burst.frames.replace(planes=planes), pipeline, device)
        rate = len(result) // len(luma)
        for t in range(burst.first, burst.stop):
            for n in range(rate):
                # At field rate a result is judged on the lines of its own field, at frame rate of its frame's first.
                own = hidden[t] & _lines_of(n, fmt)
                own &= _inside(fmt.height)
                yield _squared(result.planes[0][t * rate + n], luma[t], own)


def _added_noise(some: Sample, pipeline: Pipeline, device: str, only: int | None = None) -> Iterator[float]:
    pipeline, fmt = _own_size(pipeline), some.format
    for number, burst in _chosen(some, only):
        luma = burst.frames.planes[0]
        noise = noise_like(luma.shape, noise_covariance(luma, fmt.interlaced), seed=number)
        louder = np.clip(np.rint(luma + SHARE * noise), 0, fmt.peak).astype(luma.dtype)
        result = _run(burst.frames.replace(planes=(louder, *burst.frames.planes[1:])), pipeline, device)
        rate = len(result) // len(luma)
        for t in range(burst.first, burst.stop):
            target = luma[t] - noise[t] / SHARE
            for n in range(rate):
                own = _lines_of(n, fmt) & _inside(fmt.height)
                # The target's own noise is the same for all settings and would drown their differences.
                known = _squared(noise[t] / SHARE, np.zeros_like(target), own)
                yield _squared(result.planes[0][t * rate + n], target, own) - known


def _own_size(pipeline: Pipeline) -> Pipeline:
    """The pipeline without what enlarges: results must lie on the lines of the tape."""
    return Pipeline(s for s in pipeline if s.stage.group != "upscale")


def _lines_of(n: int, fmt: PictureFormat) -> np.ndarray:
    """Which lines belong to the n-th field in time; all of them where frames are progressive."""
    lines = np.arange(fmt.height)
    if not fmt.interlaced:
        return np.ones(fmt.height, bool)
    return lines % 2 == (n if fmt.field_order == "tff" else 1 - n)


def _inside(height: int) -> np.ndarray:
    edge = max(4, round(height * _EDGE))
    lines = np.arange(height)
    return (lines >= edge) & (lines < height - edge)


def _mask(shape: tuple[int, ...], fmt: PictureFormat) -> np.ndarray:
    """Which lines of which frames are hidden, bool `(T, H)`; other lines in each frame, so that a line hidden in one
    is seen in the next."""
    step = 2 if fmt.interlaced else 1
    line = np.arange(shape[1]) // step
    return (line[None] + 2 * np.arange(shape[0])[:, None] + shape[0] % 2) % EVERY == 0


def _filled(luma: np.ndarray, hidden: np.ndarray, fmt: PictureFormat) -> np.ndarray:
    """`luma` with each hidden line made from the lines above and below in its field: their mean.

    A median with the same line of the frames before and after lies nearer, and ranked worse where much moves.
    """
    made, step = np.empty_like(luma), 2 if fmt.interlaced else 1
    for parity in range(step):
        padded = np.pad(luma[:, parity::step].astype(np.float32), ((0, 0), (1, 1), (0, 0)), mode="reflect")
        made[:, parity::step] = np.rint((padded[:, :-2] + padded[:, 2:]) * np.float32(0.5)).astype(luma.dtype)
    return np.where(hidden[:, :, None], made, luma)


def _halved_tape(some: Sample, pipeline: Pipeline, device: str, only: int | None = None) -> Iterator[float]:
    # What else a pipeline does belongs to the tape's own lines and colours, which the smaller tape lacks.
    pipeline, fmt = _of_groups(pipeline, "deinterlace", "denoise"), some.format
    if not fmt.interlaced or not _of_groups(pipeline, "deinterlace"):
        raise PictureError("there is no deinterlacer to judge", expected="an interlaced tape and a deinterlace step")
    # Every field is wanted, whatever rate the pipeline is to run at.
    pipeline = Pipeline(
        s.stage(**{**s.knobs, "rate": "field"}) if "rate" in s.stage.parameters else s for s in pipeline
    )
    for number, burst in _chosen(some, only):
        for half in _halves(burst, number, fmt.peak):
            result = _run(half.tape, pipeline, device).planes[0]
            for n, target, known in zip(half.numbers, half.target, half.known, strict=True):
                yield _squared(result[n], target, _missing(n, target)) - known


def _missing(n: int, picture: np.ndarray) -> np.ndarray:
    """The lines of the n-th picture that the smaller tape lacks, the rim left out."""
    return (np.arange(len(picture)) % 2 != n % 2) & _inside(len(picture))


@dataclass(frozen=True, eq=False)
class _Half:
    """A smaller tape, the numbers of its fields that are judged, and what each is held against."""

    tape: Batch
    numbers: range
    target: np.ndarray
    known: tuple[float, ...]


#: The smaller tapes of bursts that are in use: making them costs more than deinterlacing them.
_made: WeakKeyDictionary[Burst, dict[int, list[_Half]]] = WeakKeyDictionary()


def _halves(burst: Burst, number: int, peak: int) -> list[_Half]:
    kept = _made.setdefault(burst, {})
    if number not in kept:
        luma, found = burst.frames.planes[0], []
        # The first and the last picture lack neighbours.
        numbers = range(max(2, burst.first), min(len(luma) // 2 * 2 - 2, burst.stop))
        covariance = noise_covariance(luma, True)
        for parity in (0, 1) if numbers else ():
            half = half_height(luma, parity, covariance, float(SHARE), peak, seed=2 * number + parity)
            # What the target has of the noise put on is the same for all settings and would drown their differences.
            none = np.zeros_like(half.noise[0])
            known = tuple(_squared(half.noise[n], none, _missing(n, none)) for n in numbers)
            target = half.target[numbers.start : numbers.stop].copy()
            found.append(_Half(half.woven(burst.frames), numbers, target, known))
        kept[number] = found
    return kept[number]


def _of_groups(pipeline: Pipeline, *groups: str) -> Pipeline:
    return Pipeline(s for s in pipeline if s.stage.group in groups)


def _run(batch: Batch, pipeline: Pipeline, device: str) -> Batch:
    pipeline.plan(batch.format, max_memory=1 << 62, device=device)
    return Batch.join(list(pipeline.stream(_pieces(batch), batch.format, Context(device))))


def _pieces(batch: Batch) -> Iterator[Batch]:
    for i in range(0, len(batch), 8):
        yield batch[i : i + 8]


def _squared(result: Any, tape: np.ndarray, lines: np.ndarray) -> float:
    """Mean squared difference on those lines, the left and right rim left out."""
    edge = round(tape.shape[1] * _EDGE)
    part = np.s_[lines, edge : tape.shape[1] - edge]
    return float(np.mean((result[part].astype(np.float32) - tape[part].astype(np.float32)) ** 2))
