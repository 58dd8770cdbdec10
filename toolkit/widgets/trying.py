"""A sweep in a process of its own: `python -m toolkit.widgets.trying WISH` prints rows as JSON as they come.

The kernel stays free and can be interrupted, and no second thread of it runs parallel code.  The process ends with the
kernel, when its standard input closes, and on SIGTERM; rows that were finished are kept in the sweep's folder.
"""

from __future__ import annotations

import json
import math
import os
import signal
import sys
import threading
from dataclasses import asdict
from pathlib import Path
from typing import Any


def told(words: dict[str, Any]) -> None:
    print(json.dumps(words, default=str), flush=True)


def finite(row: dict[str, Any]) -> dict[str, Any]:
    """Numbers that JSON has; missing and infinite ones as None."""
    return {k: None if isinstance(v, float) and not math.isfinite(v) else v for k, v in row.items()}


def packed_space(space: dict[str, Any]) -> dict[str, Any]:
    """The space as plain data.  Raises `RequestError` for values that have no such form."""
    from toolkit.errors import RequestError
    from toolkit.sweep.space import Span, plain

    found: dict[str, Any] = {}
    for key, values in space.items():
        found[key] = asdict(values) if isinstance(values, Span) else [plain(v) for v in values]
        try:
            json.dumps(found[key])
        except TypeError:
            raise RequestError(f"{key} is {values!r}", expected="numbers, words or a Span", files="") from None
    return found


def main(path: str) -> int:
    threading.Thread(target=_end_with_kernel, name="vhs-sweep-watch", daemon=True).start()
    signal.signal(signal.SIGTERM, _interrupt)
    from toolkit.errors import ToolkitError
    from toolkit.pipeline import Pipeline
    from toolkit.progress import JsonSink, Progress
    from toolkit.sweep import Span, sweep

    wish = json.loads(Path(path).read_text(encoding="utf-8"))
    space = {k: Span(**v) if isinstance(v, dict) else v for k, v in wish.pop("space").items()}
    pipeline = Pipeline.from_dict(wish.pop("pipeline"))
    try:
        found = sweep(
            wish.pop("source"), pipeline, space, **wish,
            on_result=lambda row: told({"event": "row", "row": finite(row)}), progress=Progress(JsonSink(sys.stdout)),
        )  # fmt: skip
    except ToolkitError as error:
        told({"event": "error", "error": str(error)})
        return error.exit_code
    except KeyboardInterrupt:
        return 130
    except Exception as error:  # said in the widget, where a traceback would help nobody
        told({"event": "error", "error": f"{type(error).__name__}: {error}"})
        return 1
    told({"event": "done", "folder": str(found.folder), "notes": list(found.notes)})
    return 0


def _end_with_kernel() -> None:
    # Unbuffered: a lock held here would stand in the way of the interpreter's end.
    while os.read(0, 4096):
        pass
    os._exit(3)


def _interrupt(number: int, frame: Any) -> None:
    raise KeyboardInterrupt


if __name__ == "__main__":
    code = main(sys.argv[1])
    sys.stdout.flush()
    os._exit(code)
