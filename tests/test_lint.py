"""The static rules: every bad example is found by its own rule alone, no good one by any."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests._lint import CORPUS, ROOT, profile
from toolkit.errors import InputMissing, RequestError, UnknownName
from toolkit.profiling.lint import all_rules, as_json, as_sarif, as_text, find_rule, lint
from toolkit.profiling.lint.check import findings
from toolkit.profiling.lint.ignores import ignores
from toolkit.profiling.lint.rule import rule
from toolkit.profiling.lint.source import Source

RULES = all_rules()
MKTEMP = "import tempfile\n\nname = tempfile.mktemp()\n"


def found(text: str) -> list[str]:
    return [finding.rule for finding, _ in findings(Source(text), RULES)]


@pytest.mark.parametrize("name", [r.id for r in RULES])
def test_the_examples_of_a_rule(name):
    declared = find_rule(name)
    assert set(found(declared.bad)) == {name}
    assert found(declared.good) == []
    assert declared.why.endswith(".") and declared.summary
    assert declared.mendable == bool(declared.mended)


@pytest.mark.parametrize("name", [r.id for r in RULES])
def test_the_corpus(name):
    bad, good = sorted((CORPUS / name).glob("bad_*.py")), sorted((CORPUS / name).glob("good_*.py"))
    assert len(bad) >= 2 and len(good) >= 2
    for path in bad:
        report = lint([path])
        assert {f.rule for f in report.findings} == {name}, path
    assert as_text(lint(good)).count("\n") == 0, as_text(lint(good))


def test_there_are_enough_rules_in_each_category_and_a_folder_for_each():
    assert len(RULES) >= 28
    assert {r.category for r in RULES} == {"memory", "processes", "threads", "io", "interface", "ignore"}
    assert {p.name for p in CORPUS.iterdir()} == {r.id for r in RULES}


def test_this_project_has_no_finding():
    report = lint([ROOT / "toolkit", ROOT / "kernels"])
    assert report.clean, as_text(report)
    assert report.files > 100


def test_the_faults_of_the_baselines_are_found():
    """What benchmarks/baseline/ says of itself, but for a lock that is held while a file is written."""
    found = {(Path(f.path).name, f.rule) for f in lint([ROOT / "benchmarks" / "baseline"]).findings}
    assert found >= {
        ("comparison.py", "temp-folder-kept"), ("comparison.py", "clip-for-few-frames"),
        ("programs.py", "process-left-after-error"), ("progress.py", "polling-too-fast"),
        ("progress.py", "tqdm-unthrottled"), ("sound.py", "temporary-wav"), ("sound.py", "temp-folder-kept"),
        ("status.py", "two-rlocks"), ("tape.py", "frames-as-images"), ("tape.py", "temp-folder-kept"),
        ("tape.py", "temporary-wav"), ("tape.py", "process-left-after-error"),
        ("thumbnails.py", "growing-object-cache"),
    }  # fmt: skip


def test_a_rule_cannot_be_declared_twice():
    with pytest.raises(ValueError, match="temp-name"):
        rule("temp-name", "memory", summary="", why="", bad="", good="")


@pytest.mark.parametrize(
    "text",
    [
        "from tempfile import mktemp\nmktemp()\n",
        "from tempfile import mktemp as m\ndef f():\n    return m()\n",
        "import tempfile as t\nt.mktemp()\n",
        "def f():\n    import tempfile\n    return tempfile.mktemp()\n",
    ],
)
def test_an_imported_name_is_known_under_any_name(text):
    assert found(text) == ["temp-name"]


@pytest.mark.parametrize(
    "text",
    [
        "def mktemp(): ...\nmktemp()\n",
        "from mine import mktemp\nmktemp()\n",
        "import tempfile\ndef f(tempfile):\n    return tempfile.mktemp()\n",
        "from tempfile import mktemp\ndef f():\n    mktemp = len\n    return mktemp('a')\n",
        "import tempfile\nclass tempfile:\n    mktemp = len\ntempfile.mktemp('a')\n",
        "class A:\n    def open(self, p): ...\n    def f(self):\n        x = self.open(1).read()\n",
    ],
)
def test_another_thing_of_the_same_name_is_left_alone(text):
    assert found(text) == []


def test_a_place_is_told_once():
    report = lint([CORPUS / "growing-class-cache" / "bad_two_classes.py"])
    assert [f.line for f in report.findings] == [12]


def test_an_ignore_with_a_reason_silences_that_rule_on_that_statement_only():
    silenced = "import tempfile\nname = tempfile.mktemp()  # lint: ignore[temp-name] only printed\n"
    assert found(silenced) == []
    assert found(silenced + "other = tempfile.mktemp()\n") == ["temp-name"]
    assert found(silenced.replace("temp-name", "busy-wait")) == ["temp-name"]


def test_an_ignore_without_a_reason_is_a_finding_that_cannot_be_ignored():
    text = "value = 1  # lint: ignore[ignore-without-reason]\n"
    assert found(text) == ["ignore-without-reason"]


def test_where_an_ignore_speaks():
    text = "# lint: ignore[a] above\n\nf(\n    1,\n)  # lint: ignore[b, c] behind\n'# lint: ignore[d] text'\n"
    assert [(i.line, i.speaks_of, i.rules, i.reason) for i in ignores(text)] == [
        (1, 3, ("a",), "above"),
        (5, 5, ("b", "c"), "behind"),
    ]


def test_a_file_that_does_not_parse_is_named_and_the_rest_goes_on(tmp_path):
    (tmp_path / "a_broken.py").write_text("def f(:\n")
    (tmp_path / "b_latin.py").write_bytes(b"name = '\xe9'\n")
    (tmp_path / "c_empty.py").write_text("")
    (tmp_path / "d_null.py").write_bytes(b"a = 1\0\n")
    (tmp_path / "z_found.py").write_text(MKTEMP)
    report = lint([tmp_path])
    assert [Path(path).name for path, _ in report.unread] == ["a_broken.py", "b_latin.py", "d_null.py"]
    assert "line 1" in report.unread[0][1]
    assert [Path(f.path).name for f in report.findings] == ["z_found.py"]
    assert report.files == 5 and not report.clean


def test_a_file_in_another_encoding_is_read_as_it_says(tmp_path):
    path = tmp_path / "latin.py"
    path.write_bytes(b"# coding: latin-1\r\nimport tempfile\r\nname = tempfile.mktemp('\xe9')\r\n")
    (finding,) = lint([path]).findings
    assert (finding.line, finding.column) == (3, 8)


def test_wrong_paths(tmp_path):
    with pytest.raises(InputMissing, match="there is no"):
        lint([tmp_path / "nowhere"])
    with pytest.raises(RequestError, match="holds no Python"):
        lint([tmp_path])
    (tmp_path / "text.txt").write_text("hello")
    with pytest.raises(RequestError, match="no Python file"):
        lint([tmp_path / "text.txt"])
    with pytest.raises(UnknownName, match="temp-name"):
        find_rule("tmp-name")


def test_environments_and_hidden_folders_are_left_out(tmp_path):
    for folder in (".hidden", "env/lib", "__pycache__", "mine"):
        (tmp_path / folder).mkdir(parents=True)
        (tmp_path / folder / "a.py").write_text(MKTEMP)
    (tmp_path / "env" / "pyvenv.cfg").write_text("")
    assert [Path(f.path).parent.name for f in lint([tmp_path]).findings] == ["mine"]


def test_json_says_the_same_as_the_report(tmp_path):
    (tmp_path / "a.py").write_text(MKTEMP)
    report = lint([tmp_path])
    data = json.loads(as_json(report))
    assert data["findings"][0] | {"path": ""} == {
        "path": "",
        "line": 3,
        "column": 8,
        "end_line": 3,
        "rule": "temp-name",
        "message": report.findings[0].message,
        "mendable": False,
    }
    assert (data["files"], data["lines"], data["unread"]) == (1, 3, [])


# Of SARIF 2.1.0 (OASIS, section 3): the properties that each object may have here, required ones with a star.
SARIF = {
    "log": "$schema version* runs*",
    "run": "tool* columnKind invocations results",
    "driver": "name* version rules",
    "rule": "id* shortDescription fullDescription help properties",
    "invocation": "executionSuccessful* toolExecutionNotifications",
    "notification": "level message* locations",
    "result": "ruleId ruleIndex level message* locations",
    "physicalLocation": "artifactLocation region",
    "region": "startLine startColumn endLine",
}


def allowed(kind: str, thing: dict) -> None:
    names = SARIF[kind].split()
    assert set(thing) <= {n.rstrip("*") for n in names}, kind
    assert {n[:-1] for n in names if n.endswith("*")} <= set(thing), kind


def test_sarif_has_the_shape_of_the_standard(tmp_path):
    (tmp_path / "a clip.py").write_text(MKTEMP)
    (tmp_path / "broken.py").write_text("def f(:\n")
    log = json.loads(as_sarif(lint([tmp_path])))
    allowed("log", log)
    assert log["version"] == "2.1.0"
    (run,) = log["runs"]
    allowed("run", run)
    assert run["columnKind"] == "unicodeCodePoints"
    driver = run["tool"]["driver"]
    allowed("driver", driver)
    assert [r["id"] for r in driver["rules"]] == [r.id for r in RULES]
    for each in driver["rules"]:
        allowed("rule", each)
        assert each["shortDescription"]["text"] and each["help"]["text"]
    (result,) = run["results"]
    allowed("result", result)
    assert driver["rules"][result["ruleIndex"]]["id"] == result["ruleId"] == "temp-name"
    assert result["level"] == "warning" and result["message"]["text"]
    place = result["locations"][0]["physicalLocation"]
    allowed("physicalLocation", place)
    allowed("region", place["region"])
    assert place["region"] == {"startLine": 3, "startColumn": 8, "endLine": 3}
    assert place["artifactLocation"]["uri"] == (tmp_path / "a clip.py").as_uri()
    (invocation,) = run["invocations"]
    allowed("invocation", invocation)
    (note,) = invocation["toolExecutionNotifications"]
    allowed("notification", note)
    assert note["locations"][0]["physicalLocation"]["artifactLocation"]["uri"].endswith("broken.py")


def test_the_command_line(tmp_path):
    (tmp_path / "bad.py").write_text(MKTEMP)
    (tmp_path / "good.py").write_text("value = 1\n")
    (tmp_path / "empty").mkdir()
    clean = profile("lint", "good.py", cwd=tmp_path)
    assert clean.returncode == 0 and clean.stdout.startswith("0 findings in 0 of 1 file")
    bad = profile("lint", ".", "--format", "sarif", "--output", "out.sarif", cwd=tmp_path)
    assert bad.returncode == 1 and bad.stdout == ""
    assert bad.stderr.strip() == "vhs-toolkit: 1 finding in 1 of 2 files, 4 lines; nothing was changed"
    uri = json.loads((tmp_path / "out.sarif").read_text())["runs"][0]["results"][0]["locations"][0]
    assert uri["physicalLocation"]["artifactLocation"]["uri"] == "bad.py"
    for words in (["lint", "empty"], ["lint", "nowhere"], ["lint"], ["lint", "bad.py", "--rule", "no-such"]):
        wrong = profile(*words, cwd=tmp_path)
        assert wrong.returncode == 2 and len(wrong.stderr.splitlines()) == 1, wrong.stderr
    assert "vhs-toolkit profile patch" not in profile("lint", "bad.py", cwd=tmp_path).stdout


@pytest.mark.parametrize(
    ("command", "words"), [("lint", "for editors and code hosts"), ("patch", "not committed in git")]
)
def test_help_explains_the_options(command, words, tmp_path):
    said = " ".join(profile(command, "--help", cwd=tmp_path).stdout.replace("│", " ").split())
    assert words in said, said


def test_every_rule_is_explained_on_the_command_line(tmp_path):
    listed = profile("rules", cwd=tmp_path).stdout
    assert all(r.id in listed and r.summary in listed for r in RULES)
    one = profile("rules", "preexec-fn", cwd=tmp_path).stdout
    assert "preexec_fn=os.setsid" in one and "profile patch --apply preexec-fn" in one
    assert len(json.loads(profile("rules", "--json", cwd=tmp_path).stdout)) == len(RULES)


SIMPLE = [
    "name = m()",
    "x = open(a)",
    "x.close()",
    "text = open(a).read()",
    "p = sp.Popen(a, stdout=sp.PIPE); p.wait()",
    "p = sp.Popen(a, stdout=sp.PIPE)",
    "p.wait(5)",
    "d = tempfile.mkdtemp()",
    "shutil.rmtree(d)",
    "print(d)",
    "k[1] = k.get(2)",
    "lock.acquire()",
    "lock.release()",
    "lock.acquire(); lock.release()",
    "f = lambda: m()",
    "# lint: ignore[temp-name] because",
    "y: int = m()",
    "x, (y, *z) = m(), (1, 2)",
]
HEADS = [
    "def f(a, *b, **c):",
    "async def g(self):",
    "class A(list):",
    "while True:",
    "for i in open(a):",
    "with open(a) as g, lock:",
    "if (n := m()):",
    "try:\n    pass\nfinally:",
    "if a: x = open(a)\nelif lock.acquire(): pass\nelse:",
]
HEADER = "import shutil, tempfile, subprocess as sp, threading\nfrom tempfile import mktemp as m\n"


def indented(parts: tuple[str, list[str]]) -> str:
    head, body = parts
    lines = "\n".join([*body, "pass"]).split("\n")
    return "\n".join([head, *(f"    {line}" for line in lines)])


programs = st.recursive(
    st.sampled_from(SIMPLE),
    lambda inner: st.tuples(st.sampled_from(HEADS), st.lists(inner, max_size=5)).map(indented),
    max_leaves=12,
)


@settings(max_examples=40, deadline=None)
@given(st.lists(programs, max_size=5), st.booleans())
def test_any_python_can_be_looked_through_and_mended(parts, locked):
    from toolkit.profiling.patch import mended, patches

    text = "\n".join([HEADER, "lock = threading.Lock()" if locked else "", *parts, ""])
    compile(text, "text", "exec")
    source = Source(text)
    list(findings(source, RULES))
    after, _ = mended(source, patches())
    compile(after, "after", "exec")
    assert mended(Source(after), patches()) == (after, {})
