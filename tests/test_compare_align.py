"""Alignment: known shifts and offsets are recovered, and each way a result can be wrong is detected and named."""

from __future__ import annotations

from fractions import Fraction
from functools import cache

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from kernels.deinterlace.bob import bob
from toolkit import tape
from toolkit.clip import Batch
from toolkit.compare import compare
from toolkit.compare.head import look
from toolkit.compare.meeting import Meeting
from toolkit.compare.source import Source
from toolkit.convert import convert
from toolkit.errors import WorkError
from toolkit.pipeline import Pipeline
from toolkit.stages import deinterlace
from toolkit.tape import Tape

SIZE = (240, 160)


@cache
def truth() -> Batch:
    """44 clean frames at field rate, three shots."""
    return Batch.join(list(tape.demo(frames=22, seed=2, size=SIZE).batches()))


@cache
def recorded() -> Batch:
    recorder = Tape(seed=1, head_switch_lines=0, luma_bandwidth=4.5, luma_noise=3)
    return recorder.record(truth()).tape


def picked(batch: Batch, numbers, pts=None) -> Batch:
    """Frames by number, at their own times, or at `pts`."""
    numbers = np.asarray(list(numbers))
    return batch.replace(
        planes=tuple(p[numbers] for p in batch.planes),
        pts=batch.pts[numbers] if pts is None else np.asarray(pts, np.int64),
        durations=batch.durations[numbers],
    )


def noisy(batch: Batch, sigma: float = 3.0, seed: int = 0) -> Batch:
    rng = np.random.default_rng(seed)
    planes = (np.clip(p + rng.normal(0, sigma, p.shape), 0, 255).round().astype(np.uint8) for p in batch.planes)
    return batch.replace(planes=tuple(planes))


def bobbed(batch: Batch, order: str) -> Batch:
    count = len(batch)
    return Batch(
        tuple(bob(p, order=order) for p in batch.planes),
        np.arange(2 * count), np.ones(2 * count, np.int64), batch.time_base,
        batch.format.replace(field_order="progressive"),
    )  # fmt: skip


def kinds(found) -> list[str]:
    return [f.kind for f in found.findings]


def test_a_faithful_result_has_no_findings():
    found = compare(truth(), noisy(truth()), metrics=("psnr",))
    assert kinds(found) == [] and found.frames == 44 and not found.notes
    assert found.alignment.offset == 0 and found.alignment.shift == (0, 0)
    assert abs(found["Y", "psnr"] - 20 * np.log10(255 / np.sqrt(9 + 1 / 12))) < 0.1


def test_equal_times_are_paired_not_equal_positions():
    """A field-rate result against a frame-rate truth loses nothing, and nor does the reverse."""
    frame_rate = picked(truth(), range(0, 44, 2))
    frame_rate = frame_rate.replace(durations=frame_rate.durations * 2)
    for t, r in ((frame_rate, noisy(truth())), (truth(), noisy(frame_rate))):
        found = compare(t, r, metrics=("psnr", "flicker"))
        assert kinds(found) == [] and found.frames == 22
        assert abs(found["Y", "psnr"] - 38.6) < 0.15
        assert np.isfinite(found["Y", "flicker"])
        a = found.alignment
        odd = [pytest.approx(n / float(Tape().field_rate)) for n in range(1, 44, 2)]
        assert (a.unpaired_result, a.unpaired_truth) == ((odd, []) if t is frame_rate else ([], odd))
        assert (found.table["time"] == found.table["truth_time"]).all()


def test_times_of_other_clocks_still_meet():
    """Matroska rounds to milliseconds; a time base and its pts may differ while the times agree."""
    rounded = truth().replace(
        pts=np.round(truth().times * 1000).astype(np.int64),
        durations=np.full(44, 17, np.int64),
        time_base=Fraction(1, 1000),
    )
    found = compare(truth(), rounded, metrics=("psnr",))
    assert found.frames == 44 and kinds(found) == [] and found["Y", "psnr"] == np.inf
    late = rounded.replace(pts=rounded.pts + 1_400_000)
    found = compare(truth(), late, metrics=("psnr",))
    assert found.frames == 44 and kinds(found) == ["clock"] and found["Y", "psnr"] == np.inf


@settings(max_examples=6)
@given(k=st.integers(-9, 9).filter(bool), clean=st.booleans())
def test_a_constant_offset_is_named_and_taken_out(k, clean):
    """The result shows what the truth shows k frames later."""
    numbers = np.arange(44) + k
    keep = (numbers >= 0) & (numbers < 44)
    result = picked(truth(), numbers[keep], np.arange(44)[keep])
    found = compare(truth(), result if clean else noisy(result), metrics=("psnr",))
    assert kinds(found) == ["time offset"]
    assert found.alignment.offset_frames == k and ("early" if k > 0 else "late") in str(found.findings[0])
    assert found["Y", "psnr"] > 38 and found.frames == keep.sum()
    as_is = compare(truth(), result, metrics=("psnr",), align="times")
    assert kinds(as_is) == ["time offset"] and as_is["Y", "psnr"] < 30


@settings(max_examples=8)
@given(dx=st.floats(-3.5, 3.5), dy=st.floats(-3.5, 3.5))
def test_a_shift_is_recovered_to_a_fraction_of_a_sample(dx, dy):
    part = truth()[:12]
    moved = convert(part.replace(planes=tuple(p.astype(np.float32) for p in part.planes)), part.format, shift=(dx, dy))
    result = noisy(moved, 2)
    meeting = Meeting(part.format, result.format)
    found = look(Source(part, "truth"), Source(result, "result"), meeting, 0.0)
    for got, want in zip(found.shift, (dx, dy), strict=True):
        assert abs(got - want) < (0.04 if abs(want) > 0.1 else 0.11), (found.shift, (dx, dy))


def test_a_shifted_result_is_compared_in_place():
    moved = convert(
        truth().replace(planes=tuple(p.astype(np.float32) for p in truth().planes)), truth().format, shift=(1.5, -0.5)
    )
    result = noisy(moved, 0)
    found = compare(truth(), result)
    assert kinds(found) == ["shift"] and "+1.50 samples right of and -0.50 below" in str(found)
    assert all(c >= 4 for c in found.alignment.crop) and all(c % 2 == 0 for c in found.alignment.crop[::2])
    assert found["Y", "psnr"] > 45 and found["U", "psnr"] > 45
    as_is = compare(truth(), result, align="times")
    assert as_is["Y", "psnr"] < 32 and as_is.alignment.crop == (0, 0, 0, 0)


@pytest.mark.parametrize("order", ["tff", "bff"])
def test_swapped_fields_are_named(order):
    """The tape is top field first; deinterlaced as bottom field first it jumps back and forth."""
    found = compare(truth(), bobbed(recorded(), order), metrics=("psnr",))
    assert kinds(found) == ([] if order == "tff" else ["swapped fields"])
    assert found.frames == 44


def test_exchanged_lines_are_named():
    woven = truth()
    planes = []
    for p in woven.planes:
        q = p.copy()
        q[:, 0::2], q[:, 1::2] = p[:, 1::2], p[:, 0::2]
        planes.append(q)
    assert "exchanged lines" in kinds(compare(woven, woven.replace(planes=tuple(planes)), metrics=("psnr",)))


@pytest.mark.parametrize("where", [10, 23, 36])
@pytest.mark.parametrize("count", [1, 2])
def test_a_dropped_frame_is_found_where_it_is_missing(where, count):
    numbers = [n for n in range(44) if not where <= n < where + count]
    closed_up = noisy(picked(truth(), numbers, range(len(numbers))))
    found = compare(truth(), closed_up, metrics=("psnr",))
    assert kinds(found) == ["dropped frame"]
    assert abs(found.findings[0].time - where / float(Tape().field_rate)) < 0.001
    assert found.findings[0].value == count
    missing = [pytest.approx(n / float(Tape().field_rate)) for n in range(where, where + count)]
    assert found.alignment.unpaired_truth == missing and found["Y", "psnr_min"] > 37


def test_a_drop_after_a_quiet_beginning_is_not_called_an_offset():
    """Through a tape's noise the first shot fits as well a frame later: one missing frame explains it all."""
    result = Pipeline([deinterlace.bwdif()])(recorded())
    closed_up = picked(result, [n for n in range(44) if n != 20], np.arange(43) * (result.pts[1] - result.pts[0]))
    found = compare(truth(), closed_up, metrics=("psnr",))
    assert kinds(found) == ["dropped frame"] and found.alignment.offset_frames == 0
    assert abs(found.findings[0].time - 20 / float(Tape().field_rate)) < 0.001
    assert found["Y", "psnr"] > compare(truth(), result, metrics=("psnr",))["Y", "psnr"] - 0.3


def test_a_dropped_frame_whose_times_are_right_is_found_too():
    found = compare(truth(), picked(truth(), [n for n in range(44) if n != 15]), metrics=("psnr", "flicker"))
    assert kinds(found) == ["dropped frame"] and "its times are right" in str(found)
    assert found.frames == 43 and len(found.alignment.unpaired_truth) == 1 and found["Y", "psnr"] == np.inf
    luma = found.table[found.table["plane"] == "Y"]
    assert np.flatnonzero(luma["flicker"].isna()).tolist() == [0, 15]  # none before the first, none before the gap


def test_frames_halfway_between_two_are_not_paired_with_either():
    between = truth()[:20].replace(pts=2 * truth().pts[:20] + 1, durations=truth().durations[:20] * 2,
                                   time_base=truth().time_base / 2)  # fmt: skip
    with pytest.raises(WorkError, match="no frame"):
        compare(truth(), between, metrics=("psnr",), align="times")


def test_a_repeated_frame_is_named():
    numbers = [*range(20), 19, *range(20, 43)]
    found = compare(truth(), noisy(picked(truth(), numbers, range(44))), metrics=("psnr",))
    assert kinds(found) == ["repeated frame"]
    assert abs(found.findings[0].time - 20 / float(Tape().field_rate)) < 0.02


@pytest.mark.parametrize("kind, gain, offset", [("low", 219 / 255, 16), ("high", 255 / 219, -16 * 255 / 219)])
def test_a_wrong_colour_range_is_named(kind, gain, offset):
    planes = [np.clip(truth().planes[0] * gain + offset, 0, 255)]
    planes += [np.clip((p - 128.0) * gain + 128, 0, 255) for p in truth().planes[1:]]
    wrong = truth().replace(planes=tuple(p.round().astype(np.uint8) for p in planes))
    found = compare(truth(), noisy(wrong), metrics=("psnr",))
    assert kinds(found) == ["colour range"] and f"contrast is too {kind}" in str(found)


def test_other_levels_are_named_without_calling_it_a_range():
    darker = truth().replace(planes=(truth().planes[0] - np.uint8(8) * (truth().planes[0] > 30), *truth().planes[1:]))
    found = compare(truth(), darker, metrics=("psnr",))
    assert kinds(found) == ["levels"] and found.findings[0].value[1] < -4


def test_ranges_and_matrices_that_are_tagged_are_converted_not_blamed():
    fmt = truth().format.replace(range="full", matrix="bt709")
    result = convert(truth(), fmt)
    found = compare(truth(), result, metrics=("psnr",))
    assert kinds(found) == [] and found["Y", "psnr"] > 48 and found["U", "psnr"] > 46
    assert any("full range was brought to limited" in n for n in found.notes)
    assert any("bt709 was brought to bt601" in n for n in found.notes)


def test_a_still_picture_says_nothing_about_time():
    still = picked(truth(), [5] * 20, range(20))
    found = compare(still, noisy(still), metrics=("psnr",))
    assert kinds(found) == [] and found.frames == 20


def test_a_picture_without_structure_is_not_aligned_by_guess():
    flat = truth()[:6].replace(planes=tuple(np.full_like(p[:6], 90) for p in truth().planes))
    found = compare(flat, noisy(flat, 1), metrics=("psnr",))
    assert kinds(found) == ["unaligned"] and found.frames == 6
