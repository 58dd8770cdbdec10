"""Rules on what people see: polling, progress, and work where the interface waits for it."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import libcst as cst
from libcst.helpers import get_full_name_for_node

from toolkit.profiling.lint.media import SUBPROCESS, frame_loops, guarded, names_in, same_function
from toolkit.profiling.lint.mend import keyword, without_argument
from toolkit.profiling.lint.rule import rule
from toolkit.profiling.lint.source import LOOPS, Source, argument, is_true, number, text

_CLOCKS = ("time.time", "time.monotonic", "time.perf_counter")
_TQDM = tuple(f"{m}.{n}" for m in ("tqdm", "tqdm.auto", "tqdm.notebook", "tqdm.std") for n in ("tqdm", "trange"))
_SLOW = (*SUBPROCESS, "time.sleep", "requests.get", "requests.post", "urllib.request.urlopen", "cv2.VideoCapture",
         "av.open", "os.system")  # fmt: skip
_STATE = {"is_alive", "poll", "is_set", "empty", "done", "running", "locked"}
_ENDINGS = {"flush", "finish", "close", "done", "stop", "end", "complete", "__exit__"}


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
        seconds = [number(v) for v in ([given] if not isinstance(given, cst.Name) else source.values(given))]
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
    "widget-per-frame",
    "interface",
    summary="A widget that is set in every round of a loop",
    why="Each change travels to the browser and is drawn; at 60 a second the interface falls seconds behind.",
    bad="""
        import ipywidgets

        def run(frames, work):
            bar = ipywidgets.IntProgress(max=len(frames))
            for index, frame in enumerate(frames):
                work(frame)
                bar.value = index
        """,
    good="""
        import time
        import ipywidgets

        def run(frames, work):
            bar = ipywidgets.IntProgress(max=len(frames))
            drawn = 0.0
            for index, frame in enumerate(frames):
                work(frame)
                if time.monotonic() - drawn > 1:
                    bar.value, drawn = index, time.monotonic()
            bar.value = len(frames)
        """,
)
def widget_per_frame(source: Source) -> Iterator[tuple[Any, str]]:
    if not source.imports("ipywidgets"):
        return
    for target in source.all(cst.AssignTarget, cst.AugAssign):
        place, loop = target.target, source.loop(target)
        if loop is None or not isinstance(place, cst.Attribute) or place.attr.value not in ("value", "description"):
            continue
        made = source.made_by(place.value)
        if not any(m.startswith("ipywidgets.") for m in made) or guarded(source, target, loop):
            continue
        changing = names_in(loop.target) if isinstance(loop, cst.For) else set()
        value = source.parents[target].value if isinstance(target, cst.AssignTarget) else None
        if value is None or names_in(value) & changing:
            yield target, f"{source.code(place)} is set in every round; once a second is enough"


@rule(
    "print-per-frame",
    "interface",
    summary="A line on the screen redrawn in every round of a loop",
    why="A terminal or notebook that draws 60 lines a second slows the loop down and falls behind.",
    bad="""
        def run(frames, work):
            for index, frame in enumerate(frames):
                work(frame)
                print(index, end="\\r")
        """,
    good="""
        from tqdm import tqdm

        def run(frames, work):
            for frame in tqdm(frames):
                work(frame)
        """,
)
def print_per_frame(source: Source) -> Iterator[tuple[Any, str]]:
    for call in source.calls("builtins.print", "sys.stdout.write", "sys.stderr.write"):
        loop = source.loop(call)
        if loop is None or guarded(source, call, loop) or not call.args or source.loop(call) is not loop:
            continue
        shown = text(call.args[0].value) or ""
        if text(argument(call, "end")) == "\r" or shown.startswith("\r"):
            slept = any(s for s in source.calls("time.sleep", "asyncio.sleep") if source.inside(s, loop))
            if not slept:
                yield call, "this is drawn in every round; once a second is enough"


def _mend_tqdm(source: Source, call: cst.Call) -> list[tuple[cst.CSTNode, Any]] | None:
    return [(call, without_argument(call, "mininterval"))]


@rule(
    "tqdm-unthrottled",
    "interface",
    summary="A tqdm bar that is drawn at every step (mininterval=0)",
    why="tqdm draws ten times a second by itself; without that limit the bar can cost more than the work.",
    bad="""
        from tqdm import tqdm

        for frame in tqdm(range(100_000), mininterval=0):
            print(frame)
        """,
    good="""
        from tqdm import tqdm

        for frame in tqdm(range(100_000)):
            print(frame)
        """,
    mend=_mend_tqdm,
    mended="mininterval=0 goes, so that tqdm draws ten times a second at most",
)
def tqdm_unthrottled(source: Source) -> Iterator[tuple[Any, str]]:
    for call in source.calls(*_TQDM):
        if number(argument(call, "mininterval")) == 0:
            yield call, "the bar is drawn at every step"


def _mend_clear(source: Source, call: cst.Call) -> list[tuple[cst.CSTNode, Any]] | None:
    return [(call, call.with_changes(args=[keyword("wait", "True")]))] if len(call.args) <= 1 else None


@rule(
    "clear-output-flicker",
    "interface",
    summary="clear_output() in a loop without wait=True",
    why="The cell is empty between clearing and drawing, so the page jumps and flickers in every round.",
    bad="""
        from IPython.display import clear_output, display

        def show(pictures):
            for picture in pictures:
                clear_output()
                display(picture)
        """,
    good="""
        from IPython.display import clear_output, display

        def show(pictures):
            for picture in pictures:
                clear_output(wait=True)
                display(picture)
        """,
    mend=_mend_clear,
    mended="wait=True is given, so that the old picture stays until the new one is there",
)
def clear_output_flicker(source: Source) -> Iterator[tuple[Any, str]]:
    for call in source.calls("IPython.display.clear_output", "IPython.core.display.clear_output"):
        given = argument(call, "wait", 0)
        if source.loop(call) is not None and not any(a.star for a in call.args):
            if given is None or (isinstance(given, cst.Name) and given.value == "False"):
                yield call, "the cell is empty between clearing and drawing; give wait=True"


@rule(
    "trailing-update-dropped",
    "interface",
    summary="A throttle that can swallow the last update",
    why="The job ends and the bar stands at 97 % for ever, because the last step came too soon after the one before.",
    bad="""
        import time

        class Bar:
            last = 0.0

            def update(self, done):
                now = time.monotonic()
                if now - self.last < 1:
                    return
                self.last = now
                self.draw(done)
        """,
    good="""
        import time

        class Bar:
            last = 0.0

            def update(self, done):
                now = time.monotonic()
                if now - self.last < 1:
                    return
                self.last = now
                self.draw(done)

            def finish(self, done):
                self.draw(done)
        """,
)
def trailing_update_dropped(source: Source) -> Iterator[tuple[Any, str]]:
    for method in source.all(cst.FunctionDef):
        owner = next(source.above(method, cst.ClassDef), None)
        if owner is None or not isinstance(method.body, cst.IndentedBlock):
            continue
        names = {f.name.value.strip("_") for f in source.below(owner, cst.FunctionDef)} | {
            f.name.value for f in source.below(owner, cst.FunctionDef)
        }
        given = {p.name.value for p in source.below(method.params, cst.Param)}
        if names & _ENDINGS or given & {"force", "final", "last", "finished"} or owner.bases:
            continue
        for line in method.body.body:
            if isinstance(line, cst.If) and line.orelse is None and _too_soon(source, line.test):
                if isinstance(line.body, cst.IndentedBlock) and _only_returns(line.body):
                    yield line, f"the last {method.name.value}() may be swallowed, and nothing draws it afterwards"
    for loop in source.all(*LOOPS):
        for branch in source.below(loop.body, cst.If):
            if source.loop(branch) is not loop or branch.orelse is not None or not _long_enough(source, branch.test):
                continue
            shown = {source.code(c.func) for c in _draws(source, branch)}
            after = _after(source, loop)
            if shown and not any(source.code(c.func) in shown for line in after for c in source.below(line, cst.Call)):
                if not (isinstance(loop, cst.While) and is_true(loop.test)):
                    yield branch, "what comes in the last second is never shown; show once more after the loop"


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
    """Whether the loop gives up soon: it looks at a clock, or counts its rounds and compares the count."""
    if any(source.inside(c, loop) for c in source.calls(*_CLOCKS)):
        return True
    counted = {source.code(a.target) for a in source.below(loop.body, cst.AugAssign)}
    return any(
        counted & {source.code(c.left), source.code(c.comparisons[0].comparator)}
        for c in source.below(loop, cst.Comparison)
    )


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


def _is_clock(source: Source, node: cst.CSTNode) -> bool:
    if isinstance(node, cst.Call):
        return source.stands_for(node.func, *_CLOCKS)
    return isinstance(node, cst.Name) and bool(source.made_by(node) & set(_CLOCKS))


def _waited(source: Source, test: Any, *operators: type) -> bool:
    """`now - last < interval`, with `now` from a clock."""
    if not isinstance(test, cst.Comparison) or len(test.comparisons) != 1:
        return False
    left, compared = test.left, test.comparisons[0]
    return (
        isinstance(compared.operator, operators)
        and isinstance(left, cst.BinaryOperation)
        and isinstance(left.operator, cst.Subtract)
        and _is_clock(source, left.left)
    )


def _too_soon(source: Source, test: Any) -> bool:
    return _waited(source, test, cst.LessThan, cst.LessThanEqual)


def _long_enough(source: Source, test: Any) -> bool:
    return _waited(source, test, cst.GreaterThan, cst.GreaterThanEqual)


def _only_returns(block: cst.IndentedBlock) -> bool:
    line = block.body[0]
    return len(block.body) == 1 and isinstance(line, cst.SimpleStatementLine) and isinstance(line.body[0], cst.Return)


def _draws(source: Source, branch: cst.If) -> list[cst.Call]:
    """The calls in the branch that show something: print, set_description, update, draw, show, refresh."""
    words = ("print", "update", "draw", "show", "refresh", "display", "report", "progress", "notify")
    found = []
    for call in source.below(branch.body, cst.Call):
        name = (get_full_name_for_node(call.func) or "").rpartition(".")[2].lower()
        if isinstance(source.parents[call], cst.Expr) and any(w in name for w in words):
            if same_function(source, call, branch):
                found.append(call)
    return found


def _after(source: Source, loop: Any) -> list[Any]:
    """The statements that run after the loop in the same function."""
    found, node = [loop.orelse] if loop.orelse is not None else [], loop
    while node is not source.function(loop):
        up = source.parents[node]
        if isinstance(up, (cst.IndentedBlock, cst.Module)):
            found += up.body[list(up.body).index(node) + 1 :]
        if isinstance(up, cst.Try) and up.finalbody is not None and up.finalbody is not node:
            found.append(up.finalbody)
        if up is source.module:
            break
        node = up
    return found
