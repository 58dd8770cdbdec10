"""The queue's SQLite file: opened, created, checked, and brought back from its copy when it is damaged.

Write-ahead logging lets any number of readers work beside a writer, and neither waits for the other.  Numbers of jobs
by state are kept by triggers in the transaction that changes a state, so they always add up and cost nothing to read.
"""

from __future__ import annotations

import contextlib
import os
import sqlite3
import warnings
from collections.abc import Iterator
from pathlib import Path

from toolkit.errors import QueueFailed, ToolkitWarning, UnknownJob

PATIENCE = 30.0  # seconds to wait for another writer
_SQLITE = b"SQLite format 3\0"  # how its files begin
_DAMAGED = ("malformed", "not a database", "file is encrypted", "disk image")

_SCHEMA = """
CREATE TABLE jobs (
    id INTEGER PRIMARY KEY AUTOINCREMENT,
    state TEXT NOT NULL DEFAULT 'pending'
        CHECK (state IN ('pending', 'running', 'paused', 'done', 'failed', 'cancelled')),
    priority INTEGER NOT NULL DEFAULT 0 CHECK (priority >= 0),
    place INTEGER NOT NULL,
    source TEXT NOT NULL,
    output TEXT NOT NULL,
    settings TEXT NOT NULL,
    added REAL NOT NULL,
    started REAL,
    ended REAL,
    tries INTEGER NOT NULL DEFAULT 0,
    limit_of_tries INTEGER NOT NULL DEFAULT 3,
    reason TEXT NOT NULL DEFAULT '',
    wish TEXT CHECK (wish IN ('cancel', 'pause')),
    worker TEXT,
    claim TEXT,
    beat REAL,
    progress TEXT,
    report TEXT
);
CREATE UNIQUE INDEX one_job_for_an_output ON jobs (output) WHERE state IN ('pending', 'running', 'paused');
CREATE INDEX readers ON jobs (source) WHERE state IN ('pending', 'running', 'paused');
CREATE INDEX next_ones ON jobs (state, priority DESC, place);
CREATE TABLE needs (
    job INTEGER NOT NULL REFERENCES jobs (id) ON DELETE CASCADE,
    needed INTEGER NOT NULL REFERENCES jobs (id) ON DELETE CASCADE,
    PRIMARY KEY (job, needed)
) WITHOUT ROWID;
CREATE TABLE counts (state TEXT PRIMARY KEY, jobs INTEGER NOT NULL) WITHOUT ROWID;
INSERT INTO counts VALUES ('pending', 0), ('running', 0), ('paused', 0), ('done', 0), ('failed', 0), ('cancelled', 0);
CREATE TRIGGER job_added AFTER INSERT ON jobs BEGIN
    UPDATE counts SET jobs = jobs + 1 WHERE state = NEW.state;
END;
CREATE TRIGGER job_removed AFTER DELETE ON jobs BEGIN
    UPDATE counts SET jobs = jobs - 1 WHERE state = OLD.state;
END;
CREATE TRIGGER job_moved AFTER UPDATE OF state ON jobs WHEN NEW.state <> OLD.state BEGIN
    UPDATE counts SET jobs = jobs - 1 WHERE state = OLD.state;
    UPDATE counts SET jobs = jobs + 1 WHERE state = NEW.state;
END;
PRAGMA user_version = 1;
"""


def connect(path: Path, check: bool = False) -> sqlite3.Connection:
    """An open connection for one thread; the file is made when it is not there.

    With `check` the file is examined first, and a damaged one put aside and replaced by its copy, with a
    `ToolkitWarning`.  Raises `QueueFailed`, also for a file that is none of ours, which is left as it is.
    """
    with failures(path):
        try:
            path.parent.mkdir(parents=True, exist_ok=True)
        except OSError as error:
            raise QueueFailed(f"the folder {path.parent} for the queue cannot be made ({error.strerror})") from None
        try:
            return _open(path, check)
        except sqlite3.DatabaseError as error:
            if not any(word in str(error) for word in _DAMAGED):
                raise
            if not copy_of(path).exists() and not _is_sqlite(path):
                raise _no_queue(path, "it is no SQLite file") from None
            _bring_back(path, str(error))
            return _open(path, True)


def _is_sqlite(path: Path) -> bool:
    with path.open("rb") as file:
        return file.read(len(_SQLITE)) == _SQLITE


def _no_queue(path: Path, why: str) -> QueueFailed:
    return QueueFailed(
        f"{path} is not a queue ({why})",
        expected="a file that `queue add` has made, or a new name",
        files="it was not touched",
        hint="another name (--queue)",
    )


def _open(path: Path, check: bool) -> sqlite3.Connection:
    db = sqlite3.connect(path, timeout=PATIENCE, isolation_level=None)  # transactions are begun by hand
    try:
        db.row_factory = sqlite3.Row
        db.execute("PRAGMA foreign_keys = ON")
        version = db.execute("PRAGMA user_version").fetchone()[0]
        tables = {row[0] for row in db.execute("SELECT name FROM sqlite_master WHERE type = 'table'")}
        if tables and "jobs" not in tables:
            raise _no_queue(path, "it holds the data of another program")
        if version == 0:
            db.execute("PRAGMA journal_mode = WAL")
            _make(db)
        elif check:
            found = db.execute("PRAGMA quick_check(1)").fetchone()[0]
            if found != "ok":
                raise sqlite3.DatabaseError(f"database disk image is malformed: {' '.join(found.split())}")
    except BaseException:
        db.close()
        raise
    return db


def rehearsal() -> sqlite3.Connection:
    """An empty queue in memory, to try on what would be refused by one that is yet to be made."""
    db = sqlite3.connect(":memory:", isolation_level=None)
    db.row_factory = sqlite3.Row
    _make(db)
    return db


def _make(db: sqlite3.Connection) -> None:
    with transaction(db):
        if db.execute("PRAGMA user_version").fetchone()[0] == 0:  # another may have been quicker
            for statement in _statements():
                db.execute(statement)


def _statements() -> Iterator[str]:
    text = ""
    for part in _SCHEMA.split(";"):
        text += part + ";"
        if sqlite3.complete_statement(text) and text.strip(" ;\n"):
            yield text
            text = ""


def existing(db: sqlite3.Connection, number: int) -> sqlite3.Row:
    row = db.execute("SELECT * FROM jobs WHERE id = ?", (number,)).fetchone()
    if row is None:
        raise UnknownJob(
            f"there is no job {number}", files="no job was changed", hint="vhs-toolkit queue status lists them"
        )
    return row


def copy_of(path: Path) -> Path:
    return path.with_name(path.name + ".copy")


def keep_copy(db: sqlite3.Connection, path: Path) -> None:
    """Keeps an intact copy of the queue beside it."""
    new = path.with_name(f"{path.name}.copy.{os.getpid()}.new")
    with failures(path):
        try:
            target = sqlite3.connect(new)
            try:
                db.backup(target)
                target.execute("PRAGMA journal_mode = DELETE")
            finally:
                target.close()
            os.replace(new, copy_of(path))
        except OSError as error:
            raise QueueFailed(f"the queue's copy {copy_of(path)} cannot be written ({error.strerror})") from None
        finally:
            new.unlink(missing_ok=True)


def _bring_back(path: Path, why: str) -> None:
    number = 1
    while (aside := path.with_name(f"{path.name}.damaged-{number}")).exists():
        number += 1
    os.replace(path, aside)
    for ending in ("-wal", "-shm"):
        path.with_name(path.name + ending).unlink(missing_ok=True)
    copy = copy_of(path)
    if copy.exists():
        path.write_bytes(copy.read_bytes())
        told = f"the last intact copy was taken in its place ({copy.name})"
    else:
        told = "there was no copy of it, so an empty queue was begun"
    warnings.warn(
        f"the queue {path} was damaged ({why}); {told}; the damaged file is {aside.name}", ToolkitWarning, stacklevel=3
    )


@contextlib.contextmanager
def transaction(db: sqlite3.Connection) -> Iterator[sqlite3.Connection]:
    """One write transaction: all of it or nothing."""
    db.execute("BEGIN IMMEDIATE")
    try:
        yield db
    except BaseException:
        if db.in_transaction:
            db.execute("ROLLBACK")
        raise
    db.execute("COMMIT")


@contextlib.contextmanager
def failures(path: Path) -> Iterator[None]:
    """Turns SQLite's errors into `QueueFailed`."""
    try:
        yield
    except sqlite3.OperationalError as error:
        if "locked" in str(error) or "busy" in str(error):
            raise QueueFailed(
                f"the queue {path} was held by another program for more than {PATIENCE:g} s", hint="try again"
            ) from None
        raise QueueFailed(f"the queue {path} cannot be used ({error})", hint="another place for it (--queue)") from None
    except sqlite3.DatabaseError as error:
        raise QueueFailed(
            f"the queue {path} is damaged ({error})", hint="vhs-toolkit queue run brings its copy back"
        ) from None
