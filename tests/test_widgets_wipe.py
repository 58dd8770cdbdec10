"""The wipe: its figures are those of the part that is shown, enlarged it shows samples, and it never dies."""

from __future__ import annotations

import io

import numpy as np
import pytest
from PIL import Image
from skimage.metrics import peak_signal_noise_ratio, structural_similarity

from tests import _media as m
from tests import _sweep as s
from toolkit.clip import Clip
from toolkit.compare import compare
from toolkit.compare.grid import to_rgb
from toolkit.compare.part import FrameAgainstTruth
from toolkit.stages import upscale
from toolkit.widgets import wipe

ALIKE = {"gaussian_weights": True, "sigma": 1.5, "use_sample_covariance": False, "data_range": 255}


@pytest.fixture(scope="module")
def result():
    """The truth, blurred."""
    path = m.folder() / "wipe_result.mkv"
    m.ffmpeg("-i", s.files()[1], "-vf", "gblur=sigma=2", "-c:v", "ffv1", path)
    return path


def luma(path, index):
    (batch,) = Clip.open(path).batches(1, frames=(index, index + 1))
    return batch.planes[0][0], batch


def page(widget, **words):
    """The page sends a word; what comes back."""
    got = []
    widget.send = lambda content, buffers=None: got.append(content)
    widget._handle_custom_msg({"number": 7, **words}, [])
    return got


def shown(png):
    return np.asarray(Image.open(io.BytesIO(bytes(png))).convert("RGB"))


def test_the_figures_are_those_of_the_part_that_is_shown(result):
    _, truth = s.files()
    view = wipe(result, result, truth=truth, time=0.2)
    assert view.message["text"] == "" and "whole picture" in view.figures["of"]
    moment = [b.times[0] for b in Clip.open(result).batches(1)]
    index = int(np.searchsorted(np.array(moment), 0.2, side="right")) - 1
    ours, _ = luma(result, index)
    theirs, _ = luma(truth, index)
    for zoom, centre in ((1.0, [0.5, 0.5]), (4.0, [0.3, 0.7]), (2.0, [0.0, 1.0])):
        view.set_state({"zoom": zoom, "centre": centre, "asked": view.asked + 1})
        assert view.answered == view.asked
        size = np.array([ours.shape[1], ours.shape[0]])
        low = np.floor(np.clip(np.array(centre) - 0.5 / zoom, 0, 1 - 1 / zoom) * size).astype(int)
        stop = np.ceil(np.clip(np.array(centre) - 0.5 / zoom, 0, 1 - 1 / zoom) * size + size / zoom - 1e-9).astype(int)
        a, b = (p[low[1] : stop[1], low[0] : stop[0]] for p in (theirs, ours))
        want = [
            f"{peak_signal_noise_ratio(a, b, data_range=255):.2f} dB",
            f"{structural_similarity(a, b, **ALIKE):.4f}",
        ]
        got = view.figures["rows"][1]
        assert got[0] == want[0] and abs(float(got[1]) - float(want[1])) < 2e-3, (zoom, got, want)
        if zoom > 1:
            assert f"{b.shape[1]}x{b.shape[0]} samples" in view.figures["of"]
            left, top, wide, high = view.detail["parts"][0]
            assert (left * size[0], top * size[1]) == pytest.approx(tuple(low))
            picture = to_rgb(luma(result, index)[1])[0][low[1] : stop[1], low[0] : stop[0]]
            assert np.array_equal(shown(view.detail["pictures"][1]), picture), "sample for sample"


def test_a_field_of_the_tape_and_a_larger_result_meet_the_truth_as_in_compare():
    tape, truth = (Clip.open(p) for p in s.files())
    (frame,) = tape.batches(1, frames=(5, 6))
    (right,) = truth.batches(1, frames=(11, 12))
    judge = FrameAgainstTruth(right, frame, float(right.times[0]))
    want = compare([right], [frame], align="times", metrics=("psnr", "ssim")).table.query("plane == 'Y'").iloc[0]
    assert judge() == pytest.approx((want["psnr"], want["ssim"])) and "one was taken" in judge.notes[0]
    other = FrameAgainstTruth(right, frame, float(frame.times[0]))
    assert other()[0] < judge()[0], "the other field shows another moment"
    (small,) = truth.batches(1, frames=(11, 12))
    large = upscale.lanczos(scale=2.0)(small)
    judge = FrameAgainstTruth(small, large, float(small.times[0]))
    assert judge()[0] > 40 and "resampled from 384x192 to 192x96" in " ".join(judge.notes)
    level, alike = FrameAgainstTruth(small, small, 0.0)((0.5, 0.5, 0.04, 0.04))
    assert np.isinf(level) and np.isnan(alike), "8x4 samples are less than a window"


def test_enlarging_stays_in_range_and_a_difference_is_of_samples(result):
    view = wipe(s.files()[0], result)
    assert view.detail == {} and view.figures == {}
    view.mode = "difference"
    assert [p[2:] for p in view.detail["parts"]] == [[1.0, 1.0]] * 2
    assert shown(view.detail["pictures"][0]).shape == (s.HEIGHT, s.WIDTH, 3)
    view.mode = "wipe"
    assert view.detail == {}
    view.zoom = 99.0
    assert view.zoom == 16.0 and "from 1 to 16" in view.message["text"] and view.detail
    view.centre = [7, float("nan")]
    assert view.centre == [1.0, 0.5] and view.message["text"] == ""
    assert page(view, kind="other") == [{"kind": "done", "number": 7}]


def test_what_cannot_be_opened_is_said_and_can_be_tried_again(tmp_path, result):
    path = tmp_path / "tape.mkv"
    view = wipe(path, result)
    assert view.message["kind"] == "error" and "there is no file" in view.message["text"] and not view.after
    path.write_bytes(b"not a tape" * 99)
    page(view, kind="again")
    assert "not a video" in view.message["text"]
    path.write_bytes(s.files()[0].read_bytes())
    page(view, kind="again")
    assert view.message["text"] == "" and view.before.startswith("data:image/jpeg")
    path.unlink()
    view.zoom = 3.0
    assert view.message["text"] == "" and view.detail, "its moment is held, whatever becomes of the file"
    for time in (float("nan"), float("inf")):
        assert "expected seconds" in wipe(result, result, time=time).message["text"]
    assert wipe(result, result, time=1e6).message["text"] == "", "the last frame"
    far = wipe(result, result, truth=m.made("silent.avi"), time=0.2)
    assert far.message["text"] == "" and far.figures["rows"], "another size is resampled"
    assert "there is no file" in wipe(result, result, truth="nowhere.mkv").message["text"]


def test_one_frame_and_twelve_hours():
    one, long = m.one_frame(), m.twelve_hours()
    view = wipe(one, one, truth=one)
    assert view.message["text"] == "" and view.figures["rows"] == [["equal", "1.0000"]] * 2
    view = wipe(long, long, truth=long, time=11.9 * 3600)
    assert view.message["text"] == "" and view.figures["rows"][0][0] == "equal"
    short = wipe(long, long, truth=one, time=11.9 * 3600)
    assert "the truth has no frame at" in short.message["text"] and not short.figures and short.after
