"""The command line.  It parses, calls one function of the toolkit and prints; all work is done elsewhere."""

from __future__ import annotations

import errno
import json
import logging
import signal
import sys
import warnings
from pathlib import Path
from typing import Annotated, Any, Literal

from cyclopts import App, CycloptsError, MissingArgumentError, Parameter, UnusedCliTokensError

import toolkit
from toolkit.commands.how import DEFAULTS, How
from toolkit.commands.profile import app as profile
from toolkit.commands.queue import app as queue
from toolkit.commands.sweep import report_app, sweep_app
from toolkit.errors import ToolkitError, ToolkitWarning

app = App(
    name="vhs-toolkit",
    help="Restores and upscales VHS captures, with numbers that say what changed.",
    help_epilogue="--debug, with any command, shows the traceback of an error.",
    version=toolkit.__version__,
    result_action="return_value",
    suppress_keyboard_interrupt=False,  # `main` says what happened to the files
)
models = App(name="models", help="Nets for upscaling: list them, see where they are found, fetch them.")
app.command(models)
app.command(profile)
app.command(queue)
app.command(sweep_app)
app.command(report_app)

Json = Annotated[bool, Parameter(name="--json", negative="", help="Print JSON for programs.")]
Overwrite = Annotated[bool, Parameter(negative="", help="Write over an existing output.")]


def show(data: Any, as_json: bool, text: Any = None) -> None:
    print(json.dumps(data, default=str) if as_json else text if text is not None else data)


@app.command
def probe(file: Path, *, json: Json = False) -> None:
    """Says what FILE holds: size, rate, measured field order, aspect, colour, sound, noise, and a preset to try."""
    from toolkit.media.probe import probe as look

    found = look(file)
    show(found.to_dict(), json, found)


@app.command
def restore(
    input: Path,
    output: Path,
    *,
    how: How = DEFAULTS,
    max_memory: str = "2GiB",
    resume: Annotated[bool, Parameter(negative="")] = False,
    scheduler: str | None = None,
    json: Json = False,
) -> None:
    """Restores INPUT into OUTPUT (.mp4, .mkv or .mov), checks what was written and prints the table.

    Parameters
    ----------
    max_memory
        Most memory for frames, for instance 2GiB.
    resume
        Keep what is finished beside OUTPUT, so that after a crash the same command goes on where it stopped.
    scheduler
        Address of a Dask scheduler, over whose workers the segments are spread (with --resume).  All machines must see
        the tape and the output's folder under the same names.
    """
    from toolkit.progress import BarSink, JsonSink, Progress
    from toolkit.runner import restore as run
    from toolkit.settings import parse_bytes

    preset, steps = how.steps()
    done = run(
        input,
        output,
        preset=preset,
        pipeline=steps,
        max_memory=parse_bytes(max_memory),
        resume=resume,
        scheduler=scheduler,
        progress=Progress(JsonSink() if json else BarSink(sys.stderr)),
        **how.settings(),
    )
    show({"event": "done", **done.to_dict()}, json, done)


@app.command
def presets(*, json: Json = False) -> None:
    """Lists the presets, each with when to use it."""
    from toolkit.presets import presets as listed

    found = listed()
    data = [{"name": p.name, "when": p.when, **p.pipeline.to_dict(), "audio": p.audio, "write": p.write} for p in found]
    show(data, json, "\n".join(f"{p.name:<10} {p.when}\n{'':<10} {p.pipeline!r}" for p in found))


@app.command
def stages(*, json: Json = False) -> None:
    """Lists every stage with its knobs, defaults and ranges."""
    from toolkit.settings import stage_table

    rows = stage_table()
    show(rows, json, "\n".join(map(_stage_lines, rows)))


def _stage_lines(row: dict[str, Any]) -> str:
    knobs = [f"    {k['name']}={k['default']}  ({k['range']} {k['unit']}".rstrip() + ")" for k in row["knobs"]]
    return "\n".join([f"{row['name']}  {row['summary']}", *knobs])


@app.command
def sounds(*, json: Json = False) -> None:
    """Lists the sound modes and the sound stages with their knobs, for --audio."""
    from toolkit.audio import MODES, STAGES
    from toolkit.settings import knob_rows

    modes = [{"name": n, "when": when, "stages": [s.to_dict() for s in chain]} for n, (when, chain) in MODES.items()]
    rows = [knob_rows(n, s.__doc__, s.knobs) for n, s in STAGES.items()]
    lines = [f"{m['name']:<10}  {m['when']}\n{'':<12}{' + '.join(s['stage'] for s in m['stages'])}" for m in modes]
    lines += ["custom      Your own chain, or a mode changed: custom+dehum+denoise:12, moderate+denoise:reduction=12"]
    show({"modes": modes, "stages": rows}, json, "\n".join([*lines, "", *map(_stage_lines, rows)]))


@app.command
def sync(file: Path, *, track: str | None = None, events: Annotated[bool, Parameter(negative="")] = False,
         json: Json = False) -> None:  # fmt: skip
    """Measures how the sound of FILE lies against its picture: offset, and drift in milliseconds per hour.

    Parameters
    ----------
    track
        The sound track, by number (from 0) or language.
    events
        Decode all and compare cuts and flashes with onsets of sound, instead of trusting the file's own times.
    """
    from dataclasses import asdict

    from toolkit.audio import choose_track
    from toolkit.clip import Clip
    from toolkit.soundtrack import measure_sync

    clip = Clip.open(file)
    found = measure_sync(clip, choose_track(clip, track), events)
    show({**asdict(found), "drift_ms_per_hour": found.drift, "certain": found.certain}, json, found)


@app.command
def doctor(*, json: Json = False) -> None:
    """Says what is installed, what is missing and for what."""
    from toolkit.doctor import examine

    found = examine()
    show(found.to_dict(), json, found)


@app.command
def simulate(
    clean: Path,
    tape: Path,
    *,
    truth: Path | None = None,
    standard: Literal["ntsc", "pal"] = "ntsc",
    seed: int = 0,
    faults: str = "",
    ideal: Annotated[bool, Parameter(negative="")] = False,
    frames: int | None = None,
    motion: Literal["hold", "retime"] = "hold",
    layout: Literal["4:2:2", "4:2:0", "4:1:1", "4:4:4"] = "4:2:2",
    overwrite: Overwrite = False,
    json: Json = False,
) -> None:
    """Makes an interlaced tape with VHS faults from a CLEAN progressive clip ("demo": the built-in scene).

    Parameters
    ----------
    truth
        Also write the clean frames at field rate here.
    standard
        720x480 at 29.97 frames a second, or 720x576 at 25.
    seed
        Another number, other noise and dropouts.
    faults
        knob=value,... for instance luma_noise=8,dropouts=0,chroma_delay=300.
    ideal
        Start from a recorder without faults, so that only --faults spoil the picture.
    frames
        At most so many frames of tape.
    motion
        hold shows each clean frame as long as it lasts; retime makes each one a field of its own.
    layout
        Chroma layout of both files.
    """
    from toolkit.progress import BarSink, Progress
    from toolkit.settings import parse_pairs
    from toolkit.tape import demo
    from toolkit.tape import simulate as make

    made = make(
        demo(frames=frames or 90, standard=standard) if str(clean) == "demo" else clean,
        tape,
        truth=truth,
        ideal=ideal,
        frames=frames,
        motion=motion,
        layout=layout,
        overwrite=overwrite,
        progress=Progress(BarSink(sys.stderr)),
        **{"standard": standard, "seed": seed, **parse_pairs(faults)},
    )
    show(made.to_dict(), json, made)


@app.command
def compare(
    truth: Path,
    result: Path,
    *,
    align: Literal["full", "times"] = "full",
    crop: str = "0,0,0,0",
    metrics: str = "psnr,ssim,combing,flicker,detail",
    video: Path | None = None,
    overwrite: Overwrite = False,
    json: Json = False,
) -> None:
    """Aligns RESULT with TRUTH in time and place and prints PSNR, SSIM, flicker, combing and detail kept per plane.

    Parameters
    ----------
    align
        full corrects a constant offset and shift and says so; times pairs equal times and corrects nothing.
    crop
        LEFT,TOP,RIGHT,BOTTOM samples to leave out, such as a head-switching band.
    metrics
        Which to measure; also noise, and vmaf and xpsnr by FFmpeg's own program (package imageio-ffmpeg).
    video
        Also write both side by side, with their names, as this .mp4 or .webm.
    """
    from toolkit.compare import compare as judge
    from toolkit.compare import stacked_video
    from toolkit.compare.video import check_output
    from toolkit.settings import parse_crop

    if video is not None:
        check_output(video, overwrite)
    names = tuple(name for part in metrics.split(",") if (name := part.strip()))
    found = judge(truth, result, align=align, crop=parse_crop(crop), metrics=names)
    made = None
    if video is not None:
        made = stacked_video({truth.name: truth, f"{result.name} (result)": result}, video, overwrite=overwrite)
    more = {} if made is None else {"video": str(made.path), "video_frames": made.frames}
    show({**found.to_dict(), **more}, json, found if made is None else f"{found}\nwrote {made}")


@app.command
def demo(folder: Path = Path("demo"), *, frames: int = 60, upscale: str | None = None) -> None:
    """Makes a sample tape in FOLDER, restores it, compares with the truth and says where the files are.

    Parameters
    ----------
    folder
        Where the files go; those of an earlier demo are replaced, nothing else is touched.
    frames
        Length of the tape; 30 are a second.
    upscale
        NAME[:knob=value,...] in place of Lanczos (see "stages").
    """
    from toolkit.demo import run

    print(run(folder, frames=frames, upscale=upscale))


@models.command(name="list")
def models_list(*, json: Json = False) -> None:
    """Lists the known nets: name, scale, size, licence, and where each is found."""
    from toolkit.upscale import models_list as listed

    rows = listed()
    show(rows, json, "\n".join(_model_line(r) for r in rows))


@models.command
def info(name: str, *, json: Json = False) -> None:
    """Says all about one net."""
    from toolkit.upscale import info as about

    row = about(name)
    show(row, json, _facts(row))


@models.command
def fetch(name: str, *, json: Json = False) -> None:
    """Brings a net's weights into the cache, checked against their SHA-256."""
    from toolkit.upscale import fetch as bring

    row = bring(name)
    show(row, json, _facts(row))


def _facts(row: dict[str, Any]) -> str:
    told = {k: ", ".join(map(str, v)) if isinstance(v, (list, tuple)) else v for k, v in row.items()}
    return "\n".join(f"{k:<13} {v}" for k, v in told.items() if v not in (None, ""))


def _model_line(row: dict[str, Any]) -> str:
    return f"{row['name']:<32} x{row['scale']}  {row['found'] or 'not here':<9} {row['licence']:<13} {row['summary']}"


def main(words: list[str] | None = None) -> int:
    """Runs the command line; returns 0, 1 (the work failed), 2 (the request was wrong) or 130 (it was stopped)."""
    words = list(sys.argv[1:] if words is None else words)
    debug = "--debug" in words
    words = [w for w in words if w != "--debug"]
    # So that kill (SIGTERM) cleans up as Ctrl-C does.
    signal.signal(signal.SIGTERM, _interrupt)
    warnings.formatwarning = _plain_warning
    logging.basicConfig(format="%(message)s", stream=sys.stderr)
    logging.getLogger("kernels").setLevel(logging.INFO)
    try:
        app(words, exit_on_error=False, print_error=False)
        return 0
    except ToolkitError as error:
        if debug:
            raise
        print(f"vhs-toolkit: {error}", file=sys.stderr)
        return error.exit_code
    except CycloptsError as error:
        if debug:
            raise
        print(f"vhs-toolkit: {_request(error)}", file=sys.stderr)
        return 2
    except KeyboardInterrupt:
        kept, none = "what is finished was kept: the same command goes on", "nothing half-written was left"
        left = kept if {"--resume", "--scheduler"} & set(words) or words[:1] in (["queue"], ["sweep"]) else none
        print(f"vhs-toolkit: stopped; {left}, the input was not touched", file=sys.stderr)
        return 130
    except BrokenPipeError:
        sys.stderr.close()
        return 1
    except OSError as error:  # a disk or folder that fails where no one expects it, such as that of temporary files
        if debug:
            raise
        where = f" ({error.filename})" if error.filename else ""
        said = f"the system refused: {error.strerror or error}{where}; nothing half-written was left under its name"
        hint = "a shorter name" if error.errno == errno.ENAMETOOLONG else "another folder or disk"
        print(f"vhs-toolkit: {said}; try: {hint}, or --debug to see where", file=sys.stderr)
        return 1


def _request(error: CycloptsError) -> str:
    """The sentence for words that fit no command: what was given, and whose help says more."""
    said = " ".join(str(error).split()).removesuffix(", ...").removesuffix(".")
    if isinstance(error, UnusedCliTokensError):
        said = f"too many words: {' '.join(error.unused_tokens or [])!r} is left over"
        said += "; a name with spaces wants quotes around it"
    elif isinstance(error, MissingArgumentError) and error.keyword:
        said = f"{error.keyword} was given no value"
    elif isinstance(error, MissingArgumentError) and error.argument is not None and error.command_chain:
        option = error.argument.name
        name = option.lstrip("-").upper() if error.argument.field_info.is_positional else option
        said = f"{' '.join(error.command_chain)} wants {name}"
    help_of = " ".join(["vhs-toolkit", *(error.command_chain or ()), "--help"])
    return f"{said}; nothing was written; try: {help_of}"


def _plain_warning(message: Warning | str, category: type[Warning], *place: Any, **more: Any) -> str:
    """One of the toolkit's own as a sentence; others with the place in the code."""
    return f"vhs-toolkit: {message}\n" if issubclass(category, ToolkitWarning) else _as_ever(message, category, *place)


_as_ever = warnings.formatwarning


def _interrupt(number: int, frame: Any) -> None:
    raise KeyboardInterrupt


if __name__ == "__main__":
    sys.exit(main())
