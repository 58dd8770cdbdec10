"""FFmpeg's sound filters, through PyAV's graph, as a stage that keeps time.

A filter's delay is measured when the stage is prepared: a seeded burst of noise is sent through and found again by
correlation.  Its start is then cut and its end filled up, so that the stage obeys the rule of `toolkit.audio.run`.
"""

from __future__ import annotations

from typing import Any

import av
import numpy as np
from scipy import fft

from toolkit.audio.run import Prepared, Run
from toolkit.audio.signal import SoundFormat
from toolkit.errors import SoundError

Filters = tuple[tuple[str, dict[str, Any]], ...]


def ratio_of(decibels: float) -> float:
    return 10 ** (decibels / 20)


class Graph(Prepared):
    """A row of FFmpeg filters.

    delay : samples by which the output is late; None measures it.
    """

    def __init__(
        self, sound: SoundFormat, filters: Filters, output: SoundFormat | None = None, delay: int | None = None
    ):
        super().__init__(sound, output)
        self.filters = filters
        self.delay = self._measure_delay() if delay is None else delay

    def start(self, learned: Any = None) -> Run:
        return _GraphRun(self)

    def build(self) -> tuple[Any, Any, Any]:
        graph = av.filter.Graph()
        source = graph.add_abuffer(
            sample_rate=self.sound.rate, format="fltp", layout=self.sound.layout, time_base=f"1/{self.sound.rate}"
        )
        last = source
        wanted = {
            "sample_fmts": "fltp",
            "channel_layouts": self.output.layout,
            "sample_rates": str(self.output.rate),
        }
        try:
            for name, options in (*self.filters, ("aformat", wanted)):
                node = graph.add(name, **{k: str(v) for k, v in options.items()})
                last.link_to(node)
                last = node
            sink = graph.add("abuffersink")
            last.link_to(sink)
            graph.configure()
        except (ValueError, av.FFmpegError) as error:
            names = ", ".join(name for name, _ in self.filters)
            raise SoundError(
                f"FFmpeg's filter {names} cannot be set up for {self.sound}: {error}", hint="leave that stage out"
            ) from error
        return graph, source, sink

    def _measure_delay(self) -> int:
        rate, channels = self.sound.rate, self.sound.channels
        burst = np.zeros((channels, rate), np.float32)
        burst[:, rate // 4 : rate // 2] = np.random.default_rng(5).standard_normal(rate // 2 - rate // 4) * 0.1
        run = _GraphRun(self, delay=0)
        heard = np.concatenate([run.process(burst), run.flush()], axis=1)[0]
        size = fft.next_fast_len(2 * rate, real=True)
        match = fft.irfft(fft.rfft(heard, size) * np.conj(fft.rfft(burst[0], size)), size)
        late = int(np.argmax(np.abs(match[: rate // 2])))
        return late


class _GraphRun(Run):
    def __init__(self, prepared: Graph, delay: int | None = None):
        self.prepared = prepared
        self.delay = prepared.delay if delay is None else delay
        self.graph, self.source, self.sink = prepared.build()
        self.taken = self.given = 0
        self.skip = self.delay

    def process(self, block: np.ndarray) -> np.ndarray:
        if block.shape[1]:
            self._push(block)
        return self._ready()

    def flush(self) -> np.ndarray:
        left = self.taken - self.given
        if self.delay:
            self._push(np.zeros((self.prepared.sound.channels, self.delay), np.float32), count=False)
        self.source.push(None)
        out = self._ready()[:, :left]
        short = left - out.shape[1]
        if short > 0:
            out = np.pad(out, ((0, 0), (0, short)))
        return out

    def _push(self, block: np.ndarray, count: bool = True) -> None:
        sound = self.prepared.sound
        frame = av.AudioFrame.from_ndarray(np.ascontiguousarray(block), format="fltp", layout=sound.layout)
        frame.sample_rate = sound.rate
        frame.pts = self.taken
        self.source.push(frame)
        self.taken += block.shape[1] if count else 0

    def _ready(self) -> np.ndarray:
        parts = []
        while True:
            try:
                part = self.sink.pull().to_ndarray()
            except (BlockingIOError, EOFError, av.EOFError):
                break
            if self.skip:
                cut = min(self.skip, part.shape[1])
                part, self.skip = part[:, cut:], self.skip - cut
            parts.append(part)
        if not parts:
            return np.zeros((self.prepared.output.channels, 0), np.float32)
        out = np.concatenate(parts, axis=1)
        self.given += out.shape[1]
        return out
