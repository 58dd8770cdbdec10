"""Pairs of frames of equal time, read as they come, with an eye on their content."""

from __future__ import annotations

from collections import Counter, deque
from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np

from toolkit.compare import place
from toolkit.compare.align import AHEAD, DECISIVE, WATCH, Alignment, Finding, block_size, residual
from toolkit.compare.meeting import Meeting
from toolkit.compare.source import Frame, Source


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
