"""An interlaced tape of half the height whose missing lines are known, made of the fields of one parity.

The fields of one parity are pictures of half the height.  Every other line of each is dropped, so they become the
fields of a smaller tape.  Three things must hold before a pipeline is judged on it:

    detail  A field holds every other line of the scene as it was, so its neighbouring lines are less alike than those
            of a picture of that height, and what fills in lines from their neighbours does worse than on the tape.  A
            mean of three lines, (1, 2, 1) / 4, goes first, as before any picture is made smaller.
    noise   That mean takes noise away and makes it run on from line to line.  Noise of the missing strength and shape
            is put on, so that the smaller tape has the noise of the tape and a little more, fresh on each line.
    target  Noise that a kept line and a dropped line share would make copying it look good.  So results are held
            against the pictures less a filtered copy of what was put on, whose noise is independent of it
            (Pang, Zheng, Quan and Ji, "Recorrupted-to-Recorrupted", CVPR 2021).

With w the angular frequency down the lines, the tape's noise has a power of S at each w, after the mean S m(w),
m = ((1 + cos w) / 2)^2.  What is put on has S ((1 + s^2) - m), and in the target it counts -m / ((1 + s^2) - m) times,
so the covariance of both is S m - S m = 0.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from toolkit.clip import Batch
from toolkit.compare.noise_like import noise_like


@dataclass(frozen=True, eq=False)
class HalfHeight:
    """Pictures `(T, H, W)` of one field parity, H even.

    shown  : with the noise put on, of the tape's type; every other line of each is what a pipeline is given.
    target : float32, what results are held against; its noise is independent of that in `shown`.
    noise  : float32, what `target` has of the noise put on.
    """

    shown: np.ndarray
    target: np.ndarray
    noise: np.ndarray

    def woven(self, like: Batch) -> Batch:
        """Half as many interlaced frames, top field first, grey: every other line is dropped."""
        fmt = like.format.replace(
            height=self.shown.shape[1], subsampling=None, field_order="tff", sar=like.format.sar / 2
        )  # fmt: skip
        frames = self.shown[0::2].copy()
        frames[:, 1::2] = self.shown[1::2, 1::2]
        times = np.arange(len(frames))
        return Batch((frames,), 2 * times, np.full(len(frames), 2), like.time_base, fmt)


def half_height(
    luma: np.ndarray, parity: int, covariance: np.ndarray, share: float, peak: int, seed: int
) -> HalfHeight:
    """Makes it of the lines `parity`, `parity + 2`, ... of interlaced frames `(T, H, W)`.

    `covariance` is that of the tape's noise (`noise_covariance`).
    `share` is s above: `shown` has 1 + s^2 times the tape's noise power.  A last frame or line too many is left out.
    """
    count, height = len(luma) // 2 * 2, luma.shape[1] // 4 * 2
    field = luma[:count, parity::2][:, :height]
    padded = np.pad(field.astype(np.float32), ((0, 0), (1, 1), (0, 0)), mode="edge")
    smooth = (padded[:, :-2] + 2 * padded[:, 1:-1] + padded[:, 2:]) / np.float32(4)
    kept = ((1 + np.cos(2 * np.pi * np.fft.rfftfreq(height))) / 2) ** 2  # m above
    put = 1 + share**2 - kept
    waves = np.fft.rfft(noise_like(field.shape, covariance, seed), axis=1)
    added, counted = (
        np.fft.irfft(waves * gain.astype(np.float32)[:, None], n=height, axis=1).astype(np.float32)
        for gain in (np.sqrt(put), kept / np.sqrt(put))
    )
    shown = np.clip(np.rint(smooth + added), 0, peak).astype(luma.dtype)
    return HalfHeight(shown, smooth - counted, counted)
