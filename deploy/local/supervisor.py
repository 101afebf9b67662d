"""The supervisor (circus): starts in the background, keeps programs running, takes commands."""

import contextlib
import os
import re
import subprocess
import sys
import time
from collections.abc import Mapping
from typing import Any

import psutil
import zmq
from circus.client import CircusClient
from circus.exc import CallError

from deploy.local.errors import FleetError
from deploy.local.layout import HOST, Layout
from deploy.local.processes import MARK
from deploy.local.program import Program
from deploy.services import ROOT

_LOG_BYTES = 10_000_000
_LOG_FILES = 3
_CHECK_EVERY_S = 0.5
_START_WITHIN_S = 20.0
_BUSY = "already running"
_IN_BACKGROUND = '"$@" >"$0" 2>&1 & echo $!'


class Supervisor:
    """Commands to the supervisor of one local run.

    It knows nothing by itself after a start: programs are added, with their whole environment, by whoever
    starts the shop, so there is no second description of them on disk that could go stale.
    """

    def __init__(self, at: Layout) -> None:
        self._at = at

    def process(self) -> psutil.Process | None:
        """The living supervisor of this run folder; a pid file left by a dead one is not believed."""
        try:
            process = psutil.Process(int((self._at.run_dir / "supervisor.pid").read_text(encoding="ascii")))
            mine = process.environ().get(MARK) == str(self._at.run_dir)
            return process if mine and process.status() != psutil.STATUS_ZOMBIE else None
        except (OSError, ValueError, psutil.Error):
            return None

    def launch(self) -> None:
        """Start it in the background and return when it takes commands."""
        at = self._at
        at.logs.mkdir(parents=True, exist_ok=True)
        configuration = at.run_dir / "supervisor.ini"
        configuration.write_text(
            "[circus]\n"
            f"endpoint = tcp://{HOST}:{at.control_port}\n"
            f"pubsub_endpoint = tcp://{HOST}:{at.notices_port}\n"
            f"check_delay = {_CHECK_EVERY_S}\n"
            # Empty: it would otherwise join a multicast group to be found by other supervisors.
            "multicast_endpoint =\n",
            encoding="utf-8",
        )
        log = at.logs / "supervisor.log"
        command = [sys.executable, "-m", "circus.circusd", str(configuration)]
        # By way of a shell, so that it is nobody's child: it outlives us and leaves us no zombie.
        shell = subprocess.run(  # noqa: S603
            ["/bin/sh", "-c", _IN_BACKGROUND, str(log), *command],
            cwd=ROOT,
            env={**os.environ, MARK: str(at.run_dir), "PYTHONUNBUFFERED": "1"},
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            start_new_session=True,
            text=True,
            check=True,
        )
        (at.run_dir / "supervisor.pid").write_text(shell.stdout.strip(), encoding="ascii")
        deadline = time.monotonic() + _START_WITHIN_S
        while time.monotonic() < deadline and psutil.pid_exists(int(shell.stdout)):
            with contextlib.suppress(FleetError):
                self._ask("numwatchers", timeout_s=1.0)
                return
        tail = log.read_text(encoding="utf-8", errors="replace")[-2000:]
        raise FleetError(f"the supervisor did not start:\n{tail}")

    def states(self) -> dict[str, str]:
        """Each program's state, `active`, `stopped`, `starting` or `stopping`; empty without a supervisor."""
        if self.process() is None:
            return {}
        return dict(self._look("status").get("statuses", {}))

    def pids(self, name: str) -> list[int]:
        """Pids of one program (one or none)."""
        return [int(pid) for pid in self._look("list", name=name).get("pids", [])]

    def add(self, program: Program, environment: Mapping[str, str]) -> None:
        """Start a program with this environment and its own additions; its output goes to its log."""
        log = {
            "class": "FileStream",
            "filename": str(self._at.logs / f"{program.name}.log"),
            "max_bytes": _LOG_BYTES,
            "backup_count": _LOG_FILES,
        }
        options = {
            "env": {**environment, **program.environment, MARK: str(self._at.run_dir)},
            "working_dir": str(ROOT),
            "graceful_timeout": program.stop_within_s,
            "max_retry": -1,
            "stdout_stream": log,
        }
        self._ask(
            "add",
            name=program.name,
            cmd="/bin/sh",
            # Both outputs into one file: two writers would each rotate it under the other.
            args=["-c", 'exec "$0" "$@" 2>&1', *program.command],
            options=options,
            start=True,
        )

    def start(self, name: str) -> None:
        """Start a program that was stopped."""
        self._ask("start", name=name, waiting=True)

    def stop(self, *names: str) -> None:
        """Stop programs, on purpose: they stay stopped. All at once; returns when they are gone."""
        if names:
            pattern = "^(" + "|".join(re.escape(name) for name in names) + ")$"
            self._ask("stop", name=pattern, match="regex", waiting=True, timeout_s=120.0)

    def remove(self, name: str) -> None:
        """Stop a program and forget it."""
        self._ask("rm", name=name, waiting=True, timeout_s=120.0)

    def quit(self) -> None:
        """Stop every program, then the supervisor; returns at once."""
        self._ask("quit")

    def _look(self, command: str, **properties: Any) -> dict[str, Any]:
        """Ask a question, again if no answer came: the supervisor may have been busy."""
        for _ in range(3):
            try:
                return self._ask(command, **properties)
            except FleetError as error:
                if not isinstance(error.__cause__, CallError):
                    raise
        return self._ask(command, **properties)

    def _ask(self, command: str, *, timeout_s: float = 10.0, **properties: Any) -> dict[str, Any]:
        """Send one command. The supervisor does one thing at a time and refuses meanwhile: then ask again."""
        deadline = time.monotonic() + timeout_s
        with zmq.Context() as context:
            client = CircusClient(
                context=context, endpoint=f"tcp://{HOST}:{self._at.control_port}", timeout=timeout_s
            )
            try:
                while True:
                    answer: Any = client.send_message(command, **properties)
                    if answer.get("status") != "error":
                        return answer
                    reason = str(answer.get("reason"))
                    if _BUSY not in reason or time.monotonic() > deadline:
                        raise FleetError(f"the supervisor refused to {command}: {reason}")
                    time.sleep(0.1)
            except CallError as error:
                raise FleetError(f"the supervisor did not answer ({command}): {error}") from error
            finally:
                client.stop()
