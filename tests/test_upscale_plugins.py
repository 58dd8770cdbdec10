"""Upscalers of other packages: a worked example, and what happens to one that breaks its word."""

from __future__ import annotations

import subprocess
import sys
from fractions import Fraction

import numpy as np
import pytest

from tests._upscale import SD
from toolkit.clip import Batch
from toolkit.errors import PictureError, RequestError, UnknownName
from toolkit.upscale import open_upscaler, plugins, upscale, upscalers

#: The example: a "vendor SDK" that doubles samples, one frame at a time, for sizes that are multiples of 8.
EXAMPLE = """
import numpy as np
from toolkit.upscale.sizes import enlarged_format

class DoublingSdk:
    name, kind, scale, multiple, minimum, batchable = "doubling-sdk", "sdk", 2.0, 8, 16, False

    def __init__(self, device="auto", sharp=False):
        self.sharp, self.calls = sharp, 0

    def output_format(self, format):
        # The matrix is left alone: this SDK works on planes, each for itself.
        return enlarged_format(format, scale=self.scale, subsampling=format.subsampling).replace(matrix=format.matrix)

    def __call__(self, planes, format):
        assert len(planes[0]) == 1, "this SDK takes one frame at a time"
        self.calls += 1
        return tuple(p.repeat(2, 1).repeat(2, 2) for p in planes)

class Liar(DoublingSdk):
    def __call__(self, planes, format):
        return planes

class Half:
    name = "half"
"""
POINTS = """[vhs_toolkit.upscalers]
doubling-sdk = example_sdk:DoublingSdk
liar = example_sdk:Liar
half = example_sdk:Half
broken = example_sdk:Missing
realesr-animevideov3 = example_sdk:DoublingSdk
"""


@pytest.fixture
def example(tmp_path, monkeypatch):
    """The example installed: a module and the metadata that pip would write for it."""
    (tmp_path / "example_sdk.py").write_text(EXAMPLE)
    info = tmp_path / "example_sdk-1.0.dist-info"
    info.mkdir()
    (info / "METADATA").write_text("Metadata-Version: 2.1\nName: example-sdk\nVersion: 1.0\n")
    (info / "entry_points.txt").write_text(POINTS)
    monkeypatch.syspath_prepend(tmp_path)
    yield tmp_path
    sys.modules.pop("example_sdk", None)


def batch_of(format=SD, frames: int = 3) -> Batch:
    rng = np.random.default_rng(0)
    planes = tuple(rng.integers(0, 256, (frames, *s), np.uint8) for s in format.plane_shapes)
    times = np.arange(frames)
    return Batch(planes, times, np.ones_like(times), Fraction(1, 25), format)


def test_the_example_upscales_a_batch(example):
    assert "example_sdk" not in sys.modules and "doubling-sdk" in upscalers()
    assert "example_sdk" not in sys.modules, "listing imports nothing"
    sdk = open_upscaler("doubling-sdk", device="cpu", sharp=True)
    assert isinstance(sdk, plugins.UpscalerLike) and sdk.sharp
    batch = batch_of()
    large = upscale(sdk, batch)
    assert sdk.calls == 3
    assert (large.format.width, large.format.height, large.format.dar) == (192, 128, SD.dar)
    for plane, small in zip(large.planes, batch.planes, strict=True):
        np.testing.assert_array_equal(plane[:, ::2, 1::2], small)


def test_its_size_rules_are_obeyed(example):
    sdk = open_upscaler("doubling-sdk")
    for width, height in ((92, 64), (96, 60), (8, 8)):
        with pytest.raises(PictureError, match="multiples of 8"):
            upscale(sdk, batch_of(SD.replace(width=width, height=height)))
    assert sdk.calls == 0


def test_output_that_is_not_as_announced_is_refused(example):
    with pytest.raises(PictureError, match="doubling-sdk gave planes"):
        upscale(open_upscaler("liar"), batch_of())


def test_a_plugin_that_cannot_be_used_says_why(example):
    with pytest.raises(RequestError, match="broken .* cannot be imported"):
        open_upscaler("broken")
    with pytest.raises(RequestError, match="no kind, scale"):
        open_upscaler("half")


def test_a_plugin_cannot_take_the_name_of_a_model(example):
    assert open_upscaler("realesr-animevideov3", device="cpu").kind == "net"


def test_an_unknown_upscaler_offers_plugins_too(example):
    with pytest.raises(UnknownName) as caught:
        open_upscaler("doubling-sd")
    assert "doubling-sdk" in caught.value.near


def fresh(code: str) -> str:
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=120)
    assert done.returncode == 0, done.stderr
    return done.stdout.strip()


def test_the_cures_are_gone_after_the_import():
    """realesrgan imports, and what was bent for it is straight again."""
    out = fresh(
        "import sys, torch; before = torch.library.register_fake\n"
        "import toolkit.upscale.engine\n"
        "assert not {'av', 'decord', 'librosa', 'cupy', 'spandrel'} & set(sys.modules)\n"
        "from toolkit.upscale import compat\n"
        "assert 'torchvision' not in sys.modules\n"
        "package = compat.import_realesrgan()\n"
        "print(package.RealESRGANer.__name__, torch.library.register_fake is before,\n"
        "      'torchvision.transforms.functional_tensor' in sys.modules)"
    )
    assert out.splitlines()[-1] == "RealESRGANer True False"


def test_a_package_that_cannot_be_imported_is_one_sentence():
    out = fresh(
        "import sys; sys.modules['cv2'] = None\n"
        "from toolkit.upscale import compat; from toolkit.errors import RequestError\n"
        "try: compat.import_realesrgan()\n"
        "except RequestError as error: print(error)"
    )
    assert "cv2" in out and "libGL" in out and "\n" not in out


def test_the_tolerance_ends_at_missing_operators():
    out = fresh(
        "import torch\n"
        "from toolkit.upscale import compat\n"
        "with compat._tolerant_register_fake():\n"
        "    torch.library.register_fake('nowhere::op')(lambda x: x)\n"
        "    torch.library.register_fake('nowhere::op', lambda x: x)\n"
        "try: torch.library.register_fake('nowhere::op')(lambda x: x)\n"
        "except RuntimeError as error: print('does not exist' in str(error))"
    )
    assert out == "True"
