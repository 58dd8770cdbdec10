"""One complex amplitude of each harmonic of a hum from many frames, most of which hold something else as well."""

from __future__ import annotations

import numpy as np
from numba import njit

from kernels.sound.linear import solve
from kernels.sound.order import in_order


@njit(cache=True, nogil=True, fastmath=True)
def average(amplitudes, around, centre):
    """The amplitudes `(channels, harmonics)` at frame `centre`, from `(frames, channels, harmonics)`.

    A constant amplitude for each harmonic and one phase for all, a cubic in time times the harmonic's number, are
    fitted by turns.  Low harmonics begin: their phase cannot be a whole turn wrong.
    """
    frames, channels, harmonics = amplitudes.shape
    reach = max(centre, frames - 1 - centre, 1) + 1
    noise, weight = np.empty((frames, channels, harmonics)), np.empty((frames, channels, harmonics))
    taper = 0.5 + 0.5 * np.cos(np.pi * (np.arange(frames) - centre) / reach)
    for c in range(channels):
        for k in range(harmonics):
            floor = 0.0
            for i in range(frames):
                floor += around[i, c, k]
            floor = 0.001 * floor / frames + 1e-14
            for i in range(frames):
                noise[i, c, k] = around[i, c, k] + floor
                weight[i, c, k] = taper[i] / noise[i, c, k]
    phase = np.zeros(frames)
    mean = np.zeros((channels, harmonics), np.complex128)
    turned = np.empty((frames, channels, harmonics), np.complex128)
    _start(amplitudes, weight, centre, phase)
    for used in (3, 6, 12, harmonics, harmonics):
        used = min(used, harmonics)
        _turn(amplitudes, phase, turned)
        _means(turned, weight, used, mean)
        if frames > 3:
            _doubt(turned, noise, used, mean, taper, weight)
            _bend(turned, weight, mean, used, centre, reach, phase)
    _turn(amplitudes, phase, turned)
    _doubt(turned, noise, harmonics, mean, taper, weight)
    _means(turned, weight, harmonics, mean)
    out = np.empty((channels, harmonics), np.complex64)
    for c in range(channels):
        for k in range(harmonics):
            total = missed = 0.0
            m = mean[c, k]
            for i in range(frames):
                z = turned[i, c, k] - m
                total += weight[i, c, k]
                missed += weight[i, c, k] ** 2 * (z.real**2 + z.imag**2)
            # How sure the mean is, from how far its frames lie from it; overlapping ones are not independent.
            doubt = 9 * missed / total**2
            power = m.real**2 + m.imag**2
            keep = 1 - doubt / power if power > doubt else 0.0
            out[c, k] = m * keep * np.exp(1j * (k + 1) * phase[centre])
    return out


@njit(nogil=True, fastmath=True)
def _turn(amplitudes, phase, turned):
    frames, channels, harmonics = amplitudes.shape
    for i in range(frames):
        z = complex(np.cos(phase[i]), -np.sin(phase[i]))
        p = 1 + 0j
        for k in range(harmonics):
            p *= z
            for c in range(channels):
                turned[i, c, k] = amplitudes[i, c, k] * p


@njit(nogil=True, fastmath=True)
def _means(turned, weight, used, mean):
    frames, channels, _ = turned.shape
    for c in range(channels):
        for k in range(used):
            total = 1e-30
            value = 0j
            for i in range(frames):
                value += weight[i, c, k] * turned[i, c, k]
                total += weight[i, c, k]
            mean[c, k] = value / total


@njit(nogil=True, fastmath=True)
def _doubt(turned, noise, used, mean, taper, weight):
    """Frames far from the mean hold something else, a note that passes through the harmonic: they count less."""
    frames, channels, _ = turned.shape
    far = np.empty(frames, np.float32)
    for c in range(channels):
        for k in range(used):
            for i in range(frames):
                z = turned[i, c, k] - mean[c, k]
                far[i] = z.real**2 + z.imag**2
            usual = 0.3 * in_order(far, frames // 2)
            for i in range(frames):
                weight[i, c, k] = taper[i] / (noise[i, c, k] + usual + far[i])


@njit(nogil=True, fastmath=True, inline="always")
def _start(amplitudes, weight, centre, phase):
    """A steady turn per frame, from the products of neighbouring frames of the low harmonics."""
    frames, channels, harmonics = amplitudes.shape
    low = min(6, harmonics)
    steps = np.zeros(low, np.complex128)
    for i in range(frames - 1):
        for c in range(channels):
            for k in range(low):
                w = np.sqrt(weight[i, c, k] * weight[i + 1, c, k])
                steps[k] += w * amplitudes[i + 1, c, k] * np.conj(amplitudes[i, c, k])
    best, turn = -1e300, 0.0
    for g in range(-24, 25):
        value = 0.0
        for k in range(low):
            value += (steps[k] * np.exp(-1j * (k + 1) * g * 0.005)).real
        if value > best:
            best, turn = value, g * 0.005
    for i in range(frames):
        phase[i] = turn * (i - centre)


@njit(nogil=True, fastmath=True, inline="always")
def _bend(turned, weight, mean, used, centre, reach, phase):
    """Adds to the phase the smooth curve (Chebyshev, one term for 5 frames) that turns the frames to their means."""
    frames, channels, _ = turned.shape
    terms = min(max(4, frames // 5), 12)
    normal, right, basis = np.zeros((terms, terms)), np.zeros(terms), np.ones((frames, terms))
    for i in range(frames):
        pull = stiff = 0.0
        for c in range(channels):
            for k in range(used):
                h, m = k + 1, mean[c, k]
                z, w = turned[i, c, k], weight[i, c, k]
                pull += h * w * (m.real * z.imag - m.imag * z.real)
                stiff += h * h * w * (m.real**2 + m.imag**2)
        t = (i - centre) / reach
        row = basis[i]
        row[1] = t
        for a in range(2, terms):
            row[a] = 2 * t * row[a - 1] - row[a - 2]
        for a in range(terms):
            right[a] += pull * row[a]
            for b in range(terms):
                normal[a, b] += stiff * row[a] * row[b]
    for a in range(terms):
        normal[a, a] += 4.0  # half a radian is what is expected beforehand
    bend = solve(normal, right)
    for i in range(frames):
        for a in range(terms):
            phase[i] += bend[a] * basis[i, a]
