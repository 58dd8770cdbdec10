"""What a process and all it started look like at one moment, read from outside."""

from __future__ import annotations

import contextlib
import os
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import psutil

from toolkit.profiling.device import Device
from toolkit.profiling.sizes import folder_bytes

LINUX = Path("/proc/self/fd").exists()


@dataclass
class Look:
    """One moment.  None where the system does not tell, or not to this user.

    at : seconds since 1970; seconds : since the watching began.  memory : bytes of all processes together, pages that
    several share counted once.  cpu : share of all cores used by the watched; machine_cpu : by everybody, 0 to 1.
    read_rate, write_rate : bytes a second.  temp_bytes : on the disk in the folder for temporary files, by whomever.
    gpu : share of the time in which the busiest one computed; gpu_bytes : in use on all, by whomever.
    queue_latency : seconds from adding the job to its start; lock_wait : seconds to get the queue for writing.
    """

    at: float
    seconds: float
    processes: int
    zombies: int
    memory: float
    cpu: float
    machine_cpu: float
    read_rate: float | None
    write_rate: float | None
    open_files: float | None
    threads: float
    temp_bytes: float | None
    gpu: float | None = None
    gpu_bytes: float | None = None
    stage: str | None = None
    frames_per_second: float | None = None
    queue_latency: float | None = None
    lock_wait: float | None = None


@dataclass
class One:
    """A process as it was seen last."""

    name: str
    memory: int
    files: int
    threads: int
    zombie: bool


class Tree:
    """A process and its children, theirs too.  Raises `psutil.Error` when there is none of this id."""

    def __init__(self, pid: int) -> None:
        self.root = psutil.Process(pid)
        self.name = self.root.name()
        self.ones: dict[psutil.Process, One] = {}  # as of the last look
        self.known: dict[psutil.Process, str] = {}  # every child that was ever seen
        self._spent = self._read = self._written = 0.0
        self._machine = psutil.cpu_times()
        self._looked: float | None = None

    def look(self, began: float) -> Look | None:
        """None once the process has ended; one that ended and whose parent has not noticed yet has ended as well."""
        try:
            if not self.root.is_running() or self.root.status() == psutil.STATUS_ZOMBIE:
                return None
            members = [self.root, *self.root.children(recursive=True)]
        except psutil.Error:
            return None
        self.ones = {}
        spent = read = written = 0.0
        told = True
        for process in members:
            with contextlib.suppress(psutil.Error, OSError), process.oneshot():
                # Those of children that ended and were waited for are in it, so that short ones count.
                spent += sum(process.cpu_times()[:4])
                if process.status() == psutil.STATUS_ZOMBIE:
                    self.ones[process] = One(process.name(), 0, 0, 0, True)
                    continue
                one = One(process.name(), _memory(process, len(members)), 0, process.num_threads(), False)
                self.ones[process] = one
                if process != self.root:
                    self.known[process] = one.name
                try:
                    one.files = process.num_fds() if os.name == "posix" else process.num_handles()
                    io = process.io_counters()
                    read, written = read + io.read_bytes, written + io.write_bytes
                except (psutil.AccessDenied, AttributeError, OSError):
                    told = False  # another user's, or a system that does not count
        if self.root not in self.ones:
            return None
        now, machine = time.monotonic(), psutil.cpu_times()
        gone = max(now - self._looked, 1e-3) if self._looked is not None else None
        busy = _busy(machine) - _busy(self._machine)
        whole = sum(machine[:8]) - sum(self._machine[:8])

        def rate(after: float, before: float) -> float:
            return max(0.0, after - before) / gone if gone else 0.0

        look = Look(
            time.time(), now - began, len(self.ones), sum(o.zombie for o in self.ones.values()),
            float(sum(o.memory for o in self.ones.values())), rate(spent, self._spent) / (os.cpu_count() or 1),
            min(1.0, max(0.0, busy / whole)) if gone and whole > 0 else 0.0,
            rate(read, self._read) if told else None, rate(written, self._written) if told else None,
            float(sum(o.files for o in self.ones.values())) if told else None,
            float(sum(o.threads for o in self.ones.values())), None,
        )  # fmt: skip
        self._spent, self._read, self._written = spent, read, written
        self._looked, self._machine = now, machine
        return look

    def left(self, patience: float = 0.5) -> list[str]:
        """Names of children that go on running although the process has ended."""
        end = time.monotonic() + patience
        while left := [p for p in self.known if runs(p)]:
            if time.monotonic() > end:
                return [f"{self.known[p]} ({p.pid})" for p in left]
            time.sleep(0.05)
        return []

    def uses_gpu(self) -> bool:
        """Whether one of them has opened a GPU; where that cannot be seen, yes."""
        if not LINUX:
            return True
        for process in self.ones:
            with contextlib.suppress(OSError):
                for entry in os.scandir(f"/proc/{process.pid}/fd"):
                    if os.readlink(entry.path).startswith("/dev/nvidia"):
                        return True
        return False


def runs(process: psutil.Process) -> bool:
    """Whether it has not ended; one that waits for its parent to notice has."""
    with contextlib.suppress(psutil.Error):
        return process.is_running() and process.status() != psutil.STATUS_ZOMBIE
    return False


def _memory(process: psutil.Process, members: int) -> int:
    if members > 1 and LINUX:
        with contextlib.suppress(psutil.AccessDenied):
            return process.memory_full_info().pss
    return process.memory_info().rss


def _busy(times: Any) -> float:
    return sum(times[:8]) - times.idle - getattr(times, "iowait", 0.0)


def gpu_look(look: Look, device: Device) -> None:
    """Adds what NVML says."""
    if (seen := device.look()) is not None:
        look.gpu, look.gpu_bytes = seen.share, float(seen.bytes)


class TempFolder:
    """Bytes on the disk in a folder.  A large one is gone through more seldom, so that this costs next to nothing.

    cost : processor seconds that the last `bytes()` took.
    """

    SHARE = 0.005  # of one core

    def __init__(self, path: Path) -> None:
        self.path = path
        self._bytes, self._next, self.cost = 0.0, 0.0, 0.0

    def bytes(self) -> float:
        self.cost = 0.0
        if (now := time.monotonic()) >= self._next:
            began = time.thread_time()
            self._bytes = float(folder_bytes(self.path))
            self.cost = time.thread_time() - began
            self._next = now + self.cost / self.SHARE
        return self._bytes
