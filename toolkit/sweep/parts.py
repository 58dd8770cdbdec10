"""What one burst of a trial gave, and the row that the bursts of a trial make together.

A trial that is looked at burst by burst ends in the same row as one that was done in one go.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import numpy as np

from kernels.measure.combing import combing
from kernels.measure.noise import noise_level
from toolkit.compare import blind
from toolkit.compare.samples import Sample
from toolkit.compare.viewers import pooled

if TYPE_CHECKING:
    import pandas as pd


@dataclass(frozen=True, eq=False)
class Part:
    """Numbers of one burst: small, so that they travel well between processes.

    number  : which burst of the sample.
    length  : its frames of the tape; `frames` those of the result.
    seconds : of the pipeline itself; `taken` with all judging; peak: largest resident memory in MiB.
    bits    : of the tape, of the result, and of the comparison.
    table   : a row per frame and plane (`compare`), None without a truth; `kinds` what it noticed.
    noise, combing : of each frame; combing without a truth only.
    viewers : VMAF and XPSNR.
    blind   : score -> way -> squared errors.
    """

    number: int
    length: int
    frames: int
    seconds: float
    taken: float
    peak: float
    bits: tuple[int, int, int]
    table: pd.DataFrame | None = None
    kinds: tuple[str, ...] = ()
    noise: tuple[float, ...] = ()
    combing: tuple[float, ...] = ()
    viewers: dict[str, float] = field(default_factory=dict)
    blind: dict[str, dict[str, list[float]]] = field(default_factory=dict)


def judged(result: Sample, truth: Sample | None, metrics: tuple[str, ...], align: str) -> dict[str, Any]:
    """What is measured on the result of one burst: against its truth where there is one, else what can be said
    without.  Fields of a `Part`."""
    (burst,) = result.bursts
    luma, bits = burst.own.planes[0], result.format.bits
    found: dict[str, Any] = {}
    if min(luma.shape[1:]) >= 16:
        found["noise"] = tuple(map(float, noise_level(luma)))
    if truth is None:
        found["combing"] = tuple(map(float, combing(luma, bits=bits)))
        return {**found, "bits": bits}
    from toolkit.compare import compare
    from toolkit.compare.viewers import SCORES, viewer_scores

    clean = truth.bursts[0].own
    viewers = tuple(m for m in metrics if m in SCORES)
    if viewers:
        found["viewers"] = viewer_scores(clean, burst.own, viewers)
    by_frame = tuple(m for m in metrics if m not in SCORES)
    made = compare(clean, burst.own, align=align, metrics=by_frame or ("psnr",))
    kinds = tuple(dict.fromkeys(f.kind for f in made.findings))
    return {**found, "bits": made.settings["bits"], "table": made.table, "kinds": kinds}


def row_of(parts: Sequence[Part], metrics: tuple[str, ...]) -> dict[str, Any]:
    """The numbers of a trial from those of its bursts, whatever the order in which they came."""
    parts = sorted(parts, key=lambda p: p.number)
    seconds, length = sum(p.seconds for p in parts), sum(p.length for p in parts)
    tape_bits, own_bits, met_bits = parts[0].bits
    row: dict[str, Any] = {
        "seconds": seconds, "fps": length / seconds if seconds else float("inf"),
        "peak_mib": max(p.peak for p in parts), "frames": sum(p.frames for p in parts),
    }  # fmt: skip
    noise = [v for p in parts for v in p.noise]
    if noise:
        row["noise"] = float(np.median(noise)) * 2.0 ** (8 - own_bits)
    if parts[0].combing:
        row["combing"] = float(np.mean([v for p in parts for v in p.combing]))
    for key in parts[0].viewers:
        row[key] = pooled(key, [(p.viewers[key], p.frames) for p in parts])
    if parts[0].table is not None:
        row |= _against_truth(parts, metrics, met_bits)
    for name in parts[0].blind:
        ways = {way: [v for p in parts for v in p.blind[name][way]] for way in parts[0].blind[name]}
        row[f"blind_{name}"] = blind.score(name, ways, tape_bits)
    row["taken_s"] = sum(p.taken for p in parts)
    return row


def _against_truth(parts: Sequence[Part], metrics: tuple[str, ...], bits: int) -> dict[str, Any]:
    import pandas as pd

    from toolkit.compare.metrics import summarise
    from toolkit.compare.viewers import SCORES

    # Each burst was compared by itself: a gap between two of them is no fault of the result.
    table = pd.concat([p.table for p in parts], ignore_index=True)
    summary = summarise(table, tuple(m for m in metrics if m not in SCORES), bits)
    row: dict[str, Any] = {}
    for plane, values in summary.to_dict("index").items():
        row |= {f"{name}_{plane}": float(v) for name, v in values.items() if name != "frames"}
    row["paired"] = int(table.groupby("plane").size().max())
    row["findings"] = "; ".join(dict.fromkeys(k for p in parts for k in p.kinds))
    return row
