"""How a tape is to be restored, as options: those that `restore` and `queue add` have in common."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Annotated, Any

from cyclopts import Parameter


@Parameter(name="*")
@dataclass(frozen=True)
class How:
    """What stands on the command line; what does not is left to the preset and to `toolkit.restore`.

    Parameters
    ----------
    preset
        A preset's name (see "presets") or a YAML file.
    deinterlace
        NAME[:knob=value,...] or none, in place of the preset's (see "stages").
    repair
        NAME[:knob=value,...], several joined by +, or none.
    denoise
        NAME[:knob=value,...] or none.
    upscale
        NAME[:knob=value,...], a weight file, or none.
    scale
        How many times as wide and high.
    height
        Lines of the result; the width follows.
    field_order
        auto (measured, the default), tff, bff or progressive.
    audio
        keep, none, a mode (light, moderate, aggressive, voice, music), or stages joined by + (see "sounds").
    sound_track
        One of several sound tracks, by number (from 0) or language.
    fix_drift
        auto (what the file itself tells), events (cuts and flashes against onsets of sound), or a ratio.
    device
        auto (the default), cpu or cuda.
    frames
        A:B, only these frames of the tape.
    codec
        h264, h265, ffv1 or prores.
    crf
        Quality of h264 / h265; lower is better.
    encoder_preset
        Speed of the encoder (ultrafast ... veryslow).
    threads
        Threads of the encoder.
    segment
        Seconds of tape that are kept at a time, and that a crash can cost at most; 20 by default.
    overwrite
        Write over an existing output.
    """

    preset: str = "vhs"
    deinterlace: str | None = None
    repair: str | None = None
    denoise: str | None = None
    upscale: str | None = None
    scale: float | None = None
    height: int | None = None
    field_order: str | None = None
    audio: str | None = None
    sound_track: str | None = None
    fix_drift: str | None = None
    device: str | None = None
    frames: str | None = None
    codec: str | None = None
    crf: float | None = None
    encoder_preset: str | None = None
    threads: int | None = None
    segment: float | None = None
    overwrite: Annotated[bool, Parameter(negative="")] = False

    def steps(self) -> tuple[Any, Any]:
        """The preset, and its pipeline with the changes asked for.  Raises `RequestError`."""
        from toolkit.presets import preset
        from toolkit.settings import changed

        chosen = preset(self.preset)
        names = ("deinterlace", "repair", "denoise", "upscale", "scale", "height")
        return chosen, changed(chosen.pipeline, **{name: getattr(self, name) for name in names})

    def settings(self) -> dict[str, Any]:
        """Those parameters of `toolkit.restore` that were asked for, beside the steps."""
        from toolkit.settings import parse_range

        names = ("field_order", "audio", "sound_track", "fix_drift", "device", "segment")
        found = {name: value for name in names if (value := getattr(self, name)) is not None}
        asked = {"codec": self.codec, "crf": self.crf, "preset": self.encoder_preset, "threads": self.threads}
        if write := {name: value for name, value in asked.items() if value is not None}:
            found["write"] = write
        if self.frames is not None:
            found["frames"] = parse_range(self.frames)
        if self.overwrite:
            found["overwrite"] = True
        return found


DEFAULTS = How()
