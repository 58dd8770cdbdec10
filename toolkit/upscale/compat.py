"""Cures for optional packages that do not import as they are.  Each is applied only while that package is imported.

* A CUDA build of torchvision on a CPU build of torch: "operator torchvision::nms does not exist".  torchvision
  registers shape functions for its compiled operators although that library could not be loaded.  During the import
  `torch.library.register_fake` passes over operators that are not there; none of them is ever used here.
* basicsr 1.4 (under realesrgan) imports `torchvision.transforms.functional_tensor`, which left torchvision in 0.17.
  During the import a module of that name offers the one function that basicsr takes from it.
* opencv-python (under realesrgan) needs the system library libGL: the bare ImportError becomes a sentence with the
  cure.
"""

from __future__ import annotations

import contextlib
import importlib
import sys
import types
import warnings
from collections.abc import Iterator

from toolkit.errors import RequestError

_SHIM = "torchvision.transforms.functional_tensor"


@contextlib.contextmanager
def _tolerant_register_fake() -> Iterator[None]:
    """While active, registering a shape function for an operator that does not exist does nothing."""
    import torch

    original = torch.library.register_fake

    def register_fake(op, func=None, /, *args, **kwargs):
        def attempt(function):
            try:
                return original(op, function, *args, **kwargs)
            except RuntimeError as error:
                if "does not exist" not in str(error):
                    raise
                return function

        return attempt if func is None else attempt(func)

    torch.library.register_fake = register_fake
    try:
        yield
    finally:
        torch.library.register_fake = original


def import_torchvision() -> types.ModuleType:
    """Imports torchvision, also a CUDA build of it on a CPU build of torch."""
    if "torchvision" in sys.modules:
        return sys.modules["torchvision"]
    with _tolerant_register_fake():
        return _import("torchvision", "pip install torchvision")


def import_spandrel() -> types.ModuleType:
    """Imports spandrel, which imports torchvision."""
    import_torchvision()
    return _import("spandrel", "pip install spandrel")


def import_realesrgan() -> types.ModuleType:
    """Imports the package realesrgan, which imports basicsr, torchvision and opencv."""
    import_torchvision()
    _import("cv2", "pip install opencv-python-headless, or install the system package that holds libGL.so.1")
    added = _SHIM not in sys.modules
    if added:
        functional = importlib.import_module("torchvision.transforms.functional")
        shim = types.ModuleType(_SHIM)
        shim.rgb_to_grayscale = functional.rgb_to_grayscale
        sys.modules[_SHIM] = shim
    try:
        return _import("realesrgan", "pip install realesrgan, with torch pinned as in constraints.txt")
    finally:
        if added:
            del sys.modules[_SHIM]


def _import(name: str, cure: str) -> types.ModuleType:
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", DeprecationWarning)  # theirs to mend, not the user's
            return importlib.import_module(name)
    except Exception as error:  # a broken binary package fails in many ways besides ImportError
        first = (str(error).strip().splitlines() or [type(error).__name__])[0]
        raise RequestError(f"the optional package {name} cannot be imported: {first}", hint=cure) from error
