"""The sample tape from made to judged: what `make demo` runs.  Needs no download."""

from __future__ import annotations

import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from toolkit.errors import OutputRefused


@dataclass(frozen=True)
class Demo:
    """The files of a demo and what was measured."""

    files: dict[str, Path]
    probe: Any
    run: Any
    before: Any
    after: Any

    def __str__(self) -> str:
        parts = [
            "The tape",
            _indented(self.probe),
            "The restored file",
            _indented(self.run),
            "Against the truth: the tape, its lines doubled (bob) and nothing else done",
            _indented(self.before),
            "Against the truth: the restored file",
            _indented(self.after),
            "Files",
            *(f"  {what:<9} {path}" for what, path in self.files.items()),
        ]
        return "\n".join(map(str, parts))


def _indented(thing: Any) -> str:
    return "\n".join(f"  {line}" for line in str(thing).splitlines())


def run(folder: Path, *, frames: int = 60, upscale: str | None = None) -> Demo:
    """Makes a tape of `frames` frames with known truth in `folder`, restores it with the preset `vhs`, compares.

    Earlier demo files in the folder are replaced; nothing else in it is touched.
    """
    from toolkit.compare import compare
    from toolkit.compare.grid import before_after
    from toolkit.media.probe import probe
    from toolkit.presets import preset
    from toolkit.progress import BarSink, Progress
    from toolkit.runner import restore
    from toolkit.settings import changed
    from toolkit.tape import demo, simulate

    chosen = preset("vhs")
    pipeline = changed(chosen.pipeline, upscale=upscale)  # a wrong name is refused before anything is made
    scene, folder = demo(frames=frames), Path(folder)
    if folder.exists() and not folder.is_dir():
        raise OutputRefused(f"{folder} is a file", expected="the name of a folder for the demo's files")
    folder.mkdir(parents=True, exist_ok=True)
    names = {"tape": "tape.mkv", "truth": "truth.mkv", "restored": "restored.mp4", "picture": "before_after.png"}
    files = {what: folder / name for what, name in names.items()}
    print("making a tape with known truth ...", file=sys.stderr)
    simulate(scene, files["tape"], truth=files["truth"], overwrite=True)
    progress = Progress(BarSink(sys.stderr))
    done = restore(
        files["tape"],
        files["restored"],
        pipeline=pipeline,
        overwrite=True,
        progress=progress,
    )
    print("comparing with the truth ...", file=sys.stderr)
    before = compare(files["truth"], files["tape"])
    after = compare(files["truth"], files["restored"])
    before_after(
        files["tape"], files["restored"], files["picture"], truth=files["truth"], labels=("tape", "restored"),
        overwrite=True,
    )  # fmt: skip
    return Demo(files, probe(files["tape"]), done, before, after)
