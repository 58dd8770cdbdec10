"""The items of bench_baselines.py that are measured in one process, each ours beside its baseline.

As a program: python benchmarks/baselines_items.py WAY TAPE success|error|kill runs one that may leak.
"""

from __future__ import annotations

import asyncio
import contextlib
import gc
import io
import itertools
import os
import signal
import sys
import threading
import time
import tracemalloc
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import psutil

sys.path.insert(0, str(Path(__file__).parent.parent))

from benchmarks.baseline import comparison, preview, sound
from benchmarks.baseline import programs as plain_programs
from benchmarks.baseline import progress as plain_progress
from benchmarks.baseline import status as plain_status
from benchmarks.baseline import thumbnails as plain_thumbnails
from toolkit import process

MOMENTS = (1 / 6, 1 / 2, 5 / 6)  # of the tape


def _times(tape: Path) -> list[float]:
    import toolkit

    clip = toolkit.open(tape)
    return [clip.duration * m for m in MOMENTS]


# -- leaks -------------------------------------------------------------------------------------------------------


def compare_ours(tape: Path, judge: Callable[[Any], Any]) -> None:
    from toolkit.compare import sample

    for burst in sample(tape, _times(tape), length=12).bursts:
        for plane in burst.own.planes[0]:
            judge(plane)


def compare_baseline(tape: Path, judge: Callable[[Any], Any]) -> None:
    comparison.look_at(tape, _times(tape), judge)


def sound_ours(tape: Path, consume: Callable[[Any], Any]) -> None:
    import toolkit

    for block in toolkit.audio.clean(toolkit.open(tape), mode="moderate"):
        consume(block.samples)


def sound_baseline(tape: Path, consume: Callable[[Any], Any]) -> None:
    sound.clean(tape, consume)


LEAKY = {"comparison": ("compare_ours", "compare_baseline"), "sound": ("sound_ours", "sound_baseline")}


def _leak(way: str, tape: Path, end: str) -> None:
    def consume(_: Any) -> None:
        if end == "error":
            raise KeyError("in the middle")
        if end == "kill":
            os.kill(os.getpid(), signal.SIGKILL)

    with contextlib.suppress(KeyError):
        globals()[way](tape, consume)


def broken_off(way: Callable[..., Any], tape: Path) -> Callable[[], None]:
    """An action for `profiling.slope`: one of the ways above, ended by an error in the middle."""

    def action() -> None:
        with contextlib.suppress(KeyError):
            way(tape, lambda _: {}["in the middle"])
        gc.collect()

    return action


def program_baseline() -> None:
    """A program that says something and goes on; its reader fails."""
    with contextlib.suppress(KeyError):
        plain_programs.read_lines(_TALKS, lambda _: {}["in the middle"])


def program_ours() -> None:
    with contextlib.suppress(process.ProgramFailed):
        process.run(_TALKS, timeout=0.3)


_TALKS = [sys.executable, "-S", "-c", "import time; print('hello', flush=True); time.sleep(60)"]


def end_programs() -> None:
    """Ends what `program_baseline` has left running."""
    for child in psutil.Process().children():
        if child.cmdline()[-1:] == _TALKS[-1:]:
            child.kill()
            child.wait(10)


def small_clip(tape: Path) -> Path:
    """The tape as a small MP4 beside it, of which thumbnails are quickly made."""
    out = tape.with_suffix(".small.mp4")
    words = ["-v", "error", "-y", "-i", str(tape), "-vf", "yadif,scale=160:120", "-colorspace", "smpte170m"]
    process.run([comparison.FFMPEG, *words, "-c:v", "libx264", "-an", str(out)], timeout=60)
    return out


def pictures_of(cache: Any, tape: Path, each: int = 16) -> Callable[[], None]:
    """An action for `profiling.slope`: every round asks for `each` thumbnails not asked for before."""
    numbers = itertools.count()

    def action() -> None:
        for _ in range(each):
            cache.get(tape, 1e-3 * next(numbers), 160)

    return action


# -- throughput --------------------------------------------------------------------------------------------------


def sampling(tape: Path, repeats: int) -> dict[str, Any]:
    """Three moments of twelve frames: straight into memory, or by clips of ten seconds cut to disk.

    Ours twice: as it is called, which measures the field order first, and with the order told.  The baseline looks at
    no field order, so only the second is like for like.
    """
    from toolkit.compare import sample
    from toolkit.media import probe

    def ours() -> int:
        probe._measured_once.cache_clear()  # the field order is measured anew
        compare_ours(tape, lambda _: None)
        return 0

    def order_told() -> int:
        sample(tape, _times(tape), length=12, field_order="tff")
        return 0

    ways = {"ours": ours, "ours, field order told": order_told}
    for codec in ("ffv1", "copy"):
        ways[codec] = lambda c=codec: comparison.look_at(tape, _times(tape), lambda _: None, codec=c)
    ours()  # imports, kernels
    spent: dict[str, list[float]] = {name: [] for name in ways}
    written = {}
    for _ in range(repeats):
        for name, way in ways.items():
            before, began = _written(), time.perf_counter()
            told = way()
            spent[name].append(time.perf_counter() - began)
            written[name] = told or _written() - before
    rows = {n: {"seconds": round(float(np.median(v)), 3), "bytes": written[n]} for n, v in spent.items()}
    for name in ("ffv1", "copy"):
        rows[name]["times"] = round(rows[name]["seconds"] / rows["ours"]["seconds"], 2)
        rows[name]["times_told"] = round(rows[name]["seconds"] / rows["ours, field order told"]["seconds"], 2)
    return rows


def _written() -> int:
    """Bytes this process has handed to the file system (Linux)."""
    fields = dict(line.split(": ") for line in Path("/proc/self/io").read_text().splitlines())
    return int(fields["wchar"])


def _reads_per_second(counts: Callable[[], Any], write: Callable[[int], None], seconds: float) -> float:
    """Eight threads read, two write, as fast as they can."""
    stop, reads = threading.Event(), [0] * 8

    def reader(n: int) -> None:
        while not stop.is_set():
            counts()
            reads[n] += 1

    def writer(n: int) -> None:
        while not stop.is_set():
            write(n + 1)

    threads = [threading.Thread(target=reader, args=(n,)) for n in range(8)]
    threads += [threading.Thread(target=writer, args=(n,)) for n in range(2)]
    for thread in threads:
        thread.start()
    time.sleep(seconds)
    stop.set()
    for thread in threads:
        thread.join()
    return sum(reads) / seconds


def _queues(folder: Path, jobs: int) -> tuple[Any, Any]:
    from tests import _media
    from toolkit.jobs import Queue, Wish

    path = folder / f"queue-{jobs}.db"
    fresh, ours = not path.exists(), Queue(path)
    if fresh:
        ours.add(Wish(_media.made("huffyuv.avi"), folder / f"job{n}.mp4") for n in range(jobs))
    return ours, plain_status.LockedQueue(folder / "queue.json", jobs)


def status(folder: Path, jobs: int, seconds: float) -> dict[str, Any]:
    """Counts of the jobs' states, read beside two writers."""
    ours, plain = _queues(folder, jobs)

    def write_ours(n: int) -> None:
        with ours.change() as db:
            db.execute("UPDATE jobs SET state = 'paused' WHERE id = ?", (n,))
            db.execute("UPDATE jobs SET state = 'pending' WHERE id = ?", (n,))

    def write_plain(n: int) -> None:
        with plain.change() as held:
            held[n]["state"] = "paused"
            held[n]["state"] = "pending"

    rates = [_reads_per_second(q.counts, w, seconds) for q, w in ((ours, write_ours), (plain, write_plain))]
    return {"jobs": jobs, "ours": round(rates[0]), "one_lock": round(rates[1], 1),
            "times": round(rates[0] / max(rates[1], 1 / seconds), 1)}  # fmt: skip


def progress(steps: int, repeats: int) -> dict[str, Any]:
    """A bar for `steps` frames at no more than each frame's own cost; processor time and what reaches the terminal."""
    from toolkit.progress import BarSink, Progress

    def ours(text: io.StringIO) -> None:
        bar = Progress(BarSink(text))
        bar.stage("restore", steps)
        for _ in range(steps):
            bar.step()
        bar.finish()

    def plain(text: io.StringIO) -> None:
        bar = plain_progress.Bar(steps, text)
        for _ in range(steps):
            bar.step()
        bar.finish()

    rows: dict[str, Any] = {}
    for name, way in (("ours", ours), ("every_frame", plain)):
        spent = []
        for _ in range(repeats + 1):
            text, began = io.StringIO(), time.process_time()
            way(text)
            spent.append(time.process_time() - began)
        rows[name] = {"us_a_frame": round(1e6 * min(spent) / steps, 2), "bytes": len(text.getvalue())}
    return {"steps": steps, **rows, "share": round(rows["ours"]["us_a_frame"] / rows["every_frame"]["us_a_frame"], 4)}


def polling(folder: Path, jobs: int, seconds: float) -> dict[str, Any]:
    """What a monitor of the queue costs, of one core: ten looks a second at all jobs, or one at the first fifty."""
    from toolkit.jobs import status as look

    ours, _ = _queues(folder, jobs)
    rows = {}
    for name, every, limit in (("ours", 1.0, 50), ("baseline", 0.1, -1)):
        began = time.process_time()
        looks = plain_progress.monitor(lambda n=limit: look(ours, limit=n), lambda _: None, seconds, every)
        rows[name] = {"core_percent": round(100 * (time.process_time() - began) / seconds, 2), "looks": looks}
    return {"jobs": jobs, **rows}


def thumbnails(tape: Path, pictures: int) -> dict[str, Any]:
    """Bytes held after `pictures` different thumbnails."""
    from toolkit.media.thumbnails import Thumbnails

    rows = {}
    for name, cache in (("ours", Thumbnails()), ("unbounded", plain_thumbnails.Thumbnails())):
        cache.get(tape, 0.0, 480)
        gc.collect()
        tracemalloc.start()
        for n in range(pictures):
            cache.get(tape, n * 0.013, 480)
        gc.collect()
        rows[name] = tracemalloc.get_traced_memory()[0]
        tracemalloc.stop()
    return {"pictures": pictures, **rows}


def filters(repeats: int) -> dict[str, Any]:
    """What keeping a filter chain saves: its text, the built chain, and the share of cleaning ten seconds of sound."""
    from benchmarks.common import timed
    from toolkit.audio import clean_samples, prepare
    from toolkit.audio.chain import PreparedChain
    from toolkit.audio.modes import chain_of
    from toolkit.audio.signal import SoundFormat

    samples = np.random.default_rng(1).normal(0, 0.1, (2, 480_000)).astype(np.float32)
    form, chain = SoundFormat(48000, "stereo"), chain_of("moderate")
    text = timed(lambda: [sound.filter_text() for _ in range(10_000)], 3) / 10_000
    build = timed(lambda: PreparedChain(chain, form), 5)
    kept = timed(lambda: [prepare("moderate", 48000) for _ in range(1000)], 3) / 1000
    ways = {"whole": lambda: clean_samples(samples, 48000, "moderate"),
            "rebuilt": lambda: sound.clean_rebuilding(samples, 48000, "moderate")}  # fmt: skip
    spent: dict[str, list[float]] = {name: [] for name in ways}
    for _ in range(max(4, repeats)):  # in turn, because they differ by less than the machine from one time to the next
        for name, way in ways.items():
            began = time.perf_counter()
            way()
            spent[name].append(time.perf_counter() - began)
    whole, rebuilt = min(spent["whole"]), min(spent["rebuilt"])
    return {
        "text_us": round(1e6 * text, 3), "build_ms": round(1e3 * build, 3), "kept_ms": round(1e3 * kept, 4),
        "clean_10_s_ms": round(1e3 * whole, 1), "clean_10_s_rebuilding_ms": round(1e3 * rebuilt, 1),
        "spread_ms": round(1e3 * (sorted(spent["whole"])[-2] - whole), 1),
        "saved_percent": round(100 * (build - kept) / whole, 2), "text_saves_percent": round(100 * text / whole, 6),
    }  # fmt: skip


def lag(tape: Path) -> dict[str, Any]:
    return asyncio.run(dragged(tape))


async def dragged(tape: Path, moves: int = 25, every: float = 0.04) -> dict[str, Any]:
    """A slider dragged for a second in an event loop: seconds from its last move to the picture of that place."""
    from toolkit.widgets import panel

    duration = _times(tape)[2]
    places = [duration * (n + 1) / moves for n in range(moves)]
    ours = panel("vhs-fast", tape, field_order="tff")

    async def drag(move: Callable[[float], None], settled: Callable[[], bool]) -> float:
        loop = asyncio.get_running_loop()
        last = loop.time() + moves * every
        for n, place in enumerate(places):
            loop.call_at(loop.time() + (n + 1) * every, move, place)
        while loop.time() < last or not settled():
            await asyncio.sleep(0.01)
        return loop.time() - last

    plain, before = preview.SliderPreview(tape), ours.drawn
    handled = []

    def move_plain(place: float) -> None:
        plain.on_change(place)
        handled.append(place)

    def move_ours(place: float) -> None:
        ours.time.value = place

    def ours_done() -> bool:
        return ours.drawn > before and ours._later._planned is None

    found = {"ours": await drag(move_ours, ours_done), "drawn_ours": ours.drawn - before}
    found |= {"baseline": await drag(move_plain, lambda: len(handled) == moves), "drawn_baseline": plain.drawn}
    return {"moves": moves, **{k: round(v, 3) for k, v in found.items()}}


def one_at_a_time(tape: Path, frames: int, model: str = "realesr-animevideov3", device: str = "auto") -> dict[str, Any]:
    """Frames a second of a net: realesrgan's loop, one at a time, and ours, on the GPU where there is one."""
    import toolkit
    from benchmarks.baseline import upscaling
    from toolkit.compare.grid import to_rgb
    from toolkit.convert import convert
    from toolkit.stages import deinterlace
    from toolkit.upscale import Upscaler
    from toolkit.upscale import upscale as enlarge

    batch = next(iter(toolkit.open(tape).batches(size=frames)))
    batch = batch.replace(format=batch.format.replace(field_order="tff"))
    batch = toolkit.Pipeline([deinterlace.bwdif(rate="frame")])(batch)
    batch = convert(batch, batch.format.replace(width=240, height=160, subsampling=(1, 1)))
    net, pictures = Upscaler(model, device=device), list(to_rgb(batch))
    spent: dict[str, list[float]] = {"ours": [], "one_at_a_time": []}
    for _ in range(3):
        for name, way in (
            ("ours", lambda: enlarge(net, batch)),
            ("one_at_a_time", lambda: list(upscaling.enlarge(model, pictures, net.device))),
        ):
            began = time.perf_counter()
            way()
            spent[name].append(time.perf_counter() - began)
    fps = {n: frames / min(v) for n, v in spent.items()}
    told = {"model": model, "size": "240x160", "device": net.device, "precision": net.precision, "frames": frames}
    told |= {name: round(value, 2) for name, value in fps.items()}
    return {**told, "times": round(fps["ours"] / fps["one_at_a_time"], 2)}


if __name__ == "__main__":
    _leak(sys.argv[1], Path(sys.argv[2]), sys.argv[3])
