"""What every benchmark shares: the machine's description, runs of whole programs, results on disk."""

from __future__ import annotations

import functools
import importlib.metadata
import json
import os
import platform
import statistics
import subprocess
import sys
import tempfile
import time
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

HERE = Path(__file__).parent
RESULTS = HERE / "results"


def machine() -> dict[str, Any]:
    """What the numbers were measured on."""
    name = platform.processor() or platform.machine()
    try:
        lines = Path("/proc/cpuinfo").read_text().splitlines()
        fields = {k.strip(): v.strip() for k, _, v in (line.partition(":") for line in lines)}
        name = f"{fields['model name']} (model {fields['model']})"
    except (OSError, KeyError):
        pass
    packages = ("vhs-toolkit", "numpy", "numba", "av", "torch", "imageio-ffmpeg")
    return {
        "cpu": name,
        "cores": os.cpu_count(),
        "system": f"{platform.system()} {platform.release()}",
        "python": platform.python_version(),
        "packages": {p: v for p in packages if (v := _version(p))},
        "date": datetime.now(UTC).date().isoformat(),
    }


def _version(package: str) -> str | None:
    """None where it is not installed: a GPU is often in a machine that has only what the kernels need."""
    try:
        return importlib.metadata.version(package)
    except importlib.metadata.PackageNotFoundError:
        return None


def ffmpeg_program() -> str:
    """The FFmpeg binary of the wheel imageio-ffmpeg: the rival."""
    import imageio_ffmpeg

    return imageio_ffmpeg.get_ffmpeg_exe()


def ffmpeg_version() -> str:
    done = subprocess.run([ffmpeg_program(), "-version"], capture_output=True, text=True, timeout=30)
    return done.stdout.split()[2]


def run(command: list[str], timeout: float = 1800) -> dict[str, float]:
    """One run of a program: wall seconds, processor seconds, peak resident bytes, all as the system counted them.

    The program is started by a small helper process, because the system counts a child's peak from its fork: forked
    from here it would begin at this process's own size.
    """
    program = (
        "import json, resource, subprocess, sys, time\n"
        "t = time.perf_counter()\n"
        "no = subprocess.DEVNULL\n"
        "code = subprocess.run(sys.argv[1:], stdout=no, stderr=subprocess.PIPE, stdin=no)\n"
        "u = resource.getrusage(resource.RUSAGE_CHILDREN)\n"
        "wall = time.perf_counter() - t\n"
        "print(json.dumps({'code': code.returncode, 'wall': wall, 'cpu': u.ru_utime + u.ru_stime,\n"
        "    'peak': u.ru_maxrss * 1024, 'said': code.stderr.decode(errors='replace')[-2000:]}))\n"
    )
    done = subprocess.run(
        [sys.executable, "-S", "-c", program, *command], capture_output=True, text=True, timeout=timeout
    )
    found = json.loads(done.stdout)
    if found.pop("code"):
        raise RuntimeError(f"{command[0]} failed: {found['said']}")
    found.pop("said")
    return found


def in_turn(commands: dict[str, list[str]], repeats: int) -> dict[str, list[dict[str, float]]]:
    """Runs the commands in turn, A B A B ..., so that drift of the machine hits all alike; one warm-up each."""
    for command in commands.values():
        run(command)
    found: dict[str, list[dict[str, float]]] = {name: [] for name in commands}
    for _ in range(repeats):
        for name, command in commands.items():
            found[name].append(run(command))
    return found


def median(values: list[float]) -> float:
    return statistics.median(values)


def save(name: str, data: dict[str, Any], folder: Path | None = None) -> Path:
    """Writes results/NAME.json (or the file in another folder) whole or not at all."""
    folder = folder or RESULTS
    folder.mkdir(exist_ok=True)
    path = folder / f"{name}.json"
    with tempfile.NamedTemporaryFile("w", dir=folder, suffix=".part", delete=False) as f:
        json.dump({"machine": machine(), "measured": data}, f, indent=1)
        f.write("\n")
    os.chmod(f.name, 0o644)  # temporary files are the owner's alone
    os.replace(f.name, path)
    return path


def timed(work: Any, repeats: int = 5) -> float:
    """Median seconds of `work()` over some repeats, after one warm-up."""
    work()
    spent = []
    for _ in range(repeats):
        began = time.perf_counter()
        work()
        spent.append(time.perf_counter() - began)
    return statistics.median(spent)


@functools.cache
def kernel_named(name: str) -> Any:
    """A kernel of ours; `all_kernels` reads folders each time, which took longer than a median of sixteen frames."""
    import kernels

    return kernels.all_kernels()[name]
