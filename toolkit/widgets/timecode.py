"""Time code: hours, minutes, seconds and frames, as SMPTE 12M counts them.

At 29.97 and 59.94 frames per second the count drops numbers (not frames) so that it keeps up with the clock: the
first two (four) of every minute but each tenth.  Such a time code has a semicolon before the frames.
"""

from __future__ import annotations

import re
from fractions import Fraction

_WRITTEN = re.compile(r"^(?:(\d+):)?(?:(\d+):)?(\d+)[:;](\d+)$")
_CLOCK = re.compile(r"^(?:(?:(\d+):)?(\d+):)?(\d+(?:\.\d*)?|\.\d+)\s*s?$")


def base(rate: Fraction | float) -> tuple[int, bool]:
    """Frames counted to a second, and whether numbers are dropped."""
    nominal = max(1, round(rate))
    drops = nominal in (30, 60) and abs(float(rate) - nominal * 1000 / 1001) < 0.001 * nominal / 2
    return nominal, drops


def written(number: int, rate: Fraction | float) -> str:
    """The time code of frame `number`, counted from 0."""
    nominal, drops = base(rate)
    if drops:
        skip = nominal // 15  # 2 or 4 numbers a minute
        minute, ten = 60 * nominal - skip, 600 * nominal - 9 * skip
        tens, rest = divmod(number, ten)
        number += 9 * skip * tens
        if rest >= minute + skip:
            number += skip * ((rest - skip) // minute)
    seconds, frames = divmod(number, nominal)
    mark = ";" if drops else ":"
    return f"{seconds // 3600:02}:{seconds // 60 % 60:02}:{seconds % 60:02}{mark}{frames:0{len(str(nominal - 1))}}"


def parse(text: str, rate: Fraction | float) -> int:
    """The frame that is meant by a time code (`1:02:03:04`), seconds (`3.5`, `1:02.5`) or a frame number (`#120`).

    Raises ValueError when it is none of these, or a number that the count drops.
    """
    text = text.strip()
    if text.startswith("#") and text[1:].strip().isdigit():
        return int(text[1:])
    nominal, drops = base(rate)
    if (m := _WRITTEN.match(text)) and (text.count(":") + text.count(";") >= 3 or ";" in text):
        parts = [int(p) for p in m.groups() if p is not None]
        hours, minutes, seconds, frames = [0] * (4 - len(parts)) + parts
        if minutes > 59 or seconds > 59 or frames >= nominal:
            raise ValueError(f"{text} is no time code at {nominal} frames a second")
        minutes += 60 * hours
        number = (minutes * 60 + seconds) * nominal + frames
        if drops:
            skip = nominal // 15
            if minutes % 10 and seconds == 0 and frames < skip:
                raise ValueError(f"{text} is a number that this time code leaves out")
            number -= skip * (minutes - minutes // 10)
        return number
    if m := _CLOCK.match(text):
        hours, minutes, seconds = (float(p or 0) for p in m.groups())
        return int((hours * 3600 + minutes * 60 + seconds) * float(rate) + 1e-6)  # the frame on show then
    raise ValueError(f"{text!r} is no time")
