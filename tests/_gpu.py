"""Where the GPU's tests run: on a GPU with `--device cuda`, else on a stand-in for CuPy in main memory.

The stand-in's arrays are as strict as CuPy's: they never become NumPy arrays unasked, never meet NumPy arrays in
arithmetic, and lie on their device until `get`.  Kernels run their `.cu` files on them through tests/cuda_host.  So
what a stage does with arrays of a GPU can be seen without one: that it works, and what it copies.
"""

from __future__ import annotations

import contextlib
import functools
import sys
import types
from typing import Any

import numpy as np
import pytest

from kernels.declare import CudaBody
from tests import cuda_host

#: Bytes of every copy to main memory since `Device.begin`.
_home: list[int] = []


def require_gpu() -> None:
    """Skips, with the reason, where no GPU can be had."""
    try:
        import cupy

        count, why = cupy.cuda.runtime.getDeviceCount(), "no GPU is visible"
    except Exception as error:  # CuPy raises its own kinds where there is no driver
        count, why = 0, f"no GPU answers ({error})".replace("\n", " ")
    if not count:
        pytest.skip(why)


def _down(thing: Any) -> Any:
    """What the stand-in's arrays hold, in whatever they are inside of; NumPy arrays beside them are refused."""
    if isinstance(thing, ndarray):
        return thing.held
    if isinstance(thing, tuple | list):
        return type(thing)(map(_down, thing))
    if isinstance(thing, np.ndarray) and thing.ndim:
        raise TypeError("Unsupported type <class 'numpy.ndarray'>")
    return thing


def _up(thing: Any) -> Any:
    if isinstance(thing, np.ndarray | np.generic):
        return ndarray(np.asarray(thing))
    return tuple(map(_up, thing)) if isinstance(thing, tuple) else thing


class ndarray(np.lib.mixins.NDArrayOperatorsMixin):  # noqa: N801  (CuPy's name)
    """An array that pretends to lie on a GPU."""

    __module__ = "cupy"

    def __init__(self, held: np.ndarray) -> None:
        self.held = held

    shape = property(lambda self: self.held.shape)
    dtype = property(lambda self: self.held.dtype)
    ndim = property(lambda self: self.held.ndim)
    size = property(lambda self: self.held.size)
    nbytes = property(lambda self: self.held.nbytes)
    flags = property(lambda self: self.held.flags)
    device = property(lambda self: contextlib.nullcontext())

    def get(self) -> np.ndarray:
        _home.append(self.nbytes)
        return self.held.copy()

    def __array__(self, *args: Any, **kwargs: Any) -> np.ndarray:
        raise TypeError("Implicit conversion to a NumPy array is not allowed.")

    def __array_ufunc__(self, ufunc: np.ufunc, method: str, *inputs: Any, **options: Any) -> Any:
        return _up(getattr(ufunc, method)(*_down(inputs), **{k: _down(v) for k, v in options.items()}))

    def __array_function__(self, function: Any, kinds: Any, args: Any, options: Any) -> Any:
        return _up(function(*_down(args), **{k: _down(v) for k, v in options.items()}))

    def __dlpack__(self, **options: Any) -> Any:
        return self.held.__dlpack__()

    def __dlpack_device__(self) -> Any:
        return self.held.__dlpack_device__()

    def __len__(self) -> int:
        return len(self.held)

    def __iter__(self) -> Any:
        return map(ndarray, self.held)

    def __getitem__(self, key: Any) -> ndarray:
        return _up(self.held[key.held if isinstance(key, ndarray) else _keys(key)])

    def __setitem__(self, key: Any, value: Any) -> None:
        self.held[key.held if isinstance(key, ndarray) else _keys(key)] = _down(value)

    def __float__(self) -> float:
        return float(self.held)

    def __int__(self) -> int:
        return int(self.held)

    def __bool__(self) -> bool:
        return bool(self.held)


def _keys(key: Any) -> Any:
    return tuple(k.held if isinstance(k, ndarray) else k for k in key) if isinstance(key, tuple) else key


def _method(name: str) -> Any:
    def call(self: ndarray, *args: Any, **options: Any) -> Any:
        return _up(getattr(self.held, name)(*_down(args), **options))

    return call


for _name in ("all", "any", "astype", "copy", "max", "mean", "min", "ravel", "reshape", "sum", "swapaxes", "view"):
    setattr(ndarray, _name, _method(_name))


def _stand_in() -> types.ModuleType:
    cupy = types.ModuleType("cupy")
    cupy.ndarray = ndarray
    cupy.asarray = lambda a: a if isinstance(a, ndarray) else ndarray(np.array(a, order="C"))
    cupy.empty = lambda shape, dtype=float: ndarray(np.empty(shape, dtype))
    for function in (np.ascontiguousarray, np.concatenate, np.stack):
        setattr(cupy, function.__name__, lambda a, *rest, f=function: _up(f(_down(a), *rest)))
    return cupy


def _run(body: CudaBody, launches: Any, dtype: Any) -> None:
    cuda_host.run(body, [_held(launch) for launch in launches], dtype)


def _held(launch: Any) -> Any:
    for arg in launch.args:
        assert not isinstance(arg, np.ndarray), f"{launch.function} was given an array that is not on the device"
    return type(launch)(launch.function, launch.grid, launch.block, tuple(_down(a) for a in launch.args))


class Device:
    """A GPU, or the stand-in: `send` brings an array there, `copied` says how many bytes came home since `begin`."""

    def __init__(self, cupy: Any) -> None:
        self.cupy = cupy
        self.begin()

    def send(self, array: np.ndarray) -> Any:
        return self.cupy.asarray(array)

    def holds(self, array: Any) -> bool:
        return isinstance(array, self.cupy.ndarray)

    def begin(self) -> None:
        _home.clear()

    @property
    def copied(self) -> int:
        return sum(_home)


def device(chosen: str, monkeypatch: pytest.MonkeyPatch) -> Device:
    """The device of `--device`."""
    if chosen == "cuda":
        require_gpu()
        import cupy

        own = cupy.ndarray.get

        @functools.wraps(own)
        def get(self: Any, *args: Any, **options: Any) -> np.ndarray:
            _home.append(self.nbytes)
            return own(self, *args, **options)

        monkeypatch.setattr(cupy.ndarray, "get", get)
        return Device(cupy)
    cupy = _stand_in()
    monkeypatch.setitem(sys.modules, "cupy", cupy)
    monkeypatch.setattr(CudaBody, "run", _run)
    return Device(cupy)
