"""`vhs-toolkit profile run` and `compare`: what each module costs, and whether a change made it dearer."""

from __future__ import annotations

import json as json_module
import sys
from dataclasses import asdict
from pathlib import Path
from typing import Annotated

from cyclopts import Parameter

Flag = Annotated[bool, Parameter(negative="")]


def run(
    *,
    module: Annotated[tuple[str, ...], Parameter(negative="")] = ("all",),
    clip: Path | None = None,
    repeats: int = 5,
    frames: int = 24,
    limit: float = 120,
    output: Path | None = None,
    html: Path | None = None,
) -> None:
    """Measures what each module's work costs: time, processor, memory, temporary files, open files, processes.

    Parameters
    ----------
    module
        media, kernels, upscale, audio, compare, jobs, widgets, restore or all; may be given several times.
    clip
        A tape of your own, in place of a made one.
    repeats
        How often; each in a process of its own.  `compare` wants 4 or more.
    frames
        Of the tape, for each piece of work.
    limit
        Most seconds for one repeat of a module; one that takes longer is ended and named, and the others go on.
    output
        A JSON file for `profile compare`; written over.
    html
        A page for the browser; written over.
    """
    from toolkit.errors import WorkError
    from toolkit.profiling.lint.report import write
    from toolkit.profiling.measure import run as measure

    asked = () if "all" in module else module
    found = measure(
        asked, clip=clip, repeats=repeats, frames=frames, limit=limit,
        say=lambda line: print(line, file=sys.stderr, flush=True),
    )  # fmt: skip
    if output is not None:
        write(found.to_json(), output)
    if html is not None:
        write(found.to_html(), html)
    print(found)
    if found.failed:
        reasons = "; ".join(f"{module}: {why}" for module, why in found.failed.items())
        raise WorkError(f"not measured: {reasons}", files="" if output is None else f"{output} holds the others")


def compare(
    before: Path,
    after: Path,
    *,
    limit: float = 0.1,
    force: Flag = False,
    json: Annotated[bool, Parameter(name="--json", negative="", help="Print JSON for programs.")] = False,
) -> None:
    """Says what became better or worse between two reports; exits with 1 when something is worse beyond the limit.

    Parameters
    ----------
    before
        JSON of `profile run`.
    after
        Another, of the same machine and tape.
    limit
        How much worse is too much; 0.1 is 10 %.
    force
        Also compare reports of different machines; their ratios are marked.
    """
    from toolkit.errors import WorkError
    from toolkit.profiling.perf import compare as judge
    from toolkit.profiling.perf import read

    found = judge(read(before), read(after), limit=limit, force=force)
    print(json_module.dumps(asdict(found), indent=1) if json else found)
    if found.regressions:
        names = ", ".join(" ".join(filter(None, r.key)) for r in found.regressions)
        raise WorkError(f"worse by more than {100 * limit:g} %: {names}", files="")
