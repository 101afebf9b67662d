"""TLS 1.3 to and from servers: contexts made from files, and made anew when these have changed."""

import os
import ssl
from functools import lru_cache
from typing import NamedTuple


class Tls(NamedTuple):
    """How a connection is secured, by the paths of files in PEM.

    With `verify` the server must show a certificate for its host that `ca` has signed (by default: one whom
    the system trusts). `cert`, with `key`, is shown to the server; both may stand in one file.
    """

    verify: bool = True
    ca: str | None = None
    cert: str | None = None
    key: str | None = None

    @property
    def files(self) -> dict[str, str]:
        """The files that are named, by the names of their parameters."""
        named = {"ca": self.ca, "cert": self.cert, "key": self.key}
        return {name: path for name, path in named.items() if path is not None}

    def context(self) -> ssl.SSLContext:
        """What a client connects with, by what the files hold now.

        Raises `ConnectionError`, which names the file, for one that cannot be used.
        """
        return _client_context(self, tuple(map(_stamp, (self.ca, self.cert, self.key))))


def _stamp(path: str | None) -> tuple[int, int] | None:
    """What changes when a file does."""
    if path is None:
        return None
    try:
        found = os.stat(path)
    except OSError as error:
        raise ConnectionError(f"{path} cannot be read: {error.strerror}") from error
    return found.st_mtime_ns, found.st_ino


@lru_cache(16)  # reading what the system trusts takes some ten milliseconds
def _client_context(tls: Tls, _stamps: tuple[tuple[int, int] | None, ...]) -> ssl.SSLContext:
    try:
        context = ssl.create_default_context(cafile=tls.ca)
    except (OSError, ssl.SSLError) as error:
        raise ConnectionError(f"{tls.ca} holds no certificate: {error}") from error
    context.minimum_version = ssl.TLSVersion.TLSv1_3
    if not tls.verify:
        context.check_hostname = False
        context.verify_mode = ssl.CERT_NONE
    if tls.cert is not None:
        try:
            context.load_cert_chain(tls.cert, tls.key, password="")  # it would be asked for at the terminal
        except (OSError, ssl.SSLError) as error:
            raise ConnectionError(f"{tls.cert} and its key cannot be used: {error}") from error
    return context
