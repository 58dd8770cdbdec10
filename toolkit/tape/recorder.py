"""Tape: the faults of a recording as knobs, and the recording itself.  Recording: a made tape beside its truth."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from fractions import Fraction
from typing import Annotated, Any, Literal

import numpy as np

from kernels.declare import Knob, Parameter, parameters
from toolkit.clip import Batch, PictureFormat
from toolkit.convert import convert
from toolkit.errors import KnobError, PictureError, UnknownName
from toolkit.tape import composite, faults, sound

Levels = Annotated[float, Knob(0, 60, step=0.5, unit="levels", soft=(0, 20))]
Nanoseconds = Annotated[float, Knob(0, 5000, step=1, unit="ns", soft=(0, 2000))]
Decibels = Annotated[float, Knob(-120, 0, step=1, unit="dBFS", soft=(-90, -20))]


@dataclass(frozen=True)
class Recording:
    """A stretch of made tape and what it was made from.

    tape     : interlaced frames.
    truth    : the clean frames at the tape's field rate, two for every frame, each at its own field's time.
    dropouts : bool `(T, H, W)`, where a dropout covers the luma of `tape`.
    """

    tape: Batch
    truth: Batch
    dropouts: np.ndarray

    @property
    def truth_frames(self) -> Batch:
        """The clean frames at the tape's frame rate: those of each frame's first field.  Views."""
        t = self.truth
        return t.replace(planes=tuple(p[::2] for p in t.planes), pts=t.pts[::2], durations=t.durations[::2] * 2)


@dataclass(frozen=True)
class Tape:
    """A VHS recorder with chosen faults: makes interlaced frames from clean progressive ones.

    The defaults are those of a worn tape without a time base corrector.  `Tape.ideal()` has no fault at all: its
    frames are the truth's lines, woven.  `Tape.only(luma_noise=6)` has the faults given and no other.

    Frame n of a seed is always the same samples, whatever the batches were and whatever came before.  Each fault
    draws its own random numbers: switching one off leaves the others as they were.

    standard           "ntsc": 720x480, 59.94 fields/s; "pal": 720x576, 50 fields/s.
    field_order        which field comes first.
    luma_bandwidth     -3 dB point along the line (Butterworth, order 4, no phase shift).  VHS holds about 3 MHz.
                       6.75 MHz, all that 720 samples hold, changes nothing.
    sharpening         rise of luma at 2 MHz, as a recorder's sharpness control gives it: edges swing over on their
                       light side and under on their dark side.  0 changes nothing.
    chroma_bandwidth   the same for Cb and Cr.  3.375 MHz, all that 360 samples hold, changes nothing.
    chroma_lines       how many field lines of chroma the playback comb filter averages: each line with those above,
                       so colour also sinks.  1 changes nothing.
    composite          how much of what a composite connection and a simple decoder mix up: colour left in luma (dot
                       crawl) and luma taken for colour (rainbows).  0 changes nothing.
    chroma_delay       colour lies this far right (left when negative) of the luma it belongs to.
    luma_noise         deviation of normal noise in 8-bit levels, after the tape's bandwidth.
    chroma_noise       the same in Cb and in Cr, each on its own.
    luma_noise_length, chroma_noise_length
                       correlation along the line: it falls as exp(-distance / length).  Fields are independent.
    jitter             deviation of the horizontal place of a line.  One luma sample is 74 ns.
    jitter_lines       its correlation length down the field; 0 makes lines independent.
    head_switch_lines  field lines at the bottom that come from the other head, skewed and, at the switch, noisy.
    head_switch_skew   how far the lowest of them are moved to the right.
    dropouts           lost signal, Poisson in time.
    dropout_length     mean of the exponential length; long ones run on in the next lines.
    dropout_white      share that shows as white, the others are black.  Colour is gone in both.
    hiss               RMS of white noise in each sound channel; -120 dBFS is off.  0 dBFS is an RMS of 1.
    hum                RMS of the mains frequency (60 Hz ntsc, 50 Hz pal); four harmonics follow at -6, -10, -16
                       and -20 dB.  The same in all channels; -120 dBFS is off.
    sound_delay        how much later than its picture the sound starts.
    sound_drift        how much longer the sound runs: 100 ppm are 0.36 s in an hour.
    """

    standard: Literal["ntsc", "pal"] = "ntsc"
    seed: Annotated[int, Knob(0, 2**63 - 1, step=1)] = 0
    field_order: Literal["tff", "bff"] = "tff"
    luma_bandwidth: Annotated[float, Knob(0.5, 6.75, step=0.05, unit="MHz", soft=(1.5, 6.75))] = 3.0
    sharpening: Annotated[float, Knob(0, 18, step=0.5, unit="dB", soft=(0, 12))] = 0.0
    chroma_bandwidth: Annotated[float, Knob(0.1, 3.375, step=0.005, unit="MHz", soft=(0.3, 3.375))] = 0.5
    chroma_lines: Annotated[int, Knob(1, 8, step=1, unit="lines")] = 2
    composite: Annotated[float, Knob(0, 1, step=0.05, unit="of the fault")] = 0.0
    chroma_delay: Annotated[float, Knob(-2000, 2000, step=1, unit="ns", soft=(-600, 600))] = 200.0
    luma_noise: Levels = 4.0
    luma_noise_length: Nanoseconds = 120.0
    chroma_noise: Levels = 5.0
    chroma_noise_length: Nanoseconds = 900.0
    jitter: Annotated[float, Knob(0, 1000, step=1, unit="ns", soft=(0, 200))] = 25.0
    jitter_lines: Annotated[float, Knob(0, 200, step=1, unit="lines")] = 6.0
    head_switch_lines: Annotated[int, Knob(0, 32, step=1, unit="lines")] = 5
    head_switch_skew: Annotated[float, Knob(-20, 20, step=0.1, unit="us")] = 2.5
    dropouts: Annotated[float, Knob(0, 100000, step=1, unit="per minute", soft=(0, 1000))] = 120.0
    dropout_length: Annotated[float, Knob(0.5, 2000, step=0.5, unit="us", soft=(1, 100))] = 18.0
    dropout_white: Annotated[float, Knob(0, 1, step=0.05)] = 0.7
    hiss: Decibels = -50.0
    hum: Decibels = -52.0
    sound_delay: Annotated[float, Knob(-2000, 2000, step=0.1, unit="ms")] = 0.0
    sound_drift: Annotated[float, Knob(-10000, 10000, step=1, unit="ppm", soft=(-500, 500))] = 0.0

    def __post_init__(self) -> None:
        for name, parameter in Tape.knobs().items():
            try:
                value = parameter.check("tape", getattr(self, name))
            except (ValueError, TypeError) as wrong:
                raise KnobError(str(wrong)) from None
            object.__setattr__(self, name, value)

    # The knobs

    @staticmethod
    def knobs() -> dict[str, Parameter]:
        """Every knob by name, with its range, unit and default."""
        if not _KNOBS:
            _KNOBS.update(parameters(Tape)[1])
        return dict(_KNOBS)

    @classmethod
    def ideal(cls, standard: str = "ntsc", **given: Any) -> Tape:
        """A recorder without any fault."""
        return cls.of(standard=standard, **{**OFF, **given})

    only = ideal

    @classmethod
    def of(cls, **given: Any) -> Tape:
        """The Tape with these knobs; `UnknownName`, with the near names, for one that does not exist."""
        for name in given:
            if name not in cls.knobs():
                raise UnknownName("tape knob", name, cls.knobs())
        return cls(**given)

    def replace(self, **changes: Any) -> Tape:
        return Tape.of(**{**self.to_dict(), **changes})

    def to_dict(self) -> dict[str, Any]:
        return dataclasses.asdict(self)

    # The shape of what is made

    @property
    def raster(self) -> faults.Raster:
        return faults.RASTERS[self.standard]

    @property
    def field_rate(self) -> Fraction:
        return Fraction(*self.raster.fields_per_second)

    def format(self, subsampling: tuple[int, int] = (1, 0), field_order: str | None = None) -> PictureFormat:
        """The tape's picture format: 720 samples wide, BT.601, shown 4:3 (SAR 8:9 for ntsc, 16:15 for pal).

        These are the aspect ratios that DV and DVD recorders write: all 720 samples are shown 4:3.
        """
        return PictureFormat(
            width=720,
            height=self.raster.active_lines,
            subsampling=subsampling,
            sar=Fraction(*self.raster.sar),
            field_order=field_order or self.field_order,
            matrix="bt601",
            primaries="smpte170m" if self.standard == "ntsc" else "bt470bg",
            transfer="smpte170m",
        )

    # Picture

    def prepare(
        self,
        clean: Iterable[Batch],
        *,
        motion: Literal["hold", "retime"] = "hold",
        fit: Literal["crop", "letterbox", "stretch"] = "crop",
        to: PictureFormat | None = None,
    ) -> Iterator[Batch]:
        """Yields the truth: clean frames at the tape's field rate, size and layout.

        motion : "hold" shows, at each field's time, the clean frame on display then (a 59.94p clip gives each field
                 its own instant, film gives 3:2 pulldown, 25p on pal gives progressive frames sent as two fields);
                 "retime" makes every clean frame a field, so a clip of 25 fps runs twice as fast but moves in every
                 field.
        fit    : how a clip that is not 4:3 fills the tape.
        to     : another format than `format()`, progressive; by default the layout is 4:2:2.
        """
        if motion not in ("hold", "retime") or fit not in ("crop", "letterbox", "stretch"):
            raise KnobError(
                f"motion is {motion!r} and fit is {fit!r}", expected="hold or retime; crop, letterbox or stretch"
            )
        to = to or self.format(field_order="progressive")
        to = to.replace(field_order="progressive")
        for batch in self._in_field_time(clean, motion):
            if batch.format.interlaced:
                raise PictureError(
                    f"the clean clip is interlaced ({batch.format.field_order})",
                    expected="progressive frames",
                    hint="deinterlace it first, or choose another clip",
                )
            yield fitted(batch, to, fit)

    def _in_field_time(self, clean: Iterable[Batch], motion: str) -> Iterator[Batch]:
        """Clean frames by field number: pts 0, 1, 2, ... in units of one field."""
        tick = 1 / self.field_rate
        number, start = 0, None
        for batch in clean:
            if motion == "retime":
                picks = np.arange(len(batch))
            else:
                # A field is looked up a little after its time, so that times rounded to milliseconds do no harm.
                pts = [int(p) * batch.time_base for p in batch.pts]
                start = pts[0] if start is None else start
                ends = [p - start + int(d) * batch.time_base for p, d in zip(pts, batch.durations, strict=True)]
                picks = []
                for i, end in enumerate(ends):
                    late = min(tick, int(batch.durations[i]) * batch.time_base) / 4
                    while (number + len(picks)) * tick + late < end:
                        picks.append(i)
                picks = np.array(picks, int)
            if len(picks) == 0:
                continue
            consecutive = len(picks) == picks[-1] - picks[0] + 1
            planes = (
                batch.planes
                if motion == "retime"
                else tuple(p[picks[0] : picks[-1] + 1] if consecutive else p[picks] for p in batch.planes)
            )
            yield batch.replace(
                planes=planes,
                pts=number + np.arange(len(picks), dtype=np.int64),
                durations=np.ones(len(picks), np.int64),
                time_base=tick,
            )
            number += len(picks)

    def stream(self, clean: Iterable[Batch], **prepare: Any) -> Iterator[Recording]:
        """Records a clean clip piece by piece; keywords are those of `prepare`.  A last lone field is dropped."""
        waiting: Batch | None = None
        for batch in self.prepare(clean, **prepare):
            batch = batch if waiting is None else Batch.join([waiting, batch])
            even = len(batch) // 2 * 2
            waiting = batch[even:] if even < len(batch) else None
            if even:
                yield self.record(batch[:even])

    def record(self, truth: Batch) -> Recording:
        """Makes interlaced frames from an even number of clean frames at field rate, as `prepare` yields them.

        The field number, which the faults depend on, is `truth.pts`.  Any size and any YUV layout: the faults keep
        their meaning because sample rates follow the width.  A pure function; `truth` is not changed.
        """
        if len(truth) % 2 or (len(truth) and truth.pts[0] % 2):
            raise PictureError(
                f"got {len(truth)} clean frames from field {truth.pts[0] if len(truth) else 0}",
                expected="an even number that starts with an even field, at the tape's field rate",
            )
        if truth.format.interlaced:
            raise PictureError(f"the clean frames are {truth.format.field_order}", expected="progressive frames")
        parity = 0 if self.field_order == "tff" else 1
        if self.composite:
            composite.check(self.standard, truth.format, self._luma_mhz(truth.format))
        planes = tuple(self._play(p, i, truth, parity) for i, p in enumerate(truth.planes))
        if self.composite:
            mhz = self._luma_mhz(truth.format)
            planes = composite.through(planes, truth.pts, parity, truth.format, self.standard, mhz, self.composite)
        mask = self._drop(planes, truth, parity)
        tape = truth.replace(
            planes=planes,
            pts=truth.pts[::2],
            durations=truth.durations[::2] + truth.durations[1::2],
            format=truth.format.replace(field_order=self.field_order),
        )
        return Recording(tape=tape, truth=truth, dropouts=mask)

    def _luma_mhz(self, fmt: PictureFormat) -> float:
        """Luma samples per microsecond: the line lasts as long whatever the width is."""
        return self.raster.sampling_mhz * fmt.width / 720

    def _play(self, plane: np.ndarray, index: int, truth: Batch, parity: int) -> np.ndarray:
        height, width = plane.shape[1:]
        fmt, scale = truth.format, 2.0 ** (truth.format.bits - 8)
        chroma = index > 0
        mhz = self._luma_mhz(fmt)
        if chroma:  # a 4:2:2 plane of 360 samples spans the same line as 720 of luma
            mhz /= 1 << fmt.subsampling[0]
        lines_per_row = 1 << fmt.subsampling[1] if chroma else 1
        fields = truth.pts.astype(np.int64)
        lines = (height + 1) // 2
        places = self._places(fields, lines * lines_per_row)[:, ::lines_per_row]
        bandwidth = self.chroma_bandwidth if chroma else self.luma_bandwidth
        sharpening = 0.0 if chroma else self.sharpening
        delay = self.chroma_delay if chroma else 0.0
        level, length = (
            (self.chroma_noise, self.chroma_noise_length) if chroma else (self.luma_noise, self.luma_noise_length)
        )
        mix = faults.line_mix(self.chroma_lines if chroma else 1, lines_per_row)
        sigma = np.full((len(fields), lines), level * scale, np.float32)
        if not chroma and self.head_switch_lines and self.head_switch_skew:
            sigma[:, max(0, lines - self.head_switch_lines)] += 25 * scale
        shift = ((places + delay) * mhz / 1000).astype(np.float32)
        out = np.empty((len(plane) // 2, height, width), plane.dtype)
        if bandwidth >= mhz / 2 and not sharpening and not shift.any() and not sigma.any() and len(mix) == 1:
            out[:, parity::2], out[:, 1 - parity :: 2] = plane[0::2, parity::2], plane[1::2, 1 - parity :: 2]
            return out
        whole = plane.dtype.kind != "f"
        blank = 128.0 if chroma else 16.0 * (fmt.range == "limited")
        faults.play(
            np.ascontiguousarray(plane), out, parity, int(fields[0]), mix,
            faults.line_filter(bandwidth, mhz, sharpening), shift, sigma,
            np.exp(-1000 / mhz / length) if length else 0.0, index, self.seed,
            faults.EDGE >> fmt.subsampling[0] if chroma else faults.EDGE, np.float32(blank * scale), fmt.peak, whole,
        )  # fmt: skip
        return out

    def _places(self, fields: np.ndarray, lines: int) -> np.ndarray:
        """Displacement of each field line to the right in ns."""
        places = np.zeros((len(fields), lines), np.float32)
        if self.jitter:
            places += faults.jitter(fields, lines, self.jitter, self.jitter_lines, self.seed)
        if self.head_switch_lines and self.head_switch_skew:
            places += faults.head_switch(fields, lines, self.head_switch_lines, self.head_switch_skew, self.seed)
        return places

    def _drop(self, planes: tuple[np.ndarray, ...], truth: Batch, parity: int) -> np.ndarray:
        """Draws the dropouts into `planes` and returns the luma mask."""
        fmt = truth.format
        masks = [np.zeros(p.shape, bool) for p in planes]
        line_us, active_us = self._line_times
        for n, drop in enumerate(self.dropouts_of(truth.pts, fmt.height)):
            for d in drop:
                for i, plane in enumerate(planes):
                    scale = 2.0 ** (fmt.bits - 8)
                    low, high = (16, 235) if fmt.range == "limited" else (0, 255)
                    level = (high if d.white else low) * scale if i == 0 else 128 * scale
                    rows = 1 << fmt.subsampling[1] if i else 1
                    here = dataclasses.replace(d, line=d.line // rows)
                    faults.burn(
                        plane[n // 2], masks[i][n // 2], here, (n & 1) ^ parity, (line_us * rows, active_us), level,
                        fmt.peak if i == 0 else 0, self.seed,
                    )  # fmt: skip
        return masks[0]

    @property
    def _line_times(self) -> tuple[float, float]:
        """Line and active line in microseconds; 720 samples make the active line whatever the width is."""
        return self.raster.line_ns / 1000, 720 / self.raster.sampling_mhz

    def dropouts_of(self, fields: Iterable[int], height: int) -> list[list[faults.Dropout]]:
        """The dropouts of each of these fields, for frames of `height` lines."""
        expected = self.dropouts / 60 / float(self.field_rate)
        line_us, active_us = self._line_times
        return [
            faults.dropouts(
                int(n), height // 2, line_us, active_us, expected, self.dropout_length, self.dropout_white, self.seed
            )
            for n in fields
        ]

    # Sound

    def sound(self, blocks: Iterable[np.ndarray], rate: int, speed: float = 1.0) -> Iterator[np.ndarray]:
        """Yields the tape's sound, block by block, from clean sound `(channels, samples)` in -1 to 1.

        speed : how much faster the clean sound is played (the picture's factor when it was retimed).

        Delay and drift first, then hum and hiss.  Blocks of any size give the same samples.
        """
        played = sound.resampled(blocks, speed / (1 + self.sound_drift * 1e-6), self.sound_delay / 1000 * rate)
        first = 0
        for block in played:
            yield sound.spoilt(block, first, rate, self.hiss, self.hum, self.raster.mains_hz, self.seed)
            first += block.shape[1]


_KNOBS: dict[str, Parameter] = {}

#: Every fault switched off.
OFF: dict[str, Any] = dict(
    luma_bandwidth=6.75, sharpening=0.0, chroma_bandwidth=3.375, chroma_lines=1, composite=0.0, chroma_delay=0.0,
    luma_noise=0.0, chroma_noise=0.0, jitter=0.0, head_switch_lines=0, dropouts=0.0, hiss=-120.0, hum=-120.0,
    sound_delay=0.0, sound_drift=0.0,
)  # fmt: skip


def fitted(batch: Batch, to: PictureFormat, fit: str) -> Batch:
    """`batch` in the format `to`; where the display aspects differ it is cropped, letterboxed or stretched."""
    source = batch.format
    same = source.replace(
        field_order=to.field_order, sar=to.sar, primaries=to.primaries, transfer=to.transfer,
        matrix=to.matrix if source.matrix == "unknown" else source.matrix,
    )  # fmt: skip
    wider = float(source.dar / to.dar)
    if fit == "stretch" or abs(wider - 1) < 0.01:
        return batch.replace(format=to) if same == to else convert(batch, to)
    if fit == "crop":
        return convert(batch, to, box=_middle(source, min(1.0, 1 / wider), min(1.0, wider)))
    inner = _middle(to, min(1.0, wider), min(1.0, 1 / wider))
    small = convert(batch, to.replace(width=inner[2] - inner[0], height=inner[3] - inner[1]))
    black = [16 * (to.range == "limited"), 128, 128]
    planes = []
    for i, (shape, plane) in enumerate(zip(to.plane_shapes, small.planes, strict=True)):
        sx, sy = to.subsampling if i else (0, 0)
        whole = np.full((len(batch), *shape), black[i] * 2 ** (to.bits - 8), plane.dtype)
        whole[:, inner[1] >> sy : -(-inner[3] >> sy), inner[0] >> sx : -(-inner[2] >> sx)] = plane
        planes.append(whole)
    return small.replace(planes=tuple(planes), format=to)


def _middle(fmt: PictureFormat, width: float, height: float) -> tuple[int, int, int, int]:
    """The middle part of a picture, `width` and `height` of the whole, in steps of 4 samples each side."""
    x, y = (4 * round(n * (1 - part) / 8) for n, part in ((fmt.width, width), (fmt.height, height)))
    return x, y, fmt.width - x, fmt.height - y
