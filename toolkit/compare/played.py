"""Bursts of samples one after the other, without the time that lies between them on the tape."""

from __future__ import annotations

import itertools
from collections.abc import Iterator, Mapping, Sequence
from fractions import Fraction

import numpy as np

from toolkit.clip import Batch
from toolkit.compare.samples import Sample
from toolkit.errors import RequestError

_CLOCK = Fraction(1, 90000)


def played(samples: Mapping[str, Sample], turns: int = 1) -> dict[str, list[Batch]]:
    """Each burst `turns` times, then the next, on one clock that starts at 0 for all samples.

    A burst begins when that of the first sample has ended, whatever clock each has.  Raises `RequestError` where
    samples have different numbers of bursts.
    """
    first = next(one for one in samples.values() if isinstance(one, Sample))
    for name, one in samples.items():
        if not isinstance(one, Sample) or len(one.bursts) != len(first.bursts):
            raise RequestError(
                f"{name} is not a sample with as many bursts as the others",
                expected="samples of the same moments, or clips alone", hint="sample.beside(clip)",
            )  # fmt: skip
    order = [n for n in range(len(first.bursts)) for _ in range(turns)]
    lengths = [float((b.own.durations * float(b.own.time_base)).sum()) for b in first.bursts]
    starts = list(itertools.accumulate((lengths[n] for n in order), initial=0.0))
    return {name: list(_placed(one, order, starts)) for name, one in samples.items()}


def _placed(one: Sample, order: Sequence[int], starts: Sequence[float]) -> Iterator[Batch]:
    for n, start in zip(order, starts, strict=False):
        own = one.bursts[n].own
        pts = np.rint((own.times - own.times[0] + start) / float(_CLOCK)).astype(np.int64)
        lengths = np.rint(own.durations * float(own.time_base / _CLOCK)).astype(np.int64)
        yield own.replace(pts=pts, durations=lengths, time_base=_CLOCK)
