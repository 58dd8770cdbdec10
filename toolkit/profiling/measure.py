"""`profile run`: each module's work measured several times, each time in a process of its own."""

from __future__ import annotations

import contextlib
import json
import os
import platform
import secrets
import subprocess
import sys
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import psutil

from toolkit import process, scratch
from toolkit.errors import RequestError, UnknownName, WorkError
from toolkit.profiling.device import Device
from toolkit.profiling.perf import Perf, Row
from toolkit.profiling.sizes import folder_bytes

LOOK = 0.1  # seconds between two looks at the process


def run(
    modules: Sequence[str] = (),
    *,
    clip: Path | None = None,
    repeats: int = 5,
    frames: int = 24,
    limit: float = 120,
    say: Callable[[str], None] = lambda line: None,
) -> Perf:
    """Measures `modules` (all when empty) `repeats` times, in turn, so that a drift of the machine hits all alike.

    clip   : the tape to work on; a made one with sound when None.
    frames : of the tape, for each piece of work.
    limit  : most seconds for one repeat of a module.

    A module whose work fails, or is not done within the limit, is named in `failed` with the reason and has no rows;
    the others go on.  Raises `UnknownName`, `RequestError`.
    """
    from toolkit.profiling.workloads import MODULES

    for name in modules:
        if name not in MODULES:
            raise UnknownName("module", name, [*MODULES, "all"])
    if repeats < 1 or frames < 1 or limit <= 0:
        given = f"{repeats} repeats of {frames} frames within {limit:g} s were asked for"
        raise RequestError(given, expected="1 or more of each")
    rows: dict[tuple[str, str, str], Row] = {}
    failed: dict[str, str] = {}
    work = [(n, module) for n in range(repeats) for module in modules or tuple(MODULES)]
    began = time.monotonic()
    with scratch.folder() as here, contextlib.closing(Device()) as device:
        tape = clip if clip is not None else _made(here, frames)
        about = _about(tape, frames, made=clip is None)
        for done, (n, module) in enumerate(work):
            if module in failed:
                continue
            say(f"{module}, {n + 1} of {repeats} ({done} of {len(work)} done, {time.monotonic() - began:.0f} s)")
            try:
                found, new = _once(module, tape, _fresh(here), frames, limit, device)
                if new:  # only the first time after an installation or a change
                    say(f"{module} compiled {new} kernels, which are on the disk now; once more")
                    found, _ = _once(module, tape, _fresh(here), frames, limit, device)
            except WorkError as error:
                failed[module] = error.given
                say(f"{module} failed: {error.given}")
                continue
            for key, value in found.items():
                rows.setdefault(key, Row(*key, values=[])).values.append(value)
        kept = [row for row in rows.values() if row.module not in failed]
        return Perf(machine(device), about, repeats, kept, failed)


def _fresh(here: Path) -> Path:
    place = here / secrets.token_hex(4)
    place.mkdir()
    return place


def _made(here: Path, frames: int) -> Path:
    from toolkit.tape import demo, simulate

    simulate(demo(frames=frames), here / "tape.mkv", frames=frames)
    return here / "tape.mkv"


def _about(tape: Path, frames: int, made: bool) -> dict[str, Any]:
    from toolkit.clip import Clip

    clip = Clip.open(tape)
    size = None if made else tape.stat().st_size
    return {"name": "made tape" if made else tape.name, "bytes": size, "format": str(clip.format), "frames": frames}


def _once(
    module: str, tape: Path, place: Path, frames: int, limit: float, device: Device
) -> tuple[dict[tuple[str, str, str], float], int]:
    """The figures of one repeat, and how many kernels it had to compile."""
    log = place / "said"
    words = [sys.executable, "-m", "toolkit.profiling.workloads", module, str(tape.absolute()), str(place), str(frames)]
    program = process.start(words, output=log)
    try:
        seen, known = _watch(program, place / "temp", limit, device)
        left = [p for p in known if p.is_running() and p.status() != psutil.STATUS_ZOMBIE]
        names = [f"{p.name()} ({p.pid})" for p in left]
    finally:
        process.end(program)
    told = log.read_text(errors="replace").strip().splitlines()[-1:] or ["it said nothing"]
    try:
        found = json.loads(told[0])
    except ValueError:
        found = {"error": told[0]}
    if "error" in found or program.returncode:
        raise WorkError(f"the work of {module} failed: {found.get('error', f'exit code {program.returncode}')}")
    if names:
        raise WorkError(f"the work of {module} left processes running: {', '.join(names)}; they were ended")
    rows = {(module, part, "seconds"): times["seconds"] for part, times in found["parts"].items()}
    whole = found["whole"]
    own = {
        "seconds": whole["seconds"],
        "cpu seconds": whole["cpu_seconds"],
        "cpu share": whole["cpu_seconds"] / whole["seconds"] / (os.cpu_count() or 1),
        "peak bytes": found["peak"],
        "resident bytes": found["resident"],
        "temporary bytes left": float(folder_bytes(place / "temp")),
        **seen,
    }
    return rows | {(module, "", measure): float(value) for measure, value in own.items()}, found.get("compiled", 0)


def _watch(
    program: subprocess.Popen, temp: Path, limit: float, device: Device
) -> tuple[dict[str, float], set[psutil.Process]]:
    """The largest numbers seen while the program ran, and every process it started that was seen."""
    most: dict[str, float] = {"temporary bytes": 0, "open files": 0, "threads": 0, "children": 0}
    known: set[psutil.Process] = set()
    began, before = time.monotonic(), device.look()
    while True:
        with contextlib.suppress(psutil.Error):
            root = psutil.Process(program.pid)
            children = root.children(recursive=True)
            known |= set(children)
            now = {"threads": root.num_threads(), "children": len(children), "temporary bytes": folder_bytes(temp)}
            if os.name == "posix":
                now["open files"] = root.num_fds()
            if before is not None and (gpu := device.look()) is not None:
                now |= {"device bytes": max(0, gpu.bytes - before.bytes), "device share": gpu.share}
            most |= {name: max(most.get(name, 0), value) for name, value in now.items()}
        try:
            program.wait(LOOK)
            return most, known
        except subprocess.TimeoutExpired:
            if time.monotonic() - began > limit:
                raise WorkError(f"one repeat took more than {limit:g} s and was ended") from None


def machine(device: Device) -> dict[str, Any]:
    """What the numbers were measured on."""
    import importlib.metadata

    name = platform.processor() or platform.machine()
    with contextlib.suppress(OSError, StopIteration):
        lines = Path("/proc/cpuinfo").read_text().splitlines()
        name = next(line.partition(":")[2].strip() for line in lines if line.startswith("model name"))
    packages = ("vhs-toolkit", "numpy", "numba", "av", "torch")
    return {
        "cpu": name,
        "cores": os.cpu_count(),
        "memory": psutil.virtual_memory().total,
        "system": f"{platform.system()} {platform.machine()}",
        "gpus": device.names,
        "no_gpu_because": device.reason,
        "python": platform.python_version(),
        "versions": {p: importlib.metadata.version(p) for p in packages},
    }
