"""Which server programs are used, what they are, and whose data they may open."""

import contextlib
import json
import os
import re
import subprocess
from dataclasses import dataclass
from pathlib import Path

from deploy.local.binaries import database_server, rabbitmq_server, which
from deploy.local.errors import FleetError
from deploy.local.layout import Layout
from deploy.services import ROOT

DATABASE_SETTING, BROKER_SETTING = "SHOP_MYSQLD", "SHOP_RABBITMQ_SERVER"
_DATABASE_ALLOWED = "the path of mariadbd (MariaDB 10.11 or later) or mysqld (MySQL 8.4 or later)"
_BROKER_ALLOWED = "the path of rabbitmq-server (RabbitMQ 3.10 or later), with rabbitmqctl beside it"
_VERSION = re.compile(r"(\d+)\.(\d+)")
_SAID_WITHIN_S = 30.0


@dataclass(frozen=True, slots=True)
class Engine:
    """A server program. `version` is (major, minor)."""

    product: str
    version: tuple[int, int]
    program: Path

    def __str__(self) -> str:
        return f"{self.product} {self.version[0]}.{self.version[1]} ({self.program})"

    def can_open(self, maker: "Engine") -> bool:
        """Whether it may use what `maker` has left: the same product and major version, and no older one."""
        is_same_line = (self.product, self.version[0]) == (maker.product, maker.version[0])
        return is_same_line and self.version >= maker.version


def database_engine(named: str | None = None) -> Engine:
    """The database's program: the one that SHOP_MYSQLD has `named`, or else the one of this machine.

    Raises FleetError if there is none, or if it is something else.
    """
    program = _named(DATABASE_SETTING, named, _DATABASE_ALLOWED) or database_server()
    if program is None:
        raise FleetError("neither mariadbd nor mysqld is installed")
    said = _said([str(program), "--no-defaults", "--version"])
    version = _version(said.partition("Ver ")[2])
    if version is None:
        raise FleetError(f"{program} is neither MariaDB's nor MySQL's server: {_allowed(DATABASE_SETTING)}")
    return Engine("MariaDB" if "MariaDB" in said else "MySQL", version, program)


def broker_engine(named: str | None = None) -> Engine:
    """The broker's start script: the one that SHOP_RABBITMQ_SERVER has `named`, or else this machine's.

    Raises FleetError if there is none, or if it is something else.
    """
    script = _named(BROKER_SETTING, named, _BROKER_ALLOWED) or rabbitmq_server()
    if script is None:
        raise FleetError("rabbitmq-server is not installed")
    behind = script.resolve()
    if behind.name == "rabbitmq-script-wrapper":
        # Debian's wrapper changes to the user `rabbitmq`, which a private instance must not.
        script = behind.with_name("rabbitmq-server")
    version = _installed(script.resolve().parent.parent) or _version(
        _said([str(script.with_name("rabbitmqctl")), "version"])
    )
    if version is None:
        raise FleetError(f"{script} is not RabbitMQ's: {_allowed(BROKER_SETTING)}")
    return Engine("RabbitMQ", version, script)


def check_named(at: Layout) -> None:
    """Raise FleetError if a setting names a program that cannot be used."""
    if at.private_database and at.database_program:
        database_engine(at.database_program)
    if at.private_broker and at.broker_program:
        broker_engine(at.broker_program)


def refuse_foreign_data(engine: Engine, data: Path, setting: str) -> None:
    """Raise FleetError, with the ways out, if another product or version made the data in this folder.

    Servers find that out by themselves late or never: one wrecks what it finds, another dies of it.
    """
    maker = maker_of(data, setting)
    if maker is None or engine.can_open(maker):
        return
    again = f"\nUse what made them:  {setting}={maker.program} ./just up" if maker.program.is_file() else ""
    raise FleetError(
        f"the data in {data} were made by {maker}; {engine} cannot use them.{again}"
        "\nOr keep them, and start another shop:  SHOP_RUN_DIR=FOLDER ./just up"
        "\nOr delete all data of this one:  ./just reset"
    )


def maker_of(data: Path, setting: str) -> Engine | None:
    """Who made the data in a folder; None where there are none, or that cannot be known.

    Data without a note are older than notes, when nothing but the machine's own programs was used.
    """
    if not data.exists():
        return None
    try:
        note = json.loads(_note(data).read_text(encoding="utf-8"))
        major, minor = note["version"]
        return Engine(note["product"], (int(major), int(minor)), Path(note["program"]))
    except (OSError, ValueError, KeyError, TypeError):
        with contextlib.suppress(FleetError):
            return database_engine() if setting == DATABASE_SETTING else broker_engine()
    return None


def sign(engine: Engine, data: Path) -> None:
    """Note beside the data who uses them from now on."""
    note = {"product": engine.product, "version": engine.version, "program": str(engine.program)}
    _note(data).write_text(json.dumps(note) + "\n", encoding="utf-8")


def _note(data: Path) -> Path:
    return data.with_name("made-by.json")


def _named(setting: str, value: str | None, allowed: str) -> Path | None:
    """The program that a setting names, by its path or by its name in the PATH."""
    if not value:
        return None
    found = which(value) if "/" not in value else Path(os.path.abspath(ROOT / Path(value).expanduser()))
    if found is None or not found.exists():
        raise FleetError(f"{setting}={value}: there is no such program; {allowed} is allowed")
    if not found.is_file() or not os.access(found, os.X_OK):
        raise FleetError(f"{setting}={value} cannot be run; {allowed} is allowed")
    return found


def _allowed(setting: str) -> str:
    allowed = _DATABASE_ALLOWED if setting == DATABASE_SETTING else _BROKER_ALLOWED
    return f"{setting} may be {allowed}"


def _said(command: list[str]) -> str:
    try:
        done = subprocess.run(  # noqa: S603
            command,
            capture_output=True,
            stdin=subprocess.DEVNULL,
            text=True,
            errors="replace",
            timeout=_SAID_WITHIN_S,
            check=False,
        )
    except (OSError, subprocess.TimeoutExpired):
        return ""
    return done.stdout if done.returncode == 0 else ""


def _installed(home: Path) -> tuple[int, int] | None:
    """The version of RabbitMQ in its folder: asking the program takes seconds."""
    folders = [*home.glob("lib/rabbitmq_server-*"), *home.glob("plugins/rabbit-*")]
    return max(
        (found for folder in folders if (found := _version(folder.name.rpartition("-")[2]))), default=None
    )


def _version(text: str) -> tuple[int, int] | None:
    found = _VERSION.match(text.strip())
    return (int(found[1]), int(found[2])) if found else None
