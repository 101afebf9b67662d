"""Fetches uv and just, keeps `.venv` in step with the locks, hands over to just. Standard library only.

`./just ...` starts it. The justfile calls it back for the packages (`--sync run|dev|bench`), so that whoever
has just installed may call it directly.
"""

import fcntl
import hashlib
import importlib.util
import os
import shutil
import subprocess
import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
TOOLS = ROOT / ".tools"
VENV = ROOT / ".venv"
SERVICES = TOOLS / "services"
"""What the services of a local run are started with where `.venv` holds tools as well: some libraries load
what else is installed (Litestar and Tortoise load pydantic), which is megabytes that no service uses."""
LOCKS = {
    "run": ROOT / "requirements.txt",
    "dev": ROOT / "requirements-dev.txt",
    "bench": ROOT / "requirements-bench.txt",
}
"""Runtime packages alone, so that the first start of the shop is quick; everything that tests need; and what
the benchmark needs, which is added to either."""

_PIP_INSTALL = ("install", "--quiet", "--disable-pip-version-check", "--require-hashes", "-r")


class BootstrapError(Exception):
    """Its message says what to install or what failed."""


def main(arguments: Sequence[str]) -> int:
    """`--sync run|dev` brings `.venv` up to date; anything else is just's."""
    try:
        if arguments[:1] == ["--sync"]:
            _sync(arguments[1])
            return 0
        just = _tool("just")
    except BootstrapError as error:
        print(error, file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        return 130
    where = ["--justfile", str(ROOT / "justfile"), "--working-directory", str(ROOT)]
    os.execv(just, [str(just), *where, *arguments])  # noqa: S606


def _tool(name: str) -> Path:
    """One of our own programs, fetched if need be."""
    lock = ROOT / "deploy" / "tools.txt"
    home = TOOLS / "own"
    stamp = home / "stamp"
    state = _state(lock)
    if _read(stamp) != state:
        with _exclusive():
            if _read(stamp) != state:
                print("fetching uv and just into .tools/", file=sys.stderr, flush=True)
                shutil.rmtree(home, ignore_errors=True)
                _fetch_tools(home, lock)
                stamp.write_text(state, encoding="utf-8")
    return home / "bin" / name


def _fetch_tools(home: Path, lock: Path) -> None:
    install = ["-m", "pip", *_PIP_INSTALL, str(lock)]
    if _has("ensurepip") and _has("venv"):
        _run([sys.executable, "-m", "venv", str(home)], "making .tools/own")
        _run([str(home / "bin" / "python"), *install], "fetching uv and just")
    elif _has("pip"):
        _run([sys.executable, *install, "--target", str(home)], "fetching uv and just")
    else:
        version = f"python{sys.version_info.major}.{sys.version_info.minor}"
        raise BootstrapError(
            f"{sys.executable} has neither venv nor pip.\n"
            f"  Debian, Ubuntu:  apt-get install {version}-venv   (or python3-venv, or python3-pip)\n"
            "  Fedora:          dnf install python3-pip"
        )


def _sync(wanted: str) -> None:
    """Install what the lock says, by hash, if that is not what is there.

    Packages for development stay once they are there: the kinds of recipes must not undo each other.
    """
    if wanted not in LOCKS:
        raise BootstrapError(f"--sync takes one of {', '.join(LOCKS)}, not {wanted!r}")
    if wanted == "bench":
        _sync("run")
    kind = "dev" if wanted == "run" and (VENV / "stamp-dev").exists() else wanted
    _keep(VENV, kind)
    if kind != "run" or SERVICES.exists():
        _keep(SERVICES, "run")


def _keep(home: Path, kind: str) -> None:
    """Bring one environment up to date."""
    if _is_synced(home, kind):
        return
    uv = _tool("uv")
    with _exclusive():
        if _is_synced(home, kind):
            return
        name = home.relative_to(ROOT)
        print(f"installing {LOCKS[kind].name} into {name}/", file=sys.stderr, flush=True)
        if not _is_usable(home):
            shutil.rmtree(home, ignore_errors=True)
            _run([str(uv), "venv", "--quiet", "--python", sys.executable, str(home)], f"making {name}")
        _install(uv, home, LOCKS[kind])
        if kind != "bench":  # what it adds may have been removed, and must then be added again
            for other in LOCKS:
                (home / f"stamp-{other}").unlink(missing_ok=True)
        (home / f"stamp-{kind}").write_text(_state(LOCKS[kind]), encoding="utf-8")


def _is_synced(home: Path, kind: str) -> bool:
    return _is_usable(home) and _read(home / f"stamp-{kind}") == _state(LOCKS[kind])


def _is_usable(home: Path) -> bool:
    """Whether there is an environment whose Python still exists: it goes with the system's, at an upgrade."""
    return (home / "bin" / "python").exists()


def _install(uv: Path, home: Path, lock: Path) -> None:
    """With uv, which is quick; with pip where only pip is told how to reach a package index from here.

    The runtime's packages are added to `.venv` and nothing is removed: somebody's tools may be there too.
    """
    python = str(home / "bin" / "python")
    command = ["sync"] if lock == LOCKS["dev"] or home == SERVICES else ["install", "-r"]
    quick = [str(uv), "pip", *command, str(lock), "--quiet", "--python", python, "--require-hashes"]
    quick.append(
        "--compile-bytecode"
    )  # once here instead of in every process of the shop, perhaps every time
    done = subprocess.run(quick, env=uv_environment(), check=False, capture_output=True, text=True)  # noqa: S603
    if done.returncode == 0:
        return
    print(f"uv: {done.stderr.strip()[-500:]}\ntrying with pip", file=sys.stderr, flush=True)
    own = TOOLS / "own" / "bin" / "python"
    pip = [str(own) if own.exists() else sys.executable, "-m", "pip"]
    _run([*pip, "--python", python, *_PIP_INSTALL, str(lock)], f"installing {lock.name}")


def uv_environment() -> dict[str, str]:
    """An index that pip was told of by environment holds for uv too, unless uv was told another."""
    environment = {**os.environ, "UV_PYTHON_DOWNLOADS": "never"}
    for ours, pips in (("UV_DEFAULT_INDEX", "PIP_INDEX_URL"), ("UV_INDEX", "PIP_EXTRA_INDEX_URL")):
        if pips in environment:
            environment.setdefault(ours, environment[pips])
    return environment


def _state(lock: Path) -> str:
    """What a stamp says when it stands for this content of the lock."""
    return hashlib.sha256(lock.read_bytes()).hexdigest() + "\n"


def _read(path: Path) -> str:
    try:
        return path.read_text(encoding="utf-8")
    except OSError:
        return ""


def _has(module: str) -> bool:
    return importlib.util.find_spec(module) is not None


def _run(command: list[str], what: str) -> None:
    if subprocess.run(command, check=False).returncode != 0:  # noqa: S603
        raise BootstrapError(f"{what} failed (see above)")


@contextmanager
def _exclusive() -> Iterator[None]:
    """Two first starts side by side must not fill one folder together."""
    TOOLS.mkdir(exist_ok=True)
    with (TOOLS / "lock").open("w") as file:
        fcntl.flock(file, fcntl.LOCK_EX)
        yield


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
