"""Adds jobs to the table of jobs: all of them or, when one cannot be, none."""

from __future__ import annotations

import contextlib
import sqlite3
from collections.abc import Iterable
from pathlib import Path
from typing import Any

from toolkit.errors import InputMissing, OutputRefused
from toolkit.jobs import database
from toolkit.jobs.wish import Wish, row_of

Rows = list[tuple[dict[str, Any], tuple[int, ...]]]


def check_wishes(wishes: Iterable[Wish]) -> None:
    """Raises what `Queue.add` would raise for a queue without jobs; makes no file."""
    with contextlib.closing(database.rehearsal()) as db:
        insert(db, rows_of(wishes))


def rows_of(wishes: Iterable[Wish]) -> Rows:
    """The new rows, with the jobs that each waits for.  Raises `RequestError` for what no queue would take."""
    presets: dict[Any, Any] = {}
    rows = [row_of(w, presets) for w in wishes]
    outputs: set[str] = set()
    sources = {row["source"] for row, _ in rows}
    for row, _ in rows:
        if row["output"] in outputs:
            raise OutputRefused(f"two of the jobs would write {row['output']}", files="no job was added")
        if row["output"] in sources:
            raise OutputRefused(
                f"{row['output']} is the input of a job that is added with it", files="no job was added"
            )
        outputs.add(row["output"])
    return rows


def insert(db: sqlite3.Connection, rows: Rows) -> list[int]:
    """Puts the rows behind those in the table; their numbers.  Raises `RequestError` for what stands against it there.

    Wants a transaction that is undone by an exception.
    """
    ids: list[int] = []
    place = db.execute("SELECT coalesce(max(place), 0) FROM jobs").fetchone()[0]
    active = "SELECT id FROM jobs WHERE state IN ('pending', 'running', 'paused')"
    for n, (row, after) in enumerate(rows):
        other = db.execute(f"{active} AND output = ?", (row["output"],)).fetchone()
        if other:
            raise OutputRefused(
                f"job {other[0]} writes {row['output']} already", files="no job was added",
                hint="another output, or cancel that job",
            )  # fmt: skip
        needed = [database.existing(db, number) for number in after]
        if not Path(row["source"]).is_file() and row["source"] not in {j["output"] for j in needed}:
            raise InputMissing(
                f"there is no file {row['source']}", expected="the path of a video file",
                files="no job was added",
                hint="check the spelling, or name the job that makes it (--after)",
            )  # fmt: skip
        reader = db.execute(f"{active} AND source = ?", (row["output"],)).fetchone()
        if reader:
            raise OutputRefused(f"{row['output']} is the input of job {reader[0]}", files="no job was added")
        row = {**row, "place": place + 1 + n}
        names = ", ".join(row)
        marks = ", ".join(f":{name}" for name in row)
        ids.append(db.execute(f"INSERT INTO jobs ({names}) VALUES ({marks})", row).lastrowid)
        db.executemany("INSERT OR IGNORE INTO needs VALUES (?, ?)", [(ids[-1], j["id"]) for j in needed])
    return ids
