"""VMAF and XPSNR: the numbers that FFmpeg's program gives for the same frames in two files."""

from __future__ import annotations

import json
import re
import subprocess

import numpy as np
import pytest

from tests import _media as m
from tests import _sweep as s
from toolkit.cli import main
from toolkit.clip import Batch
from toolkit.compare import compare, sample, viewer_scores, viewers
from toolkit.errors import PictureError, RequestError, UnknownName
from toolkit.sweep import sweep


def pair():
    made, truth = s.made()
    some = sample(made, bursts=1, length=6, pipeline=s.PIPELINE)
    return some.beside(truth).bursts[0].own, some.through(s.PIPELINE).bursts[0].own


def told(truth, result, tmp_path) -> dict[str, float]:
    """The judge: two raw files, one filter each."""
    words = []
    for name, batch in (("result", result), ("truth", truth)):
        path = tmp_path / f"{name}.yuv"
        frames = range(len(batch))
        path.write_bytes(b"".join(np.ascontiguousarray(p[t]).tobytes() for t in frames for p in batch.planes))
        size = f"{batch.format.width}x{batch.format.height}"
        words += ["-f", "rawvideo", "-pix_fmt", "yuv422p", "-s", size, "-r", "60000/1001", "-i", str(path)]
    said = ""
    for name in ("libvmaf", "[0:v][1:v]xpsnr"):
        command = [m.FFMPEG, "-hide_banner", "-nostdin", *words, "-lavfi", name, "-f", "null", "-"]
        said += subprocess.run(command, capture_output=True, text=True, timeout=120).stderr
    planes = re.search(r"XPSNR\s+y: ([\d.]+)\s+u: ([\d.]+)\s+v: ([\d.]+)", said).groups()
    return {"vmaf": float(re.search(r"VMAF score: ([\d.]+)", said)[1]),
            **{f"xpsnr_{p}": float(v) for p, v in zip("YUV", planes, strict=True)}}  # fmt: skip


def test_the_scores_are_ffmpegs_own(tmp_path):
    truth, result = pair()
    ours, theirs = viewer_scores(truth, result), told(truth, result, tmp_path)
    assert ours.keys() == theirs.keys()
    for name, value in theirs.items():
        assert ours[name] == pytest.approx(value, abs=0.02), name
    better = viewer_scores(truth, truth)
    assert better["vmaf"] > ours["vmaf"] + 5 and better["xpsnr_Y"] == np.inf


def test_equal_times_are_paired_and_sizes_brought_together():
    truth, result = pair()
    half = result.replace(planes=tuple(p[::2] for p in result.planes), pts=result.pts[::2],
                          durations=2 * result.durations[::2])  # fmt: skip
    assert viewer_scores(truth, half)["vmaf"] == pytest.approx(viewer_scores(truth, result)["vmaf"], abs=6)
    from toolkit.stages import upscale

    large = upscale.lanczos(scale=2)(result)
    assert viewer_scores(truth, large, ["xpsnr"])["xpsnr_Y"] == pytest.approx(
        viewer_scores(truth, result, ["xpsnr"])["xpsnr_Y"], abs=1
    )
    late = result.replace(pts=result.pts + 100000)
    with pytest.raises(PictureError, match="no frame of the result has a partner"):
        viewer_scores(truth, late)
    with pytest.raises(UnknownName, match="did you mean vmaf"):
        viewer_scores(truth, result, ["vmav"])


def test_compare_gives_the_same_scores_of_files_and_says_them(tmp_path, monkeypatch, capsys):
    truth, result = pair()
    found = compare(truth, result, align="times", metrics=("psnr", "vmaf", "xpsnr"))
    want = told(truth, result, tmp_path)
    assert found.viewers == {key: pytest.approx(value, abs=0.02) for key, value in want.items()}
    assert f"VMAF {found.viewers['vmaf']:.2f}" in str(found) and list(found.summary) == ["frames", "psnr", "psnr_min"]
    monkeypatch.setattr(viewers, "MOST", 5)  # in several runs of the program, one of them of equal frames
    planes = tuple(np.concatenate([t[:5], r[5:]]) for t, r in zip(truth.planes, result.planes, strict=True))
    parts = [told(truth[i : i + 5], result[i : i + 5], tmp_path) for i in (5, 10)]
    root = (5 * 10 ** (-parts[0]["xpsnr_Y"] / 20) + 2 * 10 ** (-parts[1]["xpsnr_Y"] / 20)) / 12
    found = compare(truth, result.replace(planes=planes), align="times", metrics=["psnr", "xpsnr"])
    assert found.viewers["xpsnr_Y"] == pytest.approx(-20 * np.log10(root), abs=0.02)
    monkeypatch.undo()
    tape, clean = map(str, s.files())
    assert main(["compare", clean, tape, "--metrics", "noise,xpsnr", "--json"]) == 0
    said = json.loads(capsys.readouterr().out)
    assert set(said["viewers"]) == {"xpsnr_Y", "xpsnr_U", "xpsnr_V"}
    assert set(said["summary"]["Y"]) == {"frames", "noise", "noise_truth"}
    for words, text in (("psnr,vmav", "did you mean vmaf"), (" , ", "no metric was asked for")):
        assert main(["compare", clean, tape, "--metrics", words, "--video", str(tmp_path / "v.mp4")]) == 2
        assert text in capsys.readouterr().err
    assert not (tmp_path / "v.mp4").exists()


def test_the_noise_left_is_that_which_was_put_on():
    _, truth = s.made()
    truth = Batch.join(truth)
    noise = np.random.default_rng(3).normal(0, 6, truth.planes[0].shape)
    noisy = np.clip(np.rint(truth.planes[0] + noise), 0, 255).astype(np.uint8)
    found = compare(truth, truth.replace(planes=(noisy, *truth.planes[1:])), align="times", metrics=("noise",))
    assert 5 < found["Y", "noise"] < 8 and found["Y", "noise_truth"] < 2.5
    assert found["U", "noise"] == found["U", "noise_truth"]


def test_a_missing_program_is_said_before_any_work(monkeypatch, tmp_path):
    def missing():
        raise RequestError("VMAF and XPSNR need FFmpeg's program (there is none)", hint="pip install imageio-ffmpeg")

    made, truth = s.made()
    more = {"truth": truth, "bursts": 1, "length": 2, "metrics": ("psnr", "vmaf", "xpsnr")}
    found = sweep(made, s.PIPELINE, {"denoise.gate": [4.0, 12.0]}, folder=tmp_path / "a", **more)
    assert {"psnr_Y", "vmaf", "xpsnr_V"} <= set(found.metrics) and found.best("vmaf") is not None
    monkeypatch.setattr(viewers, "program", missing)
    with pytest.raises(RequestError, match="imageio-ffmpeg"):
        sweep(made, s.PIPELINE, {"denoise.gate": [4.0]}, folder=tmp_path / "b", **more)
    assert not (tmp_path / "b").exists()
