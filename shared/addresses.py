"""Where servers are: a setting that names one or several, with the sign-in and how the way there is secured.

    amqp://user:password@a:5672/vhost?tls=verify&ca=/etc/shop/ca.pem
    amqp://user:password@a:5672,b:5672/
    amqp://user:password@a:5672/, amqp://user:password@b:5672/

Parameters that nobody reads are refused by name: a misspelt `tls` would otherwise mean none.
"""

import random
import re
from collections.abc import Callable, Collection, Iterator, Sequence
from typing import NamedTuple
from urllib.parse import parse_qsl, quote, unquote, urlencode, urlsplit

from shared.logs import log
from shared.tls import Tls

PARAMETERS = ("tls", "ca", "cert", "key")
_BETWEEN = re.compile(r"[\s,]+(?=[a-z][a-z0-9+.-]*://)")
"""Only before the next URL: a password may hold blanks and commas."""


class Kind(NamedTuple):
    """What servers of one kind are named by: the port of each scheme, and the schemes that mean TLS."""

    example: str
    ports: dict[str, int]
    secure: frozenset[str] = frozenset()
    needs_path: bool = False


AMQP = Kind("amqp://user:password@host:5672/", {"amqp": 5672, "amqps": 5671}, frozenset({"amqps"}))
DATABASE_SERVER = Kind("mysql://user:password@host:3306/", {"mysql": 3306})
DATABASE = DATABASE_SERVER._replace(example="mysql://user:password@host:3306/name", needs_path=True)
HTTP = Kind("http://user:password@host:15672", {"http": 80, "https": 443}, frozenset({"https"}))


class Server(NamedTuple):
    """One server: where it is, who signs in there, and what comes after its address in the URL."""

    scheme: str
    host: str
    port: int
    user: str | None
    password: str | None
    path: str
    """As it was written, its first `/` included; empty if there was none."""
    tls: Tls | None = None

    @property
    def place(self) -> tuple[str, int]:
        """What stays the same when its password is changed."""
        return self.host, self.port

    def __str__(self) -> str:
        """For logs and errors: without the sign-in."""
        return f"[{self.host}]:{self.port}" if ":" in self.host else f"{self.host}:{self.port}"

    def url(self, scheme: str | None = None) -> str:
        """As a URL of its own, without parameters; with the password in it."""
        secret = "" if self.password is None else f":{quote(self.password, safe='')}"
        login = "" if self.user is None else f"{quote(self.user, safe='')}{secret}@"
        return f"{scheme or self.scheme}://{login}{self}{self.path}"

    def setting(self) -> str:
        """What `parse` would read it from."""
        if self.tls is None:
            return self.url()
        return f"{self.url()}?{urlencode({'tls': 'verify' if self.tls.verify else 'on', **self.tls.files})}"


def parse(text: str, kind: Kind) -> tuple[Server, ...]:
    """The servers that a setting names, in its order.

    Raises `ValueError` with a text for people, in which no password stands.
    """
    found = [server for one in _BETWEEN.split(text.strip(" \t\r\n,")) for server in _servers(one, kind)]
    if len({server.place for server in found}) < len(found):
        raise ValueError("the same host and port stand there twice")
    return tuple(found)


def to_try(
    servers: Sequence[Server],
    *,
    first: tuple[str, int] | None = None,
    last: Collection[tuple[str, int]] = (),
    draw: Callable[[Sequence[Server], int], list[Server]] = random.sample,
) -> list[Server]:
    """In which order to try them: at random, but for the place to try first and those to try last."""
    return sorted(draw(servers, len(servers)), key=lambda one: (one.place != first, one.place in last))


def takes_changes(read_only: object) -> bool:
    """Whether a database server does that says this of `@@read_only`; newer ones say it in words.

    (`super_read_only` of MySQL implies `read_only`.)
    """
    return str(read_only).upper() in ("0", "OFF")


class Servers:
    """The servers that a setting names now: where it stands in a file, that may change while we run."""

    def __init__(self, setting: "str | Callable[[], str]", kind: Kind) -> None:
        """Raises `ValueError` like `parse`."""
        self._read: Callable[[], str] = setting if callable(setting) else lambda: setting
        self._kind = kind
        self._text = self._read()
        self._known = parse(self._text, kind)

    @property
    def text(self) -> str:
        """The setting as it was last understood."""
        return self._text

    def now(self) -> tuple[Server, ...]:
        """Read anew; what cannot be understood (it may be half written) changes nothing."""
        text = self._read()
        if text != self._text:
            try:
                self._known = parse(text, self._kind)
                self._text = text
            except ValueError as error:
                log.warning("servers.not_understood", error=str(error))
        return self._known


def _servers(text: str, kind: Kind) -> Iterator[Server]:
    looks = f"expected {kind.example}, or several of these"
    try:
        parts = urlsplit(text)
    except ValueError:  # brackets that are none of an IPv6 address
        raise ValueError(looks) from None
    if parts.scheme not in kind.ports or not parts.netloc or parts.fragment:
        raise ValueError(looks)
    if kind.needs_path and len(parts.path) < 2:
        raise ValueError(f"no database is named; {looks}")
    login, _, hosts = parts.netloc.rpartition("@")
    user, has_password, password = login.partition(":")
    tls = _tls(parts.query, is_secure=parts.scheme in kind.secure)
    for host, port in _hosts(hosts, looks):
        yield Server(
            scheme=parts.scheme,
            host=host,
            port=kind.ports[parts.scheme] if port is None else port,
            user=unquote(user) if login else None,
            password=unquote(password) if has_password else None,
            path=parts.path,
            tls=tls,
        )


def _hosts(text: str, looks: str) -> Iterator[tuple[str, int | None]]:
    for one in text.split(","):
        try:
            at = urlsplit(f"//{one.strip()}")
            host, port = at.hostname, at.port
        except ValueError:
            raise ValueError(f"a port is no number from 1 to 65535; {looks}") from None
        if not host or port == 0 or at.path or at.query:
            raise ValueError(f"a host is missing; {looks}")
        yield host, port


def _tls(query: str, *, is_secure: bool) -> Tls | None:
    given: dict[str, str] = {}
    for name, value in parse_qsl(query, keep_blank_values=True):
        if name not in PARAMETERS:
            raise ValueError(f"unknown parameter {name!r}; allowed are {', '.join(PARAMETERS)}")
        if name in given or not value:
            raise ValueError(f"parameter {name!r} has {'two values' if name in given else 'no value'}")
        given[name] = value
    asked = given.get("tls")
    if asked not in (None, "off", "on", "verify"):
        raise ValueError(f"tls={asked!r}; allowed are off, on (encrypted) and verify (and the right server)")
    files = [name for name in ("ca", "cert", "key") if name in given]
    if asked == "off":
        if files or is_secure:
            raise ValueError(f"tls=off contradicts {files[0] if files else 'the scheme'}")
        return None
    if asked is None and not files and not is_secure:
        return None
    if "key" in given and "cert" not in given:
        raise ValueError("key without cert: a client's own certificate needs both")
    if asked == "on" and "ca" in given:
        raise ValueError("tls=on looks at no certificate, so ca would count for nothing; say tls=verify")
    return Tls(asked != "on", given.get("ca"), given.get("cert"), given.get("key"))
