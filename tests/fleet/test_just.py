"""`./just` on machines that lack something, and the list of recipes."""

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from deploy.services import ROOT

TOOL = ROOT / ".tools" / "own" / "bin" / "just"


def _run(path: Path, *arguments: str) -> subprocess.CompletedProcess[str]:
    """`./just` of a copy without any tools, with nothing but `path` to find programs in."""
    copy = path / "clone"
    (copy / "deploy").mkdir(parents=True, exist_ok=True)
    shutil.copy(ROOT / "just", copy)
    for name in ("bootstrap.py", "tools.txt"):
        shutil.copy(ROOT / "deploy" / name, copy / "deploy")
    for name in ("sh", "dirname", "head"):
        target = path / "bin" / name
        if not target.exists():
            target.symlink_to(str(shutil.which(name)))
    environ = {"PATH": str(path / "bin"), "HOME": str(path)}
    return subprocess.run(
        [str(copy / "just"), *arguments], env=environ, capture_output=True, text=True, check=False, timeout=60
    )


def _program(path: Path, name: str, script: str) -> None:
    file = path / "bin" / name
    file.parent.mkdir(exist_ok=True)
    file.write_text(f"#!{shutil.which('sh')}\n{script}\n", encoding="utf-8")
    file.chmod(0o755)


def test_without_python(tmp_path: Path) -> None:
    (tmp_path / "bin").mkdir()
    done = _run(tmp_path)
    assert done.returncode == 1
    assert "Python 3.11 or newer is needed" in done.stderr
    assert "apt-get install python3 python3-venv" in done.stderr


def test_with_an_old_python(tmp_path: Path) -> None:
    _program(tmp_path, "python3", 'case $1 in -V) echo "Python 3.9.2" ;; *) exit 4 ;; esac')
    done = _run(tmp_path)
    assert done.returncode == 1
    assert "python3 is Python 3.9.2" in done.stderr


def test_without_venv_and_pip(tmp_path: Path) -> None:
    """A Python as Debian has it: the standard library is there but for ensurepip, and so is no pip."""
    hide = tmp_path / "hide"
    hide.mkdir()
    (hide / "sitecustomize.py").write_text(
        "import sys\nsys.modules['ensurepip'] = sys.modules['pip'] = None\n", encoding="utf-8"
    )
    _program(tmp_path, "python3", f'PYTHONPATH="{hide}" exec "{sys.executable}" "$@"')
    done = _run(tmp_path)
    assert done.returncode == 1
    version = f"python{sys.version_info.major}.{sys.version_info.minor}"
    assert f"apt-get install {version}-venv" in done.stderr
    assert "Traceback" not in done.stderr


@pytest.mark.skipif(not TOOL.exists(), reason="just is fetched by ./just alone, which did not start this run")
def test_every_recipe_has_a_line_of_help_and_a_group() -> None:
    dump = subprocess.run(
        [str(TOOL), "--justfile", str(ROOT / "justfile"), "--dump", "--dump-format", "json"],
        capture_output=True,
        text=True,
        check=True,
        env={**os.environ},
    )
    recipes = {
        name: recipe for name, recipe in json.loads(dump.stdout)["recipes"].items() if not recipe["private"]
    }
    wanted = "demo test up down ps logs restart scale open replay verify trace lint migrate reset"
    assert set(wanted.split()) <= recipes.keys()
    for name, recipe in recipes.items():
        assert recipe["doc"], name
        assert any("group" in attribute for attribute in recipe["attributes"]), name
