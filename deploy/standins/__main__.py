"""`python -m deploy.standins`: make the stand-ins and give them to Docker under the names of the images.

    python -m deploy.standins                 all that Docker does not have yet
    python -m deploy.standins mysql:8.4       this one

An image of that name that is no stand-in is left alone: the real one is better.
"""

import argparse
import json
import shutil
import subprocess
import sys
import tempfile
import time
from pathlib import Path

from deploy import debian
from deploy.local.errors import FleetError
from deploy.standins.images import AUTHORITIES, IMAGES, Image

LABEL = "sagamart.standin"
"""Says of an image that it is none but a stand-in."""

_HERE = Path(__file__).parent
_USER_ID = 999
_PATH = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin"


def main(arguments: list[str] | None = None) -> int:
    """Exit 0 if Docker has every image that was asked for, 2 if one could not be made."""
    by_name = {image.name: image for image in IMAGES}
    parser = argparse.ArgumentParser(
        prog="python -m deploy.standins", description="Make stand-ins for the base images."
    )
    parser.add_argument(
        "name", nargs="*", metavar="NAME", help=f"of {', '.join(by_name)} (none named: all of them)"
    )
    names = parser.parse_args(arguments).name or list(by_name)
    try:
        if unknown := [name for name in names if name not in by_name]:
            raise FleetError(f"there is no stand-in for {unknown[0]}, only for {', '.join(by_name)}")
        for name in names:
            make(by_name[name])
    except FleetError as error:
        print(error, file=sys.stderr)
        return 2
    return 0


def make(image: Image) -> None:
    """Make a stand-in and hand it to Docker, unless it has an image of this name. Raises `FleetError`."""
    if (found := present(image.name)) is not None:
        print(f"{image.name}: {'a stand-in' if found else 'the image itself'} is here", flush=True)
        return
    began = time.monotonic()
    with tempfile.TemporaryDirectory(prefix="sagamart-standin-") as folder:
        root = Path(folder)
        root.chmod(0o755)
        debian.unpack(image.suite, image.packages, root)
        _complete(image, root)
        _import(image, root)
    print(f"{image.name}: made of Debian {image.suite} in {time.monotonic() - began:.0f} s", flush=True)


def present(name: str) -> bool | None:
    """Whether Docker's image of this name is a stand-in; None if it has none. Raises `FleetError`."""
    asked = ["docker", "image", "ls", "--quiet", "--filter", f"reference={name}"]
    if not _run(asked, "asking Docker for its images").strip():
        return None
    said = _run(
        ["docker", "image", "inspect", "--format", "{{json .Config.Labels}}", name], f"looking at {name}"
    )
    return LABEL in (json.loads(said) or {})


def _complete(image: Image, root: Path) -> None:
    """Make what the packages' installation scripts would have made."""
    users, groups = ["root:x:0:0:root:/root:/bin/sh"], ["root:x:0:"]
    if image.user:
        users.append(f"{image.user}:x:{_USER_ID}:{_USER_ID}::/{image.data}:/bin/sh")
        groups.append(f"{image.user}:x:{_USER_ID}:")
    files = {
        "etc/passwd": "\n".join([*users, ""]),
        "etc/group": "\n".join([*groups, ""]),
        "etc/shadow": "",
        "etc/gshadow": "",
        **image.files,
    }
    for folder in ("proc", "sys", "dev", "root", "etc/ssl/certs", "run", "usr/local/bin", "usr/local/sbin"):
        (root / folder).mkdir(parents=True, exist_ok=True)
    (root / "tmp").mkdir(exist_ok=True)
    (root / "tmp").chmod(0o1777)
    for name, text in files.items():
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        (root / name).write_text(text, encoding="utf-8")
    for link, target in image.links.items():
        (root / link).symlink_to(target)
    for pattern in image.without:
        for path in root.glob(pattern):
            if path.is_dir() and not path.is_symlink():
                shutil.rmtree(path)
            else:
                path.unlink()
    if Path("/", AUTHORITIES).exists():
        shutil.copy(Path("/", AUTHORITIES), root / AUTHORITIES)
    if image.entrypoint:
        shutil.copy(_HERE / image.entrypoint, root / "usr/local/bin/docker-entrypoint.sh")
    if not (root / "usr/bin/awk").exists():
        (root / "usr/bin/awk").symlink_to("gawk")
    if image.user and image.data:
        for folder in (image.data, f"run/{image.user}d", f"var/log/{image.user}"):
            (root / folder).mkdir(parents=True, exist_ok=True)
            shutil.chown(root / folder, _USER_ID, _USER_ID)


def _import(image: Image, root: Path) -> None:
    changes = [f"LABEL {LABEL}=1", f"ENV PATH={image.environment.get('PATH', _PATH)}"]
    changes += [f"ENV {name}={value}" for name, value in image.environment.items() if name != "PATH"]
    if image.entrypoint:
        changes.append('ENTRYPOINT ["docker-entrypoint.sh"]')
    if image.command:
        changes.append(f"CMD {json.dumps(list(image.command))}")
    if image.runs_as:
        changes.append(f"USER {image.runs_as}")
    if image.data:
        changes.append(f"VOLUME /{image.data}")
    with tempfile.TemporaryFile() as archive:
        done = subprocess.run(  # noqa: S603
            ["tar", "--create", "--numeric-owner", "--directory", str(root), "."],  # noqa: S607
            stdout=archive,
            stderr=subprocess.PIPE,
            check=False,
        )
        if done.returncode != 0:
            raise FleetError(f"packing {image.name} failed:\n{done.stderr.decode(errors='replace')[-500:]}")
        archive.seek(0)
        options = [part for change in changes for part in ("--change", change)]
        done = subprocess.run(  # noqa: S603
            ["docker", "import", *options, "-", image.name],  # noqa: S607
            stdin=archive,
            capture_output=True,
            check=False,
        )
        if done.returncode != 0:
            raise FleetError(
                f"giving {image.name} to Docker failed:\n{done.stderr.decode(errors='replace')[-500:]}"
            )


def _run(command: list[str], what: str) -> str:
    try:
        done = subprocess.run(command, capture_output=True, text=True, errors="replace", check=False)  # noqa: S603
    except FileNotFoundError as error:
        raise FleetError(f"{what} failed: there is no program {command[0]!r}") from error
    if done.returncode != 0:
        raise FleetError(f"{what} failed:\n{done.stderr.strip()[-500:]}")
    return done.stdout


if __name__ == "__main__":
    sys.exit(main())
