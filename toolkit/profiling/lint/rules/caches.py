"""Rules on memory: caches that only grow."""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Any

import libcst as cst
from libcst.helpers import get_full_name_for_node

from toolkit.profiling.lint.literals import text
from toolkit.profiling.lint.rule import rule
from toolkit.profiling.lint.source import Source

_DICTS = ("builtins.dict", "collections.OrderedDict", "collections.defaultdict")
_MAKERS = ("__init__", "__post_init__")
#: Names of what is large.  A dictionary of small things that lives with its object is no fault.
_PICTURES = re.compile(r"thumb|picture|image|jpeg|preview|(?<!data)frame(?!work)|waveform|spectrogram")
_SHRINK = {"pop", "popitem", "clear"}
_REASON = "Every new key stays until the process ends, so a long run or a long list of tapes ends without memory."


@rule(
    "growing-cache",
    "memory",
    summary="A cache at module level that nothing ever empties",
    why=_REASON,
    bad="""
        _thumbnails = {}

        def thumbnail(path):
            if path not in _thumbnails:
                _thumbnails[path] = draw(path)
            return _thumbnails[path]
        """,
    good="""
        from functools import lru_cache

        @lru_cache(maxsize=64)
        def thumbnail(path):
            return draw(path)
        """,
)
def growing_cache(source: Source) -> Iterator[tuple[Any, str]]:
    yield from _growing(source, source.module, lambda name: {name})


@rule(
    "growing-class-cache",
    "memory",
    summary="A cache at class level that nothing ever empties",
    why=_REASON + " At class level it also outlives every object.",
    bad="""
        class Player:
            frames = {}

            def frame(self, index):
                if index not in self.frames:
                    self.frames[index] = self.decode(index)
                return self.frames[index]
        """,
    good="""
        from cachetools import LRUCache

        class Player:
            def __init__(self):
                self.frames = LRUCache(maxsize=64)

            def frame(self, index):
                if index not in self.frames:
                    self.frames[index] = self.decode(index)
                return self.frames[index]
        """,
)
def growing_class_cache(source: Source) -> Iterator[tuple[Any, str]]:
    for owner in source.all(cst.ClassDef):
        where = owner.name.value
        yield from _growing(source, owner, lambda name, where=where: {f"self.{name}", f"cls.{name}", f"{where}.{name}"})


@rule(
    "cached-method",
    "memory",
    summary="A method under functools.cache or lru_cache",
    why="""The cache belongs to the function and holds `self` in every key: no object is let go before its entries are,
        with all frames it holds.""",
    bad="""
        from functools import lru_cache

        class Clip:
            @lru_cache(maxsize=8)
            def frame(self, index):
                return self.decode(index)
        """,
    good="""
        from functools import cached_property

        class Clip:
            @cached_property
            def size(self):
                return self.probe()
        """,
)
def cached_method(source: Source) -> Iterator[tuple[Any, str]]:
    for method in source.all(cst.FunctionDef):
        owner = source.parents.get(source.parents[method])
        if not isinstance(owner, cst.ClassDef) or not method.params.params:
            continue
        if method.params.params[0].name.value != "self":
            continue
        for decorator in method.decorators:
            used = decorator.decorator
            used = used.func if isinstance(used, cst.Call) else used
            if source.stands_for(used, "functools.cache", "functools.lru_cache"):
                yield decorator, f"the cache of {method.name.value}() keeps every {owner.name.value} alive"


@rule(
    "growing-object-cache",
    "memory",
    summary="Pictures or sound kept in a dictionary of an object that nothing ever empties",
    why="The object of a tape lives as long as the tape is worked on, and each frame of it is about a megabyte.",
    bad="""
        class Player:
            def __init__(self, path):
                self.path = path
                self.frames = {}

            def frame(self, index):
                if index not in self.frames:
                    self.frames[index] = decode(self.path, index)
                return self.frames[index]
        """,
    good="""
        from cachetools import LRUCache

        class Player:
            def __init__(self, path):
                self.path = path
                self.frames = LRUCache(maxsize=64)

            def frame(self, index):
                if index not in self.frames:
                    self.frames[index] = decode(self.path, index)
                return self.frames[index]
        """,
)
def growing_object_cache(source: Source) -> Iterator[tuple[Any, str]]:
    for owner in source.all(cst.ClassDef):
        makers = [m for m in owner.body.body if isinstance(m, cst.FunctionDef) and m.name.value in _MAKERS]
        for target, value in (pair for maker in makers for pair in source.assignments(maker)):
            written = get_full_name_for_node(target) or ""
            if not written.startswith("self.") or not _is_empty_dict(source, value):
                continue
            name = written.removeprefix("self.")
            refs = [n for n in source.below(owner, cst.Attribute) if get_full_name_for_node(n) == written]
            used = [r for r in refs if r is not target]
            if any(_lets_go(source, ref) for ref in used):
                continue
            for store in _remembers(source, used, name):
                words = f"{name} {owner.name.value} {source.function(store).name.value}"
                if _PICTURES.search(words.lower()):
                    yield store, f"{written} gets an entry for every new key and never loses one"
                    break


def _growing(source: Source, owner: Any, spellings: Any) -> Iterator[tuple[Any, str]]:
    """Dictionaries made in the body of `owner` that remember results and never let one go."""
    body = owner.body.body if isinstance(owner, cst.ClassDef) else owner.body
    for line in body:
        if not isinstance(line, cst.SimpleStatementLine):
            continue
        for statement in line.body:
            name = _empty_dict(source, statement)
            if name is None:
                continue
            refs = [n for n in source.all(cst.Name, cst.Attribute) if get_full_name_for_node(n) in spellings(name)]
            refs = [r for r in refs if source.inside(r, owner) or not _of_own_class(r)]
            refs = [r for r in refs if not isinstance(source.parents[r], cst.Attribute) or source.parents[r].value is r]
            if not any(_lets_go(source, ref) for ref in refs):
                for store in _remembers(source, refs, name):
                    yield store, f"{name} gets an entry for every new key and never loses one"
                    break


def _of_own_class(ref: Any) -> bool:
    return (get_full_name_for_node(ref) or "").startswith(("self.", "cls."))


def _empty_dict(source: Source, statement: Any) -> str | None:
    if isinstance(statement, cst.Assign) and len(statement.targets) == 1:
        target = statement.targets[0].target
    elif isinstance(statement, cst.AnnAssign):
        target = statement.target
    else:
        return None
    return target.value if isinstance(target, cst.Name) and _is_empty_dict(source, statement.value) else None


def _is_empty_dict(source: Source, value: Any) -> bool:
    if isinstance(value, cst.Call):
        return source.stands_for(value.func, *_DICTS) and len(value.args) <= 1
    return isinstance(value, cst.Dict) and not value.elements


def _lets_go(source: Source, ref: Any) -> bool:
    """Whether this use can make the dictionary smaller, bound it, or hand it to somebody else."""
    up = source.parents[ref]
    if isinstance(up, cst.Attribute):
        return up.attr.value in _SHRINK
    if isinstance(up, cst.Subscript):
        return isinstance(source.parents[up], cst.Del)
    if isinstance(up, (cst.AssignTarget, cst.AnnAssign)):
        return source.function(ref) is not source.module  # made anew
    # Looked at or given out whole: it still only grows.  Anything else (an argument, len() too) may bound it.
    return not isinstance(up, (cst.ComparisonTarget, cst.Return, cst.NameItem))


def _remembers(source: Source, refs: list[Any], name: str) -> Iterator[Any]:
    """The places where a function stores what it computed under a key that it also looks up."""
    for ref in refs:
        item, function = source.parents[ref], source.function(ref)
        if not isinstance(function, cst.FunctionDef):
            continue
        here = [r for r in refs if source.function(r) is function and r is not ref]
        if isinstance(item, cst.Attribute) and item.attr.value == "setdefault":
            call = source.parents[item]
            if isinstance(source.parents[call], cst.Return) and _computed(source, call.args[-1].value, function):
                yield call
        if not isinstance(item, cst.Subscript) or not isinstance(source.parents[item], cst.AssignTarget):
            continue
        key, value = item.slice[0].slice, source.parents[source.parents[item]].value
        if isinstance(key, cst.Index) and text(key.value) is not None:
            continue
        if _one_of_known(source, item, function, name):
            continue
        if any(_looked_up(source, r) for r in here) and _computed(source, value, function):
            if _returns(source, function, refs, value):
                yield item


def _one_of_known(source: Source, item: cst.Subscript, function: Any, name: str) -> bool:
    """Whether the key is checked against a list of what there is, so that the cache cannot outgrow that list."""
    key = source.code(item.slice[0])
    for test in source.below(function, cst.Comparison):
        compared = test.comparisons[0]
        if isinstance(compared.operator, (cst.In, cst.NotIn)) and source.code(test.left) == key:
            branch = next(source.above(test, cst.If, cst.Assert), None)
            refuses = isinstance(branch, cst.Assert) or (branch is not None and _only_raises(branch.body))
            if refuses and not source.code(compared.comparator).endswith(name):
                return True
    return False


def _looked_up(source: Source, ref: Any) -> bool:
    """Whether this use asks for what is there already; a registry that refuses a second entry does not."""
    up = source.parents[ref]
    branch = next(source.above(ref, cst.If), None)
    if branch is not None and source.inside(ref, branch.test) and _only_raises(branch.body):
        return False
    if isinstance(up, cst.ComparisonTarget):
        return isinstance(up.operator, (cst.In, cst.NotIn))
    if isinstance(up, cst.Attribute):
        return up.attr.value == "get"
    return isinstance(up, cst.Subscript) and not isinstance(source.parents[up], cst.AssignTarget)


def _only_raises(block: Any) -> bool:
    last = block.body[-1]
    return isinstance(last, cst.SimpleStatementLine) and isinstance(last.body[-1], cst.Raise)


def _computed(source: Source, value: Any, function: cst.FunctionDef) -> bool:
    """Whether the stored value is the function's own work; a registry stores what it was given."""
    if not isinstance(value, cst.Name):
        return any(True for _ in source.below(value, cst.Call, cst.Await, cst.BinaryOperation))
    around = [function, *source.above(function, cst.FunctionDef)]
    given = {p.name.value for f in around for p in source.below(f.params, cst.Param)}
    return value.value not in given


def _returns(source: Source, function: Any, refs: list[Any], value: Any) -> bool:
    stored = value.value if isinstance(value, cst.Name) else None
    for returned in source.below(function, cst.Return):
        if returned.value is None:
            continue
        if isinstance(returned.value, cst.Name) and stored == returned.value.value:
            return True
        if any(source.inside(ref, returned) for ref in refs):
            return True
    return False
