"""Columns of numbers: one number of decimals for each, and nothing is hidden by it."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from toolkit.decimals import decimals, shown
from toolkit.widgets.still import table


@pytest.mark.parametrize(
    "values, texts",
    [
        ([33.0, 34.97, 35.8], ["33.00", "34.97", "35.80"]),
        ([4.0, 40.0], ["4", "40"]),
        ([650.23, 2128.4], ["650", "2128"]),
        ([0.001, 0.5, 100.0], ["0.001", "0.500", "100.000"]),
        ([0.87634, 0.5, None], ["0.8763", "0.5000", ""]),
        ([3.2, 1e-17], ["3.2", "0.0"]),
        ([9.9999, 1.0], ["10.000", "1.000"]),
        ([-1e-9, 12.25], ["0.00", "12.25"]),
        ([1, 12, 123456], ["1", "12", "123456"]),
        (["bob", True, float("nan"), 0.25], ["bob", "True", "nan", "0.25"]),
        ([], []),
    ],
)
def test_a_column_has_one_number_of_decimals(values, texts):
    assert [shown(v, decimals(values)) for v in values] == texts


@given(st.lists(st.floats(0.01, 9000.0), min_size=1, max_size=6))
def test_no_number_loses_its_first_digits(values):
    places = decimals(values)
    texts = [shown(v, places) for v in values]
    assert len({len(t.partition(".")[2]) for t in texts}) == 1
    assert all(abs(float(t) - v) <= 0.051 * v for t, v in zip(texts, values, strict=True))
    assert abs(float(shown(max(values), places)) - max(values)) <= 0.00051 * max(values)


def test_a_table_that_stays_aligns_its_columns():
    text = table("words", [{"name": "<a>", "score": 33.0}, {"name": "b", "score": 34.97}])
    assert "<td>&lt;a&gt;</td><td>33.00</td>" in text and "<td>b</td><td>34.97</td>" in text
