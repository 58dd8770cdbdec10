"""What a VHS recorder does to a field, as array functions: bandwidth, delay, displacement, noise, dropouts.

A field's lines are low-passed, delayed and displaced by one finite filter per line, then noise is added.  Lines are
independent, so they are computed in parallel and any batch of fields gives the same samples.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache

import numpy as np
from numba import njit, prange

from toolkit.tape import chance

#: Sub-sample positions of a line filter; 1/64 luma sample is 1.2 ns.
PHASES = 64
#: Where a recorder's sharpening is strongest.
PEAK_MHZ = 2.0
#: Luma samples beyond the picture that repeat its edge; what is moved in from further out is blanking.
EDGE = 4


@dataclass(frozen=True)
class Raster:
    """The timing of a television line (BT.601-7, BT.1700)."""

    fields_per_second: tuple[int, int]
    line_ns: float
    sampling_mhz: float  # of 720 luma samples
    active_lines: int  # of a frame
    mains_hz: float
    sar: tuple[int, int]  # of 720 samples shown 4:3


RASTERS = {
    "ntsc": Raster((60000, 1001), 1e9 / (525 * 30000 / 1001), 13.5, 480, 60.0, (8, 9)),
    "pal": Raster((50, 1), 64000.0, 13.5, 576, 50.0, (16, 15)),
}


@lru_cache(maxsize=64)
def line_filter(bandwidth_mhz: float, sampling_mhz: float, sharpening_db: float = 0.0) -> np.ndarray:
    """Taps `(PHASES, taps)` of a zero-phase low-pass for every sub-sample position; float32, each summing to 1.

    The magnitude is a Butterworth's of order 4 in power, -3 dB at `bandwidth_mhz`; at or above half the sampling rate
    it passes everything, and phase 0 is then exactly the identity.  Row p delays by p / PHASES samples.

    sharpening_db : raises the magnitude at `PEAK_MHZ` by so much, half of it an octave away on each side.
    """
    half_rate = sampling_mhz / 2
    flat = bandwidth_mhz >= half_rate
    reach = 12 if flat else int(np.ceil(3 * sampling_mhz / bandwidth_mhz))
    if sharpening_db:
        reach = max(reach, int(np.ceil(3 * sampling_mhz / PEAK_MHZ)))
    k = np.arange(-reach, reach + 1)
    at = k[None, :] - np.arange(PHASES)[:, None] / PHASES
    f = (np.arange(512) + 0.5) / 512 * half_rate
    gain = np.ones(512) if flat else 1 / np.sqrt(1 + (f / bandwidth_mhz) ** 8)
    taps = np.sinc(at) if flat else _response(gain, at, f / sampling_mhz)
    if sharpening_db:
        rise = gain * (10 ** (sharpening_db / 20) - 1) * 0.5 ** (np.log2(f / PEAK_MHZ) ** 2)
        taps = taps + _response(rise, at, f / sampling_mhz)
    taps = taps * np.cos(np.pi / 2 * np.clip(at / (reach + 1), -1, 1)) ** 2
    return (taps / taps.sum(1, keepdims=True)).astype(np.float32)


def _response(gain: np.ndarray, at: np.ndarray, cycles: np.ndarray) -> np.ndarray:
    """The impulse response `(PHASES, taps)` of a zero-phase magnitude over `cycles` per sample up to one half."""
    return (gain * np.cos(2 * np.pi * at[:, :, None] * cycles)).mean(-1)


def line_mix(lines: float, lines_per_row: int) -> np.ndarray:
    """Weights of a chroma row and the rows above it when `lines` field lines are averaged, as a comb filter does."""
    cells = np.arange(int(np.ceil(lines / lines_per_row)))
    share = np.clip(lines - cells * lines_per_row, 0, lines_per_row)
    return (share / share.sum()).astype(np.float32)


def jitter(fields: np.ndarray, lines: int, sigma_ns: float, length_lines: float, seed: int) -> np.ndarray:
    """Displacement of each line in ns, `(fields, lines)` float32: normal, correlated from line to line."""
    out = np.empty((len(fields), lines), np.float32)
    for row, n in zip(out, fields, strict=True):
        chance.normals(row, 0, int(n), chance.JITTER, seed)
        if length_lines > 0:
            chance.along(row, float(np.exp(-1 / length_lines)))
    return out * np.float32(sigma_ns)


def head_switch(fields: np.ndarray, lines: int, band: int, skew_us: float, seed: int) -> np.ndarray:
    """Displacement in ns of the lowest `band` lines of each field, `(fields, lines)`; 0 above.

    The skew grows towards the bottom to `skew_us`, times 0.75 to 1.25 at random from field to field.
    """
    out = np.zeros((len(fields), lines), np.float32)
    band = min(band, lines)
    for row, n in zip(out, fields, strict=True):
        draw = np.empty(1)
        chance.uniforms(draw, 0, int(n), chance.SWITCH, seed)
        row[lines - band :] = np.arange(1, band + 1) / max(band, 1) * skew_us * 1000 * (0.75 + draw[0] / 2)
    return out


@njit(parallel=True, cache=True, nogil=True)
def play(
    src, out, first_parity, first_field, mix, taps, shift, sigma, correlation, stream, key, edge, blank, peak, whole
):
    """Weaves progressive `src` `(F, H, W)` into interlaced `out` `(F / 2, H, W)`, each field through the tape.

    mix   : weights of a line and the field lines above it.
    taps  : `(PHASES, n)` from `line_filter`.
    shift : `(F, lines)` displacement to the right, in samples of this plane.
    sigma : `(F, lines)` noise in levels.
    edge  : samples beyond the picture that repeat its edge; further out is `blank`.
    """
    fields, height, width = src.shape
    lines = (height + 1) // 2
    reach = taps.shape[1] // 2
    phases = taps.shape[0]
    for job in prange(fields * lines):
        n, line = job // lines, job % lines
        parity = (n & 1) ^ first_parity
        y = 2 * line + parity
        if y >= height:
            continue
        whole_shift = int(np.floor(shift[n, line] * phases + 0.5))
        phase = whole_shift % phases
        offset = (whole_shift - phase) // phases
        # One line with what lies left and right of it, so that the filter below needs no test.
        row = np.zeros(width, np.float32)
        for k in range(mix.shape[0]):
            above = src[n, max(y - 2 * k, parity)]
            for x in range(width):
                row[x] += mix[k] * np.float32(above[x])
        buffer = np.empty(width + 2 * reach, np.float32)
        for i in range(buffer.shape[0]):
            buffer[i] = row[min(max(i - reach - offset, 0), width - 1)]
        row[:] = np.float32(0)
        for k in range(2 * reach + 1):
            tap = taps[phase, k]
            if tap != 0:
                part = buffer[2 * reach - k : 2 * reach - k + width]
                for x in range(width):
                    row[x] += tap * part[x]
        row[: max(0, min(width, offset - edge))] = blank
        row[max(0, min(width, width + offset + edge)) :] = blank
        if sigma[n, line] > 0:
            noise = np.empty(width, np.float32)
            chance.normals(noise, line, first_field + n, stream, key)
            chance.along(noise, correlation)
            for x in range(width):
                row[x] += sigma[n, line] * noise[x]
        kept = out[n // 2, y]
        for x in range(width):
            kept[x] = min(max(np.floor(row[x] + np.float32(0.5)), 0), peak) if whole else row[x]


@dataclass(frozen=True)
class Dropout:
    """One loss of signal: a stretch of a field's raster, which may run over several lines."""

    field: int
    line: int  # of the field
    start_us: float  # from the left edge of the picture
    length_us: float
    white: bool


def dropouts(
    field: int, lines: int, line_us: float, active_us: float, expected: float, length_us: float, white: float, seed: int
) -> list[Dropout]:
    """The dropouts of one field: Poisson with `expected` of them, exponential lengths with mean `length_us`."""
    if expected <= 0:
        return []
    draw = np.empty(4)
    chance.uniforms(draw[:1], 0, field, chance.DROPOUT, seed)
    count, left = 0, draw[0]
    chance_of = np.exp(-expected)
    while left > chance_of and count < 1000:  # inversion of the Poisson distribution
        left -= chance_of
        count += 1
        chance_of *= expected / count
    found = []
    for i in range(count):
        chance.uniforms(draw, i + 1, field, chance.DROPOUT, seed)
        found.append(
            Dropout(
                field=field,
                line=int(draw[0] * lines),
                start_us=float(draw[1] * active_us),
                length_us=float(-np.log(draw[2]) * length_us),
                white=bool(draw[3] < white),
            )
        )
    return found


def spans(drop: Dropout, lines: int, line_us: float, active_us: float) -> list[tuple[int, float, float]]:
    """`(line, from, to)` in microseconds of the picture that a dropout covers, line after line."""
    covered, begin, end, line = [], drop.start_us, drop.start_us + drop.length_us, drop.line
    while end > 0 and line < lines:
        if begin < active_us:
            covered.append((line, max(begin, 0.0), min(end, active_us)))
        begin, end, line = begin - line_us, end - line_us, line + 1
    return covered


def burn(
    plane: np.ndarray, mask: np.ndarray, drop: Dropout, parity: int, timing: tuple[float, float], level: float,
    noise_top: float, seed: int,
) -> None:  # fmt: skip
    """Draws a dropout into one plane `(H, W)` of a woven frame and marks it in `mask`, both in place.

    timing    : line and active time of a line in microseconds.
    level     : what the lost signal shows, in the plane's own levels.
    noise_top : the largest level; noise of 5 % of it rides on the streak.  0 for chroma: no noise.

    A dropout begins at once and gives way to the picture again over 1 us.
    """
    line_us, active_us = timing
    height, width = plane.shape
    per_us = width / active_us
    lines = (height - parity + 1) // 2
    x = (np.arange(width) + 0.5) / per_us
    tailed = Dropout(drop.field, drop.line, drop.start_us, drop.length_us + 1.0, drop.white)
    for line, begin, end in spans(tailed, lines, line_us, active_us):
        alpha = ((x >= begin) & (x < end)).astype(np.float32)
        if end < active_us:
            alpha *= np.clip(end - x, 0, 1)
        y = 2 * line + parity
        value = level
        if noise_top:
            noise = np.empty(width, np.float32)
            chance.normals(noise, line, drop.field, chance.BURST, seed)
            value = np.clip(level + 0.05 * noise_top * noise, 0, noise_top)
        mixed = alpha * value + (1 - alpha) * plane[y]
        plane[y] = np.rint(mixed) if plane.dtype.kind in "ui" else mixed
        mask[y] |= alpha > 0
