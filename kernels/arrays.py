"""Whose array is this: backend, shape, dtype and layout checks, and the hand-over to Torch without a copy."""

from __future__ import annotations

from typing import Any

import numpy as np


def backend(array: Any) -> str:
    """ "cpu" for a NumPy array, "cuda" for a CuPy array.  Anything else is a TypeError that says what is accepted."""
    if isinstance(array, np.ndarray):
        return "cpu"
    if type(array).__module__.partition(".")[0] == "cupy":
        return "cuda"
    raise TypeError(
        f"got {type(array).__module__}.{type(array).__qualname__}; expected a NumPy array (computed on the CPU) or a "
        f"CuPy array (computed on the GPU); nothing was computed or copied"
    )


def common_backend(name: str, arrays: dict[str, Any]) -> str:
    """The one backend of all `arrays`; a TypeError when they are on different devices."""
    found = {key: backend(a) for key, a in arrays.items()}
    if len(set(found.values())) > 1:
        where = ", ".join(f"{key} on {b}" for key, b in found.items())
        raise TypeError(
            f"{name}: got {where}; expected all arrays on one device; move one yourself, nothing was copied"
        )
    return next(iter(found.values()))


#: `dtype.name` makes a string anew each time, some of which were never given back on runs of hours.
_NAMES = {np.dtype(name): name for name in ("uint8", "int16", "uint16", "int32", "float32")}


def check_frames(name: str, key: str, array: Any, dtypes: tuple[str, ...], smallest: tuple[int, int]) -> None:
    """Raises TypeError / ValueError unless `array` is a batch of planes `(T, H, W)` that kernel `name` can take.

    Float input must be finite: a NaN would spread through every recursive or averaging kernel unseen.
    """
    if _NAMES.get(array.dtype) not in dtypes:
        raise TypeError(f"{name}: {key} is {array.dtype.name}; expected {', '.join(dtypes)}; nothing was computed")
    if array.ndim < 3:
        raise ValueError(
            f"{name}: {key} has shape {array.shape}; expected (frames, height, width); nothing was computed"
        )
    if 0 in array.shape:
        raise ValueError(f"{name}: {key} is empty, shape {array.shape}; expected at least one frame")
    height, width = array.shape[-2:]
    if height < smallest[0] or width < smallest[1]:
        raise ValueError(
            f"{name}: {key} is {width}x{height}; expected at least {smallest[1]}x{smallest[0]} (width x height) for "
            f"this kernel; nothing was computed"
        )
    # The sum is many times faster than a look at every sample; it can only overflow where that look decides.
    if array.dtype.kind == "f" and not np.isfinite(float(array.sum())) and not bool(np.isfinite(array).all()):
        raise ValueError(f"{name}: {key} holds NaN or infinite values; expected finite levels; nothing was computed")


def depth(array: Any, bits: int) -> int:
    """The bit depth to compute in: `bits` when given, else 16 for uint16 and 8 for uint8 and float32."""
    if bits:
        if array.dtype == np.uint8 and bits != 8:
            raise ValueError(f"bits is {bits} and the frames are uint8; expected 8, or uint16 frames")
        return bits
    return 16 if array.dtype == np.uint16 else 8


def contiguous(array: Any) -> Any:
    """`array` itself when C-contiguous, else a contiguous copy on the same device."""
    if array.flags.c_contiguous:
        return array
    return np.ascontiguousarray(array) if isinstance(array, np.ndarray) else array.copy(order="C")


def empty_like_backend(like: Any, shape: tuple[int, ...], dtype: Any) -> Any:
    """Uninitialised array on the device of `like`."""
    if isinstance(like, np.ndarray):
        return np.empty(shape, dtype)
    import cupy

    with like.device:
        return cupy.empty(shape, dtype)


def beside(like: Any, table: np.ndarray) -> Any:
    """A small table on the device of `like`: itself for NumPy, a copy for CuPy."""
    if isinstance(like, np.ndarray):
        return table
    import cupy

    with like.device:
        return cupy.asarray(table)


def to_torch(array: Any) -> Any:
    """The same memory as a Torch tensor: NumPy through the buffer protocol, CuPy through DLPack.  No copy."""
    import torch

    return torch.from_numpy(array) if isinstance(array, np.ndarray) else torch.from_dlpack(array)


def from_torch(tensor: Any) -> Any:
    """The same memory as a NumPy array (CPU tensor) or a CuPy array (CUDA tensor).  No copy."""
    if tensor.device.type == "cpu":
        return tensor.numpy()
    import cupy

    return cupy.from_dlpack(tensor)
