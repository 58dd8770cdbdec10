"""How far any part of one frame is from its truth: prepared once, then as quick as the two measures themselves."""

from __future__ import annotations

import math
from dataclasses import dataclass, field

import numpy as np

from kernels.measure.psnr import psnr
from kernels.measure.ssim import ssim
from toolkit.clip import Batch, PictureFormat
from toolkit.compare.meeting import Meeting
from toolkit.compare.source import bobbed

_WINDOW = 11  # samples: SSIM has nothing to say of less


@dataclass(eq=False)
class FrameAgainstTruth:
    """PSNR and SSIM of the luma of parts of a frame.

    truth, frame : Batches of one, of the same moment.  They meet on the truth's size, as in `compare`; of an interlaced
                   frame beside a progressive truth the field nearest to `time` (seconds, on the frame's own clock) is
                   taken, its lines doubled.
    notes        : what was converted first.
    """

    truth: Batch
    frame: Batch
    time: float
    notes: tuple[str, ...] = field(init=False)

    def __post_init__(self) -> None:
        truth, frame = self.truth[:1], self.frame[:1]
        fields = frame.format.interlaced and not truth.format.interlaced
        if fields:
            both = bobbed(frame)
            nearest = int(np.argmin(np.abs(both.times - self.time)))
            frame = both[nearest : nearest + 1]
        meeting = Meeting(truth.format, frame.format)
        self.notes = (*(["of its two fields one was taken, lines doubled"] if fields else []), *meeting.notes)
        self._bits = meeting.bits
        self._planes = [meeting.bring(b).planes[0][0] for b in (truth, frame)]

    def __call__(self, part: tuple[float, float, float, float] = (0.0, 0.0, 1.0, 1.0)) -> tuple[float, float]:
        """PSNR in dB (infinite where they are equal) and SSIM (NaN below 11x11 samples) of a part.

        part : left, top, width and height as fractions of the picture; every sample that it touches is measured.
        """
        rows, columns = samples_of(part, self.truth.format)
        pair = [np.ascontiguousarray(p[None, rows, columns]) for p in self._planes]
        level = float(psnr(*pair, bits=self._bits)[0])
        small = min(pair[0].shape[1:]) < _WINDOW
        return level, math.nan if small else float(ssim(*pair, bits=self._bits)[0])


def samples_of(part: tuple[float, float, float, float], form: PictureFormat) -> tuple[slice, slice]:
    """Rows and columns of luma samples that a part touches."""
    cut = []
    for low, length, size in ((part[1], part[3], form.height), (part[0], part[2], form.width)):
        first = min(max(math.floor(low * size + 1e-6), 0), size - 1)
        cut.append(slice(first, min(size, max(first + 1, math.ceil((low + length) * size - 1e-6)))))
    return cut[0], cut[1]
