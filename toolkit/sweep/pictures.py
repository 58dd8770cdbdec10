"""What a sweep's best settings look like: beside the tape and the truth, as a contact sheet and as a video."""

from __future__ import annotations

import os
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

from toolkit.compare.samples import Sample, sample
from toolkit.errors import OutputRefused, RequestError
from toolkit.sweep.run import open_sweep
from toolkit.sweep.table import Sweep

if TYPE_CHECKING:
    from PIL.Image import Image

    from toolkit.compare.video import Stacked

TAPE, TRUTH = "tape", "truth"
#: How often a video shows each burst before the next: half a second is too short to see what moves.
TURNS = 4


def pictures_of(found: Sweep, metric: str, top: int) -> dict[str, Sample]:
    """Name -> sample of the tape, the best settings and, where there is one, the truth.

    All on the tape's clock.  Raises a `ToolkitError` when the tape cannot be found or has changed.
    """
    check_top(top)
    some, truth = found.sample, found.truth
    if some is None:
        origin = found.about.get("sample")
        if origin is None:
            raise OutputRefused("the tape of this sweep was in memory only")
        some = sample(**origin)
        truth = some.beside(found.about["truth"]) if found.about.get("truth") else None
        key = some.key + (f"-{truth.key}" if truth else "")
        if key != found.about.get("frames"):
            raise OutputRefused(f"{origin['source']} does not hold the frames of the sweep any more")
    shown = {TAPE: some.cut()}
    for rank, at in enumerate(found.ranked(metric).index[:top], 1):
        shown[f"{rank}. {found.label(at)}"] = some.through(found.trials[at].pipeline)
    return shown if truth is None else {**shown, TRUTH: _on_clock_of(some, truth)}


def check_top(top: int) -> None:
    """Raises `RequestError` where none of the best settings would be shown."""
    if top < 1:
        raise RequestError(f"top is {top}", expected="1 or more of the best settings")


def spare(found: Sweep, path: str | Path) -> None:
    """Raises `OutputRefused` where `path` is the tape of the sweep or its truth."""
    origin = found.sample.origin if found.sample is not None else found.about.get("sample")
    for own in (origin and origin["source"], found.about.get("truth")):
        if own and Path(path).exists() and Path(own).exists() and os.path.samefile(own, path):
            raise OutputRefused(f"{path} is what the sweep looked at", expected="another name")


def _on_clock_of(tape: Sample, truth: Sample) -> Sample:
    """The truth, each burst moved to the time of the tape's, for clocks that start far apart."""
    bursts = []
    for here, there in zip(tape.bursts, truth.bursts, strict=True):
        frames = there.frames
        apart = float(here.own.times[0] - there.own.times[0]) / float(frames.time_base)
        bursts.append(replace(there, frames=frames.replace(pts=frames.pts + round(apart))))
    return replace(truth, bursts=tuple(bursts))


def middles(one: Sample) -> list[float]:
    """The time in the middle of each burst, on the sample's own clock."""
    return [float(b.own.times[len(b.own) // 2]) for b in one.bursts]


def sheet_of(
    found: Sweep, metric: str | None = None, top: int = 3, *, height: int = 240, bursts: int | None = None
) -> Image:
    """The tape, the best settings and, where there is one, the truth beside each other, a row for each burst.

    height : of each picture; `bursts`: only the first so many.

    Raises a `ToolkitError` when the tape cannot be found or has changed.
    """
    return sheet(pictures_of(found, found.metric(metric), top), height, bursts)


def sheet(pictures: dict[str, Sample], height: int = 240, bursts: int | None = None) -> Image:
    from toolkit.compare.grid import contact_sheet

    return contact_sheet(pictures, middles(pictures[TAPE])[:bursts], regions=[(0.35, 0.35, 0.25, 0.25)], height=height)


def write_video(
    found: Sweep | str | Path,
    path: str | Path,
    *,
    metric: str | None = None,
    top: int = 3,
    height: int | None = None,
    columns: int | None = None,
    overwrite: bool = False,
) -> Stacked:
    """Writes a sweep (or the folder of one) as a video: tape, best settings and truth move side by side.

    path   : .mp4 (H.264) or .webm (VP9); each burst is shown four times, then the next, at the tape's own speed.
    metric : what "best" means; the usual measure when left out.  `top`: how many of the best settings.
    height : of each picture, the tape's own when left out; `columns` of them in a row (up to three, then a square).

    Raises what `stacked_video` raises, `InputMissing` for a folder without a sweep, and a `ToolkitError` when the tape
    cannot be found or has changed.  A failure leaves no file.
    """
    from toolkit.compare.video import check_output, stacked_video

    check_output(path, overwrite)  # before the settings are computed rather than after it
    found = found if isinstance(found, Sweep) else open_sweep(found)
    spare(found, path)
    pictures = pictures_of(found, found.metric(metric), top)
    height = pictures[TAPE].format.height if height is None else height
    return stacked_video(pictures, path, height=height, columns=columns, turns=TURNS, overwrite=overwrite)
