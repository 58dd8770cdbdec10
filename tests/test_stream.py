"""Read-ahead in order, errors in order, threads that stop; frames with their neighbours."""

from __future__ import annotations

import threading
import time
from fractions import Fraction

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from toolkit.clip import Batch, PictureFormat
from toolkit.stream import Drain, ahead, with_halo

GREY = PictureFormat(4, 2, None)


def batch(first: int, count: int) -> Batch:
    """Frames whose every sample is the frame's number."""
    numbers = np.arange(first, first + count)
    planes = (np.broadcast_to(numbers[:, None, None], (count, 2, 4)).astype(np.uint8),)
    return Batch(planes, numbers.astype(np.int64), np.ones(count, np.int64), Fraction(1, 25), GREY)


def threads() -> set[str]:
    return {t.name for t in threading.enumerate() if t.name.startswith("vhs-")}


@given(st.lists(st.integers(), max_size=30), st.integers(1, 4))
def test_ahead_keeps_order(items, depth):
    assert list(ahead(items, depth)) == items


def test_ahead_raises_after_the_items_before_the_error():
    def source():
        yield 1
        yield 2
        raise ValueError("third")

    got = []
    with pytest.raises(ValueError, match="third"):
        for item in ahead(source()):
            got.append(item)
    assert got == [1, 2]
    assert not threads()


def test_ahead_is_bounded_and_closing_stops_the_thread_and_the_source():
    made, closed = [], []

    def source():
        try:
            for n in range(10**9):
                made.append(n)
                yield n
        finally:
            closed.append(True)

    flow = ahead(source(), depth=2)
    assert next(flow) == 0
    time.sleep(0.3)
    assert len(made) <= 5
    flow.close()
    assert closed == [True] and not threads()


def test_drain_consumes_in_order_and_hands_back_the_error():
    seen = []
    with Drain(seen.append) as drain:
        for n in range(20):
            drain.put(n)
    assert seen == list(range(20))

    def fail(item):
        if item == 3:
            raise OSError("disk full")

    with pytest.raises(OSError, match="disk full"), Drain(fail) as drain:
        for n in range(1000):
            drain.put(n)
    assert not threads()


def test_drain_drops_what_waits_when_left_by_an_exception():
    seen, late = [], time.monotonic() + 5

    def slow(item):  # the first item is in work for as long as nobody has left
        while not drain._drop and time.monotonic() < late:
            time.sleep(0.01)
        seen.append(item)

    with pytest.raises(KeyboardInterrupt), Drain(slow, depth=8) as drain:
        for n in range(6):
            drain.put(n)
        raise KeyboardInterrupt
    assert len(seen) <= 1 and not threads()


@given(st.lists(st.integers(1, 5), min_size=1, max_size=8), st.integers(0, 6))
def test_every_frame_comes_once_with_its_neighbours(sizes, halo):
    """Whatever the batch sizes, also smaller than the halo."""
    total, first, batches = sum(sizes), 0, []
    for size in sizes:
        batches.append(batch(first, size))
        first += size
    seen = []
    for joined, (a, b) in with_halo(batches, halo):
        numbers = joined.pts.tolist()
        own = numbers[a:b]
        seen += own
        wanted = list(range(max(0, own[0] - halo), min(total, own[-1] + halo + 1)))
        assert numbers == wanted
        assert joined.planes[0][:, 0, 0].tolist() == wanted
    assert seen == list(range(total))
