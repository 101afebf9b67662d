"""Calls over HTTP at the door: what is in a request's head decides, before anything of its body is read.

A browser can be made to send requests to a port of its own machine. It cannot be made to send a token, to
name a host that is not the page's, or to say that a form is JSON without asking first.
"""

import time
from collections.abc import Callable, Iterable, Mapping
from urllib.parse import urlsplit

from shared import metrics
from shared.errors import CallerNotAllowed, CallNotJson, CallRefused, HostUnknown
from shared.logs import log
from shared.rpc.credentials import Caller, Verifier

SAID_EACH_S = 10.0
"""Refusals are told no oftener: the log must not grow with what strangers send."""
_UTF_8 = ("", "charset=utf-8", "charset=utf8")
_ANY_ADDRESS = ("", "0.0.0.0", "::")  # noqa: S104  listened on, and nobody's name
_LOOPBACK = frozenset({"localhost", "127.0.0.1", "::1"})


class Door:
    """Lets in who may make a call. `hosts` are the names and addresses under which the service is asked.

    `shared` is the name of a key that all services have, where each has none of its own.
    """

    def __init__(
        self,
        verifier: Verifier,
        may_call: Callable[[str, str], bool],
        hosts: Iterable[str] = (),
        *,
        shared: str | None = None,
    ) -> None:
        self._verifier = verifier
        self._may_call = may_call
        self._shared = shared
        self._hosts = _LOOPBACK | {host.lower() for host in hosts if host not in _ANY_ADDRESS}
        self._count = metrics.REQUESTS_REFUSED.labels("call")
        self._refused = 0
        self._told_at = float("-inf")

    def admit(self, call: str, head: Mapping[str, str], reached_at: str) -> Caller:
        """Who makes this call, if they may. Raises `CallRefused`.

        `head` has the headers by their names in lower case; `reached_at` is the address of ours that the
        connection came in at.
        """
        try:
            self._check_host(head, reached_at)
            caller = self._verifier.caller(head.get("authorization"))
            _check_json(head.get("content-type", ""))
            if caller.name != self._shared and not self._may_call(caller.service, call):
                raise CallerNotAllowed(f"{caller.name} may not call {call}.")
        except CallRefused as refusal:
            self._tell(refusal)
            raise
        return caller

    def _tell(self, refusal: CallRefused) -> None:
        self._count.inc()
        self._refused += 1
        if time.monotonic() - self._told_at >= SAID_EACH_S:
            log.warning("call.refused", detail=refusal.detail, refused=self._refused)
            self._told_at, self._refused = time.monotonic(), 0

    def _check_host(self, head: Mapping[str, str], reached_at: str) -> None:
        """No page of a foreign name may reach us, whatever address that name is made to lead to."""
        host = head.get("host", "")
        name = _name(host)
        if name is None or (name not in self._hosts and name != reached_at):
            known = ", ".join(sorted(self._hosts))
            raise HostUnknown(
                f"Host is none of this service's names: {known} (SHOP_SERVICE_HOSTS adds some)."
            )
        origin = head.get("origin")
        if origin is not None and origin.lower() not in (f"http://{host.lower()}", f"https://{host.lower()}"):
            raise CallerNotAllowed("Pages of another origin may not call.")


def _name(host: str) -> str | None:
    try:
        return urlsplit(f"//{host}").hostname
    except ValueError:
        return None


def _check_json(content_type: str) -> None:
    kind, _, options = content_type.lower().partition(";")
    if kind.strip() != "application/json" or options.strip(' "').replace('"', "") not in _UTF_8:
        raise CallNotJson("Send the call as application/json, in UTF-8.")
