"""Comparison: the numbers of a result against its truth, and how they are shown."""

from __future__ import annotations

import html
import math
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from toolkit.compare.align import Alignment, Finding

if TYPE_CHECKING:
    import pandas as pd


@dataclass(frozen=True, eq=False)
class Comparison:
    """Numbers of a result against its truth.

    table     : a row per frame and plane: frame (of the result), time, truth_time, plane, psnr (dB), ssim, combing and
                combing_truth (share of samples), flicker (levels; NaN where there is no frame before), detail (share of
                the truth's fine detail kept, see `detail.detail_kept`; NaN where the truth has none); on request noise
                and noise_truth (levels of 8-bit video).
    summary   : a row per plane.  `psnr` is that of the mean squared error of all frames, `psnr_min` the worst frame's;
                the others are means over frames.
    alignment : how the two were brought together, and what was noticed.
    notes     : what was converted first.
    viewers   : "vmaf" and "xpsnr_Y", "xpsnr_U", "xpsnr_V" over all frames, where they were asked for.
    """

    truth: str
    result: str
    table: pd.DataFrame
    summary: pd.DataFrame
    alignment: Alignment
    notes: tuple[str, ...] = ()
    settings: dict[str, Any] = field(default_factory=dict)
    viewers: dict[str, float] = field(default_factory=dict)

    @property
    def findings(self) -> list[Finding]:
        return self.alignment.findings

    @property
    def frames(self) -> int:
        """How many frames were paired."""
        return int(self.table["frame"].nunique())

    def __getitem__(self, key: tuple[str, str]) -> float:
        """`found["Y", "psnr"]`: one number of the summary."""
        plane, metric = key
        return float(self.summary.loc[plane, metric])

    def to_dict(self) -> dict[str, Any]:
        """Plain data for JSON: infinite numbers as "inf", missing ones as None."""
        a = self.alignment
        return {
            "truth": self.truth,
            "result": self.result,
            "frames": self.frames,
            "summary": {
                plane: {k: _plain(v) for k, v in row.items()} for plane, row in self.summary.to_dict("index").items()
            },
            "viewers": {k: _plain(v) for k, v in self.viewers.items()},
            "offset_s": a.offset,
            "offset_frames": a.offset_frames,
            "shift": list(a.shift),
            "shift_spread": list(a.spread),
            "crop": list(a.crop),
            "unpaired_truth": a.unpaired_truth,
            "unpaired_result": a.unpaired_result,
            "findings": [f.to_dict() for f in a.findings],
            "notes": list(self.notes),
            "settings": self.settings,
        }

    def _lines(self) -> list[str]:
        a = self.alignment
        lines = [f"{self.result} against {self.truth}: {self.frames} frames paired by time"]
        for name, times in (("truth", a.unpaired_truth), ("result", a.unpaired_result)):
            if times:
                lines.append(f"{len(times)} frames of the {name} have no partner and are not counted: {_spans(times)}")
        if any(a.crop):
            lines.append("left out at the edges (left, top, right, bottom): {} {} {} {} samples".format(*a.crop))
        if self.viewers:
            lines.append(", ".join(f"{k.replace('_', ' ').upper()} {v:.2f}" for k, v in self.viewers.items()))
        return lines + [f"note: {n}" for n in self.notes] + [f"found: {f}" for f in a.findings]

    def _shown(self) -> pd.DataFrame:
        digits = {"psnr": 2, "psnr_min": 2, "ssim": 4, "combing": 5, "combing_truth": 5, "flicker": 3, "detail": 4,
                  "noise": 2, "noise_truth": 2}  # fmt: skip
        return self.summary.round({k: v for k, v in digits.items() if k in self.summary})

    def __str__(self) -> str:
        return "\n".join([*self._lines(), self._shown().to_string()])

    def _repr_html_(self) -> str:
        lines = "".join(f"<li>{html.escape(line)}</li>" for line in self._lines()[1:])
        return f"<p>{html.escape(self._lines()[0])}</p><ul>{lines}</ul>{self._shown().to_html()}"


def _plain(value: Any) -> Any:
    value = value.item() if hasattr(value, "item") else value
    if isinstance(value, float) and not math.isfinite(value):
        return None if math.isnan(value) else "inf" if value > 0 else "-inf"
    return value


def _spans(times: list[float], most: int = 4) -> str:
    shown = ", ".join(f"{t:.3f}" for t in times[:most])
    return f"{shown}, ... {times[-1]:.3f} s" if len(times) > most else f"{shown} s"
