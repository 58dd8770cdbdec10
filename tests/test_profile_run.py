"""Profiles: real processes are measured, what they leave is named, and only what is no noise is called worse."""

from __future__ import annotations

import json
import sys

import pytest

from tests import _media as m
from tests._watched import Enough
from toolkit.cli import main
from toolkit.errors import WorkError
from toolkit.profiling import measure
from toolkit.profiling.device import Device
from toolkit.profiling.perf import Perf, Row

MACHINE = {"cpu": "one", "cores": 2, "system": "Linux", "gpus": [], "no_gpu_because": ""}


def report(path, values, machine=MACHINE, measured="seconds"):
    perf = Perf(machine, {"name": "tape", "frames": 8}, len(values), [Row("media", "", measured, values)])
    path.write_text(perf.to_json())
    return str(path)


def verdict(tmp_path, before, after, *words, measured="seconds"):
    a = report(tmp_path / "a.json", before, measured=measured)
    b = report(tmp_path / "b.json", after, measured=measured)
    return main(["profile", "compare", a, b, *words])


def test_a_regression_ends_with_1_and_noise_does_not(tmp_path, capsys):
    assert verdict(tmp_path, [1.0, 1.1, 1.05, 1.2], [1.5, 1.6, 1.7, 1.55]) == 1
    told = capsys.readouterr()
    assert "worse beyond the limit" in told.out and "media seconds" in told.err
    assert verdict(tmp_path, [1.0, 1.1, 1.05, 1.4], [1.3, 1.6, 1.7, 1.55]) == 0  # the ranges meet
    assert verdict(tmp_path, [1.0, 1.1, 1.05, 1.2], [1.5, 1.6, 1.7, 1.55], "--limit", "1") == 0
    assert verdict(tmp_path, [1.5, 1.6, 1.7, 1.55], [1.0, 1.1, 1.05, 1.2]) == 0
    assert "better" in capsys.readouterr().out
    assert verdict(tmp_path, [0.0] * 4, [5e6] * 4, measured="temporary bytes left") == 1


def test_too_few_repeats_and_other_machines_are_refused(tmp_path, capsys):
    assert verdict(tmp_path, [1.0] * 3, [9.0] * 3) == 2
    a = report(tmp_path / "a.json", [1.0] * 4)
    b = report(tmp_path / "b.json", [1.01] * 4, machine={**MACHINE, "cpu": "another"})
    assert main(["profile", "compare", a, b]) == 2
    assert "--force" in capsys.readouterr().err
    assert main(["profile", "compare", a, b, "--force"]) == 0
    assert "~1.01" in capsys.readouterr().out


@pytest.mark.parametrize("text", ["", "{}", "[1]", "\xff", '{"form": "vhs-toolkit profile 1", "rows": [{"a": 1}]}'])
def test_a_file_that_is_no_report_is_one_sentence(tmp_path, capsys, text):
    bad = tmp_path / "bad.json"
    bad.write_bytes(text.encode("latin-1"))
    assert main(["profile", "compare", str(bad), str(bad)]) == 1
    assert "no report" in capsys.readouterr().err
    assert main(["profile", "compare", str(tmp_path / "none"), str(bad)]) == 2


def program(folder, monkeypatch, text, said=""):
    """Has a shell's text run in the place of a module's work."""
    script = folder / "program"
    script.write_text(f"#!/bin/sh\n{text}\necho '{said}'\n")
    script.chmod(0o755)
    monkeypatch.setattr(measure.sys, "executable", str(script))


def test_a_child_left_running_is_named(tmp_path, monkeypatch):
    begun, enough, seen, real = tmp_path / "begun", Enough(tmp_path / "enough"), [], measure.folder_bytes

    def looked(folder):  # at the end of every look
        seen.append(begun.exists())
        if sum(seen) == 2:  # the child was there when this look began
            enough.say()
        return real(folder)

    monkeypatch.setattr(measure, "folder_bytes", looked)
    program(tmp_path, monkeypatch, f"sleep 600 &\ntouch {begun}\n{enough.shell}\n", '{"parts": {}, "whole": {}}')
    place = tmp_path / "place"
    place.mkdir()
    with pytest.raises(WorkError, match=r"left processes running: sleep \(\d+\)"):
        measure._once("media", tmp_path / "tape", place, 1, 300, Device())


def test_without_nvml_the_reason_is_told(monkeypatch):
    monkeypatch.setitem(sys.modules, "pynvml", None)
    device = Device()
    assert device.look() is None and device.names == [] and device.reason
    device.close()


def test_a_real_run_measures_its_parts_and_leaves_nothing(tmp_path, capsys):
    out, page = tmp_path / "perf.json", tmp_path / "perf.html"
    words = ["--module", "media", "--repeats", "2", "--frames", "4", "--clip", str(m.made("huffyuv.avi"))]
    assert main(["profile", "run", *words, "--output", str(out), "--html", str(page)]) == 0
    rows = {(r["part"], r["measure"]): r["values"] for r in json.loads(out.read_text())["rows"]}
    assert all(len(v) == 2 for v in rows.values())
    assert 0 < sum(rows["decode", "seconds"]) < sum(rows["", "seconds"])
    assert min(rows["", "peak bytes"]) > 20 * 2**20 and min(rows["", "threads"]) >= 1
    assert rows["", "temporary bytes left"] == [0, 0]
    assert "decode" in page.read_text() and "peak bytes" in capsys.readouterr().out


def test_an_unknown_module_is_refused(capsys):
    assert main(["profile", "run", "--module", "medai"]) == 2
    assert "did you mean media" in capsys.readouterr().err


def test_a_module_that_fails_or_takes_too_long_is_named_and_the_others_go_on(tmp_path, monkeypatch, capsys):
    out, once = tmp_path / "perf.json", measure._once

    def sometimes(module, *rest):
        if module == "jobs":
            return {("jobs", "", "seconds"): 1.0}, 0
        return once(module, *rest)

    monkeypatch.setattr(measure, "_once", sometimes)
    program(tmp_path, monkeypatch, "sleep 600")
    words = ["--module", "media", "--module", "jobs", "--repeats", "4", "--frames", "4", "--limit", "0.3"]
    assert main(["profile", "run", *words, "--clip", str(m.made("huffyuv.avi")), "--output", str(out)]) == 1
    told = capsys.readouterr()
    assert "media: one repeat took more than 0.3 s and was ended" in told.err and "perf.json holds" in told.err
    assert told.err.count("media, ") == 1 and "jobs, 4 of 4" in told.err, "it is not tried again"
    held = json.loads(out.read_text())
    assert {r["module"] for r in held["rows"]} == {"jobs"} and held["failed"]["media"].startswith("one repeat")
    good = {**held, "failed": {}}
    (tmp_path / "good.json").write_text(json.dumps(good))
    assert main(["profile", "compare", str(tmp_path / "good.json"), str(out)]) == 1, "a module that fails now is worse"
    assert main(["profile", "compare", str(out), str(tmp_path / "good.json")]) == 0


def test_what_was_compiled_on_the_way_is_not_measured(tmp_path, monkeypatch, capsys):
    key = ("media", "", "seconds")
    told = iter([({key: 9.0}, 3), ({key: 1.0}, 0), ({key: 2.0}, 0)])
    monkeypatch.setattr(measure, "_once", lambda *_: next(told))
    found = measure.run(["media"], clip=m.made("huffyuv.avi"), repeats=2, say=print)
    assert [row.values for row in found.rows] == [[1.0, 2.0]]
    assert "media compiled 3 kernels" in capsys.readouterr().out
