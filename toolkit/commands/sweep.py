"""vhs-toolkit sweep, vhs-toolkit report."""

from __future__ import annotations

import json as json_
import shlex
import sys
from pathlib import Path
from typing import Annotated, Any, Literal

from cyclopts import App, Parameter

sweep_app = App(name="sweep", help="Tries settings on samples of a tape and ranks them.")
report_app = App(name="report")

Json = Annotated[bool, Parameter(name="--json", negative="", help="Print JSON for programs.")]


@sweep_app.default
def sweep(
    tape: Path,
    *,
    knob: Annotated[list[str], Parameter(negative="")],
    truth: Path | None = None,
    preset: str = "vhs",
    random: int | None = None,
    search: int | None = None,
    stop_early: Annotated[bool, Parameter(negative="")] = False,
    seed: int = 0,
    limit: int = 10_000,
    times: str | None = None,
    bursts: int = 3,
    length: int = 12,
    field_order: str = "auto",
    align: Literal["times", "full"] = "times",
    vmaf: Annotated[bool, Parameter(negative="")] = False,
    blind: Annotated[bool | None, Parameter(negative="--no-blind")] = None,
    metric: str | None = None,
    workers: int = 0,
    folder: Path | None = None,
    report: Path | None = None,
    save_preset: str | None = None,
    json: Json = False,
) -> None:
    """Tries settings on samples of TAPE, puts the numbers side by side and says which is best.

    Rows are kept, so the same command goes on where it was interrupted, and a wider one only computes what is new.

    Parameters
    ----------
    knob
        KEY=VALUE,VALUE,... or KEY=LOW..HIGH[:COUNT]; several times. "denoise.strength=2,4,8",
        "denoise=nlmeans,hqdn3d,none", "denoise.nlmeans.noise=2..8:4".
    truth
        The clean clip on the same clock; without it settings are ranked by how well they predict the tape.
    preset
        What the settings are changes of.
    random
        So many trials drawn at random in place of all combinations.
    search
        So many trials, each chosen by what the others gave; needs the package optuna.
    stop_early
        Give up settings of a search that are behind the median of the others after the first bursts.
    limit
        More trials than this are refused.
    times
        Seconds to look at, such as 12.5,300; evenly spread when left out.
    bursts
        How many places to look at.
    length
        Frames at each.
    field_order
        auto (measured), tff, bff or progressive.
    align
        times pairs equal times; full also corrects a constant offset and shift.
    vmaf
        Also measure VMAF and XPSNR against the truth; needs the package imageio-ffmpeg.
    blind
        Rank without the truth as well.
    metric
        What "best" means, and what a search follows; psnr_Y with a truth, else the blind score.
    workers
        Processes to use; 0 works in this one, all cores on one trial at a time.
    folder
        Where rows are kept; runs/ and a key when left out.
    report
        Also write this HTML page.
    save_preset
        Also write the winner as NAME.yaml, for restore --preset NAME.yaml; sound and encoder are those of --preset.
    """
    from contextlib import ExitStack

    from toolkit.compare.metrics import METRICS
    from toolkit.compare.viewers import SCORES
    from toolkit.errors import OutputRefused, RequestError, UnknownName
    from toolkit.presets import preset as find
    from toolkit.progress import BarSink, JsonSink, Progress
    from toolkit.sweep import local_executor, write_report
    from toolkit.sweep import sweep as run
    from toolkit.sweep.space import parse_axis, parse_times
    from toolkit.sweep.table import BETTER

    for path in (report, Path(f"{save_preset}.yaml") if save_preset else None):
        if path is not None and path.exists():  # before the work rather than after it
            raise OutputRefused(f"{path} exists", expected="a new name")
    if random is not None and search is not None:
        raise RequestError("both --random and --search were asked for", expected="one of them")
    if metric is not None and not metric.startswith(tuple(BETTER)):
        raise UnknownName("measure", metric, BETTER)
    if stop_early and search is None:
        raise RequestError("--stop-early goes with a search", hint="--search 30 --stop-early")
    chosen_by: dict[str, Any] = {"how": "grid" if random is None else "random", "count": random}
    if search is not None:
        chosen_by = {"how": "optuna", "count": search, "goal": metric, "stop_early": stop_early}
    space = dict(parse_axis(text) for text in knob)
    seconds = parse_times(times)
    chosen = find(preset)

    def told(row: dict[str, Any]) -> None:
        if json:
            print(json_.dumps({"event": "trial", **plain(row)}, default=str), flush=True)

    with ExitStack() as stack:
        executor = stack.enter_context(local_executor(workers)) if workers else None
        found = run(
            tape, chosen.pipeline, space, truth=truth, **chosen_by, seed=seed,
            limit=limit, times=seconds, bursts=bursts, length=length, field_order=field_order, align=align, blind=blind,
            metrics=(*METRICS, *SCORES) if vmaf else METRICS,
            executor=executor, folder=folder, on_result=told,
            progress=Progress(JsonSink() if json else BarSink(sys.stderr, unit=" trials")),
        )  # fmt: skip
    best = found.best(metric)
    made, words = {}, _words(tape, preset, best)
    if report is not None:
        made["report"] = str(write_report(found, report, metric=metric))
    if save_preset is not None:
        found.to_preset(save_preset, metric=metric, like=chosen)
        made["preset"] = f"{save_preset}.yaml"
    if json:
        done = {"event": "done", "best": best.to_dict(), "metric": found.metric(metric), "command": words, **made}
        print(json_.dumps({**done, **found.to_dict()}, default=str))
    else:
        whole = [f"the whole tape: {shlex.join(words)}"] if words else []
        print("\n".join([found.text(metric), *whole, *(f"wrote {path}" for path in made.values())]))


def _words(tape: Path, preset: str, best: Any) -> list[str] | None:
    """The command that restores the whole tape with the best settings; None where the command line has no words."""
    from toolkit.errors import RequestError
    from toolkit.settings import spoken

    try:
        return ["vhs-toolkit", "restore", str(tape), "OUTPUT.mp4", "--preset", preset, *spoken(best)]
    except RequestError:
        return None


@report_app.default
def report(
    folder: Path,
    output: Path,
    *,
    notebook: Annotated[bool, Parameter(negative="")] = False,
    metric: str | None = None,
    top: int = 3,
    overwrite: Annotated[bool, Parameter(negative="")] = False,
    json: Json = False,
) -> None:
    """Writes the sweep in FOLDER as one HTML page, a notebook or a video: winner, plot, pictures, table.

    OUTPUT that ends in .mp4 or .webm becomes a video: the tape, the best settings and the truth side by side.

    Parameters
    ----------
    notebook
        Write an executed notebook (OUTPUT ends in .ipynb) in place of a page; needs the package papermill.
    metric
        What "best" means; psnr_Y with a truth, else the blind score.
    top
        How many of the best settings to show as pictures.
    overwrite
        Write over an existing report.
    """
    from toolkit.sweep import write_notebook, write_report, write_video

    asked = {"metric": metric, "top": top, "overwrite": overwrite}
    if not notebook and output.suffix.lower() in (".mp4", ".webm"):
        made = write_video(folder, output, **asked)
        print(json_.dumps({"video": str(made.path), "video_frames": made.frames}) if json else f"wrote {made}")
        return
    path = (write_notebook if notebook else write_report)(folder, output, **asked)
    print(json_.dumps({"report": str(path)}) if json else path)


def plain(row: dict[str, Any]) -> dict[str, Any]:
    """Numbers that JSON has; missing ones as None."""
    return {k: None if isinstance(v, float) and (v != v or abs(v) == float("inf")) else v for k, v in row.items()}
