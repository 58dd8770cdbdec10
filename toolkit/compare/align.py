"""Which frame of the truth belongs to which frame of the result, and where they lie on each other.

Equal presentation times are paired, not equal positions, so a field-rate result meets a frame-rate truth.  Times can
be wrong, so the content is looked at too: thumbnails of each result frame are held against those of the truth around
its time.  A constant offset, a dropped or repeated frame and swapped fields show in which of them fits best.
"""

from __future__ import annotations

from collections import Counter, deque
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from toolkit.compare import place
from toolkit.compare.meeting import Meeting
from toolkit.compare.source import Frame, Source

#: Truth frames each way that are searched for a constant offset, and, while reading, for a change of it.
SEARCH, WATCH = 12, 4
#: Result frames looked at before a change of offset is believed.
AHEAD = 6
#: A thumbnail difference (levels squared) must fall to this share of that at equal times to count against it.
DECISIVE = 0.8
#: Shifts below this are the estimate's own error.
NO_SHIFT = 0.05


@dataclass(frozen=True)
class Finding:
    """Something the alignment noticed.

    kind : "time offset", "dropped frame", "repeated frame", "swapped fields", "exchanged lines", "shift",
           "colour range", "levels", "clock", "aspect", "converted" or "unaligned".
    time : where in the result, seconds; None for all of it.
    value: the number behind it, if there is one.
    """

    kind: str
    text: str
    time: float | None = None
    value: Any = None

    def __str__(self) -> str:
        return self.text

    def to_dict(self) -> dict[str, Any]:
        return {"kind": self.kind, "text": self.text, "time": self.time, "value": self.value}


@dataclass
class Alignment:
    """How a result lies on its truth.

    offset          : seconds added to a result's time to find its truth's (at the start).
    offset_frames   : the same in frames of the truth.
    shift, spread   : samples of the grid by which the result lies right of and below the truth, and how much single
                      frames disagree about it (median absolute deviation).
    crop            : samples (left, top, right, bottom) of the grid left out.
    findings        : what was noticed.
    unpaired_truth, unpaired_result : times in seconds of frames that have no partner.
    """

    offset: float = 0.0
    offset_frames: int = 0
    shift: tuple[float, float] = (0.0, 0.0)
    spread: tuple[float, float] = (0.0, 0.0)
    crop: tuple[int, int, int, int] = (0, 0, 0, 0)
    findings: list[Finding] = field(default_factory=list)
    unpaired_truth: list[float] = field(default_factory=list)
    unpaired_result: list[float] = field(default_factory=list)

    def found(self, kind: str) -> list[Finding]:
        """The findings of one kind."""
        return [f for f in self.findings if f.kind == kind]


def residual(truth: np.ndarray, result: np.ndarray) -> float:
    """Mean squared difference of two thumbnails after the best gain and offset, so that levels do not matter."""
    t, r = truth - truth.mean(), result - result.mean()
    power = float((t * t).mean())
    left = float((r * r).mean())
    return left if power == 0 else max(0.0, left - float((t * r).mean()) ** 2 / power)


def clock_difference(truth: Source, result: Source) -> float:
    """Seconds to add to the result's times: not 0 where the files' clocks start far apart (broadcast streams)."""
    starts = [next(s.frames()).time for s in (truth, result)]
    return starts[0] - starts[1] if abs(starts[0] - starts[1]) > 0.5 else 0.0


# Looking at the head of both clips


@dataclass
class _Head:
    """The first textured stretch of both clips: times and thumbnails, and the luma of a few result frames."""

    times: list[float] = field(default_factory=list)
    thumbs: list[np.ndarray] = field(default_factory=list)
    truth_times: list[float] = field(default_factory=list)
    truth_thumbs: list[np.ndarray] = field(default_factory=list)
    looked_at: dict[int, np.ndarray] = field(default_factory=dict)  # position in `times` -> luma
    step: float = 0.0

    def partner(self, i: int, k: int) -> int | None:
        """Position of the truth frame k frames after the one at the time of result frame i."""
        if not self.truth_times:
            return None
        wanted = self.times[i] + k * self.step
        j = int(np.argmin(np.abs(np.array(self.truth_times) - wanted)))
        return j if abs(self.truth_times[j] - wanted) < 0.25 * self.step else None


def block_size(meeting: Meeting) -> int:
    return max(2, round(meeting.grid.width / 180))


def look(truth: Source, result: Source, meeting: Meeting, clock: float, count: int = 60) -> Alignment:
    """The constant offset, the shift and the levels, from the first `count` result frames with structure in them."""
    alignment = Alignment()
    head = _read_head(truth, result, meeting, clock, count)
    chosen = sorted(head.looked_at)
    if not chosen:
        alignment.findings.append(
            Finding("unaligned", "the result has no structure to align by: times and places were taken as they are")
        )
        return alignment
    k, coarse = _offset(head, chosen)
    alignment.offset_frames, alignment.offset = k, k * head.step
    if k:
        word = "early" if k > 0 else "late"
        alignment.findings.append(
            Finding(
                "time offset",
                f"the result is {abs(k)} frame{'s' * (abs(k) > 1)} of the truth ({abs(k) * head.step * 1000:.1f} ms) "
                f"{word}: at time t it shows what the truth shows at t {'+' if k > 0 else '-'} "
                f"{abs(k) * head.step:.4f} s",
                value=k,
            )
        )
    pairs = [(i, j) for i in chosen if (j := head.partner(i, k)) is not None]
    lumas = _truth_lumas(truth, meeting, {head.truth_times[j] for _, j in pairs})
    matched = [(lumas[head.truth_times[j]], head.looked_at[i]) for i, j in pairs if head.truth_times[j] in lumas]
    if not any(f.interlaced for f in (truth.format, result.format)):
        _find_shift(alignment, matched, coarse)
    _find_levels(alignment, head, pairs)
    _find_exchanged_lines(alignment, matched)
    return alignment


def _read_head(truth: Source, result: Source, meeting: Meeting, clock: float, count: int) -> _Head:
    block, head = block_size(meeting), _Head()
    for n, frame in enumerate(result.frames()):
        luma = meeting.luma(meeting.bring(frame.batch))
        thumb = place.thumbnail(luma, block)
        if not head.times and thumb.std() < 2 and n < 1500:
            continue
        # Neighbours, so that frames of both field parities are seen; fewer of large pictures, to bound memory.
        if len(head.times) % (10 if luma.size < 500_000 else 30) < 2 and thumb.std() >= 2:
            head.looked_at[len(head.times)] = luma
        head.times.append(frame.time + clock)
        head.thumbs.append(thumb)
        if len(head.times) == count:
            break
    if not head.times:
        return head
    first, last = head.times[0], head.times[-1]
    lengths: list[float] = []
    for frame in truth.frames():
        lengths.append(frame.length)
        reach = SEARCH * float(np.median(lengths[-50:]))
        if frame.time < first - 1.01 * reach:
            continue
        if frame.time > last + 1.01 * reach:
            break
        head.truth_times.append(frame.time)
        head.truth_thumbs.append(place.thumbnail(meeting.luma(meeting.bring(frame.batch)), block))
    head.step = float(np.median(lengths)) if lengths else 0.0
    return head


def _offset(head: _Head, chosen: list[int]) -> tuple[int, tuple[float, float]]:
    """The offset in truth frames at which the thumbnails fit best under one common shift, and that shift.

    Times are right unless the content says otherwise beyond doubt: an offset is believed when at least three frames
    speak for it and next to none against it.  (Swapped fields, and frames missing in the middle, divide them.)
    """
    spectra: dict[tuple[str, int], np.ndarray] = {}

    def spectrum(kind: str, i: int) -> np.ndarray:
        if (kind, i) not in spectra:
            spectra[kind, i] = place.spectrum((head.thumbs if kind == "result" else head.truth_thumbs)[i])
        return spectra[kind, i]

    roughly: dict[int, tuple[float, list[tuple[int, int]], np.ndarray]] = {}
    for k in range(-SEARCH, SEARCH + 1):
        pairs = [(i, j) for i in chosen if (j := head.partner(i, k)) is not None]
        if len(pairs) >= max(1, len(chosen) // 2):
            shifts = np.array([place.coarse_shift(spectrum("truth", j), spectrum("result", i)) for i, j in pairs])
            middle = tuple(np.round(np.median(shifts, axis=0)))
            roughly[k] = float(np.mean([_cost(head, i, j, middle) for i, j in pairs])), pairs, shifts
    if not roughly:
        return 0, (0.0, 0.0)
    costs: dict[int, dict[int, float]] = {}  # offset -> result frame -> residual
    places: dict[int, tuple[float, float]] = {}
    for k in {*sorted(roughly, key=lambda k: roughly[k][0])[:4], *({0} & set(roughly))}:
        _, pairs, shifts = roughly[k]
        places[k] = _common_shift(head, pairs, shifts)
        costs[k] = {i: _cost(head, i, j, places[k]) for i, j in pairs}
    best = min(costs, key=lambda k: (np.mean(list(costs[k].values())), abs(k)))
    if 0 in costs and best != 0:
        # Each offset under its own shift, lest a shift pass for an offset; and both under one shift, lest a shift
        # that follows slow motion make up for a wrong offset.
        one = places[best] if max(abs(p) for p in places[best]) > 1.5 else (0.0, 0.0)
        same = {k: {i: _cost(head, i, head.partner(i, k), one) for i in costs[k]} for k in (0, best)}
        if not (_believed(costs[best], costs[0]) and _believed(same[best], same[0])):
            best = 0
    size = head.looked_at[chosen[0]].shape[1] / head.thumbs[0].shape[1]
    right, down = places.get(best, (0.0, 0.0))
    return best, (right * size, down * size)


def _believed(there: dict[int, float], here: dict[int, float]) -> bool:
    """Whether frames speak for the costs `there` and next to none for those `here`."""
    both = [(there[i], here[i]) for i in there if i in here]
    speak_for = sum(t < DECISIVE * h - 0.02 for t, h in both)
    speak_against = sum(h < DECISIVE * t - 0.02 for t, h in both)
    return speak_for >= min(3, len(both)) and speak_against <= 0.1 * speak_for


def _common_shift(head: _Head, pairs: list[tuple[int, int]], shifts: np.ndarray) -> tuple[float, float]:
    """The shift all pairs of thumbnails share, from the coarse ones; none when they differ: that is motion."""
    common = np.median(shifts, axis=0)
    if (np.median(np.abs(shifts - common), axis=0) > 0.5).any():
        return 0.0, 0.0
    few = pairs[:: max(1, len(pairs) // 4)]
    fine = [place.fine_shift(head.truth_thumbs[j], head.thumbs[i], tuple(common)) for i, j in few]
    found = np.array([f[:2] for f in fine if f is not None])
    if len(found) == 0 or (np.abs(np.median(found, axis=0) - common) > 1).any():
        return tuple(np.where(np.abs(common) < 0.3, 0.0, common).tolist())
    return tuple(np.median(found, axis=0).tolist())


def _cost(head: _Head, i: int, j: int, shift: tuple[float, float]) -> float:
    margin = int(np.ceil(max(abs(s) for s in shift))) + 2
    inner = slice(margin, -margin), slice(margin, -margin)
    if min(head.thumbs[i].shape) <= 2 * margin + 4:
        return residual(head.truth_thumbs[j], head.thumbs[i])
    moved = place.shifted(head.truth_thumbs[j], *shift)
    return residual(moved[inner], head.thumbs[i][inner])


def _truth_lumas(truth: Source, meeting: Meeting, times: set[float]) -> dict[float, np.ndarray]:
    found = {}
    for frame in truth.frames():
        if frame.time in times:
            found[frame.time] = meeting.luma(meeting.bring(frame.batch))
        if len(found) == len(times):
            break
    return found


Matched = list[tuple[np.ndarray, np.ndarray]]  # luma of truth and result


def _find_shift(alignment: Alignment, matched: Matched, coarse: tuple[float, float]) -> None:
    fine = [f for t, r in matched if (f := place.fine_shift(t, r, coarse)) is not None]
    if not fine:
        return
    shifts = np.array([f[:2] for f in fine])
    middle = np.median(shifts, axis=0)
    spread = np.median(np.abs(shifts - middle), axis=0)
    alignment.spread = tuple(float(s) for s in spread)
    # Line jitter moves single frames: a shift must stand out of what so few frames can tell.
    doubt = 4 * shifts.std(axis=0) / np.sqrt(len(shifts))
    dx, dy = (float(m) if abs(m) >= max(NO_SHIFT, d) else 0.0 for m, d in zip(middle, doubt, strict=True))
    if (spread > 0.5).any() or (dx, dy) == (0.0, 0.0):
        return
    alignment.shift = dx, dy
    alignment.findings.append(
        Finding(
            "shift",
            f"the result lies {dx:+.2f} samples right of and {dy:+.2f} below the truth "
            f"(frames agree within {spread.max():.2f})",
            value=(dx, dy),
        )
    )


#: What a range that was converted once too often or too seldom does to 8-bit luma: gain and offset.
RANGE_ERRORS = {
    "the result is limited range where full was due (or was squeezed twice): its contrast is too low":
        (219 / 255, 16.0),
    "the result is full range where limited was due (or was stretched): its contrast is too high":
        (255 / 219, -16 * 255 / 219),
}  # fmt: skip


def _find_levels(alignment: Alignment, head: _Head, pairs: list[tuple[int, int]]) -> None:
    if not pairs:
        return
    size = head.looked_at[pairs[0][0]].shape[1] / head.thumbs[0].shape[1]
    shift = [s / size for s in alignment.shift]
    margin = int(np.ceil(max(abs(s) for s in shift))) + 2
    inner = slice(margin, -margin), slice(margin, -margin)
    looks = [(place.shifted(head.truth_thumbs[j], *shift)[inner], head.thumbs[i][inner]) for i, j in pairs]
    looks.sort(key=lambda look: residual(*look) / (look[0].var() + 1))
    # The better half: frames that show another moment have other levels for other reasons.
    t, r = (np.concatenate([look[n].ravel() for look in looks[: (len(looks) + 1) // 2]]) for n in (0, 1))
    if len(t) == 0 or t.std() < 8:
        return
    # Levels of equal rank are compared, so that what moved or was blurred does not pass for lost contrast.
    t, r = (np.quantile(v, np.linspace(0.02, 0.98, 49)) for v in (t, r))
    gain, offset = (float(v) for v in np.polyfit(t, r, 1))
    as_is = float(np.sqrt(np.mean((r - t) ** 2)))
    for text, (g, o) in RANGE_ERRORS.items():
        error = float(np.sqrt(np.mean((r - np.clip(g * t + o, 0, 255)) ** 2)))
        if error < 0.6 * as_is and as_is > 2:
            text += f" (luma is {gain:.3f} times the truth's {offset:+.1f} levels)"
            alignment.findings.append(Finding("colour range", text, value=(gain, offset)))
            return
    at_middle = gain * float(t.mean()) + offset - float(t.mean())
    if abs(gain - 1) > 0.04 or abs(at_middle) > 3:
        text = f"levels differ: the result's luma is {gain:.3f} times the truth's {offset:+.1f} levels"
        alignment.findings.append(Finding("levels", text, value=(gain, offset)))


def _find_exchanged_lines(alignment: Alignment, matched: Matched) -> None:
    """Lines 2k and 2k + 1 exchanged: fields woven in the wrong places."""
    as_is = exchanged = 0.0
    for t, r in matched:
        even = r.shape[0] // 2 * 2
        other = r[:even].reshape(even // 2, 2, -1)[:, ::-1].reshape(even, -1)
        as_is += float(np.mean((r[:even] - t[:even]) ** 2))
        exchanged += float(np.mean((other - t[:even]) ** 2))
    if as_is > 1 and exchanged < 0.5 * as_is:
        text = "the lines of the two fields are exchanged: even lines of the result are the truth's odd ones"
        alignment.findings.append(Finding("exchanged lines", text, value=(as_is, exchanged)))


# Pairing while reading


@dataclass(eq=False)
class Pair:
    """A frame of each side, both on the common grid; `joins` is False after a gap or a change of offset."""

    truth: Frame
    result: Frame
    joins: bool


class Pairer:
    """Yields pairs of frames of equal time, watches their content, and fills in an `Alignment`.

    Holds the truth frames within WATCH frames and the next AHEAD result frames, whatever the clips' length.
    """

    def __init__(
        self, truth: Source, result: Source, meeting: Meeting, alignment: Alignment, *, clock: float, follow: bool,
        frames: tuple[int, int | None] = (0, None),
    ) -> None:  # fmt: skip
        self.meeting, self.alignment, self.follow = meeting, alignment, follow
        self._truth, self._result = truth.frames(), result.frames()
        self._range = frames
        self._clock, self._content = clock, clock + alignment.offset  # the latter: where the content is
        self._offset = self._content if follow else clock  # what is paired
        self._window: deque[Frame] = deque()
        self._pending: deque[Frame] = deque()
        self._block = block_size(meeting)
        self._truth_left = True
        self._lengths: deque[float] = deque(maxlen=9)
        self._result_lengths: deque[float] = deque(maxlen=9)
        self._votes: tuple[Counter, Counter] = (Counter(), Counter())
        self._last_time: float | None = None

    def __iter__(self) -> Iterator[Pair]:
        previous: tuple[float, float] | None = None  # time of the last paired frame, and the offset in use then
        while self._fill():
            frame = self._pending[0]
            self._watch(frame)
            self._note_gap(frame)
            self._pending.popleft()
            match = self._nearest(frame.time + self._offset, 0.25 * min(self._step, self._result_step))
            if match is None:
                self.alignment.unpaired_result.append(frame.time)
                continue
            match.used = True
            usual = 1.6 * max(self._step, self._result_step)
            joins = previous is not None and frame.time - previous[0] < usual and previous[1] == self._offset
            previous = frame.time, self._offset
            yield Pair(match, frame, joins)
        self._drop_before(float("inf"))
        if self._range[1] is None:
            self.alignment.unpaired_truth += [f.time for f in self._truth]
        self._report_swap()

    # Reading

    @property
    def _step(self) -> float:
        return float(np.median(self._lengths)) if self._lengths else 1.0

    @property
    def _result_step(self) -> float:
        return float(np.median(self._result_lengths)) if self._result_lengths else 1.0

    def _fill(self) -> bool:
        while len(self._pending) <= AHEAD:
            frame = next(self._result, None)
            if frame is None or (self._range[1] is not None and frame.index >= self._range[1]):
                break
            if frame.index < self._range[0]:
                continue
            self._result_lengths.append(frame.length)
            frame.batch = self.meeting.bring(frame.batch)
            frame.thumb = place.thumbnail(self.meeting.luma(frame.batch), self._block)
            self._pending.append(frame)
        if not self._pending:
            return False
        self._read_ahead()
        self._drop_before(self._pending[0].time + min(self._offset, self._content) - (WATCH + 0.5) * self._step)
        return True

    def _read_ahead(self) -> None:
        """Truth frames up to WATCH beyond the last pending result frame."""
        last = self._pending[-1].time + max(self._offset, self._content)
        while self._truth_left and (not self._window or self._window[-1].time < last + (WATCH + 1) * self._step):
            self._read_truth()

    def _read_truth(self) -> None:
        frame = next(self._truth, None)
        if frame is None:
            self._truth_left = False
            return
        self._lengths.append(frame.length)
        frame.batch = self.meeting.bring(frame.batch, self.alignment.shift)
        frame.thumb = place.thumbnail(self.meeting.luma(frame.batch), self._block)
        self._window.append(frame)

    def _drop_before(self, time: float) -> None:
        while self._window and self._window[0].time < time:
            frame = self._window.popleft()
            if not frame.used and (self._range[0] == 0 or self._started(frame)):
                self.alignment.unpaired_truth.append(frame.time)

    def _started(self, frame: Frame) -> bool:
        return bool(self._pending) and frame.time >= self._pending[0].time + self._offset - 0.5 * self._step

    def _nearest(self, time: float, within: float) -> Frame | None:
        best = min(self._window, key=lambda f: abs(f.time - time), default=None)
        return best if best is not None and abs(best.time - time) <= within else None

    # Watching

    def _vote(self, frame: Frame) -> int | None:
        """How many truth frames from where content was found so far this frame's content lies; None: cannot say."""
        if frame.costs is None or frame.costs[0] != self._content:
            costs = np.full(2 * WATCH + 1, np.inf)
            for k in range(-WATCH, WATCH + 1):
                match = self._nearest(frame.time + self._content + k * self._step, 0.25 * self._step)
                if match is not None:
                    costs[k + WATCH] = residual(match.thumb, frame.thumb)
            frame.costs = self._content, costs
        costs = frame.costs[1]
        here, best = costs[WATCH], int(np.argmin(costs))
        if not np.isfinite(here):
            return None
        near = costs[np.isfinite(costs)]
        if near.max() < 0.05 or near.max() < near.min() / DECISIVE:
            return None  # nothing moves
        return best - WATCH if costs[best] < DECISIVE * here - 0.02 else 0

    def _watch(self, frame: Frame) -> None:
        votes = [self._vote(f) for f in self._pending]
        if votes[0] is not None:
            self._votes[frame.index % 2][votes[0]] += 1
        k = votes[0]
        agree = sum(v == k for v in votes)
        if not k or agree < max(3, len(votes) - 1):
            return
        self._content += k * self._step
        late = self._content - self._clock
        text = (
            f"frames are {'missing' if k > 0 else 'repeated'} in the result at {frame.time:.3f} s: "
            f"{abs(k) * self._step / self._result_step:.3g} of its frames; from there on its content "
            + ("agrees with its times" if abs(late) < 0.1 * self._step else
               f"runs {abs(late) * 1000:.1f} ms {'ahead of' if late > 0 else 'behind'} its times")
        )  # fmt: skip
        kind = "dropped frame" if k > 0 else "repeated frame"
        self.alignment.findings.append(Finding(kind, text, time=frame.time, value=k))
        if self.follow:
            self._offset = self._content
        self._read_ahead()

    def _note_gap(self, frame: Frame) -> None:
        before, self._last_time = self._last_time, frame.time
        step = self._result_step
        if before is not None and frame.time - before > 1.6 * step:
            text = (
                f"the result has no frame between {before:.3f} and {frame.time:.3f} s "
                f"({round((frame.time - before) / step) - 1} missing); its times are right"
            )
            self.alignment.findings.append(Finding("dropped frame", text, time=frame.time, value=0))

    def _report_swap(self) -> None:
        even, odd = self._votes
        for sign in (1, -1):
            votes = even[sign], odd[-sign]
            if all(v >= 3 and v > 0.5 * sum(c.values()) for v, c in zip(votes, (even, odd), strict=True)):
                text = (
                    "the fields are swapped: even and odd frames of the result show each other's moment, so the "
                    "picture jumps back and forth (the other field order was due)"
                )
                self.alignment.findings.append(Finding("swapped fields", text, value=votes))
