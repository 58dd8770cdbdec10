"""Clips side by side in a video, as FFmpeg's own program decodes it; and how much detail a result has kept."""

from __future__ import annotations

import numpy as np
import pytest
from scipy.ndimage import gaussian_filter

from tests import _media as m
from tests.test_compare_grid import BARS, flat
from toolkit import tape
from toolkit.cli import main
from toolkit.clip import Batch
from toolkit.compare import compare, sample, stacked_video, video
from toolkit.compare.detail import detail_kept
from toolkit.errors import OutputFailed, OutputRefused, RequestError


def decoded(path, size) -> np.ndarray:
    raw = m.ffmpeg("-i", path, "-fps_mode", "passthrough", "-pix_fmt", "rgb24", "-f", "rawvideo", "-")
    return np.frombuffer(raw, np.uint8).reshape(-1, size[1], size[0], 3).astype(int)


@pytest.mark.parametrize("ending", ["mp4", "webm"])
def test_every_clip_is_in_its_place_with_its_colour_and_name(ending, tmp_path):
    red, blue = (flat(BARS["bt601"][c], count=6) for c in ("red", "blue"))
    large = flat(BARS["bt709"]["red"], "bt709", size=(256, 96), count=6)
    path = tmp_path / f"out.{ending}"
    made = stacked_video({"red": red, "blue": blue, "a wide one": large}, path, height=96)
    assert [p.name for p in tmp_path.iterdir()] == [path.name] and made.frames == 6
    frames = decoded(path, made.size)
    assert len(frames) == 6 and made.size[0] % 2 == made.size[1] % 2 == 0
    cell = (made.size[0] - 6) // 3
    for n, want in enumerate([(191, 0, 0), (0, 0, 191), (191, 0, 0)]):
        picture = frames[3][-50, 6 + n * cell + 120]
        assert np.abs(picture - want).max() <= 6, (n, picture)
        name = frames[3][6:22, 6 + n * cell : n * cell + 200]
        assert (name.min(-1) > 150).any(), n
    assert np.abs(frames[3][-50, 6 + 20] - (24, 24, 26)).max() <= 6  # beside the narrow picture: nothing


def test_clips_of_other_rates_are_shown_by_time_until_the_shortest_ends(tmp_path):
    """A clip whose frames get lighter, beside every second of them: always the one on display."""
    fast = flat((16, 128, 128), count=12)
    fast.planes[0][:] = 16 + 16 * np.arange(12)[:, None, None].astype(np.uint8)
    slow = fast.replace(planes=tuple(p[::2] for p in fast.planes), pts=fast.pts[::2], durations=2 * fast.durations[::2])
    late = slow[:4].replace(pts=slow.pts[:4] + 1000)
    made = stacked_video({"slow": slow, "fast": fast, "late": late}, tmp_path / "a.mp4", height=48)
    frames = decoded(tmp_path / "a.mp4", made.size)
    assert made.frames == len(frames) == 8 and "ends with late" in made.note
    cell = (made.size[0] - 6) // 3
    for n, frame in enumerate(frames):
        grey = [frame[-20, 6 + i * cell + 30, 1] * 219 / 255 + 16 for i in range(3)]
        assert np.allclose(grey, [16 + 16 * (n // 2 * 2), 16 + 16 * n, 16 + 16 * (n // 2 * 2)], atol=4), n
    assert np.allclose([float(t) for t in m.told_times(tmp_path / "a.mp4")], np.arange(8) / 25, atol=1e-4)
    part = stacked_video({"fast": fast}, tmp_path / "b.mp4", start=0.08, length=0.12, height=48)
    assert part.frames == 3
    grey = decoded(tmp_path / "b.mp4", part.size)[:, -20, 30, 1] * 219 / 255 + 16
    assert np.allclose(grey, [48, 64, 80], atol=4)


def test_bursts_of_samples_follow_each_other_without_the_time_between(tmp_path):
    """A clip whose frames get lighter, in two bursts far apart; beside it the same on a clock of its own."""
    clip = flat((16, 128, 128), count=40)
    clip.planes[0][:] = 16 + 5 * np.arange(40)[:, None, None].astype(np.uint8)
    some = sample(clip, [0.21, 1.21], length=3, halo=(2, 2))
    late = sample(clip.replace(pts=clip.pts + 5000), [200.21, 201.21], length=3, halo=(0, 0))
    made = stacked_video({"a": some, "b": late}, tmp_path / "a.mp4", height=48, turns=2)
    levels = [b.own.planes[0][:, 0, 0] for b in some.bursts]
    want = np.concatenate([levels[0], levels[0], levels[1], levels[1]])
    frames = decoded(tmp_path / "a.mp4", made.size)
    cell = (made.size[0] - 6) // 2
    for at in (30, cell + 36):
        assert np.allclose(frames[:, -20, at, 1] * 219 / 255 + 16, want, atol=4)
    assert np.allclose([float(t) for t in m.told_times(tmp_path / "a.mp4")], np.arange(12) / 25, atol=1e-4)
    for other in (clip, sample(clip, [0.2], length=3)):
        with pytest.raises(RequestError, match="b is not a sample with as many bursts"):
            stacked_video({"a": some, "b": other}, tmp_path / "b.mp4")
    with pytest.raises(RequestError, match="turns is 0"):
        stacked_video({"a": some}, tmp_path / "b.mp4", turns=0)
    assert [p.name for p in tmp_path.iterdir()] == ["a.mp4"]


def test_a_failure_leaves_no_file(tmp_path, monkeypatch):
    red = flat(BARS["bt601"]["red"], count=3)
    for name, error, words in (
        ("a.gif", OutputRefused, "mp4"), ("none/a.mp4", OutputRefused, "does not exist"),
        ("a.mp4", RequestError, "no frame from"),
    ):  # fmt: skip
        with pytest.raises(error, match=words):
            stacked_video({"red": red}, tmp_path / name, start=99)
    with pytest.raises(RequestError, match="at least one"):
        stacked_video({}, tmp_path / "a.mp4")
    with pytest.raises(RequestError, match="at most 8192"):
        stacked_video({str(n): red for n in range(3)}, tmp_path / "a.mp4", height=4000)
    monkeypatch.setattr(video._Film, "finish", lambda film: (_ for _ in ()).throw(OutputFailed("disk full")))
    with pytest.raises(OutputFailed):
        stacked_video({"red": red}, tmp_path / "a.mp4")
    assert not list(tmp_path.iterdir())
    (tmp_path / "a.mp4").write_bytes(b"mine")
    with pytest.raises(OutputRefused, match="exists"):
        stacked_video({"red": red}, tmp_path / "a.mp4")
    assert (tmp_path / "a.mp4").read_bytes() == b"mine"


def test_the_command_writes_the_video_too(tmp_path, capsys):
    tape.simulate(tape.demo(frames=4, size=(192, 96)), tmp_path / "t.mkv", truth=tmp_path / "c.mkv", ideal=True)
    words = ["compare", str(tmp_path / "c.mkv"), str(tmp_path / "t.mkv"), "--video", str(tmp_path / "v.mp4")]
    assert main(words) == 0
    out = capsys.readouterr().out
    assert "detail" in out and "v.mp4: 8 frames" in out
    assert main(words) == 2 and "exists" in capsys.readouterr().err


def test_detail_falls_with_blur_and_not_with_noise_or_sharpening():
    truth = Batch.join(list(tape.demo(frames=3, seed=3, size=(192, 128)).batches())).planes[0].astype(np.float32)
    assert np.allclose(detail_kept(truth, truth), 1)
    some, more = (detail_kept(truth, gaussian_filter(truth, (0, s, s))) for s in (0.5, 1.5))
    assert (more < some - 0.1).all() and (some < 0.98).all() and (more > 0).all()
    noise = np.random.default_rng(1).normal(0, 3, truth.shape)
    assert (detail_kept(truth, truth + noise) > 0.9).all()
    assert np.allclose(detail_kept(truth, truth * 1.5), 1) and np.allclose(detail_kept(truth, truth * 0.5), 0.5)
    assert np.isnan(detail_kept(np.full((1, 16, 16), 9.0), np.zeros((1, 16, 16)))).all()


def test_detail_is_a_column_of_the_table():
    truth = Batch.join(list(tape.demo(frames=3, seed=3, size=(192, 128)).batches()))
    soft = tuple(np.rint(gaussian_filter(p.astype(float), (0, 1, 1))).astype(p.dtype) for p in truth.planes)
    found = compare(truth, truth.replace(planes=soft), align="times", metrics=("psnr", "detail"))
    want = detail_kept(truth.planes[0], soft[0])
    assert np.allclose(found.table.query("plane == 'Y'")["detail"], want) and 0 < found["Y", "detail"] < 0.95
    assert "detail" in str(found)
