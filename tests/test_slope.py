"""`profiling.slope` sees what an action leaves behind, and takes neither a single step nor garbage for a leak."""

from __future__ import annotations

import subprocess
import sys
import tempfile

import numpy as np
import pytest

from toolkit import profiling
from toolkit.profiling.plot import bars
from toolkit.profiling.slope import fit


def test_each_kind_of_leak_is_seen_and_no_other():
    kept, started = [], []

    def leak() -> None:
        kept.append(bytearray(b"x") * (256 << 10))
        file = tempfile.NamedTemporaryFile(delete=False)
        file.write(b"y" * 1000)
        file.flush()
        kept.append(file)
        started.append(subprocess.Popen([sys.executable, "-S", "-c", "input()"], stdin=subprocess.PIPE))

    try:
        found = profiling.slope(leak, rounds=8, warmup=1, traced=True)
    finally:
        for program in started:
            program.stdin.close()
            program.wait(20)
        for thing in kept[1::2]:
            thing.close()
    assert found["files"].low == found["files"].high == 2  # the file and the pipe
    assert found["children"].slope == 1 and found["temporary"].slope == 1000
    assert found["traced"].low > 256 << 10 and found["resident"].low > 200 << 10
    assert not found["threads"].grows()
    assert "files" in str(found) and "+2.0 open files a round" in str(found)


def test_what_is_given_back_does_not_grow():
    def clean() -> None:
        loop = [bytearray(b"x") * (1 << 20)]
        loop.append(loop)  # only the garbage collector frees it
        with tempfile.TemporaryFile() as file:
            file.write(b"x" * 10000)

    found = profiling.slope(clean, rounds=10)
    assert not any(found[n].grows() for n in ("files", "children", "threads", "temporary"))
    assert not found["resident"].grows(beyond=64 << 10)


def test_a_single_step_is_no_leak_and_a_slow_leak_is_one():
    step = fit("resident", [100.0] * 10 + [5000.0] * 10)
    noise = np.random.default_rng(3).normal(0, 10, 30)
    slow, none = fit("resident", list(noise + 3 * np.arange(30))), fit("resident", list(noise))
    assert step.low <= 0 and not step.grows()
    assert slow.grows() and slow.low < 3 < slow.high
    assert not none.grows()


def test_the_temporary_folder_is_put_back_also_after_an_error():
    before = tempfile.gettempdir()

    def fails() -> None:
        tempfile.mkdtemp()
        raise KeyError("on the way")

    with pytest.raises(KeyError):
        profiling.slope(fails, rounds=5)
    assert tempfile.gettempdir() == before
    with pytest.raises(ValueError, match="rounds = 3"):
        profiling.slope(fails, rounds=3)


def test_readings_are_shown_as_pictures():
    found = profiling.slope(lambda: None, rounds=5, warmup=0)
    for picture in (profiling.plot({"a": found, "b": found}, "files", "resident"), bars({"lag, s": {"before": 2}})):
        assert picture._repr_png_().startswith(b"\x89PNG")
