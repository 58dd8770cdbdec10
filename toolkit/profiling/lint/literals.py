"""What is written out in the source: arguments of a call, numbers, strings."""

from __future__ import annotations

import libcst as cst
from libcst.helpers import get_full_name_for_node


def argument(call: cst.Call, name: str, position: int | None = None) -> cst.BaseExpression | None:
    """The value given for a parameter, by keyword or position; None when it is left out."""
    for index, arg in enumerate(call.args):
        if arg.star:
            continue
        if (arg.keyword is None and index == position) or (arg.keyword is not None and arg.keyword.value == name):
            return arg.value
    return None


def spread(call: cst.Call) -> bool:
    """Whether arguments are handed on with * or **, so that nobody can tell from here what is given."""
    return any(arg.star for arg in call.args)


def is_true(node: cst.CSTNode | None) -> bool:
    named = isinstance(node, cst.Name) and node.value == "True"
    return named or (isinstance(node, cst.Integer) and node.value == "1")


def is_none(node: cst.CSTNode | None) -> bool:
    return node is None or (isinstance(node, cst.Name) and node.value == "None")


def number(node: cst.CSTNode | None) -> float | None:
    """The value of a number written out in the source."""
    return float(node.evaluated_value) if isinstance(node, (cst.Integer, cst.Float)) else None


def text(node: cst.CSTNode | None) -> str | None:
    """The value of a string written out in the source (the fixed parts of an f-string)."""
    if isinstance(node, cst.SimpleString):
        value = node.evaluated_value
        return value if isinstance(value, str) else None
    if isinstance(node, cst.ConcatenatedString):
        return (text(node.left) or "") + (text(node.right) or "")
    if isinstance(node, cst.FormattedString):
        parts = (p.value if isinstance(p, cst.FormattedStringText) else "{}" for p in node.parts)
        return "".join(parts).replace("\\r", "\r")  # the only escape that a rule asks for
    return None


def called(call: cst.Call) -> str:
    """The last part of the name that is called: "append" for `self.frames.append(frame)`."""
    return (get_full_name_for_node(call.func) or "").rpartition(".")[2]
