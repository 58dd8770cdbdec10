"""Interrupts runs at a chosen segment and compares files byte for byte."""

from __future__ import annotations

import hashlib
from pathlib import Path

import pytest

import toolkit
from toolkit import segments
from toolkit.pipeline import Pipeline
from toolkit.stages import stage

#: Neighbours before and after a state, and a doubled rate: all that a step can need from the frames before.
STEPS = Pipeline([stage("deinterlace.bwdif")(), stage("denoise.hqdn3d")(), stage("denoise.temporal")()])
QUICK = {"preset": "ultrafast", "threads": 2}


class Stopped(Exception):
    pass


def digest(path: Path) -> str:
    return hashlib.sha256(path.read_bytes()).hexdigest()


def interrupted(after: int, *words, **more) -> None:
    """Runs `toolkit.restore(*words, resume=True, **more)` and stops it when `after` segments are finished."""
    real, made = segments.Journal.add, []

    def add(self, *args):
        real(self, *args)
        made.append(args)
        if len(made) == after:
            raise Stopped

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(segments.Journal, "add", add)
        with pytest.raises(Stopped):
            toolkit.restore(*words, resume=True, **more)
