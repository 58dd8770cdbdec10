"""Every kernel x body x dtype x odd shape is held to its definition.

Bodies: "cpu" is Numba; "cuda" is the `.cu` file, run on the GPU with `--device cuda`, else on the CPU through
tests/cuda_host.  A kernel that is added to the package is tested here without a line of test code.
"""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from kernels import all_kernels
from tests import cuda_host
from tests._gpu import require_gpu

KERNELS = all_kernels()
#: Luma is generated smooth plus noise, so that clamps, thresholds and edge searches all see both sides.
SHAPES = [(3, 16, 20), (1, 9, 7), (2, 6, 1), (4, 5, 33), (1, 1, 1), (2, 2, 2), (3, 70, 150)]


#: Kernels that do nothing on shorter clips, nor where nothing comes and goes with every frame (or every second one).
FLICKER = {"frame_comb": 9}


def sample(rng: np.random.Generator, shape: tuple[int, ...], dtype: str, bits: int = 8) -> np.ndarray:
    """Frames with a moving gradient, an edge, noise and extreme values."""
    grid = np.meshgrid(*(np.arange(n) for n in shape), indexing="ij")
    smooth = 0.5 + 0.4 * np.sin(sum((k + 1) * 0.37 * g for k, g in enumerate(grid)))
    wave = smooth + rng.choice([0, 0.01, 0.2], size=shape) * rng.standard_normal(shape)
    wave[rng.random(shape) < 0.02] = rng.choice([0.0, 1.0])
    if len(shape) > 2:  # the left third is quiet and stands still, so that kernels that compare see agreement too
        still = shape[-1] // 3
        wave[..., :still] = smooth[:1, ..., :still] + 0.01 * rng.standard_normal((*shape[:-1], still))
    peak = (1 << bits) - 1
    frames = np.clip(wave, 0, 1) * peak
    return frames.astype(dtype) if dtype == "float32" else np.rint(frames).astype(dtype)


def knob_values(kernel):
    """A Hypothesis strategy for one full set of knobs."""

    def one(p):
        if p.choices:
            return st.sampled_from(p.choices)
        if p.kind is bool:
            return st.booleans()
        low, high = p.knob.soft or (p.knob.low, p.knob.high)
        if p.knob.unit == "samples":  # sizes and distances: the frames here are small
            low, high = max(low, -64), min(high, 64)
        if p.kind is int:
            step = int(p.knob.step or 1)
            return st.integers(0, int((high - low) // step)).map(lambda k: int(low) + k * step)
        return st.floats(low, high, width=32) | st.just(p.default)

    return st.fixed_dictionaries({n: one(p) for n, p in kernel.knobs.items() if n != "bits"})


def make_inputs(kernel, seed, shape, dtype, knobs):
    bits = 10 if dtype == "uint16" else 8
    if "bits" in kernel.knobs:
        knobs = {**knobs, "bits": bits}
    rng = np.random.default_rng(seed)
    least = (FLICKER.get(kernel.name, 0), *kernel.smallest)
    shape = tuple(max(n, few) for n, few in zip(shape, least, strict=True))
    wanted = [kernel.inputs(shape, kernel.settings(knobs))]
    made = []
    for name, s in zip(kernel.arrays, wanted[0], strict=True):
        other = kernel.others.get(name)  # no frames: any small numbers, and a few that lead far outside
        made.append(rng.choice([-1, 0, 1, 9, 77, 400], s).astype(other) if other else sample(rng, s, dtype, bits))
        if kernel.name in FLICKER:
            turn = 1 if knobs.get("standard") == "ntsc" else 2
            on, most = (np.arange(len(made[0])) // turn % 2)[:, None, None], 20 << (bits - 8)
            swing = (on * np.linspace(0, most, made[0].shape[2])).astype(dtype)  # more and more to the right
            made[0] = np.minimum(made[0], np.array((1 << bits) - 1 - most, dtype)) + swing
    return made, knobs


def run(body, kernel, arrays, **more):
    """The kernel on `body`, results back as NumPy."""
    if body == "cuda" and pytest.device == "cuda":
        import cupy

        out = kernel(*(cupy.asarray(a) for a in arrays), **more)
        return _map(cupy.asnumpy, out)
    if body == "cuda":
        return cuda_host.call(kernel, arrays, **more)
    return kernel(*arrays, **more)


def _map(f, out):
    return tuple(_map(f, o) for o in out) if isinstance(out, tuple) else f(out)


def flat(out) -> list[np.ndarray]:
    return [a for o in out for a in flat(o)] if isinstance(out, tuple | list) else [out]


def assert_same(got, want, kernel, dtype):
    """Shape and dtype equal; values within the kernel's tolerance, or within rounding for float."""
    got, want = flat(got), flat(want)
    assert len(got) == len(want)
    for g, w in zip(got, want, strict=True):
        assert g.shape == w.shape and g.dtype == w.dtype, f"{g.shape} {g.dtype}, expected {w.shape} {w.dtype}"
        same = (g == w) | (np.isnan(g) & np.isnan(w)) if g.dtype.kind == "f" else g == w
        d = np.where(same, 0, np.abs(g.astype(np.float64) - w.astype(np.float64)))
        allowed = kernel.tolerance if g.dtype.kind != "f" else 2e-3 + 1e-5 * np.abs(w)
        bad = ~same & ~(d <= allowed)  # NaN equals NaN: a frame with no frame before it
        assert not bad.any(), (
            f"{kernel.name} {dtype}: {bad.sum()} of {bad.size} samples differ, by up to {d.max():g} "
            f"(mean {d[bad].mean():g}); first at {tuple(int(i[0]) for i in np.nonzero(bad))}"
        )


@pytest.fixture(autouse=True, scope="module")
def device(request):
    pytest.device = request.config.getoption("--device")
    if pytest.device == "cuda":
        require_gpu()


BODIES = [
    pytest.param(kernel, body, dtype, id=f"{name}-{body}-{dtype}")
    for name, kernel in KERNELS.items()
    for body in ("cpu", "cuda")
    for dtype in kernel.dtypes
]


@pytest.mark.parametrize("kernel", KERNELS.values(), ids=KERNELS)
def test_has_both_bodies_and_says_what_it_does(kernel):
    assert kernel.cpu_body is not None and kernel.cuda_body is not None
    assert kernel.__doc__ and kernel.__doc__.strip().splitlines()[0].endswith(".")


@pytest.mark.parametrize("kernel, body, dtype", BODIES)
def test_equals_the_definition(kernel, body, dtype):
    @settings(max_examples=12 if body == "cpu" else 6)
    @given(knobs=knob_values(kernel), seed=st.integers(0, 9999), shape=st.sampled_from(SHAPES))
    def check(knobs, seed, shape):
        arrays, knobs = make_inputs(kernel, seed, shape, dtype, knobs)
        before = [a.copy() for a in arrays]
        want = kernel.definition(*arrays, **({"state": None} if kernel.recursive else {}), **knobs)
        got = run(body, kernel, arrays, **knobs)
        assert_same(got, want, kernel, dtype)
        for a, b in zip(arrays, before, strict=True):
            assert np.array_equal(a, b), "the input was modified"

    check()


@pytest.mark.parametrize("kernel, body, dtype", BODIES)
def test_batches_join_without_a_seam(kernel, body, dtype):
    """Computed in pieces with the declared halo (or the carried state), the result is the same."""
    knobs = {n: p.default for n, p in kernel.knobs.items() if n != "bits"}
    arrays, knobs = make_inputs(kernel, 5, (7, 12, 18), dtype, knobs)
    whole = run(body, kernel, arrays, **knobs)
    if kernel.recursive:
        pieces, state = [], None
        for cut in (slice(0, 3), slice(3, 4), slice(4, 7)):
            out, state = run(body, kernel, [a[cut] for a in arrays], state=state, **knobs)
            pieces.append(out)
        assert_same(np.concatenate(pieces), whole[0], kernel, dtype)
        return
    reach = kernel.halo(**knobs).frames
    pieces = []
    count = len(arrays[0])
    for a, b in ((0, 2), (2, 5), (5, count)):
        low, high = max(a - reach, 0), min(b + reach, count)
        pieces.append(flat(run(body, kernel, [x[low:high] for x in arrays], window=(a - low, b - low), **knobs)))
    assert_same(tuple(np.concatenate(p) for p in zip(*pieces, strict=True)), flat(whole), kernel, dtype)


@pytest.mark.parametrize("kernel", KERNELS.values(), ids=KERNELS)
def test_takes_views_of_larger_arrays(kernel):
    knobs = {n: p.default for n, p in kernel.knobs.items() if n != "bits"}
    dtype = kernel.dtypes[0]
    arrays, knobs = make_inputs(kernel, 3, (2, 12, 18), dtype, knobs)
    views = []
    for a in arrays:
        holder = np.zeros((*a.shape[:-1], a.shape[-1] * 2), a.dtype)
        holder[..., ::2] = a
        views.append(holder[..., ::2])
    assert not views[0].flags.c_contiguous
    assert_same(kernel(*views, **knobs), kernel(*arrays, **knobs), kernel, dtype)


@pytest.mark.parametrize("kernel", KERNELS.values(), ids=KERNELS)
def test_an_identity_body_would_fail(kernel):
    """Guards the tests above: a body that only copies its input is told from the definition."""
    knobs = {n: p.default for n, p in kernel.knobs.items() if n != "bits"}
    dtype = kernel.dtypes[0]
    arrays, knobs = make_inputs(kernel, 1, (3, 24, 32), dtype, knobs)
    state = {"state": None} if kernel.recursive else {}
    want = flat(kernel.definition(*arrays, **state, **knobs))
    if len(want) == 1 and np.array_equal(want[0], arrays[0]):  # a kernel may do nothing until a knob is turned
        knobs |= {n: (p.knob.soft or (0, p.knob.high))[1] for n, p in kernel.knobs.items() if p.knob and n != "bits"}
        want = flat(kernel.definition(*arrays, **state, **knobs))
    copies = [np.resize(arrays[0], w.shape).astype(w.dtype) for w in want]
    with pytest.raises(AssertionError):
        assert_same(copies, want, kernel, dtype)


@pytest.mark.parametrize("kernel", KERNELS.values(), ids=KERNELS)
def test_bad_arrays_are_refused_by_name(kernel):
    knobs = {n: p.default for n, p in kernel.knobs.items() if n != "bits"}
    dtype = kernel.dtypes[0]
    arrays, knobs = make_inputs(kernel, 1, (3, 8, 8), dtype, knobs)
    rest = arrays[1:]
    with pytest.raises(TypeError, match=kernel.name):
        kernel(arrays[0].astype(np.int64), *rest, **knobs)
    with pytest.raises(TypeError, match="expected a NumPy array"):
        kernel(arrays[0].tolist(), *rest, **knobs)
    with pytest.raises(ValueError, match=kernel.name):
        kernel(arrays[0][0, 0], *rest, **knobs)
    with pytest.raises(ValueError, match="empty"):
        kernel(arrays[0][:0], *rest, **knobs)
    with pytest.raises(TypeError, match="no knob 'strenth'"):
        kernel(*arrays, strenth=1)
    if kernel.smallest[0] > 1:
        with pytest.raises(ValueError, match="expected at least"):
            kernel(arrays[0][..., :1, :], *rest, **knobs)
    if "float32" in kernel.dtypes:
        floats, knobs = make_inputs(kernel, 1, (3, 8, 8), "float32", knobs)
        floats[0][..., 2, 3] = np.nan
        with pytest.raises(ValueError, match="NaN"):
            kernel(*floats, **knobs)
    for name, p in kernel.knobs.items():
        if p.knob and name != "bits":
            for wrong in (p.knob.high + 1, np.inf, np.nan):
                with pytest.raises(ValueError, match=f"{name}.*expected"):
                    kernel(*arrays, **{name: wrong})


@pytest.mark.parametrize("kernel, dtype", [(k, d) for k in KERNELS.values() for d in k.dtypes])
def test_cuda_source_compiles_to_ptx(kernel, dtype):
    """NVRTC needs no GPU: syntax, types and built-ins of every `.cu` file are checked for real."""
    nvrtc = pytest.importorskip("tests.nvrtc", exc_type=ImportError)
    ptx = nvrtc.ptx(kernel.cuda_body, dtype)
    assert ".entry" in ptx
