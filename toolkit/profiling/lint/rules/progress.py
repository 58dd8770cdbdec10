"""Rules on progress that is shown: drawn too often, flickering, or never drawn to the end."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import libcst as cst
from libcst.helpers import get_full_name_for_node

from toolkit.profiling.lint.literals import argument, is_true, number, text
from toolkit.profiling.lint.media import guarded, names_in, same_function
from toolkit.profiling.lint.mend import keyword, without_argument
from toolkit.profiling.lint.rule import rule
from toolkit.profiling.lint.source import LOOPS, Source

CLOCKS = ("time.time", "time.monotonic", "time.perf_counter")
_TQDM = tuple(f"{m}.{n}" for m in ("tqdm", "tqdm.auto", "tqdm.notebook", "tqdm.std") for n in ("tqdm", "trange"))
_ENDINGS = {"flush", "finish", "close", "done", "stop", "end", "complete", "__exit__"}


@rule(
    "widget-per-frame",
    "interface",
    summary="A widget that is set in every round of a loop",
    why="Each change travels to the browser and is drawn there; nobody sees 60 a second, and the browser falls behind.",
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
            since = source.code(branch.test.left.right)  # the throttle begins anew
            if not any(source.code(t.target) == since for t in source.below(branch.body, cst.AssignTarget)):
                continue
            shown = {source.code(c.func) for c in _draws(source, branch)}
            after = _after(source, loop)
            if shown and not any(source.code(c.func) in shown for line in after for c in source.below(line, cst.Call)):
                if not (isinstance(loop, cst.While) and is_true(loop.test)):
                    yield branch, "what comes in the last second is never shown; show once more after the loop"


def _is_clock(source: Source, node: cst.CSTNode) -> bool:
    if isinstance(node, cst.Call):
        return source.stands_for(node.func, *CLOCKS)
    return isinstance(node, cst.Name) and bool(source.made_by(node) & set(CLOCKS))


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
