"""What is wished of the queue: a job before it is one."""

from __future__ import annotations

import json
import shutil
import time
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

from toolkit.errors import OutputRefused, RequestError

if TYPE_CHECKING:
    from toolkit.presets import Preset

#: Of `toolkit.restore`, what a job may set; the rest is the queue's own.
SETTINGS = (
    "field_order", "audio", "sound_track", "fix_drift", "device", "frames", "max_memory", "overwrite", "write",
    "segment",
)  # fmt: skip


@dataclass(frozen=True)
class Wish:
    """A job to be added.

    preset   : its steps, sound and encoder are taken over when the job is added, so it may be changed or deleted later.
    pipeline : takes the place of the preset's steps.
    settings : more of `toolkit.restore`'s parameters, see `SETTINGS`.
    priority : 0 or more; higher goes first, equal ones in the order of adding.
    tries    : how often the job is begun at most when it fails by no fault of the request.
    after    : numbers of jobs that must be done first; their outputs may be this one's source.
    """

    source: Path | str
    output: Path | str
    preset: Any = "vhs"
    pipeline: Any = None
    settings: dict[str, Any] = field(default_factory=dict)
    priority: int = 0
    tries: int = 3
    after: tuple[int, ...] = ()


def row_of(wish: Wish, presets: dict[Any, Preset]) -> tuple[dict[str, Any], tuple[int, ...]]:
    """The new row of the table of jobs, and the numbers it waits for.  Raises `RequestError`.

    presets : those looked up already, by name.
    """
    from toolkit.media.write import check_output
    from toolkit.presets import Preset, preset

    source, output = (Path(p).expanduser().absolute() for p in (wish.source, wish.output))
    if wish.priority < 0 or wish.priority != int(wish.priority):
        raise RequestError(
            f"the priority is {wish.priority}", expected="a whole number from 0", files="no job was added"
        )
    if wish.tries < 1:
        raise RequestError(f"a job was to be tried {wish.tries} times", expected="1 or more", files="no job was added")
    unknown = sorted(set(wish.settings) - set(SETTINGS))
    if unknown:
        raise RequestError(f"a job has no setting {unknown[0]!r}", expected=f"one of {', '.join(SETTINGS)}")
    if source == output:
        raise OutputRefused(f"{output} is the input itself", expected="another name", files="no job was added")
    check_output(output, source=source, overwrite=bool(wish.settings.get("overwrite")))
    chosen = wish.preset if isinstance(wish.preset, Preset) else presets.get(wish.preset)
    if chosen is None:
        chosen = presets[wish.preset] = preset(wish.preset)
    steps = chosen.pipeline if wish.pipeline is None else wish.pipeline
    settings = {
        "preset": {"name": chosen.name, "when": chosen.when, "audio": chosen.audio, "write": chosen.write},
        "pipeline": steps.to_dict(),
        **wish.settings,
    }
    return {
        "source": str(source),
        "output": str(output),
        "settings": json.dumps(settings),
        "priority": int(wish.priority),
        "limit_of_tries": wish.tries,
        "added": time.time(),
    }, tuple(wish.after)


def clear_done(output: Path) -> None:
    """Removes what a run that is done was killed over clearing up; segments of another run to come stay."""
    from toolkit.segments import clear_up, is_joined, parts_of

    if is_joined(output):
        shutil.rmtree(parts_of(output), ignore_errors=True)
    clear_up(output)


def discard(output: Path) -> None:
    """Removes all that a cancelled run made: its parts, and an output that stood already but was not yet checked."""
    from toolkit.segments import clear_up, is_joined, parts_of

    if is_joined(output):
        output.unlink(missing_ok=True)
    shutil.rmtree(parts_of(output), ignore_errors=True)
    clear_up(output)
