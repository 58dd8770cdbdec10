"""What a run settles before it begins: the encoder's settings, how many frames there are, in which order fields are."""

from __future__ import annotations

from typing import Any

from toolkit.clip import FIELD_ORDERS, Clip
from toolkit.errors import KnobError


def merged(ready: dict[str, Any], asked: dict[str, Any]) -> dict[str, Any]:
    """The preset's encoder settings with those asked for; another codec takes none of the preset's own knobs."""
    codec = asked.get("codec", ready.get("codec", "h264"))
    kept = ready if codec == ready.get("codec", "h264") else {k: ready[k] for k in ("sound_codec",) if k in ready}
    return {**kept, **asked, "codec": codec}


def count_frames(clip: Clip, frames: tuple[int, int | None]) -> int | None:
    """How many frames of the tape will be read, None when the file does not say."""
    whole = clip.frames
    if whole is None and clip.duration and clip.rate:
        whole = round(clip.duration * clip.rate)
    first, stop = frames
    if whole is None:
        return None if stop is None else stop - first
    return max(0, min(whole, whole if stop is None else stop) - first)


def decide_field_order(clip: Clip, asked: str, notes: list[str]) -> str:
    """The field order to work with: the one asked for, else the measured one, said aloud in `notes`.

    Too little motion to measure falls back to what the file claims, and says so.
    """
    if asked != "auto":
        if asked not in FIELD_ORDERS[:3]:
            raise KnobError(f"field order is {asked!r}", expected="auto, tff, bff or progressive")
        return asked
    from toolkit.media.probe import field_order_of

    measured, claimed = field_order_of(clip), clip.format.field_order
    if measured.confidence >= 0.5:
        if measured.order != claimed:
            notes.append(
                f"field order measured on the picture: {measured.order} (confidence {measured.confidence:.2f}); "
                f"the file says {claimed}"
            )
        return measured.order
    order = claimed if claimed != "unknown" else measured.order if measured.order != "unknown" else "progressive"
    notes.append(
        f"too little motion to measure the field order (confidence {measured.confidence:.2f}); working with {order}, "
        + ("as the file says" if order == claimed else "a guess: --field-order sets it")
    )
    return order
