"""Temporary files: who makes them, how fast they grow and what is left, on real files of real processes."""

from __future__ import annotations

import json
import subprocess
import sys

import psutil

from toolkit import scratch
from toolkit.cli import main


def temp(capsys, *words, code=0):
    assert main(["profile", "temp", *words, "--json", "--every", "0.1"]) == code
    return json.loads(capsys.readouterr().out)


def test_makers_and_what_is_left_are_told(tmp_path, capsys):
    script = tmp_path / "makes.py"
    script.write_text(
        "import os, subprocess, tempfile, time\n"
        "with tempfile.NamedTemporaryFile() as f:\n"
        "    f.write(bytes(3_000_000)); f.flush(); time.sleep(1)\n"
        "path = tempfile.mkstemp('.wav')[1]\n"
        "with open(path, 'wb') as f:\n"
        "    subprocess.run(['sh', '-c', 'head -c 2000000 /dev/zero; sleep 1'], stdout=f, timeout=9)\n"
    )
    found = temp(capsys, "--command", f"{sys.executable} {script}")
    by_left = {bool(m["left"]): m for m in found["made"]}
    assert len(found["made"]) == 2
    assert by_left[True]["path"].endswith(".wav") and by_left[True]["left"] >= 2_000_000
    assert by_left[False]["bytes"] >= 3_000_000 and "(" in by_left[False]["maker"]
    assert max(m["bytes"] for m in found["moments"]) >= 3_000_000 and not found["alerts"]
    assert found["code"] == 0 and not scratch.root().joinpath(found["folder"]).exists()


def test_fast_growth_is_an_alert_that_names_the_maker(capsys):
    text = 'sh -c "exec 3> $TMPDIR/grows; for i in 1 2 3 4 5 6 7 8; do head -c 2000000 /dev/zero >&3; sleep 0.1; done"'
    found = temp(capsys, "--command", text, "--rate", "1GB", "--over", "0.3")
    assert len(found["alerts"]) == 1 and "grows" in found["alerts"][0]["cause"]
    assert not temp(capsys, "--command", text, "--rate", "900GB", "--over", "0.3")["alerts"]


def test_a_folder_that_others_fill_is_watched_for_a_time(tmp_path, capsys):
    (tmp_path / "old").write_bytes(bytes(100_000))
    words = ["sh", "-c", f"sleep 0.4; exec > {tmp_path}/new; head -c 1000000 /dev/zero; sleep 30"]
    with subprocess.Popen(words) as program:
        try:
            found = temp(capsys, "--folder", str(tmp_path), "--duration", "3")
        finally:
            for child in psutil.Process(program.pid).children(recursive=True):
                child.kill()
            program.kill()
    assert [m["path"] for m in found["made"]] == [str(tmp_path / "new")]  # not the old one
    assert found["made"][0]["maker"].split(" ")[0] in ("sh", "head", "sleep")


def test_bad_requests_are_one_sentence(tmp_path, capsys):
    assert main(["profile", "temp", "--folder", str(tmp_path / "none")]) == 2
    assert "there is no folder" in capsys.readouterr().err
    assert main(["profile", "temp", "--folder", str(tmp_path), "--duration", "0"]) == 2
    assert main(["profile", "temp", "--command", "sh -c 'sleep 0.2; exit 4'"]) == 1
    assert "exit code 4" in capsys.readouterr().err
