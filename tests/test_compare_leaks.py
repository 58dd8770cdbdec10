"""Comparisons leave nothing behind, also when they fail: no file, no descriptor, no child, no memory."""

from __future__ import annotations

import os
import sys

import pytest

from tests import _leaks


@pytest.mark.skipif(sys.platform != "linux", reason="counts descriptors as Linux does")
def test_ninety_comparisons_a_third_of_them_failing_leave_nothing(tmp_path):
    looks = list(_leaks.run(90, tmp_path, every=10))
    assert sum(look.failed for look in looks) == 30
    warm = looks[45:]
    assert {look.open for look in warm} == {warm[0].open}
    assert {look.children for look in looks} == {looks[0].children}
    assert {look.left for look in looks} == {()}
    # In full, 1,000 of them: benchmarks/compare_thousand.py.  Here only what would be a frame kept for each.
    assert _leaks.slope(warm) < 40, f"{_leaks.slope(warm):.1f} KiB more for each comparison"


def test_the_counts_see_a_leak(tmp_path, monkeypatch):
    """A comparison that keeps a file open, writes one, and holds on to memory is seen by each count."""
    held = []

    def leaky(of):
        def work():
            held.append(os.open(os.devnull, os.O_RDONLY))
            held.append(bytearray(os.urandom(1 << 22)))
            (tmp_path / "temporary" / f"left{len(held)}").touch()

        return [work]

    monkeypatch.setattr(_leaks, "works", leaky)
    looks = list(_leaks.run(30, tmp_path, every=100))
    os_files = [h for h in held if isinstance(h, int)]
    try:
        assert looks[-1].open >= looks[0].open + 15 and len(looks[-1].left) == 20
        assert _leaks.slope(looks[10:]) > 40
    finally:
        [os.close(h) for h in os_files]
