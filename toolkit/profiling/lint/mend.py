"""Rewriting that keeps the meaning: statements moved into a `with`, and only when nothing is lost by it."""

from __future__ import annotations

from collections.abc import Callable
from itertools import dropwhile
from typing import Any

import libcst as cst

from toolkit.profiling.lint.media import names_in
from toolkit.profiling.lint.source import Source


def wrap(
    source: Source,
    begin: cst.CSTNode,
    ends: Callable[[cst.CSTNode], bool],
    *,
    item: cst.WithItem,
    name: str | None = None,
) -> list[tuple[cst.CSTNode, Any]] | None:
    """Puts what stands between the statement of `begin` and the one that `ends` it under `with item:`.

    Both statements go.  None when that could change the meaning or lose a comment: the end is not in the same block,
    nothing stands between, or `name` is bound again or used outside.
    """
    block, body, first = source.block(begin)
    if first < 0 or not _alone(body[first]):
        return None
    last = next((i for i in range(first + 1, len(body)) if ends(body[i])), None)
    if last is None or last == first + 1 or not _alone(body[last]) or _commented(body[last]):
        return None
    inner = body[first + 1 : last]
    if name is not None:
        function = source.function(begin)
        everywhere = sum(n.value == name for n in source.below(function, cst.Name))
        here = sum(n.value == name for line in body[first : last + 1] for n in source.below(line, cst.Name))
        bound = (
            t for line in inner for t in source.below(line, cst.AssignTarget, cst.AugAssign, cst.NamedExpr, cst.For)
        )
        if everywhere != here or any(name in names_in(t.target) for t in bound):
            return None
    comments = list(dropwhile(lambda line: line.comment is None, inner[0].leading_lines))
    inner[0] = inner[0].with_changes(leading_lines=comments)  # no blank line after the `with`
    start = body[first]
    made = cst.With(
        items=[item.with_changes(comma=cst.MaybeSentinel.DEFAULT)],
        body=cst.IndentedBlock(inner, header=start.trailing_whitespace),
        leading_lines=start.leading_lines,
    )
    return [(block, block.with_changes(body=[*body[:first], made, *body[last + 1 :]]))]


def _alone(line: cst.CSTNode) -> bool:
    return isinstance(line, cst.SimpleStatementLine) and len(line.body) == 1


def _commented(line: Any) -> bool:
    return line.trailing_whitespace.comment is not None or any(e.comment is not None for e in line.leading_lines)


def without_argument(call: cst.Call, name: str) -> cst.Call:
    """The call without the keyword argument `name`; the comma at the end, if any, stays as it was."""
    left = [a for a in call.args if a.keyword is None or a.keyword.value != name]
    if left and left[-1] is not call.args[-1]:
        left[-1] = left[-1].with_changes(comma=call.args[-1].comma)
    return call.with_changes(args=left)


def keyword(name: str, value: str) -> cst.Arg:
    """`name=value` as this house writes it, without spaces."""
    tight = cst.AssignEqual(cst.SimpleWhitespace(""), cst.SimpleWhitespace(""))
    return cst.Arg(cst.parse_expression(value), keyword=cst.Name(name), equal=tight)
