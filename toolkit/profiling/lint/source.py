"""One Python file as a tree that can be asked questions: what does this name mean, what becomes of this value?

Rules ask here and never look at spelling alone: `mktemp` counts when it is the one of `tempfile`, also under another
name, and does not count when the file defines its own.
"""

from __future__ import annotations

import builtins
from bisect import bisect_left, bisect_right
from collections import defaultdict
from collections.abc import Iterator
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import Any

import libcst as cst
from libcst.helpers import get_full_name_for_node
from libcst.metadata import Assignment, MetadataWrapper, PositionProvider, QualifiedNameSource, ScopeProvider

FUNCTIONS = (cst.FunctionDef, cst.Lambda)
LOOPS = (cst.For, cst.While)
_BLANK = (cst.BaseParenthesizableWhitespace, cst.TrailingWhitespace, cst.EmptyLine, cst.Newline, cst.Comment)
_BUILTINS = frozenset(dir(builtins))


@dataclass
class Held:
    """What a function does with a value that it keeps under a local name.

    methods : method name -> the places where it is called (`name.close()`).
    reads   : names of the attributes that are looked at without a call (`name.stdout`); `sets` those assigned to.
    passed  : it is an argument of some call.
    stored  : it is returned, yielded or kept elsewhere, so somebody else looks after it.
    entered : it is used by a `with`.
    """

    methods: dict[str, list[Any]] = field(default_factory=lambda: defaultdict(list))
    reads: set[str] = field(default_factory=set)
    sets: set[str] = field(default_factory=set)
    passed: bool = False
    stored: bool = False
    entered: bool = False

    @property
    def escapes(self) -> bool:
        return self.passed or self.stored

    def calls(self, *names: str) -> bool:
        return any(name in self.methods for name in names)


def _children(node: cst.CSTNode) -> Iterator[cst.CSTNode]:
    """The nodes right below, without whitespace; ten times as fast as `node.children`, which visits them."""
    for name in node.__dataclass_fields__:
        value = getattr(node, name)
        if isinstance(value, cst.CSTNode):
            if not isinstance(value, _BLANK):
                yield value
        elif isinstance(value, (list, tuple)):
            for item in value:
                if isinstance(item, cst.CSTNode) and not isinstance(item, _BLANK):
                    yield item


def _parted(target: cst.CSTNode, value: cst.CSTNode) -> Iterator[tuple[cst.CSTNode, cst.CSTNode]]:
    """`(a, x), (b, y)` for `a, b = x, y`; the two as they are where they cannot be parted."""
    both = (target, value)
    if all(isinstance(n, (cst.Tuple, cst.List)) and all(type(e) is cst.Element for e in n.elements) for n in both):
        if len(target.elements) == len(value.elements):  # type: ignore[attr-defined]
            for one, other in zip(target.elements, value.elements, strict=True):  # type: ignore[attr-defined]
                yield from _parted(one.value, other.value)
            return
    yield both


class Source:
    """The tree of one file with parents, positions and resolved names.

    Raises `libcst.ParserSyntaxError` when the text is not Python.
    """

    def __init__(self, text: str, path: Path = Path("<text>"), encoding: str = "utf-8") -> None:
        self.text, self.path, self.encoding = text, path, encoding
        self.module = cst.parse_module(text)
        self._wrapper = MetadataWrapper(self.module, unsafe_skip_copy=True)  # freshly parsed: no node occurs twice
        self.parents: dict[cst.CSTNode, cst.CSTNode] = {}
        self._kinds: dict[type, list[Any]] = defaultdict(list)
        self._numbers: dict[type, list[int]] = defaultdict(list)
        self._order: dict[cst.CSTNode, int] = {}
        self._last: dict[cst.CSTNode, int] = {}
        self._walk(self.module)
        self._made: dict[str, set[str]] = {}

    def _walk(self, top: cst.CSTNode) -> None:
        """Numbers all nodes but whitespace, so that a subtree is a range of numbers."""
        stack: list[tuple[cst.CSTNode, bool]] = [(top, False)]
        while stack:
            node, left = stack.pop()
            if left:
                self._last[node] = len(self._order) - 1
                continue
            self._order[node] = len(self._order)
            self._kinds[type(node)].append(node)
            self._numbers[type(node)].append(self._order[node])
            stack.append((node, True))
            for child in _children(node):
                self.parents[child] = node
                stack.append((child, False))

    # -- places ------------------------------------------------------------------------------------------------------

    def all(self, *kinds: type) -> list[Any]:
        """All nodes of these types."""
        return [node for kind in kinds for node in self._kinds[kind]]

    def below(self, top: cst.CSTNode, *kinds: type) -> Iterator[Any]:
        """The nodes of these types in `top`, itself included."""
        first, last = self._order[top], self._last[top]
        for kind in kinds:
            numbers = self._numbers[kind]
            yield from self._kinds[kind][bisect_left(numbers, first) : bisect_right(numbers, last)]

    def above(self, node: cst.CSTNode, *kinds: type) -> Iterator[Any]:
        """The ancestors of these types (all when none is given), nearest first."""
        while (node := self.parents.get(node)) is not None:
            if not kinds or isinstance(node, kinds):
                yield node

    def inside(self, node: cst.CSTNode, top: cst.CSTNode) -> bool:
        return self._order[top] <= self._order[node] <= self._last[top]

    def function(self, node: cst.CSTNode) -> Any:
        """The function (or module) whose code `node` is."""
        return next(self.above(node, *FUNCTIONS), self.module)

    def loop(self, node: cst.CSTNode) -> Any:
        """The nearest loop of the same function that runs `node` again and again, or None."""
        last = node
        for up in self.above(node):
            if isinstance(up, FUNCTIONS):
                return None
            if isinstance(up, cst.While) or (isinstance(up, cst.For) and last is up.body):
                return up
            last = up
        return None

    def statement(self, node: cst.CSTNode) -> cst.CSTNode:
        """The line (or compound statement) that `node` belongs to."""
        if isinstance(node, (cst.SimpleStatementLine, cst.BaseCompoundStatement)):
            return node
        return next(self.above(node, cst.SimpleStatementLine, cst.BaseCompoundStatement), self.module)

    def block(self, node: cst.CSTNode) -> tuple[Any, list[Any], int]:
        """`(block, statements, index)`: where the statement of `node` stands among its neighbours."""
        line = self.statement(node)
        block = self.parents[line]
        body = list(block.body) if isinstance(block, (cst.IndentedBlock, cst.Module)) else []  # else: an elif
        return block, body, next((i for i, other in enumerate(body) if other is line), -1)

    @cached_property
    def _positions(self) -> Any:
        return self._wrapper.resolve(PositionProvider)

    def position(self, node: cst.CSTNode) -> Any:
        """Where `node` is: a range with `start.line`, `start.column` (from 0), `end.line`."""
        return self._positions[node]

    def code(self, node: cst.CSTNode) -> str:
        return self.module.code_for_node(node)

    # -- names -------------------------------------------------------------------------------------------------------

    @cached_property
    def imported(self) -> dict[str, str]:
        """Local name -> dotted name, for every import anywhere in the file."""
        found: dict[str, str] = {}
        for node in self.all(cst.Import, cst.ImportFrom):
            if isinstance(node.names, cst.ImportStar):
                continue
            origin = ""
            if isinstance(node, cst.ImportFrom):
                origin = "." * len(node.relative) + (get_full_name_for_node(node.module) if node.module else "") + "."
            for alias in node.names:
                name = get_full_name_for_node(alias.name) or ""
                if alias.asname is not None:
                    found[get_full_name_for_node(alias.asname.name) or ""] = origin + name
                else:
                    found[name.partition(".")[0]] = origin + (name if origin else name.partition(".")[0])
        return found

    def imports(self, package: str) -> bool:
        return any(name == package or name.startswith(package + ".") for name in self.imported.values())

    def qualified(self, node: cst.CSTNode | None) -> str | None:
        """The dotted name an expression stands for when it comes from an import or the builtins, else None."""
        name = self._written(node)
        return name if name is not None and self._is_that(node, name) else None

    def stands_for(self, node: cst.CSTNode | None, *names: str) -> bool:
        """Whether `qualified(node)` is one of `names`; much quicker where it is not."""
        name = self._written(node)
        return name in names and self._is_that(node, name)  # type: ignore[arg-type]

    def _written(self, node: cst.CSTNode | None) -> str | None:
        """What `qualified` would be if no other definition stood in the way; finding that out costs more."""
        full = get_full_name_for_node(node) if isinstance(node, (cst.Name, cst.Attribute)) else None
        if full is None:
            return None
        root, dot, rest = full.partition(".")
        if root in self.imported:
            return self.imported[root] + dot + rest
        return "builtins." + full if root in _BUILTINS else None

    @cached_property
    def _scopes(self) -> Any:
        return self._wrapper.resolve(ScopeProvider)

    def _is_that(self, node: cst.CSTNode, name: str) -> bool:
        if name.startswith("builtins.") and not self._redefined(name.split(".")[1]):
            return True
        scope = self._scopes.get(node)
        if scope is None:
            return False
        found = scope.get_qualified_names_for(node)
        return bool(found) and all(
            q.source is not QualifiedNameSource.LOCAL and q.name.lstrip(".") == name.lstrip(".") for q in found
        )

    @cached_property
    def _defined(self) -> set[str]:
        names = {n.name.value for n in self.all(cst.FunctionDef, cst.ClassDef)}
        names |= {n.name.value for n in self.all(cst.Param)}
        return names | {n.value for t in self.all(cst.AssignTarget) for n in self.below(t.target, cst.Name)}

    def _redefined(self, name: str) -> bool:
        return name in self._defined or any(isinstance(node.names, cst.ImportStar) for node in self.all(cst.ImportFrom))

    def calls(self, *names: str) -> Iterator[cst.Call]:
        """The calls of these dotted names."""
        for call in self._kinds[cst.Call]:
            if self.stands_for(call.func, *names):
                yield call

    def made_by(self, node: cst.CSTNode) -> set[str]:
        """Dotted names of what is called to make the value behind a name or `self.attribute`: {"threading.Lock"}."""
        key = (get_full_name_for_node(node) or "") + f"@{id(self.function(node))}"
        if key not in self._made:
            makers = (self._maker(v) for v in self.values(node))
            self._made[key] = {m for m in makers if m}
        return self._made[key]

    def _maker(self, value: cst.CSTNode | None) -> str | None:
        return self.qualified(value.func) if isinstance(value, cst.Call) else None

    def values(self, node: cst.CSTNode) -> list[cst.CSTNode]:
        """The expressions that are assigned to a name in its scope, or to `self.attribute` in its class."""
        if isinstance(node, cst.Name):
            scope = self._scopes.get(node)
            if scope is None or node.value not in scope:
                return []
            targets = [a.node for a in scope[node.value] if isinstance(a, Assignment)]
            return [v for t in targets if (v := self._assigned(t)) is not None]
        written = get_full_name_for_node(node) or ""
        own = next(self.above(node, cst.ClassDef), None)
        if own is None or written.count(".") != 1 or written.partition(".")[0] not in ("self", "cls", own.name.value):
            return []
        name, found = written.partition(".")[2], []
        for place, value in self.assignments(own):
            full = get_full_name_for_node(place)
            at_class = isinstance(place, cst.Name) and self.function(place) is self.function(own)
            if full in (f"self.{name}", f"cls.{name}") or (at_class and full == name):
                found.append(value)
        return found

    def assignments(self, within: cst.CSTNode) -> Iterator[tuple[cst.CSTNode, cst.CSTNode]]:
        """Every target of an assignment in `within` with the value it gets; `a, b = x, y` counts as two."""
        for target in self.below(within, cst.AssignTarget):
            yield from _parted(target.target, self.parents[target].value)
        for node in self.below(within, cst.AnnAssign, cst.NamedExpr):
            if node.value is not None:
                yield node.target, node.value

    def _assigned(self, target: cst.CSTNode) -> cst.CSTNode | None:
        """The value that is put under the name `target` by an assignment or a `with`."""
        up = self.parents.get(target)
        if isinstance(up, (cst.AssignTarget, cst.Element)):
            whole = up if isinstance(up, cst.AssignTarget) else next(self.above(target, cst.AssignTarget), None)
            pairs = [] if whole is None else _parted(whole.target, self.parents[whole].value)
            return next((value for place, value in pairs if place is target), None)
        if isinstance(up, (cst.AnnAssign, cst.NamedExpr)):
            return up.value
        if isinstance(up, cst.AsName) and isinstance(self.parents.get(up), cst.WithItem):
            return self.parents[up].item
        return None

    # -- what becomes of a value -------------------------------------------------------------------------------------

    def name_of(self, value: cst.CSTNode) -> str | None:
        """The local name an expression is kept under (`name = value`), None when it is used otherwise."""
        up = self.parents.get(value)
        if isinstance(up, cst.Assign) and len(up.targets) == 1 and isinstance(up.targets[0].target, cst.Name):
            name = up.targets[0].target
        elif isinstance(up, (cst.AnnAssign, cst.NamedExpr)) and isinstance(up.target, cst.Name) and up.value is value:
            name = up.target
        else:
            return None
        own = self.function(value)
        shared = any(
            item.name.value == name.value for node in self.below(own, cst.Global, cst.Nonlocal) for item in node.names
        )
        return None if shared else name.value

    def kept_as(self, value: cst.CSTNode) -> str | None:
        """As `name_of`, and also for `name, other = value, more`."""
        up = self.parents.get(value)
        if isinstance(up, cst.Element):
            line = next(self.above(up, cst.Assign), None)
            pairs = [] if line is None or len(line.targets) != 1 else _parted(line.targets[0].target, line.value)
            return next((n.value for n, given in pairs if given is value and isinstance(n, cst.Name)), None)
        return self.name_of(value)

    def dropped(self, value: cst.CSTNode) -> bool:
        return isinstance(self.parents.get(value), cst.Expr)

    def held(self, name: str, within: cst.CSTNode) -> Held:
        """What the code in `within` does with the value under `name`."""
        held = Held()
        for node in self.below(within, cst.Name):
            if node.value != name:
                continue
            up = self.parents[node]
            if isinstance(up, (cst.AssignTarget, cst.AnnAssign, cst.NamedExpr, cst.Param, cst.NameItem, cst.Del)):
                held.stored |= isinstance(up, (cst.AnnAssign, cst.NamedExpr)) and up.value is node
            elif isinstance(up, cst.Attribute):
                if up.attr is node:
                    continue
                above = self.parents[up]
                if isinstance(above, cst.Call) and above.func is up:
                    held.methods[up.attr.value].append(above)
                elif isinstance(above, cst.AssignTarget):
                    held.sets.add(up.attr.value)
                else:
                    held.reads.add(up.attr.value)
            elif isinstance(up, cst.WithItem):
                held.entered = True
            elif isinstance(up, (cst.Comparison, cst.ComparisonTarget, cst.UnaryOperation, cst.If, cst.While)):
                pass  # only looked at
            elif isinstance(up, cst.Arg):
                held.passed |= up.value is node  # else it is the keyword
            elif isinstance(up, cst.For):
                held.methods["__iter__"].append(up)
            elif isinstance(up, cst.Element) and isinstance(self.parents[self.parents[up]], cst.AssignTarget):
                pass  # `name, other = ...`
            else:
                held.stored = True
        return held
