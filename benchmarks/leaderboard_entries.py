"""Who takes part in `leaderboard.py`, and what is tried for each.

The strengths begin where earlier runs found the best; a search goes as far from there as it must.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from rivals import FFmpeg, Ours, VapourSynth

from toolkit.stages import deinterlace, denoise

NOISE = 5.0  # levels, of the tapes for denoisers
FACTOR = 1.4  # from one strength to the next


@dataclass(frozen=True)
class Strength:
    """A setting for every strength from `low` to `high`; the search begins at `start`."""

    setting: Callable[[float], Any]
    start: float
    low: float
    high: float

    def at(self, step: int) -> float:
        return round(min(max(self.start * FACTOR**step, self.low), self.high), 4)

    def ended(self, step: int) -> bool:
        return self.at(step) in (self.low, self.high)


@dataclass(frozen=True)
class Entry:
    """A method of one side, and what is tried: settings, or strengths to be searched."""

    name: str
    side: str
    runner: Any
    tried: tuple[Any, ...]


def deinterlacers(vs: VapourSynth | None) -> list[Entry]:
    mine = {
        "bob": [deinterlace.bob(), deinterlace.bob(method="linear")], "yadif": [deinterlace.yadif()],
        "bwdif": [deinterlace.bwdif()], "w3fdif": [deinterlace.w3fdif(), deinterlace.w3fdif(filter="simple")],
        "edi": [deinterlace.edi(reach=r, turn=t) for r in (3, 6, 10) for t in (30.0, 60.0, 120.0)],
        "motion": [deinterlace.motion(), *(deinterlace.motion(**k) for k in (
            {"rounds": 1}, {"radius": 2}, {"rounds": 3}, {"rounds": 3, "radius": 2}, {"block": "8"}, {"rough": 0.3},
            {"made": 0.15}, {"rounds": 3, "made": 0.15}, {"rounds": 3, "rough": 0.3, "made": 0.15},
        ))],
    }  # fmt: skip
    chains = {
        "yadif": ["yadif=mode=send_field:parity=tff"], "bwdif": ["bwdif=mode=send_field:parity=tff"],
        "w3fdif": [f"w3fdif=mode=field:parity=tff:filter={f}" for f in ("complex", "simple")],
        "estdif": [f"estdif=mode=field:parity=tff:rslope={r}:redge={e}:interp={i}"
                   for r, e in ((1, 0), (1, 1), (1, 2), (4, 4)) for i in ("2p", "4p", "6p")],
    }  # fmt: skip
    found = [Entry(n, "ours", Ours(), tuple(s)) for n, s in mine.items()]
    found += [Entry(n, "FFmpeg", FFmpeg(), tuple(c)) for n, c in chains.items()]
    if vs is None:
        return found
    nnedi = tuple({"nsize": size, "nns": nns, "qual": 2} for size in (0, 1, 3) for nns in (3, 4))
    match = {"source_match_mode": 3, "basic_tr": 2, "final_tr": 1}
    found += [
        Entry("bwdif", "VapourSynth", vs, (("bwdif", {}), *(("bwdif", {"smooth": k}) for k in nnedi[1::2]))),
        Entry("znedi3", "VapourSynth", vs, tuple(("znedi3", k) for k in nnedi)),
        Entry("eedi3", "VapourSynth", vs, tuple(("eedi3", k) for k in ({}, {"mdis": 40}, {"alpha": 0.4, "beta": 0.3}))),
        Entry("QTGMC", "VapourSynth", vs, tuple(("qtgmc", k) for k in (
            {}, {"sharpen_strength": 0.0}, {**match}, {**match, "lossless_mode": 2},
            {**match, "lossless_mode": 2, "lossless_anti_comb": False}, {**match, "lossless_mode": 1},
            {**match, "lossless_mode": 2, "final_tr": 3}, {**match, "lossless_mode": 2, "basic_tr": 1},
            {**match, "lossless_mode": 2, "analyze_blksize": 8}, {**match, "lossless_mode": 2, "bobber": nnedi[1]},
        ))),
    ]  # fmt: skip
    return found


def denoisers(vs: VapourSynth | None, older: VapourSynth | None) -> list[Entry]:
    def own(name: str, *found: Strength) -> Entry:
        return Entry(name, "ours", Ours(), found)

    def chain(name: str, start: float, low: float, high: float, *words: str) -> Entry:
        def text(form: str) -> Strength:
            return Strength(lambda x: form.format(x=x, x2=2 * x, x4=4 * x), start, low, high)

        return Entry(name, "FFmpeg", FFmpeg(), tuple(map(text, words)))

    found = [
        own("hqdn3d", *(Strength(lambda x, r=r: denoise.hqdn3d(spatial=x, temporal=min(255.0, r * x)), 7, 0.1, 64)
                        for r in (1, 2, 4))),
        own("temporal", *(Strength(lambda x, r=r: denoise.temporal(radius=r, gate=round(2 * x) / 2), 19, 1, 128)
                          for r in (2, 3))),
        own("nlmeans", *(Strength(lambda x, r=r: denoise.nlmeans(noise=NOISE, strength=x, radius=r), 4, 0.1, 64)
                         for r in (0, 1))),
        own("dft_threshold", *(Strength(lambda x, r=r: denoise.dft_threshold(noise=x, radius=r), 8, 0.1, 64)
                               for r in (1, 2, 3))),
        own("bm3d", *(Strength(lambda x, r=r: denoise.bm3d(noise=x, radius=r), 4, 0.1, 64) for r in (0, 2))),
        own("motion_mean", *(Strength(lambda x, r=r: denoise.motion_mean(noise=x, radius=r), 2, 0.5, 64)
                             for r in (2, 4))),
        chain("hqdn3d", 7, 0.1, 64, "hqdn3d={x}:{x}:{x}", "hqdn3d={x}:{x}:{x2}", "hqdn3d={x}:{x}:{x4}"),
        chain("nlmeans", 3.5, 1, 30, "nlmeans=p=5:r=9:s={x}", "nlmeans=p=7:r=15:s={x}"),
        chain("atadenoise", 0.08, 0.005, 0.3, "atadenoise=s=5:0a={x}:0b={x2}", "atadenoise=s=9:0a={x}:0b={x4}"),
        chain("fftdnoiz", 11, 0.5, 100,
              *(f"fftdnoiz=sigma={{x}}:block={b}:overlap=0.75:prev=1:next=1" for b in (16, 32))),
        chain("bm3d", 150, 1, 99999, "bm3d=sigma={x}:block=8:bstep=4:group=8"),
    ]  # fmt: skip

    def filters(
        runner: VapourSynth, name: str, method: str, key: str, start: float, low: float, high: float, *more: dict
    ) -> Entry:  # fmt: skip
        return Entry(name, "VapourSynth", runner, tuple(
            Strength(lambda x, k=k: (method, {key: x, **k}), start, low, high) for k in more))  # fmt: skip

    if vs is not None:
        found += [
            filters(vs, "dfttest2", "dfttest2", "sigma", 160, 0.5, 9000, {"tbsize": 3}, {"tbsize": 5}, {"tbsize": 7}),
            filters(vs, "nlm_ispc (luma)", "nlm_ispc", "h", 10, 0.05, 100,
                    *({"d": d, "a": 4, "s": 2, "wmode": w} for d, w in ((1, 1), (1, 3), (2, 1)))),
            # Ours seeks motion in thresholded frames: the rival may, too.
            filters(vs, "mc_degrain", "degrain", "thsad", 1000, 10, 9000,
                    *({"tr": r, **k} for k in ({}, {"prefilter": "DFTTEST"}) for r in (2, 4))),
        ]  # fmt: skip
    if older is not None:
        found.append(filters(older, "bm3dcpu (luma)", "bm3dcpu", "sigma", 14, 0.5, 400, {"radius": 0}, {"radius": 2}))
    return found
