"""Mending: what is written does what it promises, nothing else is touched, and a second time changes nothing."""

from __future__ import annotations

import os
import subprocess
import sys
import warnings
from pathlib import Path

import pytest

from tests._lint import CORPUS, commit, profile, project
from toolkit.errors import OutputFailed, RequestError, UnknownName
from toolkit.profiling.lint import lint
from toolkit.profiling.lint.check import read
from toolkit.profiling.lint.source import Source
from toolkit.profiling.patch import apply, chosen, mended, patches, plan
from toolkit.profiling.validate import ValidationFailed, find_tests, project_of, validate


@pytest.fixture(autouse=True)
def _no_plugins(monkeypatch):
    """The pytest that validation starts is up three times as fast without this environment's plugins."""
    monkeypatch.setenv("PYTEST_DISABLE_PLUGIN_AUTOLOAD", "1")


FOLDER = """\
import shutil
import tempfile


def convert(work):
    folder = tempfile.mkdtemp(prefix="clip")  # where the frames go
    # one after the other
    for step in work:
        step(folder)
    shutil.rmtree(folder, ignore_errors=True)
    return len(work)
"""
LOCK = """\
import threading

lock = threading.Lock()


def count(table, key):
    lock.acquire()
    table[key] += 1
    lock.release()
"""
PIPE = """\
import subprocess


def run(command):
    program = subprocess.Popen(command, stderr=subprocess.PIPE)
    program.wait(30)
    return program.returncode
"""
SESSION = """\
import os
import subprocess


def run(command):
    return subprocess.run(command, preexec_fn=os.setsid, check=True, timeout=30, capture_output=True).stdout
"""
OPEN = """\
import json


def settings(path):
    return json.load(open(path))


def save(path, lines):
    file = open(path, "w")
    file.writelines(lines)
    file.close()


def count(path):
    found = 0
    for _ in open(path):
        found += 1
    return found
"""


def after(text: str, name: str) -> dict:
    """The names that the mended text defines."""
    new, places = mended(Source(text), chosen(name))
    assert places and new != text
    names: dict = {}
    exec(compile(new, "mended", "exec"), names)
    return names


def broken(*_: object) -> None:
    raise RuntimeError("on purpose")


@pytest.mark.parametrize("name", [r.id for r in patches()])
def test_a_mended_file_has_no_such_finding_where_it_was_mendable_and_stays_as_it_is(name, tmp_path):
    mends = 0
    for path in sorted((CORPUS / name).glob("*.py")):
        source = read(path)
        mendable = sum(f.mendable for f in lint([path]).findings)
        text, places = mended(source, chosen(name))
        assert (text != source.text) == bool(places) == bool(mendable), path
        if path.name.startswith("good_"):
            assert not places, path
        copy = tmp_path / path.name
        copy.write_text(text)
        left = lint([copy]).findings
        assert not any(f.mendable for f in left) and {f.rule for f in left} <= {name}, path
        assert mended(Source(text), chosen("all")) == (text, {}), path
        mends += sum(places.values())
    example, places = mended(Source(chosen(name)[0].bad), chosen(name))
    assert places == {name: 1}, name
    compile(example, name, "exec")
    assert mends or name == "temp-folder-kept"


def test_a_mended_folder_goes_also_after_an_error(tmp_path, monkeypatch):
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path))
    names: dict = {}
    exec(FOLDER, names)
    with pytest.raises(RuntimeError):
        names["convert"]([broken])
    assert len(list(tmp_path.iterdir())) == 1, "the text as it was does leak"
    (left,) = tmp_path.iterdir()
    left.rmdir()
    convert = after(FOLDER, "temp-folder-kept")["convert"]
    with pytest.raises(RuntimeError):
        convert([broken])
    seen: list[str] = []
    assert convert([seen.append, lambda folder: Path(folder, "a.png").touch()]) == 2
    assert os.path.basename(seen[0]).startswith("clip")
    assert list(tmp_path.iterdir()) == []


def test_comments_stay_with_what_they_speak_of():
    text, _ = mended(Source(FOLDER), chosen("all"))
    assert "        with tempfile" not in text
    assert "ignore_cleanup_errors=True) as folder:  # where the frames go\n        # one after the other\n" in text
    commented = FOLDER.replace("ignore_errors=True)", "ignore_errors=True)  # never raises")
    assert mended(Source(commented), chosen("all")) == (commented, {}), "its comment would be lost"


def test_a_mended_lock_is_free_after_an_error():
    names = after(LOCK, "lock-without-with")
    with pytest.raises(KeyError):
        names["count"]({}, "a")
    assert names["lock"].acquire(timeout=1)


@pytest.mark.parametrize("text", [PIPE, PIPE.replace("wait(30)\n", "wait()\n    program.communicate(timeout=30)\n")])
def test_a_mended_pipe_takes_more_than_it_holds(text):
    command = [sys.executable, "-c", "import sys; sys.stderr.write('x' * 1_000_000); sys.exit(3)"]
    assert after(text, "pipe-never-drained")["run"](command) == 3


@pytest.mark.skipif(os.name != "posix", reason="sessions are of POSIX")
def test_a_mended_program_leads_its_own_session_as_before():
    command = [sys.executable, "-c", "import os; print(os.getsid(0) == os.getpid())"]
    assert after(SESSION, "preexec-fn")["run"](command).strip() == b"True"


def test_mended_files_are_closed(tmp_path):
    names = after(OPEN, "open-without-context")
    path = tmp_path / "a.json"
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        assert names["save"](path, ["[1,\n", "2]\n"]) is None
        assert names["settings"](path) == [1, 2]
        assert names["count"](path) == 2
    assert OPEN.count("open(") == mended(Source(OPEN), chosen("all"))[0].count("with open(") == 3


@pytest.mark.parametrize(
    "text",
    [
        FOLDER.replace("return len(work)", "return folder"),
        FOLDER.replace("        step(folder)\n", "        step(folder)\n        folder = 3\n"),
        FOLDER.replace("    return len(work)\n", "    print(folder)\n"),
        FOLDER.replace("rmtree(folder, ignore_errors=True)", "rmtree(folder, onerror=print)"),
        FOLDER.replace("import tempfile", "from tempfile import mkdtemp").replace("tempfile.mkdtemp", "mkdtemp"),
        LOCK.replace("    lock.release()\n", "    lock.release()\n    lock.acquire()\n    lock.release()\n"),
        LOCK.replace("    lock.release()\n", "    if table:\n        lock.release()\n"),
        PIPE.replace("    program.wait(30)\n", "    code = program.wait(30)\n"),
        SESSION.replace("os.setsid", "lambda: os.nice(5)"),
        "a, b = open(1).read(), open(2).read()\n",
        "text = first() + open(1).read()\n",
        "with lock: x = open(1).read(); y = 2\n",
        "if x: y = open(1).read()\n",
        "file = open(1)\nkept = file\nfile.close()\n",
        "text = [open(p).read() for p in (1, 2)]\n",
        "import csv\nrows = csv.reader(open(1))\n",
    ],
)
def test_what_cannot_be_mended_safely_is_left_as_it_is(text):
    assert mended(Source(text), chosen("all")) == (text, {})


def test_an_ignored_place_is_left_as_it_is():
    text = "text = open(1).read()  # lint: ignore[open-without-context] a one-off script\n"
    assert mended(Source(text), chosen("all")) == (text, {})


def test_line_ends_encoding_and_permissions_stay(tmp_path):
    project(tmp_path, {})
    path = tmp_path / "a.py"
    path.write_bytes(b"\xef\xbb\xbf# caf\xc3\xa9\r\nfor line in open(1):\r\n\tprint(line)\r\n")
    path.chmod(0o755)
    commit(tmp_path)
    changes, _ = plan([path], chosen("all"))
    apply(changes)
    raw = path.read_bytes()
    assert raw.startswith(b"\xef\xbb\xbf# caf\xc3\xa9\r\nwith open(1) as file:\r\n") and raw.count(b"\n") == 4
    assert raw.count(b"\r\n") == 4 and path.stat().st_mode & 0o777 == 0o755
    assert [p.name for p in tmp_path.iterdir() if p.name != ".git"] == ["a.py"]


def test_nothing_is_written_into_uncommitted_work_unless_told(tmp_path):
    here = project(tmp_path, {"a.py": OPEN, "b.py": LOCK})
    (here / "b.py").write_text(LOCK + "\n# new\n")
    changes, _ = plan([here], chosen("all"))
    with pytest.raises(RequestError, match="b.py has changes that are not in git.*nothing was changed"):
        apply(changes)
    assert (here / "a.py").read_text() == OPEN
    (here / "new.py").write_text(PIPE)
    with pytest.raises(RequestError, match="new.py"):
        apply(plan([here / "new.py"], chosen("all"))[0])
    apply(changes, force=True)
    assert "with lock:" in (here / "b.py").read_text() and (here / "b.py").read_text().endswith("# new\n")


def test_a_file_that_git_ignores_counts_as_not_committed(tmp_path):
    here = project(tmp_path, {".gitignore": "local.py\n"})
    (here / "local.py").write_text(LOCK)
    with pytest.raises(RequestError, match="local.py"):
        apply(plan([here], chosen("all"))[0])


def test_a_folder_outside_git_is_refused_unless_told(tmp_path, monkeypatch):
    monkeypatch.setenv("GIT_CEILING_DIRECTORIES", str(tmp_path.parent))
    (tmp_path / "a.py").write_text(OPEN)
    changes, _ = plan([tmp_path], chosen("all"))
    with pytest.raises(RequestError, match="not in git"):
        apply(changes)
    apply(changes, force=True)
    assert plan([tmp_path], chosen("all"))[0] == []


def test_a_failed_write_leaves_the_file_whole(tmp_path, monkeypatch):
    here = project(tmp_path, {"a.py": OPEN})
    changes, _ = plan([here], chosen("all"))
    monkeypatch.setattr("os.fsync", lambda number: (_ for _ in ()).throw(OSError(28, "No space left on device")))
    with pytest.raises(OutputFailed, match="No space left"):
        apply(changes)
    assert (here / "a.py").read_text() == OPEN
    assert [p.name for p in here.iterdir() if p.name != ".git"] == ["a.py"]


def test_an_unknown_patch_offers_near_names():
    with pytest.raises(UnknownName, match="lock-without-with"):
        chosen("lock-with")
    with pytest.raises(UnknownName):
        chosen("temp-name")


TEST = """\
from pack.work import count


def test_count():
    table = {"a": 1}
    count(table, "a")
    assert table == {"a": 2}
"""


def package(folder: Path, **files: str) -> Path:
    more = {f"{name}.py": text for name, text in files.items()}
    return project(
        folder,
        {
            "pyproject.toml": "",
            "pack/__init__.py": "",
            "pack/work.py": LOCK,
            "pack/other.py": "",
            "tests/test_work.py": TEST,
            "tests/test_other.py": "import pack.other\n\n\ndef test_fails():\n    assert False\n",
            **more,
        },
    )


def test_only_the_tests_of_the_changed_module_are_run_and_on_a_copy(tmp_path):
    here = package(tmp_path)
    changes, _ = plan([here / "pack"], chosen("all"))
    (proof,) = validate(changes, timeout=300)
    assert proof.tests == ("tests/test_work.py",) and "1 passed" in proof.said
    assert (here / "pack" / "work.py").read_text() == LOCK
    status = subprocess.run(["git", "status", "--porcelain"], cwd=here, capture_output=True, timeout=60, check=True)
    assert status.stdout == b""


def test_a_failing_test_refuses_the_patch_and_says_whose_fault_it_is(tmp_path):
    here = package(tmp_path)
    text = "import pack.work\n\n\ndef test_text():\n    text = open(pack.work.__file__).read()\n    assert {}\n"
    (here / "tests" / "test_work.py").write_text(text.format("'acquire' in text"))
    changes, _ = plan([here / "pack"], chosen("all"))
    with pytest.raises(ValidationFailed, match="they pass without it.*nothing was changed"):
        validate(changes, timeout=300)
    (here / "tests" / "test_work.py").write_text(text.format("False"))
    with pytest.raises(ValidationFailed, match="they fail without it too"):
        validate(changes, timeout=300)


def test_a_change_that_no_test_sees_is_not_called_valid(tmp_path):
    here = project(tmp_path, {"pyproject.toml": "", "work.py": LOCK, "test_other.py": "import json\n"})
    with pytest.raises(ValidationFailed, match="no test under .* imports work.py"):
        validate(plan([here], chosen("all"))[0])


@pytest.mark.parametrize(
    ("imports", "belongs"),
    [
        ("from pack.work import count", True),
        ("from pack import work as w", True),
        ("import pack.work", True),
        ("def f():\n    import pack.work", True),
        ("from pack.works import count", False),
        ("import work", False),
    ],
)
def test_which_tests_belong(tmp_path, imports, belongs):
    for name, text in {"src/pack/__init__.py": "", "src/pack/work.py": "", "tests/test_a.py": imports}.items():
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).write_text(text)
    assert find_tests(tmp_path, [Path("src/pack/work.py")]) == (["tests/test_a.py"] if belongs else [])


def test_the_project_of_a_file(tmp_path):
    here = package(tmp_path)
    assert project_of(here / "pack" / "work.py") == here


def test_the_command_line_shows_the_diff_first(tmp_path):
    here = package(tmp_path)
    listed = profile("patch", "--list", cwd=here)
    assert listed.returncode == 0 and [line.split()[0] for line in listed.stdout.splitlines()] == [
        r.id for r in patches()
    ]
    dry = profile("patch", "pack", "--apply", "all", "--dry-run", cwd=here)
    assert dry.returncode == 0 and "+    with lock:" in dry.stdout and dry.stdout.startswith("--- a/pack/work.py")
    assert dry.stdout.endswith("1 place in 1 file can be mended; nothing was changed\n")
    assert (here / "pack" / "work.py").read_text() == LOCK
    (here / "change.diff").write_text(dry.stdout.rpartition("1 place")[0])
    subprocess.run(["git", "apply", "--check", "change.diff"], cwd=here, check=True, timeout=60)
    done = profile("patch", "pack", "--apply", "lock-without-with", "--validate", cwd=here)
    assert done.returncode == 0 and "tests pass with the patch" in done.stdout, done.stderr
    assert done.stdout.endswith("1 place in 1 file mended\n")
    assert "with lock:" in (here / "pack" / "work.py").read_text()
    again = profile("patch", "pack", "--apply", "all", cwd=here)
    assert again.returncode == 0 and again.stdout == "nothing to mend; nothing was changed\n"


def test_wrong_requests_on_the_command_line(tmp_path):
    (tmp_path / "a.py").write_text(OPEN)
    for words in (["patch"], ["patch", "--apply", "no-such"], ["patch", "nowhere", "--apply", "all"]):
        wrong = profile(*words, cwd=tmp_path)
        assert wrong.returncode == 2 and len(wrong.stderr.splitlines()) == 1, wrong.stderr
    refused = profile("patch", "a.py", "--apply", "all", cwd=tmp_path)
    assert refused.returncode == 2 and "--force" in refused.stderr
    assert (tmp_path / "a.py").read_text() == OPEN
