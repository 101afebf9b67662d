"""The broker's users of a local run: made at its start, or sent to a broker that runs already.

What each may do is asked of the services' code, which takes a second; the answer is kept until that code
changes. Beside it stands which broker has been told: at one elsewhere the services have users of their own
only if somebody could make them there.
"""

import json
import os
import subprocess
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any
from urllib.parse import unquote

from deploy import broker_users as users
from deploy.local.code import fingerprint
from deploy.local.errors import FleetError
from deploy.local.layout import Layout
from deploy.services import ROOT
from shared.addresses import AMQP, parse
from shared.broker.identity import named

Report = Callable[[str], None]

_WITHIN_S = 20.0


def definitions(at: Layout) -> dict[str, Any]:
    """What the broker of this run has to know, as the services' code says now; it is about to be told.

    Raises FleetError.
    """
    code = fingerprint(at)
    known = _read(at)
    said = known.get("said", "") if known.get("code") == code else _said_by_code(at)
    _write(at, code=code, said=said, told=_place(at))
    permissions = users.read(said.encode(), at.services)
    if not at.private_broker:
        permissions = users.besides_administrators(permissions)
    return users.definitions(permissions, at.broker_password, _vhost(at))


def bring_up_to_date(at: Layout, report: Report) -> None:
    """Have a broker that runs already know all users. Raises FleetError if it does not listen."""
    if at.private_broker:
        if _read(at).get("code") != fingerprint(at):
            _send(at)
    elif why := _why_not(at):
        report(f"all services sign in to the broker as the user of SHOP_AMQP_URL: {why}")
        _write(at, told="")
    else:
        _send(at)


def are_made(at: Layout) -> bool:
    """Whether each service has a user of its own."""
    return at.private_broker or _read(at).get("told") == _place(at)


def amqp_url_for(at: Layout, service: str) -> str:
    """The broker as a service of that name signs in there."""
    return at.amqp_url_of(named(service)) if are_made(at) else at.amqp_url


def _send(at: Layout) -> None:
    before = _read(at)
    wanted = definitions(at)
    deadline = time.monotonic() + _WITHIN_S
    while True:
        try:
            users.send(at.management_url or "", wanted)
            break
        except users.Refusal as refusal:  # a broker that is only starting does not answer yet
            if time.monotonic() > deadline:
                _write(at, **before)
                raise FleetError(f"the broker's users cannot be made: {refusal}") from None
            time.sleep(0.5)


def _why_not(at: Layout) -> str:
    """Why nobody can make users at a broker elsewhere; empty if we can."""
    if not at.management_url:
        return "SHOP_MANAGEMENT_URL does not say where users of their own could be made"
    try:
        if users.is_administrator(at.management_url):
            return ""
    except users.Refusal as refusal:
        return str(refusal)
    return "the user of SHOP_MANAGEMENT_URL is no administrator, and can make none"


def _said_by_code(at: Layout) -> str:
    environment = {name: value for name, value in os.environ.items() if not name.startswith("SHOP_")}
    done = subprocess.run(  # noqa: S603
        users.command(at.services), cwd=ROOT, env=environment, capture_output=True, check=False
    )
    if done.returncode != 0:
        tail = "\n".join(done.stderr.decode(errors="replace").strip().splitlines()[-15:])
        raise FleetError(f"what the services may do at the broker cannot be told:\n{tail}")
    return done.stdout.decode()


def _vhost(at: Layout) -> str:
    return unquote(parse(at.amqp_url, AMQP)[0].path[1:]) or "/"


def _place(at: Layout) -> str:
    """Which broker it is."""
    return ",".join(f"{server}{server.path}" for server in parse(at.amqp_url, AMQP))


def _note(at: Layout) -> Path:
    return at.run_dir / "broker" / "users.json"


def _read(at: Layout) -> dict[str, str]:
    """What the code `said` when it was `code`, and which broker was `told`."""
    try:
        return dict(json.loads(_note(at).read_text(encoding="utf-8")))
    except (OSError, ValueError):
        return {}


def _write(at: Layout, **texts: str) -> None:
    _note(at).parent.mkdir(parents=True, exist_ok=True)
    _note(at).write_text(json.dumps(texts), encoding="utf-8")
