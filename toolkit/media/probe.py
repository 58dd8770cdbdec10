"""Looks at a tape: what the file says, what the picture shows, and which preset to begin with."""

from __future__ import annotations

import html
from collections.abc import Callable, Iterator
from dataclasses import asdict, dataclass
from fractions import Fraction
from functools import lru_cache
from pathlib import Path
from typing import Any

import numpy as np

from kernels.fields import Cadence, FieldOrder, measure_cadence, measure_field_order
from kernels.measure.noise import noise_level
from toolkit.clip import Batch, Clip, PictureFormat, SoundTrack
from toolkit.errors import InputUnreadable
from toolkit.media.pixels import tagged
from toolkit.media.read import Reader
from toolkit.media.times import identity, spacing, uneven

_BURSTS, _LENGTH = 6, 13  # runs of frames that are looked at; two and a half cycles of 3:2 pulldown each
_NOISY, _CLEAN = 6.0, 1.0  # standard deviations in 8-bit levels
_SURE = 0.5
_Measured = tuple[FieldOrder, Cadence, tuple[float, float | None], bool | None, tuple[str, ...]]
_CADENCES = {
    "3:2": "film at 24 frames per second with 3:2 pulldown: two of five frames are mixed from two film frames",
    "2:2": "film or another progressive source, one picture in two fields (2:2)",
}


@dataclass(frozen=True)
class Probe:
    """What a file says and what its picture shows.

    rate            : frames per second on average; `vfr` tells whether frames are unevenly spaced (None: not known).
    frames          : from the index, or length times rate where counting would mean reading the whole file.
    claimed_order   : the field order the file claims; `order` is measured on the picture.
    cadence         : "3:2" or "2:2" for film, "none" for video, "unknown".
    noise           : standard deviation of the noise in 8-bit levels, luma and chroma (None for grey).
    preset, reason  : the preset to begin with, and why.
    """

    path: Path
    container: str
    codec: str
    format: PictureFormat
    rate: Fraction | None
    vfr: bool | None
    frames: int | None
    duration: float | None
    claimed_order: str
    order: FieldOrder
    cadence: Cadence
    noise: tuple[float, float | None]
    sound: tuple[SoundTrack, ...]
    preset: str
    reason: str
    notes: tuple[str, ...] = ()

    @property
    def film(self) -> str | None:
        """A sentence on film material, None for video."""
        return _CADENCES.get(self.cadence.name)

    def to_dict(self) -> dict[str, Any]:
        """Plain values for JSON; ratios as `"num/den"`."""
        form = self.format
        return {
            "path": str(self.path),
            "container": self.container,
            "codec": self.codec,
            "width": form.width,
            "height": form.height,
            "layout": str(form).split()[1],
            "bits": form.bits,
            "rate": None if self.rate is None else f"{self.rate.numerator}/{self.rate.denominator}",
            "fps": None if self.rate is None else round(float(self.rate), 4),
            "vfr": self.vfr,
            "frames": self.frames,
            "duration": self.duration,
            "field_order": {"measured": self.order.order, "confidence": self.order.confidence}
            | {"claimed": self.claimed_order},
            "cadence": {"name": self.cadence.name, "confidence": self.cadence.confidence, "meaning": self.film},
            "sar": f"{form.sar.numerator}/{form.sar.denominator}",
            "dar": f"{form.dar.numerator}/{form.dar.denominator}",
            "colour": {k: getattr(form, k) for k in ("matrix", "primaries", "transfer", "range", "siting")},
            "noise": {"luma": self.noise[0], "chroma": self.noise[1], "unit": "standard deviation, 8-bit levels"},
            "sound": [asdict(track) for track in self.sound],
            "preset": self.preset,
            "reason": self.reason,
            "notes": list(self.notes),
        }

    def rows(self) -> list[tuple[str, str]]:
        """Label and text, as `str()` prints them."""
        form = self.format
        length = "unknown" if self.duration is None else _clock(self.duration)
        frames = f", {self.frames} frames" if self.frames else ""
        rate = "unknown" if self.rate is None else f"{float(self.rate):.3f} frames per second"
        if self.vfr:
            rate += " on average, variable"
        open_tags = [k for k in ("matrix", "primaries", "transfer") if getattr(form, k) == "unknown"]
        full = tagged(form)
        colour = (
            f"{full.matrix} {form.range}, primaries {full.primaries}, transfer {full.transfer}, chroma {form.siting}"
        )
        if open_tags:
            colour += f" (not in the file, taken from the size: {', '.join(open_tags)})"
        chroma = "" if self.noise[1] is None else f", chroma {self.noise[1]:.1f}"
        rows = [
            ("file", f"{self.path.name} ({self.container}, {self.codec}), {length}{frames}"),
            ("picture", f"{form.width}x{form.height} {str(form).split()[1]} {form.bits} bit"),
            ("shape", f"SAR {form.sar}, DAR {form.dar} ({float(form.dar):.3f})"),
            ("rate", rate),
            (
                "field order",
                f"{self.order.order}, measured with confidence {self.order.confidence:.2f} (the file says "
                f"{self.claimed_order})",
            ),
            ("cadence", self._cadence()),
            ("colour", colour),
            ("noise", f"luma {self.noise[0]:.1f}{chroma} (standard deviation in 8-bit levels)"),
        ]
        if not self.sound:
            rows.append(("sound", "none"))
        for i, t in enumerate(self.sound):
            lag = f", begins at {t.start:.3f} s" if abs(t.start) > 5e-4 else ""
            tongue = f" ({t.language})" if t.language and t.language != "und" else ""
            rows.append((f"sound {i}", f"{t.codec} {t.sample_rate} Hz {t.layout}{tongue}{lag}"))
        rows.append(("preset", f"{self.preset}: {self.reason}"))
        return rows + [("note", note) for note in self.notes]

    def _cadence(self) -> str:
        if self.film or self.cadence.name == "none":
            return self.film or "video, every field its own moment"
        return "progressive" if self.order.order == "progressive" else "unknown, too little moves"

    def __str__(self) -> str:
        return "\n".join(f"{label:<12} {text}" for label, text in self.rows())

    def _repr_html_(self) -> str:
        left = "style='text-align:left'"
        rows = (f"<th {left}>{html.escape(a)}</th><td {left}>{html.escape(b)}</td>" for a, b in self.rows())
        return f"<table><tr>{'</tr><tr>'.join(rows)}</tr></table>"


def _clock(seconds: float) -> str:
    whole = int(seconds)
    return f"{whole // 3600}:{whole // 60 % 60:02}:{seconds - whole // 60 * 60:06.3f}"


def probe(path: Path | str | Clip) -> Probe:
    """Says what a file holds, measured on a few bursts of frames from all over it.

    Raises `InputMissing` or `InputUnreadable` when there is no picture to look at.
    """
    clip = path if isinstance(path, Clip) else Clip.open(path)
    order, cadence, noise, vfr, said = _measured(clip)
    whole_vfr, frames = spacing(clip)
    vfr = vfr if whole_vfr is None else whole_vfr
    if frames is None and clip.duration and clip.rate and not vfr:
        frames = round(clip.duration * clip.rate)
    preset, reason = suggest(clip, order, cadence, noise[0])
    notes = list(dict.fromkeys(said))
    claimed = clip.format.field_order
    if order.confidence >= _SURE and claimed not in ("unknown", order.order) and cadence.name != "2:2":
        notes.append(f"the file claims {claimed}, but the picture is {order.order}; the picture is believed")
    return Probe(
        path=clip.path,
        container=clip.container,
        codec=clip.codec,
        format=clip.format,
        rate=clip.rate,
        vfr=vfr,
        frames=frames,
        duration=clip.duration,
        claimed_order=claimed,
        order=order,
        cadence=cadence,
        noise=noise,
        sound=clip.sound,
        preset=preset,
        reason=reason,
        notes=tuple(notes),
    )


def field_order_of(clip: Clip) -> FieldOrder:
    """The field order measured on a clip's picture; remembered for the last few clips."""
    return _measured(clip)[0]


def cadence_of(clip: Clip) -> Cadence:
    """The film cadence measured on a clip's picture; remembered for the last few clips."""
    return _measured(clip)[1]


def _measured(clip: Clip) -> _Measured:
    return _measured_once(clip, identity(clip.path))


@lru_cache(maxsize=16)
def _measured_once(clip: Clip, _: tuple) -> _Measured:
    luma, levels, scale, vfr, said = [], [], 2.0 ** (8 - clip.format.bits), None, []
    # Not by way of `warnings`: to catch those is to change them for every thread.
    for batch in bursts(clip, say=said.append):
        luma.append(batch.planes[0])
        vfr = vfr or uneven(batch.pts)
        one = slice(len(batch) // 2, len(batch) // 2 + 1)
        levels.append([float(noise_level(p[one])[0]) * scale if min(p.shape[1:]) >= 16 else 0.0 for p in batch.planes])
    if not luma:
        raise InputUnreadable(f"no frame of {clip.path} could be decoded", files="the file was not touched")
    moving = [b for b in luma if len(b) >= 2]
    order, cadence = measure_field_order(*moving), measure_cadence(*moving)
    if order.order == "progressive" and cadence.name == "2:2" and clip.format.field_order in ("progressive", "unknown"):
        cadence = Cadence("unknown", 0.0)  # simply a progressive file; nothing was fitted to anything
    typical = np.median(np.array(levels), axis=0)
    chroma = round(float(typical[1:].mean()), 2) if len(typical) == 3 else None
    return order, cadence, (round(float(typical[0]), 2), chroma), vfr, tuple(said)


def bursts(
    clip: Clip, count: int = _BURSTS, length: int = _LENGTH, say: Callable[[str], None] | None = None
) -> Iterator[Batch]:
    """Up to `count` batches of `length` consecutive frames, evenly spread over the clip; short clips whole.

    say : what is told of a damaged file, instead of a warning.
    """
    rate = float(clip.rate or 25)
    span = (clip.duration or 0.0) - 2 * length / rate
    if span < 2 * count * length / rate:
        with Reader(clip, size=length, frames=(0, count * length), say=say) as reader:
            yield from reader
        return
    for i in range(count):
        since = clip.start + span * i / (count - 1)
        with Reader(clip, size=length, frames=(0, length), since=since, say=say) as reader:
            yield from reader


def suggest(clip: Clip, order: FieldOrder, cadence: Cadence, noise: float) -> tuple[str, str]:
    """The preset to begin with and why, and what to change in it for film; data in, data out."""
    interlaced = order.order in ("tff", "bff") or (order.confidence < _SURE and clip.format.interlaced)
    preset, reason = _by_picture(clip, interlaced, noise)
    if interlaced and cadence.name in _CADENCES and cadence.confidence >= _SURE:
        reason += "; --deinterlace film gives the film's own frames back"
    return preset, reason


def _by_picture(clip: Clip, interlaced: bool, noise: float) -> tuple[str, str]:
    level = f"noise {noise:.1f} levels"
    if clip.format.height > 576 or clip.format.width > 1024:
        if interlaced:
            return "master", "high definition but interlaced: deinterlace and leave the rest alone"
        return "master", "high definition and progressive: there is nothing of a tape to restore here"
    if noise >= _NOISY:
        return "vhs-noisy", f"{level}: noise hides detail and should go first"
    if clip.codec == "dvvideo":
        return "dv", f"a camcorder's DV, {level}"
    if clip.codec in ("mpeg2video", "mpeg1video"):
        return "dvd", f"MPEG video as DVD recorders write it, {level}"
    if noise < _CLEAN and not interlaced:
        return "master", f"progressive and clean ({level}): little to restore, so keep it lossless"
    return "vhs", f"an ordinary capture, {level}"
