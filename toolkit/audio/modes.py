"""The named chains behind `--audio MODE`."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from toolkit.audio import stages as S
from toolkit.audio.stages import Step
from toolkit.errors import KnobError, RequestError, UnknownName

Chain = tuple[Step, ...]

#: name -> (when to use it, chain).  The filters stand side by side, because neighbours become one convolution.
MODES: dict[str, tuple[str, Chain]] = {
    "keep": ("The sound is good, or must not be touched.", ()),
    "light": (
        "A clean recording: hum and rumble go, hiss is lowered a little, the level is set.",
        (S.repair_dead_channel(), S.dehum(), S.highpass(30), S.denoise(reduction=8), S.loudness()),
    ),
    "moderate": (
        "An ordinary tape.",
        (
            S.repair_dead_channel(),
            S.declick(),
            S.dehum(),
            S.highpass(100),
            S.lowpass(14500),
            S.equaliser(3000, 2),
            S.denoise(reduction=20),
            S.compressor(),
            S.loudness(),
        ),
    ),
    "aggressive": (
        "A worn or many times copied tape, where understanding comes before fidelity.",
        (
            S.repair_dead_channel(),
            S.declick(threshold=6, longest=8),
            S.dehum(harmonics=40, smoothing=2),
            S.highpass(120, 24),
            S.lowpass(10000, 48),
            S.equaliser(3000, 3),
            S.denoise(reduction=30, strength=1.5),
            S.compressor(threshold=-24, ratio=3),
            S.loudness(range=9),
        ),
    ),
    "voice": (
        "People talking: interviews, speeches, family films.",
        (
            S.repair_dead_channel(),
            S.declick(),
            S.dehum(),
            S.highpass(80, 24),
            S.lowpass(9000, 48),
            S.equaliser(3000, 3, 1.5),
            S.denoise(reduction=24),
            S.compressor(threshold=-24, ratio=2.5, attack=10, release=200),
            S.loudness(range=9),
        ),
    ),
    "music": (
        "Concerts and music programmes: wide band, wide range, no compression.",
        (
            S.repair_dead_channel(),
            S.declick(threshold=12, longest=2),
            S.dehum(),
            S.highpass(25),
            S.lowpass(17000, 48),
            S.denoise(reduction=12),
            S.loudness(range=20),
        ),
    ),
}
#: Every name that `--audio` takes; "custom" needs its own chain.
MODE_NAMES = (*MODES, "custom")


def chain_of(mode: str | Sequence[Step] | Sequence[Mapping[str, Any]] | Mapping[str, Any]) -> Chain:
    """The chain that a mode's name, a chain, its dictionaries, or a line of text stands for.

    Text is a mode's name, or stages joined by "+", each with its knobs as on the command line:
    `dehum+highpass:80+denoise:reduction=12,strength=1.2` (a bare number is the first knob).  A stage after a mode's
    name changes that stage where the mode has it and is appended where not: `moderate+denoise:reduction=12`.
    """
    if isinstance(mode, str):
        return _read(mode)
    if isinstance(mode, Mapping):
        if "stages" in mode:
            return S.from_dict(mode["stages"])
        return S.from_dict([mode])
    mode = tuple(mode)
    if all(isinstance(step, Step) for step in mode):
        return mode
    return S.from_dict(mode)


def _read(text: str) -> Chain:
    words = [w.strip() for w in text.split("+")]
    chain: list[Step] = []
    if words[0] == "custom":
        if len(words) == 1:
            raise RequestError(
                "the sound mode custom was given without stages",
                expected="stages joined by +",
                hint="--audio custom+dehum+denoise:reduction=12",
            )
        words = words[1:]
    elif words[0] in MODES:
        chain = list(MODES[words[0]][1])
        words = words[1:]
    elif len(words) == 1 and ":" not in words[0] and words[0] not in S.STAGES:
        raise UnknownName("sound mode", text, (*MODE_NAMES, *S.STAGES))
    for word in words:
        name, _, settings = word.partition(":")
        if name not in S.STAGES:
            raise UnknownName("sound stage", name, S.STAGES)
        known = tuple(S.STAGES[name].knobs)
        words_of = [s if "=" in s else f"{next(iter(known), '')}={s}" for s in settings.split(",") if s.strip()]
        given = dict(_setting(name, s) for s in words_of)
        places = [i for i, step in enumerate(chain) if step.name == name]
        if places:
            chain[places[0]] = chain[places[0]].replace(**given)
        else:
            chain.append(S.STAGES[name](**given))
    return tuple(chain)


def _setting(stage: str, text: str) -> tuple[str, Any]:
    knob, equals, value = (part.strip() for part in text.partition("="))
    known = S.STAGES[stage].knobs
    if knob not in known:
        raise UnknownName(f"knob of the sound stage {stage!r}", knob, known)
    if known[knob].choices:
        return knob, value
    try:
        number = float(value)
    except ValueError:
        raise KnobError(f"{stage}: {knob} is {value!r}", expected="a number") from None
    return knob, int(number) if known[knob].kind is int and number.is_integer() else number
