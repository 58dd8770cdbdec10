"""Rules on the interface: polling, waiting by turning round, and slow work where the interface waits for it."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import libcst as cst
from libcst.helpers import get_full_name_for_node

from toolkit.profiling.lint.literals import number
from toolkit.profiling.lint.media import SUBPROCESS, frame_loops
from toolkit.profiling.lint.rule import rule
from toolkit.profiling.lint.rules.progress import CLOCKS
from toolkit.profiling.lint.source import Source

_SLOW = (*SUBPROCESS, "time.sleep", "requests.get", "requests.post", "urllib.request.urlopen", "cv2.VideoCapture",
         "av.open", "os.system")  # fmt: skip
_STATE = {"is_alive", "poll", "is_set", "empty", "done", "running", "locked"}


@rule(
    "polling-too-fast",
    "interface",
    summary="A loop that looks for news more than once a second",
    why="Each look wakes the processor and often a database or the interface; nobody sees the difference to a second.",
    bad="""
        import time

        def wait(job):
            while job.status() == "running":
                time.sleep(0.1)
        """,
    good="""
        import time

        def wait(job):
            while job.status() == "running":
                time.sleep(1)
        """,
)
def polling_too_fast(source: Source) -> Iterator[tuple[Any, str]]:
    for call in source.calls("time.sleep", "asyncio.sleep"):
        loop = source.loop(call)
        if not isinstance(loop, cst.While) or any(isinstance(u, cst.ExceptHandler) for u in source.above(call)):
            continue
        given = call.args[0].value if call.args else None
        seconds = [number(v) for v in ([given] if not isinstance(given, cst.Name) else _values(source, given))]
        if seconds and all(s is not None and 0 < s < 1 for s in seconds) and not _bounded(source, loop):
            yield call, f"this looks every {seconds[0]:g} s; wait for an event, or look once a second"


@rule(
    "busy-wait",
    "interface",
    summary="A loop that waits by turning round",
    why="It takes a whole core from the work that it waits for.",
    bad="""
        def wait(thread):
            while thread.is_alive():
                pass
        """,
    good="""
        def wait(thread):
            thread.join()
        """,
)
def busy_wait(source: Source) -> Iterator[tuple[Any, str]]:
    for loop in source.all(cst.While):
        body = loop.body.body
        small = [s for line in body for s in (line.body if isinstance(line, cst.SimpleStatementLine) else [line])]
        calls = list(source.below(loop.test, cst.Call, cst.NamedExpr, cst.Await, cst.Yield))
        quick = all(
            isinstance(c, cst.Call) and isinstance(c.func, cst.Attribute) and c.func.attr.value in _STATE for c in calls
        )
        if small and quick and all(_does_nothing(source, s) for s in small):
            yield loop, "this takes a whole core while it waits; join, wait for an Event, or sleep"


@rule(
    "work-in-handler",
    "interface",
    summary="Slow work in the handler of a widget",
    why="The handler runs in the thread that serves the interface: every widget stands still until it is done.",
    bad="""
        import subprocess
        import ipywidgets

        button = ipywidgets.Button(description="Convert")

        def convert(_):
            subprocess.run(["ffmpeg", "-i", "a.avi", "b.mp4"], check=True, timeout=600)

        button.on_click(convert)
        """,
    good="""
        import ipywidgets

        button = ipywidgets.Button(description="Convert")

        def convert(_):
            jobs.add("a.avi")

        button.on_click(convert)
        """,
)
def work_in_handler(source: Source) -> Iterator[tuple[Any, str]]:
    if not source.imports("ipywidgets"):
        return
    functions = {f.name.value: f for f in source.all(cst.FunctionDef)}
    for call in source.all(cst.Call):
        func = call.func
        if not isinstance(func, cst.Attribute) or func.attr.value not in ("on_click", "observe") or not call.args:
            continue
        if not any(m.startswith("ipywidgets.") for m in source.made_by(func.value)):
            continue
        handler = call.args[0].value
        name = (get_full_name_for_node(handler) or "").rpartition(".")[2]
        body = handler if isinstance(handler, cst.Lambda) else functions.get(name)
        if body is None:
            continue
        slow = [c for c in source.calls(*_SLOW) if source.inside(c, body) and source.function(c) is body]
        loops = [loop for loop, _ in frame_loops(source) if source.inside(loop, body)]
        if slow or loops:
            what = source.code(slow[0].func) if slow else "a loop over frames"
            yield call, f"the interface stands still while {name or 'the handler'} runs {what}"


def _bounded(source: Source, loop: cst.While) -> bool:
    """Whether the loop gives up soon: it looks at a clock, asserts, or counts its rounds and compares the count."""
    if any(True for _ in source.below(loop, cst.Assert)):
        return True
    if any(source.inside(c, loop) for c in source.calls(*CLOCKS)):
        return not _all_the_time(source, loop)
    counted = {source.code(a.target) for a in source.below(loop.body, cst.AugAssign)}
    return any(
        counted & {source.code(c.left), source.code(c.comparisons[0].comparator)}
        for c in source.below(loop, cst.Comparison)
    )


def _all_the_time(source: Source, loop: cst.While) -> bool:
    """Whether the loop goes on until a time that somebody else chose, with no way out before: a monitor."""
    if not isinstance(loop.test, cst.Comparison) or len(loop.test.comparisons) != 1:
        return False
    sides = [loop.test.left, loop.test.comparisons[0].comparator]
    clocks = [s for s in sides if isinstance(s, cst.Call) and source.stands_for(s.func, *CLOCKS)]
    ends = [v for s in sides if isinstance(s, cst.Name) for v in source.values(s)]
    chosen = ends and not any(True for e in ends for _ in source.below(e, cst.Integer, cst.Float))
    leaves = source.below(loop.body, cst.Break, cst.Return, cst.Raise)
    return len(clocks) == 1 and bool(chosen) and not any(source.function(n) is source.function(loop) for n in leaves)


def _values(source: Source, name: cst.Name) -> list[cst.CSTNode]:
    """What is assigned to a name, and what it is by default when it is a parameter."""
    function = source.function(name)
    given = source.below(function.params, cst.Param) if isinstance(function, cst.FunctionDef) else ()
    defaults = [p.default for p in given if p.name.value == name.value and p.default is not None]
    return [*defaults, *source.values(name)]


def _does_nothing(source: Source, statement: Any) -> bool:
    if isinstance(statement, (cst.Pass, cst.Continue)):
        return True
    if not isinstance(statement, cst.Expr):
        return False
    if isinstance(statement.value, cst.Ellipsis):
        return True
    call = statement.value
    is_sleep = isinstance(call, cst.Call) and source.stands_for(call.func, "time.sleep")
    return is_sleep and bool(call.args) and number(call.args[0].value) == 0
