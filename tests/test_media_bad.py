"""Bad input: each file that cannot be restored is one clear sentence with cause and cure, and stays as it was."""

from __future__ import annotations

import os
import subprocess
import sys
import warnings

import pytest

from tests._media import ffmpeg, folder, made, real_clip
from toolkit.clip import Clip
from toolkit.errors import InputMissing, InputUnreadable, ToolkitError, ToolkitWarning
from toolkit.media.probe import probe
from toolkit.media.read import Reader


def _empty(path):
    path.write_bytes(b"")


def _text(path):
    path.write_text("this is a shopping list, not a video\n" * 40)


def _noise(path):
    path.write_bytes(bytes((i * 7919 + i // 251) % 256 for i in range(60000)))


def _headless(path):
    path.write_bytes(made("h264.mp4").read_bytes()[: 20_000])


def _audio(path):
    ffmpeg("-f", "lavfi", "-i", "sine=d=1", path)


def _cover(path):
    picture = folder() / "cover.png"
    ffmpeg("-i", real_clip("bikes.mp4"), "-frames:v", 1, picture)
    ffmpeg("-f", "lavfi", "-i", "sine=d=1", "-i", picture, "-map", 0, "-map", 1, "-c:v", "copy", "-disposition:v",
           "attached_pic", path)  # fmt: skip


def _no_frames(path):
    ffmpeg("-i", made("h264.mp4"), "-map", "0:v", "-frames:v", 0, "-c", "copy", "-movflags", "+empty_moov", path)


def _one_pixel(path):
    ffmpeg("-f", "lavfi", "-i", "color=s=1x1:d=0.2", "-pix_fmt", "yuv444p", "-c:v", "ffv1", path)


def _encrypted(path):
    ffmpeg("-i", made("h264.mp4"), "-c", "copy", "-encryption_scheme", "cenc-aes-ctr", "-encryption_key",
           "76a6c65c5ea762046bd749a2e632ccbb", "-encryption_kid", "a7e61c373e219033c21091fa607bf3b8", path)  # fmt: skip


def _unknown_codec(path):
    data = made("silent.avi").read_bytes()
    path.write_bytes(data.replace(b"HFYU", b"Q9ZX"))


#: What is wrong, the file's name, what the message must name.
BAD = [
    (_empty, "empty.avi", "is empty (0 bytes)"),
    (_text, "text.avi", "is not a video"),
    (_text, "text.mp4", "is not a video"),
    (_noise, "noise.mpg", "video"),
    (_headless, "headless.mp4", "no index (moov): it was cut off"),
    (_audio, "audio.wav", "has no picture (it holds audio)"),
    (_cover, "cover.mp3", "has no picture (it holds"),
    (_no_frames, "none.mp4", "no frame"),
    (_one_pixel, "dot.mkv", "1x1"),
    (_encrypted, "locked.mp4", "is encrypted"),
    (_unknown_codec, "codec.avi", "a codec FFmpeg does not know"),
]


@pytest.mark.parametrize("make, name, said", BAD, ids=[b[1] for b in BAD])
def test_a_bad_file_is_one_sentence_and_stays_as_it_was(make, name, said, tmp_path):
    path = tmp_path / name
    make(path)
    before, listed = path.read_bytes(), sorted(os.listdir(tmp_path))
    for look in (Clip.open, probe):
        with pytest.raises(InputUnreadable) as caught:
            look(path)
        text = str(caught.value)
        assert said in text and str(path) in text and "\n" not in text, text
        assert "; expected" in text or "; try:" in text, text  # a cure
        assert caught.value.exit_code == 1
    assert path.read_bytes() == before and sorted(os.listdir(tmp_path)) == listed


def test_a_missing_file_and_a_folder(tmp_path):
    for path, said in ((tmp_path / "none.avi", "there is no file"), (tmp_path, "is a folder")):
        with pytest.raises(InputMissing, match=said) as caught:
            Clip.open(path)
        assert caught.value.exit_code == 2


def test_a_file_that_may_not_be_read(tmp_path):
    path = tmp_path / "closed.avi"
    path.write_bytes(made("silent.avi").read_bytes())
    path.chmod(0)
    if os.access(path, os.R_OK):  # root reads anything; ask as nobody
        code = (
            "import os, sys\nfrom toolkit.clip import Clip\nimport toolkit.media.read\nos.setuid(65534)\n"
            "try: Clip.open(sys.argv[1])\nexcept Exception as e: print(type(e).__name__, e)\n"
        )
        tmp_path.chmod(0o755)
        for folder_above in list(tmp_path.parents)[:3]:
            if "pytest" in folder_above.name:
                folder_above.chmod(0o755)
        done = subprocess.run([sys.executable, "-c", code, str(path)], capture_output=True, text=True, timeout=200)
        text = done.stdout
        assert "InputUnreadable" in text, text + done.stderr
    else:
        with pytest.raises(InputUnreadable) as caught:
            Clip.open(path)
        text = str(caught.value)
    assert "may not be read" in text and "permissions" in text


def test_a_picture_that_changes_size_is_read_up_to_there(tmp_path):
    for i, size in enumerate(("96:64", "64:48")):
        ffmpeg("-i", real_clip("bikes.mp4"), "-frames:v", 10, "-vf", f"scale={size}", "-c:v", "mpeg2video",
               "-f", "mpeg2video", tmp_path / f"{i}.m2v")  # fmt: skip
    path = tmp_path / "both.m2v"
    path.write_bytes((tmp_path / "0.m2v").read_bytes() + (tmp_path / "1.m2v").read_bytes())
    with Reader(Clip.open(path)) as reader, warnings.catch_warnings(record=True) as said:
        warnings.simplefilter("always")
        shapes = {b.planes[0].shape[1:] for b in reader}
    assert shapes == {(64, 96)} and 9 <= reader.frames_read <= 10
    assert any("breaks off" in str(w.message) for w in said if w.category is ToolkitWarning)


def test_damage_in_the_middle_is_survived_and_counted(tmp_path):
    data = bytearray(made("huffyuv.avi").read_bytes())
    middle = data.index(b"00dc", len(data) // 2) + 8
    data[middle : middle + 60_000] = os.urandom(60_000)
    path = tmp_path / "hole.avi"
    path.write_bytes(data)
    with Reader(Clip.open(path)) as reader, warnings.catch_warnings():
        warnings.simplefilter("ignore")
        n = sum(len(b) for b in reader)
    assert 28 <= n <= 30


def test_every_bad_file_fails_the_same_through_any_door(tmp_path):
    path = tmp_path / "text.avi"
    _text(path)
    from toolkit.media.preview import Preview
    from toolkit.media.thumbnails import thumbnail

    for door in (Clip.open, probe, Preview, thumbnail):
        with pytest.raises(ToolkitError, match="is not a video"):
            door(path)
