"""compare(): how far a result is from its truth, frame by frame and plane by plane, after alignment."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any, Literal

import numpy as np

from kernels.measure.combing import combing
from kernels.measure.flicker import flicker
from kernels.measure.noise import noise_level
from kernels.measure.psnr import psnr
from kernels.measure.ssim import ssim
from toolkit.compare.align import Alignment, Finding, clock_difference
from toolkit.compare.comparison import Comparison
from toolkit.compare.detail import detail_kept
from toolkit.compare.head import look
from toolkit.compare.meeting import Meeting
from toolkit.compare.pairs import Pair, Pairer
from toolkit.compare.source import Source
from toolkit.compare.viewers import SCORES, Viewers, eight_bit
from toolkit.errors import RequestError, UnknownName, WorkError
from toolkit.progress import Progress

if TYPE_CHECKING:
    import pandas as pd

PLANES = ("Y", "U", "V")
METRICS = ("psnr", "ssim", "combing", "flicker", "detail")
#: On request only.
MORE = ("noise", *SCORES)
#: Frames measured at a time.
CHUNK = 8


def compare(
    truth: Any,
    result: Any,
    *,
    align: Literal["full", "times"] = "full",
    size: Literal["truth", "result"] = "truth",
    interlaced: Literal["bob", "woven"] = "bob",
    crop: tuple[int, int, int, int] = (0, 0, 0, 0),
    metrics: tuple[str, ...] = METRICS,
    frames: tuple[int, int | None] = (0, None),
    progress: Progress | None = None,
) -> Comparison:
    """Measures a result against its truth, after aligning both in time and place.

    truth, result : paths, Clips, demos, or lists of Batches.
    align   : "full" pairs equal times, corrects a constant time offset, follows dropped and repeated frames, and takes
              a constant shift (fractions of a sample included) out of the truth; everything corrected is a finding.
              "times" pairs equal times and corrects nothing; what was seen is a finding all the same.
    size    : which side's size the numbers are taken at; the other side is resampled.
    interlaced : what is done with an interlaced result when the truth is progressive: "bob" takes each field as a frame
              at its own time, its lines doubled, as a display would show it; "woven" takes frames as they are.
    crop    : luma samples (left, top, right, bottom) of that size to leave out, such as a head-switching band.
    metrics : which to compute.  On request also "noise" (the standard deviation that is left, in levels) and, by
              FFmpeg's own program, "vmaf" and "xpsnr" over all frames (`Comparison.viewers`).
    frames  : only these frames of the result, `frames[0] <= i < frames[1]`.

    Frames without a partner are listed and not averaged in.  Reads both clips once (and their beginning before that),
    a few frames at a time.  Raises `UnknownName` for a metric, `WorkError` when no frame has a partner.
    """
    if not metrics:
        raise RequestError("no metric was asked for", expected=f"one or more of {', '.join((*METRICS, *MORE))}")
    for name in metrics:
        if name not in (*METRICS, *MORE):
            raise UnknownName("metric", name, (*METRICS, *MORE))
    for name, value, known in (
        ("align", align, ("full", "times")),
        ("size", size, ("truth", "result")),
        ("interlaced", interlaced, ("bob", "woven")),
    ):
        if value not in known:
            raise RequestError(f"{name} is {value!r}", expected=" or ".join(known))
    ours, theirs = Source(truth, "truth"), Source(result, "result")
    bob = interlaced == "bob" and theirs.format.interlaced and not ours.format.interlaced
    theirs.bob = bob
    meeting = Meeting(ours.format, theirs.format, size)
    if bob:
        meeting.notes.insert(0, "the result is interlaced: each field was taken as a frame, its lines doubled (bob)")
    clock = clock_difference(ours, theirs)
    progress = progress or Progress()

    by_frame = tuple(m for m in metrics if m not in SCORES)
    by_viewers = [m for m in metrics if m in SCORES]

    def reading(offset: bool) -> tuple[Alignment, _Measure]:
        alignment = look(ours, theirs, meeting, clock, offset=offset)
        if align == "times":
            alignment.shift = (0.0, 0.0)
        alignment.crop = _crop(meeting, alignment.shift, crop)
        pairs = Pairer(ours, theirs, meeting, alignment, clock=clock, follow=align == "full", frames=frames)
        viewers = Viewers(by_viewers, meeting.grid) if by_viewers else None
        measure = _Measure(meeting, alignment.crop, by_frame, viewers)
        _feed(measure, pairs, progress)
        return alignment, measure

    alignment, measured = reading(offset=True)
    if alignment.offset_frames and any(alignment.found(kind) for kind in ("dropped frame", "repeated frame")):
        # Where little moves at first, frames that are missing later look like an offset: what needs fewer faults is so.
        other = reading(offset=False)
        if len(other[0].findings) < len(alignment.findings):
            alignment, measured = other
    if clock:
        text = f"the clocks start {abs(clock):.3f} s apart; both were counted from their first frames"
        alignment.findings.insert(0, Finding("clock", text, value=clock))
    progress.finish()
    if not measured.rows:
        raise WorkError(
            f"no frame of {theirs.name} has a partner in {ours.name} at the same time",
            expected="clips of the same scene on the same clock",
        )
    table = _table(measured.rows, by_frame)
    settings = {"align": align, "size": size, "interlaced": interlaced, "metrics": list(metrics), "bits": meeting.bits}
    summary = summarise(table, by_frame, meeting.bits)
    viewed = measured.viewers.scores() if measured.viewers is not None else {}
    return Comparison(ours.name, theirs.name, table, summary, alignment, tuple(meeting.notes), settings, viewed)


def _feed(measure: _Measure, pairs: Pairer, progress: Progress) -> None:
    """All pairs, CHUNK at a time."""
    progress.stage("compare")
    held: list[Pair] = []
    for pair in pairs:
        held.append(pair)
        if len(held) == CHUNK:
            measure(held)
            progress.step(len(held))
            held = []
    measure(held)


def _crop(meeting: Meeting, shift: tuple[float, float], asked: tuple[int, int, int, int]) -> tuple[int, int, int, int]:
    """What to leave out at each edge: as asked, and where a shifted picture repeats its edge; whole chroma samples."""
    sx, sy = meeting.grid.subsampling or (0, 0)
    margin = [math.ceil(abs(s)) + 4 if s else 0 for s in shift]
    steps = (1 << sx, 1 << sy)
    crop = tuple(-(-max(asked[i], margin[i % 2]) // steps[i % 2]) * steps[i % 2] for i in range(4))
    if min(asked) < 0 or crop[0] + crop[2] > meeting.grid.width - 16 or crop[1] + crop[3] > meeting.grid.height - 16:
        raise RequestError(f"crop {crop} leaves nothing of {meeting.grid.width}x{meeting.grid.height} samples")
    return crop


class _Measure:
    """Turns pairs into rows, a row for each pair and plane; keeps the last pair for the flicker of the next."""

    def __init__(
        self, meeting: Meeting, crop: tuple[int, int, int, int], metrics: tuple[str, ...], viewers: Viewers | None
    ) -> None:  # fmt: skip
        self.meeting, self.crop, self.metrics, self.viewers = meeting, crop, metrics, viewers
        self.rows: list[tuple] = []
        self._before: Pair | None = None

    def __call__(self, pairs: list[Pair]) -> None:
        if not pairs:
            return
        first = pairs if self._before is None else [self._before, *pairs]
        extra = len(first) - len(pairs)
        columns, seen = [], []
        for i in range(1 if self.meeting.luma_only else len(pairs[0].truth.batch.planes)):
            truth, result = (self._stack([getattr(p, side).batch.planes[i] for p in first], i) for side in PAIR)
            if truth.dtype != result.dtype:
                truth, result = truth.astype(np.float32), result.astype(np.float32)
            columns.append(self._measured(truth, result, extra, [p.joins for p in first]))
            if self.viewers is not None:
                seen.append([eight_bit(p[extra:], self.meeting.bits) for p in (truth, result)])
        if self.viewers is not None:
            self.viewers.add(*zip(*seen, strict=True), rate=1 / pairs[0].truth.length)
        for n, pair in enumerate(pairs):
            for i, found in enumerate(columns):
                values = [float(found[m][n]) for m in found]
                self.rows.append((pair.result.index, pair.result.time, pair.truth.time, PLANES[i], *values))
        self._before = pairs[-1]

    def _stack(self, planes: list[np.ndarray], index: int) -> np.ndarray:
        sx, sy = (self.meeting.grid.subsampling or (0, 0)) if index else (0, 0)
        left, top, right, bottom = self.crop
        height, width = planes[0].shape[1:]
        part = (slice(top >> sy, height - (bottom >> sy)), slice(left >> sx, width - (right >> sx)))
        return np.concatenate([p[:, part[0], part[1]] for p in planes])

    def _measured(self, truth: np.ndarray, result: np.ndarray, extra: int, joins: list[bool]) -> dict[str, np.ndarray]:
        bits, found = self.meeting.bits, {}
        now_truth, now_result = truth[extra:], result[extra:]
        nothing = np.full(len(now_truth), np.nan)
        small = min(truth.shape[1:]) < 11
        if "psnr" in self.metrics:
            found["psnr"] = psnr(now_truth, now_result, bits=bits)
        if "ssim" in self.metrics:
            found["ssim"] = nothing if small else ssim(now_truth, now_result, bits=bits)
        if "combing" in self.metrics:
            found["combing"] = nothing if small else combing(now_result, bits=bits)
            found["combing_truth"] = nothing if small else combing(now_truth, bits=bits)
        if "flicker" in self.metrics:
            values = flicker(result, truth, bits=bits)
            values[~np.array(joins)] = np.nan
            found["flicker"] = values[extra:]
        if "detail" in self.metrics:
            found["detail"] = nothing if small else detail_kept(now_truth, now_result)
        if "noise" in self.metrics:
            tiny = min(truth.shape[1:]) < 16
            scale = 2.0 ** (8 - bits)  # levels of 8-bit video
            found["noise"] = nothing if tiny else noise_level(now_result) * scale
            found["noise_truth"] = nothing if tiny else noise_level(now_truth) * scale
        return found


PAIR = ("truth", "result")


def _columns(metrics: tuple[str, ...]) -> list[str]:
    both = ("combing", "noise")
    chosen = [name for name in (*METRICS, *MORE) if name in metrics]
    return [column for name in chosen for column in ((name, f"{name}_truth") if name in both else (name,))]


def _table(rows: list[tuple], metrics: tuple[str, ...]) -> pd.DataFrame:
    import pandas as pd

    return pd.DataFrame(rows, columns=["frame", "time", "truth_time", "plane", *_columns(metrics)])


def summarise(table: pd.DataFrame, metrics: tuple[str, ...], bits: int) -> pd.DataFrame:
    """A row per plane: PSNR of the mean squared error of all frames in `table`, means of the other metrics."""
    import pandas as pd

    peak = (1 << bits) - 1
    rows = {}
    for plane, part in table.groupby("plane", sort=False):
        row: dict[str, float] = {"frames": len(part)}
        for name in _columns(metrics):
            values = part[name].to_numpy()
            if name == "psnr":
                error = float(np.mean(peak**2 / 10 ** (values / 10)))
                row["psnr"] = 10 * math.log10(peak**2 / error) if error else math.inf
                row["psnr_min"] = float(values.min())
            else:
                row[name] = float(np.nanmean(values)) if np.isfinite(values).any() else math.nan
        rows[plane] = row
    return pd.DataFrame.from_dict(rows, orient="index")
