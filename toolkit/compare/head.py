"""The constant offset, the shift and the levels of a result, from its first textured stretch."""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np

from toolkit.compare import place
from toolkit.compare.align import DECISIVE, NO_SHIFT, SEARCH, Alignment, Finding, block_size, residual
from toolkit.compare.meeting import Meeting
from toolkit.compare.source import Source


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


def look(
    truth: Source, result: Source, meeting: Meeting, clock: float, *, count: int = 60, offset: bool = True
) -> Alignment:
    """The constant offset, the shift and the levels, from the first `count` result frames with structure in them.

    offset : False takes the times for right at the start.
    """
    alignment = Alignment()
    head = _read_head(truth, result, meeting, clock, count)
    chosen = sorted(head.looked_at)
    if not chosen:
        alignment.findings.append(
            Finding("unaligned", "the result has no structure to align by: times and places were taken as they are")
        )
        return alignment
    k, coarse = _offset(head, chosen, offset)
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


def _offset(head: _Head, chosen: list[int], any_offset: bool) -> tuple[int, tuple[float, float]]:
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
    if not any_offset and 0 in costs:
        best = 0
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
