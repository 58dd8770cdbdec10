"""A run that can be interrupted at any moment and gone on with: segment by segment, then joined with the sound."""

from __future__ import annotations

import itertools
import os
from collections.abc import Callable, Iterable, Iterator
from contextlib import closing
from fractions import Fraction
from pathlib import Path
from typing import Any

import av

from toolkit import scratch
from toolkit.clip import Batch
from toolkit.errors import NOTHING_WRITTEN, KnobError, OutputFailed, ToolkitError
from toolkit.identity import digest_of, tape_identity
from toolkit.making import Seen, SegmentMaker, digest, dropped
from toolkit.media.encode import Encoding, repeatable
from toolkit.media.packets import joined, setup_data, times
from toolkit.media.read import Reader
from toolkit.media.write import CONTAINERS
from toolkit.pipeline import Run, counted
from toolkit.runner import Runner, versions, with_format
from toolkit.segments import Journal, is_joined
from toolkit.stages.memory import Memory, lead_in, recursive_steps
from toolkit.stream import Drain, ahead

SHORTEST = 8  # frames in a segment


class ResumableRunner(Runner):
    """A `Runner` that writes segments through a `Journal`.

    segment : seconds of tape in one.  wish : what was asked of the sound, which the journal keeps.

    A segment's pictures come from an encoder of its own and begin with a key frame.  Steps begin a segment with the
    state and the neighbours they had in the uninterrupted run (`stages.memory`).  Where `warm_up` is more than 0 they
    begin without their state, so many frames early.
    """

    warm_up = 0

    def __init__(
        self, *run: Any, segment: float, wish: dict[str, Any], done: Callable[[Run], None] | None = None
    ) -> None:
        super().__init__(*run)
        if not segment > 0:
            raise KnobError(f"segments of {segment:g} s were asked for", expected="more than 0 s")
        whole = Fraction(self.plan.rate).denominator
        self.length = -(-max(SHORTEST, round(segment * float(self.clip.rate or 25))) // whole) * whole
        self.wish, self._done = wish, done
        self.settings["options"] = repeatable(self.settings["codec"], self.settings.get("options") or {})
        self.journal: Journal

    def run(self) -> Run:
        scratch.sweep()  # what the interrupted run could not clear up
        with Journal(self.output, self._description()) as self.journal:
            self.settings["threads"] = self.journal.run["encoder"]["threads"]
            try:
                result = super().run()
            except ToolkitError as error:
                if self.journal.segments and error.files == NOTHING_WRITTEN:
                    error.tell_of_files(f"what is finished was kept in {self.journal.folder}")
                raise
            if self._done is not None:
                self._done(result)
            self.journal.remove()
            return result

    def _description(self) -> dict[str, Any]:
        """All that the bytes of the output depend on."""
        models = {str(s.knobs["model"]) for s in self.plan.pipeline if "model" in s.knobs}
        return {
            "tape": tape_identity(self.clip.path),
            "frames": list(self.frames),
            "picture": str(self.plan.formats[0]),
            **self.plan.pipeline.to_dict(),
            "weights": {m: digest_of(Path(m)) for m in sorted(models)},
            "device": self.plan.device,
            "container": CONTAINERS[self.output.suffix.lower()],
            "encoder": dict(self.settings),
            "sound": self.wish,
            "frames in a segment": self.length,
            # x265 lays its work out by the cores it finds, whatever number of threads it is given.
            "cores": os.cpu_count() if self.settings["codec"] == "h265" else None,
            **({"warm-up frames": self.warm_up} if self.warm_up else {}),
            "version of": {**versions(), **{n: ".".join(map(str, v)) for n, v in av.library_versions.items()}},
        }

    def _picture_and_sound(self) -> int:
        damaged, before = self.journal.verify()
        if damaged:
            told = f"{len(damaged)} finished segments were found damaged and are made again"
            self.notes.append(told + (f", with {len(before)} that lead up to them" if before else ""))
        done = sum(self.journal.segments.values())
        if done:
            self.notes.append(f"went on with a run that was interrupted; {done} frames were finished before")
            self._recall()
        total = int(self.plan.frames * self.plan.rate) if self.plan.frames else None
        self.progress.stage("restore", total, done - sum(self.journal.segments[n] for n in before))
        self._make_missing()
        self._join()
        return self.journal.end["frames"]

    # -- making segments -----------------------------------------------------------------------------------------

    def _make_missing(self) -> None:
        while gap := self.journal.gap():
            self._make(*gap)

    def _make(self, first: int, stop: int | None, seek: bool = True) -> None:
        """Makes the segments `first` to `stop` - 1, or up to the tape's end."""
        pipeline, fmt = self.plan.pipeline, self.plan.formats[0]
        begins = self._lead_in(first)
        read_from = max(0, begins[0] - 1)  # the frame before is looked at, to see that seeking is exact
        start = read_from if seek else 0
        with (
            Reader(self.clip, size=self.plan.batch, frames=(self.frames[0] + start, self.frames[1])) as reader,
            closing(ahead(reader)) as decoded,
        ):
            frames = dropped(decoded, read_from - start)
            head = next(frames, None)
            if head is None:
                raise self._no_frames()
            if first and not self._is_due(first, head):
                if not seek:
                    raise OutputFailed(
                        f"{self.clip.path} does not give the same pictures as when the run was begun",
                        files=f"what is finished was kept in {self.journal.folder}",
                        hint=f"delete {self.journal.folder} to begin anew",
                    )
            else:
                if not first:
                    self._settle_clock(head)
                seen = Seen(self._looked_at, read_from, first)
                stream = seen.watch(counted(with_format(head, frames, fmt), self.context, "read"))
                memories = self._memories(first, begins)
                flow = pipeline.stream(dropped(stream, begins[0] - read_from), fmt, self.context, memories)
                maker = SegmentMaker(self, first)
                try:
                    with Drain(maker) as drain:
                        ended = self._cut(flow, drain, first, stop, seen, memories, lambda: start + reader.frames_read)
                finally:
                    maker.abort()
                if ended is not None and self.journal.end is None:
                    self.journal.add_end(ended)
                return
        self.notes.append("seeking in the tape is not exact, so it was read again from its beginning")
        self._make(first, stop, seek=False)

    def _is_due(self, first: int, head: Batch) -> bool:
        """Whether reading for segment `first` began, with `head`, where it should."""
        return digest(head) == self.journal.seen(first - 1)

    def _settle_clock(self, head: Batch) -> None:
        self._begin(head)
        facts = {"time_base": self.time_base, "origin": self.origin, "until": self.until}
        self.journal.add_begin(**{k: None if v is None else str(v) for k, v in facts.items()})

    def _cut(
        self,
        flow: Iterator[Batch],
        drain: Drain,
        first: int,
        stop: int | None,
        seen: Seen,
        memories: list[Memory],
        frames: Callable[[], int],
    ) -> dict[str, int] | None:
        """Sends batches and the ends of segments to `drain`; what the tape's end is like when it came."""
        number, at, size = first, 0, int(self.length * self.plan.rate)
        for batch in flow:
            while len(batch):
                part, batch = batch[: size - at], batch[size - at :]
                at += len(part)
                drain.put(part)
                if at == size:
                    number, at = number + 1, 0
                    drain.put((self._states(number, memories), seen.before(number), None))
                    if number == stop:
                        return None
        end = {"segments": number + bool(at), "frames": frames()}
        if at:  # a short segment is the last; a run that goes on after it must not look for another
            drain.put(({}, None, end))
        return end

    def _lead_in(self, segment: int) -> list[int]:
        return lead_in(self.plan.pipeline, self.plan.formats, segment * self.length, self.warm_up)

    def _looked_at(self, segment: int) -> int:
        """The frame whose digest tells whether reading for `segment` begins where it should."""
        return max(0, self._lead_in(segment)[0] - 1)

    def _begins_of(self, step: int, segment: int) -> Iterator[int]:
        """The first frame of a step for `segment` and each one after it."""
        return (self._lead_in(k)[step] for k in itertools.count(segment))

    def _memories(self, first: int, begins: list[int]) -> list[Memory]:
        states = self.journal.load_states(first - 1)
        memories = []
        for n, (step, fmt) in enumerate(zip(self.plan.pipeline, self.plan.formats, strict=False)):
            keep = self._begins_of(n, first + 1) if n in self._stateful else iter(())
            skip = begins[n + 1] - int(begins[n] * step.stage.rate(fmt, step.knobs))
            memories.append(Memory(begins[n], states.get(n), keep, skip))
        return memories

    def _states(self, segment: int, memories: list[Memory]) -> dict[int, Any]:
        """With what recursive steps begin `segment`."""
        begins = self._lead_in(segment)
        return {
            n: memories[n].kept.pop(begins[n])
            for n in self._stateful
            if begins[n]
        }

    @property
    def _stateful(self) -> tuple[int, ...]:
        """The steps whose state goes from one segment to the next."""
        return () if self.warm_up else recursive_steps(self.plan.pipeline)

    # -- joining -------------------------------------------------------------------------------------------------

    def _recall(self) -> None:
        """The output's clock as the first segment settled it."""
        facts = self.journal.begin
        self.time_base, self.origin = Fraction(facts["time_base"]), Fraction(facts["origin"])
        self.until = None if facts["until"] is None else Fraction(facts["until"])

    def _join(self) -> None:
        self.frames_out = sum(self.journal.segments.values())
        self.progress.stage("join", self.frames_out)
        if is_joined(self.output):
            self.written = self.encoding.written_format
            return
        with self._writer() as writer:
            self.written = writer.written_format
            writer.before_rename = self.journal.add_joined
            odd = [f.name for f in self._files() if setup_data(f) != writer.setup_data]
            if odd:
                raise OutputFailed(
                    f"the encoder began {', '.join(odd[:3])} otherwise than it would begin the file",
                    hint="another codec (--codec), and please report this",
                )
            self.context.timed("join", lambda: writer.copy(self._told(joined(self._files()))))

    def _files(self) -> Iterator[Path]:
        return (self.journal.packets(n) for n in range(self.journal.end["segments"]))

    def _told(self, pictures: Iterable[Any]) -> Iterator[Any]:
        for picture in pictures:
            yield picture
            self.progress.step()

    def _shown(self) -> Iterator[Fraction]:
        clock = self.encoding.clock
        return (t * clock for t in times(self._files()))

    @property
    def encoding(self) -> Encoding:
        return Encoding(self.plan.output, self.time_base, kind=self.journal.run["container"], **self._encoder())
