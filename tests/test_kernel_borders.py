"""Bodies on flat arrays and positions check nothing: they fill their result, touch nothing around it, at any size."""

from __future__ import annotations

import numba
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from kernels.declare import all_kernels

NAMES = ("levels", "mse", "psnr", "ssim", "temporal", "yadif", "bwdif", "w3fdif")
KNOBS = {"levels": {"gamma": 2.0}, "ssim": {"weights": "uniform"}, "temporal": {"gate": 40.0, "radius": 3}}
AROUND, MARK = 4096, 55


@pytest.fixture
def threads():
    """Puts back how many there are."""
    before = numba.get_num_threads()
    yield range(1, numba.config.NUMBA_NUM_THREADS + 1)
    numba.set_num_threads(before)


@pytest.mark.parametrize("name", NAMES)
def test_a_body_fills_its_result_and_nothing_else_with_any_number_of_threads(name, threads):
    kernel = all_kernels()[name]
    knobs = kernel.settings(KNOBS.get(name, {}))

    @settings(max_examples=25, deadline=None)
    @given(
        frames=st.integers(1, 9),
        height=st.integers(kernel.smallest[0], 60),
        width=st.integers(kernel.smallest[1], 140),
        first=st.integers(0, 8),
        extreme=st.booleans(),
        seed=st.integers(0, 99),
    )
    def check(frames, height, width, first, extreme, seed):
        shape, random = (frames, height, width), np.random.default_rng(seed)
        values = [random.integers(0, 2, shape) * 255 if extreme else random.integers(0, 256, shape) for _ in "ab"]
        arrays = [v.astype(np.uint8) for v in values[: len(kernel.arrays)]]
        window = min(first, frames - 1), frames
        exact = kernel(*arrays, window=window, **KNOBS.get(name, {}))
        for count in threads:
            numba.set_num_threads(count)
            room = np.full(exact.size + 2 * AROUND, MARK, exact.dtype)
            out = room[AROUND:-AROUND].reshape(exact.shape)
            told = {**knobs, "bits": 8} if "bits" in knobs else knobs
            kernel.cpu_body(*arrays, out, window[0], *told.values())
            assert (room[:AROUND] == MARK).all() and (room[-AROUND:] == MARK).all()
            np.testing.assert_allclose(out, exact, rtol=1e-12 if exact.dtype.kind == "f" else 0)

    check()
