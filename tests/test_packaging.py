"""What a newcomer meets first: files that agree, a quick import, and another project's `kernels` in the way."""

from __future__ import annotations

import re
import subprocess
import sys
import tomllib
from pathlib import Path

import pytest
import yaml

ROOT = Path(__file__).parent.parent
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]


def name_of(requirement: str) -> str:
    return re.split(r"[<>=!\[ ;]", requirement)[0].lower().replace("_", "-")


def python(*words: str, cwd=None, env=None) -> subprocess.CompletedProcess:
    return subprocess.run([sys.executable, *words], capture_output=True, text=True, timeout=120, cwd=cwd, env=env)


def test_environment_yml_and_pyproject_ask_for_the_same():
    environment = yaml.safe_load((ROOT / "environment.yml").read_text())
    pip = next(d["pip"] for d in environment["dependencies"] if isinstance(d, dict))
    assert [p for p in pip if not p.startswith("-")] == PROJECT["dependencies"]
    assert "-c constraints.txt" in pip and "-e ." in pip
    for variable in ("PIP_CONSTRAINT", "PIP_BUILD_CONSTRAINT"):
        assert environment["variables"][variable] == "constraints.txt"


def test_constraints_pin_every_dependency_to_one_version():
    lines = (ROOT / "constraints.txt").read_text().split()
    pinned = {name_of(line) for line in lines}
    assert all(re.fullmatch(r"[A-Za-z0-9_.-]+==[^+]+", line) for line in lines)
    wanted = PROJECT["dependencies"] + PROJECT["optional-dependencies"]["test"]
    assert {name_of(w) for w in wanted} - pinned == set()


def test_importing_toolkit_loads_nothing_heavy():
    heavy = "torch librosa cupy av numba jupyterlab IPython pandas matplotlib skimage"
    program = f"import sys, toolkit, kernels; print([m for m in {heavy.split()!r} if m in sys.modules])"
    assert python("-c", program).stdout.strip() == "[]"


def test_all_that_toolkit_names_is_there_after_importing_it_alone():
    """In a process of its own: here other tests have imported the submodules."""
    done = python("-c", "import toolkit; print([getattr(toolkit, n) for n in toolkit.__all__], toolkit.widgets.panel)")
    assert done.returncode == 0, done.stderr


def test_the_groups_of_stages_are_found_whatever_was_imported_before():
    program = (
        "import toolkit.runner\n"
        "from toolkit.presets import preset\n"
        "preset('vhs')\n"
        "from toolkit.stages import deinterlace, denoise, upscale\n"
        "print(deinterlace.bwdif(), denoise.hqdn3d(), upscale.lanczos(scale=2))"
    )
    done = python("-c", program)
    assert done.returncode == 0, done.stderr


def test_kernels_and_upscale_import_without_media_packages():
    program = (
        "import sys\n"
        "for name in ('av', 'decord', 'librosa'): sys.modules[name] = None\n"
        "import kernels; kernels.all_kernels()\n"
        "import toolkit.upscale.engine\n"
    )
    done = python("-c", program)
    assert done.returncode == 0, done.stderr


def test_another_projects_kernels_is_named_with_the_way_out(tmp_path):
    (tmp_path / "kernels").mkdir()
    (tmp_path / "kernels" / "__init__.py").write_text("def get_kernel(): ...\n")
    done = python("-c", f"import sys; sys.path.insert(0, {str(tmp_path)!r}); import toolkit")
    assert done.returncode != 0
    last = done.stderr.strip().splitlines()[-1]
    assert last.startswith("ImportError") and "Hugging Face" in last and "pip uninstall kernels" in last
    assert str(tmp_path) in last


@pytest.mark.parametrize("name", ["demo", "test", "lab", "bench", "lint", "test-gpu", "clean", "help"])
def test_make_knows_what_the_readme_names(name):
    done = subprocess.run(["make", "-n", name], cwd=ROOT, capture_output=True, text=True, timeout=60)
    assert done.returncode == 0, done.stderr


def test_make_help_lists_the_targets():
    done = subprocess.run(["make", "help"], cwd=ROOT, capture_output=True, text=True, timeout=60)
    for name in ("demo", "test", "lab", "bench", "lint", "test-gpu", "clean"):
        assert f"make {name}" in done.stdout


def test_every_module_says_what_it_is_for():
    for path in [*ROOT.glob("toolkit/**/*.py"), *ROOT.glob("kernels/**/*.py")]:
        assert path.read_text().lstrip().startswith('"""'), f"{path} has no docstring"
