"""Rules on locks and conditions."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import libcst as cst
from libcst.helpers import get_full_name_for_node

from toolkit.profiling.lint.literals import argument, is_true, number
from toolkit.profiling.lint.mend import wrap
from toolkit.profiling.lint.rule import rule
from toolkit.profiling.lint.source import Source

_LOCKS = {"threading.Lock", "threading.RLock", "multiprocessing.Lock", "multiprocessing.RLock"}
_SLOW = ("time.sleep", "subprocess.run", "subprocess.call", "subprocess.check_call", "subprocess.check_output",
         "requests.get", "requests.post", "urllib.request.urlopen")  # fmt: skip
_WRAPPER_WORDS = ("acquire", "release", "lock", "__enter__", "__exit__", "__aenter__", "__aexit__")


def _mend_lock(source: Source, statement: cst.Expr) -> list[tuple[cst.CSTNode, Any]] | None:
    lock = statement.value.func.value  # type: ignore[attr-defined]
    written = source.code(lock)

    def releases(line: cst.CSTNode) -> bool:
        return isinstance(line, cst.SimpleStatementLine) and source.code(line.body[0]).strip() == f"{written}.release()"

    function = source.function(statement)
    if sum(_is_call(source, c, written, "acquire", "release") for c in source.below(function, cst.Call)) != 2:
        return None  # it is let go and taken again in between
    return wrap(source, statement, releases, item=cst.WithItem(lock))


@rule(
    "lock-without-with",
    "threads",
    summary="A lock that is not released when something goes wrong",
    why="An exception between acquire() and release() leaves the lock taken, and every other thread waits for ever.",
    bad="""
        import threading

        lock = threading.Lock()

        def count(table, key):
            lock.acquire()
            table[key] += 1
            lock.release()
        """,
    good="""
        import threading

        lock = threading.Lock()

        def count(table, key):
            with lock:
                table[key] += 1
        """,
    mend=_mend_lock,
    mended="acquire() ... release() in one block becomes `with lock:`",
)
def lock_without_with(source: Source) -> Iterator[tuple[Any, str]]:
    for call in _lock_calls(source, "acquire"):
        statement = source.parents[call]
        if not isinstance(statement, cst.Expr) or not (not call.args or is_true(call.args[0].value)):
            continue
        lock, function = source.code(call.func.value), source.function(call)  # type: ignore[attr-defined]
        releases = [c for c in source.below(function, cst.Call) if _is_call(source, c, lock, "release")]
        if releases and not any(_in_finally(source, c) for c in releases):
            yield statement, f"an exception before {lock}.release() leaves the lock taken for ever"


@rule(
    "lock-released-elsewhere",
    "threads",
    summary="A lock taken by one thread and released by another",
    why="""Nobody can tell who holds it; an error in either thread leaves it taken, and an RLock refuses. An Event, a
        Semaphore or a Queue says what is meant.""",
    bad="""
        import threading

        class Job:
            def __init__(self):
                self.ready = threading.Lock()

            def start(self):
                self.ready.acquire()
                threading.Thread(target=self.work, daemon=True).start()

            def work(self):
                self.ready.release()
        """,
    good="""
        import threading

        class Job:
            def __init__(self):
                self.ready = threading.Event()

            def start(self):
                threading.Thread(target=self.work, daemon=True).start()

            def work(self):
                self.ready.set()
        """,
)
def lock_released_elsewhere(source: Source) -> Iterator[tuple[Any, str]]:
    targets = set(_thread_functions(source))
    taken = list(_lock_calls(source, "acquire"))
    for call in _lock_calls(source, "release"):
        lock, here = source.code(call.func.value), source.function(call)  # type: ignore[attr-defined]
        if not isinstance(here, cst.FunctionDef) or any(word in here.name.value for word in _WRAPPER_WORDS):
            continue
        owner = next(source.above(here, cst.ClassDef), None)
        takers = {
            source.function(c)
            for c in taken
            if source.code(c.func.value) == lock and next(source.above(c, cst.ClassDef), None) is owner  # type: ignore[attr-defined]
        }
        if here in takers or not takers or any(_is_wrapper(f) for f in takers):
            continue
        others = {f.name.value for f in takers if isinstance(f, cst.FunctionDef)}
        if (here.name.value in targets) != bool(others & targets):
            yield call, f"{lock} is taken in {' and '.join(sorted(others)) or 'the module'}() by another thread"


def _is_wrapper(function: Any) -> bool:
    return isinstance(function, cst.FunctionDef) and any(word in function.name.value for word in _WRAPPER_WORDS)


@rule(
    "two-rlocks",
    "threads",
    summary="A reader-writer lock made of RLocks",
    why="""An RLock belongs to the thread that took it. The first reader takes the writers' lock and the last one, often
        another thread, cannot release it; and a thread that reads may write at the same time.""",
    bad="""
        import threading

        class Shared:
            def __init__(self):
                self.read_lock = threading.RLock()
                self.write_lock = threading.RLock()
        """,
    good="""
        import threading

        class Shared:
            def __init__(self):
                self.lock = threading.RLock()
        """,
)
def two_rlocks(source: Source) -> Iterator[tuple[Any, str]]:
    for owner in source.all(cst.ClassDef):
        names: dict[str, Any] = {}
        for target, value in source.assignments(owner):
            written = get_full_name_for_node(target) or ""
            if isinstance(value, cst.Call) and source.stands_for(value.func, "threading.RLock"):
                names[written.rpartition(".")[2].lower()] = value
        readers = [n for n in names if "read" in n and "thread" not in n]
        writers = [n for n in names if "writ" in n]
        if readers and writers:
            yield (
                names[writers[0]],
                f"{owner.name.value} lets readers and writers pass with RLocks, which belong to one thread",
            )
            continue
        for call in source.below(owner, cst.Call):  # the same with a count of readers
            if isinstance(call.func, cst.Attribute) and call.func.attr.value == "acquire":
                name = source.code(call.func.value).rpartition(".")[2].lower()
                test = next((u.test for u in source.above(call, cst.If)), None)
                if name in names and isinstance(test, cst.Comparison) and number(test.comparisons[0].comparator) == 1:
                    if "read" in source.code(test.left).lower():
                        yield names[name], "the first reader takes this RLock and another thread must release it"
                        break


@rule(
    "sleep-under-lock",
    "threads",
    summary="Waiting or running a program while a lock is held",
    why="Every thread that wants the lock waits too: one lock for all makes many threads as slow as one.",
    bad="""
        import threading
        import time

        lock = threading.Lock()

        def retry(work):
            with lock:
                while not work():
                    time.sleep(5)
        """,
    good="""
        import threading
        import time

        lock = threading.Lock()

        def retry(work):
            while True:
                with lock:
                    if work():
                        return
                time.sleep(5)
        """,
)
def sleep_under_lock(source: Source) -> Iterator[tuple[Any, str]]:
    for call in source.calls(*_SLOW):
        for block in source.above(call, cst.With):
            if source.function(block) is not source.function(call):
                break
            if any(source.made_by(item.item) & _LOCKS for item in block.items):
                yield call, "every thread that wants the lock waits for this"
                break


@rule(
    "condition-without-loop",
    "threads",
    summary="Condition.wait() outside a loop",
    why="wait() may return although nothing happened, or after another thread took what was there.",
    bad="""
        import threading

        changed = threading.Condition()

        def take(frames):
            with changed:
                if not frames:
                    changed.wait()
                return frames.pop()
        """,
    good="""
        import threading

        changed = threading.Condition()

        def take(frames):
            with changed:
                while not frames:
                    changed.wait()
                return frames.pop()
        """,
)
def condition_without_loop(source: Source) -> Iterator[tuple[Any, str]]:
    if not source.imports("threading"):
        return
    for call in source.all(cst.Call):
        if isinstance(call.func, cst.Attribute) and call.func.attr.value == "wait" and source.dropped(call):
            if call.args:
                continue  # with a time limit it is looked at once more in any case
            if source.made_by(call.func.value) == {"threading.Condition"} and source.loop(call) is None:
                yield call, "wait() can return before anything happened; look again in a `while`"


def _lock_calls(source: Source, method: str) -> Iterator[cst.Call]:
    if not (source.imports("threading") or source.imports("multiprocessing")):
        return
    for call in source.all(cst.Call):
        if isinstance(call.func, cst.Attribute) and call.func.attr.value == method:
            if source.made_by(call.func.value) & _LOCKS:
                yield call


def _is_call(source: Source, call: cst.Call, owner: str, *methods: str) -> bool:
    func = call.func
    return isinstance(func, cst.Attribute) and func.attr.value in methods and source.code(func.value) == owner


def _in_finally(source: Source, node: cst.CSTNode) -> bool:
    return any(isinstance(up, cst.Finally) for up in source.above(node))


def _thread_functions(source: Source) -> Iterator[str]:
    """Names of the functions that are handed to a thread or a pool."""
    for call in source.all(cst.Call):
        starts = source.stands_for(call.func, "threading.Thread", "multiprocessing.Process")
        handed = argument(call, "target") if starts else None
        if isinstance(call.func, cst.Attribute) and call.func.attr.value == "submit" and call.args:
            handed = call.args[0].value
        if handed is not None:
            yield (get_full_name_for_node(handed) or "").rpartition(".")[2]
