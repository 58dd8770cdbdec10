"""What every committed notebook keeps to: short, whole, and with something to see before a kernel runs."""

from __future__ import annotations

import re
from pathlib import Path

import nbformat
import pytest

BOOKS = sorted((Path(__file__).parents[1] / "notebooks").glob("*.ipynb"))
VIEW = "application/vnd.jupyter.widget-view+json"


@pytest.fixture(params=BOOKS, ids=[b.stem for b in BOOKS])
def book(request):
    return request.param, nbformat.read(request.param, 4)


def code(read):
    return [c for c in read.cells if c.cell_type == "code"]


def test_a_notebook_is_short(book):
    path, read = book
    nbformat.validate(read)
    assert len(code(read)) <= 12
    assert max(sum(bool(line.strip()) for line in c.source.splitlines()) for c in code(read)) <= 8
    assert sum("parameters" in c.metadata.get("tags", []) for c in code(read)) == 1
    assert path.stat().st_size < 700 << 10


def test_every_cell_was_run_in_order_without_a_complaint(book):
    _, read = book
    assert [c.execution_count for c in code(read)] == [n + 1 for n in range(len(code(read)))]
    for cell in code(read):
        for out in cell.outputs:
            assert out.output_type != "error" and out.get("name") != "stderr", out


def test_a_widget_leaves_something_to_see_where_no_kernel_runs(book):
    """JupyterLab shows no kept widget of a notebook that it does not trust, such as one just cloned."""
    _, read = book
    assert "widgets" not in read.metadata
    for cell in code(read):
        shown = [out.data for out in cell.outputs if "data" in out]
        if any(VIEW in data for data in shown):
            still = any(VIEW not in data and {"image/jpeg", "image/png", "text/html"} & set(data) for data in shown)
            assert still or all("run the cell" in data["text/plain"] for data in shown)


def test_no_output_tells_of_the_machine_it_ran_on(book):
    _, read = book
    for cell in code(read):
        for out in cell.outputs:
            texts = [out.get("text", ""), *(v for k, v in out.get("data", {}).items() if k.startswith("text/"))]
            assert not [found for text in texts for found in re.findall(r"(?<![\w.<>/])/\w+/\S*", text)]
