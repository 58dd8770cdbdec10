"""Overlapped blocks of all frames through their spectra and back: the Numba body of `dft_threshold`.

Sixteen blocks go at once, one in each lane.  They do not lie side by side but far apart: a run of the picture is cut
into 16 stretches of `steps` blocks, and a vector holds the samples at one place of all stretches.  So the blocks of the
next step read the vectors STEP further on, none is shifted, and columns are transformed once for the blocks that share
them; on the way back blocks are added up before it.  The last blocks of a stretch reach into the next one, those of a
band of rows of blocks into the next band: both keep sums of their own for what they share, which are added when sums
become samples, so that bands know nothing of each other.

Limit, in vector operations for 16 blocks of radius 0: 5 columns forth and back at 66 and 74 (and 32 to make floats of
samples), 16 rows of waves at 66 and 74, 49 times 8 to combine waves, 130 slots at 9 to threshold: some 4700, of which
two go in a cycle: 147 cycles for a block.
"""

from __future__ import annotations

import numba
import numpy as np
from numba import njit, prange

from kernels.denoise.spectra import PAIR, PAIRS, SIDE, back_along, back_down, forth_along, forth_down, shrink
from kernels.denoise.vectors import LANES, turn, turn_and_add

STEP = 4
#: Steps in a stretch at most, rows of blocks in a band.
STEPS, BAND = 12, 16
EDGE, TALL = SIDE - STEP, BAND * STEP
BOTH = 2 * PAIR * LANES
LINES = 16


@njit(cache=True, nogil=True)
def _row_of_blocks(padded, at, line, sums, to, steps, fresh, low, high, radius, grey, slopes, room):
    """Blocks side by side through the frames low .. high - 1 of `padded`: forward once, thresholded, into `sums`.

    padded, sums : flat, lines of both are `line` elements apart; of the lines of sums the last `fresh` are blank.
    """
    ring, kept, forth, back, level, order = room
    count, places = 2 * radius + 1, steps * STEP + EDGE
    gap, frame = places * LANES, padded.shape[1] * line
    pair = steps * BOTH if radius else 0  # where no other frames are needed spectra stay in the nearest cache
    for t in range(low - radius, high + radius):
        src, n = min(max(t, 0), padded.shape[0] - 1) * frame + at, t - radius  # beyond the ends frames repeat
        for j in range(places):
            forth_down(padded, src + j * LANES, line, forth, j * LANES, gap)
        for k in range(count):
            order[k] = (n - radius + k + count) % count * PAIRS * pair
        own = slopes[max(n - low, 0) % slopes.shape[0]]
        for p in range(PAIRS):
            for g in range(steps):
                begin, slot = (p * places + g * STEP) * LANES, order[count - 1] + p * pair + g * BOTH
                if p == 0:
                    forth_along(forth, begin, PAIRS * gap, ring, slot, True)
                else:
                    forth_along(forth, begin, PAIRS * gap, ring, slot, False)
            if n < low:
                continue
            back[p * gap : (p + 1) * gap] = 0
            back[(p + PAIRS) * gap : (p + PAIRS + 1) * gap] = 0
            for g in range(steps):
                begin, slot = (p * places + g * STEP) * LANES, p * pair + g * BOTH
                if p == 0:  # even grey is the sum over time of F(0, 0), the first slot
                    grounds = level[g * LANES : (g + 1) * LANES]
                    grounds[:] = 0
                    for k in range(count):
                        grounds += ring[order[k] + slot : order[k] + slot + LANES]
                for k in range(PAIR if p == 0 else SIDE):
                    a, w, b = slot + 2 * k * LANES, p * PAIR + k, 2 * k * LANES
                    if radius == 0:
                        shrink(ring, order, a, level, g * LANES, grey, own, w, kept, b, 0)
                    elif radius == 1:
                        shrink(ring, order, a, level, g * LANES, grey, own, w, kept, b, 1)
                    elif radius == 2:
                        shrink(ring, order, a, level, g * LANES, grey, own, w, kept, b, 2)
                    else:
                        shrink(ring, order, a, level, g * LANES, grey, own, w, kept, b, 3)
                if p == 0:
                    back_along(kept, 0, back, begin, PAIRS * gap, True)
                else:
                    back_along(kept, 0, back, begin, PAIRS * gap, False)
        if n >= low:
            spot = to + (n - low) * (TALL + EDGE) * line
            for j in range(places):
                if fresh == STEP:
                    back_down(back, j * LANES, gap, sums, spot + j * LANES, line, STEP)
                else:
                    back_down(back, j * LANES, gap, sums, spot + j * LANES, line, SIDE)


@njit(cache=True, nogil=True)
def _set_line(flat, sums, at, runs, places, stretch):
    """A line of sums in the picture's order."""
    flat[:] = 0
    for run in range(runs):
        for j in range(0, places, LANES):
            src = at + (run * places + j) * LANES
            turn_and_add(flat, run * LANES * stretch + j, stretch, sums, src, LANES)


@njit(cache=True, nogil=True)
def _samples(to, row, share, peak, half):
    for x in range(to.shape[0]):
        v = row[x] * share + half
        to[x] = v if peak == 0 else min(max(v, np.float32(0)), peak)


def threshold(frames, out, start, rows, columns, radius, grey, slopes, share, peak, half) -> None:
    """Frames start .. of `frames` into `out`.

    rows, columns : where each line and sample of the padded picture comes from.
    grey   : slots of even grey, over that of F(0, 0); PAIRS x PAIR x (real, imaginary).
    slopes : of the ramp over the squared slots, for each frame of `out` or one for all.
    share, peak, half : factor to samples, their greatest value and what rounds them (both 0 for floats).
    """
    begin, end = max(start - radius, 0), min(start + len(out) + radius, len(frames))
    down, across = ((len(n) - SIDE) // STEP + 1 for n in (rows, columns))
    runs = -(-across // (LANES * STEPS))
    steps, bands = -(-across // (LANES * runs)), -(-down // BAND)
    places = -(-(steps * STEP + EDGE) // LANES) * LANES
    line = runs * places * LANES + LANES  # lines a multiple of 4 KiB apart would push each other out of the cache
    length = len(out) if radius else 1  # frames that need no others go one by one
    workers = min(numba.get_num_threads(), len(out) // length * bands)
    size, spectra = SIDE * (steps * STEP + EDGE) * LANES, ((2 * radius + 1) * PAIRS if radius else 1) * steps * BOTH
    ends = np.cumsum([length * (TALL + EDGE) * line, spectra, size, size, BOTH, steps * LANES])
    # NumPy asks for large pages, Numba does not.  Samples stay as they are: floats of all would leave the cache.
    pool = np.empty(workers * ends[-1] + LANES, np.float32)
    pool = pool[-pool.ctypes.data % 64 // 4 :]
    padded = np.empty((end - begin, len(rows), line), frames.dtype)
    # The lines that a band shares with the one above and the one below it.
    shared = np.empty((len(out), bands, 2, EDGE, runs * LANES * steps * STEP + places), np.float32)
    _threshold(frames[begin:end], out, start - begin, rows, columns, radius, runs, steps, bands, workers, ends, pool,
               padded, shared, grey, slopes, share, peak, half)  # fmt: skip


@njit(parallel=True, cache=True, nogil=True, error_model="numpy")
def _threshold(frames, out, start, rows, columns, radius, runs, steps, bands, workers, ends, pool, padded, shared, grey,
               slopes, share, peak, half):  # fmt: skip
    width, height, stretch = frames.shape[2], out.shape[1], steps * STEP
    places, whole, line = (stretch + EDGE + LANES - 1) // LANES * LANES, shared.shape[4], padded.shape[2]
    down, length = (rows.shape[0] - SIDE) // STEP + 1, out.shape[0] if radius else 1
    pieces = (rows.shape[0] + LINES - 1) // LINES
    for i in prange(padded.shape[0] * pieces):
        t, top = i // pieces, i % pieces * LINES
        flat = np.zeros(whole, frames.dtype)
        for y in range(top, min(top + LINES, rows.shape[0])):
            src = frames[t, rows[y]]
            for x in range(EDGE):
                flat[x] = src[columns[x]]
            for x in range(width):
                flat[EDGE + x] = src[x]
            for x in range(EDGE + width, columns.shape[0]):
                flat[x] = src[columns[x]]
            at = (t * rows.shape[0] + y) * line
            for run in range(runs):
                for j in range(0, places, LANES):
                    turn(padded, at + (run * places + j) * LANES, LANES, flat, run * LANES * stretch + j, stretch)
    for worker in prange(workers):
        free = pool[worker * ends[-1] :]
        sums, ring, forth = free[: ends[0]], free[ends[0] : ends[1]], free[ends[1] : ends[2]]
        back, kept, level = free[ends[2] : ends[3]], free[ends[3] : ends[4]], free[ends[4] : ends[5]]
        room, flat = (ring, kept, forth, back, level, np.empty(2 * radius + 1, np.int64)), np.empty(whole, np.float32)
        sums[:] = 0
        for job in range(worker, out.shape[0] // length * bands, workers):
            first, band = job // bands * length, job % bands
            low, own = start + first, slopes[first % slopes.shape[0] :]
            high = min(BAND, down - band * BAND)
            for i in range(high):  # downwards, so that lines are still in the cache
                for run in range(runs):
                    at, x = (band * BAND + i) * STEP * line, run * places * LANES
                    _row_of_blocks(padded, at + x, line, sums, i * STEP * line + x, steps, STEP if i else SIDE, low,
                                   low + length, radius, grey, own, room)  # fmt: skip
            for t in range(length):
                for i in range(high * STEP + EDGE):
                    at, y = (t * (TALL + EDGE) + i) * line, band * TALL + i - EDGE
                    if i < EDGE or i >= TALL:
                        lines = shared[first + t, band, i // TALL, i % TALL]
                        _set_line(lines, sums, at, runs, places, stretch)
                    elif y < height:
                        _set_line(flat, sums, at, runs, places, stretch)
                        _samples(out[first + t, y], flat[EDGE:], share, peak, half)
    for job in prange(out.shape[0] * (bands - 1)):
        t, band = job // (bands - 1), job % (bands - 1) + 1
        for i in range(min(EDGE, height + EDGE - band * TALL)):
            flat = shared[t, band, 0, i]
            flat += shared[t, band - 1, 1, i]
            _samples(out[t, band * TALL + i - EDGE], flat[EDGE:], share, peak, half)
