"""`./just new-service NAME`: a service that runs, made from examples/greet_svc and entered wherever needed.

It has a call, an event that it publishes, one that it consumes, a table with its migration, and tests. What
it does is there to be replaced; docs/platform.md explains how a service is made.
"""

import argparse
import re
import shutil
import subprocess
import sys
from pathlib import Path

from deploy.services import OFFSETS, ROOT, DeclarationError, load_services

EXAMPLE = "greet"
MOST = 3
"""How many replicas a new service may have, a port for each: from port base + 90 on three have room."""
_NAME = re.compile(r"[a-z][a-z0-9]{1,19}")


class Refused(Exception):
    """No service is made; the message says why, and what is allowed."""


def main(arguments: list[str] | None = None) -> int:
    """The command line."""
    parser = argparse.ArgumentParser(prog="./just new-service", description="Make a new service.")
    parser.add_argument("name", metavar="NAME", help="such as parcel: its package is parcel_svc")
    name = parser.parse_args(arguments).name
    try:
        make(ROOT, name)
    except (Refused, DeclarationError) as error:
        print(error, file=sys.stderr)
        return 1
    package = f"{name}_svc"
    print(
        f"{package}/ and tests/{package}/ are made, and {name} is entered in deploy/services.toml,"
        " compose.yaml, deploy/containers/, pyproject.toml, query_svc/service.py and README.md.\n"
        f"  ./just test tests/{package}     its tests\n"
        "  ./just up                     the shop with it (`./just down` first, if it runs)\n"
        f"""  ./just call {name} greet '{{"name":"Ada"}}'     ask it something"""
    )
    return 0


def make(root: Path, name: str) -> int:
    """Make the service `name` in the tree at `root`; returns the offset of its ports. Raises `Refused`."""
    package = f"{name}_svc"
    ports = _check(root, name)
    entered = _entered(root, name, ports)
    made = [root / package, root / "tests" / package]
    for source, target in zip(("examples", "tests"), made, strict=True):
        example = root / source / f"{EXAMPLE}_svc"
        shutil.copytree(example, target, ignore=shutil.ignore_patterns("__pycache__"))
        for path in target.rglob("*.py"):
            path.write_text(_renamed(path.read_text(encoding="utf-8"), name), encoding="utf-8")
    for path, text in entered.items():
        path.write_text(text, encoding="utf-8")
    ruff = [sys.executable, "-m", "ruff"]
    for command in (["check", "--quiet", "--select", "I", "--fix"], ["format", "--quiet"]):
        subprocess.run([*ruff, *command, *map(str, made)], check=True)  # noqa: S603
    return ports


def _check(root: Path, name: str) -> int:
    """The first free ports for a service of this name. Raises `Refused`."""
    if not _NAME.fullmatch(name):
        raise Refused(
            f"a service has a name of 2 to 20 lower-case letters and digits, such as parcel, not {name!r}"
        )
    for path in (root / f"{name}_svc", root / "tests" / f"{name}_svc", root / "examples" / f"{name}_svc"):
        if path.exists():
            raise Refused(f"{path.relative_to(root)} is there already: choose another name than {name}")
    services = load_services({"SHOP_SERVICES_FILE": str(root / "deploy" / "services.toml")})
    taken = {service.ports + k for service in services for k in range(service.most)}
    for first in range(90, OFFSETS[-1] + 2 - MOST, MOST):
        if not taken & set(range(first, first + MOST)):
            return first
    raise Refused(
        "no ports are left: give a service in deploy/services.toml fewer (`most`) and choose by hand"
    )


def _renamed(text: str, name: str) -> str:
    """A file of the example as one of the service `name`: its names, not the greetings."""
    text = re.sub(rf"\b{EXAMPLE}_svc\b", f"{name}_svc", text)
    text = re.sub(rf'"{EXAMPLE}(?=[".])', f'"{name}', text)
    return re.sub(rf"\b([Tt]he) {EXAMPLE} service\b", rf"\1 {name} service", text)


def _entered(root: Path, name: str, ports: int) -> dict[Path, str]:
    """The files in which every service is named, with the new one in them. Raises `Refused`."""
    package = f"{name}_svc"
    url = f"{package}_database_url"
    declared = f'[[service]]\nname = "{name}"\nports = {ports}\nmost = {MOST}\ndatabase = true\n\n'
    composed = (
        f'  {name}:\n    <<: *service\n    command: ["{package}"]\n    environment:\n      <<: *environment\n'
        "      SHOP_DATABASE_URL_FILE: /run/secrets/database_url\n"
        f'    volumes: ["secrets-{name}:/run/secrets:ro"]\n\n'
    )
    told = f"      SHOP_{package.upper()}_DATABASE_URL_FILE: /run/secrets/{url}\n"
    heard = f'        hear_everything("{name}", events.take_in, batch=LIST),\n'
    # In which file, after what, what is added.
    additions = [
        ("deploy/services.toml", r'(?=\[\[service\]\]\nname = "gateway")', declared),
        ("compose.yaml", r"(?=^  gateway:\n)", composed),
        ("compose.yaml", r"(?=^      SHOP_SEED:)", told),
        ("compose.yaml", r"(?=^ +- secrets-gateway:/secrets)", f"      - secrets-{name}:/secrets/{name}\n"),
        ("compose.yaml", r"(?=^  secrets-gateway: \{\}$)", f"  secrets-{name}: {{}}\n"),
        ("deploy/containers/prometheus.yml", r"names: \[query", f", {name}"),
        ("deploy/containers/replicas.yaml", r"^services:\n", f"  {name}: *two\n"),
        ("compose.yaml", r"SHOP_PEERS: >-\n(?: {4}\S+=.*\n)+", f"    {name}=http://{name}:8000\n"),
        ("pyproject.toml", r'"query_svc"', f', "{package}"'),
        ("query_svc/service.py", r' +hear_everything\("user".*\n', heard),
        ("README.md", r"\| `query_svc/` .*\n", f"| `{package}/` | greetings, so far |\n"),
    ]
    texts: dict[Path, str] = {}
    for file, pattern, addition in additions:
        path = root / file
        text = texts.get(path) or path.read_text(encoding="utf-8")
        texts[path], count = re.subn(pattern, rf"\g<0>{addition}", text, flags=re.MULTILINE)
        if count == 0:
            raise Refused(f"{file} does not look as expected: enter {name} in it by hand, as the others are")
    return texts


if __name__ == "__main__":
    sys.exit(main())
