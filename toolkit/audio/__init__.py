"""Sound: clean, level and in time.

clean(samples, 48000, "moderate")       samples in, samples out
clean(clip, "voice")                    an iterator of blocks, for tapes of any length
Cleaner("moderate", 48000, "stereo")    the same, block by block, in somebody else's loop
MODES, STAGES, chain_of, to_dict        what there is to choose from, and its serialised form
measure(samples, rate)                  loudness, loudness range and true peak
drift, analysis, hum                    modules: sync, figures, mains hum
"""

from __future__ import annotations

import importlib
from typing import Any

_LAZY = {
    "MODES": "modes",
    "MODE_NAMES": "modes",
    "chain_of": "modes",
    "STAGES": "stages",
    "Step": "stages",
    "from_dict": "stages",
    "to_dict": "stages",
    "Cleaner": "chain",
    "prepare": "chain",
    "SoundFormat": "signal",
    "choose_track": "tracks",
    "clean": "tracks",
    "clean_samples": "tracks",
    "measure": "meter",
}
__all__ = sorted(_LAZY)


def __getattr__(name: str) -> Any:
    if name in _LAZY:
        return getattr(importlib.import_module(f"toolkit.audio.{_LAZY[name]}"), name)
    raise AttributeError(f"module 'toolkit.audio' has no attribute {name!r}")


def __dir__() -> list[str]:
    return sorted({*globals(), *_LAZY})
