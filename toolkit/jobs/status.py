"""What the queue looks like at this moment, for people and for programs."""

from __future__ import annotations

import time
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

from toolkit.jobs.queue import Job, Queue


@dataclass(frozen=True)
class Status:
    """The jobs and how many there are in each state.  `str()` is for people, `to_dict()` for programs."""

    counts: dict[str, int]
    jobs: list[Job]
    waits: dict[int, list[int]]

    def to_dict(self) -> dict[str, Any]:
        return {"counts": self.counts, "jobs": [_entry(job, self.waits.get(job.id, [])) for job in self.jobs]}

    def __str__(self) -> str:
        lines = [", ".join(f"{n} {state}" for state, n in self.counts.items() if n) or "the queue is empty"]
        for job in self.jobs:
            waits = self.waits.get(job.id)
            told = [f"{job.id:>5}  {job.state:<9}"]
            told.append(f"{job.source.name} -> {job.output}")
            if job.priority:
                told.append(f"priority {job.priority}")
            if waits:
                told.append(f"after job {', '.join(map(str, waits))}")
            if job.state == "running":
                told.append(_how_far(job))
            elif job.state == "done" and job.started and job.ended:
                told.append(f"in {timedelta(seconds=max(0, round(job.ended - job.started)))}")
            if job.reason:
                told.append(job.reason)
            lines.append("  ".join(told))
        if (more := sum(self.counts.values()) - len(self.jobs)) > 0:
            lines.append(f"and {more} more (--limit)")
        return "\n".join(lines)


def status(queue: Queue, limit: int = -1) -> Status:
    """The queue at this moment.  Never waits for those who write."""
    jobs = queue.jobs(limit=limit)
    waiting = [j.id for j in jobs if j.state in ("pending", "paused")]
    return Status(queue.counts(), jobs, queue.waits(waiting))


def _how_far(job: Job) -> str:
    told = job.progress
    if not told:
        return "begins"
    if job.wish:
        return "is about to stop"
    part = f"{told['stage']}"
    if told["total"]:
        part += f" {100 * told['done'] / told['total']:.0f} %"
    if told["per_second"]:
        part += f" ({told['per_second']:.1f} frames per second"
        part += f", {timedelta(seconds=round(told['left']))} left)" if told["left"] is not None else ")"
    silent = time.time() - (job.beat or 0)
    return part if silent < 30 else f"{part}, not heard of for {timedelta(seconds=round(silent))}"


def _entry(job: Job, waits: list[int]) -> dict[str, Any]:
    told = {
        "id": job.id, "state": job.state, "priority": job.priority, "source": str(job.source),
        "output": str(job.output), "reason": job.reason, "tries": job.tries, "progress": job.progress,
        "waits for": waits, "preset": job.settings["preset"]["name"],
    }  # fmt: skip
    for name in ("added", "started", "ended"):
        at = getattr(job, name)
        told[name] = None if at is None else datetime.fromtimestamp(at).astimezone().isoformat(timespec="seconds")
    return told
