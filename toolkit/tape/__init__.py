"""Makes tapes whose truth is known: a clean clip in, an interlaced tape with chosen faults and the clean frames out.

source = tape.demo(frames=90)                      # or any clean file
made = next(tape.Tape("ntsc", seed=1).stream(source.batches()))
tape.simulate(source, "tape.mkv", truth="truth.mkv", luma_noise=6)
"""

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from toolkit.tape.files import Simulated, simulate
    from toolkit.tape.recorder import Recording, Tape
    from toolkit.tape.scene import Demo, demo

_WHERE = {
    "Demo": "scene",
    "Recording": "recorder",
    "Simulated": "files",
    "Tape": "recorder",
    "demo": "scene",
    "simulate": "files",
}
__all__ = ["Demo", "Recording", "Simulated", "Tape", "demo", "simulate"]


def __getattr__(name: str) -> Any:
    if name not in _WHERE:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    value = getattr(import_module(f"{__name__}.{_WHERE[name]}"), name)
    globals()[name] = value
    return value
