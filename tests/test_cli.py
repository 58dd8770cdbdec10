"""The command line as people and programs use it: real processes, exit codes, one-line errors."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
import warnings
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests import _media as m
from toolkit.cli import main
from toolkit.errors import KnobError, ToolkitError, ToolkitWarning
from toolkit.presets import names, preset
from toolkit.settings import parse_bytes, parse_range, parse_step


def run(*words: object, **more) -> subprocess.CompletedProcess:
    command = [sys.executable, "-m", "toolkit.cli", *map(str, words)]
    return subprocess.run(command, capture_output=True, text=True, timeout=300, **more)


def refused(capsys, *words: object) -> tuple[int, str]:
    """Exit code and the one line of a request that fails."""
    code = main([*map(str, words)])
    err = capsys.readouterr().err.strip()
    lines = [line for line in err.splitlines() if line.startswith("vhs-toolkit:")]
    assert len(lines) == 1 and "Traceback" not in err, err
    assert code != 2 or "frames/s" not in err, f"refused after work was begun: {err}"
    return code, lines[0]


def test_restore_in_a_process_prints_the_report_and_writes_the_file(tmp_path):
    out = tmp_path / "o.mp4"
    done = run("restore", m.made("huffyuv.avi"), out, "--preset", "vhs-fast", "--frames", "0:12")
    assert done.returncode == 0, done.stderr
    assert "12 frames from 12" in done.stdout and "checks" in done.stdout and "BAD" not in done.stdout
    assert len(m.told_times(out)) == 12
    assert list(tmp_path.iterdir()) == [out]


def test_json_is_one_object_a_line_and_ends_with_the_report(tmp_path):
    done = run("restore", m.made("huffyuv.avi"), tmp_path / "o.mkv", "--preset", "master", "--frames", ":6", "--json")
    assert done.returncode == 0, done.stderr
    lines = [json.loads(line) for line in done.stdout.splitlines()]
    assert lines[0]["event"] == "progress" and lines[-1]["event"] == "done"
    assert lines[-1]["frames_out"] == 12 and all(c["ok"] for c in lines[-1]["checks"])


@pytest.mark.parametrize(
    "words",
    [
        ["probe"], ["presets"], ["stages"], ["sounds"], ["doctor"], ["models", "list"],
        ["models", "info", "realesr-animevideov3"], ["models", "fetch", "realesr-animevideov3"],
    ],
)  # fmt: skip
def test_listings_speak_json_and_text(words, capsys):
    more = [str(m.made("huffyuv.avi"))] if words == ["probe"] else []
    assert main([*words, *more, "--json"]) == 0
    assert json.loads(capsys.readouterr().out)
    assert main([*words, *more]) == 0
    assert len(capsys.readouterr().out.splitlines()) >= 5


@pytest.mark.parametrize("name", names())
def test_every_preset_restores_a_tape(name, tmp_path):
    """Nets on a tiny size; everything else as it stands."""
    import toolkit

    chosen = preset(name)
    assert chosen.when.endswith(".")
    out = tmp_path / f"{name}.mkv"
    done = toolkit.restore(m.made("huffyuv.avi"), out, preset=name, frames=(0, 3))
    rate = 2 if done.plan.rate == 2 else 1
    assert len(m.told_times(out)) == 3 * rate and all(c.ok for c in done.checks)


BAD = {
    "missing": (["probe", "{folder}/nothing.avi"], 2, "there is no file"),
    "folder": (["probe", "{folder}"], 2, "is a folder"),
    "empty": (["restore", "{empty}", "{out}"], 1, "is empty"),
    "text": (["restore", "{text}", "{out}"], 1, "not a video"),
    "sound only": (["restore", "{sound}", "{out}"], 1, "has no picture"),
    "preset": (["restore", "{tape}", "{out}", "--preset", "vsh"], 2, "did you mean vhs"),
    "stage": (["restore", "{tape}", "{out}", "--denoise", "nlmean"], 2, "did you mean denoise.nlmeans"),
    "knob": (["restore", "{tape}", "{out}", "--denoise", "hqdn3d:spacial=3"], 2, "did you mean spatial"),
    "no value": (["restore", "{tape}", "{out}", "--denoise", "hqdn3d:spatial"], 2, "expected knob=value"),
    "range": (["restore", "{tape}", "{out}", "--denoise", "hqdn3d:spatial=999"], 2, "expected 0 to 255"),
    "number": (["restore", "{tape}", "{out}", "--denoise", "hqdn3d:spatial=strong"], 2, "expected a number"),
    "infinite": (["restore", "{tape}", "{out}", "--denoise", "temporal:radius=inf"], 2, "expected a number"),
    "no number": (["restore", "{tape}", "{out}", "--denoise", "temporal:radius=nan"], 2, "expected a number"),
    "tape": (["simulate", "demo", "{folder}/t.mkv", "--faults", "head_switch_lines=inf"], 2, "head_switch_lines"),
    "order": (["restore", "{tape}", "{out}", "--field-order", "upper"], 2, "expected auto, tff"),
    "frames": (["restore", "{tape}", "{out}", "--frames", "20:10"], 2, "B larger than A"),
    "beyond": (["restore", "{tape}", "{out}", "--frames", "900:"], 1, "has no frames from 900"),
    "memory": (["restore", "{tape}", "{out}", "--max-memory", "lots"], 2, "for instance 2GiB"),
    "scale": (["restore", "{tape}", "{out}", "--scale", "0"], 2, "expected more than 0"),
    "both": (["restore", "{tape}", "{out}", "--scale", "2", "--height", "900"], 2, "one of the two"),
    "crf": (["restore", "{tape}", "{out}", "--crf", "99"], 2, "crf is 99.0; expected 0 to 51"),
    "threads": (["restore", "{tape}", "{out}", "--threads", "-4"], 2, "threads is -4; expected 0 or more"),
    "no tape": (["simulate", "{tape}", "{folder}/t.mkv", "--frames", "0"], 2, "expected 1 or more"),
    "workers": (["sweep", "{tape}", "--knob", "denoise.gate=2,4", "--workers", "-2"], 2, "-2 workers"),
    "no demo": (["demo", "{folder}/demo", "--frames", "0"], 2, "at least 1 frame"),
    "audio": (["restore", "{tape}", "{out}", "--audio", "moderat"], 2, "did you mean moderate"),
    "device": (["restore", "{tape}", "{out}", "--device", "cuda"], 2, "CUDA was asked for"),
    "codec": (["restore", "{tape}", "{out}", "--codec", "h266"], 2, "h264"),
    "container": (["restore", "{tape}", "{folder}/o.wmv"], 2, "does not say which container"),
    "out folder": (["restore", "{tape}", "{folder}/no/o.mp4"], 2, "does not exist"),
    "weights": (["restore", "{tape}", "{out}", "--upscale", "{weights}"], 2, "weights"),
    "no weights": (["restore", "{tape}", "{out}", "--upscale", "{folder}/none.pth"], 2, "none.pth"),
    "two denoisers": (["restore", "{tape}", "{out}", "--denoise", "hqdn3d+median"], 2, "only repair takes several"),
    "no name": (["restore", "{tape}", "{out}", "--repair", "heal_dropouts+"], 2, "repair names no stage"),
    "group": (["restore", "{tape}", "{out}", "--deinterlace", "nlmeans"], 2, "did you mean denoise.nlmeans?"),
    "speed": (["restore", "{tape}", "{out}", "--encoder-preset", "quick"], 2, "expected one of ultrafast"),
    "prores in mp4": (["restore", "{tape}", "{out}", "--codec", "prores"], 2, "prores; expected a name"),
    "crf of ffv1": (["restore", "{tape}", "{out}", "--codec", "ffv1", "--crf", "20"], 2, "ffv1 has no option crf"),
    "tiny": (["restore", "{tape}", "{out}", "--height", "1"], 2, "at least 16x16; nothing was written; try: --"),
    "odd": (["restore", "{tape}", "{out}", "--height", "33"], 2, "of 2, for h264; nothing was written; try: -"),
    "odd parts": (["restore", "{tape}", "{out}", "--height", "33", "--resume"], 2, "a height that is a multiple of 2"),
    "sound track": (["restore", "{tape}", "{out}", "--sound-track", "7"], 2, "has no sound track 7; expected one of 0"),
    "language": (["restore", "{tape}", "{out}", "--sound-track", "ita"], 2, "no sound track in the language 'ita'"),
    "sync of": (["sync", "{tape}", "--track", "7"], 2, "has no sound track 7; expected one of 0"),
    "segment": (["restore", "{tape}", "{out}", "--segment", "-1"], 2, "expected more than 0 s"),
    "into a folder": (["restore", "{tape}", "{folder}/in"], 2, "is a folder; expected the name of a file"),
    "demo's net": (["demo", "{folder}/demo", "--upscale", "nope"], 2, "there is no stage named 'upscale.nope'"),
    "no output": (["restore", "{tape}"], 2, "restore wants OUTPUT; nothing was written; try: vhs-toolkit restore -"),
    "crf of nothing": (["restore", "{tape}", "{out}", "--crf"], 2, "--crf was given no value"),
    "spaces": (["restore", "my", "tape.avi", "{out}"], 2, "a name with spaces wants quotes"),
    "no queue": (["queue", "status", "--queue", "{folder}/q.db"], 2, "there is no queue"),
    "not a queue": (["queue", "status", "--queue", "{text}"], 1, "is not a queue (it is no SQLite file)"),
    "queue of nothing": (["queue", "add", "{folder}/no.avi", "--queue", "{folder}/q.db"], 2, "there is no file"),
    "queue after": (["queue", "add", "{tape}", "--after", "3", "--queue", "{folder}/q.db"], 2, "there is no job 3"),
    "queue's preset": (["queue", "add", "{tape}", "--preset", "x", "--queue", "{folder}/q.db"], 2, "no preset named"),
    "queue's folder": (["queue", "add", "{tape}", "--to", "{folder}/no", "--queue", "{folder}/q.db"], 2, "not exist"),
    "watched": (
        ["queue", "run", "--watch-folder", "{folder}/no", "--to", "{folder}", "--queue", "{folder}/q.db"],
        2,
        "there is no folder",
    ),
    "option": (["restore", "{tape}", "{out}", "--denois", "hqdn3d"], 2, "--denois"),
    "command": (["restroe"], 2, "restore"),
    "model": (["models", "info", "x5plus"], 2, "x5plus"),
    "one compare": (["compare", "{tape}", "{folder}/none.mkv"], 2, "there is no file"),
}


@pytest.mark.parametrize("case", BAD)
def test_bad_requests_get_one_sentence_and_leave_nothing(case, tmp_path, capsys):
    words, code, text = BAD[case]
    (tmp_path / "in").mkdir()
    places = {n: tmp_path / "in" / n for n in ("empty.avi", "text.avi", "sound.wav", "weights.pth")}
    places["empty.avi"].write_bytes(b"")
    places["text.avi"].write_text("this is not a video\n" * 50)
    places["weights.pth"].write_text("<html>404 not found</html>")
    if case == "sound only":
        m.ffmpeg("-f", "lavfi", "-t", 1, "-i", "sine", places["sound.wav"])
    tape = m.made("huffyuv.avi")
    names = {
        "folder": tmp_path, "out": tmp_path / "o.mp4", "tape": tape, "empty": places["empty.avi"],
        "text": places["text.avi"], "sound": places["sound.wav"], "weights": places["weights.pth"],
    }  # fmt: skip
    before, text_before = tape.stat(), places["text.avi"].read_bytes()
    got, line = refused(capsys, *[w.format(**names) for w in words])
    assert (got, text in line) == (code, True), line
    assert "try: did you mean" not in line and places["text.avi"].read_bytes() == text_before
    assert tape.stat().st_mtime_ns == before.st_mtime_ns
    assert [p.name for p in tmp_path.iterdir()] == ["in"]


@pytest.mark.skipif(os.name != "posix" or os.geteuid() != 0, reason="mounts a small disk")
def test_a_full_disk_is_named_and_leaves_nothing(tmp_path):
    disk = tmp_path / "disk"
    disk.mkdir()
    if subprocess.run(["mount", "-t", "tmpfs", "-o", "size=256k", "none", disk], timeout=20).returncode:
        pytest.skip("mounting is not allowed here")
    try:
        done = run("restore", m.made("huffyuv.avi"), disk / "o.mkv", "--preset", "master")
        assert done.returncode == 1 and "No space left" in done.stderr and "Traceback" not in done.stderr
        assert list(disk.iterdir()) == []
    finally:
        subprocess.run(["umount", disk], timeout=20)


def test_a_truncated_tape_is_restored_up_to_where_it_breaks(tmp_path):
    whole = m.made("huffyuv.avi").read_bytes()
    cut = tmp_path / "cut.avi"
    cut.write_bytes(whole[: len(whole) * 6 // 10])
    done = run("restore", cut, tmp_path / "o.mkv", "--preset", "master")
    assert done.returncode == 0, done.stderr
    frames = len(m.told_times(tmp_path / "o.mkv"))
    assert 20 <= frames < 60 and frames % 2 == 0
    assert "note" in done.stdout and f"{frames // 2} of 30 frames" in done.stdout, done.stdout
    assert cut.read_bytes() == whole[: len(whole) * 6 // 10]


def test_what_the_system_refuses_is_one_sentence_too(tmp_path, monkeypatch, capsys):
    place = tmp_path / "a file, no folder"
    place.touch()
    monkeypatch.setenv("VHS_TOOLKIT_SCRATCH", str(place))
    words = ["restore", m.made("huffyuv.avi"), tmp_path / "o.mp4", "--preset", "vhs-fast", "--resume"]
    code, line = refused(capsys, *words)
    assert code == 1 and str(place) in line and "--debug" in line
    assert [p.name for p in tmp_path.iterdir()] == [place.name]


def test_a_warning_is_a_sentence_without_the_place_in_the_code(capsys):
    assert main(["presets"]) == 0
    assert warnings.formatwarning(ToolkitWarning("the tape breaks off"), ToolkitWarning, "a.py", 3) == (
        "vhs-toolkit: the tape breaks off\n"
    )
    assert "a.py:3: UserWarning: odd" in warnings.formatwarning(UserWarning("odd"), UserWarning, "a.py", 3)


def test_debug_shows_the_traceback():
    done = run("probe", "nothing.avi", "--debug")
    assert done.returncode != 0 and "Traceback" in done.stderr


@given(st.text(max_size=30))
def test_settings_never_crash(text):
    """Any text is a setting or a ToolkitError, nothing else."""
    for parse in (
        parse_bytes,
        parse_range,
        lambda t: parse_step("denoise", t),
        lambda t: parse_step("denoise", f"hqdn3d:{t}"),
    ):
        try:
            parse(text)
        except ToolkitError:
            pass


def test_sizes_and_ranges_as_people_write_them():
    assert parse_bytes("2GiB") == 2 << 30 and parse_bytes("1.5 gb") == 1_500_000_000 and parse_bytes("4096") == 4096
    assert parse_range("10:20") == (10, 20) and parse_range(":5") == (0, 5) and parse_range("7:") == (7, None)
    with pytest.raises(KnobError):
        parse_bytes("0")


def test_a_preset_file_of_ones_own(tmp_path, capsys):
    mine = tmp_path / "mine.yaml"
    mine.write_text("when: Mine.\nsteps:\n  - deinterlace.bob: {method: linear}\naudio: none\n")
    assert preset(str(mine)).pipeline[0].knobs["method"] == "linear"
    for text, message in (
        ("steps: [", "not YAML (line 1"),
        ("", "holds no names"),
        ("when: x\nstepz: []\n", "no place for 'stepz'"),
        ("when: x\nsteps:\n  - stage: denoise.median\n", "step 1 is no stage with its knobs"),
        ("when: x\n", "steps"),
        ("when: x\nsteps: []\ncolour: red\n", "colour"),
    ):
        mine.write_text(text)
        code, line = refused(capsys, "restore", m.made("huffyuv.avi"), tmp_path / "o.mp4", "--preset", mine)
        assert code == 2 and message in line
    assert Path(mine).exists()


@pytest.mark.parametrize(
    "command", ["restore", "simulate", "compare", "sync", "sweep", "report", "queue add", "queue run"]
)
def test_help_says_what_the_options_do(command, capsys):
    """cyclopts shows the words of a docstring only where they stand in the numpy form."""
    assert main([*command.split(), "--help"]) == 0
    rows = [line.strip("│ \n") for line in capsys.readouterr().out.splitlines() if line.startswith("│")]
    bare = [row for row in rows if re.fullmatch(r"--[a-z-]+ [A-Z]+(\s*\[default: .*)?", row)]
    assert len(bare) <= len(rows) / 4, bare
