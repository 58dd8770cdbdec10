"""The common grid on which a truth and a result are compared: size, layout, colour, depth."""

from __future__ import annotations

import numpy as np

from toolkit.clip import Batch, PictureFormat
from toolkit.convert import convert
from toolkit.errors import PictureError


class Meeting:
    """Brings frames of both sides to one format, and says in `notes` what had to be converted.

    The grid has the size of the truth (or of the result when `size` is "result") and the truth's chroma layout,
    matrix and range.  Frames that are on it already are compared as they are, sample by sample; when either side must
    be converted, both become float32 on the scale of 8-bit video.
    """

    def __init__(self, truth: PictureFormat, result: PictureFormat, size: str = "truth") -> None:
        self.notes: list[str] = []
        base = truth if size == "truth" else result
        self.grid = truth.replace(width=base.width, height=base.height, sar=base.sar)
        self.luma_only = False
        if (truth.width, truth.height) != (result.width, result.height):
            moved, to = (result, truth) if size == "truth" else (truth, result)
            self.notes.append(
                f"the {'result' if size == 'truth' else 'truth'} was resampled from {moved.width}x{moved.height} to "
                f"{to.width}x{to.height} (Lanczos)"
            )
        self._settle_chroma(truth, result)
        if not self.luma_only and result.range != truth.range:
            self.notes.append(f"the result's {result.range} range was brought to {truth.range}")
        if {truth.matrix, result.matrix} <= {"bt601", "bt709", "bt2020"} and truth.matrix != result.matrix:
            self.notes.append(f"the result's matrix {result.matrix} was brought to {truth.matrix}")
        for name, fmt in (("truth", truth), ("result", result)):
            if fmt.interlaced:
                self.notes.append(f"the {name} is interlaced ({fmt.field_order}) and was compared as it is woven")
        if abs(float(truth.dar / result.dar) - 1) > 0.02 and truth.sar != 1 and result.sar != 1:
            self.notes.append(f"the display aspects differ: {float(truth.dar):.3f} and {float(result.dar):.3f}")
        self.real = not (self._fits(truth) and self._fits(result))
        if truth.bits != result.bits:
            self.notes.append(f"depths of {truth.bits} and {result.bits} bits were compared on the scale of 8 bits")

    def _settle_chroma(self, truth: PictureFormat, result: PictureFormat) -> None:
        if truth.subsampling == result.subsampling and truth.siting == result.siting:
            return
        if truth.subsampling is None or result.subsampling is None:
            self.luma_only = True
            self.notes.append("one side is grey: only luma was compared")
        elif truth.subsampling[1] == result.subsampling[1] and truth.subsampling == result.subsampling:
            self.notes.append(f"the result's chroma siting {result.siting} was brought to {truth.siting}")
        elif (truth.interlaced or result.interlaced) and truth.subsampling[1] != result.subsampling[1]:
            self.luma_only = True
            self.notes.append("chroma has different numbers of lines and is interlaced: only luma was compared")
        else:
            layouts = [str(f).split()[1] for f in (result, truth)]
            self.notes.append(f"the result's chroma was brought from {layouts[0]} to {layouts[1]}")
        if self.luma_only:
            self.grid = self.grid.replace(subsampling=None)

    def _fits(self, fmt: PictureFormat) -> bool:
        same = fmt.replace(
            sar=self.grid.sar, field_order=self.grid.field_order, primaries=self.grid.primaries,
            transfer=self.grid.transfer, matrix=self.grid.matrix if fmt.matrix == "unknown" else fmt.matrix,
        )  # fmt: skip
        return same == self.grid or (self.luma_only and same.replace(subsampling=None) == self.grid)

    @property
    def bits(self) -> int:
        """Depth of the scale on which levels are compared."""
        return 8 if self.real else self.grid.bits

    def bring(self, batch: Batch, shift: tuple[float, float] = (0.0, 0.0)) -> Batch:
        """`batch` on the grid, moved right and down by `shift` samples of it."""
        if self.luma_only and len(batch.planes) > 1:
            batch = batch.replace(planes=batch.planes[:1], format=batch.format.replace(subsampling=None))
        grid = self.grid.replace(field_order=batch.format.field_order)
        if not self.real and shift == (0.0, 0.0):
            return batch.replace(format=grid)
        if batch.format.matrix == "rgb":
            raise PictureError("an RGB clip was given", expected="YUV, as Clip reads it")
        batch = batch.replace(planes=tuple(np.asarray(p, np.float32) for p in batch.planes))
        return convert(batch, grid.replace(bits=8 if self.real else grid.bits), shift=shift)

    def luma(self, batch: Batch) -> np.ndarray:
        """Luma `(H, W)` of the first frame of a batch on the grid, float32, on the scale of 8-bit video."""
        plane = np.asarray(batch.planes[0][0], np.float32)
        return plane if self.bits == 8 else plane * np.float32(2.0 ** (8 - self.bits))
