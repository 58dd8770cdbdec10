"""The reader of ncnn's files: made files come back as they were, damaged ones are refused in one sentence."""

from __future__ import annotations

import tempfile
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests._upscale import randomised, write_ncnn
from toolkit.errors import WeightsError
from toolkit.upscale import ncnn, weights
from toolkit.upscale.load import build, read
from toolkit.upscale.nets import RRDBNet, SRVGGNetCompact

sizes = st.integers(1, 5)


def arrays(net) -> dict[str, np.ndarray]:
    return {k: v.numpy() for k, v in randomised(net).state_dict().items()}


nets = st.one_of(
    st.builds(SRVGGNetCompact, features=sizes, convs=st.integers(1, 3), scale=st.integers(1, 4)),
    st.builds(RRDBNet, features=sizes, blocks=st.integers(1, 2), growth=sizes),
)


@given(nets, st.booleans())
def test_made_files_come_back_as_they_were(net, half):
    state = arrays(net)
    with tempfile.TemporaryDirectory() as folder:
        found = ncnn.load(*write_ncnn(state, Path(folder), half))
    assert list(found) == list(state)
    for key, value in state.items():
        stored = value.astype(np.float16).astype(np.float32) if half and value.ndim == 4 else value
        np.testing.assert_array_equal(found[key], stored, err_msg=key)


@given(nets, st.booleans(), st.data())
def test_damage_is_refused_or_only_changes_numbers(net, half, data):
    state = arrays(net)
    with tempfile.TemporaryDirectory() as folder:
        pair = write_ncnn(state, Path(folder), half)
        target = data.draw(st.sampled_from(pair))
        whole = target.read_bytes()
        kind = data.draw(st.sampled_from(("cut", "flip", "insert", "replace")))
        at = data.draw(st.integers(0, len(whole) - 1))
        junk = data.draw(st.binary(min_size=1, max_size=8))
        damaged = {
            "cut": whole[:at],
            "flip": whole[:at] + bytes([whole[at] ^ 0x40]) + whole[at + 1 :],
            "insert": whole[:at] + junk + whole[at:],
            "replace": junk * 9,
        }[kind]
        target.write_bytes(damaged)
        if target.suffix == ".bin" and kind != "flip":
            with pytest.raises(WeightsError):
                ncnn.load(*pair)
            return
        try:
            found = ncnn.load(*pair)
            build({k: __import__("torch").from_numpy(v) for k, v in found.items()}, "made")
        except WeightsError as error:
            assert "\n" not in str(error)


@pytest.mark.parametrize(
    ("old", "new", "reason"),
    [
        ("9=2 -23310=1,2.000000e-01", "9=2 -23310=1,1.000000e-01", "activation"),
        ("-23301=2,2.000000e-01", "-23301=2,3.000000e-01", "residual"),
        ("1=2.000000e+00", "1=3.000000e+00", "enlarged"),
        ("4=1 5=1", "4=0 5=1", "padding"),
        ("4=1 5=1", "3=2 4=1 5=1", "stride"),
        ("7767517", "7767518", "first line"),
        ("Interp", "Dropout", "enlarged"),
        ("0=4", "0=nan", "whole number"),
    ],
)
def test_a_graph_that_is_another_net_is_refused(tmp_path, old, new, reason):
    param, binary = write_ncnn(arrays(RRDBNet(features=4, blocks=1, growth=4)), tmp_path)
    text = param.read_text()
    assert old in text
    param.write_text(text.replace(old, new, 1))
    with pytest.raises(WeightsError, match=reason):
        ncnn.load(param, binary)


def test_a_file_with_more_than_its_net_is_refused(tmp_path):
    param, binary = write_ncnn(arrays(SRVGGNetCompact(4, 1, 2)), tmp_path)
    binary.write_bytes(binary.read_bytes() + b"\0\0\0\0")
    with pytest.raises(WeightsError, match="4 bytes .* left over"):
        ncnn.load(param, binary)


def test_numbers_that_are_not_finite_are_refused(tmp_path):
    state = arrays(SRVGGNetCompact(4, 1, 2))
    state["body.0.bias"][1] = np.nan
    with pytest.raises(WeightsError, match="not finite"):
        ncnn.load(*write_ncnn(state, tmp_path))


def test_one_file_of_the_pair_is_not_enough(tmp_path):
    param, binary = write_ncnn(arrays(SRVGGNetCompact(4, 1, 2)), tmp_path)
    param.unlink()
    with pytest.raises(WeightsError, match="net.param"):
        read(binary)


@pytest.mark.parametrize("name", [n for n, e in weights.table().items() if e.ncnn])
def test_the_wheel_holds_each_model_it_is_said_to(name):
    entry = weights.entry(name)
    found = weights.find(entry)
    assert found is not None and found.files[-1].stat().st_size == entry.ncnn.bytes
    net, facts = build(read(found.files[0]), name)
    assert (facts.architecture, facts.scale) == (entry.architecture, entry.scale)
    expected = {"SRVGGNetCompact": (64, 16), "RRDBNet": (64, 6 if "anime" in name else 23)}[facts.architecture]
    assert (net.features, getattr(net, "convs", None) or net.blocks) == expected
