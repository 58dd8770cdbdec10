"""Pictures: right colours, fields not mixed, the right moment, and what is asked for in its place."""

from __future__ import annotations

from fractions import Fraction

import numpy as np
import pytest
from PIL import Image

from toolkit import tape
from toolkit.clip import Batch, Clip, PictureFormat
from toolkit.compare import before_after, contact_sheet, frames_at, to_rgb
from toolkit.errors import OutputRefused, RequestError

#: Red and blue of 75 % colour bars, limited range.
BARS = {
    "bt601": {"red": (65, 100, 212), "blue": (35, 212, 114)},
    "bt709": {"red": (51, 109, 212), "blue": (28, 212, 120)},
}


def flat(levels, matrix="bt601", size=(64, 48), count=1, **changes) -> Batch:
    fmt = PictureFormat(*size, (1, 1), field_order="progressive", matrix=matrix).replace(**changes)
    planes = tuple(np.full((count, *s), v, fmt.dtype) for s, v in zip(fmt.plane_shapes, levels, strict=True))
    return Batch(planes, np.arange(count), np.ones(count, int), Fraction(1, 25), fmt)


@pytest.mark.parametrize("matrix", BARS)
@pytest.mark.parametrize("colour, want", [("red", (191, 0, 0)), ("blue", (0, 0, 191))])
def test_colours_follow_the_matrix(matrix, colour, want):
    rgb = to_rgb(flat(BARS[matrix][colour], matrix))
    assert rgb.shape == (1, 48, 64, 3) and np.abs(rgb[0, 24, 32].astype(int) - want).max() <= 2
    guessed = to_rgb(flat(BARS[matrix][colour], "unknown", size=(64, 48) if matrix == "bt601" else (64, 720)))
    assert np.abs(guessed[0, 24, 32].astype(int) - want).max() <= 2


def test_range_and_depth_are_honoured():
    assert np.abs(to_rgb(flat((235, 128, 128)))[0, 0, 0].astype(int) - 255).max() == 0
    assert np.abs(to_rgb(flat((235, 128, 128), range="full"))[0, 0, 0].astype(int) - 235).max() == 0
    assert np.abs(to_rgb(flat((940, 512, 512), bits=10))[0, 0, 0].astype(int) - 255).max() == 0
    grey = PictureFormat(16, 16, None, field_order="progressive")
    assert (to_rgb(Batch((np.full((1, 16, 16), 126, np.uint8),), [0], [1], Fraction(1), grey)) == 128).all()


def test_the_chroma_of_two_fields_does_not_mix():
    """A red field woven with a blue one stays red and blue, line by line, in 4:2:0."""
    red, blue = (flat(BARS["bt601"][c]) for c in ("red", "blue"))
    planes = []
    for a, b in zip(red.planes, blue.planes, strict=True):
        woven = a.copy()
        woven[:, 1::2] = b[:, 1::2]
        planes.append(woven)
    rgb = to_rgb(red.replace(planes=tuple(planes), format=red.format.replace(field_order="tff")))[0].astype(int)
    assert np.abs(rgb[0::2] - (191, 0, 0)).max() <= 2 and np.abs(rgb[1::2] - (0, 0, 191)).max() <= 2


def test_frames_are_found_by_time(tmp_path):
    source = tape.demo(frames=10, size=(96, 72))
    batches = list(source.batches(size=7))
    whole = Batch.join(batches)
    times = [0.2, 0.0, 0.1001, 99.0]
    for got, n in zip(frames_at(batches, times), (12, 0, 6, 19), strict=True):
        assert np.array_equal(got.planes[0][0], whole.planes[0][n])
    tape.simulate(source, tmp_path / "t.mkv", ideal=True)
    stored = Batch.join(list(Clip.open(tmp_path / "t.mkv").batches()))
    for got, n in zip(frames_at(Clip.open(tmp_path / "t.mkv"), [0.3, 0.1]), (9, 3), strict=True):
        assert np.array_equal(got.planes[0][0], stored.planes[0][n])


def test_a_sheet_has_a_column_for_each_source_and_a_row_for_each_time(tmp_path):
    red, blue = (flat(BARS["bt601"][c], count=3) for c in ("red", "blue"))
    large = flat(BARS["bt601"]["blue"], size=(128, 96), count=3)
    sheet = contact_sheet(
        {"red": red, "blue": [blue], "large": large}, [0.0, 0.08],
        regions=[(0.5, 0.5, 0.25, 0.25)], height=96, path=tmp_path / "sheet.png",
    )  # fmt: skip
    picture = np.asarray(sheet).astype(int)
    assert np.array_equal(np.asarray(Image.open(tmp_path / "sheet.png")), picture)
    assert [p.name for p in tmp_path.iterdir()] == ["sheet.png"]
    is_red, is_blue = ((np.abs(picture - c).max(-1) <= 4) for c in ((191, 0, 0), (0, 0, 191)))
    third = picture.shape[1] // 3
    assert is_red[:, :third].mean() > 0.7 and not is_red[:, third:].any() and not is_blue[:, :third].any()
    # Two rows, each with a picture and a magnified part, all 96 lines high; the same area for every source.
    assert abs(is_red.sum() - 4 * 96 * 128) < 0.02 * 4 * 96 * 128
    assert abs(is_blue[:, third : 2 * third].sum() - is_red.sum()) < 0.01 * is_red.sum()
    assert abs(is_blue[:, 2 * third :].sum() - is_red.sum()) < 0.01 * is_red.sum()
    labels = (picture.min(-1) > 200) & ~is_red
    assert labels[:20].any() and labels[:20, 2 * third :].any()


def test_a_picture_is_shown_at_its_display_aspect():
    """A circle stored with SAR 8:9 is a circle again."""
    fmt = PictureFormat(720, 480, (1, 0), sar=Fraction(8, 9), field_order="progressive")
    y, x = np.mgrid[0:480, 0:720]
    circle = np.where(np.hypot((x - 360) * 8 / 9, y - 240) < 150, 235, 16).astype(np.uint8)
    chroma = np.full((1, 480, 360), 128, np.uint8)
    batch = Batch((circle[None], chroma, chroma), np.zeros(1, int), np.ones(1, int), Fraction(1), fmt)
    sheet = np.asarray(contact_sheet({"": batch}, [0.0], height=480))
    rows, columns = np.nonzero(sheet[60:].min(-1) > 128)
    assert abs(np.ptp(columns) - np.ptp(rows)) <= 3


def test_before_and_after_magnify_where_they_differ(tmp_path):
    before = flat((120, 128, 128), size=(160, 120), count=3)
    after = before.replace(planes=tuple(p.copy() for p in before.planes))
    after.planes[0][:, 20:40, 110:140] = 220
    sheet = np.asarray(before_after(before, after, tmp_path / "b.png", height=120)).astype(int)
    half = sheet.shape[1] // 2
    bright = sheet.min(-1) > 200
    magnified = bright[-115:-8, half + 10 : -10]
    assert magnified.mean() > 0.2 and bright[-115:-8, 10 : half - 10].mean() == 0
    with_truth = before_after(before, after, time=0.04, truth=after, height=120)
    assert with_truth.width > 1.4 * sheet.shape[1]


def test_bad_requests_are_named(tmp_path):
    red = flat(BARS["bt601"]["red"])
    with pytest.raises(RequestError, match="at least one"):
        contact_sheet({}, [0.0])
    with pytest.raises(RequestError, match="region"):
        contact_sheet({"a": red}, [0.0], regions=[(0.9, 0, 0.5, 0.5)])
    with pytest.raises(OutputRefused, match="png"):
        contact_sheet({"a": red}, [0.0], path=tmp_path / "a.jpg")
    (tmp_path / "mine.png").write_bytes(b"precious")
    for asked in (
        lambda **more: contact_sheet({"a": red}, [0.0], path=tmp_path / "mine.png", height=48, **more),
        lambda **more: before_after(red, red, tmp_path / "mine.png", time=0.0, height=48, **more),
    ):
        with pytest.raises(OutputRefused, match="mine.png exists"):
            asked()
    assert (tmp_path / "mine.png").read_bytes() == b"precious"
    asked(overwrite=True)
    assert Image.open(tmp_path / "mine.png").format == "PNG"
    (tmp_path / "mine.png").unlink()
    with pytest.raises(OutputRefused, match="cannot be written"):
        contact_sheet({"a": red}, [0.0], path=tmp_path / "nowhere" / "a.png")
    assert not list(tmp_path.iterdir())
