"""Overlapped blocks of all frames through their spectra and back: the Numba body of `dft_threshold`.

Sixteen blocks go at once, one in each lane.  They do not lie side by side but far apart: a run of the picture is cut
into 16 stretches of `steps` blocks, and a vector holds the samples at one place of all stretches.  So the blocks at step
g + 1 read the vectors STEP behind those at step g, none has to be shifted, and the transform down the columns is made
once for the blocks that share them; on the way back blocks are added up before it.  A stretch needs SIDE - STEP more
places than it has steps times STEP; there, and under a band of rows of blocks, the next one's sums lie: they are added
when sums become samples, so that runs and bands know nothing of each other.

Limit, in vector operations for 16 blocks of radius 0: 5 columns forth and back at 66 and 74 (and 32 to make floats of
samples), 16 rows of waves at 66 and 74, 49 times 8 to combine waves, 130 slots at 9 to threshold: some 4700, of which
two go in a cycle: 147 cycles for a block.
"""

from __future__ import annotations

import numpy as np
from numba import njit, prange

from kernels.deinterlace.around import on_a_cache_line
from kernels.denoise.spectra import PAIR, PAIRS, SIDE, back_along, back_down, forth_along, forth_down, shrink
from kernels.denoise.vectors import LANES, turn, turn_and_add

STEP = 4
#: Steps in a stretch at most, rows of blocks in a band, frames that pass at once when each stands for itself.
STEPS, BAND, HELD = 12, 16, 8
HIGH = BAND * STEP + SIDE - STEP
BOTH = 2 * PAIR * LANES
LINES = 16


def steps_of(across: int) -> int:
    """Steps in a stretch where `across` blocks lie side by side."""
    runs = -(-across // (LANES * STEPS))
    return -(-across // (LANES * runs))


@njit(cache=True, nogil=True)
def _forth(padded, at, line, steps, waves, slots, to):
    """Slots of all blocks whose lines begin at `padded[at]`, `line` elements apart."""
    places = steps * STEP + SIDE - STEP
    gap = places * LANES
    for j in range(places):
        forth_down(padded, at + j * LANES, line, waves, j * LANES, gap)
    for p in range(PAIRS):
        for g in range(steps):
            spot, begin = to + (p * steps + g) * BOTH, p * gap + g * STEP * LANES
            if p == 0:
                forth_along(waves, begin, PAIRS * gap, slots, spot, True)
            else:
                forth_along(waves, begin, PAIRS * gap, slots, spot, False)


@njit(cache=True, nogil=True)
def _shrunk(ring, order, spot, level, g, p, grey, slopes, out, radius):
    """Slots of a pair of rows of the middle frame."""
    for k in range(PAIR if p == 0 else SIDE):
        at, slot, to = spot + 2 * k * LANES, p * PAIR + k, 2 * k * LANES
        if radius == 0:
            shrink(ring, order, at, level, g * LANES, grey, slopes, slot, out, to, 0)
        elif radius == 1:
            shrink(ring, order, at, level, g * LANES, grey, slopes, slot, out, to, 1)
        elif radius == 2:
            shrink(ring, order, at, level, g * LANES, grey, slopes, slot, out, to, 2)
        else:
            shrink(ring, order, at, level, g * LANES, grey, slopes, slot, out, to, 3)


@njit(cache=True, nogil=True)
def _back(ring, order, steps, grey, slopes, radius, out, level, waves, sums, to, line):
    """Thresholds all blocks and adds them to `sums[to:]`, whose lines are `line` elements apart."""
    places = steps * STEP + SIDE - STEP
    gap = places * LANES
    for g in range(steps):  # even grey is the sum over time of F(0, 0), the first slot
        for i in range(LANES):
            total = np.float32(0)
            for k in range(order.shape[0]):
                total += ring[order[k] + g * BOTH + i]
            level[g * LANES + i] = total
    waves[:] = 0
    for p in range(PAIRS):
        for g in range(steps):
            _shrunk(ring, order, (p * steps + g) * BOTH, level, g, p, grey, slopes, out, radius)
            begin = p * gap + g * STEP * LANES
            if p == 0:
                back_along(out, 0, waves, begin, PAIRS * gap, True)
            else:
                back_along(out, 0, waves, begin, PAIRS * gap, False)
    for j in range(places):
        back_down(waves, j * LANES, gap, sums, to + j * LANES, line)


@njit(cache=True, nogil=True)
def _row_of_blocks(padded, at, sums, to, lines, fresh, low, high, steps, radius, grey, slopes, room):
    """Blocks side by side through the frames low .. high - 1 of `padded`; the last `fresh` of their lines are blank."""
    ring, out, forth, back, level, order = room
    count, whole = 2 * radius + 1, PAIRS * steps * BOTH
    frame, line, sum_frame, sum_line, used = lines
    for t in range(low - radius, high + radius):
        src = min(max(t, 0), padded.shape[0] - 1) * frame + at  # beyond the ends frames repeat
        _forth(padded, src, line, steps, forth, ring, (t + count) % count * whole)
        n = t - radius
        if n < low:
            continue
        for k in range(count):
            order[k] = (n - radius + k + count) % count * whole
        spot = to + (n - low) * sum_frame
        for y in range(SIDE - fresh, SIDE):
            sums[spot + y * sum_line : spot + y * sum_line + used] = 0
        own = slopes[(n - low) % slopes.shape[0]]
        _back(ring, order, steps, grey, own, radius, out, level, back, sums, spot, sum_line)


@njit(cache=True, nogil=True)
def _add_line(flat, sums, at, runs, places, stretch):
    """Adds a line of sums to one in the picture's order."""
    for run in range(runs):
        for j in range(0, places, LANES):
            src = at + (run * places + j) * LANES
            turn_and_add(flat, run * LANES * stretch + j, stretch, sums, src, LANES)


@njit(parallel=True, cache=True, nogil=True, error_model="numpy")
def threshold(frames, out, start, rows, columns, radius, steps, grey, slopes, share, peak, half):
    """Frames start .. of `frames` into `out`.

    rows, columns : where each line and sample of the padded picture comes from.
    grey   : slots of even grey, over that of F(0, 0); PAIRS x PAIR x (real, imaginary).
    slopes : of the ramp over the squared slots, for each frame of `out` or one for all.
    share, peak, half : factor to samples, their greatest value and what rounds them (both 0 for floats).
    """
    begin, end = max(start - radius, 0), min(start + out.shape[0] + radius, frames.shape[0])
    edge, width, stretch = SIDE - STEP, frames.shape[2], steps * STEP
    down, across = (rows.shape[0] - SIDE) // STEP + 1, (columns.shape[0] - SIDE) // STEP + 1
    runs, bands = (across + LANES * steps - 1) // (LANES * steps), (down + BAND - 1) // BAND
    places = (stretch + edge + LANES - 1) // LANES * LANES
    used = places * LANES
    whole = runs * LANES * stretch + places
    # Samples stay as they are: floats of all frames would leave the cache.
    padded = np.empty((end - begin, rows.shape[0], runs * used), frames.dtype)
    pieces = (rows.shape[0] + LINES - 1) // LINES
    for i in prange(padded.shape[0] * pieces):
        t, top = i // pieces, i % pieces * LINES
        flat = np.zeros(whole, frames.dtype)
        for y in range(top, min(top + LINES, rows.shape[0])):
            src = frames[begin + t, rows[y]]
            for x in range(edge):
                flat[x] = src[columns[x]]
            for x in range(width):
                flat[edge + x] = src[x]
            for x in range(edge + width, columns.shape[0]):
                flat[x] = src[columns[x]]
            at = (t * rows.shape[0] + y) * runs * used
            for run in range(runs):
                for j in range(0, places, LANES):
                    turn(padded, at + run * used + j * LANES, LANES, flat, run * LANES * stretch + j, stretch)
    held = out.shape[0] if radius else min(out.shape[0], HELD)  # frames that need no others share less memory
    many = 1 if radius else held
    sums = on_a_cache_line(held * bands * HIGH * runs * used, grey)
    lines = rows.shape[0] * runs * used, runs * used, bands * HIGH * runs * used, runs * used, used
    for first in range(0, out.shape[0], held):
        these = min(held, out.shape[0] - first)
        jobs = these if many > 1 else 1
        for job in prange(jobs * bands * runs):
            t, band, run = job // (bands * runs), job // runs % bands, job % runs
            length = 1 if many > 1 else these
            ring = on_a_cache_line((2 * radius + 1) * PAIRS * steps * BOTH, grey)
            forth = on_a_cache_line(SIDE * (stretch + edge) * LANES, grey)
            back = on_a_cache_line(SIDE * (stretch + edge) * LANES, grey)
            spectrum, level = on_a_cache_line(BOTH, grey), on_a_cache_line(steps * LANES, grey)
            room = ring, spectrum, forth, back, level, np.empty(2 * radius + 1, np.int64)
            low = start - begin + first + t
            for i in range(min(BAND, down - band * BAND)):  # downwards, so that lines are still in the cache
                at = ((band * BAND + i) * STEP * runs + run) * used
                to = (((t * bands + band) * HIGH + i * STEP) * runs + run) * used
                fresh = STEP if i else SIDE
                own = slopes[(first + t) % slopes.shape[0] :]
                _row_of_blocks(padded, at, sums, to, lines, fresh, low, low + length, steps, radius, grey, own, room)
        pieces = (out.shape[1] + LINES - 1) // LINES
        for i in prange(these * pieces):
            t, top = i // pieces, i % pieces * LINES
            flat = np.empty(whole, np.float32)
            for y in range(top, min(top + LINES, out.shape[1])):
                flat[:] = 0
                band, inside = (y + edge) // (BAND * STEP), (y + edge) % (BAND * STEP)
                _add_line(flat, sums, ((t * bands + band) * HIGH + inside) * runs * used, runs, places, stretch)
                if band and inside < edge:
                    above = (t * bands + band - 1) * HIGH + BAND * STEP + inside
                    _add_line(flat, sums, above * runs * used, runs, places, stretch)
                to, row = out[first + t, y], flat[edge:]
                for x in range(to.shape[0]):
                    v = row[x] * share + half
                    to[x] = v if peak == 0 else min(max(v, np.float32(0)), peak)
