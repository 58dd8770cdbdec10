"""Rules on threads and pools, and on what they give back."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import libcst as cst

from toolkit.profiling.lint.literals import argument
from toolkit.profiling.lint.rule import rule
from toolkit.profiling.lint.source import Source

_POOLS = (
    "concurrent.futures.ThreadPoolExecutor",
    "concurrent.futures.ProcessPoolExecutor",
    "multiprocessing.Pool",
    "multiprocessing.pool.ThreadPool",
)


@rule(
    "thread-left-running",
    "threads",
    summary="A thread that is neither a daemon nor joined",
    why="The program cannot end before the thread does, and an error in it passes unseen.",
    bad="""
        import threading

        def start(work):
            threading.Thread(target=work).start()
        """,
    good="""
        import threading

        def start(work):
            thread = threading.Thread(target=work)
            thread.start()
            return thread
        """,
)
def thread_left_running(source: Source) -> Iterator[tuple[Any, str]]:
    for call in source.calls("threading.Thread"):
        if argument(call, "daemon") is not None or any(a.star for a in call.args):
            continue
        up = source.parents[call]
        if isinstance(up, cst.Attribute) and up.attr.value == "start":
            yield call, "nothing can wait for this thread, and it holds the program open"
        elif (name := source.name_of(call)) is not None:
            held = source.held(name, source.function(call))
            left = held.escapes or held.entered or "daemon" in held.sets or held.calls("join", "setDaemon")
            if held.calls("start") and not left:
                yield call, f"nothing waits for {name}, and it holds the program open"


@rule(
    "future-dropped",
    "threads",
    summary="submit() whose future nobody keeps",
    why="An exception in the work is stored in the future; without the future it is never seen.",
    bad="""
        from concurrent.futures import ThreadPoolExecutor

        def convert(clips, work):
            with ThreadPoolExecutor() as pool:
                for clip in clips:
                    pool.submit(work, clip)
        """,
    good="""
        from concurrent.futures import ThreadPoolExecutor

        def convert(clips, work):
            with ThreadPoolExecutor() as pool:
                return list(pool.map(work, clips))
        """,
)
def future_dropped(source: Source) -> Iterator[tuple[Any, str]]:
    if not source.imports("concurrent"):
        return
    for call in source.all(cst.Call):
        if isinstance(call.func, cst.Attribute) and call.func.attr.value == "submit" and source.dropped(call):
            if source.made_by(call.func.value) & set(_POOLS):
                yield call, "an error in this work is never seen"


@rule(
    "executor-left-open",
    "threads",
    summary="A pool of threads or processes that nobody shuts down",
    why="Its workers stay until the program ends; each new pool adds more of them.",
    bad="""
        from concurrent.futures import ThreadPoolExecutor

        def convert(clips, work):
            pool = ThreadPoolExecutor()
            return list(pool.map(work, clips))
        """,
    good="""
        from concurrent.futures import ThreadPoolExecutor

        def convert(clips, work):
            with ThreadPoolExecutor() as pool:
                return list(pool.map(work, clips))
        """,
)
def executor_left_open(source: Source) -> Iterator[tuple[Any, str]]:
    for call in source.calls(*_POOLS):
        up = source.parents[call]
        if isinstance(up, cst.Attribute) and up.attr.value in ("map", "submit", "imap", "apply", "starmap"):
            yield call, "nothing can shut this pool down"
        elif (name := source.name_of(call)) is not None and isinstance(source.function(call), cst.FunctionDef):
            held = source.held(name, source.function(call))
            if not (held.entered or held.escapes or held.calls("shutdown", "close", "terminate", "__exit__")):
                yield call, f"nothing shuts {name} down"
