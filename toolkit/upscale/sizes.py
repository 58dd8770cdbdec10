"""The format of an enlarged picture: size, aspect, colour.  No Torch; for nets, plug-ins and plain resampling alike."""

from __future__ import annotations

from toolkit.clip import PictureFormat
from toolkit.errors import KnobError, PictureError

LARGEST_SCALE = 16.0


def is_hd(width: int, height: int) -> bool:
    """Is a picture of this size read as BT.709 by players when nothing is tagged?"""
    return height > 576 or width >= 1280


def known_matrix(format: PictureFormat) -> str:
    """The colour matrix of a format: the stated one, else what its size implies."""
    if format.matrix != "unknown":
        return format.matrix
    return "bt709" if is_hd(format.width, format.height) else "bt601"


def check_size(scale: float | None, height: int | None, width: int | None) -> None:
    """Raises `KnobError` unless the wanted size makes sense: a scale, or a height and/or width, or nothing."""
    if scale is not None and (height is not None or width is not None):
        raise KnobError("scale was given together with a height or width", expected="one of the two")
    if scale is not None and not 0 < scale <= LARGEST_SCALE:
        raise KnobError(f"scale is {scale}", expected=f"more than 0, at most {LARGEST_SCALE:g}")
    for name, value in (("height", height), ("width", width)):
        if value is not None and value < 2:
            raise KnobError(f"{name} is {value}", expected="2 or more")


def target_size(
    format: PictureFormat, scale: float | None = None, height: int | None = None, width: int | None = None
) -> tuple[int, int]:
    """`(width, height)` in samples.  A whole scale multiplies exactly; what follows from proportions is made even."""
    if scale is not None:
        size = format.width * scale, format.height * scale
        if float(scale).is_integer():
            return round(size[0]), round(size[1])
        return _even(size[0]), _even(size[1])
    if height is None and width is None:
        return format.width, format.height
    return (
        width or _even(format.width * height / format.height),
        height or _even(format.height * width / format.width),
    )


def enlarged_format(
    format: PictureFormat,
    *,
    scale: float | None = None,
    height: int | None = None,
    width: int | None = None,
    subsampling: tuple[int, int] = (1, 1),
    bits: int | None = None,
) -> PictureFormat:
    """The format of pictures in `format` once enlarged to `scale`, or to `height` and/or `width`.

    The display aspect ratio is kept exactly, by the sample aspect ratio.  BT.601 becomes BT.709 when the picture grows
    to HD; primaries and transfer are those of the tape, since a change of matrix does not touch them.  Grey stays grey.
    Raises `PictureError` for interlaced or RGB frames.
    """
    if format.interlaced:
        raise PictureError(f"interlaced frames ({format}) cannot be enlarged", hint="deinterlace first")
    if format.matrix == "rgb":
        raise PictureError("RGB planes cannot be enlarged", expected="YUV or grey planes")
    width, height = target_size(format, scale, height, width)
    matrix = known_matrix(format)
    if matrix == "bt601" and is_hd(width, height):
        matrix = "bt709"
    return format.replace(
        width=width,
        height=height,
        sar=format.dar * height / width,
        matrix=matrix,
        field_order="progressive",
        subsampling=None if format.subsampling is None else subsampling,
        bits=bits or format.bits,
        siting="left",
    )


def _even(size: float) -> int:
    return max(2 * round(size / 2), 2)
