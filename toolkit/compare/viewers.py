"""VMAF and XPSNR: scores fitted to what viewers said, computed by FFmpeg's own program, fed through a pipe.

The program is that of the wheel imageio-ffmpeg.  Truth and result go in as one picture, one above the other, so that
one pipe is enough and no file is needed; FFmpeg cuts them apart again.

Z. Li and others, "Toward a practical perceptual video quality metric", Netflix Technology Blog 2016 (VMAF);
C. R. Helmrich and others, "XPSNR: a low-complexity extension of the perceptually weighted peak signal-to-noise ratio
for high-resolution video quality assessment", ICASSP 2020.
"""

from __future__ import annotations

import math
import re
from collections.abc import Sequence
from functools import lru_cache

import numpy as np

from toolkit import process
from toolkit.clip import Batch, PictureFormat
from toolkit.compare.meeting import Meeting
from toolkit.errors import PictureError, RequestError, UnknownName, WorkError

SCORES = ("vmaf", "xpsnr")
_LAYOUTS = {None: "gray", (1, 1): "yuv420p", (1, 0): "yuv422p", (0, 0): "yuv444p"}
#: Frames in one run of the program; a burst is shorter.
MOST = 64
_NUMBER = r"(-?[\d.]+|inf)"


@lru_cache(maxsize=1)
def program() -> str:
    """FFmpeg's program with both filters.  Raises `RequestError` where there is none."""
    try:
        import imageio_ffmpeg

        found = imageio_ffmpeg.get_ffmpeg_exe()
    except (ImportError, RuntimeError) as error:
        raise RequestError(
            f"VMAF and XPSNR need FFmpeg's program ({error})", hint="pip install imageio-ffmpeg"
        ) from None
    listed = process.run([found, "-hide_banner", "-filters"], timeout=30).stdout.decode(errors="replace")
    if not re.search(r"\blibvmaf\b", listed) or not re.search(r"\bxpsnr\b", listed):
        raise RequestError(f"{found} was built without libvmaf or xpsnr", hint="a newer imageio-ffmpeg")
    return found


class Viewers:
    """Scores of frames that come a few at a time, all planes on one grid.

    They are computed MOST frames at a time: the first of each such piece has no frame before it for the motion that
    both scores take into account.

    Raises `UnknownName`, `RequestError` without the program, `PictureError` for a layout that the filters do not take.
    """

    def __init__(self, names: Sequence[str], fmt: PictureFormat) -> None:
        for name in names:
            if name not in SCORES:
                raise UnknownName("score", name, SCORES)
        if fmt.subsampling not in _LAYOUTS:
            raise PictureError(f"VMAF and XPSNR were given {fmt}", expected="grey, 4:2:0, 4:2:2 or 4:4:4")
        program()
        self.names, self._layout = names, _LAYOUTS[fmt.subsampling]
        self._rate = 25.0
        self._held: list[bytes] = []
        self._size = (0, 0)
        self._found: dict[str, list[tuple[float, int]]] = {}

    def add(self, truth: Sequence[np.ndarray], result: Sequence[np.ndarray], rate: float) -> None:
        """Planes `(T, H, W)` uint8 of frames that belong together; XPSNR weighs motion by the frame rate."""
        self._rate = rate
        self._size = truth[0].shape[2], truth[0].shape[1]
        for n in range(len(truth[0])):
            both = zip(truth, result, strict=True)
            self._held.append(b"".join(np.concatenate([t[n], r[n]]).tobytes() for t, r in both))
            if len(self._held) == MOST:
                self._flush()

    def scores(self) -> dict[str, float]:
        """ "vmaf" and "xpsnr_Y", "xpsnr_U", "xpsnr_V" over all frames."""
        self._flush()
        return {key: pooled(key, values) for key, values in self._found.items()}

    def _flush(self) -> None:
        held, self._held = self._held, []
        for name in self.names if held else ():
            for key, value in _run(name, b"".join(held), self._size, self._layout, self._rate).items():
                self._found.setdefault(key, []).append((value, len(held)))


def pooled(key: str, values: Sequence[tuple[float, int]]) -> float:
    """One score over pieces of so many frames: the mean; of XPSNR that of the distortion's root, as FFmpeg takes it."""
    total = sum(n for _, n in values)
    if not key.startswith("xpsnr"):
        return sum(v * n for v, n in values) / total
    root = sum(10 ** (-v / 20) * n for v, n in values) / total
    return -20 * math.log10(root) if root else math.inf


def viewer_scores(truth: Batch, result: Batch, names: Sequence[str] = SCORES) -> dict[str, float]:
    """VMAF (0 to 100) and XPSNR (dB, per plane) of consecutive frames, pooled over them as FFmpeg does.

    Frames of equal time are paired; the result is brought to the truth's size, layout and colour.  Returns "vmaf" and
    "xpsnr_Y", "xpsnr_U", "xpsnr_V".  Raises what `Viewers` raises, `PictureError` for frames that have no partner.
    """
    meeting = Meeting(truth.format, result.format)
    at = _pairs(truth, result)
    sides = [[eight_bit(p, meeting.bits) for p in meeting.bring(b).planes] for b in (truth, result)]
    viewers = Viewers(names, meeting.grid)
    chosen = [[p[list(rows)] for p in planes] for planes, rows in zip(sides, zip(*at, strict=True), strict=True)]
    viewers.add(*chosen, rate=1 / float(truth.durations[0] * truth.time_base))
    return viewers.scores()


def _pairs(truth: Batch, result: Batch) -> list[tuple[int, int]]:
    near = 0.25 * min(float(b.durations.min() * b.time_base) for b in (truth, result))
    apart = np.abs(result.times[:, None] - truth.times[None])
    pairs = [(int(t), r) for r, t in enumerate(apart.argmin(axis=1)) if apart[r, t] <= near]
    if not pairs:
        raise PictureError("no frame of the result has a partner in the truth at the same time")
    return pairs


def eight_bit(plane: np.ndarray, bits: int) -> np.ndarray:
    """Samples on the scale of `bits` as uint8."""
    return plane if plane.dtype == np.uint8 else np.clip(np.rint(plane * 2.0 ** (8 - bits)), 0, 255).astype(np.uint8)


def _run(name: str, data: bytes, size: tuple[int, int], layout: str, rate: float) -> dict[str, float]:
    width, height = size
    graph = f"[0:v]split[a][b];[a]crop={width}:{height}:0:0[t];[b]crop={width}:{height}:0:{height}[r];"
    graph += "[r][t]libvmaf=n_threads=2" if name == "vmaf" else "[r][t]xpsnr"
    words = [
        program(), "-hide_banner", "-f", "rawvideo", "-pix_fmt", layout, "-s", f"{width}x{2 * height}",
        "-r", f"{rate:.6f}", "-i", "pipe:0", "-filter_complex", graph, "-f", "null", "-",
    ]  # fmt: skip
    said = process.run(words, timeout=600, input=data).stderr.decode(errors="replace")
    if name == "vmaf":
        match = re.search(rf"VMAF score: {_NUMBER}", said)
        found = {"vmaf": match[1]} if match else {}
    else:
        match = re.search(rf"XPSNR\s+y: {_NUMBER}(?:\s+u: {_NUMBER}\s+v: {_NUMBER})?", said)
        found = {f"xpsnr_{p}": v for p, v in zip("YUV", match.groups(), strict=True) if v} if match else {}
    if not found:
        last = (said.strip().splitlines() or ["it said nothing"])[-1]
        raise WorkError(f"FFmpeg gave no {name} score: {last}", files="")
    return {key: float(value) for key, value in found.items()}
