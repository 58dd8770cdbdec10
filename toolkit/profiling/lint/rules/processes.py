"""Rules on programs that are started: time limits, waiting, pipes, shells."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import libcst as cst

from toolkit.profiling.lint.literals import argument, is_none, is_true, spread
from toolkit.profiling.lint.rule import rule
from toolkit.profiling.lint.source import Source

_RUN = tuple(f"subprocess.{name}" for name in ("run", "call", "check_call", "check_output"))
_POPEN = "subprocess.Popen"
_WAITS = ("wait", "communicate", "poll", "__exit__")


@rule(
    "run-without-timeout",
    "processes",
    summary="subprocess.run and its kin without a time limit",
    why="A program that hangs on a damaged tape holds the whole job for ever.",
    bad="""
        import subprocess

        subprocess.run(["ffprobe", "tape.avi"], check=True)
        """,
    good="""
        import subprocess

        subprocess.run(["ffprobe", "tape.avi"], check=True, timeout=60)
        """,
)
def run_without_timeout(source: Source) -> Iterator[tuple[Any, str]]:
    for call in source.calls(*_RUN):
        if argument(call, "timeout") is None and not spread(call):
            yield call, "this waits for ever when the program hangs; give timeout="


@rule(
    "communicate-without-timeout",
    "processes",
    summary="communicate() without a time limit",
    why="A program that hangs holds the job for ever, and with it the thread and the pipes.",
    bad="""
        import subprocess

        program = subprocess.Popen(["ffmpeg", "-i", "tape.avi", "-"], stdout=subprocess.PIPE)
        out, _ = program.communicate()
        """,
    good="""
        import subprocess

        program = subprocess.Popen(["ffmpeg", "-i", "tape.avi", "-"], stdout=subprocess.PIPE)
        try:
            out, _ = program.communicate(timeout=600)
        except subprocess.TimeoutExpired:
            program.kill()
            program.communicate()
            raise
        """,
)
def communicate_without_timeout(source: Source) -> Iterator[tuple[Any, str]]:
    for call in _methods(source, "communicate"):
        if argument(call, "timeout", 1) is None and not spread(call) and not _after_kill(source, call):
            yield call, "this waits for ever when the program hangs; give timeout="


@rule(
    "process-never-waited",
    "processes",
    summary="A program that is started and never waited for",
    why="It stays in the process table as a zombie, its pipes stay open, and nobody learns whether it failed.",
    bad="""
        import subprocess

        def play(path):
            subprocess.Popen(["ffplay", path])
        """,
    good="""
        import subprocess

        def play(path):
            with subprocess.Popen(["ffplay", path]) as program:
                program.wait(timeout=3600)
        """,
)
def process_never_waited(source: Source) -> Iterator[tuple[Any, str]]:
    for call in source.calls(_POPEN):
        up = source.parents[call]
        if source.dropped(call):
            if not _takes_over(source, call):
                yield call, "the program is started and forgotten"
        elif isinstance(up, cst.Attribute) and up.attr.value in ("stdout", "stderr", "stdin", "pid"):
            yield call, "the program's handle is lost, so nothing can wait for it"
        elif (name := source.name_of(call)) is not None:
            held = source.held(name, source.function(call))
            if not (held.entered or held.escapes or held.calls(*_WAITS, "kill", "terminate", "send_signal")):
                yield call, f"nothing waits for {name}"


@rule(
    "shell-string",
    "processes",
    summary="A command for the shell put together from parts",
    why="A tape named `a; rm -rf b.avi`, or only one with a blank, runs another command than the one meant.",
    bad="""
        import os

        def convert(path):
            os.system(f"ffmpeg -i {path} out.mp4")
        """,
    good="""
        import subprocess

        def convert(path):
            subprocess.run(["ffmpeg", "-i", path, "out.mp4"], check=True, timeout=600)
        """,
)
def shell_string(source: Source) -> Iterator[tuple[Any, str]]:
    for call in source.calls(*_RUN, _POPEN):
        if is_true(argument(call, "shell")) and _put_together(source, argument(call, "args", 0)):
            yield call, "the shell reads whatever the parts hold; pass a list of words without shell=True"
    for call in source.calls("os.system", "os.popen"):
        if _put_together(source, argument(call, "command", 0) or argument(call, "cmd", 0)):
            yield call, "the shell reads whatever the parts hold; use subprocess.run with a list of words"


def _mend_preexec(source: Source, call: cst.Call) -> list[tuple[cst.CSTNode, Any]] | None:
    """`preexec_fn=os.setsid` becomes `start_new_session=True`."""
    given = argument(call, "preexec_fn")
    if isinstance(given, cst.Lambda) and isinstance(given.body, cst.Call) and not given.body.args:
        given = given.body.func
    if source.qualified(given) != "os.setsid" or argument(call, "start_new_session") is not None:
        return None
    index = next(i for i, a in enumerate(call.args) if a.keyword is not None and a.keyword.value == "preexec_fn")
    old = call.args[index]
    args = [*call.args]
    args[index] = old.with_changes(keyword=cst.Name("start_new_session"), value=cst.Name("True"))
    return [(call, call.with_changes(args=args))]


@rule(
    "preexec-fn",
    "processes",
    summary="preexec_fn in a program that may have threads",
    why="""The function runs between fork and exec, where a lock held by any other thread stays locked for ever: the
        child hangs now and then. start_new_session and process_group do the usual work without it.""",
    bad="""
        import os
        import subprocess

        subprocess.run(["ffmpeg"], preexec_fn=os.setsid, check=True, timeout=60)
        """,
    good="""
        import subprocess

        subprocess.run(["ffmpeg"], start_new_session=True, check=True, timeout=60)
        """,
    mend=_mend_preexec,
    mended="preexec_fn=os.setsid becomes start_new_session=True, which the system does without Python code",
)
def preexec_fn(source: Source) -> Iterator[tuple[Any, str]]:
    for call in source.calls(*_RUN, _POPEN):
        if not is_none(argument(call, "preexec_fn")):
            yield call, "Python code between fork and exec can hang when there are threads"


@rule(
    "exit-code-ignored",
    "processes",
    summary="subprocess.run whose result nobody looks at",
    why="A program that failed looks like one that worked, and the next step reads a file that is not there.",
    bad="""
        import subprocess

        subprocess.run(["ffmpeg", "-i", "a.avi", "b.mp4"], timeout=600)
        """,
    good="""
        import subprocess

        subprocess.run(["ffmpeg", "-i", "a.avi", "b.mp4"], check=True, timeout=600)
        """,
)
def exit_code_ignored(source: Source) -> Iterator[tuple[Any, str]]:
    for call in source.calls("subprocess.run", "subprocess.call"):
        if source.dropped(call) and argument(call, "check") is None and not spread(call):
            yield call, "nobody learns when the program fails; give check=True, or check=False when that is meant"


@rule(
    "killed-not-reaped",
    "processes",
    summary="A program that is killed and not waited for",
    why="Until somebody waits for it the dead program keeps its place in the process table, and its pipes stay open.",
    bad="""
        import subprocess

        def stop_after(command, event):
            program = subprocess.Popen(command)
            event.wait()
            program.kill()
        """,
    good="""
        import subprocess

        def stop_after(command, event):
            program = subprocess.Popen(command)
            event.wait()
            program.kill()
            program.wait()
        """,
)
def killed_not_reaped(source: Source) -> Iterator[tuple[Any, str]]:
    for call in source.calls(_POPEN):
        name = source.name_of(call)
        if name is None:
            continue
        held = source.held(name, source.function(call))
        if held.calls("kill", "terminate") and not (held.entered or held.escapes or held.calls(*_WAITS)):
            yield (held.methods["kill"] or held.methods["terminate"])[0], f"{name} is killed and nothing waits for it"


def _takes_over(source: Source, call: cst.Call) -> bool:
    """Whether this program ends right after, so that the other one runs in its place."""
    _, body, index = source.block(call)
    leaves = source.calls("os._exit", "sys.exit", "builtins.exit")
    return index >= 0 and any(source.inside(c, line) for c in leaves for line in body[index + 1 :])


def _methods(source: Source, name: str) -> Iterator[cst.Call]:
    """Calls of the method `name` on something that is made by subprocess.Popen."""
    if not source.imports("subprocess"):
        return
    for call in source.all(cst.Call):
        if isinstance(call.func, cst.Attribute) and call.func.attr.value == name:
            if _POPEN in source.made_by(call.func.value):
                yield call


def _after_kill(source: Source, call: cst.Call) -> bool:
    """A program that was just killed ends at once, so waiting for it needs no limit; nor when a timer kills it."""
    if any(isinstance(up, (cst.ExceptHandler, cst.Finally)) for up in source.above(call)):
        return True
    _, body, index = source.block(call)
    owner, here = source.code(call.func.value), source.function(call)  # type: ignore[attr-defined]
    kills = [c for c in source.below(here, cst.Call) if source.code(c.func) in (f"{owner}.kill", f"{owner}.terminate")]
    return any(source.function(c) is not here or any(source.inside(c, b) for b in body[:index]) for c in kills)


def _put_together(source: Source, command: cst.CSTNode | None) -> bool:
    if isinstance(command, cst.Name):
        return any(_put_together(source, v) for v in source.values(command) if not isinstance(v, cst.Name))
    if command is None or "quote(" in source.code(command) or "shlex.join(" in source.code(command):
        return False
    if isinstance(command, cst.FormattedString):
        return any(isinstance(p, cst.FormattedStringExpression) for p in command.parts)
    if isinstance(command, cst.BinaryOperation) and isinstance(command.operator, (cst.Add, cst.Modulo)):
        return bool(list(source.below(command, cst.Name, cst.Call)))
    if isinstance(command, cst.Call) and isinstance(command.func, cst.Attribute):
        return command.func.attr.value in ("format", "join")
    return False
