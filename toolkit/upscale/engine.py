"""`Upscaler`: a batch of progressive planes in, the same frames larger out.

Planes go to the device, become R'G'B', pass the net in batches (and in tiles when memory is short), and come back as
planes of the wanted size, resampled once.  Nothing is written until a frame is whole, so a lack of memory costs time
and never a pixel: the batch is halved, then the tile, and at the smallest the run stops with the memory it needs.
"""

from __future__ import annotations

import contextlib
import copy
import functools
import warnings
from collections.abc import Callable, Iterable
from concurrent.futures import ThreadPoolExecutor, wait
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from toolkit.clip import Batch, PictureFormat
from toolkit.errors import DeviceMissing, KnobError, PictureError, ToolkitWarning, WorkError
from toolkit.upscale import colour, dense, sizes, strips, transfer
from toolkit.upscale.load import Foreign, Model, load_model
from toolkit.upscale.nets import RRDBNet, SRVGGNetCompact
from toolkit.upscale.plugins import upscale
from toolkit.upscale.tiles import run_tiled

PRECISIONS = {"float32": torch.float32, "bf16": torch.bfloat16, "fp16": torch.float16}
#: Tiles smaller than this spend nearly all their time on overlap.
SMALLEST_TILE = 32
LARGEST_BATCH = 32
#: Decibels by which a faster precision must follow float32.
LEAST_PSNR = 50.0


def choose_device(device: str = "auto") -> str:
    """ "cpu" or "cuda".  Raises `DeviceMissing` when CUDA is asked for and cannot be had."""
    if device not in ("auto", "cpu", "cuda"):
        raise KnobError(f"device is {device!r}", expected="auto, cpu or cuda")
    if device == "auto":
        return "cuda" if torch.cuda.is_available() else "cpu"
    if device == "cuda" and not torch.cuda.is_available():
        why = "no GPU is visible" if torch.version.cuda else "this Torch is built without CUDA"
        raise DeviceMissing(f"CUDA was asked for, and {why}", hint="--device auto or --device cpu")
    return device


@functools.cache
def cpu_has_bf16() -> bool:
    """Does this CPU multiply bfloat16 in hardware (AVX512-BF16, AMX)?  Without that bf16 is slower than float32."""
    return bool(torch.backends.mkldnn.is_available() and torch.ops.mkldnn._is_mkldnn_bf16_supported()
                and (torch.cpu._is_avx512_bf16_supported() or torch.cpu._is_amx_tile_supported()))  # fmt: skip


def choose_precision(precision: str, device: str, able: tuple[str, ...]) -> str:
    """The element type of the net: fp16 on a GPU, bf16 on a CPU that multiplies it, else float32, for "auto"."""
    if precision == "auto":
        fast = "fp16" if device == "cuda" else "bf16" if cpu_has_bf16() else "float32"
        return fast if fast in able else "float32"
    if precision not in PRECISIONS:
        raise KnobError(f"precision is {precision!r}", expected="auto, float32, bf16 or fp16")
    if precision == "fp16" and device == "cpu":
        raise KnobError("precision fp16 was asked for on the CPU", expected="bf16 or float32 there")
    if precision not in able:
        raise KnobError(f"this net does not hold its accuracy in {precision}", expected=", ".join(able))
    return precision


def out_of_memory(error: BaseException) -> bool:
    """Is this what Torch, on the GPU or the CPU, raises when memory is short?"""
    return isinstance(error, torch.OutOfMemoryError | MemoryError) or (
        isinstance(error, RuntimeError) and ("not enough memory" in str(error) or "can't allocate memory" in str(error))
    )


@functools.cache
def _pool(threads: int) -> ThreadPoolExecutor:
    return ThreadPoolExecutor(threads, thread_name_prefix="upscale")


def _spread(work: Callable[[Any], None], items: Iterable[Any], threads: int, share: int = 1) -> None:
    """Does `work(item)` for every item in `threads` threads, each with `share` of Torch's own.

    Returns, or raises the first error, when nothing of it runs any more.
    """

    def one(item: Any) -> None:
        torch.set_num_threads(share)
        with torch.inference_mode():
            work(item)

    works = [_pool(threads).submit(one, item) for item in items]
    try:
        wait(works)
    finally:
        for done in works:
            done.cancel()
    for done in works:
        done.result()


class Upscaler:
    """Enlarges progressive pictures with a net, to a chosen scale or height.

    model     : a model's name, a weight file, or a loaded `Model`.
    scale, height, width : the wanted size; at most `scale` or sizes.  One size alone keeps the proportions of the
                samples.  None of them: the model's own scale.  The display aspect ratio is kept in every case.
    device    : "auto", "cpu" or "cuda".
    precision : "auto", "float32", "bf16" or "fp16".
    batch, tile, overlap : frames at once, tile size and overlap in input samples; None chooses from the free memory.
    memory    : bytes the net may use; None takes half of what is free.
    subsampling, bits : of the output; `bits=None` keeps the input's.

    Facts: `name`, `kind`, `scale` (None when a height or width rules), `net_scale`, `multiple`, `minimum`, `batchable`,
    `device`, `precision`.  Raises `UnknownName`, `WeightsError`, `KnobError` and `DeviceMissing` when it is made.
    """

    kind = "net"
    batchable = True
    on_device = True  # planes may be CuPy arrays

    def __init__(
        self,
        model: str | Path | Model,
        *,
        scale: float | None = None,
        height: int | None = None,
        width: int | None = None,
        device: str = "auto",
        precision: str = "auto",
        batch: int | None = None,
        tile: int | None = None,
        overlap: int | None = None,
        memory: int | None = None,
        subsampling: tuple[int, int] = (1, 1),
        bits: int | None = None,
        denoise_strength: float | None = None,
    ) -> None:
        sizes.check_size(scale, height, width)
        for name, value, least in (
            ("batch", batch, 1),
            ("tile", tile, SMALLEST_TILE),
            ("overlap", overlap, 0),
        ):
            if value is not None and value < least:
                raise KnobError(f"{name} is {value}", expected=f"{least} or more")
        self.device = choose_device(device)
        self.model = model if isinstance(model, Model) else load_model(model, denoise_strength)
        facts = self.facts = self.model.facts
        self.precision = choose_precision(precision, self.device, facts.precisions)
        self.name, self.net_scale = self.model.name, facts.scale
        # Pictures are padded to the net's own multiple, so any size may come in.
        self.multiple, self.minimum = 1, facts.minimum
        self.height, self.width = height, width
        sized = height is not None or width is not None
        self.scale = None if sized else float(scale or self.model.target or facts.scale)
        self.overlap = facts.overlap if overlap is None else overlap
        self.subsampling, self.bits, self.memory = subsampling, bits, memory
        self.batch, self.tile = batch, tile
        self._shrunk: tuple[int, int | None] | None = None
        self._folded: dict[tuple[str, str], nn.Module] = {}
        self.net = self._placed(copy.deepcopy(self.model.net))
        if precision == "auto" and self.precision != "float32" and isinstance(self.model.net, Foreign):
            self._keep_accuracy()

    def __repr__(self) -> str:
        want = f"x{self.scale:g}" if self.scale else f"{self.width or 'auto'}x{self.height or 'auto'}"
        return f"Upscaler({self.name}, {want}, {self.device}, {self.precision})"

    def output_format(self, format: PictureFormat) -> PictureFormat:
        """The format of what `self` makes of pictures in `format`: size, aspect, colour.  Raises `PictureError`."""
        if min(format.width, format.height) < self.minimum:
            raise PictureError(
                f"{self.name} was given {format.width}x{format.height}", expected=f"{self.minimum} samples or more"
            )
        return sizes.enlarged_format(
            format,
            scale=self.scale,
            height=self.height,
            width=self.width,
            subsampling=self.subsampling,
            bits=self.bits,
        )

    def apply(self, batch: Batch) -> Batch:
        """The frames of `batch`, enlarged; times and durations are untouched."""
        return upscale(self, batch)

    def __call__(self, planes: tuple[np.ndarray, ...], format: PictureFormat) -> tuple[np.ndarray, ...]:
        """Enlarges planes `(T, H, W)` of `format`, NumPy or CuPy, into NumPy planes of `output_format(format)`.

        The input is not changed.  Raises `PictureError` for planes that do not fit and `WorkError` when even one
        smallest tile does not fit into memory.
        """
        target = self.output_format(format)
        source = format.replace(matrix=sizes.known_matrix(format))
        frames, shapes = len(planes[0]), tuple(tuple(p.shape[1:]) for p in planes)
        if shapes != format.plane_shapes or any(len(p) != frames for p in planes):
            raise PictureError(f"{self.name} was given planes of {shapes}", expected=f"{format.plane_shapes}")
        out = tuple(transfer.empty((frames, *shape), target.dtype, self.device) for shape in target.plane_shapes)
        done = 0
        try:
            while done < frames:
                batch, tile = self._shrunk or self._plan(format)
                part = slice(done, min(done + batch, frames))
                if self.device == "cpu" and batch >= torch.get_num_threads():
                    # No more than one frame per thread is ever in work, so all of them can be handed out.
                    batch, part = torch.get_num_threads(), slice(done, frames)
                try:
                    self._fill(planes, out, part, source, target, tile)
                except (RuntimeError, MemoryError) as error:
                    if not out_of_memory(error):
                        raise
                    self._shrink(min(part.stop - part.start, batch), tile, format)
                    continue
                done = part.stop
        finally:  # also after an error: nothing may still be written into memory that is given up
            transfer.wait(self.device)
        return out

    def _fill(self, planes, out, part: slice, source: PictureFormat, target: PictureFormat, tile: int | None) -> None:
        """Enlarges the frames `part` into `out`: together on a GPU, each in a thread of its own on a CPU.

        Torch's own threads meet after every operation, which on a busy machine means waiting for the slowest a
        thousand times per frame; a thread per frame meets nobody.
        """
        frames, threads = part.stop - part.start, torch.get_num_threads()
        if self.device != "cpu" or threads == 1:
            self._enlarge(planes, out, part, source, target, tile)
        elif frames >= threads or not isinstance(self.net, SRVGGNetCompact):
            share = max(1, threads // frames)
            self._net_between(source.matrix, target.matrix)  # made once, not once per thread

            def one(frame: int) -> None:
                self._enlarge(planes, out, slice(frame, frame + 1), source, target, tile)

            if frames == 1:
                one(part.start)
            else:
                _spread(one, range(part.start, part.stop), threads, share)
        else:  # fewer frames than threads: frames in bands, which this net's small radius allows
            bands = max(1, min(-(-threads // frames), source.height // (4 * max(self.overlap, 1))))
            rows = -(-source.height // bands)
            band = (min(tile or rows, rows), tile or source.width)
            self._enlarge(planes, out, part, source, target, band, threads)

    def _enlarge(self, planes, out, part: slice, source, target, tile, threads: int = 1) -> None:
        each = functools.partial(_spread, threads=threads) if threads > 1 else None
        with torch.inference_mode():
            on_device = tuple(transfer.send(p[part], self.device) for p in planes)
            net = self._net_between(source.matrix, target.matrix)
            large = run_tiled(net, colour.to_ycc(on_device, source), self.facts, tile, self.overlap, each)
            for whole, plane in zip(out, colour.from_ycc(large, target), strict=True):
                transfer.fetch(plane, whole[part])

    def _net_between(self, source: str, target: str) -> Callable[[Tensor], Tensor]:
        """The net for Y'CbCr of one matrix in and of another out."""
        into, out = colour.rgb_from_ycc(source), colour.ycc_from_rgb(target)
        if not isinstance(self.net, SRVGGNetCompact):
            return lambda ycc: colour.mix(self.net(colour.mix(ycc, into)), out)
        if (source, target) not in self._folded:
            self._folded[source, target] = self._placed(self.model.net.in_colour(into, out))
        return self._folded[source, target]

    def _placed(self, net: nn.Module) -> nn.Module:
        return net.to(self.device, PRECISIONS[self.precision], memory_format=torch.channels_last)

    def _keep_accuracy(self) -> None:
        """Goes back to float32, and says so, when a net nobody has measured falls below 50 dB in the fast precision."""
        side = -(-max(32, self.facts.minimum) // self.facts.multiple) * self.facts.multiple
        picture = torch.rand((1, 3, side, side), generator=torch.Generator().manual_seed(0)) * 0.2
        picture = picture + torch.linspace(0.1, 0.7, side)
        with torch.inference_mode():
            exact = self.model.net(picture)
        error = (self.rgb(picture).cpu() - exact).square().mean()
        if not error < 10 ** (-LEAST_PSNR / 10):
            warnings.warn(
                f"{self.name} loses accuracy in {self.precision}; float32 is used", ToolkitWarning, stacklevel=3
            )
            self.precision = "float32"
            self.net = self._placed(copy.deepcopy(self.model.net))

    def rgb(self, rgb: Tensor, tile: int | None = None) -> Tensor:
        """The net alone: float32 R'G'B' `(T, 3, H, W)` to `(T, 3, H * net_scale, W * net_scale)`."""
        with torch.inference_mode():
            rgb = rgb.to(self.device).contiguous(memory_format=torch.channels_last)
            return run_tiled(self.net, rgb, self.facts, tile, self.overlap)

    def needed(self, height: int, width: int, tile: int | None = None) -> int | None:
        """Estimated peak bytes for one frame of that size, whole or in tiles; None when the net gives no estimate."""
        if self.facts.bytes_per_pixel is None:
            return None
        # the picture before and after the net, and two thirds of the latter again while it is made into planes
        pictures = height * width * 4 * (3 + 5 * self.net_scale**2)
        if tile is not None:
            height, width = (min(size, tile + 2 * self.overlap) for size in (height, width))
            pictures += height * width * 4 * 3 * self.net_scale**2
        if self.device == "cpu" and isinstance(self.net, SRVGGNetCompact):
            return pictures + strips.strip_bytes(self.net, width)
        if self.device == "cpu" and isinstance(self.net, RRDBNet):
            return pictures + dense.needed(self.net, -(-height // self.net.fold), -(-width // self.net.fold))
        return pictures + height * width * self.facts.bytes_per_pixel * PRECISIONS[self.precision].itemsize

    def _plan(self, format: PictureFormat) -> tuple[int, int | None]:
        """Frames at once and tile size that should fit into the memory that may be used."""
        budget, size = self.memory or self._free() // 2, (format.height, format.width)
        frame, tile = self.needed(*size, self.tile), self.tile
        if frame is None:
            return self.batch or 1, tile
        if tile is None and frame > budget:
            tile = max(size)
            while tile > SMALLEST_TILE and self.needed(*size, tile) > budget:
                tile = max(tile * 7 // 8, SMALLEST_TILE)
        most = LARGEST_BATCH if self.device == "cuda" else torch.get_num_threads()
        return self.batch or max(1, min(most, budget // frame)), tile

    def _free(self) -> int:
        if self.device == "cuda":
            return torch.cuda.mem_get_info()[0]
        import psutil

        return psutil.virtual_memory().available

    def _shrink(self, batch: int, tile: int | None, format: PictureFormat) -> None:
        """Halves the batch, then the tile, and says so.  Raises `WorkError` at the smallest."""
        if self.device == "cuda":
            torch.cuda.empty_cache()
        side = max(format.height, format.width)
        if batch > 1:
            self._shrunk = (batch // 2, tile)
        elif (tile or side) > SMALLEST_TILE:
            self._shrunk = (1, max(min(tile or side, side) // 2, SMALLEST_TILE))
        else:
            need = self.needed(format.height, format.width, SMALLEST_TILE)
            amount = f"about {need / 2**20:.0f} MiB" if need else "more memory than there is"
            with contextlib.suppress(RuntimeError):
                amount += f", {self._free() / 2**20:.0f} MiB are free"
            raise WorkError(
                f"{self.name} ran out of memory on {self.device} with one frame in tiles of {SMALLEST_TILE}: "
                f"it needs {amount}",
                hint="a smaller model, --device cpu, or closing what else uses the memory",
            )
        batch, tile = self._shrunk
        warnings.warn(
            f"{self.name} ran out of memory on {self.device}; going on with {batch} frame(s) at once"
            + (f" in tiles of {tile}" if tile else ""),
            ToolkitWarning,
            stacklevel=4,
        )
