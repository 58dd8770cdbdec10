"""Thumbnails: never more than promised, decoded once, of the right moment, quick on a tape of hours."""

from __future__ import annotations

import io
import random
import threading
import time
from collections import Counter

import numpy as np
import psutil
import pytest
from PIL import Image

from tests._media import ffmpeg, folder, made
from toolkit.clip import Clip
from toolkit.errors import InputMissing, InputUnreadable
from toolkit.media.preview import Preview, frame_at
from toolkit.widgets.thumbnails import Thumbnails, along


class Drawn(Thumbnails):
    """Draws bytes of a random length, so that the cache alone is under test, and looks at the bounds as it does."""

    def __init__(self, sizes: tuple[int, int], **bounds: int) -> None:
        super().__init__(**bounds)
        self.sizes, self.drawn, self.most = sizes, Counter(), (0, 0)

    def draw(self, path, time, width, within):
        self.drawn[path.name, time] += 1
        self.look()
        return bytes(random.Random(f"{path.name} {time}").randint(*self.sizes))

    def look(self):
        self.most = max(self.most[0], len(self)), max(self.most[1], self.nbytes)


@pytest.fixture(scope="module")
def thousand(tmp_path_factory):
    here = tmp_path_factory.mktemp("tapes")
    paths = [here / f"{n}.avi" for n in range(1000)]
    for path in paths:
        path.write_bytes(b"tape")
    return paths


@pytest.mark.parametrize("sizes, binding", [((500, 60_000), "entries"), ((100_000, 400_000), "bytes")])
def test_a_hundred_thousand_requests_over_a_thousand_files_keep_both_bounds(thousand, sizes, binding):
    cache = Drawn(sizes)

    def ask(seed):
        choice = random.Random(seed)
        for _ in range(12_500):
            # Some tapes are asked for again and again, and now and then any of them.
            often = int(choice.paretovariate(0.6)) - 1
            path = thousand[often if often < 1000 and choice.random() < 0.8 else choice.randrange(1000)]
            got = cache.get(path, choice.choice((0.0, 10.0)))
            assert sizes[0] <= len(got) <= sizes[1]
            if choice.random() < 0.05:
                cache.look()

    threads = [threading.Thread(target=ask, args=(n,)) for n in range(8)]
    for t in threads:
        t.start()
    for t in threads:
        t.join(400)
    cache.look()
    assert sum(cache.drawn.values()) > 5000, "most of it was never pushed out"
    assert len({name for name, _ in cache.drawn}) > 900
    assert cache.most[0] <= 128 and cache.most[1] <= 10 * 2**20
    assert (cache.most[0] == 128) == (binding == "entries"), "the other bound is the one that bites"


def test_what_is_used_stays_and_what_is_not_goes(thousand):
    cache = Drawn((10, 10), entries=3, size=1000)
    for n in (0, 1, 2, 0, 3, 0, 4):
        cache.get(thousand[n])
    cache.get(thousand[0])
    assert cache.drawn["0.avi", 0.0] == 1 and len(cache) == 3 and cache.nbytes == 30
    cache.get(thousand[1])
    assert cache.drawn["1.avi", 0.0] == 2


def test_a_picture_too_big_to_keep_is_given_all_the_same(thousand):
    cache = Drawn((2000, 2000), entries=3, size=1000)
    assert len(cache.get(thousand[0])) == 2000 and len(cache) == 0
    for bounds in ({"entries": 0}, {"size": 0}):
        with pytest.raises(ValueError, match="at least one"):
            Thumbnails(**bounds)


def test_many_threads_that_ask_at_once_make_one_decode(thousand):
    gate, cache = threading.Event(), Drawn((10, 10))
    quick = cache.draw
    cache.draw = lambda *a: gate.wait(60) and quick(*a)
    got = []
    threads = [threading.Thread(target=lambda: got.append(cache.get(thousand[5], 1.0))) for _ in range(12)]
    for t in threads:
        t.start()
    time.sleep(0.2)  # all of them are in it
    gate.set()
    for t in threads:
        t.join(60)
    assert len(got) == 12 and len(set(got)) == 1 and cache.drawn == {("5.avi", 1.0): 1}


@pytest.mark.parametrize("error", [InputUnreadable("torn tape"), KeyboardInterrupt()])
def test_a_failure_is_told_to_all_who_wait_and_not_remembered(thousand, error):
    """But an interrupt is only for the thread it was meant for: the next one draws the picture itself."""
    cache, begun, gate, ends = Drawn((10, 10)), threading.Event(), threading.Event(), []
    quick = cache.draw

    def failing(*words):
        cache.draw = quick
        begun.set()
        gate.wait(60)
        raise error

    cache.draw = failing

    def ask():
        try:
            ends.append(type(cache.get(thousand[7])))
        except BaseException as e:
            ends.append(type(e))

    first = threading.Thread(target=ask)
    first.start()
    begun.wait(60)
    second = threading.Thread(target=ask)
    second.start()
    while not any(f._condition._waiters for f in cache._under_way.values()):
        second.join(0.01)
    gate.set()
    for t in (first, second):
        t.join(60)
    assert sorted(map(str, ends)) == sorted(map(str, [type(error)] * 2 if isinstance(error, Exception)
                                                else [KeyboardInterrupt, bytes]))  # fmt: skip
    assert len(cache.get(thousand[7])) == 10


def test_a_file_that_changed_or_was_replaced_gets_a_new_picture(tmp_path):
    path, other, cache = tmp_path / "a.avi", tmp_path / "b.avi", Thumbnails()
    path.write_bytes(made("silent.avi").read_bytes())
    first = cache.get(path, 0.5)
    assert cache.get(path, 0.5) is first and len(cache) == 1
    ffmpeg("-i", path, "-vf", "negate", "-c:v", "huffyuv", other)
    other.replace(path)
    assert cache.get(path, 0.5) != first
    path.unlink()
    assert not any(str(path) in f.path for f in psutil.Process().open_files()), "it is not held open"
    with pytest.raises(InputMissing):
        cache.get(path, 0.5)


@pytest.fixture(scope="module")
def sparse():
    """Frame n of 48 is grey of level 16 + 4 n; a key frame every 16."""
    raw, path = folder() / "grey.rgb", folder() / "sparse.mp4"
    levels = np.arange(48, dtype=np.uint8) * 4 + 16
    raw.write_bytes(np.broadcast_to(levels[:, None, None, None], (48, 48, 64, 3)).tobytes())
    source = ("-f", "rawvideo", "-pix_fmt", "rgb24", "-s", "64x48", "-r", 25, "-i", raw)
    keys = ("-g", 16, "-keyint_min", 16, "-sc_threshold", 0, "-bf", 3)
    ffmpeg(*source, "-pix_fmt", "yuv420p", "-c:v", "libx264", *keys, "-crf", 4, path)
    return path


def _number(picture):
    return round((float(np.asarray(Image.open(io.BytesIO(picture)).convert("RGB")).mean()) - 16) / 4)


def test_the_frame_is_exact_unless_a_key_frame_nearby_will_do(sparse):
    cache = Thumbnails()
    for n in (0, 5, 15, 16, 17, 31, 47):
        assert _number(cache.get(sparse, n * 0.04 + 0.01, 64)) == n
        assert _number(cache.get(sparse, n * 0.04 + 0.01, 64, within=1.0)) == n // 16 * 16
    assert _number(cache.get(sparse, 12 * 0.04, 64, within=0.2)) == 12, "the key frame is too far away"
    assert _number(cache.get(sparse, -3.0, 64)) == 0 and _number(cache.get(sparse, 99.0, 64, within=5)) == 47


@pytest.mark.parametrize("name", ["dv_pal.avi", "mpeg2_mp2.mpg", "h264_interlaced.mp4", "ffv1.mkv", "vfr.mkv"])
def test_frames_are_found_by_time_in_every_container(name):
    clip = Clip.open(made(name))
    batches = list(clip.batches(64))
    times = np.concatenate([b.times for b in batches])
    for n in (0, 3, len(times) // 2, len(times) - 1):
        found = frame_at(clip, float(times[n]) + 0.004)
        assert found.times[0] == pytest.approx(times[n]) and len(found) == 1
        assert np.array_equal(found.planes[0][0], batches[0].planes[0][n])
    with Preview(clip) as look:
        assert look.at(float(times[3]) + 0.004).shape[2] == 3


def test_a_row_is_spread_evenly_and_filled_from_afar():
    row = along(10.0, 100.0, 20)
    assert [i for i, _ in row][:6] == [0, 8, 16, 4, 12, 2]
    assert sorted(i for i, _ in row) == list(range(20))
    assert dict(row)[0] == 12.5 and dict(row)[19] == 107.5
    assert along(0.0, 1.0, 1) == [(0, 0.5)]
