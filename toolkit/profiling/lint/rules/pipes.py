"""Rules on pipes to programs: read while one waits, and ended with the loop that reads them."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import libcst as cst

from toolkit.profiling.lint.literals import argument
from toolkit.profiling.lint.mend import keyword
from toolkit.profiling.lint.rule import rule
from toolkit.profiling.lint.source import LOOPS, Source

_POPEN = "subprocess.Popen"
#: Methods that hardly ever fail: of lists, strings and loggers.
_HARMLESS = {"append", "extend", "decode", "strip", "rstrip", "split", "startswith", "endswith", "format", "join",
             "debug", "info", "warning"}  # fmt: skip
_ENDS = ("wait", "communicate", "poll", "kill", "terminate")


def _mend_wait(source: Source, call: cst.Call) -> list[tuple[cst.CSTNode, Any]] | None:
    """`program.wait(...)` as a statement becomes `communicate(...)`, or goes when communicate() follows at once."""
    held = source.held(source.name_of(call) or "", source.function(call))
    waits = held.methods.get("wait", [])
    if len(waits) != 1 or held.reads & {"stdout", "stderr"} or not source.dropped(waits[0]):
        return None
    wait, talks = waits[0], held.methods.get("communicate", [])
    block, body, index = source.block(wait)
    if talks:
        if wait.args or index < 0 or index + 1 == len(body) or len(body[index].body) != 1:
            return None  # with a time limit of its own
        if not any(source.inside(talk, body[index + 1]) for talk in talks):
            return None
        if body[index].trailing_whitespace.comment or any(e.comment for e in body[index].leading_lines):
            return None
        return [(block, block.with_changes(body=[*body[:index], *body[index + 1 :]]))]
    args = [a if a.keyword else keyword("timeout", source.code(a.value)) for a in wait.args]
    return [(wait, wait.with_changes(func=wait.func.with_changes(attr=cst.Name("communicate")), args=args))]


@rule(
    "pipe-never-drained",
    "processes",
    summary="A pipe that nobody reads while the program is waited for",
    why="After about 64 KiB the pipe is full, the program stops, and wait() never returns.",
    bad="""
        import subprocess

        def convert(command):
            program = subprocess.Popen(command, stderr=subprocess.PIPE)
            program.wait(timeout=600)
            return program.returncode
        """,
    good="""
        import subprocess

        def convert(command):
            program = subprocess.Popen(command, stderr=subprocess.PIPE)
            _, said = program.communicate(timeout=600)
            return program.returncode, said
        """,
    mend=_mend_wait,
    mended="wait() becomes communicate(), which reads the pipes while it waits, or goes when that follows anyway",
)
def pipe_never_drained(source: Source) -> Iterator[tuple[Any, str]]:
    for call in source.calls(_POPEN):
        name = source.name_of(call)
        pipes = {p for p in ("stdout", "stderr") if source.stands_for(argument(call, p), "subprocess.PIPE")}
        if name is None or not pipes:
            continue
        held = source.held(name, source.function(call))
        left = sorted(pipes - held.reads)
        if not held.calls("wait") or held.escapes or not left:
            continue
        if not held.calls("communicate"):
            yield call, f"nobody reads {' and '.join(left)}, so a chatty program stops for ever"
        elif any(_before(source, w, c) for w in held.methods["wait"] for c in held.methods["communicate"]):
            yield call, f"wait() comes before anybody reads {' and '.join(left)}, so a chatty program stops for ever"


@rule(
    "process-left-after-error",
    "processes",
    summary="A program that runs on when the loop at its pipe fails",
    why="""An exception in the loop skips the wait: the program goes on and holds its files and its pipe, and every tape
        that fails adds one more.""",
    bad="""
        import subprocess

        def decode(command, show):
            program = subprocess.Popen(command, stdout=subprocess.PIPE)
            for line in program.stdout:
                show(line)
            return program.wait()
        """,
    good="""
        import subprocess

        def decode(command, show):
            program = subprocess.Popen(command, stdout=subprocess.PIPE)
            try:
                for line in program.stdout:
                    show(line)
            except BaseException:
                program.kill()
                raise
            finally:
                program.wait()
        """,
)
def process_left_after_error(source: Source) -> Iterator[tuple[Any, str]]:
    for call in source.calls(_POPEN):
        name, function = source.kept_as(call), source.function(call)
        if name is None or not isinstance(function, cst.FunctionDef):
            continue
        held = source.held(name, function)
        if held.entered or held.escapes or not held.calls("wait", "communicate"):
            continue
        ends = [c for m in _ENDS for c in held.methods.get(m, [])]
        if any(isinstance(up, (cst.Finally, cst.ExceptHandler)) for c in ends for up in source.above(c)):
            continue
        if any(_works_at_pipe(source, loop, name) for loop in source.below(function, *LOOPS)):
            yield call, f"an error in the loop at the pipe of {name} leaves it running"


def _works_at_pipe(source: Source, loop: Any, name: str) -> bool:
    """Whether the loop reads from or writes to the program and calls something that may fail."""
    pipes = {f"{name}.{pipe}" for pipe in ("stdin", "stdout", "stderr")}
    if not any(source.code(a) in pipes for a in source.below(loop, cst.Attribute)):
        return False
    calls = (c for c in source.below(loop.body, cst.Call) if not source.code(c.func).startswith(f"{name}."))
    others = (c for c in calls if not (isinstance(c.func, cst.Attribute) and c.func.attr.value in _HARMLESS))
    return any(not (source.qualified(c.func) or "").startswith("builtins.") for c in others)


def _before(source: Source, one: cst.Call, other: cst.Call) -> bool:
    """Whether `one` is a statement that has to end before `other` in the same block is reached."""
    _, body, first = source.block(one)
    return source.dropped(one) and first >= 0 and any(source.inside(other, line) for line in body[first + 1 :])
