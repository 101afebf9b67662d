"""What the gateway can be told from outside."""

import re
from collections.abc import Iterator
from functools import lru_cache
from typing import Annotated, ClassVar

from msgspec import Meta

from shared.broker import HTTP, parse
from shared.service import Positive, Settings, unsafe_url

_ORIGIN = re.compile(r"https?://(?:[a-z0-9](?:[a-z0-9.-]*[a-z0-9])?|\[[0-9a-f:]+\])(?::[0-9]{1,5})?")


@lru_cache(8)
def origins(text: str) -> frozenset[bytes]:
    """Origins as `SHOP_CORS_ORIGINS` lists them, between spaces or commas. Raises `ValueError`."""
    words = text.replace(",", " ").split()
    for word in words:
        if not _ORIGIN.fullmatch(word):
            raise ValueError(
                f"{word!r} is no origin; expected such as https://shop.example https://app.example:8443,"
                " in lower case, without a path and without *"
            )
    return frozenset(word.encode() for word in words)


class GatewaySettings(Settings, frozen=True, kw_only=True):
    """Settings of the gateway, on top of those that every process has."""

    checks: ClassVar = {**Settings.checks, "management_url": lambda text: parse(text, HTTP)}

    rate_limit: Annotated[str, Meta(pattern=r"^(?:[1-9][0-9]{0,8}/(?:second|minute|hour|day))?$")] = ""
    """How often one caller (user, else address) may ask, such as `600/minute`; empty: no limit."""
    admit_pending_s: Annotated[float, Meta(ge=0)] = 2.0
    """How long orders may take to be fulfilled before placing is refused (503); 0: it never is."""
    settle_poll_s: Positive = 1.0
    """How often a request that waits for an order asks about it, should the order's event not come."""
    streams_of_user: Annotated[int, Meta(ge=1)] = 20
    """How many event streams one user may have open at one gateway; more are 429."""
    streams: Annotated[int, Meta(ge=1)] = 2_000
    """How many event streams one gateway has open at once; more are 503."""
    management_url: str = ""
    """The broker's management API with its sign-in: `http://user:password@host:15672`; of a cluster
    several, `http://user:password@a:15672,b:15672`. Empty: no figures."""
    cors_origins: str = ""
    """Whose pages may read our answers: `https://shop.example https://app.example`; empty: nobody's."""
    console_secure_cookie: bool = False
    """Whether the console's session travels over HTTPS alone. It does anyway where it is begun over HTTPS."""
    figures_s: Positive = 5.0
    """How long rankings and sales figures are remembered before they are asked for again."""

    @property
    def has_secure_cookies(self) -> bool:
        """Whether cookies travel over HTTPS alone, however a request seems to come."""
        return self.console_secure_cookie or self.env == "production"

    def unsafe(self) -> Iterator[str]:
        """Complaints: passwords on an open line, a management API that everybody may ask."""
        yield from super().unsafe()
        if self.management_url:
            yield from unsafe_url("SHOP_MANAGEMENT_URL", self.management_url)
        if self.public_tls_cert_file is None and not self.trusted_proxies:
            yield (
                "SHOP_TRUSTED_PROXIES: Expected the addresses of the proxy that speaks TLS with the world,"
                " or a certificate of the gateway's own (SHOP_PUBLIC_TLS_CERT_FILE)"
            )

    def complaints(self) -> Iterator[str]:
        """What cannot be used, with what is expected."""
        yield from super().complaints()
        try:
            origins(self.cors_origins)
        except ValueError as error:
            yield f"SHOP_CORS_ORIGINS={self.cors_origins!r}: {error}"
