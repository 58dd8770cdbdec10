"""Sweeps on a Dask cluster: the table of this machine, and a worker that dies loses nothing."""

from __future__ import annotations

import os
import signal

import pandas as pd
import pytest

from tests import _sweep as s
from toolkit.sweep import sweep

distributed = pytest.importorskip("distributed", reason="needs the extra: pip install vhs-toolkit[cluster]")
GATES = [4.0, 6.0, 8.0, 12.0, 20.0, 40.0, 60.0, 80.0]
FAST = {"bursts": 2, "length": 3, "metrics": ("psnr", "ssim")}


def test_a_dask_cluster_gives_the_same_table_and_survives_a_killed_worker(tmp_path):
    tape, truth = s.files()
    space = {"denoise.gate": GATES}
    here = sweep(tape, s.PIPELINE, space, truth=truth, folder=tmp_path / "here", **FAST)
    with (
        distributed.LocalCluster(
            n_workers=2, threads_per_worker=1, processes=True, dashboard_address=None, local_directory=str(tmp_path)
        ) as cluster,
        distributed.Client(cluster) as client,
    ):
        pids = list(client.run(os.getpid).values())
        told = []

        def kill_one(row):
            told.append(row)
            if len(told) == 2:
                os.kill(pids[0], signal.SIGKILL)

        there = sweep(tape, s.PIPELINE, space, truth=truth, folder=tmp_path / "there", executor=client.get_executor(),
                      on_result=kill_one, **FAST)  # fmt: skip
    assert len(told) == len(GATES) == there.computed and there.table["error"].isna().all()
    measures = [c for c in here.table if c.startswith(("psnr", "ssim", "noise", "paired"))]
    pd.testing.assert_frame_equal(here.table[measures], there.table[measures])
