"""Alerts of a watched run: each says what was seen and what the likely cause is."""

from __future__ import annotations

from collections import deque
from dataclasses import dataclass

from toolkit.profiling.looks import Look, Tree

MIB, GB = 2.0**20, 1e9


@dataclass(frozen=True)
class Limits:
    """When to speak.  Shares are 0 to 1, times are seconds.

    memory : bytes.  temp_per_hour : bytes an hour, over the last `temp_over` seconds.  cpu : of the machine, for
    `cpu_for` seconds.  gpu : less than this for `gpu_for` seconds in which the watched works and has opened a GPU.
    open_files : of all processes together.  zombies_for : a child that ended and was not waited for so long.
    """

    memory: float = 4 * GB
    temp_per_hour: float = 10 * GB
    temp_over: float = 60.0
    cpu: float = 0.95
    cpu_for: float = 300.0
    gpu: float = 0.60
    gpu_for: float = 30.0
    open_files: float = 1000
    zombies_for: float = 5.0


@dataclass(frozen=True)
class Alert:
    """kind : memory, temporary, cpu, gpu, open files, zombies or left running.  at : seconds since the beginning."""

    kind: str
    at: float
    seen: str
    cause: str

    def __str__(self) -> str:
        return f"ALERT at {self.at:.0f} s, {self.kind}: {self.seen}; likely cause: {self.cause}"


class Alerts:
    """Speaks once when a limit is passed, and again only after things were well in between."""

    def __init__(self, limits: Limits) -> None:
        self.limits = limits
        self._past: deque[Look] = deque()
        self._since: dict[str, float] = {}
        self._said: set[str] = set()

    def look(self, look: Look, tree: Tree) -> list[Alert]:
        """What is to be said after this look."""
        limits, found = self.limits, []
        self._past.append(look)
        while len(self._past) > 2 and self._past[1].seconds <= look.seconds - max(limits.temp_over, 60.0):
            self._past.popleft()
        if self._lasts("memory", look.memory > limits.memory, look, 0):
            seen = f"{look.memory / GB:.2f} GB in use, more than {limits.memory / GB:g} GB"
            found.append(Alert("memory", look.seconds, seen, self._memory_cause(look, tree)))
        rate = temp_rate([(p.seconds, p.temp_bytes) for p in self._past], limits.temp_over)
        if self._lasts("temporary", rate is not None and rate > limits.temp_per_hour, look, 0):
            seen = f"temporary files grow by {rate / GB:.1f} GB an hour, more than {limits.temp_per_hour / GB:g} GB"
            cause = "files are made and not removed while it runs (`profile temp` says who makes them)"
            found.append(Alert("temporary", look.seconds, seen, cause))
        if self._lasts("cpu", look.machine_cpu > limits.cpu, look, limits.cpu_for):
            seen = f"the processor was more than {100 * limits.cpu:g} % busy for {limits.cpu_for:g} s"
            found.append(Alert("cpu", look.seconds, seen, _cpu_cause(look)))
        low = look.gpu is not None and look.gpu < limits.gpu and look.cpu > 0 and tree.uses_gpu()
        if self._lasts("gpu", low, look, limits.gpu_for):
            seen = f"the GPU computed less than {100 * limits.gpu:g} % of the time for {limits.gpu_for:g} s"
            found.append(Alert("gpu", look.seconds, seen, _gpu_cause(look)))
        many = look.open_files is not None and look.open_files > limits.open_files
        if self._lasts("open files", many, look, 0):
            process, one = max(tree.ones.items(), key=lambda item: item[1].files)
            seen = f"{look.open_files:g} open files, more than {limits.open_files:g}"
            cause = f"{one.name} ({process.pid}) holds {one.files}: files, pipes or sockets are opened and not closed"
            found.append(Alert("open files", look.seconds, seen, cause))
        if self._lasts("zombies", look.zombies > 0, look, limits.zombies_for):
            dead = ", ".join(f"{one.name} ({p.pid})" for p, one in tree.ones.items() if one.zombie)
            seen = f"ended children that nobody has waited for: {dead}"
            found.append(Alert("zombies", look.seconds, seen, "a program is started and neither wait nor poll follows"))
        return found

    def _lasts(self, kind: str, bad: bool, look: Look, needed: float) -> bool:
        if not bad:
            self._since.pop(kind, None)
            self._said.discard(kind)
            return False
        since = self._since.setdefault(kind, look.seconds)
        if kind in self._said or look.seconds - since < needed:
            return False
        self._said.add(kind)
        return True

    def _memory_cause(self, look: Look, tree: Tree) -> str:
        process, one = max(tree.ones.items(), key=lambda item: item[1].memory)
        who = f"{one.name} ({process.pid}) holds {one.memory / MIB:.0f} MiB of it"
        if process != tree.root and one.memory > look.memory / 2:
            return f"a child, {who}"
        then = self._past[len(self._past) // 2]
        grown = look.memory - then.memory
        if look.seconds - then.seconds >= 5 and grown > look.memory / 10:
            spent = look.seconds - then.seconds
            return f"something is kept: {who}, {grown / MIB:.0f} MiB more than {spent:.0f} s ago (a list or cache)"
        return f"too much is held at once: {who} (larger frames or more of them than fit: --max-memory)"


def temp_rate(past: list[tuple[float, float | None]], over: float) -> float | None:
    """Bytes an hour by which it grew over the last `over` seconds; None before so much time has passed.

    past : times in seconds, with bytes.
    """
    known = [(seconds, held) for seconds, held in past if held is not None]
    old = [one for one in known if one[0] <= known[-1][0] - over]
    if not old:
        return None
    (then, before), (now, after) = old[-1], known[-1]
    return (after - before) / (now - then) * 3600


def _cpu_cause(look: Look) -> str:
    if look.cpu < look.machine_cpu / 2:
        return f"other programs: the watched one has only {100 * look.cpu:.0f} % of the processor"
    many = f"its {look.threads:g} threads in {look.processes} processes"
    return f"the watched one itself has {100 * look.cpu:.0f} %, with {many}: fewer threads, jobs or a cheaper stage"


def _gpu_cause(look: Look) -> str:
    if look.machine_cpu > 0.8:
        return f"the processor is {100 * look.machine_cpu:.0f} % busy: decoding or filters before the GPU are too slow"
    disk = (look.read_rate or 0) + (look.write_rate or 0)
    if disk > 50 * MIB:
        return f"the disk is busy with {disk / MIB:.0f} MiB a second: frames go over temporary files"
    return "one thread feeds it frame by frame and waits for each: larger batches"
