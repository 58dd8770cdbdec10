"""A clean moving scene made from scikit-image's photographs: three shots, field rate, with sound, no download.

1. A motorcycle in a garage, filmed by a camera on a dolly.  The photograph comes with its depth (a stereo pair from
   the Middlebury 2014 set), so near things move more than far ones, and hide and show what lies behind them.
2. A coffee table under a hand-held camera; two prints are pushed across it.
3. A rocket on its pad at night, a slow tilt, with titles rolling over it.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from fractions import Fraction
from functools import cached_property, lru_cache

import numpy as np
from numba import njit, prange

from kernels.colour import coefficients
from toolkit.clip import Batch, PictureFormat
from toolkit.errors import KnobError
from toolkit.tape import music
from toolkit.tape.recorder import Tape

#: What the titles say; all photographs come with scikit-image and are free to use.
TITLES = (
    "A TAPE WITH KNOWN TRUTH", "", "made from photographs", "that come with scikit-image", "",
    "Rocket", "SpaceX", "", "Motorcycle", "D. Scharstein and others", "Middlebury stereo set", "",
    "Coffee", "Rachel Michetti", "", "Chelsea the cat", "Stefan van der Walt", "", "Eileen Collins", "NASA", "", "", "",
)  # fmt: skip


@njit(cache=True, nogil=True)
def _spline(f, weights):
    """Catmull-Rom weights of the samples at -1, 0, 1 and 2 for a point at `f`, 0 to 1."""
    f2, f3 = f * f, f * f * f
    weights[0] = np.float32(0.5) * (-f3 + np.float32(2) * f2 - f)
    weights[1] = np.float32(0.5) * (np.float32(3) * f3 - np.float32(5) * f2 + np.float32(2))
    weights[2] = np.float32(0.5) * (-np.float32(3) * f3 + np.float32(4) * f2 + f)
    weights[3] = np.float32(0.5) * (f3 - f2)


@njit(parallel=True, cache=True, nogil=True)
def _paint(out, x0, dx, y0, dy, planes, alpha, depth, parallax, to_photo):
    """Lays a photograph over `out` `(C, H, W)`.

    Output sample (y, x) looks at display point (x0 + x dx, y0 + y dy) and, through the 2x3 matrix `to_photo`, at a
    point of `planes` `(C, h, w)`, read by the Catmull-Rom spline.  Where `depth` is given, points are moved sideways
    by parallax * depth, found by fixed-point steps because the depth is that of the point looked at.
    """
    channels, h, w = planes.shape
    for y in prange(out.shape[1]):
        dy_ = y0 + y * dy
        wx, wy = np.empty(4, np.float32), np.empty(4, np.float32)
        for x in range(out.shape[2]):
            dx_ = x0 + x * dx
            u = to_photo[0, 0] * dx_ + to_photo[0, 1] * dy_ + to_photo[0, 2]
            v = to_photo[1, 0] * dx_ + to_photo[1, 1] * dy_ + to_photo[1, 2]
            if parallax != 0:
                across = min(max(v, 0.0), h - 1.001)
                j = int(across)
                g = across - j
                start = u
                for _ in range(8):
                    at = min(max(u, 0.0), w - 1.001)
                    i = int(at)
                    f = at - i
                    upper = (1 - f) * depth[j, i] + f * depth[j, i + 1]
                    u = start + parallax * ((1 - g) * upper + g * ((1 - f) * depth[j + 1, i] + f * depth[j + 1, i + 1]))
            iu, iv = int(np.floor(u)), int(np.floor(v))
            if iu < -2 or iv < -2 or iu > w or iv > h:
                if alpha.shape[0] > 1:
                    continue
            fu, fv = np.float32(u - iu), np.float32(v - iv)
            _spline(fu, wx)
            _spline(fv, wy)
            opaque = np.float32(1)
            if alpha.shape[0] > 1:
                opaque = np.float32(0)
                for j in range(4):
                    for i in range(4):
                        b, a = iv + j - 1, iu + i - 1
                        if 0 <= a < w and 0 <= b < h:
                            opaque += wy[j] * wx[i] * alpha[b, a]
                opaque = min(max(opaque, np.float32(0)), np.float32(1))
            a0, a1 = min(max(iu - 1, 0), w - 1), min(max(iu, 0), w - 1)
            a2, a3 = min(max(iu + 1, 0), w - 1), min(max(iu + 2, 0), w - 1)
            for c in range(channels):
                value = np.float32(0)
                for j in range(4):
                    line = planes[c, min(max(iv + j - 1, 0), h - 1)]
                    value += wy[j] * (wx[0] * line[a0] + wx[1] * line[a1] + wx[2] * line[a2] + wx[3] * line[a3])
                out[c, y, x] += opaque * (value - out[c, y, x])


_NOTHING = np.zeros((1, 1), np.float32)


@dataclass(frozen=True, eq=False)
class Layer:
    """A photograph as planes `(3, h, w)` of 8-bit YUV levels, and where it can be seen."""

    planes: np.ndarray
    alpha: np.ndarray = field(default_factory=lambda: _NOTHING)
    depth: np.ndarray = field(default_factory=lambda: _NOTHING)

    @property
    def size(self) -> tuple[int, int]:
        return self.planes.shape[2], self.planes.shape[1]


def _yuv(rgb: np.ndarray) -> np.ndarray:
    """RGB `(h, w, 3)` in 0 to 1 as BT.601 limited-range planes `(3, h, w)`."""
    colour = coefficients("bt601", "limited")
    yuv = 255 * rgb @ colour.to_yuv.T + colour.offset
    return np.ascontiguousarray(yuv.transpose(2, 0, 1), np.float32)


def _photo(name: str, width: int | None = None) -> np.ndarray:
    from skimage import data, transform, util

    image = util.img_as_float32(getattr(data, name)())
    if width:
        height = round(image.shape[0] * width / image.shape[1])
        image = transform.resize(image, (height, width), anti_aliasing=True)
    return image


@lru_cache(maxsize=8)
def _layer(name: str) -> Layer:
    return {"motorcycle": _motorcycle, "table": _table, "rocket": _rocket, "titles": _titles}[name]()


def _motorcycle() -> Layer:
    from scipy import ndimage
    from skimage import data

    image, _, near = data.stereo_motorcycle()
    # The set leaves specks where one of its two cameras saw nothing: they are closed.  Steps become ramps gentle
    # enough for the fixed-point steps in `_paint` to settle (parallax times slope below 1).
    near = ndimage.grey_closing(np.where(np.isfinite(near), near, np.nanmedian(near)), 9)
    near = ndimage.gaussian_filter(ndimage.median_filter(near, 7), 3)
    return Layer(_yuv(image / np.float32(255)), depth=np.ascontiguousarray(near - np.median(near), np.float32))


def _table() -> Layer:
    return Layer(_yuv(_photo("coffee")))


def _rocket() -> Layer:
    return Layer(_yuv(_photo("rocket")))


@lru_cache(maxsize=8)
def _print_of(name: str, width: int) -> tuple[Layer, Layer]:
    """A photographic print with a white border, and its soft shadow, both of `width` samples and a margin."""
    from scipy import ndimage

    image = _photo(name, width)
    image = image[: round(width * 0.8)]
    border = max(2, width // 16)
    paper = np.pad(image, ((border, border), (border, border), (0, 0)), constant_values=0.93)
    margin = 12
    paper = np.pad(paper, ((margin, margin), (margin, margin), (0, 0)), mode="edge")
    alpha = np.zeros(paper.shape[:2], np.float32)
    alpha[margin:-margin, margin:-margin] = 1
    soft = ndimage.gaussian_filter(alpha, 4) * np.float32(0.55)
    return Layer(_yuv(paper), alpha), Layer(_yuv(np.zeros_like(paper)), soft)


def _titles() -> Layer:
    from PIL import Image, ImageDraw, ImageFont

    size, step = 26, 40
    image = Image.new("L", (480, step * len(TITLES)), 0)
    draw = ImageDraw.Draw(image)
    for i, line in enumerate(TITLES):
        head = i == 0
        draw.text((240, i * step + step / 2), line, 255, ImageFont.load_default(size + 6 * head), anchor="mm")
    alpha = np.asarray(image, np.float32) / 255
    return Layer(_yuv(np.full((*alpha.shape, 3), 0.92, np.float32)), alpha)


def _look(centre: tuple[float, float], scale: float, turn: float = 0.0) -> np.ndarray:
    """Matrix from display points (1 is the picture's height, 4:3) to a photograph's samples, `scale` per height."""
    c, s = scale * np.cos(turn), scale * np.sin(turn)
    x, y = 2 / 3, 0.5
    return np.array([[c, -s, centre[0] - c * x + s * y], [s, c, centre[1] - s * x - c * y]])


def _onto(place: tuple[float, float], scale: float, turn: float, size: tuple[int, int]) -> np.ndarray:
    """Matrix from the samples of a ground to those of a thing that lies on it, centred at `place`."""
    c, s = np.cos(turn) / scale, np.sin(turn) / scale
    return np.array(
        [
            [c, s, size[0] / 2 - c * place[0] - s * place[1]],
            [-s, c, size[1] / 2 + s * place[0] - c * place[1]],
        ]
    )


def _then(first: np.ndarray, second: np.ndarray) -> np.ndarray:
    whole = second[:, :2] @ first
    whole[:, 2] += second[:, 2]
    return whole


class Sway:
    """A smooth seeded motion: four slow sines.  Value 0 to about 1, the same for every call."""

    def __init__(self, rng: np.random.Generator, slowest_s: float = 7.0) -> None:
        self.phase = rng.uniform(0, 2 * np.pi, 4)
        self.speed = 2 * np.pi / (slowest_s / np.array([1, 1.9, 3.3, 5.1]) * rng.uniform(0.85, 1.15, 4))
        self.size = np.array([0.6, 0.25, 0.1, 0.05])

    def __call__(self, t: float) -> float:
        return float((self.size * np.sin(self.speed * t + self.phase)).sum())


@dataclass(frozen=True)
class Demo:
    """A clean source: what `demo` returns.  `Tape.stream`, `simulate` and `compare` take it like a file.

    frames : of the tape; there are twice as many clean ones.
    """

    frames: int
    standard: str
    seed: int
    size: tuple[int, int]

    sound_rate = 48000
    channels = 2

    @property
    def rate(self) -> Fraction:
        """Clean frames per second: the tape's field rate."""
        return Tape(self.standard).field_rate

    @property
    def duration(self) -> float:
        return float(2 * self.frames / self.rate)

    @property
    def format(self) -> PictureFormat:
        width, height = self.size
        fmt = Tape(self.standard).format(field_order="progressive")
        return fmt.replace(width=width, height=height, sar=Fraction(4, 3) * height / width)

    @property
    def shot(self) -> int:
        """Clean frames of one shot: a third of the whole, at most 5 seconds."""
        return max(2, min(2 * (self.frames // 3), 2 * round(5 * self.rate / 2)))

    def field_count(self, field_rate: Fraction, motion: str) -> int:
        """How many fields this makes on a tape of `field_rate`."""
        return 2 * self.frames if motion == "retime" else int(self.duration * field_rate)

    @property
    def cuts(self) -> list[float]:
        """Times in seconds at which another shot begins."""
        return [float(n / self.rate) for n in range(self.shot, 2 * self.frames, self.shot)]

    @property
    def clicks(self) -> list[float]:
        """Times in seconds at which a click can be heard: every half second from 0.25 s on."""
        return music.clicks(self.duration)

    @cached_property
    def _sways(self) -> list[Sway]:
        rng = np.random.default_rng(self.seed)
        return [Sway(rng) for _ in range(12)]

    def batches(self, size: int = 16, frames: tuple[int, int | None] = (0, None)) -> Iterator[Batch]:
        """Yields the clean frames at field rate, at most `size` at a time."""
        last = 2 * self.frames if frames[1] is None else min(frames[1], 2 * self.frames)
        for first in range(frames[0], last, size):
            numbers = np.arange(first, min(first + size, last), dtype=np.int64)
            planes = tuple(np.empty((len(numbers), *s), np.uint8) for s in self.format.plane_shapes)
            for i, n in enumerate(numbers):
                self._render(int(n), [p[i] for p in planes])
            yield Batch(planes, numbers, np.ones(len(numbers), np.int64), 1 / self.rate, self.format)

    def sound(self, block: int = 48000) -> Iterator[np.ndarray]:
        """Yields the clean sound, `(2, n)` float32 at 48 kHz, as long as the picture."""
        total = round(self.duration * self.sound_rate)
        for first in range(0, total, block):
            yield music.play(first, min(block, total - first), self.sound_rate, self.seed)

    def _render(self, number: int, planes: list[np.ndarray]) -> None:
        t = float(number / self.rate)
        shot = (self._dolly, self._prints, self._launch)[number // self.shot % 3]
        layers = shot(t, (number % self.shot) / self.shot)
        width, height = self.size
        luma, chroma = np.zeros((1, height, width), np.float32), np.zeros((2, height, (width + 1) // 2), np.float32)
        dx, dy = 4 / 3 / width, 1 / height
        for layer, matrix, parallax in layers:
            rest = (layer.alpha, layer.depth, parallax, matrix)
            _paint(luma, dx / 2, dx, dy / 2, dy, layer.planes[:1], *rest)
            _paint(chroma, dx / 2, 2 * dx, dy / 2, dy, layer.planes[1:], *rest)  # co-sited with even luma samples
        for plane, made in zip(planes, (luma[0], chroma[0], chroma[1]), strict=True):
            np.clip(np.rint(made), 1, 254, out=made)
            plane[:] = made

    def _dolly(self, t: float, part: float) -> list[tuple[Layer, np.ndarray, float]]:
        bike, s = _layer("motorcycle"), self._sways
        centre = 370 + 38 * s[0](t), 252 + 14 * s[1](t)
        return [(bike, _look(centre, 430 + 16 * s[2](t), 0.012 * s[3](t)), 0.25 * s[0](t + 1.2))]

    def _prints(self, t: float, part: float) -> list[tuple[Layer, np.ndarray, float]]:
        table, s = _layer("table"), self._sways
        camera = _look((300 + 24 * s[4](t), 200 + 16 * s[5](t)), 340 + 12 * s[6](t), 0.03 * s[7](t))
        layers = [(table, camera, 0.0)]
        for name, width, start, end, turn in (
            ("chelsea", 190, (620, 330), (250, 300), -0.5),
            ("astronaut", 150, (60, -40), (190, 150), 0.35),
        ):
            paper, shadow = _print_of(name, width)
            way = min(1.0, (part * self.shot / float(self.rate) + 0.6) / 2.2)  # so fast however long the shot is
            done = way * way * (3 - 2 * way)
            place = tuple(a + (b - a) * done + 6 * s[8](t) for a, b in zip(start, end, strict=True))
            for layer, offset in ((shadow, 7), (paper, 0)):
                where = _onto((place[0] + offset, place[1] + offset), 1.0, turn * (1 - done) + 0.12, layer.size)
                layers.append((layer, _then(camera, where), 0.0))
        return layers

    def _launch(self, t: float, part: float) -> list[tuple[Layer, np.ndarray, float]]:
        rocket, titles, s = _layer("rocket"), _layer("titles"), self._sways
        camera = _look((320 + 20 * s[9](t), 225 + 14 * s[10](t)), 385 + 12 * s[11](t))
        # 90 samples a second of a 480 line picture: an even three quarters of a line per ntsc field.
        rolled = 90 * (part * self.shot / float(self.rate))
        return [(rocket, camera, 0.0), (titles, _look((240, rolled + 60), 480), 0.0)]


def demo(frames: int = 90, standard: str = "ntsc", seed: int = 1, size: tuple[int, int] | None = None) -> Demo:
    """A clean scene in motion, with sound, that needs no file: the source of the sample tape.

    frames : frames of the tape to be made; the clean frames are twice as many, one for each field.
    size   : width and height; 720x480 for ntsc and 720x576 for pal when left out.  Shown 4:3 in any size.
    """
    if frames < 1:
        raise KnobError(f"a demo of {frames} frames", expected="at least 1 frame")
    fmt = Tape.of(standard=standard).format()
    return Demo(int(frames), standard, int(seed), tuple(size or (fmt.width, fmt.height)))
