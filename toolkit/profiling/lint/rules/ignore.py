"""Rules on `# lint: ignore[rule] reason` itself: it names a rule that exists, and says why."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from toolkit.profiling.lint.ignores import ignores
from toolkit.profiling.lint.rule import all_rules, rule
from toolkit.profiling.lint.source import Source


@rule(
    "ignore-without-reason",
    "ignore",
    summary="A `# lint: ignore[rule]` that does not say why",
    why="Without the reason nobody can tell later whether the finding was wrong or only in the way.",
    bad="""
        import time

        while True:
            time.sleep(0.5)  # lint: ignore[polling-too-fast]
        """,
    good="""
        import time

        while True:
            time.sleep(0.5)  # lint: ignore[polling-too-fast] the recorder's buffer holds one second
        """,
)
def ignore_without_reason(source: Source) -> Iterator[tuple[Any, str]]:
    for found in ignores(source.text):
        if not any(c.isalpha() for c in found.reason):
            yield found.line, "say why: # lint: ignore[rule] reason"


@rule(
    "ignore-unknown-rule",
    "ignore",
    summary="A `# lint: ignore` that names no rule, or one that does not exist",
    why="It silences nothing today, and tomorrow something that it was not meant for.",
    bad="""
        value = 1  # lint: ignore[no-such-rule] it was renamed
        """,
    good="""
        value = 1  # a comment of another kind
        """,
)
def ignore_unknown_rule(source: Source) -> Iterator[tuple[Any, str]]:
    known = {r.id for r in all_rules()}
    for found in ignores(source.text):
        unknown = [name for name in found.rules if name not in known]
        if unknown:
            yield found.line, f"there is no rule named {unknown[0]!r}"
        elif not found.rules:
            yield found.line, "name the rule: # lint: ignore[rule] reason"
