"""Certificates that a process shows, in files of PEM: what it serves with, read anew when the files change.

A connection that is open stays as it was made; the next one is made with what the files hold by then.
"""

import os
import ssl
import time
from collections.abc import Sequence
from typing import NamedTuple

from shared import metrics
from shared.logs import log
from shared.tls import Tls

DAY_S = 86_400
WARN_DAYS = 21
"""From so many days before its end on, a certificate is told of: daily in the log, always in `/readyz`."""


class Files(NamedTuple):
    """Paths of a certificate, of its key, and of those (`ca`) who sign the certificates of others."""

    cert: str
    key: str
    ca: str | None = None


def serve_with(files: Files) -> ssl.SSLContext:
    """What a server needs to show this certificate, over TLS 1.3 alone.

    With a `ca` it asks its clients for a certificate, and goes on without one; one that the `ca` has not
    signed ends the connection. Raises ValueError, with a text for people that names the file.
    """
    _check_readable(files)
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.minimum_version = ssl.TLSVersion.TLSv1_3
    _load(context, files)
    if files.ca is not None:
        context.verify_mode = ssl.CERT_OPTIONAL
    return context


def ask_with(files: Files) -> ssl.SSLContext:
    """What a client needs to show this certificate, and to trust those whom the `ca` has signed.

    It is made anew only when the files have changed. Raises ConnectionError, which names the file.
    """
    return Tls(ca=files.ca, cert=files.cert, key=files.key).context()


def peer_names(found: ssl.SSLObject | None) -> frozenset[str] | None:
    """Whose certificate the other end has shown, by its DNS names; None where the connection is no TLS."""
    if found is None:
        return None
    shown = found.getpeercert() or {}
    alternatives: Sequence[tuple[str, str]] = shown.get("subjectAltName", ())  # type: ignore[assignment]
    return frozenset(name for kind, name in alternatives if kind == "DNS")


class Shown:
    """A certificate at work. `name` says for what (`service`, `public`): it is a metric's label."""

    def __init__(self, name: str, files: Files) -> None:
        """Raises ValueError like `serve_with`."""
        self.name = name
        self.context = serve_with(files)
        self._files = files
        self._stamps: tuple[object, ...] = _stamps(files)
        self._told_at = float("-inf")
        self._read_ends()

    def look(self) -> None:
        """Take over what the files hold now, if they have changed; tell of an end that is near."""
        if (found := _stamps(self._files)) != self._stamps:
            self._take_over(found)
        metrics.CERTIFICATE_ENDS_SECONDS.labels(self.name).set(self._ends - time.time())
        if (near := self.ending) and time.monotonic() - self._told_at > DAY_S:
            log.warning("certificate.ends", certificate=self.name, detail=near, file=self._files.cert)
            self._told_at = time.monotonic()

    @property
    def ending(self) -> str | None:
        """Words about an end that is near or past; None while there is time."""
        left_s = self._ends - time.time()
        if left_s > WARN_DAYS * DAY_S:
            return None
        if left_s <= 0:
            return f"the {self.name} certificate has expired"
        return f"the {self.name} certificate ends in {left_s / DAY_S:.1f} days"

    def _take_over(self, found: tuple[object, ...]) -> None:
        try:
            # Tried on another context first: of a certificate without its key, whose file is yet to be
            # exchanged, the one at work would keep a half.
            serve_with(self._files)
            _load(self.context, self._files)
        except (ValueError, OSError) as error:
            log.warning("certificate.not_taken", certificate=self.name, detail=str(error))
            return  # looked at again the next time, since the stamps are still the old ones
        self._stamps = found
        self._told_at = float("-inf")
        self._read_ends()
        log.info("certificate.taken", certificate=self.name, file=self._files.cert)

    def _read_ends(self) -> None:
        self._ends = _ends(self._files.cert)


def _load(context: ssl.SSLContext, files: Files) -> None:
    try:
        context.load_cert_chain(files.cert, files.key, password="")  # it would be asked for at the terminal
    except ssl.SSLError as error:
        if error.reason == "KEY_VALUES_MISMATCH":
            raise ValueError(f"{files.key} is the key of another certificate than {files.cert}") from None
        raise ValueError(
            f"{files.cert} holds no certificate, or {files.key} no key without a password, in PEM"
        ) from None
    if files.ca is not None:
        try:
            context.load_verify_locations(files.ca)
        except ssl.SSLError:
            raise ValueError(f"{files.ca} holds no certificate in PEM") from None


def _check_readable(files: Files) -> None:
    for path in files:
        if path is not None:
            try:
                with open(path, "rb"):
                    pass
            except OSError as error:
                raise ValueError(f"{path} cannot be read: {error.strerror}") from None


def _stamps(files: Files) -> tuple[object, ...]:
    """What changes when a file does."""
    return tuple(_stamp(path) for path in files if path is not None)


def _stamp(path: str) -> tuple[int, int] | None:
    try:
        found = os.stat(path)
    except OSError:  # between two of its versions
        return None
    return found.st_mtime_ns, found.st_ino


def _ends(path: str) -> float:
    """When the first certificate of a file, which is the one that is shown, ends: seconds since 1970."""
    from cryptography import x509  # costs megabytes; without TLS no process needs it for this

    with open(path, "rb") as file:
        return x509.load_pem_x509_certificates(file.read())[0].not_valid_after_utc.timestamp()
