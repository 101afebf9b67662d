"""What the gateway can be told from outside."""

from typing import Annotated

from msgspec import Meta

from shared.service import Positive, Settings


class GatewaySettings(Settings, frozen=True, kw_only=True):
    """Settings of the gateway, on top of those that every process has."""

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
    """The broker's management API with its sign-in: `http://user:password@host:15672`. Empty: no figures."""
    console_secure_cookie: bool = False
    """Whether the console's session travels over HTTPS alone; switch it on wherever the shop has HTTPS."""
    figures_s: Positive = 5.0
    """How long rankings and sales figures are remembered before they are asked for again."""
