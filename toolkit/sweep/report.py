"""A sweep on one page: winner, quality against time, table, and pictures with a wipe.  One file, nothing fetched."""

from __future__ import annotations

import base64
import html
import io
import json
from collections.abc import Iterable
from pathlib import Path
from typing import TYPE_CHECKING, Any

from toolkit.compare.samples import Sample, sample
from toolkit.errors import OutputRefused, ToolkitError
from toolkit.pipeline import Pipeline
from toolkit.sweep.run import open_sweep
from toolkit.sweep.table import Sweep

if TYPE_CHECKING:
    import numpy as np
    from PIL.Image import Image

_HERE = Path(__file__).parent
_HIDDEN = ("key", "pipeline", "taken_s", "by_burst")


def write_report(
    found: Sweep | str | Path,
    path: str | Path,
    *,
    metric: str | None = None,
    top: int = 3,
    overwrite: bool = False,
) -> Path:
    """Writes a sweep (or the folder of one) as one HTML page that needs nothing else, and returns its path.

    metric : what "best" means; the usual measure when left out.
    top    : how many of the best settings are shown as pictures, beside the tape and, where there is one, the truth.

    Pictures are made anew from the tape; where it cannot be found the page says so and has none.  Raises `InputMissing`
    for a folder without a sweep, `OutputRefused` when `path` exists or cannot be written.
    """
    path = Path(path)
    if path.exists() and not overwrite:
        raise OutputRefused(f"{path} exists", expected="a new name", hint="overwrite")
    found = found if isinstance(found, Sweep) else open_sweep(found)
    metric = found.metric(metric)
    try:
        pictures, missing = _pictures(found, metric, top), ""
    except ToolkitError as error:
        pictures, missing = None, f"no pictures: {error}"
    parts = [_head(found, metric), _section("Quality against time", _plot(found, metric))]
    if pictures is not None:
        parts += [_section("Side by side", _viewer(pictures)), _section("Contact sheet", _sheet(pictures))]
    else:
        parts.append(_section("Side by side", f"<p>{html.escape(missing)}</p>"))
    parts.append(_section("All settings", _table(found, metric)))
    text = _page(f"Sweep of {_source(found)}", parts)
    part = path.with_name(f"{path.name}.part")
    try:
        part.write_text(text, encoding="utf-8")
        part.replace(path)
    except OSError as error:
        part.unlink(missing_ok=True)
        raise OutputRefused(f"{path} cannot be written ({error.strerror})") from None
    return path


def sheet_of(
    found: Sweep, metric: str | None = None, top: int = 3, *, height: int = 240, bursts: int | None = None
) -> Image:
    """The tape, the best settings and, where there is one, the truth beside each other, a row for each burst.

    height : of each picture; `bursts`: only the first so many.

    Raises a `ToolkitError` when the tape cannot be found or has changed.
    """
    return _contact_sheet(_pictures(found, found.metric(metric), top), height, bursts)


def _source(found: Sweep) -> str:
    return found.sample.name if found.sample is not None else str(found.about.get("source", "a tape"))


def _page(title: str, parts: Iterable[str]) -> str:
    style, script = (_HERE / "report.css").read_text("utf-8"), (_HERE / "report.js").read_text("utf-8")
    return (
        f'<!doctype html>\n<html lang="en"><head><meta charset="utf-8"><title>{html.escape(title)}</title>'
        f'<meta name="viewport" content="width=device-width"><style>{style}</style></head>\n<body>'
        f"<h1>{html.escape(title)}</h1>\n" + "\n".join(parts) + f"\n<script>{script}</script></body></html>\n"
    )


def _section(title: str, body: str) -> str:
    return f"<section><h2>{title}</h2>{body}</section>"


def _head(found: Sweep, metric: str) -> str:
    best = found.ranked(metric).iloc[0]
    failed = int(found.table["error"].notna().sum())
    lines = [
        f"{len(found)} settings, {failed} failed. Best by <b>{metric}</b>, {best[metric]:.4g}:",
        f"<code>{html.escape(repr(found.best(metric)))}</code>",
        *(html.escape(note) for note in found.notes),
    ]
    return "".join(f"<p>{line}</p>" for line in lines)


def _plot(found: Sweep, metric: str) -> str:
    import matplotlib

    sink = io.BytesIO()
    with matplotlib.rc_context({"svg.hashsalt": "sweep"}):
        found.pareto(metric).savefig(sink, format="svg", metadata={"Date": None})
    return f'<img class="plot" alt="{metric} against time" src="{_data(sink.getvalue(), "svg+xml")}">'


def _table(found: Sweep, metric: str) -> str:
    table = found.table.drop(columns=[c for c in _HIDDEN if c in found.table]).dropna(axis=1, how="all")
    best = set(found.ranked(metric).index[:1])
    head = "".join(f'<th><button type="button">{html.escape(c)}</button></th>' for c in table)
    rows = []
    for at, row in table.iterrows():
        cells = "".join(f"<td{_sort(v)}>{html.escape(_shown(v))}</td>" for v in row)
        rows.append(f"<tr{' class=best' if at in best else ''}>{cells}</tr>")
    return f'<div class="wide"><table><thead><tr>{head}</tr></thead><tbody>{"".join(rows)}</tbody></table></div>'


def _shown(value: Any) -> str:
    if value is None or value != value:
        return ""
    return f"{value:.4g}" if isinstance(value, float) else str(value)


def _sort(value: Any) -> str:
    number = isinstance(value, (int, float)) and not isinstance(value, bool) and value == value
    return f' data-n="{value!r}"' if number else ""


# Pictures


def _pictures(found: Sweep, metric: str, top: int) -> dict[str, Sample]:
    """Name -> sample of the tape, the best settings and the truth."""
    some, truth = found.sample, found.truth
    if some is None:
        origin = found.about.get("sample")
        if origin is None:
            raise OutputRefused("the tape of this sweep was in memory only")
        some = sample(**origin)
        truth = some.beside(found.about["truth"]) if found.about.get("truth") else None
        key = some.key + (f"-{truth.key}" if truth else "")
        if key != found.about.get("frames"):
            raise OutputRefused(f"{origin['source']} does not hold the frames of the sweep any more")
    shown = {"tape": some.cut()}
    for rank, at in enumerate(found.ranked(metric).index[:top], 1):
        pipeline: Pipeline = found.trials[at].pipeline
        shown[f"{rank}. {found.label(at)}"] = some.through(pipeline)
    return shown if truth is None else {**shown, "truth": truth}


def _times(pictures: dict[str, Sample]) -> list[float]:
    return [float(b.own.times[len(b.own) // 2]) for b in pictures["tape"].bursts]


def _viewer(pictures: dict[str, Sample]) -> str:
    from toolkit.compare.grid import frames_at, to_rgb

    times = _times(pictures)
    images = []
    for name, one in pictures.items():
        # The truth may be on a clock of its own; its bursts are in the same order.
        own = times if name != "truth" else [float(b.own.times[len(b.own) // 2]) for b in one.bursts]
        images.append([_picture(to_rgb(f)[0]) for f in frames_at(one, own)])
    data = {
        "names": list(pictures), "times": [f"{t:.3f} s" for t in times], "images": images,
        "dar": float(pictures["tape"].format.dar),
    }  # fmt: skip
    text = json.dumps(data).replace("<", "\\u003c")
    return f'<div class="viewer"></div><script type="application/json" id="pictures">{text}</script>'


def _picture(rgb: np.ndarray) -> str:
    from PIL import Image

    sink = io.BytesIO()
    Image.fromarray(rgb).save(sink, "WEBP", lossless=True, quality=30, method=2)
    return _data(sink.getvalue(), "webp")


def _contact_sheet(pictures: dict[str, Sample], height: int = 240, bursts: int | None = None) -> Image:
    from toolkit.compare.grid import contact_sheet

    return contact_sheet(pictures, _times(pictures)[:bursts], regions=[(0.35, 0.35, 0.25, 0.25)], height=height)


def _sheet(pictures: dict[str, Sample]) -> str:
    sink = io.BytesIO()
    _contact_sheet(pictures).save(sink, "PNG")
    return f'<div class="wide"><img alt="contact sheet" src="{_data(sink.getvalue(), "png")}"></div>'


def _data(content: bytes, kind: str) -> str:
    return f"data:image/{kind};base64,{base64.b64encode(content).decode()}"
