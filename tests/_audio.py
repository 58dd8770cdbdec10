"""Made sound for the tests, and files that hold it."""

from __future__ import annotations

import functools
from fractions import Fraction
from pathlib import Path

import av
import numpy as np

from toolkit.audio.signal import SoundFormat


@functools.cache
def programme(rate: int, channels: int, seconds: float = 4.0, seed: int = 0, hiss: float = 0.002) -> np.ndarray:
    """Voice-like bursts with pauses, hiss and 60 Hz hum, float32 `(channels, n)`."""
    rng = np.random.default_rng(seed)
    n = round(rate * seconds)
    t = np.arange(n) / rate
    turns = np.cumsum(130 + 30 * np.sin(2 * np.pi * 0.8 * t)) / rate
    voice = sum(np.sin(2 * np.pi * k * turns + k) / k for k in range(1, 24) if k * 170 < rate / 2)
    level = np.clip(np.sin(2 * np.pi * 0.9 * t) * 2, 0, 1) * 0.12
    hum = sum(0.004 / k * np.sin(2 * np.pi * 60.1 * k * t + k) for k in range(1, 9))
    out = voice * level + hum + hiss * rng.standard_normal((channels, n))
    return out.astype(np.float32)


def in_blocks(samples: np.ndarray, size: int | None = None, seed: int = 0):
    """The samples in blocks of `size`, or of random sizes."""
    rng = np.random.default_rng(seed)
    at = 0
    while at < samples.shape[1]:
        n = size or int(rng.integers(1, 30000))
        yield samples[:, at : at + n]
        at += n


def through(run, samples: np.ndarray, size: int | None = None, seed: int = 0) -> np.ndarray:
    """Everything a run (or a meter-less Cleaner) makes of the samples."""
    parts = [run.process(block) for block in in_blocks(samples, size, seed)]
    return np.concatenate([*parts, run.flush()], axis=1)


def cleaned(cleaner, samples: np.ndarray, size: int | None = None) -> np.ndarray:
    while cleaner.passes:
        for block in in_blocks(samples, size, seed=len(cleaner.passes)):
            cleaner.measure(block)
        cleaner.end_pass()
    return through(cleaner, samples, size)


def late(reference: np.ndarray, result: np.ndarray, rate: int) -> float:
    """Milliseconds by which the first channel is late, by plain correlation in the time domain's spectrum."""
    n = reference.shape[1] + result.shape[1]
    match = np.fft.irfft(np.fft.rfft(result[0], n) * np.conj(np.fft.rfft(reference[0], n)), n)
    at = int(match.argmax())
    return (at - n if at > n // 2 else at) / rate * 1000


def sound_format(rate: int, layout: str) -> SoundFormat:
    return SoundFormat(rate, layout)


def write_clip(
    path: Path,
    sounds: list[np.ndarray],
    rate: int,
    *,
    codec: str = "pcm_s16le",
    layout: str | None = None,
    languages: tuple[str, ...] = (),
    flashes: tuple[float, ...] = (),
    seconds: float | None = None,
    tick: Fraction | None = None,
    stamp=None,
) -> Path:
    """A small grey film (25 fps, 64x48, FFV1) with sound tracks.

    flashes : seconds of white frames.  seconds : length of the picture, by default of the sound.
    stamp   : presentation time in seconds of the sound frame that begins with sample i.
    """
    seconds = seconds or sounds[0].shape[1] / rate
    with av.open(str(path), "w") as container:
        picture = container.add_stream("ffv1" if path.suffix == ".mkv" else "mpeg4", rate=25)
        picture.width, picture.height, picture.pix_fmt = 64, 48, "yuv420p"
        tracks = []
        for i, samples in enumerate(sounds):
            track = container.add_stream(codec, rate=rate)
            track.layout = layout or {1: "mono", 2: "stereo", 6: "5.1"}[samples.shape[0]]
            track.format = track.codec.audio_formats[0]
            if languages:
                track.metadata["language"] = languages[i]
            tracks.append(track)
        packets = []
        for n in range(round(seconds * 25)):
            luma = np.full((72, 64), 128, np.uint8)
            luma[:48] = 235 if any(abs(n / 25 - f) < 1e-6 for f in flashes) else 60 + n % 2
            frame = av.VideoFrame.from_ndarray(luma, format="yuv420p")
            frame.pts, frame.time_base = n, Fraction(1, 25)
            packets += picture.encode(frame)
        packets += picture.encode(None)
        for track, samples in zip(tracks, sounds, strict=True):
            packets += _sound_packets(track, samples, rate, stamp)
        packets.sort(key=lambda p: float((p.dts or 0) * p.time_base))
        for packet in packets:
            container.mux(packet)
    return path


def _sound_packets(track, samples, rate, stamp):
    resampler = av.AudioResampler(format=track.format.name, layout=track.layout.name, rate=rate)
    size = track.codec_context.frame_size or 1024
    packets = []
    for at in range(0, samples.shape[1], size):
        block = np.ascontiguousarray(samples[:, at : at + size], np.float32)
        frame = av.AudioFrame.from_ndarray(block, format="fltp", layout=track.layout.name)
        frame.sample_rate, frame.pts, frame.time_base = rate, at, Fraction(1, rate)
        for made in resampler.resample(frame):
            packets += track.encode(made)
    packets += track.encode(None)
    if stamp is not None:
        for packet in packets:
            at = float(packet.pts * packet.time_base) * rate
            packet.pts = packet.dts = round(stamp(at) / packet.time_base)
    return packets
