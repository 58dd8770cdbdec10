"""The tape bench: a tape under a slider, with its fields, levels, sound and what the probe finds."""

from __future__ import annotations

import io
import math
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from PIL import Image

from toolkit.clip import Clip
from toolkit.errors import InputUnreadable
from toolkit.widgets.background import Background, Job
from toolkit.widgets.bench_state import BenchState
from toolkit.widgets.pictures import film, magnified, part_shown, shown_as, whole
from toolkit.widgets.reel import Reel
from toolkit.widgets.scopes import WHOLE, describe, vectorscope_png, waveform_png
from toolkit.widgets.sentence import plain
from toolkit.widgets.still import Still
from toolkit.widgets.thumbnails import along, shared
from toolkit.widgets.timecode import parse, written

THUMBNAILS, THUMB_WIDTH, _AT_ONCE = 16, 112, 4
BURST, _BURST_FRAMES = 2.0, 60  # seconds, and at most so many frames
SOUND = 5.0  # seconds


class Bench(Still, BenchState):
    """What `open` gives.  Everything that can be set in the widget can be set from Python, see `BenchState`."""

    def __init__(self, source: Clip | Path | str, *, time: float | None = None, view: str = "woven") -> None:
        self._reel: Reel | None = None
        self._watched = False
        self._background = Background()
        super().__init__()
        self.view = view
        self.observe(self._changed, ["position", "view", "zoom", "centre", "scopes", "asked"])
        self.on_msg(self._told)
        self.load(source, time=time)

    def load(self, source: Clip | Path | str, *, time: float | None = None) -> None:
        """Puts another tape on the bench, `time` seconds in (the middle when left out)."""
        self._background.stop()
        with self._saying(), self.hold_sync():
            self.pictures, self.strip, self.findings, self.tracks, self.detail = [], [], [], [], {}
            self.waveform = self.vectorscope = b""
            self.about = self.timecode = ""
            self.last = self.position = 0
            self._reel, self.name = None, str(source)
            self._reel = Reel(source)
            self.name = self._reel.path.name
            self._draw(time)

    def seek(self, time: float) -> None:
        """Shows the frame on show at `time` seconds on the clip's clock."""
        if self._reel and self._reel.clip and math.isfinite(time):
            self.position = math.floor((time - self._reel.clip.start) * self._reel.rate + 1e-6)

    def draw(self) -> None:
        """Shows what is set now; what cannot be done is said in the widget."""
        with self._saying(), self.hold_sync():
            self._draw()

    def close(self) -> None:
        self._background.stop()
        super().close()

    # -- drawing ---------------------------------------------------------------------------------------------------

    def _changed(self, _: Any) -> None:
        if not self._inside:  # else whoever set it draws in the end
            self.draw()
        self.answered = self.asked

    def _draw(self, time: float | None = None) -> None:
        reel = self._reel
        if reel is None:
            return
        first = reel.clip is None
        if reel.refresh():
            self._describe(first, time)
        part = part_shown(reel.clip.format, self.zoom, self.centre) if self.zoom > 1 else WHOLE
        frame = (reel.order, self.position, self.view)
        now = (frame, part, self.scopes)
        if self._drawn == now:
            return
        batch = reel.frame(self.position)
        if self._drawn[:1] != (frame,):
            self.pictures = [whole(p) for p in shown_as(batch, self.view)]
            self.timecode = written(self.position, reel.rate)
        self.detail = {"part": list(part), "pictures": magnified(batch, self.view, part)} if self.zoom > 1 else {}
        if self.scopes:
            self.waveform, self.vectorscope = waveform_png(batch, part), vectorscope_png(batch, part)
        self._drawn = now
        self._say("", "note")

    def _describe(self, first: bool, time: float | None) -> None:
        """Brings what is said of the file up to date, after it was opened for the first time or again."""
        reel, clip = self._reel, self._reel.clip
        self.last, self.rate, self.aspect = reel.last, reel.rate, float(clip.format.dar)
        self.about, self.scale = str(clip.format), describe(clip.format)
        self.tracks = [f"{t.codec} {t.sample_rate} Hz {t.layout}" for t in clip.sound]
        self._drawn = ()
        if not first:
            self._note(f"{self.name} was changed; this is its new content")
            self.position = min(self.position, self.last)
        elif time is not None:
            self.seek(time)
        else:
            self.position = self.last // 2
        if self._watched:
            self._look_around()

    # -- in the background: nobody waits for thumbnails and probe --------------------------------------------------

    def _look_around(self) -> None:
        reel, clip = self._reel, self._reel.clip
        count, length = min(THUMBNAILS, reel.last + 1), (reel.last + 1) / reel.rate
        self.strip, self.findings = [b""] * count, []
        found: dict[int, bytes] = {}

        def arrived(place: int, picture: Any) -> None:
            found[place] = picture if isinstance(picture, bytes) else b""
            if len(found) % _AT_ONCE == 0 or len(found) == count:
                self.strip = [found.get(n, b"") for n in range(count)]

        def jobs() -> Iterator[Job]:  # runs in the background: touches nothing of the widget
            for place, time in along(clip.start, length, count):
                yield (
                    lambda time=time: shared.get(reel.path, time, THUMB_WIDTH, within=length / count / 2),
                    lambda picture, place=place: arrived(place, picture),
                )
            yield lambda: _probed(clip), self._probed

        self._background.start(jobs())

    def _probed(self, found: Any) -> None:
        if isinstance(found, Exception):
            self.findings = [["not measured", plain(found)]]
            return
        self.findings = [list(row) for row in found.rows()]
        if found.order.confidence >= 0.5 and found.order.order != self._reel.order:
            self._reel.order = found.order.order
            self.about = str(self._reel.clip.format.replace(field_order=found.order.order))
            self.draw()

    # -- what the page asks for ------------------------------------------------------------------------------------

    def _told(self, _: Any, content: dict[str, Any], __: Any) -> None:
        kind = content.get("kind")
        with self._saying():
            starts = kind == "shown" and not self._watched
            self._watched = self._watched or starts
            known = self._reel is not None and self._reel.clip is not None
            self._draw()  # opens the file, too, when it has come back
            if known and starts:
                self._look_around()
            if self._reel is None or kind in ("shown", "again"):
                pass
            elif kind == "go":
                self._go(str(content.get("text", "")))
            elif kind == "play":
                self._play()
            elif kind == "sound":
                self._hear(int(content.get("track") or 0))
        self.send({"kind": "done", "number": content.get("number")})

    def _go(self, text: str) -> None:
        try:
            self.position = parse(text, self._reel.rate)
        except ValueError as error:
            example = written(35, self._reel.rate)
            self._note(f"{error}; expected a time code such as {example}, seconds, or #35 for a frame")
        self._draw()

    def _play(self) -> None:
        """Sends the next two seconds as small pictures with their times; the page plays them."""
        reel = self._reel
        count = max(1, min(round(BURST * reel.rate), _BURST_FRAMES, reel.last + 1 - self.position))
        told, images = film(reel.burst(self.position, count, self._note), self.view)
        if not images:
            raise InputUnreadable(f"no frame of {self.name} could be decoded from {self.timecode} on", files="")
        self.send({"kind": "burst", "position": self.position, **told}, images)

    def _hear(self, track: int) -> None:
        from toolkit.audio.player import flac

        samples, rate = self._reel.sound(self.position, SOUND, track)
        if not samples.shape[1]:
            raise InputUnreadable(f"{self.name} has no sound from {self.timecode} on", files="")
        self.send({"kind": "sound", "from": self.timecode, "seconds": samples.shape[1] / rate}, [flac(samples, rate)])

    def __repr__(self) -> str:
        return f"Bench({self.name}, frame {self.position} of 0-{self.last})"

    def still(self) -> Any:
        if not self.pictures:
            return None
        picture = Image.open(io.BytesIO(self.pictures[0]))
        return picture.resize((picture.width, max(1, round(picture.width / self.aspect))))


def _probed(clip: Clip) -> Any:
    from toolkit.media.probe import probe

    return probe(clip)


def open(clip: Clip | Path | str, *, time: float | None = None, view: str = "woven") -> Bench:
    """Puts a tape on the bench: slider with time code, play, fields, zoom, thumbnails, scopes, sound, findings.

    clip : a path or a `Clip`.
    time : seconds at which to begin; the middle by default.
    view : "woven", "separate" (fields side by side) or "interleaved" (fields in turn).

    Only what is looked at is decoded, so a tape of twelve hours opens like a short one.  Whatever cannot be shown (a
    file that is gone or was changed, say) is said in the widget, and the next move tries again.
    """
    return Bench(clip, time=time, view=view)
