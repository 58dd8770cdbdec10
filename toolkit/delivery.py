"""What the encoder of a run's result is told, and whether it takes that."""

from __future__ import annotations

from fractions import Fraction
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from toolkit.clip import Clip
    from toolkit.pipeline import Plan


def encoder_settings(clip: Clip, plan: Plan, settings: dict[str, Any]) -> dict[str, Any]:
    """What an `Encoding` is told beside format, times and container."""
    return {
        "rate": clip.rate * plan.rate if clip.rate else None,
        "layout": _layout(plan, settings),
        **{k: v for k, v in settings.items() if k not in ("sound_codec", "chroma")},
    }


def check_encoder(clip: Clip, plan: Plan, settings: dict[str, Any], container: str) -> None:
    """Raises `RequestError` where the encoder would refuse the result's size or one of its settings."""
    from toolkit.media.encode import Encoding
    from toolkit.media.fits import check_fits

    time_base = clip.time_base / Fraction(plan.rate).numerator
    encoding = Encoding(plan.output, time_base, kind=container, **encoder_settings(clip, plan, settings))
    check_fits(encoding, plan.formats[max(0, len(plan.formats) - 2)])


def _layout(plan: Plan, settings: dict[str, Any]) -> tuple[tuple[int, int] | None, int] | None:
    """Chroma layout and bits in the file: what every player shows, unless the source's were asked for."""
    codec = settings.get("codec", "h264")
    if codec not in ("h264", "h265") or settings.get("chroma") == "source":
        return None
    return None if plan.output.subsampling is None else ((1, 1), 8)
