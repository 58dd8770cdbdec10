"""Sound made visible: spectrograms, loudness over time, the noise profile and the hum comb, as matplotlib figures.

Every function takes samples `(channels, n)` and their rate, and gives a `Picture`, which a notebook shows and
`save(path)` writes.  Long sound is drawn from its envelope, so a figure costs little whatever the length.
"""

from __future__ import annotations

import io
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from toolkit.audio.signal import SoundFormat, as_samples, layout_of

if TYPE_CHECKING:
    from matplotlib.figure import Figure

_COLUMNS = 1200  # of a spectrogram; more cannot be seen
_BINS = 1025
BEFORE, AFTER = "#b04a3a", "#2f6f9f"


@dataclass(frozen=True, eq=False)
class Picture:
    """A figure that shows itself in a notebook as PNG."""

    figure: Figure

    def save(self, path: str | Path, dpi: int = 110) -> Path:
        self.figure.savefig(path, dpi=dpi)
        return Path(path)

    def _repr_png_(self) -> bytes:
        from PIL import Image

        out, small = io.BytesIO(), io.BytesIO()
        self.figure.savefig(out, format="png", dpi=90)
        # The noise in a spectrogram is most of a notebook's size; its colour scale has no more than 256 colours.
        few = Image.open(out).convert("RGB").quantize(256, Image.Quantize.MAXCOVERAGE, dither=Image.Dither.NONE)
        few.save(small, "PNG", optimize=True)
        return small.getvalue()


def _figure(rows: int, columns: int = 1, height: float = 2.6, **more: Any) -> tuple[Figure, Any]:
    from matplotlib.figure import Figure

    figure = Figure(figsize=(10, height * rows), layout="constrained")
    return figure, figure.subplots(rows, columns, squeeze=False, **more)


def spectrogram(samples: np.ndarray, rate: int, bins: int = _BINS) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Levels in dBFS `(bins, columns)`, frequencies in Hz, times in seconds: librosa's STFT of the mean channel."""
    import librosa

    mono = as_samples(samples).mean(axis=0)
    size = 2 * (bins - 1)
    mono = np.pad(mono, (0, max(0, size - len(mono))))
    hop = max(size // 4, -(-len(mono) // _COLUMNS))
    power = np.abs(librosa.stft(mono, n_fft=size, hop_length=hop, center=True)) * (4 / size)
    return (
        librosa.amplitude_to_db(power, ref=1.0, amin=1e-7, top_db=None),
        librosa.fft_frequencies(sr=rate, n_fft=size),
        np.arange(power.shape[1]) * hop / rate,
    )


def spectrograms(
    before: np.ndarray, after: np.ndarray, rate: int, names: tuple[str, str] = ("before", "after")
) -> Picture:
    """Before and after, one above the other, in the same colours."""
    figure, axes = _figure(2, sharex=True, sharey=True)
    drawn = [spectrogram(x, rate) for x in (before, after)]
    top = max(float(np.quantile(levels, 0.999)) for levels, _, _ in drawn)
    for axis, name, (levels, freqs, times) in zip(axes[:, 0], names, drawn, strict=True):
        image = axis.imshow(
            levels, origin="lower", aspect="auto", cmap="magma", vmin=top - 90, vmax=top, interpolation="auto",
            extent=(0, times[-1] if len(times) > 1 else 1, 0, freqs[-1] / 1000),
        )  # fmt: skip
        axis.set(ylabel="kHz", title=name)
    axes[-1, 0].set(xlabel="s")
    figure.colorbar(image, ax=axes[:, 0], label="dBFS", pad=0.01)
    return Picture(figure)


def as_loud_as(before: np.ndarray, after: np.ndarray, rate: int) -> np.ndarray:
    """`after`, turned up or down to the integrated loudness of `before`, so that a picture compares what is left of the
    noise and not the level.  Silence is left as it is."""
    from toolkit.audio.meter import measure

    there, here = (measure(x, rate).integrated for x in (before, after))
    return after * 10 ** ((there - here) / 20) if np.isfinite([there, here]).all() else after


def loudness_over_time(
    before: np.ndarray, after: np.ndarray, rate: int, target: float | None = -14.0, layout: str | None = None
) -> Picture:
    """Short-term loudness (3 s) of both, and their integrated loudness, range and true peak."""
    from toolkit.audio.meter import measure

    figure, axes = _figure(1, height=3.2)
    axis = axes[0, 0]
    for name, samples, colour in (("before", before, BEFORE), ("after", after, AFTER)):
        history = measure(samples, rate, layout)
        times, levels = history.over_time()
        told = f"{name}: {history.integrated:.1f} LUFS, range {history.range:.1f} LU, peak {history.true_peak:.1f} dBTP"
        axis.plot(times, np.maximum(levels, -80), color=colour, label=told)
    if target is not None:
        axis.axhline(target, color="grey", linestyle=":", label=f"target {target:g} LUFS")
    axis.set(xlabel="s", ylabel="LUFS (3 s)")
    axis.grid(alpha=0.3)
    axis.legend(loc="lower right", fontsize=8)
    return Picture(figure)


def noise_of(samples: np.ndarray, rate: int) -> tuple[np.ndarray, np.ndarray]:
    """Frequencies (Hz) and the noise `denoise` would find, dBFS in a bin of `spectrogram`; NaN where there is none."""
    from toolkit.audio.denoise import Denoise, NoiseMeter

    samples = as_samples(samples)
    sound = SoundFormat(rate, layout_of(samples.shape[0]))
    meter = NoiseMeter(Denoise(sound, 20, 1))
    for first in range(0, samples.shape[1], rate):
        meter.push(samples[:, first : first + rate])
    profile = meter.result()
    size = meter.p.size
    freqs = np.arange(size // 2 + 1) * rate / size
    if profile is None:
        return freqs, np.full(len(freqs), np.nan)
    # Of the mean channel, in bins as wide as the spectrogram's: that of stereo is the middle / sqrt(2), and of other
    # layouts hiss is independent from channel to channel.
    power = profile[0] / 2 if sound.layout == "stereo" else profile.mean(axis=0) / len(profile)
    return freqs, 10 * np.log10(power * 16 / (size * 2 * (_BINS - 1)) + 1e-20)


def noise_profile(before: np.ndarray, after: np.ndarray, rate: int) -> Picture:
    """The hiss that was measured, under the mean spectra before and after."""
    figure, axes = _figure(1, height=3.4)
    axis = axes[0, 0]
    for name, samples, colour in (("mean spectrum before", before, BEFORE), ("mean spectrum after", after, AFTER)):
        levels, freqs, _ = spectrogram(samples, rate)
        axis.plot(freqs, 10 * np.log10((10 ** (levels / 10)).mean(axis=1)), color=colour, lw=0.8, label=name)
    freqs, noise = noise_of(before, rate)
    axis.plot(freqs, noise, color="black", lw=1.8, label="noise profile (measured where it is quietest)")
    axis.set(xscale="log", xlim=(20, rate / 2), xlabel="Hz", ylabel="dBFS per bin")
    axis.grid(alpha=0.3, which="both")
    axis.legend(fontsize=8)
    return Picture(figure)


def hum_of(samples: np.ndarray, rate: int) -> dict[int, Any]:
    """`{50: HumTrack, 60: HumTrack}` of samples in memory."""
    from toolkit.audio.hum import HumFinder

    samples = as_samples(samples)
    finder = HumFinder(SoundFormat(rate, layout_of(samples.shape[0])))
    for first in range(0, samples.shape[1], rate):
        finder.push(samples[:, first : first + rate])
    return finder.finish()


def hum_comb(before: np.ndarray, after: np.ndarray, rate: int, harmonics: int = 12) -> Picture:
    """The lines of the hum before and after, and how its frequency wanders.

    The spectrum is the lower fifth over time of 4 s windows, so what sounds all the time stands out.
    """
    tracks = hum_of(before, rate)
    track = max(tracks.values(), key=lambda t: t.confidence, default=None)
    found = track is not None and track.found
    figure, axes = _figure(2, height=2.8)
    comb, path = axes[:, 0]
    for name, samples, colour in (("before", before, BEFORE), ("after", after, AFTER)):
        freqs, levels = _steady_spectrum(samples, rate)
        comb.plot(freqs, levels, color=colour, lw=0.9, label=name)
    if found:
        mean = float(track.frequencies.mean())
        for k in range(1, harmonics + 1):
            comb.axvline(k * mean, color="grey", lw=0.5, ls=":")
        times = track.first + np.arange(len(track.frequencies))
        path.plot(times, track.frequencies, color="black", marker="." if len(times) < 40 else None)
        path.set(title=f"{track.mains} Hz mains: {mean:.2f} Hz on this tape, confidence {track.confidence:.1f}")
    else:
        path.set(title="no hum was found")
    comb.set(
        xlim=(20, (harmonics + 0.7) * (track.mains if found else 60)), xlabel="Hz", ylabel="dBFS", title="hum comb"
    )
    comb.legend(fontsize=8)
    path.set(xlabel="s", ylabel="Hz")
    path.ticklabel_format(useOffset=False)
    for axis in (comb, path):
        axis.grid(alpha=0.3)
    return Picture(figure)


def _steady_spectrum(samples: np.ndarray, rate: int) -> tuple[np.ndarray, np.ndarray]:
    """Frequencies up to 1.2 kHz and the level in dBFS that is there four fifths of the time."""
    import librosa

    from toolkit.audio.decimate import Decimator

    mono = as_samples(samples).mean(axis=0, keepdims=True)
    decimator = Decimator(1, max(1, rate // 4000))
    low = np.concatenate([decimator.push(mono), decimator.finish()], axis=1)[0]
    low_rate = rate / decimator.factor
    size = round(4 * low_rate)
    low = np.pad(low, (0, max(0, size - len(low))))
    power = np.abs(librosa.stft(low, n_fft=size, hop_length=size // 4, center=False)) * (4 / size)
    freqs = np.arange(power.shape[0]) * low_rate / size
    shown = freqs <= 1200
    return freqs[shown], 20 * np.log10(np.quantile(power[shown], 0.2, axis=1) + 1e-9)
