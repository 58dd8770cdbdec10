"""Fields: taking them apart, weaving them, and telling from moving pictures which comes first.

A frame of interlaced video holds two fields, the top one in its even lines (0, 2, ...) and the bottom one in its odd
lines, taken half a frame apart.  Everything here is NumPy on the CPU.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

_EDGE = 0.06  # of each side: overscan, and the head-switching band at the foot of a tape's picture
_MOVING = 2.0  # standard deviations of the noise's difference by which a sample must change to count as moving
_FEWEST = 200  # moving samples that make a pair of frames worth asking


@dataclass(frozen=True)
class FieldOrder:
    """order is "tff", "bff", "progressive" or "unknown" (nothing moved); confidence runs from 0 (a guess) to 1."""

    order: str
    confidence: float

    def __str__(self) -> str:
        return f"{self.order} (confidence {self.confidence:.2f})"


@dataclass(frozen=True)
class Cadence:
    """How film was fitted to video: "3:2" pulldown, "2:2" (both fields of a frame, or of its neighbours, show one
    moment), "none" (each field its own moment) or "unknown" (too little motion, too few frames)."""

    name: str
    confidence: float


def split(frames: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Shows the top and the bottom field of each frame: two views `(T, ceil(H/2), W)`, `(T, floor(H/2), W)`."""
    return frames[:, 0::2], frames[:, 1::2]


def weave(top: np.ndarray, bottom: np.ndarray) -> np.ndarray:
    """Puts two fields back into frames, top field in the even lines; the inverse of `split`, a new array.

    Raises ValueError when the fields do not belong together (other width, frames, or more than a line apart).
    """
    alike = top.shape[0] == bottom.shape[0] and top.shape[2] == bottom.shape[2]
    if not alike or top.shape[1] - bottom.shape[1] not in (0, 1):
        raise ValueError(f"fields of shapes {top.shape} and {bottom.shape} do not make frames")
    frames = np.empty((top.shape[0], top.shape[1] + bottom.shape[1], top.shape[2]), top.dtype)
    frames[:, 0::2], frames[:, 1::2] = top, bottom
    return frames


def measure_field_order(*bursts: np.ndarray) -> FieldOrder:
    """Says which field comes first, from how far moving things travel between fields.

    Take the bottom field of one frame and the top field of the next.  When the top field comes first they are half a
    frame apart, and one and a half the other way round; so with T, B for the fields of neighbouring frames t and u,
    |B(t) - T(u)| is compared with |T(t) - B(u)| where the picture moves, one field brought to the other's lines by a
    four-tap interpolation.  In a progressive frame the two distances are equal, and both are larger than the distance
    of the fields of one frame, |T(t) - B(t)|, which shows one moment.  Each pair of frames gives two log ratios;
    their agreement over all pairs makes the confidence.

    bursts : runs of consecutive luma frames `(T >= 2, H, W)` of any type; the more they move, the fewer are needed.

    The comparison of field distances is that of the field-order detectors in common use (as in idet's documentation);
    interpolation, weights and confidence are our own.
    """
    rows = np.concatenate([_distances(_grey(b)) for b in bursts]) if bursts else np.zeros((0, 4))
    rows = rows[rows[:, 3] >= _FEWEST]
    if len(rows) == 0:
        return FieldOrder("unknown", 0.0)
    top_first, bottom_first, within = rows[:, 0], rows[:, 1], rows[:, 2]
    lead = np.log(bottom_first / top_first)
    unity = np.log(np.minimum(top_first, bottom_first) / within)
    # A scene cut has no field order; the median does not mind one.
    order, whole = float(np.median(lead)), float(np.median(unity))
    if abs(order) > whole:
        name, strength, votes = ("tff" if order > 0 else "bff"), abs(order), np.sign(lead) == np.sign(order)
        rival = max(whole, 0.0)
    else:
        name, strength, votes = "progressive", whole, unity > np.abs(lead)
        rival = abs(order)
    # How far the votes are from an even split, in standard deviations of one; three are taken as sure.
    agreement = min(1.0, max(0.0, 2 * float(votes.mean()) - 1) * len(rows) ** 0.5 / 3)
    margin = (strength - rival) / (strength + rival)
    visible = min(1.0, strength / 0.05)
    return FieldOrder(name, round(agreement * margin * visible, 3))


def measure_cadence(*bursts: np.ndarray) -> Cadence:
    """Says whether film was fitted to interlaced video, and how.

    3:2 pulldown shows 24 film frames in 60 fields by giving them two and three fields in turn, so of five video frames
    one repeats the top field of the frame before and, two frames away, one repeats the bottom field.  Such repeats
    are looked for as a pattern of period five in the log ratio of the two fields' changes.  Each burst may begin at
    any place of the pattern but must be at least 11 frames long.  "2:2" is film (or any progressive picture) of one
    film frame to two fields, in the same video frame or, where the fields were paired off by one, in neighbours.

    bursts : runs of consecutive luma frames `(T, H, W)`, as they came, in the order they are shown.
    """
    long = [_grey(b) for b in bursts if len(b) >= 11]
    scores = [s for b in long if (s := _pulldown(b)) is not None]
    if scores:
        score = float(np.median(scores))
        if score > 0.25:
            return Cadence("3:2", round(min(1.0, score * 1.25), 3))
    rows = np.concatenate([_distances(b) for b in long]) if long else np.zeros((0, 4))
    rows = rows[rows[:, 3] >= _FEWEST]
    if len(rows) < 4:
        return Cadence("unknown", 0.0)
    nearest = np.log(np.minimum(rows[:, 0], rows[:, 1]))
    within = np.log(rows[:, 2])
    # One of the two distances is a whole film frame, the other none.
    apart = np.abs(within - nearest)
    share = float((apart > 0.2).mean())
    same_way = abs(float(np.sign(within - nearest).mean()))
    film = share * same_way
    if film > 0.5:
        return Cadence("2:2", round(film * min(1.0, len(rows) / 10), 3))
    # Each field a moment of its own: then the field order shows.
    order = abs(float(np.median(np.log(rows[:, 1] / rows[:, 0]))))
    sure = (1 - film) * min(1.0, order / 0.1) * min(1.0, len(rows) / 10)
    return Cadence("none", round(sure, 3)) if sure > 0.25 else Cadence("unknown", 0.0)


def _pulldown(frames: np.ndarray) -> float | None:
    """How clearly a burst repeats fields as 3:2 pulldown does, up to 1; None where it moves too little to tell."""
    top, bottom = split(frames)
    steps = []
    for field in (top, bottom):
        change = np.abs(np.diff(field[:, ::2], axis=0)).reshape(len(field) - 1, -1)
        # What moves is in the top twentieth of a change; the mean would drown it in noise.
        top_share = change.shape[1] // 20
        steps.append(np.partition(change, -top_share, axis=1)[:, -top_share:].mean(axis=1))
    floor = 0.02 * float(np.median(steps)) + 1e-3
    if float(np.median(steps)) < 1e-2 * float(np.ptp(frames)):
        return None
    lean = np.log((steps[0] + floor) / (steps[1] + floor))
    best = -1.0
    place = np.arange(len(lean)) % 5
    for k in range(5):
        first, second = lean[place == k], lean[place == (k + 2) % 5]
        rest = np.abs(lean[(place != k) & (place != (k + 2) % 5)]).mean()
        for sign in (1, -1):
            weaker = min(float((-sign * first).min()), float((sign * second).min()))
            best = max(best, (weaker - rest) / (abs(weaker) + rest + 0.1))
    return best


def _grey(frames: np.ndarray) -> np.ndarray:
    """The inner part of the frames as float32, pairs of columns averaged; an even number of lines."""
    if not isinstance(frames, np.ndarray):
        raise TypeError(f"got {type(frames).__module__}.{type(frames).__qualname__}; expected a NumPy array")
    if frames.ndim != 3 or len(frames) < 2 or min(frames.shape[1:]) < 16:
        raise ValueError(f"got frames of shape {frames.shape}; expected (T >= 2, H >= 16, W >= 16)")
    height, width = frames.shape[1:]
    dy, dx = int(height * _EDGE) // 2 * 2, int(width * _EDGE)
    inner = frames[:, dy : height - dy - (height % 2), dx : width - dx]
    even = inner[:, :, : inner.shape[2] // 2 * 2]
    return (even[:, :, 0::2].astype(np.float32) + even[:, :, 1::2]) * np.float32(0.5)


def _raised(top: np.ndarray) -> np.ndarray:
    """The top field at the lines of the bottom field (halfway to the next), without its first and last two lines."""
    return (9 * (top[..., 1:-2, :] + top[..., 2:-1, :]) - top[..., :-3, :] - top[..., 3:, :]) * np.float32(1 / 16)


def _distances(frames: np.ndarray) -> np.ndarray:
    """For each pair of neighbouring frames: field distances if top first, if bottom first, within a frame; weight."""
    top, bottom = split(frames)
    lines = min(top.shape[1], bottom.shape[1])
    top, bottom = top[:, :lines], bottom[:, :lines]
    lifted, bottom = _raised(top), bottom[:, 1:-2]
    noise = float(np.median(np.abs(np.diff(bottom, n=2, axis=1)))) / 0.6745 / 6**0.5  # high-pass along columns
    limit = max(_MOVING * 2**0.5 * noise, 1e-3 * float(np.ptp(frames)))
    rows = np.zeros((len(frames) - 1, 4))
    for t in range(len(frames) - 1):
        moving = (np.abs(lifted[t + 1] - lifted[t]) > limit) | (np.abs(bottom[t + 1] - bottom[t]) > limit)
        count = int(moving.sum())
        if count < _FEWEST:
            continue
        floor = 1e-6 * count
        rows[t] = (
            float(np.abs(bottom[t] - lifted[t + 1])[moving].sum()) + floor,
            float(np.abs(bottom[t + 1] - lifted[t])[moving].sum()) + floor,
            float(0.5 * (np.abs(bottom[t] - lifted[t]) + np.abs(bottom[t + 1] - lifted[t + 1]))[moving].sum()) + floor,
            count,
        )
    return rows
