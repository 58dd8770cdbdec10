"""Sweep: the table of a sweep, its winner, and quality against time."""

from __future__ import annotations

import io
import json
from collections.abc import Iterable
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from toolkit.compare.samples import Sample
from toolkit.errors import OutputRefused, RequestError, UnknownName
from toolkit.pipeline import Pipeline
from toolkit.presets import Preset
from toolkit.sweep.space import Trial

if TYPE_CHECKING:
    import pandas as pd
    from matplotlib.figure import Figure

#: Beginnings of the names of measures, and whether more is better.
BETTER = {
    "psnr": True, "ssim": True, "vmaf": True, "xpsnr": True, "detail": True, "blind": True, "fps": True,
    "combing": False, "flicker": False, "noise": False, "seconds": False, "peak_mib": False,
}  # fmt: skip
#: The measure taken when none is named: the first that there is.
USUAL = ("psnr_Y", "blind_all", "blind_denoise", "blind_deinterlace", "combing")
#: Columns that are not for people.
HIDDEN = ["key", "pipeline", "taken_s", "error", "by_burst"]


@dataclass(frozen=True, eq=False)
class Sweep:
    """What a sweep found.

    table    : a row per setting: the knobs by their keys, the measures, `seconds` and `fps` of the pipeline itself,
               `peak_mib`, `frames`, `error`, `pipeline` (as text, ready to paste), `key`; of a search also
               `stopped_after` (bursts, of trials that were given up) and `by_burst` (JSON: how the measures came
               out, burst by burst).
    trials   : the settings, in the order of the rows.
    folder   : where the rows are kept.
    sample, truth : what was looked at; None for a sweep that was opened from its folder.
    computed : how many trials were run for this; the others were in the folder.
    """

    table: pd.DataFrame
    trials: tuple[Trial, ...]
    folder: Path
    sample: Sample | None = None
    truth: Sample | None = None
    notes: tuple[str, ...] = ()
    computed: int = 0
    about: dict[str, Any] = field(default_factory=dict)

    def __len__(self) -> int:
        return len(self.table)

    @property
    def metrics(self) -> list[str]:
        """The columns that measure something, quality first."""
        return [c for start in BETTER for c in self.table if c.startswith(start) and self.table[c].notna().any()]

    def metric(self, name: str | None = None) -> str:
        """`name` if there is such a column, else the usual one.  Raises `UnknownName`."""
        if name is None:
            name = next((n for n in USUAL if n in self.metrics), None)
            if name is None:
                failed = self.table["error"].dropna()
                raise RequestError(f"no trial has a result ({failed.iloc[0] if len(failed) else 'there is no row'})")
        if name not in self.metrics:
            raise UnknownName("measure", name, self.metrics)
        return name

    @property
    def stopped(self) -> pd.Series:
        """Which trials were given up: their numbers are those of fewer bursts, and stand beside no others."""
        if "stopped_after" in self.table:
            return self.table["stopped_after"].notna()
        return self.table["error"].isna() & False

    def ranked(self, metric: str | None = None) -> pd.DataFrame:
        """The rows that have this measure, best first; none that was given up."""
        name = self.metric(metric)
        good = self.table[self.table[name].notna() & ~self.stopped]
        return good.sort_values(name, ascending=not more_is_better(name), kind="stable")

    def best(self, metric: str | None = None) -> Pipeline:
        """The pipeline that does best by a measure ("psnr_Y" where there is a truth, else the blind score)."""
        return self.trials[self.ranked(metric).index[0]].pipeline

    def front(self, quality: str | None = None, time: str = "fps") -> pd.DataFrame:
        """The settings that none other beats in both quality and time, the fastest first."""
        quality, time = self.metric(quality), self.metric(time)
        rows = self.table[self.table[[quality, time]].notna().all(axis=1) & ~self.stopped]
        signs = [1 if more_is_better(n) else -1 for n in (quality, time)]
        points = rows[[quality, time]].to_numpy(float) * signs
        beaten = [(((points >= p).all(1)) & ((points > p).any(1))).any() for p in points]
        return rows[~np.array(beaten, bool)].sort_values(time, ascending=signs[1] < 0, kind="stable")

    def pareto(self, quality: str | None = None, time: str = "fps") -> Figure:
        """A plot of quality against time, a point per setting; the front is joined and labelled."""
        from matplotlib.figure import Figure

        quality, time = self.metric(quality), self.metric(time)
        front = self.front(quality, time)
        class Plot(Figure):
            """Shows itself in a notebook, also where pyplot was never loaded."""

            def _repr_png_(self) -> bytes:
                sink = io.BytesIO()
                self.savefig(sink, format="png", dpi=90)
                return sink.getvalue()

        figure = Plot(figsize=(8, 5), layout="constrained")
        axes = figure.subplots()
        whole, given_up = self.table[~self.stopped], self.table[self.stopped]
        axes.scatter(whole[time], whole[quality], s=18, color="0.6", label="settings")
        if len(given_up):
            axes.scatter(given_up[time], given_up[quality], s=18, color="0.75", marker="x", label="given up")
        axes.plot(front[time], front[quality], "o-", color="tab:orange", label="none is better in both")
        wide = self.table[time].max() > 20 * max(self.table[time].min(), 1e-9)
        middle = (self.table[time].max() * self.table[time].min()) ** 0.5 if wide else self.table[time].mean()
        for at in front.index[:12]:
            x, left = front[time][at], front[time][at] > middle
            axes.annotate(
                self.label(at), (x, front[quality][at]), fontsize=7, ha="right" if left else "left",
                xytext=(-5 if left else 5, 4), textcoords="offset points",
            )  # fmt: skip
        if wide:
            axes.set_xscale("log")
        axes.set(xlabel=f"{time} ({_side(time)})", ylabel=f"{quality} ({_side(quality)})")
        axes.legend(loc="best", fontsize=8)
        axes.grid(alpha=0.3)
        return figure

    def label(self, row: int) -> str:
        """A setting in few words: its knobs."""
        return ", ".join(f"{k.partition('.')[2] or k}={_short(v)}" for k, v in self.trials[row].knobs)

    def to_preset(
        self,
        name: str,
        *,
        metric: str | None = None,
        when: str = "",
        like: Preset | None = None,
        folder: str | Path = ".",
        overwrite: bool = False,
    ) -> Preset:
        """Writes the winner as the preset `folder`/`name`.yaml, for `restore(..., preset="name.yaml")`.

        metric : what "best" means; the usual measure when left out.
        when   : the sentence on when to use it; one that names measure and value when left out.
        like   : a preset whose sound mode and encoder are taken over; without it the sound is kept as it is.

        Raises `OutputRefused` when that file exists or cannot be written.
        """
        from toolkit.presets import load, save

        chosen = self.metric(metric)
        path = Path(folder) / f"{name.removesuffix('.yaml')}.yaml"
        if path.exists() and not overwrite:
            raise OutputRefused(f"{path} exists", expected="a new name", hint="overwrite=True")
        value = self.ranked(chosen).iloc[0][chosen]
        when = when or f"The best of {len(self)} settings by {chosen} ({value:.4g}) on this tape."
        rest = {} if like is None else {"audio": like.audio, "write": like.write}
        return load(save(path, Preset(path.stem, when, self.best(chosen), **rest), overwrite=overwrite))

    def to_dict(self) -> dict[str, Any]:
        """Plain data for JSON: missing numbers as None."""
        rows = json.loads(self.table.to_json(orient="records"))
        return {"folder": str(self.folder), "computed": self.computed, "notes": list(self.notes), "trials": rows}

    def __str__(self) -> str:
        return self.text()

    def text(self, metric: str | None = None) -> str:
        """The report for people: counts, notes, the winner by `metric`, the best twenty rows, what failed."""
        failed = int(self.table["error"].notna().sum())
        given_up = int(self.stopped.sum())
        lines = [
            f"{len(self)} settings, {self.computed} computed now, {failed} failed"
            + (f", {given_up} given up early" if given_up else "") + f"; kept in {self.folder}"
        ]  # fmt: skip
        lines += [f"note: {n}" for n in self.notes]
        if failed < len(self):
            name = self.metric(metric)
            lines.append(f"best by {name}: {self.best(name)!r}")
            shown = self.ranked(name).head(20).drop(columns=HIDDEN, errors="ignore")
            lines.append(shown.dropna(axis=1, how="all").round(4).to_string(index=False))
        bad = self.table[self.table["error"].notna()]
        lines += [f"failed: {self.label(at)}: {why}" for at, why in bad["error"].head(5).items()]
        return "\n".join(lines)

    def _repr_html_(self) -> str:
        import html

        shown = self.table.drop(columns="by_burst", errors="ignore").round(4)
        return f"<p>{html.escape(str(self).splitlines()[0])}</p>{shown.to_html()}"


def more_is_better(name: str) -> bool:
    return next((up for start, up in BETTER.items() if name.startswith(start)), True)


def _side(name: str) -> str:
    return "more is better" if more_is_better(name) else "less is better"


def _short(value: Any) -> str:
    return f"{value:g}" if isinstance(value, float) else str(value)


def assembled(tried: Iterable[Trial], rows: list[dict[str, Any]]) -> pd.DataFrame:
    """The table of trials and their rows: knobs first, measures as they came, what identifies a row last."""
    import pandas as pd

    tried = list(tried)
    knobs = list(dict.fromkeys(key for t in tried for key, _ in t.knobs))
    last = ("findings", "stopped_after", "by_burst", "error", "pipeline", "key")
    data = [
        {**{k: dict(t.knobs).get(k) for k in knobs}, **row, "pipeline": repr(t.pipeline)}
        for t, row in zip(tried, rows, strict=True)
    ]
    table = pd.DataFrame(data)
    return table[[c for c in table if c not in last] + [c for c in last if c in table]]


def trials_of(pipelines: Iterable[str]) -> list[Trial]:
    """The trials behind stored pipelines; their knobs are those in which they differ."""
    found = [Pipeline.from_dict(json.loads(text)) for text in pipelines]
    values: dict[str, list[Any]] = {}
    for n, pipeline in enumerate(found):
        for step in pipeline:
            group, _, name = step.name.partition(".")
            for key, value in {group: name, **{f"{step.name}.{k}": v for k, v in step.knobs.items()}}.items():
                values.setdefault(key, [None] * len(found))[n] = value
    vary = [
        key for key, column in values.items()
        if len({v for v in column if v is not None} | ({None} if key.count(".") == 0 and None in column else set())) > 1
    ]  # fmt: skip
    return [
        Trial(tuple((key, values[key][n]) for key in vary if values[key][n] is not None), pipeline)
        for n, pipeline in enumerate(found)
    ]
