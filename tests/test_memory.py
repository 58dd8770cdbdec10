"""Memory does not grow with the length of a tape, measured from outside."""

from __future__ import annotations

import subprocess
import sys

import pytest

from tests import _media as m

resource = pytest.importorskip("resource", reason="POSIX counts a process's peak")


def peak(tape, out) -> float:
    """Largest resident memory in MiB of a whole `restore`.

    A small process starts it, because the system counts a child's peak from its fork and this one is large.
    """
    words = f"restore {tape} {out} --overwrite --preset vhs-fast --field-order tff --audio moderate".split()
    command = [sys.executable, "-m", "toolkit.cli", *words, "--encoder-preset", "ultrafast", "--threads", "1"]
    starter = (
        "import resource, subprocess, sys\n"
        "subprocess.run(sys.argv[1:], check=True, stdout=subprocess.DEVNULL)\n"
        "print(resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss / 1024)\n"
    )
    done = subprocess.run([sys.executable, "-S", "-c", starter, *command], capture_output=True, text=True, timeout=500)
    assert done.returncode == 0, done.stderr
    return float(done.stdout)


def test_a_ten_times_longer_tape_needs_no_more_memory(tmp_path):
    short, long = m.repeated("huffyuv.avi", 8), m.repeated("huffyuv.avi", 80)
    out = tmp_path / "out.mp4"
    peak(short, out)  # compiles what is not on disk yet, which takes memory of its own
    few, many = peak(short, out), peak(long, out)
    assert many < 1.05 * few, f"{few:.0f} MiB for 240 frames, {many:.0f} MiB for 2400"


@pytest.mark.skipif(sys.platform != "linux", reason="elsewhere the system's own count is all there is")
def test_the_peak_of_a_run_does_not_count_who_started_it():
    """A child of a process with 400 MiB: what the report calls its peak is its own."""
    starter = (
        "import subprocess, sys; held = bytearray(b'x') * (400 << 20)\n"
        "print(subprocess.check_output([sys.executable, '-c', 'from toolkit.pipeline import peak_memory;"
        " print(peak_memory())'], text=True))"
    )
    done = subprocess.run([sys.executable, "-c", starter], capture_output=True, text=True, timeout=200)
    assert done.returncode == 0, done.stderr
    assert int(done.stdout) < 300 << 20
