"""Rows of numbers into a file while they come: JSON lines or Parquet."""

from __future__ import annotations

import json
import os
import typing
from dataclasses import asdict, fields
from pathlib import Path
from typing import Any

from toolkit.errors import OutputRefused, RequestError

BATCH = 600  # rows that are held for Parquet


class Records:
    """A file of rows, all of one dataclass.  Under its name once it is whole: at the end, also after an error.

    Raises `RequestError` for another ending than .jsonl and .parquet, `OutputRefused` when it cannot be written.
    """

    def __init__(self, path: Path, kind: type) -> None:
        if path.suffix not in (".jsonl", ".parquet"):
            raise RequestError(f"{path.name} has the ending {path.suffix!r}", expected=".jsonl or .parquet", files="")
        self.path, self._part = path, path.with_name(f".{path.name}.{os.getpid()}.part")
        self._rows: list[dict[str, Any]] = []
        self._kind = kind
        self._writer: Any = None
        try:
            self._file = self._part.open("wb")
        except OSError as error:
            raise OutputRefused(f"{path} could not be written ({error.strerror})") from None

    def add(self, row: Any) -> None:
        if self.path.suffix == ".jsonl":
            self._file.write(json.dumps(asdict(row)).encode() + b"\n")
        else:
            self._rows.append(asdict(row))
            if len(self._rows) >= BATCH:
                self._flush()

    def _flush(self) -> None:
        import pyarrow as pa
        import pyarrow.parquet as pq

        kinds = {int: pa.int64(), float: pa.float64(), str: pa.string()}
        hints = typing.get_type_hints(self._kind)
        named = [(f.name, typing.get_args(hints[f.name]) or (hints[f.name],)) for f in fields(self._kind)]
        schema = pa.schema([(name, kinds[kind[0]]) for name, kind in named])
        if self._writer is None:
            self._writer = pq.ParquetWriter(self._file, schema)
        self._writer.write_table(pa.Table.from_pylist(self._rows, schema=schema))
        self._rows = []

    def __enter__(self) -> Records:
        return self

    def __exit__(self, *_: object) -> None:
        try:
            if self.path.suffix == ".parquet":
                self._flush()
                self._writer.close()
            self._file.close()
            os.replace(self._part, self.path)
        except OSError as error:
            raise OutputRefused(f"{self.path} could not be written ({error.strerror})") from None
        finally:
            self._file.close()
            self._part.unlink(missing_ok=True)
