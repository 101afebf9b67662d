"""Asks processes whether they are ready."""

import http.client
import json
import ssl
from dataclasses import dataclass

from deploy.local.layout import HOST


@dataclass(frozen=True, slots=True)
class Health:
    """The answer of `/readyz`: ready if all is well, or else what is not: failed checks, or no answer.

    A process may serve while some of its checks fail (the broker is away, say); whoever starts it, or looks
    how it is, wants all of it.
    """

    ready: bool
    failing: str = ""


def readyz(port: int, *, timeout_s: float = 2.0, trusting: ssl.SSLContext | None = None) -> Health:
    """Ask the process on that port; over TLS if it is said whom to trust."""
    if trusting is None:
        connection = http.client.HTTPConnection(HOST, port, timeout=timeout_s)
    else:
        connection = http.client.HTTPSConnection(HOST, port, timeout=timeout_s, context=trusting)
    try:
        connection.request("GET", "/readyz")
        answer = connection.getresponse()
        body = answer.read(64_000)
    except (OSError, http.client.HTTPException):
        return Health(False, "does not answer")
    finally:
        connection.close()
    failing = _named(body)
    if answer.status == 200 and not failing:
        return Health(True)
    return Health(False, failing or f"HTTP {answer.status}")


def _named(body: bytes) -> str:
    """The failed checks of a body like `{"checks": {"broker": "no connection", "database": "ok"}}`."""
    try:
        document = json.loads(body)
    except ValueError:
        return ""
    checks = document.get("checks", document) if isinstance(document, dict) else None
    if not isinstance(checks, dict):
        return ""
    fine = (True, "ok", "pass", None)
    return ", ".join(f"{name}: {state}" for name, state in checks.items() if state not in fine)
