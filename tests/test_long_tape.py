"""Nothing a run keeps grows with the number of frames."""

from __future__ import annotations

import gc
import tracemalloc
import warnings
from fractions import Fraction

import pytest
from hypothesis import given
from hypothesis import strategies as st

import toolkit
from tests import _media as m
from tests._long import FRAMES, repeated, short_clip
from tests._segments import QUICK
from toolkit.audio import tracks
from toolkit.clip import Clip
from toolkit.errors import ToolkitWarning
from toolkit.media.timeline import Timeline
from toolkit.media.times import frame_times, shown_times
from toolkit.media.verify import verify
from toolkit.notes import MOST, warnings_noted
from toolkit.pipeline import Pipeline
from toolkit.profiling.sizes import bytes_under
from toolkit.progress import Progress
from toolkit.segments import parts_of

_SMALL = st.integers(-3, 3) | st.integers(-(2**40), 2**40)


@given(st.lists(_SMALL, max_size=60), st.booleans())
def test_a_timeline_gives_back_what_it_was_given(steps, as_steps):
    times = [sum(steps[: n + 1]) for n in range(len(steps))] if as_steps else steps
    line = Timeline(times)
    assert list(line) == times == list(line) and len(line) == len(times) and line.runs <= max(1, len(times) // 2 + 1)


@given(
    st.fractions(0, 5000, max_denominator=3003), st.fractions(0, 1), st.integers(-(2**33), 2**33), st.integers(2, 300)
)
def test_any_constant_rate_in_any_clock_is_one_run(step, phase, start, count):
    times = [start + int(phase + n * step) for n in range(count)]
    line = Timeline(times)
    assert list(line) == times and line.runs == 1


def test_a_tape_whose_rate_changes_costs_a_run_for_each():
    ntsc = [(1001 * n + 15) // 30 for n in range(1000)]
    film = [ntsc[-1] + (1001 * n + 12) // 24 for n in range(1, 1000)]
    line = Timeline([*ntsc, *film])
    assert list(line) == [*ntsc, *film] and line.runs <= 3


@pytest.mark.parametrize("name", ["dv_ntsc.avi", "h264.mp4", "vfr.mkv", "vfr.mp4", "mpeg2_ac3.mpg"])
def test_times_read_by_and_by_are_those_read_at_once(name):
    clip = Clip.open(m.made(name))
    assert list(shown_times(clip)) == list(frame_times(clip))


@pytest.fixture(scope="module")
def tapes(tmp_path_factory):
    folder = tmp_path_factory.mktemp("long")
    short = short_clip(folder / "short.mkv", "64x48")
    return [repeated(short, folder / f"{times}.mkv", times) for times in (8, 40)]


def test_checking_a_file_holds_no_list_of_its_frames(tapes):
    """What Python holds at most, for 768 frames and for 3,840."""
    peaks = []
    for path in (*tapes, *tapes):
        clip = Clip.open(path)
        frames = len(frame_times(clip))
        assert frames % FRAMES == 0
        gc.collect()
        tracemalloc.start()
        found = verify(path, expected_pts=(Fraction(n, 25) for n in range(frames)), expected_format=clip.format)
        peaks.append(tracemalloc.get_traced_memory()[1])
        tracemalloc.stop()
        assert {c.name: c.ok for c in found}["presentation times"] and found[0].found == str(frames)
    few, many = peaks[2:]  # the first two loaded what loads late
    assert many < few + 20_000, f"{few} bytes for 768 frames, {many} for 3840"


def test_a_run_in_segments_holds_nothing_for_a_frame_that_is_done(tapes, tmp_path):
    """Read at the end of a run, while it stands: a list of times would be 8 bytes for each of 3,072 frames more."""
    held = []

    def done(run):
        gc.collect()
        held.append(tracemalloc.get_traced_memory()[0] - before)

    for number, tape in enumerate((tapes[0], *tapes)):  # the first loads what loads late
        gc.collect()
        tracemalloc.start()
        before = tracemalloc.get_traced_memory()[0]
        run = toolkit.restore(
            tape, tmp_path / f"{number}.mp4", pipeline=Pipeline([]), write=QUICK, audio="none", resume=True, segment=10,
            field_order="tff", done=done,
        )  # fmt: skip
        tracemalloc.stop()
        assert run.frames_out == len(frame_times(Clip.open(tape)))
    assert held[2] < held[1] + 10_000, held


def test_temporary_files_stay_below_the_output_and_one_segment(tapes, tmp_path, monkeypatch):
    """Segments, states and whatever the sound needs, looked at whenever progress is shown."""
    monkeypatch.setenv("VHS_TOOLKIT_SCRATCH", str(tmp_path / "scratch"))
    out, seen, largest = tmp_path / "out" / "o.mp4", [], []
    out.parent.mkdir()

    def look(snapshot):
        sizes = [p.stat().st_size for p in parts_of(out).glob("*.packets")]
        largest.append(max(sizes, default=0))
        seen.append(bytes_under(parts_of(out)) + bytes_under(tmp_path / "scratch"))

    real = tracks._run

    def sound(*words):  # also while the sound is worked on, which nothing counts
        for block in real(*words):
            look(None)
            yield block

    monkeypatch.setattr(tracks, "_run", sound)
    toolkit.restore(
        tapes[0], out, preset="vhs-fast", write=QUICK, field_order="tff", resume=True, segment=4,
        progress=Progress(look, update=0, draw=0),
    )  # fmt: skip
    assert len(seen) > 100 and max(seen) < out.stat().st_size + max(largest)
    assert list(out.parent.iterdir()) == [out] and not (tmp_path / "scratch").exists()


def test_a_thousand_warnings_alike_become_a_few_notes():
    notes = ["first"]
    with warnings_noted(notes):
        for n in range(1000):
            warnings.warn(f"{n / 8} ms of sound are missing at {n}.5 s", ToolkitWarning, stacklevel=1)
        warnings.warn("another thing", ToolkitWarning, stacklevel=1)
        warnings.warn("not ours", UserWarning, stacklevel=1)
    assert len(notes) == 1 + MOST + 2 and notes[1].startswith("0.0 ms") and notes[-2] == "another thing"
    assert notes[-1] == f"{1000 - MOST} more times: ... ms of sound are missing at ... s"
