"""Compiled bodies on disk go stale when anything they were compiled from changes, not only their own file.

Numba inlines functions, formulas and constants of other modules into a cached body, but looks only at the body's own
file when it decides whether the body on disk is still good; after an upgrade it would run old arithmetic.  Here the
stamp of every function of this package also covers the package's modules that its module imports, directly or not.

Every package of kernels imports this module.  Where one did not, a process that imported that one alone went by Numba's
own stamp, found the bodies of all others stale and compiled them anew, and the next process the other way round.
"""

from __future__ import annotations

import ast
import functools
import hashlib
from pathlib import Path
from typing import Any

from numba.core import caching

PACKAGE = Path(__file__).resolve().parent


def _file(name: str) -> Path | None:
    path = PACKAGE.parent.joinpath(*name.split("."))
    return next((p for p in (path.with_suffix(".py"), path / "__init__.py") if p.is_file()), None)


@functools.cache
def imported(path: Path) -> set[Path]:
    """The files of this package that the module at `path` imports by name."""
    found = set()
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.ImportFrom) and node.module and not node.level:
            names = [node.module, *(f"{node.module}.{alias.name}" for alias in node.names)]
        elif isinstance(node, ast.Import):
            names = [alias.name for alias in node.names]
        else:
            continue
        found |= {_file(name) for name in names if name.partition(".")[0] == PACKAGE.name}
    return found - {None}


def sources(path: Path) -> list[Path]:
    """`path` and all modules of this package it depends on, in a fixed order."""
    known, waiting = set(), {path}
    while waiting:
        known |= waiting
        waiting = set().union(*map(imported, waiting)) - known
    return sorted(known)


@functools.cache
def stamp(path: Path) -> bytes:
    """A hash of the contents of all `sources`."""
    digest = hashlib.sha256()
    for source in sources(path):
        digest.update(source.name.encode() + source.read_bytes())
    return digest.digest()


def _watch() -> None:
    mixin: Any = caching._SourceFileBackedLocatorMixin
    numbas_own = mixin.get_source_stamp

    def get_source_stamp(self: Any) -> Any:
        path = Path(self._py_file).resolve()
        return stamp(path) if path.is_relative_to(PACKAGE) and path.is_file() else numbas_own(self)

    mixin.get_source_stamp = get_source_stamp


_watch()
