"""A sweep on one page: winner, quality against time, table, and pictures with a wipe.  One file, nothing fetched."""

from __future__ import annotations

import base64
import html
import io
import json
from collections.abc import Iterable
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from toolkit import scratch
from toolkit.compare.samples import Sample
from toolkit.decimals import decimals, shown
from toolkit.errors import OutputRefused, ToolkitError
from toolkit.sweep.pictures import TAPE, check_top, middles, pictures_of, sheet
from toolkit.sweep.run import open_sweep
from toolkit.sweep.table import HIDDEN, Sweep

if TYPE_CHECKING:
    import numpy as np

_HERE = Path(__file__).parent
_INKS = "#222222", "#dddddd"  # of a plot on a light page, and on a dark one
_BLIND = (
    "Columns blind_* rank settings without a clean copy of the tape: how well each predicts samples that it was not "
    "shown (denoise), lines that were dropped (deinterlace) or both (all), in dB against the noisy tape itself; more "
    "is better, but only among settings of this sweep."
)


def write_report(
    found: Sweep | str | Path,
    path: str | Path,
    *,
    metric: str | None = None,
    top: int = 3,
    video: bool = True,
    overwrite: bool = False,
) -> Path:
    """Writes a sweep (or the folder of one) as one HTML page that needs nothing else, and returns its path.

    metric : what "best" means; the usual measure when left out.
    top    : how many of the best settings are shown as pictures, beside the tape and, where there is one, the truth.
    video  : whether they are also shown in motion, each burst as a small MP4; most of the time that a page takes.

    Pictures are made anew from the tape; where it cannot be found the page says so and has none.  Raises `InputMissing`
    for a folder without a sweep, `OutputRefused` when `path` exists or cannot be written.
    """
    path = Path(path)
    check_top(top)
    if path.suffix.lower() not in (".html", ".htm"):
        raise OutputRefused(f"{path.name} is no page", expected="a name that ends in .html")
    if path.exists() and not overwrite:
        raise OutputRefused(f"{path} exists", expected="a new name", hint="overwrite")
    found = found if isinstance(found, Sweep) else open_sweep(found)
    metric = found.metric(metric)
    try:
        pictures, missing = pictures_of(found, metric, top), ""
    except ToolkitError as error:
        pictures, missing = None, f"no pictures: {error}"
    parts = [_head(found, metric), _section("Quality against time", _plot(found, metric))]
    if pictures is not None:
        parts.append(_section("Side by side", _viewer(pictures)))
        if video:
            parts.append(_section("In motion", _films(pictures)))
        parts.append(_section("Contact sheet", _sheet(pictures)))
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
    """The plot on the page's own ground, once in ink for a light page and once for a dark one."""
    light, dark = (_data(_drawn(found, metric, ink), "image/svg+xml") for ink in _INKS)
    return (
        f'<picture><source media="(prefers-color-scheme: dark)" srcset="{dark}">'
        f'<img class="plot" alt="{metric} against time" src="{light}"></picture>'
    )


def _drawn(found: Sweep, metric: str, ink: str) -> bytes:
    import matplotlib

    names = ("text.color", "axes.edgecolor", "axes.labelcolor", "xtick.color", "ytick.color")
    none = dict.fromkeys(("figure.facecolor", "savefig.facecolor", "axes.facecolor", "legend.facecolor"), "none")
    look = {"svg.hashsalt": "sweep", "legend.edgecolor": "0.5", **dict.fromkeys(names, ink), **none}
    sink = io.BytesIO()
    with matplotlib.rc_context(look):
        found.pareto(metric).savefig(sink, format="svg", metadata={"Date": None})
    return sink.getvalue()


def _table(found: Sweep, metric: str) -> str:
    table = found.table.drop(columns=set(HIDDEN) - {"error"}, errors="ignore").dropna(axis=1, how="all")
    best = set(found.ranked(metric).index[:1])
    head = "".join(f'<th><button type="button">{html.escape(c)}</button></th>' for c in table)
    rows, places = [], [decimals(table[name]) for name in table]
    for at, row in table.iterrows():
        told = ("" if v != v else shown(v, n) for v, n in zip(row, places, strict=True))  # an empty cell is not itself
        cells = "".join(f"<td{_sort(v)}>{html.escape(text)}</td>" for v, text in zip(row, told, strict=True))
        rows.append(f"<tr{' class=best' if at in best else ''}>{cells}</tr>")
    what = f"<p>{_BLIND}</p>" if any(c.startswith("blind_") for c in table) else ""
    return f'{what}<div class="wide"><table><thead><tr>{head}</tr></thead><tbody>{"".join(rows)}</tbody></table></div>'


def _sort(value: Any) -> str:
    number = isinstance(value, (int, float)) and not isinstance(value, bool) and value == value
    return f' data-n="{value!r}"' if number else ""


# Pictures


def _viewer(pictures: dict[str, Sample]) -> str:
    from toolkit.compare.grid import frames_at, to_rgb

    times = middles(pictures[TAPE])
    images = [[_picture(to_rgb(f)[0]) for f in frames_at(one, times)] for one in pictures.values()]
    data = {
        "names": list(pictures), "times": _seconds(times), "images": images, "dar": float(pictures[TAPE].format.dar),
    }  # fmt: skip
    return f'<div class="viewer"></div>{_json("pictures", data)}'


def _films(pictures: dict[str, Sample]) -> str:
    """All names side by side, a video for each burst."""
    from toolkit.compare.video import stacked_video

    films = []
    with scratch.folder() as here:
        for n in range(len(pictures[TAPE].bursts)):
            burst = {name: replace(one, bursts=one.bursts[n : n + 1]) for name, one in pictures.items()}
            made = stacked_video(burst, here / f"{n}.mp4", height=pictures[TAPE].format.height)
            films.append(_data(made.path.read_bytes(), "video/mp4"))
    data = {"times": _seconds(middles(pictures[TAPE])), "films": films}
    return f'<div class="films"></div>{_json("films", data)}'


def _seconds(times: list[float]) -> list[str]:
    return [f"{t:.3f} s" for t in times]


def _json(name: str, data: dict[str, Any]) -> str:
    text = json.dumps(data).replace("<", "\\u003c")
    return f'<script type="application/json" id="{name}">{text}</script>'


def _picture(rgb: np.ndarray) -> str:
    from PIL import Image

    sink = io.BytesIO()
    Image.fromarray(rgb).save(sink, "WEBP", lossless=True, quality=30, method=2)
    return _data(sink.getvalue(), "image/webp")


def _sheet(pictures: dict[str, Sample]) -> str:
    sink = io.BytesIO()
    sheet(pictures).save(sink, "PNG")
    return f'<div class="wide"><img alt="contact sheet" src="{_data(sink.getvalue(), "image/png")}"></div>'


def _data(content: bytes, kind: str) -> str:
    return f"data:{kind};base64,{base64.b64encode(content).decode()}"
