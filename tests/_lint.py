"""Helpers for the tests of lint and patch: the corpus, a git project of one's own, the command line."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).parent.parent
CORPUS = ROOT / "tests" / "profiling" / "corpus"


def profile(*words: str | Path, cwd: Path) -> subprocess.CompletedProcess:
    """`vhs-toolkit profile ...` as a process of its own."""
    command = [sys.executable, "-m", "toolkit.cli", "profile", *map(str, words)]
    env = {**os.environ, "PYTHONPATH": str(ROOT)}
    return subprocess.run(command, cwd=cwd, capture_output=True, text=True, timeout=120, env=env)


def project(folder: Path, files: dict[str, str]) -> Path:
    """A git repository with these files, committed."""
    for name, text in files.items():
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)
    git(folder, "init", "--quiet")
    commit(folder)
    return folder


def commit(folder: Path) -> None:
    git(folder, "add", "--all")
    git(
        folder,
        "-c",
        "user.name=test",
        "-c",
        "user.email=test@localhost",
        "commit",
        "--quiet",
        "--allow-empty",
        "-m",
        "all",
    )


def git(folder: Path, *words: str) -> None:
    subprocess.run(["git", *words], cwd=folder, check=True, timeout=60, capture_output=True)
