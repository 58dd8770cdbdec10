"""Reading: every promise of `Clip`, `Reader` and `read_sound`, held against FFmpeg's own program."""

from __future__ import annotations

import subprocess
import sys
import warnings
from fractions import Fraction

import numpy as np
import psutil
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests._media import (
    BURSTS,
    RECIPES,
    burst_times,
    ffmpeg,
    folder,
    made,
    real_clip,
    repeated,
    told_samples,
    told_times,
    two_tracks,
)
from toolkit.clip import Clip
from toolkit.errors import SoundError, ToolkitWarning
from toolkit.media import read
from toolkit.media.pixels import layout, pix_fmt
from toolkit.media.read import Reader
from toolkit.media.sound import read_sound


def whole(clip: Clip, size: int = 7, frames=(0, None)):
    batches = list(clip.batches(size=size, frames=frames))
    planes = [np.concatenate(p) for p in zip(*(b.planes for b in batches), strict=True)]
    return planes, np.concatenate([b.pts for b in batches]), np.concatenate([b.durations for b in batches])


def told_planes(path, form):
    words = ("-map", "0:v", "-fps_mode", "passthrough", "-pix_fmt", pix_fmt(form), "-f", "rawvideo", "-")
    raw = ffmpeg("-i", path, *words)
    sizes = [h * w * form.dtype.itemsize for h, w in form.plane_shapes]
    frames = np.frombuffer(raw, np.uint8).reshape(-1, sum(sizes))
    cuts = np.split(frames, np.cumsum(sizes)[:-1], axis=1)
    return [c.copy().view(form.dtype).reshape(-1, *s) for c, s in zip(cuts, form.plane_shapes, strict=True)]


@pytest.mark.parametrize("name", RECIPES)
def test_a_clip_is_read_as_it_was_made(name):
    recipe, path = RECIPES[name], made(name)
    clip = Clip.open(path)
    form = clip.format
    assert (form.width, form.height) == recipe.size
    assert form.sar == recipe.sar
    assert form.field_order == (recipe.claim or recipe.order)
    assert len(clip.sound) == recipe.sound
    planes, pts, durations = whole(clip)
    times = told_times(path)
    assert len(pts) == recipe.frames
    assert [int(p) * clip.time_base for p in pts] == times
    assert clip.start == float(times[0])
    assert (pts[:-1] + durations[:-1] == pts[1:]).all() and durations[-1] > 0
    if recipe.rate:
        assert abs(clip.rate - recipe.rate) < 0.01
    for mine, told in zip(planes, told_planes(path, form), strict=True):
        assert mine.dtype == told.dtype and np.array_equal(mine, told)


def test_vfr_times_are_kept_one_by_one():
    _, pts, durations = whole(Clip.open(made("vfr.mp4")))
    assert len(set(durations.tolist())) > 1
    assert durations.tolist()[:-1] == np.diff(pts).tolist()


@pytest.mark.parametrize("name", [n for n, r in RECIPES.items() if r.sound])
def test_sound_is_where_it_was(name):
    clip = Clip.open(made(name))
    blocks = list(read_sound(clip, block=10000))
    assert all(b.samples.shape[1] == 10000 for b in blocks[:-1])
    assert all(b.samples.dtype == np.float32 and b.samples.shape[0] == 2 for b in blocks)
    assert all(abs(a.end - b.start) < 1e-9 for a, b in zip(blocks, blocks[1:], strict=False))
    samples = np.concatenate([b.samples for b in blocks], axis=1)[0]
    heard = [t + blocks[0].start - clip.start for t in burst_times(samples, blocks[0].rate)]
    assert np.abs(np.subtract(heard, BURSTS)).max() < 0.0001, f"{heard = }"
    # The very samples FFmpeg's program decodes, at the same place.
    told = told_samples(made(name))
    at = round(blocks[0].start * 48000)
    n = min(len(samples), len(told) - at)
    assert n > 40000 and np.abs(samples[:n] - told[at : at + n]).max() < 1e-3


def test_every_track_is_read_on_its_own():
    clip = Clip.open(two_tracks())
    assert [(s.codec, s.sample_rate, s.channels, s.layout, s.language) for s in clip.sound] == [
        ("pcm_s16le", 48000, 2, "stereo", "eng"),
        ("ac3", 32000, 1, "mono", "deu"),
        ("mp3float", 44100, 2, "stereo", None),
    ]
    for i, track in enumerate(clip.sound):
        blocks = list(read_sound(clip, i))
        samples = np.concatenate([b.samples for b in blocks], axis=1)
        assert samples.shape[0] == track.channels
        heard = [t + blocks[0].start for t in burst_times(samples[0], track.sample_rate)]
        assert np.abs(np.subtract(heard, BURSTS)).max() < 0.001, f"track {i}: {heard}"
    with pytest.raises(SoundError, match="no sound track 3"):
        next(read_sound(clip, 3))


def test_missing_samples_make_a_jump_in_start():
    path = folder() / "gap.mkv"
    ffmpeg("-i", made("odd.mkv"), "-c", "copy", "-bsf:a", "noise=drop='between(pts*tb,0.5,0.69)'", path)
    blocks = list(read_sound(Clip.open(path)))
    jumps = [b.start - a.end for a, b in zip(blocks, blocks[1:], strict=False)]
    gaps = [j for j in jumps if abs(j) > 1e-6]
    assert len(gaps) == 1 and 0.1 < gaps[0] < 0.25
    heard = []
    for block in blocks:
        heard += [t + block.start for t in burst_times(block.samples[0], block.rate)]
    assert any(abs(t - BURSTS[1]) < 0.001 for t in heard)


#: Other ways the same streams come: container, source, FFmpeg's words.
OTHERS = {
    "i.ts": ("h264_interlaced.mp4", "-c", "copy"),
    "m.ts": ("mpeg2_mp2.mpg", "-c", "copy"),
    "raw.dv": ("dv_ntsc.avi", "-c:v", "copy", "-map", "0:v", "-f", "dv"),
    "dv.mov": ("dv_pal.avi", "-c", "copy"),
    "xvid.avi": ("h264.mp4", "-c:v", "mpeg4", "-bf", 2, "-c:a", "libmp3lame"),
    "wmv.wmv": ("h264.mp4", "-c:v", "wmv2", "-c:a", "wmav2"),
    "mjpeg.avi": ("h264.mp4", "-c:v", "mjpeg", "-c:a", "pcm_u8"),
    "fragments.mp4": ("h264.mp4", "-c", "copy", "-movflags", "frag_keyframe+empty_moov"),
    "late.mkv": ("h264.mp4", "-c", "copy", "-output_ts_offset", "0.3333"),
}


@pytest.mark.parametrize("name", OTHERS)
def test_other_containers_give_the_same_times(name):
    source, *words = OTHERS[name]
    path = folder() / name
    ffmpeg("-i", made(source), *words, path)
    clip = Clip.open(path)
    _, pts, _ = whole(clip)
    assert [int(p) * clip.time_base for p in pts] == told_times(path)
    assert float(clip.rate) == pytest.approx(float(RECIPES[source].rate), rel=0.001)
    if clip.sound:
        blocks = list(read_sound(clip))
        samples = np.zeros(round((blocks[-1].end + 0.1) * blocks[0].rate), np.float32)
        for b in blocks:
            at = round(b.start * b.rate)
            samples[at : at + b.samples.shape[1]] = b.samples[0][: len(samples) - at]
        told = burst_times(told_samples(path, rate=blocks[0].rate), blocks[0].rate)
        assert np.abs(np.subtract(burst_times(samples, blocks[0].rate), told)).max() < 5e-4


def test_parts_whose_clock_was_set_back_are_joined():
    path = folder() / "joined.mpg"
    path.write_bytes(made("mpeg2_ac3.mpg").read_bytes() * 2)
    clip = Clip.open(path)
    with Reader(clip) as reader, warnings.catch_warnings():
        warnings.simplefilter("ignore")
        pts = np.concatenate([b.pts for b in reader])
    assert len(pts) == 60 and set(np.diff(pts).tolist()) == {3600} and reader.mended == 1
    blocks = list(read_sound(clip))
    assert all(abs(a.end - b.start) < 1e-6 for a, b in zip(blocks, blocks[1:], strict=False))


def test_coarse_container_clocks_do_not_move_the_sound():
    """Matroska rounds to milliseconds; how the next packets were rounded tells where in between the sound begins."""
    path = folder() / "fine.mkv"
    ffmpeg("-i", real_clip("bikes.mp4"), "-itsoffset", "0.10042", "-i", made("h264.mp4"), "-map", "0:v", "-map", "1:a",
           "-frames:v", 5, "-c:v", "copy", "-c:a", "pcm_s16le", path)  # fmt: skip
    first = next(read_sound(Clip.open(path)))
    assert round(first.start * 1000) == 100
    assert abs(first.start - 0.10042) < 0.00025


# -- any range, any batch size -----------------------------------------------------------------------------------


def _long_clip():
    path = folder() / "long.mp4"
    if not path.exists():
        # Open groups of pictures and B-frames: the order of packets is not the order of frames.
        ffmpeg("-i", real_clip("bikes.mp4"), "-vf", "scale=96:64,select='not(eq(mod(n,9),4))'", "-fps_mode",
               "passthrough", "-c:v", "libx264", "-preset", "veryfast", "-bf", 3, "-g", 20, "-x264-params",
               "open-gop=1:scenecut=0:b-pyramid=normal", path)  # fmt: skip
    return Clip.open(path)


def _long_tape():
    path = folder() / "long.mpg"
    if not path.exists():
        ffmpeg("-i", real_clip("bikes.mp4"), "-vf", "scale=96:64", "-c:v", "mpeg2video", "-bf", 2, "-g", 15, path)
    return Clip.open(path)


def _long_avi():
    path = folder() / "long.avi"
    if not path.exists():
        ffmpeg("-i", real_clip("bikes.mp4"), "-vf", "scale=96:64", "-pix_fmt", "yuv422p", "-c:v", "huffyuv", path)
    return Clip.open(path)


def _trimmed():
    """Its edit list hides the frames from the key frame before the cut up to it."""
    path = folder() / "trimmed.mp4"
    if not path.exists():
        ffmpeg("-ss", "0.5", "-i", _long_clip().path, "-c", "copy", path)
    return Clip.open(path)


_read_once: dict = {}


@pytest.mark.parametrize("opened", [_long_clip, _long_tape, _long_avi, _trimmed])
@settings(max_examples=12)
@given(first=st.integers(0, 260), count=st.integers(0, 40), size=st.integers(1, 20))
def test_any_range_in_any_batch_size_is_the_same_frames(opened, first, count, size):
    clip = opened()
    if opened not in _read_once:
        _read_once[opened] = whole(clip)
    planes, pts, durations = _read_once[opened]
    batches = list(clip.batches(size=size, frames=(first, first + count)))
    assert all(len(b) == size for b in batches[:-1])
    assert sum(map(len, batches)) == len(pts[first : first + count])
    at = first
    for b in batches:
        here = slice(at, at + len(b))
        assert np.array_equal(b.pts, pts[here]) and np.array_equal(b.durations, durations[here])
        assert all(np.array_equal(p, q[here]) for p, q in zip(b.planes, planes, strict=True))
        at += len(b)


@pytest.mark.parametrize("opened", [_long_clip, _long_avi, _trimmed])
def test_a_late_frame_is_sought_not_decoded_up_to(opened, monkeypatch):
    clip, decoded = opened(), []
    plain = Reader._decoded

    def counted(self, container, stream):
        for frame in plain(self, container, stream):
            decoded.append(frame.pts)
            yield frame

    monkeypatch.setattr(Reader, "_decoded", counted)
    got = next(clip.batches(size=2, frames=(190, 192)))
    assert len(got) == 2
    assert len(decoded) < 80


def test_each_batch_has_memory_of_its_own():
    clip = Clip.open(made("odd.mkv"))
    kept = [(b, [p.copy() for p in b.planes]) for b in clip.batches(size=4)]
    assert all(np.array_equal(p, q) for b, copies in kept for p, q in zip(b.planes, copies, strict=True))


# -- pixel formats -----------------------------------------------------------------------------------------------

#: Stored as, codec, container, read as.
STORED = [
    ("uyvy422", "rawvideo", "mov", "yuv422p"),
    ("yuyv422", "rawvideo", "avi", "yuv422p"),
    ("yuv422p10le", "v210", "mov", "yuv422p10le"),
    ("nv12", "rawvideo", "avi", "yuv420p"),
    ("yuv420p", "rawvideo", "avi", "yuv420p"),
    ("yuv440p", "ffv1", "mkv", "yuv440p"),
    ("yuv410p", "ffv1", "mkv", "yuv410p"),
    ("yuv444p", "ffv1", "mkv", "yuv444p"),
    ("yuv420p12le", "ffv1", "mkv", "yuv420p12le"),
    ("yuv422p16le", "ffv1", "mkv", "yuv422p16le"),
    ("gray", "ffv1", "mkv", "gray"),
    ("gray10le", "ffv1", "mkv", "gray10le"),
    ("yuva420p", "ffv1", "mkv", "yuv420p"),
]


@pytest.mark.parametrize("stored, codec, container, seen", STORED, ids=[f"{s[0]}-{s[1]}" for s in STORED])
def test_pixel_formats_come_out_planar_and_unchanged(stored, codec, container, seen):
    path = folder() / f"{stored}-{codec}.{container}"
    ffmpeg("-i", real_clip("bikes.mp4"), "-frames:v", 2, "-vf", "scale=46:34:sws_dither=none", "-pix_fmt", stored,
           "-c:v", codec, "-strict", -2, path)  # fmt: skip
    clip = Clip.open(path)
    assert pix_fmt(clip.format) == seen
    planes, _, _ = whole(clip)
    for mine, told in zip(planes, told_planes(path, clip.format), strict=True):
        assert np.array_equal(mine, told)


def test_rgb_and_packed_formats_never_mix_lines():
    """A picture whose even lines are red and odd lines blue keeps them apart: no resampling down the picture."""
    lines = np.zeros((32, 48, 3), np.uint8)
    lines[0::2] = (255, 0, 0)
    lines[1::2] = (0, 0, 255)
    raw = folder() / "lines.rgb"
    raw.write_bytes(lines.tobytes())
    source = ("-f", "rawvideo", "-pix_fmt", "rgb24", "-s", "48x32", "-i", raw)
    for name, words in {
        "lines_rgb.avi": ("-pix_fmt", "bgr24", "-c:v", "rawvideo"),
        "lines_gbr.mkv": ("-pix_fmt", "gbrp", "-c:v", "utvideo"),
        "lines_uyvy.mov": ("-pix_fmt", "uyvy422", "-c:v", "rawvideo"),
    }.items():
        path = folder() / name
        ffmpeg(*source, *words, path)
        clip = Clip.open(path)
        assert clip.format.subsampling[1] == 0
        (y, u, v), _, _ = whole(clip)
        assert clip.format.range == "limited"
        # BT.601: red is (81, 90, 240), blue is (41, 240, 110).
        for plane, red, blue in ((y, 81, 41), (u, 90, 240), (v, 240, 110)):
            inner = plane[0, :, 8:-8].astype(int)
            assert np.abs(inner[0::2] - red).max() <= 2 and np.abs(inner[1::2] - blue).max() <= 2


def test_planes_are_taken_where_the_layout_table_says():
    assert layout("yuv420p").subsampling == (1, 1) and layout("yuvj422p").full_range
    assert layout("yuv420p10be") is None and layout("rgb24") is None and layout("yuv420p10le").bits == 10


@pytest.mark.parametrize("siting", ["left", "topleft"])
@pytest.mark.parametrize("pixels", ["yuv420p", "yuv420p10le", "yuvj420p"])
def test_colour_and_siting_are_read_from_the_file(pixels, siting):
    path = folder() / f"tagged-{pixels}-{siting}.mkv"
    range_ = "pc" if pixels == "yuvj420p" else "tv"
    tags = f"color_primaries=bt470bg:color_trc=bt470bg:colorspace=bt470bg:range={range_}:chroma_location={siting}"
    vf = f"scale=96:64:out_range={range_},format={pixels.replace('j', '')},setparams={tags}"
    ffmpeg("-i", real_clip("bikes.mp4"), "-frames:v", 2, "-vf", vf, "-c:v", "libx264", path)
    form = Clip.open(path).format
    assert (form.matrix, form.primaries, form.transfer) == ("bt601", "bt470bg", "bt470bg")
    assert form.range == ("full" if range_ == "pc" else "limited")
    assert form.siting == siting


def test_siting_that_goes_without_saying():
    assert Clip.open(made("dv_pal.avi")).format.siting == "topleft"
    assert Clip.open(made("h264.mp4")).format.siting == "left"
    path = folder() / "mpeg1.mpg"
    ffmpeg("-i", real_clip("bikes.mp4"), "-frames:v", 4, "-vf", "scale=96:64", "-c:v", "mpeg1video", path)
    assert Clip.open(path).format.siting == "center"


def test_opening_in_many_threads_while_others_decode():
    """FFmpeg's log must not be listened to: its threads would wait for Python's lock while Python waits for them."""
    code = (
        "import sys, threading\nfrom toolkit.clip import Clip\n"
        "def work():\n    for _ in range(25):\n        c = Clip.open(sys.argv[1]); next(c.batches(size=3)).planes\n"
        "threads = [threading.Thread(target=work) for _ in range(6)]\n"
        "[t.start() for t in threads]; [t.join() for t in threads]; print('done')\n"
    )
    for _ in range(2):
        done = subprocess.run([sys.executable, "-c", code, str(made("h264.mp4"))], capture_output=True, timeout=200)
        assert done.stdout == b"done\n"


# -- what is mended and what is said -----------------------------------------------------------------------------


def test_a_bare_stream_gets_times_from_its_rate():
    path = folder() / "bare.h264"
    ffmpeg("-i", made("h264.mp4"), "-map", "0:v", "-c", "copy", "-bsf:v", "h264_mp4toannexb", "-f", "h264", path)
    clip = Clip.open(path)
    with Reader(clip) as reader, warnings.catch_warnings(record=True) as said:
        warnings.simplefilter("always")
        pts = np.concatenate([b.pts for b in reader])
    assert len(pts) == 30 and (np.diff(pts) > 0).all()
    assert np.diff(pts * float(clip.time_base)) == pytest.approx(0.04, abs=1e-6)
    assert reader.mended == 0 or any("no usable time" in str(w.message) for w in said)


@pytest.mark.parametrize("name", ["dv_ntsc.avi", "huffyuv.avi", "ffv1.mkv", "h264.mp4", "mpeg2_ac3.mpg"])
def test_a_cut_off_file_is_read_up_to_where_it_breaks(name):
    clip = made(name)
    if name.endswith("mp4"):
        clip = folder() / "front.mp4"
        ffmpeg("-i", made(name), "-c", "copy", "-movflags", "+faststart", clip)
    data = clip.read_bytes()
    path = folder() / f"cut_{name}"
    path.write_bytes(data[: int(len(data) * 0.6)])
    full = whole(Clip.open(made(name)))
    clip = Clip.open(path)
    with Reader(clip, size=8) as reader, warnings.catch_warnings(record=True) as said:
        warnings.simplefilter("always")
        batches = list(reader)
    n = reader.frames_read
    assert n == sum(map(len, batches)) and 10 <= n < 30
    # Near the break a frame may be missing that others were to come after; those there are stay in place.
    sure = n if name.endswith(("avi", "mkv")) else n - 4
    where = np.searchsorted(full[1], np.concatenate([b.pts for b in batches]))
    assert (np.diff(where) > 0).all() and where[n - 4] == n - 4
    assert np.array_equal(full[1][where], np.concatenate([b.pts for b in batches]))
    for i, plane in enumerate(zip(*(b.planes for b in batches), strict=True)):
        assert np.array_equal(np.concatenate(plane)[:sure], full[0][i][:sure])
    if not name.endswith("mpg"):  # a program stream promises nothing
        assert reader.expected == 30
        assert abs(reader.truncated_at - float(n / RECIPES[name].rate)) < 0.15
        assert any(f"{n} of 30 frames" in str(w.message) for w in said if w.category is ToolkitWarning)


def test_a_whole_file_is_read_without_a_word():
    for name in RECIPES:
        with warnings.catch_warnings():
            warnings.simplefilter("error")
            with Reader(Clip.open(made(name))) as reader:
                for _ in reader:
                    pass
        assert reader.truncated_at is None and reader.broken == reader.mended == 0
        assert reader.expected in (None, RECIPES[name].frames)


def test_leaving_early_closes_the_file():
    path = made("dv_ntsc.avi")
    batches = Clip.open(path).batches(size=2)
    next(batches)
    mine = psutil.Process()
    assert any(f.path == str(path) for f in mine.open_files())
    batches.close()
    assert not any(f.path == str(path) for f in mine.open_files())
    sound = read_sound(Clip.open(path), block=1000)
    next(sound)
    sound.close()
    assert not any(f.path == str(path) for f in mine.open_files())


def test_the_input_is_not_changed_and_ffmpeg_stays_silent():
    path = made("mpeg2_mp2.mpg")
    cut = folder() / "noisy.mpg"
    data = bytearray(path.read_bytes())
    for at in range(200_000, len(data), 90_000):
        data[at : at + 40] = bytes(40)
    cut.write_bytes(data)
    code = (
        "import sys\nfrom toolkit.clip import Clip\nfrom toolkit.media.sound import read_sound\n"
        "c = Clip.open(sys.argv[1])\nprint(sum(len(b) for b in c.batches()))\nlist(read_sound(c))\n"
    )
    done = subprocess.run([sys.executable, "-W", "ignore", "-c", code, str(cut)], capture_output=True, timeout=200)
    assert done.returncode == 0 and int(done.stdout) > 20
    assert done.stderr == b""
    assert cut.read_bytes() == data


def test_memory_does_not_grow_with_length():
    once, tenfold = repeated("h264.mp4", 3), repeated("h264.mp4", 30)  # once: enough for every thread of the decoder
    code = (
        "import sys, psutil\nfrom toolkit.clip import Clip\nfrom toolkit.media.sound import read_sound\n"
        "c = Clip.open(sys.argv[1])\nn = sum(len(b) for b in c.batches(size=4))\n"
        "for _ in read_sound(c, block=4800): pass\nprint(n, psutil.Process().memory_info().rss)\n"
    )
    seen = []
    for path in (once, tenfold):
        done = subprocess.run([sys.executable, "-c", code, str(path)], capture_output=True, timeout=200, check=True)
        seen.append(tuple(map(int, done.stdout.split())))
    (few, small), (many, big) = seen
    assert many == 10 * few
    assert big - small < 8e6, f"{few} frames: {small / 1e6:.1f} MB, {many} frames: {big / 1e6:.1f} MB"


def test_reader_refuses_nonsense():
    clip = Clip.open(made("h264.mp4"))
    for bad in ({"size": 0}, {"frames": (-1, None)}, {"frames": (5, 2)}):
        with pytest.raises(ValueError, match="expected size >= 1"):
            Reader(clip, **bad)
    assert list(read.read_batches(clip, frames=(4, 4))) == []
    assert Fraction(clip.time_base) == Fraction(1, 12800)
