"""Which settings are best for a tape: many of them tried on samples of it, with numbers.

found = sweep("tape.avi", pipeline, {"denoise.strength": [2, 4, 8]}, truth="clean.mkv")
found.table                           # a row for each setting
found.pareto()                        # quality against time
found.to_preset("my_tape")            # the winner, ready for `restore`
write_report(found, "report.html")    # all of it on one page
write_video(found, "best.mp4")        # tape, best settings and truth side by side, in motion
write_notebook(found, "report.ipynb") # and as an executed notebook
"""

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from toolkit.sweep.notebook import write_notebook
    from toolkit.sweep.pictures import sheet_of, write_video
    from toolkit.sweep.report import write_report
    from toolkit.sweep.run import open_sweep, sweep
    from toolkit.sweep.space import Span, Trial, trials
    from toolkit.sweep.table import Sweep
    from toolkit.sweep.trial import local_executor

_WHERE = {
    "Span": "space",
    "Sweep": "table",
    "Trial": "space",
    "local_executor": "trial",
    "open_sweep": "run",
    "sheet_of": "pictures",
    "sweep": "run",
    "trials": "space",
    "write_notebook": "notebook",
    "write_report": "report",
    "write_video": "pictures",
}
__all__ = [
    "Span", "Sweep", "Trial", "local_executor", "open_sweep", "sheet_of", "sweep", "trials", "write_notebook",
    "write_report", "write_video",
]  # fmt: skip


def __getattr__(name: str) -> Any:
    if name not in _WHERE:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    value = getattr(import_module(f"{__name__}.{_WHERE[name]}"), name)
    globals()[name] = value
    return value
