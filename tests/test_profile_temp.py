"""Temporary files: who makes them, how fast they grow and what is left, on real files of real processes."""

from __future__ import annotations

import json
import subprocess
import sys

import psutil
import pytest

from tests._watched import Enough
from toolkit import scratch
from toolkit.cli import main
from toolkit.profiling import temporary


def temp(capsys, *words, code=0):
    assert main(["profile", "temp", *words, "--json", "--every", "0.1"]) == code
    return json.loads(capsys.readouterr().out)


@pytest.fixture
def enough(tmp_path_factory):
    return Enough(tmp_path_factory.mktemp("enough") / "seen")


def when_looked(monkeypatch, name, condition, enough):
    """Says that it is enough when `condition` holds of all that the function `name` of the module has answered."""
    real, answers = getattr(temporary, name), []

    def looked(*words):
        answers.append(real(*words))
        if condition(answers):
            enough.say()
        return answers[-1]

    monkeypatch.setattr(temporary, name, looked)


def test_makers_and_what_is_left_are_told(tmp_path, capsys, enough, monkeypatch):
    def twice(answers):  # at the second look at it, the first one has found its maker
        return sum(any(held >= 3_000_000 for held in sizes.values()) for sizes in answers) >= 2

    when_looked(monkeypatch, "disk_bytes", twice, enough)
    script = tmp_path / "makes.py"
    script.write_text(
        "import os, subprocess, tempfile, time\n"
        "with tempfile.NamedTemporaryFile() as f:\n"
        "    f.write(bytes(3_000_000)); f.flush()\n"
        f"    while not os.path.exists({str(enough.path)!r}): time.sleep(0.05)\n"
        "path = tempfile.mkstemp('.wav')[1]\n"
        "with open(path, 'wb') as f:\n"
        "    subprocess.run(['sh', '-c', 'head -c 2000000 /dev/zero; sleep 0.5'], stdout=f, timeout=99)\n"
    )
    found = temp(capsys, "--command", f"{sys.executable} {script}")
    by_left = {bool(m["left"]): m for m in found["made"]}
    assert len(found["made"]) == 2
    assert by_left[True]["path"].endswith(".wav") and by_left[True]["left"] >= 2_000_000
    assert by_left[False]["bytes"] >= 3_000_000 and "(" in by_left[False]["maker"]
    assert max(m["bytes"] for m in found["moments"]) >= 3_000_000 and not found["alerts"]
    assert found["code"] == 0 and not scratch.root().joinpath(found["folder"]).exists()


@pytest.mark.parametrize(("rate", "alerts"), [("1GB", 1), ("900GB", 0)])
def test_fast_growth_is_an_alert_that_names_the_maker(rate, alerts, capsys, enough, monkeypatch):
    def told(answers):
        return sum(speed is not None and speed > 1e9 for speed in answers) >= 3

    when_looked(monkeypatch, "temp_rate", told, enough)
    grow = "head -c 2000000 /dev/zero >&3; sleep 0.1"
    text = f'sh -c "exec 3> $TMPDIR/grows; until [ -e {enough.path} ]; do {grow}; done"'
    found = temp(capsys, "--command", text, "--rate", rate, "--over", "0.3")
    assert len(found["alerts"]) == alerts and all("grows" in a["cause"] for a in found["alerts"])


def test_a_folder_that_others_fill_is_watched_for_a_time(tmp_path, capsys, enough, monkeypatch):
    (tmp_path / "old").write_bytes(bytes(100_000))
    when_looked(monkeypatch, "disk_bytes", bool, enough)  # what is there at the first look is old
    words = ["sh", "-c", f"{enough.shell}; exec > {tmp_path}/new; head -c 1000000 /dev/zero; sleep 300"]
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
