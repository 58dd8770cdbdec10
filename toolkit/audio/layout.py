"""Channels: mono to stereo, a dead channel filled, stereo spread to 5.1."""

from __future__ import annotations

from typing import Any

import numpy as np

from toolkit.audio.run import Pass, PassRun, Prepared, Run
from toolkit.audio.signal import SoundFormat


class _Mix(Run):
    """Each output channel is a copy of one input channel."""

    def __init__(self, sources: tuple[int, ...]):
        self.sources = list(sources)

    def process(self, block: np.ndarray) -> np.ndarray:
        return block[self.sources]

    def flush(self) -> np.ndarray:
        return np.zeros((len(self.sources), 0), np.float32)


class MonoToStereo(Prepared):
    def __init__(self, sound: SoundFormat):
        mono = sound.layout == "mono"
        super().__init__(sound, SoundFormat(sound.rate, "stereo") if mono else sound)

    def start(self, learned: Any = None) -> Run:
        return _Mix((0, 0)) if self.sound.layout == "mono" else PassRun()


class RepairDeadChannel(Prepared):
    surveys = frozenset({"channels"})

    def __init__(self, sound: SoundFormat, difference: float):
        super().__init__(sound)
        self.difference = difference

    def learn(self, survey: Any) -> Any:
        """The index of the dead channel of a stereo track, or None."""
        if self.sound.layout != "stereo":
            return None
        loud, spread = survey.programme_level, survey.programme_spread
        dead = int(np.argmin(loud))
        alive = 1 - dead
        if loud[alive] < -70:
            return None
        gap = loud[alive] - loud[dead]
        only_noise = gap > self.difference / 3 and spread[dead] < 6 < 15 < spread[alive]
        return dead if gap >= self.difference or only_noise else None

    def start(self, learned: Any = None) -> Run:
        if learned is None:
            return PassRun()
        return _Mix((1, 1) if learned == 0 else (0, 0))

    def report(self, learned: Any, run: Run | None) -> dict[str, Any]:
        return {"dead_channel": None if learned is None else self.sound.names[learned]}


def upmix_graph(sound: SoundFormat) -> Prepared:
    if sound.layout != "stereo":
        return Pass(sound)
    from toolkit.audio.graph import Graph

    return Graph(sound, (("surround", {"chl_in": "stereo", "chl_out": "5.1"}),), SoundFormat(sound.rate, "5.1"))
