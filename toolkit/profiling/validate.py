"""Runs the tests that belong to a patch, on a copy of the project: nothing of the user's is touched.

A test file belongs to a changed module when it imports it; when none does, when it imports the module's package.
"""

from __future__ import annotations

import ast
import importlib.util
import os
import shutil
import sys
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from toolkit import process, scratch
from toolkit.errors import RequestError, WorkError
from toolkit.profiling.lint.check import UNCHANGED
from toolkit.profiling.patch import Change

_MARKS = (".git", "pyproject.toml", "setup.py", "setup.cfg")
_LEFT_OUT = {"__pycache__", "node_modules", "site-packages", "build", "dist"}
_RUN_TESTS = """
import os, sys
top = sys.argv[1]
os.chdir(top)
paths = [top, os.path.join(top, "src")]
sys.path[:0] = paths
os.environ["PYTHONPATH"] = os.pathsep.join([*paths, os.environ.get("PYTHONPATH", "")]).rstrip(os.pathsep)
import pytest
sys.exit(pytest.main(["-q", "-x", "-p", "no:cacheprovider", *sys.argv[2:]]))
"""


class ValidationFailed(WorkError):
    """The tests that belong to a patch fail with it, or there are none."""


@dataclass(frozen=True)
class Validation:
    """The tests that were run with the patch in place and passed, relative to `root`."""

    root: Path
    tests: tuple[str, ...]
    said: str

    def __str__(self) -> str:
        return f"{self.root}: {', '.join(self.tests)}: {self.said}"


def validate(changes: Sequence[Change], *, timeout: float = 600) -> list[Validation]:
    """Applies `changes` to a copy of each project they lie in and runs the tests that belong to them.

    timeout : most seconds for the tests of one project.
    Raises `ValidationFailed` when no test belongs to the changed files, or one fails (it says whether it also fails
    without the patch), and `RequestError` when pytest is not installed.
    """
    if importlib.util.find_spec("pytest") is None:
        raise RequestError("pytest is not installed here", files=UNCHANGED, hint="pip install pytest")
    projects: dict[Path, list[Change]] = {}
    for change in changes:
        projects.setdefault(project_of(change.path), []).append(change)
    return [_one(root, part, timeout) for root, part in projects.items()]


def project_of(path: Path) -> Path:
    """The nearest folder above `path` that looks like the top of a project, else the file's own folder."""
    here = path.resolve().parent
    return next((p for p in (here, *here.parents) if any((p / mark).exists() for mark in _MARKS)), here)


def _one(root: Path, changes: Sequence[Change], timeout: float) -> Validation:
    with scratch.folder() as here:
        copy = here / "copy"
        for relative in _files(root):
            target = copy / relative
            target.parent.mkdir(parents=True, exist_ok=True)
            shutil.copy2(root / relative, target)
        changed = [change.path.resolve().relative_to(root) for change in changes]
        tests = find_tests(copy, changed)
        if not tests:
            raise ValidationFailed(
                f"no test under {root} imports {', '.join(map(str, changed))}",
                expected="at least one test for each patch",
                files=UNCHANGED,
            )
        new = [(path, c.after.encode(c.encoding)) for path, c in zip(changed, changes, strict=True)]
        code, said = _with_texts(copy, new, tests, timeout)
        if code != 0:
            old = [(path, c.before.encode(c.encoding)) for path, c in zip(changed, changes, strict=True)]
            before, _ = _with_texts(copy, old, tests, timeout)
            also = "they pass without it" if before == 0 else "they fail without it too"
            raise ValidationFailed(
                f"with the patch the tests {', '.join(tests)} fail, {also} ({said})",
                files=UNCHANGED,
            )
        return Validation(root, tuple(tests), said)


def _with_texts(copy: Path, texts: list[tuple[Path, bytes]], tests: list[str], timeout: float) -> tuple[int, str]:
    for path, text in texts:
        (copy / path).write_bytes(text)
    words = [sys.executable, "-c", _RUN_TESTS, copy, *tests]
    done = process.run(words, timeout=timeout, check=False, files=UNCHANGED)
    lines = [line for line in done.stdout.decode(errors="replace").splitlines() if line.strip()]
    failed = [line for line in lines if line.startswith(("FAILED", "ERROR"))]
    return done.returncode, "; ".join([*failed[:3], *lines[-1:]]) or f"pytest ended with {done.returncode}"


def _files(root: Path) -> Iterator[Path]:
    """The project's files: what git knows or would add, else all but hidden folders, environments and caches."""
    if (root / ".git").exists():
        listed = process.run(
            ["git", "-C", root, "ls-files", "-z", "--cached", "--others", "--exclude-standard"],
            timeout=60,
            files=UNCHANGED,
        )
        names = {Path(os.fsdecode(name)) for name in listed.stdout.split(b"\0") if name}
        yield from sorted(name for name in names if (root / name).is_file())
        return
    for here, folders, names in os.walk(root):
        folders[:] = [
            f
            for f in folders
            if f not in _LEFT_OUT and not f.startswith(".") and not Path(here, f, "pyvenv.cfg").exists()
        ]
        yield from (Path(here, name).relative_to(root) for name in names if Path(here, name).is_file())


def find_tests(root: Path, changed: Sequence[Path]) -> list[str]:
    """The test files under `root` that belong to the changed files, relative to it."""
    found: dict[str, None] = {}
    tests = sorted({*root.rglob("test_*.py"), *root.rglob("*_test.py")})
    imports = {test: _imports(test, root) for test in tests}
    for path in changed:
        if root / path in imports:
            found[str(path)] = None
            continue
        module = _module(root / path, root)
        package = module.rpartition(".")[0]
        near = [t for t in tests if module in imports[t]]
        near = near or [t for t in tests if package and package in imports[t]]
        found.update(dict.fromkeys(str(t.relative_to(root)) for t in near))
    return list(found)


def _module(path: Path, root: Path) -> str:
    """The dotted name under which tests import the file: from the top of its package."""
    names = [] if path.stem == "__init__" else [path.stem]
    here = path.parent
    while here != root and ((here / "__init__.py").exists() or here.parent == root) and here.name != "src":
        names.insert(0, here.name)
        here = here.parent
    return ".".join(names)


def _imports(path: Path, root: Path) -> set[str]:
    """Dotted names of the modules a file imports anywhere; `from a import b` counts as `a` and `a.b`."""
    try:
        tree = ast.parse(path.read_bytes())
    except (SyntaxError, ValueError):
        return set()
    found: set[str] = set()
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            for alias in node.names:
                found.add(alias.name)
        elif isinstance(node, ast.ImportFrom):
            base = node.module or ""
            if node.level:
                parent = path.relative_to(root).parents[node.level - 1].parts
                base = ".".join([*parent, *([base] if base else [])])
            found.add(base)
            found.update(f"{base}.{alias.name}" for alias in node.names)
    return found
