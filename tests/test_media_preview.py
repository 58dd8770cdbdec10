"""Previews and thumbnails: the right frame, the right colours, and never more memory than promised."""

from __future__ import annotations

import io
import threading

import numpy as np
import pytest
from PIL import Image

from tests._media import ffmpeg, folder, made, real_clip
from toolkit.clip import Clip
from toolkit.errors import InputMissing, InputUnreadable
from toolkit.media import preview
from toolkit.media.preview import Preview, to_rgb
from toolkit.media.thumbnails import Thumbnails, thumbnail


def _counting(codec=("-c:v", "libx264", "-bf", "3", "-g", "12", "-crf", "4"), name="count.mp4"):
    """Frame n is grey of level 16 + 4 n, 48 frames at 25 per second."""
    path = folder() / name
    if not path.exists():
        raw = folder() / "count.rgb"
        levels = np.arange(48, dtype=np.uint8) * 4 + 16
        raw.write_bytes(np.broadcast_to(levels[:, None, None, None], (48, 48, 64, 3)).tobytes())
        source = ("-f", "rawvideo", "-pix_fmt", "rgb24", "-s", "64x48", "-r", 25, "-i", raw)
        ffmpeg(*source, "-pix_fmt", "yuv420p", *codec, path)
    return path


def _number(rgb):
    return round((float(rgb.mean()) - 16) / 4)


@pytest.mark.parametrize("codec, name, backend", [
    (("-c:v", "libx264", "-bf", "3", "-g", "12", "-crf", "4"), "count.mp4", "decord"),
    (("-c:v", "ffv1"), "count.mkv", "pyav"),
    (("-c:v", "mpeg2video", "-q:v", "1", "-bf", "2"), "count.mpg", "pyav"),
])  # fmt: skip
def test_frames_come_in_any_order_by_number_and_time(codec, name, backend):
    clip = Clip.open(_counting(codec, name))
    with Preview(clip) as look:
        assert look.backend == backend and bool(look.reason) == (backend == "pyav")
        assert len(look) == 48
        for n in (40, 0, 47, 13, 12, 25, 1):
            assert _number(look.frame(n)) == n
            assert _number(look.at(clip.start + n * 0.04)) == n
            assert _number(look.at(clip.start + n * 0.04 + 0.039)) == n
        assert [_number(f) for f in look.frames([5, 3, 30])] == [5, 3, 30]
        assert _number(look.at(-5)) == 0 and _number(look.at(99)) == 47
        with pytest.raises(IndexError, match="no frame 48"):
            look.frame(48)


def test_what_decord_cannot_be_trusted_with_goes_to_pyav_and_says_so(monkeypatch):
    assert "interlaced" in Preview(made("h264_interlaced.mp4")).reason
    assert "not trusted with ffv1" in Preview(made("odd.mkv")).reason
    assert "colour matrix" in Preview(real_clip("bigbuckbunny.mp4")).reason
    assert Preview(made("h264.mp4")).backend == "decord"
    import decord

    def broken(*_, **__):
        raise RuntimeError("first line\ncannot open it")

    monkeypatch.setattr(decord, "VideoReader", broken)
    look = Preview(made("h264.mp4"))
    assert look.backend == "pyav" and "cannot open it" in look.reason
    assert look.frame(3).shape == (272, 640, 3)


def test_a_wrong_picture_from_decord_is_noticed(monkeypatch):
    import decord

    real = decord.VideoReader

    class Shifted(real):
        def __getitem__(self, n):
            frame = super().__getitem__(n).asnumpy()
            return np.roll(frame, 40, axis=1)

    monkeypatch.setattr(decord, "VideoReader", Shifted)
    look = Preview(made("h264.mp4"))
    assert look.backend == "pyav" and "first frame differs" in look.reason


def test_both_backends_show_the_same_colours(monkeypatch):
    fast = Preview(made("h264.mp4"))
    monkeypatch.setattr(preview, "_DECORD_READS", set())
    slow = Preview(made("h264.mp4"))
    assert (fast.backend, slow.backend) == ("decord", "pyav")
    for n in (0, 17):
        assert np.abs(fast.frame(n).astype(int) - slow.frame(n)).mean() < 1.0


def test_interlaced_colours_are_not_mixed():
    """A red top field and a blue bottom field: one preview is red, the other has pure red and blue lines."""
    lines = np.zeros((64, 96, 3), np.uint8)
    lines[0::2], lines[1::2] = (255, 0, 0), (0, 0, 255)
    raw, path = folder() / "fields.rgb", folder() / "fields.mkv"
    raw.write_bytes(lines.tobytes())
    # Each field is made 4:2:0 by itself, then both are woven.
    chain = (
        "format=rgb24,split[a][b];[a]field=top,format=yuv420p[t];[b]field=bottom,format=yuv420p[u];"
        "[t][u]interleave,setpts=N/50/TB,weave=first_field=top,setfield=tff,setsar=1"
    )
    words = ("-filter_complex", chain, "-c:v", "ffv1", "-field_order", "tt")
    ffmpeg("-f", "rawvideo", "-pix_fmt", "rgb24", "-s", "96x64", "-r", 25, "-i", raw, *words, path)
    batch = next(Clip.open(path).batches())
    batch = batch.replace(format=batch.format.replace(field_order="tff"))
    near = lambda rgb, colour: np.abs(rgb.astype(int) - colour).max() < 12  # noqa: E731
    assert near(to_rgb(batch)[0], (255, 0, 0))
    woven = to_rgb(batch, fields="weave")[0]
    assert near(woven[0::2], (255, 0, 0)) and near(woven[1::2], (0, 0, 255))
    other = batch.replace(format=batch.format.replace(field_order="bff"))
    assert near(to_rgb(other)[0], (0, 0, 255))


@pytest.mark.parametrize("bits", [8, 10, 16])
@pytest.mark.parametrize("matrix, red", [("bt601", (81, 90, 240)), ("bt709", (63, 102, 240))])
def test_levels_become_the_colours_they_stand_for(bits, matrix, red):
    clip = Clip.open(made("odd.mkv"))
    form = clip.format.replace(width=32, height=32, bits=bits, matrix=matrix, subsampling=(1, 0))
    planes = tuple(
        np.full((1, *shape), level << (bits - 8), form.dtype)
        for shape, level in zip(form.plane_shapes, red, strict=True)
    )
    from toolkit.clip import Batch

    batch = Batch(planes, np.zeros(1, np.int64), np.ones(1, np.int64), clip.time_base, form)
    assert np.abs(to_rgb(batch)[0].astype(int) - (255, 0, 0)).max() <= 3
    assert to_rgb(batch, size=(20, 50)).shape == (1, 20, 50, 3)


def test_thumbnails_are_jpegs_of_the_right_moment_and_shape():
    picture = Image.open(io.BytesIO(thumbnail(_counting(), 20 * 0.04, 80)))
    assert picture.format == "JPEG" and picture.size == (80, 60)
    assert _number(np.asarray(picture.convert("RGB"))) == 20
    wide = Image.open(io.BytesIO(thumbnail(made("dv_pal.avi"), 0.5, 120)))  # 720x576, shown as 4:3
    assert wide.size == (120, 90)


def test_a_file_written_anew_gets_a_new_picture(tmp_path):
    path, cache = tmp_path / "clip.mp4", Thumbnails()
    path.write_bytes(_counting().read_bytes())
    first = cache.get(path, 0.0, 64)
    path.write_bytes(made("h264.mp4").read_bytes())
    assert cache.get(path, 0.0, 64) != first


def test_many_threads_get_the_same_pictures():
    cache, path, got = Thumbnails(), _counting(), {}

    def work(k):
        got[k] = [cache.get(path, ((n * 7 + k) % 48) * 0.04, 64) for n in range(24)]

    threads = [threading.Thread(target=work, args=(k,)) for k in range(6)]
    for t in threads:
        t.start()
    for t in threads:
        t.join(60)
    for k in range(6):
        for n in range(24):
            rgb = np.asarray(Image.open(io.BytesIO(got[k][n])).convert("RGB"))
            assert _number(rgb) == (n * 7 + k) % 48


def test_bad_files_are_named(tmp_path):
    with pytest.raises(InputMissing):
        thumbnail(tmp_path / "none.mp4")
    (tmp_path / "text.mp4").write_text("no video " * 50)
    with pytest.raises(InputUnreadable):
        thumbnail(tmp_path / "text.mp4")
