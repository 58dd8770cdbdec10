"""compare(): its numbers are scikit-image's, its table is complete, and bad requests are refused by name."""

from __future__ import annotations

import json
import math
from fractions import Fraction

import numpy as np
import pytest
from skimage.metrics import peak_signal_noise_ratio, structural_similarity

from kernels.measure.flicker import flicker
from toolkit import tape
from toolkit.clip import Batch, Clip, PictureFormat
from toolkit.compare import compare
from toolkit.convert import convert
from toolkit.errors import InputMissing, RequestError, UnknownName, WorkError
from toolkit.tape import Tape


def clip(count=9, size=(96, 64), seed=3) -> Batch:
    return Batch.join(list(tape.demo(frames=count, seed=seed, size=size).batches()))


def spoilt(batch: Batch, sigma=4.0) -> Batch:
    rng = np.random.default_rng(9)
    top = batch.format.peak
    planes = (np.clip(p + rng.normal(0, sigma, p.shape), 0, top).round().astype(p.dtype) for p in batch.planes)
    return batch.replace(planes=tuple(planes))


def test_numbers_are_those_of_scikit_image():
    truth = clip()
    result = spoilt(truth)
    found = compare(truth, result, align="times")
    assert len(found.table) == 18 * 3
    for row in found.table.itertuples():
        a, b = (x.planes["YUV".index(row.plane)][row.frame] for x in (truth, result))
        assert abs(row.psnr - peak_signal_noise_ratio(a, b, data_range=255)) < 1e-6
        want = structural_similarity(
            a, b, data_range=255, gaussian_weights=True, sigma=1.5, use_sample_covariance=False
        )
        assert abs(row.ssim - want) < 1e-6
        assert row.time == row.truth_time == truth.times[row.frame]
    y = found.table[found.table["plane"] == "Y"]
    error = np.mean((truth.planes[0].astype(float) - result.planes[0]) ** 2)
    assert abs(found["Y", "psnr"] - 10 * np.log10(255**2 / error)) < 1e-9
    assert found["Y", "psnr_min"] == y["psnr"].min() and found["Y", "ssim"] == y["ssim"].mean()
    want = flicker.definition(result.planes[0], truth.planes[0])
    assert np.isnan(want[0]) and np.allclose(y["flicker"], want, equal_nan=True)


def test_ten_bit_clips_are_measured_on_their_own_scale():
    truth = clip()
    deep = convert(truth, truth.format.replace(bits=10))
    result = spoilt(deep, 16.0)
    found = compare(deep, result, align="times", metrics=("psnr",))
    want = peak_signal_noise_ratio(deep.planes[0], result.planes[0], data_range=1023)
    assert abs(found["Y", "psnr"] - want) < 1e-6
    mixed = compare(truth, deep)
    assert mixed["Y", "psnr"] == math.inf and any("8 and 10 bits" in n for n in mixed.notes)


def test_equal_clips_are_infinitely_close_everywhere():
    found = compare(clip(), clip())
    assert (found.table["psnr"] == np.inf).all() and (found.summary["psnr"] == np.inf).all()
    assert (found.table["ssim"] == 1).all() and (found.summary["flicker"] == 0).all()
    plain = found.to_dict()
    assert plain["summary"]["Y"]["psnr"] == "inf"
    assert json.loads(json.dumps(plain, allow_nan=False)) == plain
    assert "inf" in str(found) and "inf" in found._repr_html_()


def test_one_equal_frame_among_others_does_not_make_the_summary_infinite():
    truth = clip()
    result = spoilt(truth)
    result.planes[0][4] = truth.planes[0][4]
    found = compare(truth, result, metrics=("psnr",))
    assert np.isinf(found.table.query("plane == 'Y' and frame == 4")["psnr"]).all()
    assert 35 < found["Y", "psnr"] < 38


def test_an_upscaled_result_is_brought_to_the_size_of_the_truth_or_the_other_way():
    truth = clip(size=(240, 160))
    large = truth.format.replace(width=480, height=320)
    result = convert(truth, large)
    found = compare(truth, result)
    assert found["Y", "psnr"] > 35 and not found.findings
    assert "the result was resampled from 480x320 to 240x160 (Lanczos)" in str(found)
    other = compare(truth, result, size="result")
    assert other["Y", "psnr"] > 55 and "the truth was resampled from 240x160 to 480x320" in str(other)


def test_other_layouts_meet_on_the_truths():
    truth = clip(size=(240, 160))
    narrow = convert(truth, truth.format.replace(subsampling=(1, 1)))
    found = compare(truth, narrow)
    assert found["Y", "psnr"] == math.inf and found["U", "psnr"] > 38 and "from 4:2:0 to 4:2:2" in str(found)
    grey = truth.replace(planes=truth.planes[:1], format=truth.format.replace(subsampling=None))
    found = compare(truth, grey)
    assert list(found.summary.index) == ["Y"] and found["Y", "psnr"] == math.inf and "only luma" in str(found)


def test_an_interlaced_result_is_bobbed_or_taken_as_woven():
    truth = clip(count=9, size=(240, 160))
    woven = Tape.ideal().record(truth).tape
    found = compare(truth, woven)
    assert found.frames == 18 and "bob" in str(found) and not found.findings
    as_is = compare(truth, woven, interlaced="woven")
    assert as_is.frames == 9 and found["Y", "combing"] < as_is["Y", "combing_truth"]
    assert as_is["Y", "combing"] > as_is["Y", "combing_truth"]
    same = compare(woven, woven)
    assert same.frames == 9 and same["Y", "psnr"] == math.inf


def test_a_crop_leaves_out_what_it_says():
    truth = clip()
    result = truth.replace(planes=tuple(p.copy() for p in truth.planes))
    for p in result.planes:
        p[:, -8:] = 0
    assert compare(truth, result, align="times", metrics=("psnr",))["Y", "psnr"] < 25
    found = compare(truth, result, align="times", crop=(0, 0, 0, 8), metrics=("psnr",))
    assert (found.summary["psnr"] == np.inf).all() and found.alignment.crop == (0, 0, 0, 8)


def test_a_range_of_frames_and_a_short_truth():
    truth = clip(count=12)
    found = compare(truth, truth, frames=(5, 9), metrics=("psnr",))
    assert sorted(found.table["frame"].unique()) == [5, 6, 7, 8]
    assert not found.alignment.unpaired_truth
    short = compare(truth[:10], truth, metrics=("psnr",))
    assert short.frames == 10 and len(short.alignment.unpaired_result) == 14
    long = compare(truth, truth[:10], metrics=("psnr",))
    assert long.frames == 10 and len(long.alignment.unpaired_truth) == 14


def test_files_and_batches_give_the_same_numbers(tmp_path):
    source = tape.demo(frames=4, size=(96, 72))
    tape.simulate(source, tmp_path / "tape.mkv", truth=tmp_path / "truth.mkv", seed=1)
    from_files = compare(tmp_path / "truth.mkv", str(tmp_path / "tape.mkv"))
    clips = [Clip.open(tmp_path / n) for n in ("truth.mkv", "tape.mkv")]
    from_batches = compare(*(list(c.batches(size=3)) for c in clips))
    assert from_files.summary.equals(from_batches.summary) and from_files.frames == 8
    assert from_files.truth == "truth.mkv" and "tape.mkv against truth.mkv: 8 frames" in str(from_files)


def test_bad_requests_are_named(tmp_path):
    truth = clip(count=2)
    with pytest.raises(UnknownName, match="psnr"):
        compare(truth, truth, metrics=("psnrr",))
    with pytest.raises(RequestError, match="align is 'best'"):
        compare(truth, truth, align="best")
    with pytest.raises(RequestError, match="leaves nothing"):
        compare(truth, truth, crop=(50, 0, 50, 0))
    with pytest.raises(InputMissing):
        compare(tmp_path / "nothing.mkv", truth)
    with pytest.raises(RequestError, match="the result is int"):
        compare(truth, 3)
    fmt = PictureFormat(96, 64, (1, 0), field_order="progressive")
    elsewhere = Batch(truth.planes, truth.pts + 13, truth.durations, Fraction(1, 30), truth.format)
    assert fmt.height == 64
    with pytest.raises(WorkError, match="no frame of result has a partner"):
        compare(truth[:2], elsewhere.replace(pts=np.array([7, 8, 9, 10]), time_base=Fraction(1, 25)), align="times")


# The flicker measure itself


def test_flicker_is_what_its_docstring_says():
    rng = np.random.default_rng(2)
    still = np.broadcast_to(rng.uniform(40, 200, (128, 192)), (6, 128, 192)).astype(np.float32)
    wrong_but_steady = still * np.float32(0.8) + 5
    assert np.nanmax(flicker(wrong_but_steady, still)) < 1e-4
    alternating = still + np.array([0, 3, 0, 3, 0, 3], np.float32)[:, None, None]
    assert np.allclose(flicker(alternating, still)[1:], 3, atol=1e-4)
    noise = still + rng.normal(0, 8, still.shape).astype(np.float32)
    for block in (1, 4, 8):
        assert abs(flicker(noise, still, block=block)[1:].mean() / (np.sqrt(2) * 8 / block) - 1) < 0.05
    moving = np.stack([np.roll(still[0], 2 * t, axis=1) for t in range(6)])
    assert np.nanmax(flicker(moving, moving)) == 0
    assert abs(np.nanmean(flicker(moving, moving + alternating - still)) - 3) < 1e-3
