"""What `profile run` measured: rows with every repeat's value, as text, JSON and HTML; and two of them compared."""

from __future__ import annotations

import html
import json
import math
import statistics
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

from toolkit.errors import InputMissing, InputUnreadable, RequestError

FORM = "vhs-toolkit profile 1"
#: Fewer repeats a side cannot be told from noise: with 4 and 4, ranges that lie apart come by chance in 3 of 100 rows.
FEWEST = 4
#: Differences smaller than this mean nothing, whatever their ratio.
SMALLEST = {"seconds": 0.005, "cpu seconds": 0.02, "bytes": 1 << 20, "": 1.5}
#: Told, not judged: neither more nor less is better in itself.
TOLD = ("cpu share", "device share")


@dataclass
class Row:
    """One measure of one part ("" is the whole) of a module, a value for each repeat."""

    module: str
    part: str
    measure: str
    values: list[float]

    @property
    def key(self) -> tuple[str, str, str]:
        return self.module, self.part, self.measure

    @property
    def median(self) -> float:
        return statistics.median(self.values)

    @property
    def spread(self) -> float:
        """Half the distance of the largest from the smallest."""
        return (max(self.values) - min(self.values)) / 2


@dataclass
class Perf:
    """All rows of a `profile run`, the machine and the tape.  failed : modules without rows, and why."""

    machine: dict[str, Any]
    clip: dict[str, Any]
    repeats: int
    rows: list[Row]
    failed: dict[str, str] = field(default_factory=dict)

    def to_json(self) -> str:
        return json.dumps({"form": FORM, **asdict(self)}, indent=1)

    def __str__(self) -> str:
        where, what = f"{self.machine['cpu']}, {self.machine['cores']} cores", self.clip
        head = f"{where}; {what['name']}, {what['frames']} frames"
        gpu = ", ".join(self.machine["gpus"]) or f"no GPU: {self.machine['no_gpu_because']}"
        lines = [head, gpu, f"median of {self.repeats}, +- half the range", ""]
        lines += [f"{r.module:<8} {r.part or 'whole':<26} {r.measure:<21} {_told(r):>22}" for r in self.rows]
        lines += [f"{module:<8} not measured: {why}" for module, why in self.failed.items()]
        return "\n".join(lines)

    def to_html(self) -> str:
        """One page that needs nothing else."""
        body = "".join(
            f"<tr><td>{html.escape(r.module)}<td>{html.escape(r.part or 'whole')}<td>{r.measure}<td>{_told(r)}</tr>"
            for r in self.rows
        )
        body += "".join(
            f"<tr><td>{html.escape(module)}<td colspan=3>not measured: {html.escape(why)}</tr>"
            for module, why in self.failed.items()
        )
        return (
            '<!doctype html><html lang="en"><meta charset="utf-8"><title>Profile</title><style>body{font-family:'
            "sans-serif;color-scheme:light dark}td,th{padding:.2em 1em;text-align:left}td:last-child{text-align:right}"
            f"</style><h1>Profile</h1><p>{html.escape(self.machine['cpu'])}, {self.machine['cores']} cores; "
            f"{html.escape(self.clip['name'])}; median of {self.repeats} and half the range</p>"
            f"<table><tr><th>module<th>part<th>measure<th>median</tr>{body}</table></html>"
        )


def _told(row: Row) -> str:
    if row.measure.endswith("bytes") or "bytes " in row.measure:
        return f"{row.median / 2**20:.1f} +- {row.spread / 2**20:.1f} MiB"
    if row.measure.endswith("seconds"):
        return f"{row.median:.3f} +- {row.spread:.3f} s"
    if row.measure.endswith("share"):
        return f"{100 * row.median:.0f} +- {100 * row.spread:.0f} %"
    return f"{row.median:g} +- {row.spread:g}"


def read(path: Path) -> Perf:
    """The report in a JSON file.  Raises `InputMissing`, `InputUnreadable`."""
    try:
        data = json.loads(Path(path).read_text(encoding="utf-8"))
        if data.pop("form") != FORM:
            raise KeyError
        rows = [Row(**row) for row in data.pop("rows")]
        if any(not row.values or not all(isinstance(v, int | float) for v in row.values) for row in rows):
            raise ValueError
        return Perf(rows=rows, **data)
    except FileNotFoundError:
        raise InputMissing(f"there is no file {path}", files="") from None
    except OSError as error:
        raise InputUnreadable(f"{path} cannot be read ({error.strerror})", files="") from None
    except (ValueError, KeyError, TypeError, AttributeError):
        raise InputUnreadable(
            f"{path} is no report of a profile", expected="a JSON file of vhs-toolkit profile run", files=""
        ) from None


@dataclass(frozen=True)
class Change:
    """One row, before and after.  ratio is after / before; noise the ratios that the repeats alone explain."""

    key: tuple[str, str, str]
    before: float | None
    after: float | None
    ratio: float | None
    noise: float | None
    verdict: str
    regression: bool = False


@dataclass
class Changes:
    """What became better or worse.  `foreign` when the two were measured on different machines."""

    rows: list[Change]
    foreign: list[str] = field(default_factory=list)

    @property
    def regressions(self) -> list[Change]:
        return [row for row in self.rows if row.regression]

    def __str__(self) -> str:
        lines = [f"measured on different machines ({', '.join(self.foreign)} differ): ratios marked ~"] * bool(
            self.foreign
        )
        for r in self.rows:
            ratio = "" if r.ratio is None else f"{'~' * bool(self.foreign)}{r.ratio:.2f}"
            band = "" if r.noise is None else f"noise {1 / r.noise:.2f}..{r.noise:.2f}"
            name = f"{r.key[0]:<8} {r.key[1] or 'whole':<26} {r.key[2]:<21}"
            lines.append(f"{name} {ratio:>7} {band:<18} {r.verdict}{' beyond the limit' * r.regression}")
        return "\n".join(lines)


def compare(before: Perf, after: Perf, *, limit: float = 0.1, force: bool = False) -> Changes:
    """Every row's ratio with a band of noise from the repeats, and a verdict: better, worse or same.

    A row is better or worse when the ranges of the repeats lie apart, which chance alone does to one in 126 rows at
    5 repeats a side, and the medians differ by more than can matter.  It is a regression when it is worse by more
    than `limit`; so is a module that fails now.  Raises `RequestError` for too few repeats, for other tapes, and,
    without `force`, other machines.
    """
    if limit < 0:
        raise RequestError(f"the limit is {limit}", expected="0 or more, for instance 0.1", files="")
    if min(before.repeats, after.repeats) < FEWEST:
        few = min(before.repeats, after.repeats)
        raise RequestError(f"a report of {few} repeats", expected=f"at least {FEWEST}, to tell noise", files="")
    if before.clip != after.clip:
        raise RequestError("the reports were measured on different tapes or numbers of frames", files="")
    names = ("cpu", "cores", "system", "gpus")
    foreign = [n for n in names if before.machine.get(n) != after.machine.get(n)]
    if foreign and not force:
        raise RequestError(
            f"the reports come from different machines ({', '.join(foreign)} differ)",
            expected="two from the same one", hint="--force, if you want the ratios all the same", files="",
        )  # fmt: skip
    old, new = {r.key: r for r in before.rows}, {r.key: r for r in after.rows}
    rows = [_change(key, old.get(key), new.get(key), limit) for key in {**old, **new}]
    for module, why in after.failed.items():
        rows.append(Change((module, "", "seconds"), None, None, None, None, f"not measured: {why}", True))
    return Changes(rows, foreign)


def _change(key: tuple[str, str, str], before: Row | None, after: Row | None, limit: float) -> Change:
    if before is None or after is None:
        ends = (before and before.median, after and after.median)
        return Change(key, *ends, None, None, "only before" if after is None else "only after")
    a, b = before.median, after.median
    ratio = b / a if a > 0 else None
    noise = None
    if min(*before.values, *after.values) > 0:
        noise = math.exp(math.log(max(before.values) / min(before.values)) / 2 + math.log(_range(after)) / 2)
    if key[2] in TOLD:
        return Change(key, a, b, ratio, noise, "told only")
    unit = "bytes" if "bytes" in key[2] else key[2] if key[2] in SMALLEST else ""
    matters = abs(b - a) >= SMALLEST[unit]
    worse = matters and min(after.values) > max(before.values)
    better = matters and max(after.values) < min(before.values)
    verdict = "worse" if worse else "better" if better else "same"
    return Change(key, a, b, ratio, noise, verdict, worse and (ratio is None or ratio > 1 + limit))


def _range(row: Row) -> float:
    return max(row.values) / min(row.values)
