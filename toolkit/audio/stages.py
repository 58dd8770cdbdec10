"""The sound stages: one declaration each, read by the command line, sliders, sweeps, documentation and tests.

    highpass(100)                     a bound step: hashable, comparable, not yet running
    (dehum(), denoise(reduction=12))  a chain is a tuple of steps
    to_dict(chain), from_dict(data)   its only serialised form

A declaration's body builds what is costly once (`toolkit.audio.run.Prepared`); its first argument is the
`SoundFormat` that arrives, every other one is a knob.
"""

from __future__ import annotations

import inspect
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Annotated, Any, Literal

from kernels.declare import Knob, Parameter, parameters
from toolkit.audio.signal import SoundFormat
from toolkit.errors import KnobError, UnknownName


@dataclass(frozen=True)
class Step:
    """One stage with its knobs set.  `Step` is what `highpass(100)` returns."""

    name: str
    knobs: tuple[tuple[str, Any], ...]

    def __getitem__(self, knob: str) -> Any:
        return dict(self.knobs)[knob]

    def replace(self, **changes: Any) -> Step:
        """The same stage with other knobs; unknown or impossible ones are refused."""
        return STAGES[self.name](**{**dict(self.knobs), **changes})

    def prepare(self, sound: SoundFormat) -> Any:
        """Builds the stage for sound of that format."""
        return STAGES[self.name].build(sound, **dict(self.knobs))

    def to_dict(self) -> dict[str, Any]:
        return {"stage": self.name, **dict(self.knobs)}

    def __repr__(self) -> str:
        return f"{self.name}({', '.join(f'{k}={v!r}' for k, v in self.knobs)})"


class Stage:
    """A declared stage: `name`, `knobs` (of `kernels.declare.Parameter`), and a call that binds them."""

    def __init__(self, build: Callable[..., Any]):
        self.build = build
        self.name = self.__name__ = build.__name__
        self.knobs: dict[str, Parameter] = parameters(build)[1]
        self.__doc__ = build.__doc__
        self.__signature__ = inspect.Signature(
            [p for name, p in inspect.signature(build).parameters.items() if name in self.knobs]
        )

    def __call__(self, *values: Any, **given: Any) -> Step:
        if len(values) > len(self.knobs):
            raise KnobError(f"{self.name} was given {len(values)} values", expected=f"at most {len(self.knobs)}")
        given = {**dict(zip(self.knobs, values, strict=False)), **given}
        for knob in given:
            if knob not in self.knobs:
                raise UnknownName(f"knob of the sound stage {self.name!r}", knob, self.knobs)
        try:
            settled = tuple((k, p.check(self.name, given.get(k, p.default))) for k, p in self.knobs.items())
        except (TypeError, ValueError) as error:
            raise KnobError(str(error)) from None
        return Step(self.name, settled)

    def __repr__(self) -> str:
        return f"<sound stage {self.name}{self.__signature__}>"


#: Every sound stage by name.
STAGES: dict[str, Stage] = {}


def _stage(build: Callable[..., Any]) -> Stage:
    STAGES[build.__name__] = made = Stage(build)
    return made


Frequency = Annotated[float, Knob(10, 20000, unit="Hz", scale="log")]
Decibels = Annotated[float, Knob(0, 60, step=0.5, unit="dB", soft=(0, 30))]


@_stage
def highpass(
    sound,
    frequency: Annotated[float, Knob(5, 2000, unit="Hz", soft=(20, 300), scale="log")] = 100.0,
    slope: Annotated[int, Knob(6, 48, step=6, unit="dB/octave")] = 12,
):
    """Removes rumble below `frequency` (-3 dB there).

    The magnitude of a Butterworth filter as a linear-phase FIR, so that nothing moves in time at any frequency.
    """
    from toolkit.audio.fir import Response, butterworth

    return Response(sound, lambda f: butterworth(f, frequency, slope, "high"), lowest=12 * frequency / slope)


@_stage
def lowpass(
    sound,
    frequency: Annotated[float, Knob(1000, 40000, unit="Hz", soft=(4000, 18000), scale="log")] = 14500.0,
    slope: Annotated[int, Knob(6, 96, step=6, unit="dB/octave")] = 24,
):
    """Removes hiss above `frequency` (-3 dB there); nothing happens when the sample rate does not reach that far.

    The magnitude of a Butterworth filter as a linear-phase FIR.
    """
    from toolkit.audio.fir import Response, butterworth

    return Response(sound, lambda f: butterworth(f, frequency, slope, "low"), lowest=1000.0)


@_stage
def equaliser(
    sound,
    frequency: Frequency = 3000.0,
    gain: Annotated[float, Knob(-24, 24, step=0.5, unit="dB", soft=(-12, 12))] = 2.0,
    width: Annotated[float, Knob(0.1, 6, unit="octaves", soft=(0.3, 3))] = 1.0,
):
    """Lifts or lowers a band around `frequency` by `gain`; half the gain in dB is left at the edges of `width`.

    A bell of the second order (analog peaking prototype) as a linear-phase FIR.
    """
    from toolkit.audio.fir import Response, bell

    band = frequency * (2 ** (width / 2) - 2 ** (-width / 2))
    return Response(sound, lambda f: bell(f, frequency, gain, width), lowest=min(frequency, band) / 2)


@_stage
def dehum(
    sound,
    mains: Literal["auto", "50", "60"] = "auto",
    harmonics: Annotated[int, Knob(1, 40, step=1)] = 24,
    smoothing: Annotated[float, Knob(0.5, 8, unit="s", soft=(1, 6))] = 4.0,
):
    """Takes mains hum and its harmonics out, following their drift; sound without hum is left as it is.

    The frequency is found on the whole track by harmonic summation (librosa) and followed; each harmonic's complex
    amplitude is then estimated from `smoothing` seconds each way, mostly from pauses, and the hum so modelled is
    subtracted.
    """
    from toolkit.audio.hum import Dehum

    return Dehum(sound, mains, harmonics, smoothing)


@_stage
def denoise(
    sound,
    reduction: Decibels = 20.0,
    strength: Annotated[float, Knob(0.25, 4, unit="times the noise power", soft=(0.5, 2), scale="log")] = 1.0,
    hiss: Annotated[float, Knob(-100, 0, step=0.5, unit="dBFS", soft=(-70, -30))] = 0.0,
):
    """Lowers steady hiss by up to `reduction`, by a noise profile taken where the track is quietest.

    Short-time spectra are weighed by a Wiener gain whose signal-to-noise ratio comes from a first, smoothed estimate
    looking both ways in time and frequency.  `strength` scales the profile; `hiss`, when it is not 0, takes the
    place of the measured one: white noise of that RMS.
    """
    from toolkit.audio.denoise import Denoise

    return Denoise(sound, reduction, strength, hiss)


@_stage
def declick(
    sound,
    threshold: Annotated[float, Knob(2, 50, unit="times the noise", soft=(4, 20), scale="log")] = 8.0,
    longest: Annotated[float, Knob(0.1, 25, unit="ms", soft=(0.5, 10))] = 4.0,
):
    """Repairs clicks and short dropouts, up to `longest`, from the sound around them.

    Clicks stand out of the error of a linear predictor; the gap is filled with the samples that the predictor finds
    most likely from both sides (least-squares AR interpolation, Janssen et al. 1986).
    """
    from toolkit.audio.declick import Declick

    return Declick(sound, threshold, longest)


@_stage
def compressor(
    sound,
    threshold: Annotated[float, Knob(-60, 0, step=0.5, unit="dBFS")] = -20.0,
    ratio: Annotated[float, Knob(1, 20, soft=(1, 8), scale="log")] = 2.0,
    attack: Annotated[float, Knob(0.1, 500, unit="ms", scale="log")] = 20.0,
    release: Annotated[float, Knob(1, 5000, unit="ms", scale="log")] = 250.0,
    makeup: Annotated[float, Knob(0, 24, step=0.5, unit="dB")] = 0.0,
):
    """Evens out the level: above `threshold` the sound rises by only 1/`ratio` (FFmpeg's acompressor)."""
    from toolkit.audio.graph import Graph, ratio_of

    options = {
        "threshold": ratio_of(threshold),
        "ratio": ratio,
        "attack": attack,
        "release": release,
        "makeup": ratio_of(makeup),
        "detection": "rms",
        "link": "average",
    }
    return Graph(sound, (("acompressor", options),), delay=0)


@_stage
def limiter(
    sound,
    ceiling: Annotated[float, Knob(-24, 0, step=0.1, unit="dBTP")] = -1.5,
    release: Annotated[float, Knob(5, 1000, unit="ms", scale="log")] = 60.0,
):
    """Keeps true peaks (4 times oversampled, ITU-R BS.1770) under `ceiling`, looking a few milliseconds ahead."""
    from toolkit.audio.limiter import Limiter

    return Limiter(sound, ceiling, release)


@_stage
def loudness(
    sound,
    target: Annotated[float, Knob(-40, -5, step=0.5, unit="LUFS", soft=(-24, -12))] = -14.0,
    peak: Annotated[float, Knob(-9, 0, step=0.1, unit="dBTP")] = -1.5,
    range: Annotated[float, Knob(1, 50, step=0.5, unit="LU", soft=(4, 25))] = 11.0,
):
    """Brings the track to `target` with true peaks under `peak` and a loudness range of at most `range`.

    Two passes (EBU R128, Tech 3342): the first measures, the second applies one gain, a slow ride where the range
    is too wide, and a look-ahead limiter whose loss was reckoned in.  Silence stays silence.
    """
    from toolkit.audio.loudness import Loudness

    return Loudness(sound, target, peak, range)


@_stage
def mono_to_stereo(sound):
    """Makes stereo of mono: both channels carry the same sound.  Other layouts pass."""
    from toolkit.audio.layout import MonoToStereo

    return MonoToStereo(sound)


@_stage
def repair_dead_channel(
    sound,
    difference: Annotated[float, Knob(10, 80, step=1, unit="dB")] = 30.0,
):
    """Fills a dead channel of a stereo track with the living one.

    Dead is a channel that is silent, or whose programme lies `difference` or more below the other's, or that holds
    only steady noise beside a living one.
    """
    from toolkit.audio.layout import RepairDeadChannel

    return RepairDeadChannel(sound, difference)


@_stage
def upmix(sound):
    """Spreads stereo to 5.1 (FFmpeg's surround filter).  Other layouts pass."""
    from toolkit.audio.layout import upmix_graph

    return upmix_graph(sound)


@_stage
def afftdn(
    sound,
    reduction: Annotated[float, Knob(0.01, 97, unit="dB", soft=(3, 30))] = 12.0,
    floor: Annotated[float, Knob(-80, -20, step=1, unit="dB")] = -50.0,
):
    """Lowers hiss with FFmpeg's afftdn, against a given noise floor.  For comparison; `denoise` measures its own."""
    from toolkit.audio.graph import Graph

    return Graph(sound, (("afftdn", {"nr": reduction, "nf": floor}),))


@_stage
def declip(sound, threshold: Annotated[float, Knob(1, 100)] = 10.0):
    """Rebuilds clipped peaks (FFmpeg's adeclip, autoregressive)."""
    from toolkit.audio.graph import Graph

    return Graph(sound, (("adeclip", {"threshold": threshold}),))


def to_dict(chain: Sequence[Step]) -> list[dict[str, Any]]:
    """The chain as plain lists and dictionaries, for presets, manifests and the queue."""
    return [step.to_dict() for step in chain]


def from_dict(data: Sequence[dict[str, Any]]) -> tuple[Step, ...]:
    """The chain that `to_dict` wrote; unknown stages and knobs are refused."""
    steps = []
    for entry in data:
        entry = {"stage": entry} if isinstance(entry, str) else dict(entry)
        name = entry.pop("stage", None)
        if name not in STAGES:
            raise UnknownName("sound stage", str(name), STAGES)
        steps.append(STAGES[name](**entry))
    return tuple(steps)
