"""Bounded read-ahead in order, and frames with their neighbours.

`ahead` moves an iterator to a thread of its own: order is kept, errors arrive where they happened, and closing the
iterator stops the thread.  `with_halo` gives each batch the neighbouring frames a kernel needs.
"""

from __future__ import annotations

import queue
import threading
from collections.abc import Callable, Iterable, Iterator
from typing import Any, TypeVar

from toolkit.clip import Batch

T = TypeVar("T")
_END = object()


def ahead(items: Iterable[T], depth: int = 2) -> Iterator[T]:
    """Yields `items` in order while a thread works up to `depth` items ahead.

    An exception in the thread is raised here after the items before it.  Closing the generator (also by an exception
    in the consumer) stops the thread and closes `items`.
    """
    box: queue.Queue[Any] = queue.Queue(maxsize=depth)
    stop = threading.Event()

    def put(thing: Any) -> bool:
        while not stop.is_set():
            try:
                box.put(thing, timeout=0.1)
                return True
            except queue.Full:
                continue
        return False

    def work() -> None:
        last: Any = _END
        source = iter(items)
        try:
            for item in source:
                if not put((item,)):
                    break
        except BaseException as error:  # it belongs to the consumer, whatever it is
            last = error
        finally:
            close = getattr(source, "close", None)
            try:
                if close is not None:
                    close()
            except BaseException as error:
                last = error
        put(last)

    thread = threading.Thread(target=work, name="vhs-read-ahead", daemon=True)
    thread.start()
    try:
        while True:
            thing = box.get()
            if thing is _END:
                return
            if isinstance(thing, BaseException):
                raise thing
            yield thing[0]
    finally:
        stop.set()
        thread.join()


class Drain:
    """Hands items to `consume` in a thread of its own, in order, at most `depth` waiting.

    `put` blocks while the queue is full and raises the consumer's error as soon as there is one; `close` waits until
    all is consumed; leaving the `with` by an exception drops what waits.
    """

    def __init__(self, consume: Callable[[Any], None], depth: int = 2) -> None:
        self._box: queue.Queue[Any] = queue.Queue(maxsize=depth)
        self._consume, self._error, self._drop = consume, None, False
        self._thread = threading.Thread(target=self._work, name="vhs-write-behind", daemon=True)
        self._thread.start()

    def _work(self) -> None:
        while True:
            thing = self._box.get()
            if thing is _END:
                return
            if self._error is None and not self._drop:
                try:
                    self._consume(thing)
                except BaseException as error:
                    self._error = error
            del thing  # a waiting thread must not keep a batch alive

    def put(self, item: Any) -> None:
        if self._error is not None:
            raise self._error
        self._box.put(item)

    def close(self) -> None:
        self._box.put(_END)
        self._thread.join()
        if self._error is not None:
            raise self._error

    def __enter__(self) -> Drain:
        return self

    def __exit__(self, kind: Any, *rest: Any) -> None:
        if kind is None:
            self.close()
        else:
            self._drop = True
            self._box.put(_END)
            self._thread.join()


def with_halo(batches: Iterable[Batch], halo: int) -> Iterator[tuple[Batch, tuple[int, int]]]:
    """Yields `(batch, window)`: the batch with up to `halo` neighbouring frames on each side, and which of its frames
    `window[0] <= t < window[1]` are its own.  At both ends of the tape there are fewer neighbours.
    """
    if halo == 0:
        for batch in batches:
            yield batch, (0, len(batch))
        return
    before: list[Batch] = []  # at most `halo` frames
    current: Batch | None = None
    waiting: list[Batch] = []  # what came after `current`
    for batch in batches:
        if current is None:
            current = batch
            continue
        waiting.append(batch)
        while waiting and sum(map(len, waiting)) >= halo:
            yield _joined(before, current, waiting, halo)
            before = _tail([*before, current], halo)
            current = waiting.pop(0)
    while current is not None:
        yield _joined(before, current, waiting, halo)
        before = _tail([*before, current], halo)
        current = waiting.pop(0) if waiting else None


def _joined(before: list[Batch], current: Batch, after: list[Batch], halo: int) -> tuple[Batch, tuple[int, int]]:
    first = sum(map(len, before))
    parts, left = [*before, current], halo
    for batch in after:
        if left > 0:
            parts.append(batch[:left])
            left -= len(batch)
    return Batch.join(parts), (first, first + len(current))


def _tail(parts: list[Batch], count: int) -> list[Batch]:
    kept: list[Batch] = []
    for batch in reversed(parts):
        if count <= 0:
            break
        kept.insert(0, batch[-count:] if len(batch) > count else batch)
        count -= len(batch)
    return kept
