"""The nets: equal to the published ones, whole or in strips or in tiles, in any colour space and precision."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch.nn import functional

from tests._upscale import made_model, photo, psnr, randomised, rgb_tensor, torch_threads
from toolkit.upscale import RealESRGANReference, colour, dense, fused, load_model, nets, strips, tiles
from toolkit.upscale.engine import Upscaler
from toolkit.upscale.nets import RRDBNet, SRVGGNetCompact

small_srvgg = st.builds(
    SRVGGNetCompact, features=st.integers(1, 6), convs=st.integers(1, 4), scale=st.integers(1, 4)
).map(randomised)


@pytest.fixture(autouse=True)
def one_thread():
    """Pictures this small gain nothing from threads that wait for each other."""
    with torch_threads(1):
        yield


def plain(net: SRVGGNetCompact, x: torch.Tensor) -> torch.Tensor:
    """The net as its definition says: layer after layer over the whole picture."""
    large = torch.nn.functional.interpolate(colour.mix(x, net.base), scale_factor=net.scale, mode="nearest")
    return torch.nn.functional.pixel_shuffle(net.detail(x), net.scale) + large


def noise(*shape: int, seed: int = 0) -> torch.Tensor:
    return torch.rand(shape, generator=torch.Generator().manual_seed(seed))


@pytest.mark.parametrize("name", ["realesr-animevideov3", "RealESRGAN_x4plus_anime_6B"])
def test_the_reference_package_gives_the_same_picture(name):
    picture = photo(40, 56)
    reference = RealESRGANReference(name)(picture)
    ours = Upscaler(name, device="cpu", precision="float32").rgb(rgb_tensor(picture))
    ours = ours.clamp(0, 1)[0].permute(1, 2, 0).numpy()
    rounded = np.round(ours * 255)
    assert np.abs(rounded - reference).mean() / 255 < 1e-5
    assert psnr(rounded, reference, 255) > 80
    half = Upscaler(name, device="cpu", precision="bf16").rgb(rgb_tensor(picture))[0].permute(1, 2, 0).numpy()
    assert psnr(half.clip(0, 1), reference / 255) > 45


@pytest.mark.parametrize("name", ["realesr-animevideov3", "RealESRGAN_x4plus", "RealESRGAN_x4plus_anime_6B"])
def test_real_weights_show_the_picture_they_were_given(name):
    """Shrunk back, the large picture is the small one: the weights lie where they belong."""
    small = rgb_tensor(photo(24, 32))
    large = Upscaler(name, device="cpu").rgb(small)
    back = torch.nn.functional.avg_pool2d(large, 4)
    assert psnr(back[..., 4:-4, 4:-4], small[..., 4:-4, 4:-4]) > 28
    shifted = torch.roll(small, 1, -1)
    assert psnr(back[..., 4:-4, 4:-4], shifted[..., 4:-4, 4:-4]) < psnr(back[..., 4:-4, 4:-4], small[..., 4:-4, 4:-4])


@pytest.mark.parametrize("scale", [1, 2, 4])
def test_rrdb_equals_the_published_class(scale):
    from toolkit.upscale import compat

    compat.import_realesrgan()
    from basicsr.archs.rrdbnet_arch import RRDBNet as Published

    ours = randomised(RRDBNet(8, 2, 4, scale), gain=0.5)
    theirs = Published(3, 3, scale, 8, 2, 4).eval()
    theirs.load_state_dict(ours.state_dict())
    x = noise(2, 3, 12, 16)
    with torch.no_grad():
        torch.testing.assert_close(ours(x), theirs(x), atol=1e-5, rtol=1e-5)


@pytest.mark.parametrize("scale", [1, 2, 3, 4])
def test_srvgg_equals_the_published_class(scale):
    from toolkit.upscale import compat

    published = compat.import_realesrgan().archs.srvgg_arch.SRVGGNetCompact
    ours = randomised(SRVGGNetCompact(8, 3, scale))
    theirs = published(num_feat=8, num_conv=3, upscale=scale).eval()
    theirs.load_state_dict(ours.state_dict())
    x = noise(2, 3, 11, 13)
    with torch.no_grad():
        torch.testing.assert_close(ours(x), theirs(x), atol=1e-5, rtol=1e-5)


@settings(max_examples=50)
@given(small_srvgg, st.integers(1, 24), st.integers(1, 9), st.integers(1, 9))
def test_strips_give_every_row_of_the_whole_picture(net, height, width, rows):
    x = noise(1, 3, height, width)
    with torch.no_grad():
        whole = net.detail(x)
        parts = list(strips.detail_strips(net, x, rows))
        torch.testing.assert_close(net(x), plain(net, x), atol=1e-5, rtol=1e-5)
    assert [at for at, _ in parts] == list(np.cumsum([0, *(len(p) for _, p in parts)])[:-1])
    torch.testing.assert_close(torch.cat([p for _, p in parts]).permute(2, 0, 1)[None], whole, atol=1e-5, rtol=1e-5)


@given(st.integers(1, 40), st.integers(1, 40), st.integers(1, 20), st.integers(0, 9), st.sampled_from((1, 2, 4)))
def test_tiles_cover_every_sample_once_and_start_on_the_grid(height, width, tile, overlap, multiple):
    height, width = height * multiple, width * multiple
    seen = np.zeros((height, width), int)
    for piece in tiles.tiles(height, width, tile, overlap, multiple):
        (top, bottom, left, right), (above, below, before, after) = piece.core, piece.area
        seen[top:bottom, left:right] += 1
        assert not any(v % multiple for v in (*piece.core, *piece.area))
        assert above == 0 or top - above >= overlap
        assert below == height or below - bottom >= overlap
        assert before == 0 or left - before >= overlap
        assert after == width or after - right >= overlap
        assert max(bottom - top, right - left) <= max(tile, multiple)
    assert (seen == 1).all()


def tiled_error(net, size: int, tile: int, overlap: int) -> float:
    x = noise(1, 3, size, size + 3)
    with torch.no_grad():
        return float((tiles.run_tiled(net, x, net.facts, tile, overlap) - net(tiles.pad_to_rules(x, net.facts))[
            ..., : size * net.scale, : (size + 3) * net.scale]).abs().max())  # fmt: skip


@settings(max_examples=12)
@given(st.sampled_from((SRVGGNetCompact(6, 2, 2), SRVGGNetCompact(4, 4, 3), RRDBNet(4, 1, 4, 4), RRDBNet(4, 1, 4, 2))),
       st.integers(4, 30))  # fmt: skip
def test_tiled_equals_untiled_when_the_overlap_is_the_radius(net, tile):
    net = randomised(net, gain=0.7)
    assert tiled_error(net, 44, tile, net.facts.radius) < 1e-4


def test_the_radius_of_srvgg_is_not_larger_than_it_must_be():
    net = randomised(SRVGGNetCompact(6, 2, 2))
    assert tiled_error(net, 40, 8, net.facts.radius - 1) > 1e-4


def test_the_default_model_in_tiles_equals_it_in_one_piece():
    up = Upscaler("realesr-animevideov3", device="cpu", precision="float32")
    x = rgb_tensor(photo(64, 96))
    torch.testing.assert_close(up.rgb(x, tile=32), up.rgb(x), atol=2e-5, rtol=0)
    assert up.overlap == 18


@pytest.mark.parametrize("name", ["realesr-animevideov3", "RealESRGAN_x4plus_anime_6B"])
def test_the_default_overlap_keeps_a_tiled_picture_above_50_db(name):
    up = Upscaler(name, device="cpu", precision="float32")
    x = rgb_tensor(photo(16, 112))
    assert psnr(up.rgb(x, tile=56), up.rgb(x)) > 50


@pytest.mark.parametrize("name", ["realesr-animevideov3", "RealESRGAN_x4plus_anime_6B", "RealESRGAN_x4plus"])
def test_bf16_is_within_50_db_of_float32(name):
    x = rgb_tensor(photo(16, 24))
    exact, fast = (Upscaler(name, device="cpu", precision=p).rgb(x) for p in ("float32", "bf16"))
    assert psnr(fast.clamp(0, 1), exact.clamp(0, 1)) > 53


def test_convolutions_kept_in_float32_have_no_seams_between_bands(monkeypatch):
    conv = randomised(torch.nn.Conv2d(4, 3, 3, padding=1)).bfloat16()
    monkeypatch.setattr(nets, "_BAND", 5)
    for height in (1, 4, 5, 6, 10, 13):
        x = noise(2, 4, height, 7)
        with torch.no_grad():
            torch.testing.assert_close(nets._exact(conv, x), conv.float()(x), atol=1e-5, rtol=1e-5)
            conv.bfloat16()


@settings(max_examples=25)
@given(small_srvgg, st.sampled_from(("bt601", "bt709", "bt2020")), st.sampled_from(("bt601", "bt709")))
def test_colour_folded_into_the_net_is_the_same_as_converting_the_pictures(net, source, target):
    into, out = colour.rgb_from_ycc(source), colour.ycc_from_rgb(target)
    x = noise(2, 3, 7, 9) - 0.3
    with torch.no_grad():
        expected = colour.mix(net(colour.mix(x, into)), out)
        torch.testing.assert_close(net.in_colour(into, out)(x), expected, atol=1e-4, rtol=1e-4)


def test_facts_count_the_arithmetic():
    """Multiply-adds per input pixel, counted by Torch while the net runs."""
    from torch.utils.flop_counter import FlopCounterMode

    for net in (SRVGGNetCompact(8, 2, 3), RRDBNet(8, 2, 4, 4), RRDBNet(8, 1, 4, 2)):
        with FlopCounterMode(display=False) as counter, torch.no_grad():
            x = torch.zeros(1, 3, 16, 16)
            net.detail(x) if isinstance(net, SRVGGNetCompact) else net.plain(x)
        assert counter.get_total_flops() == 2 * net.facts.macs * 16 * 16


def test_pictures_are_padded_to_the_size_rules_and_cut_back():
    net = randomised(RRDBNet(4, 1, 4, 1), gain=0.5)
    for height, width in ((1, 1), (3, 9), (8, 12), (13, 6)):
        out = Upscaler(made_model(net), device="cpu", precision="float32").rgb(noise(1, 3, height, width))
        assert out.shape == (1, 3, height, width)


def test_a_model_keeps_its_weights_when_upscalers_use_it():
    model = load_model("realesr-animevideov3")
    before = {k: v.clone() for k, v in model.net.state_dict().items()}
    Upscaler(model, device="cpu", precision="bf16").rgb(noise(1, 3, 8, 8))
    for key, value in model.net.state_dict().items():
        assert value.dtype == torch.float32 and torch.equal(value, before[key])


@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float32])
@given(seed=st.integers(0, 2**32 - 1), size=st.tuples(st.integers(1, 5), st.integers(1, 9)))
@settings(max_examples=20)
def test_prelu_between_convolutions_is_what_torch_gives_bit_for_bit(dtype, seed, size):
    random = torch.Generator().manual_seed(seed)

    def some(*shape):
        """Of every magnitude, with zeros of both signs and what overflows."""
        found = torch.randn(shape, generator=random) * 10.0 ** torch.randint(-38, 38, shape, generator=random)
        special = torch.tensor([0.0, -0.0, torch.inf, -torch.inf, 3.3e38, -1e-40])[
            torch.randint(6, shape, generator=random)
        ]
        return torch.where(torch.rand(shape, generator=random) < 0.2, special, found).to(dtype)

    with torch.inference_mode():
        rows, slopes = some(*size, 7), torch.randn(7, generator=random).to(dtype)
        out = torch.full_like(rows, 9)
        fused.prelu_into(rows, slopes.float().repeat(size[1]), out)
        assert torch.equal(out, functional.prelu(rows.reshape(-1, 7), slopes).view(rows.shape))


def rrdb_pairs(dtype):
    """What the CPU's own way and the published steps make of pictures of awkward sizes."""
    for seed, (height, width) in enumerate(((1, 1), (2, 5), (6, 3), (7, 4), (13, 2), (25, 6))):
        net = randomised(RRDBNet(8, 2, 4, 4), seed, gain=0.5).to(dtype, memory_format=torch.channels_last)
        x = noise(2, 3, height, width)
        with torch.inference_mode():
            yield net(x), net.plain(x)


@pytest.mark.parametrize("fuses", [True, False])
def test_rrdb_on_a_cpu_equals_its_plain_steps_at_every_height_of_a_strip(monkeypatch, fuses):
    monkeypatch.setattr(dense, "_STRIP_BYTES", 0)  # strips as narrow as they may be
    if not fuses:  # as on a processor or in a build of Torch without the joint step
        monkeypatch.setattr(dense, "_fuses", lambda dtype: False)
    for found, expected in rrdb_pairs(torch.float32):
        torch.testing.assert_close(found, expected, atol=1e-5, rtol=1e-5)


def test_rrdb_in_bfloat16_keeps_the_picture_in_float32():
    for found, expected in rrdb_pairs(torch.bfloat16):
        assert found.dtype == torch.float32
        assert psnr(found / expected.std(), expected / expected.std()) > 35


def test_an_unknown_joint_step_is_not_used(monkeypatch):
    """A build of Torch whose own step is missing, or gives something else, is found out before any picture."""
    dense._fuses.cache_clear()
    with monkeypatch.context() as patch:
        patch.setattr(dense, "_fused", lambda x, weight, bias, padding, slope: functional.conv2d(x, weight, bias, 1, 1))
        assert not dense._fuses(torch.float32)
    dense._fuses.cache_clear()


@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float32])
@pytest.mark.parametrize("threads", [1, 8])
def test_shares_are_added_as_torch_adds_them(dtype, threads):
    x, outer = noise(3, 5, 6), noise(3, 5, 6, seed=1)
    y, fast = noise(3, 5, 6, seed=2).to(dtype), torch.empty(3, 5, 6, dtype=dtype)
    once = x + 0.2 * y.float()
    for more, expected in ((None, once), (outer, outer + 0.2 * once)):
        out = torch.empty_like(x)
        with torch_threads(threads), torch.inference_mode():
            fused.add_share(x, y, 0.2, out, fast, more)
        torch.testing.assert_close(out, expected)
        assert torch.equal(fast, out.to(dtype))
