"""The kernels for sound against their definitions: NumPy's transforms, plain convolution, the gain's formula."""

from __future__ import annotations

import numpy as np
import pytest
from scipy import signal
from scipy.ndimage import uniform_filter1d

from kernels.simd import LANES
from kernels.sound import convolve, fourier, humming, order, peaks, wiener
from toolkit.audio.decimate import Decimator


def noise(*shape, seed=0):
    return np.random.default_rng(seed).standard_normal(shape).astype(np.float32)


def complex_of(table, size):
    """`(windows, size)` of a table in the order it stands in."""
    rows = table.reshape(size, 2, LANES)
    return (rows[:, 0] + 1j * rows[:, 1]).T


@pytest.mark.parametrize("size", [32, 64, 128, 256, 512, 1024, 2048, 8192])
def test_transforms_equal_numpy_s_and_come_back(size):
    x = noise(2, size + 31 * 8, seed=size)
    window = np.hanning(size).astype(np.float32)
    table, turns = fourier.table(size), fourier.turns(size)
    fourier.gather(x[0], 0, 8, size, window, table, 0)
    fourier.gather(x[1], 0, 8, size, window, table, 1)
    windows = np.lib.stride_tricks.sliding_window_view(x, size, axis=1)[:, ::8] * window
    wanted = np.fft.fft(windows[0] + 1j * windows[1])
    fourier.forward(table, size, turns)
    bins = fourier.bins_of(size)
    np.testing.assert_array_equal(np.sort(bins), np.arange(size))
    np.testing.assert_array_equal(bins[fourier.rows_of(size) // fourier.PAIR], np.arange(size))
    got = complex_of(table, size)[:, np.argsort(bins)]
    assert np.abs(got - wanted).max() < 2e-6 * np.abs(wanted).max()
    fourier.backward(table, size, turns)
    assert np.abs(complex_of(table, size) / size - (windows[0] + 1j * windows[1])).max() < 5e-6


def test_windows_as_they_are_go_in_and_out_again():
    size, x = 64, noise(32 * LANES + 32)
    table, out = fourier.table(size), np.empty(32 * LANES, np.float32)
    fourier.gather(x, 0, 32, size, np.zeros(0, np.float32), table, 1)
    assert not table.reshape(size, 2, LANES)[:, 0].any()
    fourier.scatter(table, 1, 32, 32, out)
    np.testing.assert_array_equal(out, x[32:])


@pytest.mark.parametrize("size", [64, 512])
def test_overlapping_windows_add_up_across_calls(size):
    hop, rounds = size // 4, 3
    frames = noise(rounds * LANES, 2, size)
    back = noise(size, seed=1)
    wanted = np.zeros((2, (rounds * LANES + 3) * hop))
    for f, frame in enumerate(frames):
        wanted[:, f * hop : f * hop + size] += frame * back
    got = np.empty((2, rounds * LANES * hop), np.float32)
    carry = np.zeros((2, 3 * size), np.float32)
    for r in range(rounds):
        table = fourier.table(size)
        table.reshape(size, 2, LANES)[:] = frames[r * LANES : (r + 1) * LANES].transpose(2, 1, 0)
        for part in (0, 1):
            here = got[part, r * LANES * hop : (r + 1) * LANES * hop]
            fourier.overlap_add(table, part, size, back, carry[part], here)
    np.testing.assert_allclose(got, wanted[:, : got.shape[1]], atol=1e-5)


def plain_gain(power, noise_power, margin, floor):
    """The gain of `toolkit.audio.denoise` for powers `(frames, bins)`, silence before and behind."""
    padded = np.pad(power, ((4, 4), (0, 0)))
    mean = uniform_filter1d(padded, 5, axis=0, mode="constant")
    mean = uniform_filter1d(mean, 5, axis=1, mode="nearest")
    over = np.maximum(mean - margin * noise_power, 0)
    first = (over / (over + noise_power)) ** 2 * padded
    clean = uniform_filter1d(first, 3, axis=0, mode="constant")
    return np.maximum(clean / (clean + noise_power), floor)[4:-4]


@pytest.mark.parametrize("size", [64, 256])
def test_the_gain_is_that_of_its_formula_in_every_frame_and_bin(size):
    bins, rounds, margin, floor = size // 2 + 1, 3, 2.0, 0.1
    frames = noise(2, rounds * LANES, size) * np.linspace(0.2, 3, rounds * LANES, dtype=np.float32)[:, None]
    frames[:, -3:] = 0  # what comes last is only pushed through
    spectra = np.fft.rfft(frames)
    hiss = np.abs(noise(2, bins, seed=2)) * size * 0.5 + 1
    table, turns, rows = fourier.table(size), fourier.turns(size), fourier.rows_of(size)
    rooms = [(wiener.spectrum_room(bins), wiener.power_room(bins), np.zeros(2 * bins, np.float32)) for _ in range(2)]
    got = []
    for r in range(rounds):
        now = frames[:, r * LANES : (r + 1) * LANES]
        table.reshape(size, 2, LANES)[:] = now.transpose(2, 0, 1) / 2
        fourier.forward(table, size, turns)
        wiener.take_apart(table, rows, size, *rooms[0][:2], *rooms[1][:2])
        for room, level in zip(rooms, hiss, strict=True):
            wiener.lower(*room, level, np.float32(margin), np.float32(floor))
        wiener.put_together(rooms[0][0], rooms[1][0], rows, size, table)
        fourier.backward(table, size, turns)
        got.append(table.reshape(size, 2, LANES).transpose(1, 2, 0) / size)
    got = np.concatenate(got, axis=1)[:, 3:]  # three frames late
    for c in range(2):
        gain = plain_gain(np.abs(spectra[c]) ** 2, hiss[c], margin, floor)
        wanted = np.fft.irfft(spectra[c] * gain, size)[:-3]
        assert 0.2 < gain.mean() < 0.9
        np.testing.assert_allclose(got[c], wanted, atol=2e-4)


def test_powers_of_both_channels_add_up():
    size = 64
    frames = noise(2, LANES, size)
    table, sums = fourier.table(size), np.ones((2, (size // 2 + 1) * LANES), np.float32)
    table.reshape(size, 2, LANES)[:] = frames.transpose(2, 0, 1) / 2
    fourier.forward(table, size, fourier.turns(size))
    wiener.add_powers(table, fourier.rows_of(size), size, sums[0], sums[1])
    wanted = 1 + np.abs(np.fft.rfft(frames)) ** 2
    np.testing.assert_allclose(sums.reshape(2, -1, LANES).transpose(0, 2, 1), wanted, rtol=1e-3, atol=1e-4)


def test_bins_are_averaged_as_scipy_does():
    sums = np.abs(noise(17, LANES))
    out, totals = np.empty_like(sums), np.empty(LANES, np.float32)
    wiener.average_bins(sums, 0.2, out, totals)
    wanted = uniform_filter1d(sums * 0.2, 5, axis=0)
    np.testing.assert_allclose(out, wanted, rtol=1e-5)
    np.testing.assert_allclose(totals, wanted.sum(axis=0), rtol=1e-5)


@pytest.mark.parametrize("taps", [1, 31, 32, 33, 200, 32 * 40])
def test_filters_of_any_length_equal_plain_convolution(taps):
    block, rounds = 32, 3
    h, x = noise(taps, seed=3).astype(np.float64), noise(2, (rounds * LANES + 1) * block)
    x[:, :block] = 0
    parts = convolve.parts_of(h, block)
    held, wide = convolve.held_room(parts.shape[1], block), convolve.width(parts.shape[1])
    table, turns = fourier.table(2 * block), fourier.turns(2 * block)
    got = np.empty((2, rounds * LANES * block), np.float32)
    for r in range(rounds):
        first = r * LANES * block
        for c in range(2):
            fourier.gather(x[c], first, block, 2 * block, np.zeros(0, np.float32), table, c)
        fourier.forward(table, 2 * block, turns)
        convolve.convolve(table, parts, held, wide)
        fourier.backward(table, 2 * block, turns)
        for c in range(2):
            fourier.scatter(table, c, block, block, got[c, first : first + LANES * block])
    wanted = signal.fftconvolve(x[:, block:].astype(np.float64), h[None], axes=1)[:, : got.shape[1]]
    assert np.abs(got - wanted).max() < 1e-5 * np.abs(wanted).max()


@pytest.mark.parametrize("phases", [0, 1, 3])
@pytest.mark.parametrize("cell, cells", [(16, 0), (16, 1), (16, 9), (88, 5), (96, 4), (384, 2)])
def test_peaks_are_those_of_the_samples_and_of_all_phases(phases, cell, cells):
    h, x = noise(phases, 16, seed=4), noise(cell * cells + 16)
    wanted = np.abs(x[7 : 7 + cell * cells])
    for phase in h:
        wanted = np.maximum(wanted, np.abs(np.correlate(x, phase))[: cell * cells])
    out = np.zeros(cells, np.float32)
    out[-1:] = 100  # what was higher before stays
    peaks.cell_peaks(x, h, cell, out)
    np.testing.assert_allclose(out[:-1], wanted.reshape(cells, cell).max(axis=1)[:-1], rtol=1e-5)
    assert (out[-1:] == 100).all()


@pytest.mark.parametrize("n", [1, 2, 77, 256])
def test_a_value_is_found_at_its_place_without_sorting(n):
    values = np.abs(noise(n)) * 10.0 ** np.random.default_rng(1).integers(-30, 20, n)
    values = values.astype(np.float32)
    values[n // 2 :: 7] = 0
    for place in {0, n // 3, int(0.9 * n), n - 1}:
        assert order.in_order(values, place) == np.sort(values)[place]


@pytest.mark.parametrize("taps, factor", [(33, 2), (49, 3), (64, 4), (193, 12), (177, 11)])
def test_thinning_equals_the_filter_at_every_so_manieth_sample(taps, factor):
    h, x = noise(taps), noise(taps + 9 * factor)
    out = np.empty(10, np.float32)
    humming.thinned(x, humming.weights_of(h), taps, factor, out)
    np.testing.assert_allclose(out, np.correlate(x, h)[::factor], atol=1e-5)


@pytest.mark.parametrize("factor", [1, 2, 3, 11, 12, 49])
def test_raising_gives_the_tone_back(factor):
    taps = Decimator(1, factor).taps
    side = 8 if factor > 1 else 0
    m = np.arange(-side, 100 + side)
    low = np.cos(2 * np.pi * 0.31 * m).astype(np.float32)
    out = np.empty(100 * factor + LANES * -(-factor // LANES), np.float32)
    humming.raised(low, humming.phases_of(taps, factor), factor, 100, out)
    wanted = np.cos(2 * np.pi * 0.31 * np.arange(100 * factor) / factor)
    assert np.abs(out[: 100 * factor] - wanted).max() < 2e-3


def test_the_clock_is_the_integral_of_its_frequency():
    rng = np.random.default_rng(0)
    f = 60 + 0.3 * rng.standard_normal(9)
    times = np.linspace(-0.3, 13, 400)
    knots = np.concatenate([[-1.0], 2 + np.arange(9), [20.0]])
    fine = np.linspace(-0.3, 13, 400001)
    rate = np.interp(fine, knots, np.concatenate([f[:1], f, f[-1:]]))
    integral = np.concatenate([[0], np.cumsum((rate[1:] + rate[:-1]) / 2 * np.diff(fine))])
    wanted = np.interp(times, fine, integral) - np.interp(0, fine, integral)
    np.testing.assert_allclose(humming.turns_of(times, f, 2.0, 1.0), wanted, atol=1e-5)


def test_amplitudes_are_measured_against_the_clock_and_make_the_hum_again():
    hop, frames, orders = 200, 6, 3
    edges = 60 * np.arange(frames + 1) * 0.05
    turns = humming.clock(edges, (edges[1:] + edges[:-1]) / 2, hop)
    angle = 2 * np.pi * 60 * 0.05 * np.arange(frames * hop) / hop
    np.testing.assert_allclose(turns, [np.cos(angle), np.sin(angle)], atol=1e-3)
    x = (0.5 * np.cos(angle) + 0.2 * np.sin(3 * angle)).astype(np.float32)
    window = np.hanning(2 * hop + 1)[:-1].astype(np.float32)
    found = np.empty((frames - 1, orders), np.complex64)
    humming.demodulate(x, turns, window, found)
    found *= 2 / window.sum()
    np.testing.assert_allclose(found, np.tile([0.5, 0, -0.2j], (frames - 1, 1)), atol=2e-3)
    again = np.empty((frames - 2) * hop, np.float32)
    humming.hum(found, edges[1:-1], (edges[2:-1] + edges[1:-2]) / 2, hop, again)
    np.testing.assert_allclose(again, x[hop:-hop], atol=5e-3)
