"""Clips that do not fit each other, and results that are wrong in one way: refused or named, from real files."""

from __future__ import annotations

import functools
import json
from fractions import Fraction
from pathlib import Path

import numpy as np
import pytest

from tests import _media as m
from tests import _sweep as s
from toolkit import restore, tape
from toolkit.cli import main
from toolkit.clip import Batch
from toolkit.compare import compare
from toolkit.errors import RequestError
from toolkit.media.write import Writer
from toolkit.pipeline import Pipeline
from toolkit.stages import deinterlace
from toolkit.sweep import sweep

SIZE = (240, 160)
FIELD = "60000/1001"


def written(path: Path, batch: Batch) -> Path:
    rate = 1 / (batch.durations[0] * batch.time_base)
    with Writer(path, batch.format, batch.time_base, rate=rate, codec="ffv1", sound=()) as writer:
        writer.write(batch)
    return path


@functools.cache
def truth() -> Batch:
    return Batch.join(list(tape.demo(frames=22, seed=2, size=SIZE).batches()))


@functools.cache
def files() -> dict[str, Path]:
    """A truth, its tape, and the tape deinterlaced in the right field order and in the wrong one."""
    folder = m.folder() / "compare_bad"
    folder.mkdir()
    found = {"truth": written(folder / "truth.mkv", truth())}
    found["tape"] = written(folder / "tape.mkv", tape.Tape.ideal().record(truth()).tape)
    for order in ("tff", "bff"):
        found[order] = folder / f"{order}.mkv"
        restore(found["tape"], found[order], pipeline=Pipeline([deinterlace.bwdif()]), field_order=order,
                audio="none", write={"codec": "ffv1"})  # fmt: skip
    return found


@functools.cache
def unharmed() -> float:
    return compare(files()["truth"], files()["tff"], metrics=("psnr",))["Y", "psnr"]


#: What an editor, a player or a hand does to a result -> FFmpeg's filter, the finding it must be given, and its time.
WRONG = {
    "nothing": ("null", None, None),
    "shifted": ("pad=iw+8:ih+4:4:2,crop=240:160:0:0", "shift", None),
    "frame dropped": (rf"select='not(eq(n\,24))',setpts=N/({FIELD})/TB", "dropped frame", 24),
    "frame repeated": (f"loop=1:1:24,setpts=N/({FIELD})/TB", "repeated frame", 25),
    "range squeezed": ("lutyuv=y=val*219/255+16:u=(val-128)*219/255+128:v=(val-128)*219/255+128", "colour range", None),
    "range stretched": ("lutyuv=y=(val-16)*255/219:u=(val-128)*255/219+128:v=(val-128)*255/219+128", "colour range",
                        None),
    "late": ("tpad=start=3:start_mode=clone,trim=end_frame=44", "time offset", None),
}  # fmt: skip


@pytest.mark.parametrize("what", WRONG)
def test_the_command_names_what_is_wrong_with_a_file(what, tmp_path, capsys):
    graph, kind, frame = WRONG[what]
    m.ffmpeg("-i", files()["tff"], "-vf", graph, "-c:v", "ffv1", tmp_path / "result.mkv")
    assert main(["compare", str(files()["truth"]), str(tmp_path / "result.mkv"), "--json"]) == 0
    found = json.loads(capsys.readouterr().out)
    assert [f["kind"] for f in found["findings"]] == ([kind] if kind else [])
    if frame is not None:
        assert abs(found["findings"][0]["time"] - frame / float(Fraction(FIELD))) < 0.02
    if kind != "colour range":  # what can be set right was
        assert found["summary"]["Y"]["psnr"] > unharmed() - 1.5


def test_the_command_names_swapped_fields(capsys):
    assert main(["compare", str(files()["truth"]), str(files()["bff"]), "--json"]) == 0
    assert [f["kind"] for f in json.loads(capsys.readouterr().out)["findings"]] == ["swapped fields"]


def test_a_sweep_names_swapped_fields_in_each_row(tmp_path):
    for order, named in (("tff", ""), ("bff", "swapped fields")):
        found = sweep(files()["tape"], Pipeline([deinterlace.bwdif()]), {"deinterlace": ["bwdif", "bob"]},
                      truth=files()["truth"], field_order=order, bursts=1, length=22, folder=tmp_path / order,
                      metrics=("psnr",))  # fmt: skip
        assert found.table["findings"].tolist() == [named] * 2


# Clips that do not fit each other


def test_another_rate_pairs_equal_times_only():
    """A result at 25 frames a second of a scene at 59.94: what coincides is paired, the rest is listed."""
    times = np.arange(18) / 25
    nearest = np.abs(truth().times[:, None] - times).argmin(axis=0)
    other = truth().replace(planes=tuple(p[nearest] for p in truth().planes), pts=np.arange(18),
                            durations=np.ones(18, int), time_base=Fraction(1, 25))  # fmt: skip
    found = compare(truth(), other, metrics=("psnr",))
    luma = found.table[found.table["plane"] == "Y"]
    assert (luma["time"] - luma["truth_time"]).abs().max() < 0.25 / 59.94
    assert 4 <= found.frames < 18 and len(found.alignment.unpaired_result) == 18 - found.frames
    assert "have no partner and are not counted" in str(found)


def test_another_field_order_is_said_and_another_size_is_resampled():
    recorded = tape.Tape.ideal().record(truth()).tape
    claimed = recorded.replace(format=recorded.format.replace(field_order="bff"))
    found = compare(recorded, claimed, metrics=("psnr",))
    assert any("interlaced (tff)" in n for n in found.notes) and any("interlaced (bff)" in n for n in found.notes)
    assert [f.kind for f in compare(truth(), claimed, metrics=("psnr",)).findings] == ["swapped fields"]
    made, clean = s.made()
    large = [b.replace(planes=tuple(np.repeat(np.repeat(p, 2, 1), 2, 2) for p in b.planes),
                       format=b.format.replace(width=2 * s.WIDTH, height=2 * s.HEIGHT)) for b in clean]  # fmt: skip
    assert "resampled from" in str(compare(large, clean, metrics=("psnr",)))


@pytest.mark.parametrize("kept, refused", [(range(0, 8), True), (range(0, 27), False)])
def test_a_truth_shorter_than_the_tape(kept, refused, tmp_path):
    """Refused where a burst has no truth at all; where a part of it has, that part is paired and counted."""
    made, clean = s.made()
    whole = Batch.join(list(clean))
    short = [whole[kept.start : kept.stop]]
    sweeping = {"truth": short, "bursts": 2, "length": 6, "folder": tmp_path / "r", "metrics": ("psnr",)}
    if refused:
        with pytest.raises(RequestError, match=r"no frames from .* s; expected a truth as long as what"):
            sweep(made, s.PIPELINE, {"denoise.gate": [8]}, **sweeping)
        assert not (tmp_path / "r").exists()
    else:
        found = sweep(made, s.PIPELINE, {"denoise.gate": [8]}, **sweeping)
        assert found.table["frames"][0] == 24 and 12 < found.table["paired"][0] < 24
        assert np.isfinite(found.table["psnr_Y"][0]) and found.table["error"].isna().all()


def test_a_truth_of_another_size_or_rate_is_brought_to_meet_in_a_sweep(tmp_path):
    made, clean = s.made()
    first = Batch.join(list(clean))
    frame_rate = first.replace(planes=tuple(p[::2] for p in first.planes), pts=first.pts[::2],
                               durations=2 * first.durations[::2])  # fmt: skip
    small = first.replace(planes=tuple(p[:, ::2, ::2] for p in first.planes),
                          format=first.format.replace(width=s.WIDTH // 2, height=s.HEIGHT // 2))  # fmt: skip
    more = {"bursts": 2, "length": 4, "metrics": ("psnr",)}
    found = sweep(made, s.PIPELINE, {"denoise.gate": [8]}, truth=[frame_rate], folder=tmp_path / "rate", **more)
    assert found.table["paired"][0] == 8 and found.table["frames"][0] == 16
    found = sweep(made, s.PIPELINE, {"denoise.gate": [8]}, truth=[small], folder=tmp_path / "size", **more)
    assert found.table["paired"][0] == 16 and 10 < found.table["psnr_Y"][0] < 60
