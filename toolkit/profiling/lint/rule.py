"""What a rule is.  Each is declared once: identity, reason, examples, the check, and how its findings are mended.

    @rule(
        "temp-name", "memory",
        summary="A temporary name without a file",
        why="...",
        bad="import tempfile\\npath = tempfile.mktemp()\\n",
        good="...",
    )
    def temp_name(source):
        for call in source.calls("tempfile.mktemp"):
            yield call, "mktemp() gives a name that somebody else can take first"

The examples are tests: `bad` must be found by this rule and by no other one, `good` by none.
"""

from __future__ import annotations

import textwrap
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import Any

import libcst as cst

from toolkit.errors import UnknownName
from toolkit.profiling.lint.source import Source

CATEGORIES = ("memory", "processes", "threads", "io", "interface", "ignore")

Check = Callable[[Source], Iterable[tuple[Any, str]]]
#: Given the place that was found: `(old node, new node)` pairs, or None when this place cannot be mended safely.
Mend = Callable[[Source, Any], "list[tuple[cst.CSTNode, Any]] | None"]


@dataclass(frozen=True)
class Rule:
    """A fault that can be seen in source code.

    why  : what it costs when the program runs.  bad, good : examples.
    mend : how it is mended, None when a person must decide; `mended` says in words what is done.
    """

    id: str
    category: str
    summary: str
    why: str
    bad: str
    good: str
    check: Check
    mend: Mend | None = None
    mended: str = ""

    @property
    def mendable(self) -> bool:
        return self.mend is not None

    def to_dict(self) -> dict[str, Any]:
        names = ("id", "category", "summary", "why", "bad", "good", "mendable")
        return {name: getattr(self, name) for name in names}


@dataclass(frozen=True, order=True)
class Finding:
    """One place where a rule found its fault.  Lines and columns count from 1."""

    path: str
    line: int
    column: int
    rule: str
    message: str
    end_line: int
    mendable: bool = False

    def __str__(self) -> str:
        return f"{self.path}:{self.line}:{self.column}: {self.rule}: {self.message}"


_rules: dict[str, Rule] = {}


def rule(
    id: str,
    category: str,
    *,
    summary: str,
    why: str,
    bad: str,
    good: str,
    mend: Mend | None = None,
    mended: str = "",
) -> Callable[[Check], Check]:
    """Declares the decorated check as the rule `id`.  Raises `ValueError` for a taken id or a wrong category."""
    if id in _rules or category not in CATEGORIES:
        raise ValueError(f"rule {id!r} in category {category!r}: expected a new id and one of {', '.join(CATEGORIES)}")

    def declare(check: Check) -> Check:
        examples = {"bad": textwrap.dedent(bad).lstrip("\n"), "good": textwrap.dedent(good).lstrip("\n")}
        _rules[id] = Rule(
            id, category, summary, " ".join(why.split()), **examples, check=check, mend=mend, mended=mended
        )
        return check

    return declare


def all_rules() -> tuple[Rule, ...]:
    """Every rule, by category and then in the order of declaration."""
    import toolkit.profiling.lint.rules  # noqa: F401  declares them

    return tuple(sorted(_rules.values(), key=lambda r: CATEGORIES.index(r.category)))


def find_rule(name: str) -> Rule:
    """The rule `name`.  Raises `UnknownName` with near names."""
    known = {r.id: r for r in all_rules()}
    if name not in known:
        raise UnknownName("rule", name, known)
    return known[name]
