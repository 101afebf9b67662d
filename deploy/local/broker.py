"""The private RabbitMQ: own node name, ports, cookie, data and log, on loopback alone."""

import json
import os
import secrets
import socket
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from deploy.broker_users import in_order
from deploy.local.broker_users import definitions
from deploy.local.engines import Engine, broker_engine, sign
from deploy.local.layout import HOST, Layout
from deploy.local.program import Program

NAME = "broker"

# Without busy waiting an idle broker costs next to nothing and leaves both cores to the services.
_VM_FLAGS = "+sbwt none +sbwtdcpu none +sbwtdio none"
_LOOPBACK_DISTRIBUTION = "-kernel inet_dist_use_interface {127,0,0,1}"
_AMQP_GREETING = b"AMQP\x00\x00\x09\x01"


def prepare(at: Layout) -> Program:
    """Write the configuration and say how to start the broker."""
    engine = broker_engine(at.broker_program)
    home = _home(at)
    is_new = not data_of(at).exists()
    for folder in (home, data_of(at), home / "log"):
        folder.mkdir(parents=True, exist_ok=True)
    if is_new:
        sign(engine, data_of(at))
    (home / "rabbitmq.conf").write_text(_configuration(at), encoding="utf-8")
    _write_definitions(home / "definitions", definitions(at))
    (home / "enabled_plugins").write_text("[rabbitmq_management].\n", encoding="utf-8")
    (home / "rabbitmq-env.conf").write_text("", encoding="utf-8")
    _write_cookie(home / ".erlang.cookie")
    return Program(NAME, (str(engine.program),), environment(at), stop_within_s=60.0)


def engine_of(at: Layout) -> Engine:
    """The program that runs it, or would."""
    return broker_engine(at.broker_program)


def data_of(at: Layout) -> Path:
    """The folder of its data."""
    return _home(at) / "data"


def environment(at: Layout) -> dict[str, str]:
    """Every setting that RabbitMQ's scripts would otherwise take from the system's installation.

    The broker's command-line tools (`rabbitmqctl`) reach this node with the same environment.
    """
    home = _home(at)
    tool_ports = at.tool_ports
    return {
        "HOME": str(home),
        "RABBITMQ_NODENAME": f"sagamart{at.base}@localhost",
        "RABBITMQ_NODE_IP_ADDRESS": HOST,
        "RABBITMQ_NODE_PORT": str(at.amqp_port),
        "RABBITMQ_DIST_PORT": str(at.distribution_port),
        "RABBITMQ_CTL_DIST_PORT_MIN": str(tool_ports.start),
        "RABBITMQ_CTL_DIST_PORT_MAX": str(tool_ports.stop - 1),
        "RABBITMQ_CONF_ENV_FILE": str(home / "rabbitmq-env.conf"),
        "RABBITMQ_CONFIG_FILE": str(home / "rabbitmq.conf"),
        "RABBITMQ_CONFIG_FILES": str(home / "conf.d"),
        "RABBITMQ_ADVANCED_CONFIG_FILE": str(home / "advanced.config"),
        "RABBITMQ_ENABLED_PLUGINS_FILE": str(home / "enabled_plugins"),
        "RABBITMQ_MNESIA_BASE": str(data_of(at)),
        "RABBITMQ_LOG_BASE": str(home / "log"),
        "RABBITMQ_LOGS": "-",
        "RABBITMQ_PID_FILE": str(home / "broker.pid"),
        "RABBITMQ_GENERATED_CONFIG_DIR": str(home / "generated"),
        "RABBITMQ_SERVER_ADDITIONAL_ERL_ARGS": f"{_VM_FLAGS} {_LOOPBACK_DISTRIBUTION}",
        "ERL_EPMD_PORT": str(at.epmd_port),
        "ERL_EPMD_ADDRESS": HOST,
        # Erlang writes it where it was started from: that is the repository's folder.
        "ERL_CRASH_DUMP": str(home / "log" / "erl_crash.dump"),
        # The script then becomes the Erlang VM instead of watching over it: signals and memory figures meet
        # the process that matters, and nothing is left behind when the script alone is killed.
        "RUNNING_UNDER_SYSTEMD": "true",
    }


def is_ready(at: Layout) -> bool:
    """Whether the broker answers AMQP: it listens only after it has started entirely."""
    try:
        with socket.create_connection((HOST, at.amqp_port), timeout=2) as connection:
            connection.sendall(_AMQP_GREETING)
            return connection.recv(1) == b"\x01"
    except OSError:
        return False


def _home(at: Layout) -> Path:
    return at.plain_dir / NAME


def _configuration(at: Layout) -> str:
    return "\n".join(
        (
            "# Written at every start; changes here are lost.",
            f"listeners.tcp.local = {HOST}:{at.amqp_port}",
            f"management.tcp.ip = {HOST}",
            f"management.tcp.port = {at.management_port}",
            # All users there are: with it the broker makes none by itself.
            f"load_definitions = {_home(at) / 'definitions'}",
            "log.console = true",
            "log.console.level = info",
            "log.file = false",
            # Half a gigabyte by default, for machines that are the broker's alone.
            "raft.wal_max_size_bytes = 67108864",
            "",
        )
    )


def _write_definitions(folder: Path, wanted: Mapping[str, Any]) -> None:
    """One file a part: of a folder, the broker takes all files by their names."""
    folder.mkdir(mode=0o700, exist_ok=True)
    for number, part in enumerate(in_order(wanted), start=1):
        path = folder / f"{number}.json"
        path.unlink(missing_ok=True)
        descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
        with os.fdopen(descriptor, "w", encoding="utf-8") as file:
            json.dump(part, file, indent=2)


def _write_cookie(path: Path) -> None:
    """Whoever knows the cookie commands the node; Erlang refuses a file that others may read."""
    if path.exists():
        return
    descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o400)
    with os.fdopen(descriptor, "w", encoding="ascii") as file:
        file.write(secrets.token_hex(16))
