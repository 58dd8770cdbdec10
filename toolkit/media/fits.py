"""Whether a result can be encoded at all: found out before the work, not where it would begin to be written."""

from __future__ import annotations

import functools
import io

import av

from toolkit.clip import PictureFormat
from toolkit.errors import OutputRefused
from toolkit.media.encode import Encoding
from toolkit.media.source import SMALLEST
from toolkit.media.write import CONTAINERS

_LARGEST = {"h264": 16384}  # samples along a side; the other encoders' limits lie beyond what memory holds


def check_fits(encoding: Encoding, before: PictureFormat) -> None:
    """Raises `OutputRefused` where the container would not take the codec, or the encoder the picture's size or its
    settings.

    before : the picture's format ahead of its last step, whose proportions a height to be offered keeps.

    The size is compared with what can be written and read back.  The rest is asked of the encoder, which is opened for
    it and closed again (3 ms for x264, 12 ms for x265).
    """
    form, codec = encoding.written_format, encoding.codec
    if not _holds(encoding.kind, encoding.encoder):
        fit = [ending for ending, kind in CONTAINERS.items() if _holds(kind, encoding.encoder)]
        given = f"a file of the kind {encoding.kind} cannot hold {codec}"
        raise OutputRefused(given, expected=f"a name ending in {', '.join(fit)}")
    wide, high = _multiples(encoding)
    largest = _LARGEST.get(codec)
    sides = (("a width", form.width, wide), ("a height", form.height, high))
    expected = ", and ".join(f"{side} that is a multiple of {n}" for side, size, n in sides if size % n)
    if min(form.width, form.height) < SMALLEST:
        expected = f"at least {SMALLEST}x{SMALLEST}"
    elif largest is not None and max(form.width, form.height) > largest:
        expected = f"at most {largest}x{largest} for {codec}"
    elif expected:
        expected += f", for {codec}"
    if expected:
        raise OutputRefused(
            f"the result would be a picture of {form.width}x{form.height} samples",
            expected=expected,
            hint="deinterlace" if form.interlaced else f"--height {_height(form, before, high, largest)}",
        )
    encoding.open()


@functools.cache
def _holds(container: str, encoder: str) -> bool:
    with av.open(io.BytesIO(), "w", format=container) as muxer:
        return encoder in muxer.supported_codecs


def _multiples(encoding: Encoding) -> tuple[int, int]:
    """Of what width and height must be multiples: x264 and x265 want whole samples of chroma, x264 in each field."""
    form = encoding.written_format
    if encoding.codec not in ("h264", "h265"):
        return 1, 1
    across, down = form.subsampling or (0, 0)
    return 1 << across, 1 << down + form.interlaced


def _height(form: PictureFormat, before: PictureFormat, step: int, largest: int | None) -> int:
    """The height nearest to that of `form` which fits, its width following."""
    step, narrow = max(step, 2), before.height / before.width
    height = max(form.height, SMALLEST, SMALLEST * narrow)
    height = -(-height // step) * step
    if largest is not None:
        height = min(height, min(largest, largest * narrow) // step * step)
    return int(height)
