"""Rows of finished trials on disk: Parquet files in one folder, safe for many writers and for a process that dies.

Every writer has a file of its own, which it replaces whole after each row; readers take all files together.  So no
writer waits for another, none can lose another's rows, and what is there is always readable.
"""

from __future__ import annotations

import json
import os
import secrets
import threading
import warnings
from pathlib import Path
from typing import TYPE_CHECKING, Any

from toolkit.errors import InputMissing, InputUnreadable, OutputRefused, ToolkitWarning

if TYPE_CHECKING:
    import pandas as pd

PATTERN = "trials-*.parquet"


class Store:
    """The folder of a sweep.  `add` is durable when it returns; `rows` sees all that any process has added."""

    def __init__(self, folder: str | Path) -> None:
        self.folder = Path(folder)
        self._own: list[dict[str, Any]] = []
        self._file = self.folder / f"trials-{secrets.token_hex(6)}.parquet"
        self._lock = threading.Lock()
        try:
            self.folder.mkdir(parents=True, exist_ok=True)
        except OSError as error:
            raise OutputRefused(
                f"the folder {self.folder} cannot be made ({error.strerror})", expected="a folder that can be written"
            ) from None

    def describe(self, about: dict[str, Any]) -> None:
        """Writes `run.json`: what all rows have in common.  Raises `OutputRefused` when the folder holds rows of other
        frames or other measures (`about["common"]` tells)."""
        known = self.folder / "run.json"
        if known.exists() and read_about(self.folder).get("common") != about["common"]:
            raise OutputRefused(
                f"{self.folder} holds a sweep of other frames, other measures or another version",
                expected="a folder of its own for each",
            )
        self._replace(self.folder / "run.json", (json.dumps(about, indent=1, default=str) + "\n").encode())

    def add(self, row: dict[str, Any]) -> None:
        import pyarrow as pa
        import pyarrow.parquet as pq

        with self._lock:
            self._own.append(row)
            names = dict.fromkeys(name for r in self._own for name in r)
            table = pa.table({n: [r.get(n) for r in self._own] for n in names})
            sink = pa.BufferOutputStream()
            pq.write_table(table, sink)
            self._replace(self._file, sink.getvalue().to_pybytes())

    def rows(self) -> pd.DataFrame:
        """All rows, one for each key; the first file's where several have computed the same."""
        return read_rows(self.folder)

    def _replace(self, path: Path, data: bytes) -> None:
        part = path.with_name(f"{path.name}.{secrets.token_hex(4)}.part")
        try:
            with open(part, "wb") as file:
                file.write(data)
                file.flush()
                os.fsync(file.fileno())
            os.replace(part, path)
        except BaseException as error:
            part.unlink(missing_ok=True)  # also when a sweep is stopped just now
            if not isinstance(error, OSError):
                raise
            raise OutputRefused(
                f"{path} cannot be written ({error.strerror})",
                files="rows written before are kept",
                hint="another folder or more room on the disk, then the same sweep again",
            ) from None


def read_rows(folder: Path) -> pd.DataFrame:
    """The rows of a sweep's folder, by key; empty when there are none.

    A file that cannot be read is left out, with a `ToolkitWarning`.
    """
    import pandas as pd

    parts = [_rows_of(path) for path in sorted(folder.glob(PATTERN))]
    parts = [p for p in parts if p is not None and len(p)]
    if not parts:
        return pd.DataFrame({"key": pd.Series(dtype=str)})
    return pd.concat(parts, ignore_index=True).drop_duplicates("key", ignore_index=True)


def _rows_of(path: Path) -> pd.DataFrame | None:
    import pyarrow.parquet as pq

    try:
        return pq.read_table(path).to_pandas()
    except (ValueError, OSError) as error:  # Arrow's errors are one of the two
        why = str(error).partition("\n")[0].rstrip(".")
        warnings.warn(
            f"{path} cannot be read ({why}): its rows are left out and the file was not touched; delete it, and the "
            "same sweep works them out again",
            ToolkitWarning, stacklevel=4,
        )  # fmt: skip
        return None


def read_about(folder: Path) -> dict[str, Any]:
    """What `run.json` says.  Raises `InputMissing` when there is none, `InputUnreadable` when it is damaged."""
    path = Path(folder) / "run.json"
    if not path.exists():
        raise InputMissing(f"{folder} holds no sweep (no run.json)", expected="a folder that `sweep` has written")
    try:
        return dict(json.loads(path.read_text(encoding="utf-8")))
    except (ValueError, TypeError):
        raise InputUnreadable(
            f"{path} is damaged: it is no JSON object", files="the folder was not touched",
            hint=f"delete {path.name} alone and run the same sweep again; its rows are kept beside it",
        ) from None  # fmt: skip
