"""A run that was interrupted ends in the file that an uninterrupted one gives, byte for byte, or says why it cannot."""

from __future__ import annotations

import itertools
import os
import shutil
import subprocess
import sys
from fractions import Fraction

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

import toolkit
from tests import _media as m
from tests._segments import QUICK, STEPS, digest, interrupted
from toolkit.clip import Clip
from toolkit.errors import OutputRefused, PictureError, ToolkitError
from toolkit.pipeline import Pipeline
from toolkit.segments import Journal, Segment, _line, _lines, parts_of
from toolkit.stages import Stage, stage

CASES = {
    "dv_ntsc.avi": (".mp4", {"codec": "h265", "preset": "ultrafast"}),
    "huffyuv.avi": (".mkv", {"codec": "ffv1"}),
    "mpeg2_ac3.mpg": (".mp4", {"codec": "h264", "preset": "veryfast"}),  # with B pictures
    "vfr.mp4": (".mp4", {"codec": "h264", "preset": "veryfast"}),
    "vfr.mkv": (".mov", {"codec": "prores"}),
}


@pytest.mark.parametrize("name", CASES)
def test_an_interrupted_run_ends_in_the_same_bytes(name, tmp_path):
    ending, write = CASES[name]
    whole, again = tmp_path / f"whole{ending}", tmp_path / f"again{ending}"
    how = {"pipeline": STEPS, "write": {**write, "threads": 2}, "audio": "light", "segment": 0.3}
    how["frames"] = (0, 22)
    toolkit.restore(m.made(name), whole, resume=True, **how)
    interrupted(2, m.made(name), again, **how)
    assert not again.exists() and len(list(parts_of(again).glob("*.packets"))) == 2
    run = toolkit.restore(m.made(name), again, resume=True, **how)
    assert any("frames were finished before" in n for n in run.notes)
    assert digest(again) == digest(whole)
    assert sorted(p.name for p in tmp_path.iterdir()) == [again.name, whole.name]
    assert all(c.ok for c in run.checks) and run.frames_in == 22


@pytest.mark.parametrize("name", ["huffyuv.avi", "vfr.mp4"])
def test_one_segment_is_the_file_that_is_written_in_one_go(name, tmp_path):
    how = {"pipeline": STEPS, "write": {**QUICK, "options": {"bf": 2}}}
    for out, more in (("plain.mp4", {}), ("one.mp4", {"resume": True})):
        toolkit.restore(m.made(name), tmp_path / out, **how, **more)
    assert digest(tmp_path / "plain.mp4") == digest(tmp_path / "one.mp4")


def test_decoding_times_rise_across_segments_of_unequal_frame_lengths(tmp_path):
    """Each encoder counts its first decoding times back from its own frames, here past those of the segment before."""
    from toolkit.clip import Batch, PictureFormat
    from toolkit.media.encode import Encoding
    from toolkit.media.packets import PacketFile, joined, read_packets, times

    form = PictureFormat(64, 48, field_order="progressive")
    encoding = Encoding(form, Fraction(1, 1000), kind="mp4", threads=1, options={"bf": 3})
    rng, at, files = np.random.default_rng(0), 0, []
    for number, length in enumerate((10, 400, 10)):
        pts = at + length * np.arange(8)
        at = int(pts[-1]) + length
        planes = tuple(rng.integers(16, 235, (8, *s), np.uint8) for s in form.plane_shapes)
        file = PacketFile(tmp_path / str(number), encoding)
        file.write(Batch(planes, pts, np.full(8, length), Fraction(1, 1000), form))
        file.close()
        files.append(file.path)
    own = [p.dts for f in files for p in read_packets(f)]
    assert sorted(own) != own, "the encoders' own times do not overlap: the test shows nothing"
    assert list(times(files)) == sorted(p.pts for f in files for p in read_packets(f))
    pictures = list(joined(files))
    dts = [p.dts for p in pictures]
    assert all(a < b for a, b in zip(dts, dts[1:], strict=False))
    assert all(p.dts <= p.pts for p in pictures) and dts[:3] == own[:3]


def test_segments_show_the_same_pictures_as_one_go(tmp_path):
    """Lossless, so any difference of state, neighbours, times or order shows."""
    how = {"pipeline": STEPS, "write": {"codec": "ffv1"}, "audio": "keep", "frames": (0, 20)}
    toolkit.restore(m.made("huffyuv.avi"), tmp_path / "plain.mkv", **how)
    toolkit.restore(m.made("huffyuv.avi"), tmp_path / "cut.mkv", resume=True, segment=0.3, **how)
    pictures = [b for n in ("plain.mkv", "cut.mkv") for b in Clip.open(tmp_path / n).batches(size=64)]
    assert [len(b) for b in pictures] == [40, 40]
    assert all(np.array_equal(a, b) for a, b in zip(pictures[0].planes, pictures[1].planes, strict=True))
    assert m.told_times(tmp_path / "plain.mkv") == m.told_times(tmp_path / "cut.mkv")


def test_a_long_tape_with_b_pictures_is_sought_and_ends_in_the_same_bytes(tmp_path):
    tape = m.real_clip("bikes.mp4")
    steps = Pipeline([stage("denoise.temporal")(radius=3), stage("denoise.hqdn3d")()])
    how = {"pipeline": steps, "write": QUICK, "audio": "none", "frames": (20, 180), "segment": 1.6}
    toolkit.restore(tape, tmp_path / "whole.mp4", resume=True, **how)
    interrupted(3, tape, tmp_path / "again.mp4", **how)
    toolkit.restore(tape, tmp_path / "again.mp4", resume=True, **how)
    assert digest(tmp_path / "again.mp4") == digest(tmp_path / "whole.mp4")


def test_a_net_that_draws_frames_towards_those_before(tmp_path):
    steps = Pipeline([stage("denoise.hqdn3d")(), stage("upscale.realesr-animevideov3")(scale=2, steady=0.7)])
    # The batches of 3 frames begin elsewhere in the second run.
    how = {"pipeline": steps, "write": QUICK, "audio": "none", "segment": 0.5, "frames": (0, 12)}
    how["max_memory"] = 40 << 20
    toolkit.restore(m.made("vfr.mp4"), tmp_path / "whole.mp4", resume=True, **how)
    interrupted(1, m.made("vfr.mp4"), tmp_path / "again.mp4", **how)
    run = toolkit.restore(m.made("vfr.mp4"), tmp_path / "again.mp4", resume=True, **how)
    assert digest(tmp_path / "again.mp4") == digest(tmp_path / "whole.mp4"), run.plan


def test_inexact_seeking_is_found_and_the_tape_read_from_its_beginning(tmp_path, monkeypatch):
    from toolkit.media.read import Reader

    real = Reader._batched

    def spoilt(self, timed):
        for batch in real(self, timed):
            if self.first:  # as a decoder that was entered between two key frames may
                batch.planes[0][0] ^= 1
            yield batch

    how = {"pipeline": STEPS, "write": QUICK, "segment": 0.3, "frames": (0, 18), "audio": "none"}
    toolkit.restore(m.made("huffyuv.avi"), tmp_path / "whole.mp4", resume=True, **how)
    interrupted(1, m.made("huffyuv.avi"), tmp_path / "again.mp4", **how)
    monkeypatch.setattr(Reader, "_batched", spoilt)
    run = toolkit.restore(m.made("huffyuv.avi"), tmp_path / "again.mp4", resume=True, **how)
    assert any("seeking in the tape is not exact" in n for n in run.notes)
    assert digest(tmp_path / "again.mp4") == digest(tmp_path / "whole.mp4")


@pytest.fixture(scope="module")
def stopped(tmp_path_factory):
    """A run of four segments that was stopped after three, and the file it should become."""
    folder = tmp_path_factory.mktemp("stopped")
    how = {"pipeline": STEPS, "write": QUICK, "segment": 0.27}
    toolkit.restore(m.made("huffyuv.avi"), folder / "whole.mp4", resume=True, **how)
    interrupted(3, m.made("huffyuv.avi"), folder / "o.mp4", **how)
    return folder, how


@pytest.fixture
def left(stopped, tmp_path):
    """A copy of it: `(output, its settings, digest of what it should become)`."""
    folder, how = stopped
    shutil.copytree(parts_of(folder / "o.mp4"), parts_of(tmp_path / "o.mp4"))
    return tmp_path / "o.mp4", how, digest(folder / "whole.mp4")


@pytest.mark.parametrize(
    ("name", "how", "with_it"),
    [
        ("000000.packets", "byte", 0),
        ("000001.packets", "short", 1),
        ("000002.states.npz", "byte", 2),
        ("000002.packets", "gone", 2),
    ],
)
def test_a_damaged_segment_is_found_and_made_again(name, how, with_it, left):
    """The states here are larger than a segment, so only the last one was kept, and all before it is made again."""
    out, settings, wanted = left
    assert [p.name for p in parts_of(out).glob("*.npz")] == ["000002.states.npz"]
    path = parts_of(out) / name
    data = bytearray(path.read_bytes())
    data[len(data) // 2] ^= 1
    path.unlink()
    if how != "gone":
        path.write_bytes(data if how == "byte" else data[: len(data) // 2])
    run = toolkit.restore(m.made("huffyuv.avi"), out, resume=True, **settings)
    told = "1 finished segments were found damaged and are made again"
    assert told + (f", with {with_it} that lead up to them" if with_it else "") in run.notes
    assert digest(out) == wanted and list(out.parent.iterdir()) == [out]


def test_a_state_that_was_lost_is_come_to_again(left):
    out, settings, wanted = left
    (parts_of(out) / "000002.states.npz").unlink()
    toolkit.restore(m.made("huffyuv.avi"), out, resume=True, **settings)
    assert digest(out) == wanted and list(out.parent.iterdir()) == [out]


@pytest.mark.parametrize("state", [10, 300, 5000])
def test_states_never_take_more_than_a_segment_and_none_is_lost_that_leads_on(state, tmp_path):
    """Segments of 1000 bytes, made in the order in which a run fills a gap that damage tore."""
    run = {"encoder": {"threads": 1}}

    def make(journal, number, end=None):
        journal.new_packets(number).write_bytes(bytes([number]) * 1000)
        packets = digest(journal.new_packets(number))
        states = {} if end else {0: [np.full(state, number, np.uint8)]}
        journal.add(Segment(number, 8, packets, None, f"frame {number}"), states, end)

    def kept(journal):
        return sorted(int(p.name[:6]) for p in journal.folder.glob("*.npz"))

    with Journal(tmp_path / "o.mp4", run) as journal:
        journal.add_begin(origin="0")
        for number in range(40):
            make(journal, number)
            sizes = [p.stat().st_size for p in journal.folder.glob("*.npz")]
            assert number in kept(journal) and (sum(sizes) <= 1000 or len(sizes) == 1)
        assert journal.seen(17) == "frame 17" and journal.segments == dict.fromkeys(range(40), 8)
        before = kept(journal)
    if len(before) > 2:  # they lie all over the tape
        assert min(before) < 20 < max(before[:-1])
    journal.packets(25).unlink()
    with Journal(tmp_path / "o.mp4", run) as journal:
        damaged, with_it = journal.verify()
        last = max((n for n in before if n < 25), default=-1)
        assert (damaged, sorted(with_it)) == ([25], list(range(last + 1, 25)))
        assert all(journal.packets(n).exists() for n in range(40) if n != 25)
        assert journal.gap() == (last + 1, 26)
        assert last < 0 or journal.load_states(last)[0][0][0] == last
        for number in range(last + 1, 26):
            make(journal, number)
            assert 39 in kept(journal), "the state that the rest of the tape begins with was thrown away"
        assert journal.gap() == (40, None)
        assert journal.load_states(39)[0][0][0] == 39
        make(journal, 40, {"segments": 41, "frames": 328})
        assert journal.gap() is None and journal.verify() == ([], [])


@pytest.mark.parametrize("cut", [1, 9, 40])
def test_a_journal_cut_short_by_a_power_cut_costs_only_its_last_line(cut, left):
    out, settings, wanted = left
    journal = parts_of(out) / "journal.jsonl"
    journal.write_bytes(journal.read_bytes()[:-cut])
    run = toolkit.restore(m.made("huffyuv.avi"), out, resume=True, **settings)
    assert any("frames were finished before" in n for n in run.notes)
    assert digest(out) == wanted


@pytest.mark.parametrize("line", [1, 2, 4])
def test_a_damaged_line_of_the_journal_costs_only_what_it_told(line, left):
    out, settings, wanted = left
    journal = parts_of(out) / "journal.jsonl"
    lines = journal.read_bytes().split(b"\n")
    lines[line] = lines[line][:-3] + b"!" + lines[line][-2:]
    journal.write_bytes(b"\n".join(lines))
    toolkit.restore(m.made("huffyuv.avi"), out, resume=True, **settings)
    assert digest(out) == wanted and list(out.parent.iterdir()) == [out]


@pytest.mark.parametrize("frames", [30, 24])
def test_a_kill_after_the_last_segment_and_before_the_end_is_known(frames, tmp_path):
    """With 24 frames the last of the segments of 8 is full, so that nothing about it says that it is the last."""
    how = {"pipeline": STEPS, "write": QUICK, "segment": 0.27, "frames": (0, frames)}
    toolkit.restore(m.made("huffyuv.avi"), tmp_path / "whole.mp4", resume=True, **how)
    interrupted(-(-frames // 8), m.made("huffyuv.avi"), tmp_path / "o.mp4", **how)
    run = toolkit.restore(m.made("huffyuv.avi"), tmp_path / "o.mp4", resume=True, **how)
    assert digest(tmp_path / "o.mp4") == digest(tmp_path / "whole.mp4") and run.frames_in == frames


@given(
    entries=st.lists(st.dictionaries(st.text(max_size=8), st.integers() | st.text(max_size=30)), max_size=6),
    harm=st.sampled_from(["cut", "flip", "tear"]),
    where=st.floats(0, 1, exclude_max=True),
    bit=st.integers(0, 7),
)
def test_whatever_befalls_a_journal_no_line_is_read_that_was_not_written(tmp_path_factory, entries, harm, where, bit):
    path = tmp_path_factory.mktemp("journal") / "journal.jsonl"
    data = bytearray(b"".join(map(_line, entries)))
    at = int(where * len(data))
    if harm == "flip" and data:
        data[at] ^= 1 << bit
    elif harm == "cut":
        del data[at:]
    elif harm == "tear":  # a block of the disk that was never written
        data[at : at + 20] = bytes(len(data[at : at + 20]))
    path.write_bytes(data)
    found = list(_lines(path))
    rest = iter(entries)
    assert all(any(line == entry for entry in rest) for line in found)  # in order, none of them changed
    assert len(found) >= len(entries) - (2 if harm != "cut" else len(entries))


def test_a_journal_without_its_beginning_is_refused(left):
    out, settings, _ = left
    journal = parts_of(out) / "journal.jsonl"
    data = bytearray(journal.read_bytes())
    data[20] ^= 1
    journal.write_bytes(data)
    with pytest.raises(OutputRefused, match="beginning is damaged.*delete"):
        toolkit.restore(m.made("huffyuv.avi"), out, resume=True, **settings)
    assert (parts_of(out) / "000001.packets").exists()


GENTLE = Pipeline([STEPS[0], STEPS[1], stage("denoise.temporal")(gate=3)])
OTHERS = {
    "crf": ({"write": {**QUICK, "crf": 30}}, "encoder crf: 18 then, 30 now"),
    "threads": ({"write": {"preset": "ultrafast", "threads": 1}}, "encoder threads: 2 then, 1 now"),
    "knob": ({"pipeline": GENTLE}, "steps 2 knobs gate: .* then, 3"),
    "step": ({"pipeline": Pipeline([stage("deinterlace.bwdif")()])}, "steps: .* then, .* now"),
    "sound": ({"audio": "none"}, "sound mode: moderate then, none now"),
    "order": ({"field_order": "bff"}, "picture: .*tff.* then, .*bff.* now"),
    "length": ({"segment": 0.5}, "frames in a segment: 8 then, 15 now"),
    "range": ({"frames": (0, 20)}, "frames 1: null then, 20 now"),
}


@pytest.mark.parametrize("name", OTHERS)
def test_other_settings_are_refused_and_named(name, left):
    out, settings, wanted = left
    changed, message = OTHERS[name]
    before = sorted(p.name for p in parts_of(out).iterdir())
    with pytest.raises(OutputRefused, match=f"begun with other settings.*{message}"):
        toolkit.restore(m.made("huffyuv.avi"), out, resume=True, **{**settings, **changed})
    assert sorted(p.name for p in parts_of(out).iterdir()) == before


def test_another_tape_and_another_version_are_refused_and_named(left, tmp_path, monkeypatch):
    out, settings, wanted = left
    tape = tmp_path / "tape.avi"
    data = bytearray(m.made("huffyuv.avi").read_bytes())
    data[len(data) // 2] ^= 1
    tape.write_bytes(data)
    with pytest.raises(OutputRefused, match="tape changed: .*tape content: "):
        toolkit.restore(tape, out, resume=True, **settings)
    monkeypatch.setattr("toolkit.resumable.versions", lambda: {"numba": "0.0.1"})
    with pytest.raises(OutputRefused, match=r"version of numba: [\d.]+ then, 0\.0\.1 now"):
        toolkit.restore(m.made("huffyuv.avi"), out, resume=True, **settings)
    monkeypatch.undo()
    toolkit.restore(m.made("huffyuv.avi"), out, resume=True, **settings)
    assert digest(out) == wanted


def test_the_number_of_threads_is_the_journals_when_none_is_asked_for(tmp_path, monkeypatch):
    how = {"pipeline": STEPS, "write": {"preset": "veryfast"}, "segment": 0.3, "frames": (0, 18), "audio": "none"}
    monkeypatch.setattr(os, "cpu_count", lambda: 3)
    toolkit.restore(m.made("huffyuv.avi"), tmp_path / "whole.mp4", resume=True, **how)
    interrupted(1, m.made("huffyuv.avi"), tmp_path / "again.mp4", **how)
    monkeypatch.setattr(os, "cpu_count", lambda: 5)  # the disk moved to another machine
    toolkit.restore(m.made("huffyuv.avi"), tmp_path / "again.mp4", resume=True, **how)
    assert digest(tmp_path / "again.mp4") == digest(tmp_path / "whole.mp4")


def test_two_processes_at_one_output(left):
    out, settings, wanted = left
    hold = (
        "import sys, filelock\n"
        "with filelock.FileLock(sys.argv[1]):\n"
        "    print('held', flush=True)\n"
        "    sys.stdin.read()\n"
    )
    words = [sys.executable, "-c", hold, str(parts_of(out) / "lock")]
    other = subprocess.Popen(words, stdin=subprocess.PIPE, stdout=subprocess.PIPE)
    try:
        assert other.stdout.readline().strip() == b"held"
        with pytest.raises(OutputRefused, match="another process is writing"):
            toolkit.restore(m.made("huffyuv.avi"), out, resume=True, **settings)
    finally:
        other.kill()
        other.communicate(timeout=10)
    toolkit.restore(m.made("huffyuv.avi"), out, resume=True, **settings)  # a dead owner does not stand in the way
    assert digest(out) == wanted


def test_a_failure_before_the_first_segment_leaves_nothing(tmp_path, monkeypatch):
    monkeypatch.setattr(Journal, "add", lambda *args: 1 / 0)
    with pytest.raises(ZeroDivisionError):
        toolkit.restore(m.made("huffyuv.avi"), tmp_path / "o.mp4", resume=True, pipeline=STEPS, write=QUICK)
    assert not list(tmp_path.iterdir())


class Breaks(Stage):
    """Passes its frames on one by one, however many come at a time, up to the last segment of the tape."""

    def __init__(self):
        super().__init__("denoise.breaks", {}, "Breaks.")

    def apply(self, batches, fmt, knobs, context):
        frames = (batch[n : n + 1] for batch in batches for n in range(len(batch)))
        yield from itertools.islice(frames, 25)
        raise PictureError("a frame does not fit")


def test_a_failure_after_the_first_segment_says_what_is_kept(tmp_path):
    out = tmp_path / "o.mp4"
    with pytest.raises(PictureError) as caught:
        toolkit.restore(
            m.made("huffyuv.avi"), out, resume=True, pipeline=Pipeline([Breaks()()]), write=QUICK, segment=0.27,
            audio="none", field_order="progressive",
        )  # fmt: skip
    assert list(parts_of(out).glob("*.packets")) and not out.exists()
    assert "a frame does not fit" in str(caught.value) and f"kept in {parts_of(out)}" in str(caught.value)
    assert "nothing was written" not in str(caught.value)


def test_an_existing_output_is_not_written_over(left):
    out, settings, _ = left
    out.write_bytes(b"precious")
    with pytest.raises(ToolkitError, match="exists already"):
        toolkit.restore(m.made("huffyuv.avi"), out, resume=True, **settings)
    assert out.read_bytes() == b"precious" and (parts_of(out) / "000000.packets").exists()
