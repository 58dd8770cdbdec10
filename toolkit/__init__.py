"""Restores and upscales VHS captures: `open` a clip, build a `Pipeline` of stages, `restore`, `compare`.

    import toolkit
    clip = toolkit.open("tape.avi")
    toolkit.restore(clip, "tape.mp4", preset="vhs")

Heavy packages (Torch, librosa, CuPy, Jupyter) load when first used.
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

import kernels as _kernels

if getattr(_kernels, "BELONGS_TO", None) != "vhs-toolkit":
    raise ImportError(
        f"the package 'kernels' found at {getattr(_kernels, '__file__', '?')} is not vhs-toolkit's own: PyPI has "
        "another project of that name (Hugging Face's) and it stands in front; nothing was changed. Install "
        "vhs-toolkit in an environment without it (python -m venv, then pip install vhs-toolkit), or run: "
        "pip uninstall kernels && pip install --force-reinstall --no-deps vhs-toolkit"
    )

if TYPE_CHECKING:
    from toolkit import audio, compare, jobs, profiling, stages, sweep, tape, widgets
    from toolkit.clip import Batch, Clip
    from toolkit.clip import open_clip as open
    from toolkit.media.probe import probe
    from toolkit.pipeline import Pipeline
    from toolkit.runner import restore
    from toolkit.tape import simulate

__version__ = "0.1.0"

#: Public names and where they live; after a colon the attribute when it differs, or nothing for the module itself.
_LAZY = {
    "Batch": "toolkit.clip",
    "Clip": "toolkit.clip",
    "Pipeline": "toolkit.pipeline",
    "audio": "toolkit.audio:",
    "compare": "toolkit.compare:",
    "jobs": "toolkit.jobs:",
    "open": "toolkit.clip:open_clip",
    "probe": "toolkit.media.probe",
    "profiling": "toolkit.profiling:",
    "restore": "toolkit.runner",
    "simulate": "toolkit.tape",
    "stages": "toolkit.stages:",
    "sweep": "toolkit.sweep:",
    "tape": "toolkit.tape:",
    "widgets": "toolkit.widgets:",
}

__all__ = [
    "Batch", "Clip", "Pipeline", "audio", "compare", "jobs", "open", "probe", "profiling", "restore", "simulate",
    "stages", "sweep", "tape", "widgets",
]  # fmt: skip


def __getattr__(name: str) -> Any:
    if name in _LAZY:
        path, colon, attribute = _LAZY[name].partition(":")
        module = importlib.import_module(path)
        value = module if colon and not attribute else getattr(module, attribute or name)
        globals()[name] = value  # a submodule of the same name must not win on the second look
        return value
    raise AttributeError(f"module 'toolkit' has no attribute {name!r}")


def __dir__() -> list[str]:
    return sorted([*globals(), *_LAZY])
