"""Hears a mode before and after, in a notebook."""

from __future__ import annotations

import io
from typing import Any

import numpy as np

from toolkit.audio.modes import MODES
from toolkit.audio.signal import as_samples


def flac(samples: np.ndarray, rate: int) -> bytes:
    """Samples as a FLAC file in memory, 16 bits, which browsers play; what is louder than full scale is cut."""
    import soundfile

    out = io.BytesIO()
    soundfile.write(out, np.clip(as_samples(samples).T, -1, 1), rate, format="FLAC", subtype="PCM_16")
    return out.getvalue()


def excerpt(clip: Any, start: float, seconds: float, track: int = 0) -> tuple[np.ndarray, int]:
    """Samples of a clip's sound between two times, and their rate; what is missing in between is silence.

    The stretch is sought, so it costs the same anywhere on a long tape.  It ends where the sound ends.
    """
    from toolkit.media.sound import read_sound

    rate, channels = clip.sound[track].sample_rate, clip.sound[track].channels
    samples, end = np.zeros((channels, round(seconds * rate)), np.float32), 0
    for block in read_sound(clip, track, rate, span=(start, start + seconds)):
        first = max(0, round((block.start - start) * rate))
        part = block.samples[:channels, : max(0, samples.shape[1] - first)]
        samples[: part.shape[0], first : first + part.shape[1]] = part
        end = max(end, first + part.shape[1])
    return samples[:, :end], rate


def listen(
    sound: Any, rate: int | None = None, mode: str = "moderate", start: float = 0.0, seconds: float = 10.0
) -> Any:
    """A panel that plays a stretch of sound before and after a mode, which can be changed.

    sound : samples `(channels, n)` with their `rate`, or a `Clip`.  The mode hears the stretch only, so its noise
    profile and loudness are the stretch's own.  `panel.call` is the line that does the same to the whole.
    """
    import ipywidgets as widgets

    from toolkit.audio.tracks import clean_samples

    if hasattr(sound, "sound"):
        samples, rate = excerpt(sound, start, seconds)
        whole = f'toolkit.audio.clean(toolkit.Clip.open("{sound.path.name}"), mode="{{mode}}")'
    else:
        samples = as_samples(sound)[:, round(start * rate) : round((start + seconds) * rate)]
        whole = f'toolkit.audio.clean(samples, {rate}, "{{mode}}")'
    choice = widgets.Dropdown(options=list(MODES), value=mode, description="mode")
    note, said = widgets.Label(), widgets.HTML()
    before = widgets.Audio(value=flac(samples, rate), format="flac", autoplay=False, loop=False)
    after = widgets.Audio(value=b"", format="flac", autoplay=False, loop=False)

    def hear(*_: Any) -> None:
        note.value = MODES[choice.value][0]
        result, report = clean_samples(samples, rate, choice.value)
        after.value = flac(result, rate)
        panel.report, panel.call = report, whole.format(mode=choice.value)
        said.value = f"<code>{panel.call}</code>"

    class Listen(widgets.VBox):
        def __repr__(self) -> str:  # what stays where there is no kernel
            return "Listen: run the cell to hear before and after"

    panel = Listen([widgets.HBox([choice, note]), widgets.Label("before"), before, widgets.Label("after"), after, said])
    hear()
    choice.observe(hear, "value")
    return panel
