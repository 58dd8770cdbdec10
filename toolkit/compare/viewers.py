"""VMAF and XPSNR: scores fitted to what viewers said, computed by FFmpeg's own program, fed through a pipe.

The program is that of the wheel imageio-ffmpeg.  Truth and result go in as one picture, one above the other, so that
one pipe is enough and no file is needed; FFmpeg cuts them apart again.

Z. Li and others, "Toward a practical perceptual video quality metric", Netflix Technology Blog 2016 (VMAF);
C. R. Helmrich and others, "XPSNR: a low-complexity extension of the perceptually weighted peak signal-to-noise ratio
for high-resolution video quality assessment", ICASSP 2020.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from functools import lru_cache

import numpy as np

from toolkit import process
from toolkit.clip import Batch
from toolkit.compare.meeting import Meeting
from toolkit.errors import PictureError, RequestError, UnknownName, WorkError

SCORES = ("vmaf", "xpsnr")
_LAYOUTS = {None: "gray", (1, 1): "yuv420p", (1, 0): "yuv422p", (0, 0): "yuv444p"}
#: Frames in one run of the program; a burst is shorter, and VMAF's motion looks one frame around.
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


def viewer_scores(truth: Batch, result: Batch, names: Sequence[str] = SCORES) -> dict[str, float]:
    """VMAF (0 to 100) and XPSNR (dB, per plane) of consecutive frames, pooled over them as FFmpeg does.

    Frames of equal time are paired; the result is brought to the truth's size, layout and colour.  Returns "vmaf" and
    "xpsnr_Y", "xpsnr_U", "xpsnr_V".  Raises `UnknownName`, `RequestError` without the program, `PictureError` for
    frames that have no partner or a layout that FFmpeg's filters do not take.
    """
    for name in names:
        if name not in SCORES:
            raise UnknownName("score", name, SCORES)
    meeting = Meeting(truth.format, result.format)
    at = _pairs(truth, result)
    sides = [_eight_bit(meeting.bring(b), meeting) for b in (truth, result)]
    fmt = meeting.grid
    if fmt.subsampling not in _LAYOUTS:
        raise PictureError(f"VMAF and XPSNR were given {fmt}", expected="grey, 4:2:0, 4:2:2 or 4:4:4")
    rate = 1 / float(truth.durations[0] * truth.time_base)
    found: dict[str, list[tuple[float, int]]] = {}
    for begin in range(0, len(at), MOST):
        part = at[begin : begin + MOST]
        data = b"".join(
            np.concatenate([sides[0][n][t], sides[1][n][r]]).tobytes() for t, r in part for n in range(len(sides[0]))
        )
        for name in names:
            for key, value in _run(name, data, (fmt.width, fmt.height), _LAYOUTS[fmt.subsampling], rate).items():
                found.setdefault(key, []).append((value, len(part)))
    return {key: sum(v * n for v, n in values) / sum(n for _, n in values) for key, values in found.items()}


def _pairs(truth: Batch, result: Batch) -> list[tuple[int, int]]:
    near = 0.25 * min(float(b.durations.min() * b.time_base) for b in (truth, result))
    apart = np.abs(result.times[:, None] - truth.times[None])
    pairs = [(int(t), r) for r, t in enumerate(apart.argmin(axis=1)) if apart[r, t] <= near]
    if not pairs:
        raise PictureError("no frame of the result has a partner in the truth at the same time")
    return pairs


def _eight_bit(batch: Batch, meeting: Meeting) -> list[np.ndarray]:
    scale = 2.0 ** (8 - meeting.bits)
    return [
        p if p.dtype == np.uint8 else np.clip(np.rint(p * scale), 0, 255).astype(np.uint8) for p in batch.planes
    ]  # fmt: skip


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
        raise WorkError(f"FFmpeg gave no {name} score: {said.strip().splitlines()[-1:] or 'it said nothing'}")
    return {key: float(value) for key, value in found.items()}
