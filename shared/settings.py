"""Settings from `SHOP_*` environment variables: typed, with defaults that are safe for a local run only.

What nobody shall read in the environment comes from a file: `SHOP_AMQP_URL_FILE=/run/secrets/amqp_url` stands
for `SHOP_AMQP_URL` with what that file holds. This is so for every setting.
"""

import math
import os
from collections.abc import Callable, Iterator, Mapping
from functools import cache
from pathlib import Path
from typing import Annotated, Any, ClassVar, NamedTuple, TypeVar

import msgspec
from msgspec import Meta

from shared.addresses import AMQP, DATABASE, parse
from shared.certificates import Files, serve_with
from shared.clients import networks
from shared.crash import POINTS
from shared.masks import MASK, masked, passwords_in, says_secret
from shared.production import check_environment, unsafe_secret, unsafe_url
from shared.rpc.credentials import parse_key, parse_keys
from shared.rpc.peers import parse_peers
from shared.sealing import Sealer, check_secrets

Positive = Annotated[float, Meta(gt=0)]
Port = Annotated[int, Meta(ge=1, le=65535)]


class Settings(msgspec.Struct, frozen=True, kw_only=True):
    """What every service process reads; a service adds its own fields in a subclass.

    The field `rpc_timeout_s` is read from `SHOP_RPC_TIMEOUT_S`. Times are in seconds.
    """

    checks: ClassVar[Mapping[str, Callable[[str], object]]] = {
        "env": check_environment,
        "amqp_url": lambda text: parse(text, AMQP),
        "database_url": lambda text: parse(text, DATABASE),
        "peers": parse_peers,
        "trusted_proxies": networks,
        "call_key": parse_key,
        "call_keys": parse_keys,
        "secret_key": check_secrets,
    }
    """What reads a setting whose type does not say all: raises `ValueError`, with what is allowed."""

    env: str = "local"
    """`local`, or `production`: that refuses what everybody knows for a secret, and seeds nothing."""
    instance: Annotated[int, Meta(ge=1)] = 1
    """Which replica this is: `order-svc#2` in the management UI and in the logs."""
    bind_host: str = "127.0.0.1"
    service_port: Port = 8009
    """The process's own port: health, metrics, calls over HTTP."""
    public_port: Port | None = None
    """A port shared by all replicas, for a service that the outside world talks to."""
    amqp_url: str = "amqp://guest:guest@127.0.0.1:5672/"
    """One broker or several nodes of it: `amqp://user:password@a:5672,b:5672/`, also with `?tls=verify`."""
    database_url: str | None = None
    """One server or several: `mysql://user:password@a:3306,b:3306/name`. One that takes changes is used."""
    database_pool: Annotated[int, Meta(ge=2, le=200)] = 12
    database_answer_s: Annotated[float, Meta(gt=10)] = 15.0
    """How long a statement may keep silent: longer than the ten seconds for which it may wait for a lock."""
    peers: str = ""
    """Where services answer over HTTP: `item=http://127.0.0.1:8020-8028 order=http://a:8000,http://b:8000`.

    Of a name with several addresses each is a replica."""
    trusted_proxies: str = ""
    """Addresses and networks of proxies whose word counts on where requests come from, by `X-Forwarded-For`
    and `X-Forwarded-Proto` or `Forwarded`: `10.0.0.7 192.168.0.0/16`. Anybody else's is not heard."""
    tls_cert_file: str | None = None
    """With it, and `tls_key_file` and `tls_ca_file`, the process's own port speaks TLS, and calls over HTTP
    show this certificate. It bears the name under which others know the service: `item-svc`."""
    tls_key_file: str | None = None
    tls_ca_file: str | None = None
    """Who signs the certificates of the services."""
    public_tls_cert_file: str | None = None
    """With it, and `public_tls_key_file`, the public port speaks TLS; else that is a proxy's part."""
    public_tls_key_file: str | None = None
    call_key: str = ""
    """Who this process is in calls over HTTP, and the private key that proves it: `item-svc=KEY`."""
    call_keys: str = ""
    """Whose calls over HTTP are believed: everybody's public keys, `item-svc=KEY operator=KEY ...`."""
    secret_key: str = ""
    """Random secrets, the newest first, that seal what is secret in the database (`shared/sealing.py`)."""
    service_hosts: str = ""
    """More names under which others reach `service_port`, besides those in `peers` and its addresses."""
    rpc_timeout_s: Positive = 3.0
    retry_delays_s: str = "5,30,300"
    """The waits before a failed event is tried again; after the last one it is a dead letter."""
    outbox_grace_s: Positive = 5.0
    """How long a committed message may take to be published before the scheduler takes it over."""
    outbox_poll_s: Positive = 1.0
    outbox_lease_s: Positive = 30.0
    linger_ms: Annotated[float, Meta(ge=0, le=100)] = 5
    """How long a busy consumer waits for its list to fill up."""
    database_patience_s: Positive = 600.0
    """How long messages are held unacknowledged while the database is down."""
    shutdown_s: Positive = 20.0
    inbox_days: Positive = 14.0
    idempotency_days: Positive = 7.0
    """How long the first answer under an idempotency key is kept."""
    idempotency_lease_s: Positive = 60.0
    """When a call of several units of work that has not ended counts as abandoned, and may be carried on."""
    breaker_threshold: Annotated[int, Meta(ge=1)] = 5
    breaker_open_s: Positive = 5.0
    http_head_s: Positive = 10.0
    """How long a request's head may take to arrive; then its connection is closed (408)."""
    http_body_s: Positive = 30.0
    """The same for its body, and for an answer that its client does not read."""
    http_idle_s: Positive = 75.0
    """How long a connection without a request is kept."""
    http_connections: Annotated[int, Meta(ge=1)] = 10_000
    """How many connections a process has at once; further ones are closed (503)."""
    http_connections_of_address: Annotated[int, Meta(ge=0)] = 1_000
    """How many of them one address may have; 0: any number, as behind a proxy, where all have one."""
    http_counts_loopback: bool = False
    """Whether that holds for this machine's own addresses, too."""
    log_level: str = "INFO"
    log_format: str = "auto"
    """`json`, `pretty`, or `auto`: pretty on a terminal."""
    access_log: bool = False
    crash_at: str = ""
    """Kill this process with SIGKILL at the named point, once (for fault tests): see `shared/crash.py`."""
    crash_marker: str = ""

    @property
    def tls(self) -> Files | None:
        """The certificate towards other services."""
        if self.tls_cert_file is None or self.tls_key_file is None:
            return None
        return Files(self.tls_cert_file, self.tls_key_file, self.tls_ca_file)

    @property
    def public_tls(self) -> Files | None:
        """The certificate towards the public."""
        if self.public_tls_cert_file is None or self.public_tls_key_file is None:
            return None
        return Files(self.public_tls_cert_file, self.public_tls_key_file)

    @property
    def retry_delays(self) -> tuple[float, ...]:
        """`retry_delays_s` as seconds."""
        return tuple(float(delay) for delay in self.retry_delays_s.split(",") if delay.strip())

    def complaints(self) -> Iterator[str]:
        """What cannot be used though each setting has its type, with what is expected."""
        yield from ()

    def missing(self) -> Iterator[str]:
        """Complaints about settings without which a process of this kind cannot work."""
        yield from ()

    def unsafe(self) -> Iterator[str]:
        """Complaints about settings that production does not bear."""
        yield from unsafe_url("SHOP_AMQP_URL", self.amqp_url)
        if self.database_url is not None:
            yield from unsafe_url("SHOP_DATABASE_URL", self.database_url)
        yield from unsafe_secret("SHOP_CALL_KEY", self.call_key, "a key of this service's own")
        yield from unsafe_secret("SHOP_CALL_KEYS", self.call_keys, "everybody's public keys")

    def secrets(self) -> Iterator[str]:
        """The secrets among these settings, which nothing may tell."""
        for field in msgspec.structs.fields(self):
            value = getattr(self, field.name)
            if not isinstance(value, str):
                continue
            yield from passwords_in(value)
            if says_secret(field.name) and field.name != "call_keys":
                yield from (part for word in value.split() for part in (word, word.partition("=")[2]))

    @property
    def sealer(self) -> Sealer:
        """Seals what is kept secret in the database."""
        return _sealer(self.secret_key)


@cache
def _sealer(secrets: str) -> Sealer:
    return Sealer(Current("SHOP_SECRET_KEY", secrets))


class WrongSettings(SystemExit):
    """Settings that cannot be used; the message lists every one of them."""


class Given(NamedTuple):
    """The text of a setting, and how messages name it: without it where that is secret, or from a file."""

    text: str
    said: str


def given(variable: str, environment: Mapping[str, str] | None = None) -> Given | None:
    """The setting of that name, from itself or from the file that `<variable>_FILE` names; None if not set.

    The newline at the end of a file is no part of the setting. Raises ValueError, with a text for people, if
    both are set or the file cannot be read.
    """
    environment = os.environ if environment is None else environment
    text, path = environment.get(variable), environment.get(f"{variable}_FILE")
    if path is None:
        return None if text is None else Given(text, _said(variable, text))
    said = f"{variable}_FILE={path!r}"
    if text is not None:
        raise ValueError(f"{said}: {variable} is set, too; expected one of the two")
    try:
        return Given(Path(path).read_text(encoding="utf-8").rstrip("\r\n"), said)
    except (OSError, ValueError) as error:
        why = error.strerror if isinstance(error, OSError) else "it is not text in UTF-8"
        raise ValueError(f"{said}: the file cannot be read: {why}") from error


def _said(variable: str, text: str) -> str:
    return f"{variable}={MASK if says_secret(variable) else repr(masked(text))}"


class Current:
    """What a setting says now: one that stands in a file is read anew whenever that file has changed.

    While the file cannot be read, what it said last goes on to count.
    """

    def __init__(self, variable: str, text: str, environment: Mapping[str, str] | None = None) -> None:
        self._path = (os.environ if environment is None else environment).get(f"{variable}_FILE")
        self._text = text
        self._seen: tuple[int, int, int] | None = None

    def __call__(self) -> str:
        """The text. It costs a look at the file's times."""
        if self._path is None:
            return self._text
        try:
            stat = os.stat(self._path)
            seen = (stat.st_mtime_ns, stat.st_ino, stat.st_size)
            if seen != self._seen:
                self._text = Path(self._path).read_text(encoding="utf-8").rstrip("\r\n")
                self._seen = seen
        except (OSError, ValueError):
            pass
        return self._text


S = TypeVar("S", bound=Settings)


def load(kind: type[S], environment: Mapping[str, str] | None = None, *, at_work: bool = True) -> S:
    """Read `kind` from the environment; what only a service `at_work` needs may be missing elsewhere.

    Raises `WrongSettings`, which names all the wrong variables at once with what is allowed, so that nobody
    has to mend them one start at a time.
    """
    values: dict[str, Any] = {}
    said: dict[str, str] = {}
    wrong: list[str] = []
    for field in msgspec.structs.fields(kind):
        try:
            found = given(f"SHOP_{field.name.upper()}", environment)
        except ValueError as error:
            wrong.append(f"  {error}")
            continue
        if found is None:
            continue
        said[field.name] = found.said
        try:
            value = msgspec.convert(found.text, field.type, strict=False)
            if isinstance(value, float) and not math.isfinite(value):
                raise ValueError("Expected a finite number")
            values[field.name] = value
        except (msgspec.ValidationError, ValueError) as error:
            wrong.append(f"  {found.said}: {error}")
    try:
        for delay in values.get("retry_delays_s", "1").split(","):
            if not 0 < float(delay) < math.inf:
                raise ValueError
    except ValueError:
        wrong.append(f"  {said['retry_delays_s']}: Expected positive seconds, such as 5,30,300")
    for name, check in kind.checks.items():
        if values.get(name) or (name == "env" and name in values):
            try:
                check(values[name])
            except ValueError as error:
                wrong.append(f"  {said[name]}: {error}")
    wrong += _wrong_certificates(values)
    if values.get("crash_at", "") not in ("", *POINTS):
        wrong.append(f"  {said['crash_at']}: Expected one of {', '.join(POINTS)}")
    if values.get("log_format", "auto") not in ("json", "pretty", "auto"):
        wrong.append(f"  {said['log_format']}: Expected `json`, `pretty` or `auto`")
    if values.get("log_level", "INFO").upper() not in ("DEBUG", "INFO", "WARNING", "ERROR"):
        wrong.append(f"  {said['log_level']}: Expected DEBUG, INFO, WARNING or ERROR")
    settings = kind(**values)
    if not wrong:
        wrong += [f"  {complaint}" for complaint in settings.complaints()]
    if at_work:
        wrong += [f"  {complaint}" for complaint in settings.missing()]
    if at_work and settings.env == "production":
        wrong += [f"  {complaint}" for complaint in settings.unsafe()]
    if wrong:
        raise WrongSettings("These settings cannot be used:\n" + "\n".join(wrong))
    return settings


def _wrong_certificates(values: Mapping[str, Any]) -> Iterator[str]:
    """What is wrong with the files of certificates, each of which counts for nothing without the others."""
    for names in (
        ("tls_cert_file", "tls_key_file", "tls_ca_file"),
        ("public_tls_cert_file", "public_tls_key_file"),
    ):
        missing = [f"SHOP_{name.upper()}" for name in names if not values.get(name)]
        said = ", ".join(f"SHOP_{name.upper()}={values[name]!r}" for name in names if values.get(name))
        if not said:
            continue
        if missing:
            yield f"  {said}: {' and '.join(missing)} missing; expected all of them or none"
            continue
        try:
            serve_with(Files(*(values[name] for name in names)))
        except ValueError as error:
            yield f"  {said}: {error}"
