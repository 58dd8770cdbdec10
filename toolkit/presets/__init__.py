"""Presets: small YAML files of pipelines, each with a sentence on when to use it.

`preset("vhs")` finds one by name, `presets()` lists them, `load(path)` reads a file of the user's own.
"""

from __future__ import annotations

import functools
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from toolkit.errors import OutputRefused, RequestError, UnknownName
from toolkit.pipeline import Pipeline


@dataclass(frozen=True)
class Preset:
    """A pipeline with its sound mode and encoder, and when to use it.

    audio : "keep", "none", or a mode or chain of `toolkit.audio`.
    write : settings of the encoder, as `restore` takes them (codec, crf, preset, ...).
    """

    name: str
    when: str
    pipeline: Pipeline
    audio: str = "keep"
    write: dict[str, Any] = field(default_factory=dict, hash=False)


@functools.cache
def _schema() -> Any:
    import pydantic

    class File(pydantic.BaseModel):
        model_config = pydantic.ConfigDict(extra="forbid")
        when: str
        steps: list[dict[str, dict[str, Any] | None]]
        audio: str = "keep"
        write: dict[str, Any] = {}

    return File


def load(path: str | Path) -> Preset:
    """The preset in a YAML file.  Raises `RequestError` when it is not one, `UnknownName` for its stages and knobs."""
    import pydantic
    import yaml

    path = Path(path)
    try:
        data = _schema().model_validate(yaml.safe_load(path.read_text(encoding="utf-8")))
    except OSError as error:
        raise RequestError(f"the preset {path} cannot be read ({error.strerror})") from None
    except UnicodeDecodeError:
        raise RequestError(f"the preset {path} is no text in UTF-8", expected="a YAML file") from None
    except yaml.YAMLError as error:
        mark = getattr(error, "problem_mark", None)
        found = f"line {mark.line + 1}: {error.problem}" if mark else str(error).splitlines()[0]
        raise RequestError(f"the preset {path} is not YAML ({found})") from None
    except pydantic.ValidationError as error:
        raise _no_preset(path, error.errors()) from None
    steps = [{"stage": name, "knobs": knobs or {}} for step in data.steps for name, knobs in step.items()]
    return Preset(path.stem, data.when, Pipeline.from_dict({"steps": steps}), data.audio, data.write)


def _no_preset(path: Path, errors: list[Any]) -> RequestError:
    """What is wrong with a file that is YAML; a name nobody knows comes first, since another is then missing."""
    shape = "when, steps, audio and write, each step as `- denoise.hqdn3d: {spatial: 3}`"
    first = next((e for e in errors if e["type"] == "extra_forbidden"), errors[0])
    where = list(first["loc"])
    if not where:
        found = "it holds no names with values"
    elif first["type"] == "extra_forbidden":
        found = f"it has no place for {where[0]!r}"
    elif first["type"] == "missing":
        found = f"{where[0]!r} is missing"
    elif where[0] == "steps" and len(where) > 1:
        found = f"step {where[1] + 1} is no stage with its knobs"
    else:
        found = f"{where[0]!r} is no {'list' if where[0] == 'steps' else 'mapping' if where[0] == 'write' else 'text'}"
    return RequestError(f"the preset {path} is not a preset: {found}", expected=shape)


def save(path: str | Path, preset: Preset, *, overwrite: bool = False) -> Path:
    """Writes a preset as a YAML file that `load` and `--preset FILE` read.

    Raises `RequestError` when the file is there already (unless `overwrite`), its name does not end in .yaml, or it
    cannot be written.
    """
    import yaml

    path = Path(path)
    if path.suffix not in (".yaml", ".yml"):
        raise RequestError(f"the preset's file is {path.name!r}", expected="a name that ends in .yaml")
    if path.exists() and not overwrite:
        raise OutputRefused(f"{path} is there already", files="it was not touched", hint="another name")
    steps = [{s["stage"]: s["knobs"]} for s in preset.pipeline.to_dict()["steps"]]
    data = {"when": preset.when, "steps": steps, "audio": preset.audio, "write": preset.write}
    part = path.with_name(f"{path.name}.part")
    try:
        part.write_text(yaml.safe_dump(data, sort_keys=False, allow_unicode=True), encoding="utf-8")
        part.replace(path)
    except OSError as error:
        part.unlink(missing_ok=True)
        raise OutputRefused(f"the preset {path} cannot be written ({error.strerror})") from None
    return path


@functools.cache
def names() -> tuple[str, ...]:
    """Names of the presets that come with the toolkit, sorted."""
    return tuple(sorted(p.stem for p in Path(__file__).parent.glob("*.yaml")))


def preset(name: str) -> Preset:
    """The preset of that name, or in that YAML file.  Raises `UnknownName` with near names."""
    if name in names():
        return load(Path(__file__).parent / f"{name}.yaml")
    if name.endswith((".yaml", ".yml")):
        return load(name)
    raise UnknownName("preset", name, names())


def presets() -> list[Preset]:
    """All presets that come with the toolkit."""
    return [preset(name) for name in names()]
