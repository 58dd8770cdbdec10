"""A sweep as a notebook: the template beside this module, its parameters set, executed by papermill."""

from __future__ import annotations

import importlib.util
import os
import secrets
import shutil
import sys
from pathlib import Path

from toolkit import process, scratch
from toolkit.errors import NOTHING_WRITTEN, OutputRefused, RequestError
from toolkit.sweep.pictures import check_top
from toolkit.sweep.run import open_sweep
from toolkit.sweep.table import Sweep

TEMPLATE = Path(__file__).with_name("report.ipynb")
#: Seconds that the notebook may take.
PATIENCE = 1800.0


def write_notebook(
    found: Sweep | str | Path,
    path: str | Path,
    *,
    metric: str | None = None,
    top: int = 3,
    template: str | Path = TEMPLATE,
    overwrite: bool = False,
) -> Path:
    """Writes a sweep (or the folder of one) as an executed notebook, to go on working with, and returns its path.

    metric   : what "best" means; the usual measure when left out.
    top      : how many of the best settings are shown as pictures, beside the tape and, where there is one, the truth.
    template : a notebook with a cell tagged `parameters` that sets `folder`, `metric` and `top`.

    Pictures are made anew from the tape; where it cannot be found the notebook says so.  Raises `InputMissing` for a
    folder without a sweep, `OutputRefused` when `path` exists or cannot be written, `RequestError` without papermill,
    `ProgramFailed` when a cell of the template fails; then nothing is written.
    """
    import yaml

    path = Path(path)
    check_top(top)
    if path.suffix != ".ipynb":
        raise RequestError(f"the notebook is to be {path.name}", expected="a name that ends in .ipynb")
    if path.exists() and not overwrite:
        raise OutputRefused(f"{path} exists", expected="a new name", hint="overwrite")
    if importlib.util.find_spec("papermill") is None:
        raise RequestError(
            "a notebook needs the package papermill, which is not installed", hint="pip install vhs-toolkit[report]"
        )
    found = found if isinstance(found, Sweep) else open_sweep(found)
    wanted = {"folder": str(found.folder.resolve()), "metric": found.metric(metric), "top": top}
    with scratch.folder() as here:
        (here / "wanted.yaml").write_text(yaml.safe_dump(wanted), encoding="utf-8")
        words = ["--parameters_file", here / "wanted.yaml", "--no-progress-bar", "--kernel", "python3"]
        # A program of its own: a kernel that hangs or is interrupted goes with it.
        process.run(
            [sys.executable, "-m", "papermill", template, here / "done.ipynb", *words],
            timeout=PATIENCE,
            files=NOTHING_WRITTEN,
        )
        part = path.with_name(f"{path.name}.{secrets.token_hex(4)}.part")
        try:
            shutil.copyfile(here / "done.ipynb", part)
            os.replace(part, path)
        except OSError as error:
            part.unlink(missing_ok=True)
            raise OutputRefused(f"{path} cannot be written ({error.strerror})") from None
    return path
