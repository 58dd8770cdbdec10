"""The job board: shows the queue as it is, its buttons reach it, and what is wrong is said without a traceback."""

from __future__ import annotations

import sqlite3
import time

import pytest

from tests import _media as m
from tests._segments import QUICK
from toolkit.jobs import Queue, Wish, database
from toolkit.widgets import jobs

FAST = {"write": QUICK, "frames": [0, 16], "segment": 0.27, "field_order": "tff", "audio": "none"}
#: Seconds of work, so that it can be stopped in the middle.
SLOW = {**FAST, "frames": [0, 120], "write": {"preset": "veryslow", "threads": 1}}


@pytest.fixture
def queue(tmp_path):
    found = Queue(tmp_path / "q.db")
    for n in range(3):
        (tmp_path / f"{n}.avi").symlink_to(m.made("huffyuv.avi"))
    found.add([Wish(tmp_path / f"{n}.avi", tmp_path / f"{n}.mp4", "vhs-fast", settings=FAST) for n in range(3)])
    return found


def states(board):
    board.refresh()
    return {r["id"]: r["state"] for r in board.table.rows}


def test_the_list_is_the_queue_s_and_the_buttons_reach_it(queue):
    board = jobs(queue)
    assert states(board) == {1: "pending", 2: "pending", 3: "pending"} and "3 pending" in board.message.value
    assert all(r["thumb"].startswith("data:image/jpeg") for r in board.table.rows)
    board.act("earlier", 3)
    assert [r["id"] for r in board.table.rows] == [1, 3, 2]
    board.act("later", 1)
    assert [r["id"] for r in board.table.rows] == [3, 1, 2]
    board.act("earlier", 3)
    assert [r["id"] for r in board.table.rows] == [3, 1, 2], "the first stays the first"
    board.act("pause", 1)
    assert queue.job(1).state == "paused" and "resume" in next(r for r in board.table.rows if r["id"] == 1)["actions"]
    board.act("resume", 1)
    board.act("cancel", 2)
    assert queue.job(2).state == "cancelled" and queue.job(1).state == "pending"
    board.act("retry", 2)
    assert queue.job(2).state == "pending"
    board.act("resume", 2)
    assert "job 2 is pending" in board.message.value, "too late a click is answered"
    board.act("cancel", 99)
    assert "no job 99" in board.message.value


def test_a_worker_is_started_and_does_the_work(queue, tmp_path):
    board = jobs(queue.path)
    board.start_button.click()
    assert board.start_button.disabled
    end = time.monotonic() + 240
    while set(states(board).values()) != {"done"} or board._worker is not None:
        assert time.monotonic() < end, board.table.rows
        time.sleep(0.1)
    assert all(r["share"] == 1.0 for r in board.table.rows) and (tmp_path / "2.mp4").exists()
    assert not board.start_button.disabled and board.stop_button.disabled


def test_a_worker_is_stopped_and_its_job_waits_again(tmp_path):
    queue = Queue(tmp_path / "q.db")
    queue.add([Wish(m.repeated("huffyuv.avi", 4), tmp_path / "slow.mp4", "vhs-fast", settings=SLOW)])
    board = jobs(queue)
    board.start_worker()
    program = board._worker
    end = time.monotonic() + 120
    while states(board) != {1: "running"}:
        assert time.monotonic() < end
        time.sleep(0.05)
    board.stop_button.click()
    while program.poll() is None:
        assert time.monotonic() < end
        time.sleep(0.05)
    assert states(board) == {1: "pending"}


def test_a_tape_that_vanished_is_said(queue, tmp_path):
    (tmp_path / "1.avi").unlink()
    row = next(r for r in jobs(queue).table.rows if r["id"] == 2)
    assert "the tape is not at" in row["note"] and row["thumb"] == ""


def test_a_damaged_file_is_said_and_its_copy_is_shown(queue):
    queue.close()
    for ending in ("-wal", "-shm"):
        queue.path.with_name(queue.path.name + ending).unlink(missing_ok=True)
    queue.path.write_bytes(b"not a database at all" * 1000)
    board = jobs(queue.path)
    assert "was damaged" in board.message.value and len(board.table.rows) == 3


def test_a_file_that_is_held_is_said_and_the_board_lives_on(queue, monkeypatch):
    board = jobs(queue)
    monkeypatch.setattr(database, "PATIENCE", 0.2)
    queue.close()
    other = sqlite3.connect(queue.path, isolation_level=None)
    other.execute("BEGIN IMMEDIATE")
    board.act("pause", 1)
    assert "held by another program" in board.message.value
    other.execute("ROLLBACK")
    other.close()
    board.act("pause", 1)
    assert queue.job(1).state == "paused" and "1 paused" in board.message.value


def test_a_file_that_cannot_be_used_is_said(tmp_path):
    assert "cannot be used" in jobs(tmp_path).message.value
