"""From a model's name or a file to a net that runs, safely: nothing in a weight file is ever executed.

`.pth` goes through `torch.load(weights_only=True)` only, `.safetensors` through safetensors, `.param`/`.bin` through
`ncnn.py`.  SRVGGNetCompact and RRDBNet are recognised by their parameter names and built here; any other architecture
is left to spandrel.
"""

from __future__ import annotations

import re
import warnings
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import torch
from torch import Tensor, nn

from toolkit.errors import KnobError, ToolkitError, WeightsError
from toolkit.upscale import ncnn, weights
from toolkit.upscale.nets import Facts, RRDBNet, SRVGGNetCompact

SUFFIXES = (".pth", ".pt", ".safetensors", ".param", ".bin")
#: Under which key the published files keep their parameters, the averaged ones first.
_WRAPPERS = ("params_ema", "params", "state_dict")


@dataclass(frozen=True, eq=False)
class Model:
    """A net with its facts: what `load_model` gives and `Upscaler` runs.

    target is the scale asked for by the model's name where it differs from the net's own (animevideov3-x2).
    """

    name: str
    net: nn.Module
    facts: Facts
    where: str
    target: int | None = None

    def __repr__(self) -> str:
        return f"Model({self.name}, {self.facts.architecture}, x{self.facts.scale}, from {self.where})"


def load_model(name_or_path: str | Path, denoise_strength: float | None = None) -> Model:
    """Loads the weights of a model known by name, or of a `.pth`, `.safetensors` or `.param` file, in float32.

    `denoise_strength` 0..1 blends the weights with those of the model's noise-keeping twin: 1 removes most, 0 keeps
    most; only realesr-general-x4v3 has one.  The net is in eval mode on the CPU.  Raises `UnknownName` for an unknown
    name and `WeightsError` for a file that is missing, damaged, unsafe or of an architecture nothing here knows.
    """
    text = str(name_or_path)
    if isinstance(name_or_path, Path) or Path(text).suffix.lower() in SUFFIXES or "/" in text or "\\" in text:
        if denoise_strength is not None:
            raise KnobError("denoise_strength was given with a weight file", expected="it with a model's name")
        path = Path(name_or_path).expanduser()
        net, facts = build(read(path), str(path))
        return Model(path.stem, net, facts, str(path))
    entry = weights.entry(text)
    found = weights.obtain(entry)
    parameters = _read_found(found)
    if denoise_strength is not None:
        parameters = _blend(entry, parameters, denoise_strength)
    net, facts = build(parameters, str(found.files[-1]))
    if (facts.architecture, facts.scale) != (entry.architecture, entry.scale):
        raise WeightsError(
            f"{found.files[-1]} holds {facts.architecture} x{facts.scale}",
            expected=f"{entry.architecture} x{entry.scale} for {entry.name}",
        )
    return Model(entry.name, net, facts, found.where, entry.target)


def _blend(entry: weights.Entry, parameters: Mapping[str, Tensor], strength: float) -> dict[str, Tensor]:
    if entry.blend is None:
        raise KnobError(f"{entry.name} has no denoise strength", expected="realesr-general-x4v3 for that")
    if not 0 <= strength <= 1:
        raise KnobError(f"denoise_strength is {strength}", expected="0 to 1")
    other = _read_found(weights.obtain(weights.entry(entry.blend)))
    return blend(parameters, other, strength)


def blend(first: Mapping[str, Tensor], second: Mapping[str, Tensor], share: float) -> dict[str, Tensor]:
    """Mixes two weight sets of one architecture, `share` of the first and the rest of the second (deep network
    interpolation, Wang et al., CVPR 2019).  Raises `WeightsError` when their names or shapes differ."""
    if {k: v.shape for k, v in first.items()} != {k: v.shape for k, v in second.items()}:
        raise WeightsError("the two weight sets to be blended are of different architectures")
    return {k: torch.lerp(second[k].float(), first[k].float(), share) for k in first}


def _read_found(found: weights.Found) -> dict[str, Tensor]:
    return read(found.files[0])


def read(path: Path) -> dict[str, Tensor]:
    """Reads a weight file into a flat dict of tensors.  Raises `WeightsError`; runs nothing that the file holds."""
    if not path.exists():
        raise WeightsError(f"there is no weight file {path}", hint="vhs-toolkit models list")
    if not path.is_file() or path.stat().st_size == 0:
        raise WeightsError(f"{path} is {'an empty file' if path.is_file() else 'not a file'}", expected="a weight file")
    suffix = path.suffix.lower()
    if suffix in (".param", ".bin"):
        arrays = ncnn.load(path.with_suffix(".param"), path.with_suffix(".bin"))
        return {name: torch.from_numpy(array) for name, array in arrays.items()}
    if suffix == ".safetensors":
        content = _read_safetensors(path)
    elif suffix in (".pth", ".pt"):
        content = _read_pickle(path)
    else:
        raise WeightsError(f"{path} has the ending {suffix or 'none'}", expected=", ".join(SUFFIXES))
    return _parameters(content, path)


def _read_safetensors(path: Path) -> object:
    from safetensors.torch import load_file

    try:
        return load_file(path)
    except Exception as error:  # safetensors raises its own error class and several of Rust's
        raise WeightsError(
            f"{path} is not a whole .safetensors file: {_reason(error)}", hint=_text_hint(path)
        ) from None


def _read_pickle(path: Path) -> object:
    import pickle

    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # a remark on the pickle protocol; whether it loads says enough
            return torch.load(path, map_location="cpu", weights_only=True)
    except pickle.UnpicklingError as error:
        if match := re.search(r"(?:GLOBAL|global|REDUCE|class) ([\w.]+)", str(error)):
            raise WeightsError(
                f"{path} asks to run code ({match[1]}) when it is loaded, so it was refused",
                expected="tensors only",
                hint="a .safetensors file of the same weights",
            ) from None
        # Torch's message is a page of advice; what it found stands behind this mark.
        found = str(error).partition("WeightsUnpickler error:")[2].strip().split(".")[0]
        found = found.partition("\n")[0].strip() or "it is damaged"
        raise _damaged(path, f"{found}, so it holds more than tensors or is damaged") from None
    except Exception as error:  # a damaged zip or pickle can raise nearly anything: EOFError, KeyError, RuntimeError
        raise _damaged(path, _reason(error)) from None


def _damaged(path: Path, reason: str) -> WeightsError:
    return WeightsError(
        f"{path} is not a whole Torch weight file: {reason}",
        expected="a .pth file as published",
        hint=_text_hint(path),
    )


def _reason(error: Exception) -> str:
    first = str(error).strip().splitlines()
    return (first[0] if first else type(error).__name__).split(". ")[0][:120]


def _text_hint(path: Path) -> str:
    """A saved web page is the usual false weight file; say so when the file starts like text."""
    with path.open("rb") as file:
        head = file.read(64)
    if head.lstrip()[:1] == b"<" or head.isascii() and head.decode("ascii").isprintable():
        return "download it again; the file is a text or web page"
    return "download it again; it may be cut short"


def _parameters(content: object, path: Path) -> dict[str, Tensor]:
    """The dict of tensors inside what a file held."""
    for key in _WRAPPERS:
        if isinstance(content, Mapping) and isinstance(content.get(key), Mapping):
            content = content[key]
            break
    if not isinstance(content, Mapping) or not content or not all(isinstance(k, str) for k in content):
        raise WeightsError(f"{path} holds no named weights", expected="the state dict of a net")
    tensors = {k.removeprefix("module."): v for k, v in content.items() if isinstance(v, Tensor)}
    if not tensors:
        raise WeightsError(f"{path} holds no tensors", expected="the state dict of a net")
    if bad := [k for k, v in tensors.items() if v.is_floating_point() and not torch.isfinite(v).all()]:
        raise WeightsError(f"{path} holds numbers that are not finite, in {bad[0]}", hint="download it again")
    return tensors


def build(parameters: Mapping[str, Tensor], origin: str) -> tuple[nn.Module, Facts]:
    """Makes the net that `parameters` belong to, in float32, eval mode, on the CPU.  Raises `WeightsError`."""
    net = _srvgg(parameters) or _rrdb(parameters)
    if net is None:
        return _through_spandrel(parameters, origin)
    shapes = {k: v.shape for k, v in net.state_dict().items()}
    for key in shapes.keys() | parameters.keys():
        if key not in parameters or key not in shapes or parameters[key].shape != shapes[key]:
            has = tuple(parameters[key].shape) if key in parameters else "missing"
            wants = tuple(shapes[key]) if key in shapes else "nothing of that name"
            raise WeightsError(f"{origin} does not fit {net.facts.architecture}: {key} is {has}", expected=str(wants))
    net.load_state_dict({k: v.float() for k, v in parameters.items()}, assign=True)
    return net.eval().requires_grad_(False), net.facts


def _srvgg(parameters: Mapping[str, Tensor]) -> SRVGGNetCompact | None:
    """The empty SRVGGNetCompact whose sizes follow from the parameters, or None when it is another net."""
    numbers = [int(m[1]) for k in parameters if (m := re.fullmatch(r"body\.(\d+)\.weight", k))]
    first, last = parameters.get("body.0.weight"), parameters.get(f"body.{max(numbers, default=0)}.weight")
    if len(numbers) < 3 or first is None or last is None or first.dim() != 4 or last.dim() != 4:
        return None
    scale = round((last.shape[0] / 3) ** 0.5)
    if first.shape[1] != 3 or last.shape[0] != 3 * scale * scale:
        return None
    with torch.device("meta"):
        return SRVGGNetCompact(features=first.shape[0], convs=max(numbers) // 2 - 1, scale=scale)


def _rrdb(parameters: Mapping[str, Tensor]) -> RRDBNet | None:
    """The empty RRDBNet whose sizes follow from the parameters, or None when it is another net."""
    first, grown = parameters.get("conv_first.weight"), parameters.get("body.0.rdb1.conv1.weight")
    if first is None or grown is None or first.dim() != 4 or grown.dim() != 4:
        return None
    blocks = 1 + max(int(m[1]) for k in parameters if (m := re.match(r"body\.(\d+)\.rdb1\.conv1\.weight", k)))
    scale = {3: 4, 12: 2, 48: 1}.get(first.shape[1])
    if scale is None or blocks > 1000:
        return None
    with torch.device("meta"):
        return RRDBNet(features=first.shape[0], blocks=blocks, growth=grown.shape[0], scale=scale)


def _through_spandrel(parameters: Mapping[str, Tensor], origin: str) -> tuple[nn.Module, Facts]:
    """Lets spandrel recognise the net; only nets from one RGB picture to one RGB picture are taken."""
    from toolkit.upscale import compat

    spandrel = compat.import_spandrel()
    try:
        found = spandrel.ModelLoader(device="cpu").load_from_state_dict(dict(parameters))
    except spandrel.UnsupportedModelError:
        raise WeightsError(
            f"{origin} is of an architecture that neither the toolkit nor spandrel knows",
            expected="SRVGGNetCompact, RRDBNet or a single-picture net of spandrel's list",
        ) from None
    except ToolkitError:
        raise
    except Exception as error:  # spandrel's builders index and reshape what they are given
        raise WeightsError(f"{origin} does not fit the net it looks like: {_reason(error)}") from None
    if not isinstance(found, spandrel.ImageModelDescriptor) or (found.input_channels, found.output_channels) != (3, 3):
        raise WeightsError(f"{origin} holds {found.architecture.name}", expected="a net from RGB to RGB pictures")
    size = found.size_requirements
    precisions = ["float32"]
    precisions += ["bf16"] if found.supports_bfloat16 else []
    precisions += ["fp16"] if found.supports_half else []
    facts = Facts(
        architecture=found.architecture.name,
        scale=found.scale,
        radius=None,
        overlap=32,
        multiple=max(size.multiple_of, 1),
        minimum=max(size.minimum, 1),
        precisions=tuple(precisions),
    )
    return Foreign(found.model.float()).eval().requires_grad_(False), facts


class Foreign(nn.Module):
    """A net that expects pictures in the precision of its own weights."""

    def __init__(self, net: nn.Module) -> None:
        super().__init__()
        self.net = net

    def forward(self, x: Tensor) -> Tensor:
        return self.net(x.to(next(self.net.parameters()).dtype)).to(x.dtype)
