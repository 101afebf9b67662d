"""What can be set about accounts, by `SHOP_*` environment variables."""

from collections.abc import Iterator
from typing import Annotated

from msgspec import Meta

from shared.service import Positive, Settings, unsafe_secret, unsafe_url


class UserSettings(Settings, frozen=True, kw_only=True):
    """The user service's settings; times are in seconds."""

    argon2_memory_kib: Annotated[int, Meta(ge=8, le=4_194_304)] = 7_168
    """Memory of one password hash. With five passes one of the minimums that OWASP lists as equally strong.

    It takes least of the process's memory, and was measured at 20 ms where 19 MiB with two passes took 31.
    """
    argon2_passes: Annotated[int, Meta(ge=1, le=100)] = 5
    argon2_workers: Annotated[int, Meta(ge=1, le=64)] = 2
    """How many passwords are hashed at once; the others wait."""
    argon2_line: Annotated[int, Meta(ge=0, le=10_000)] = 48
    """How many may wait for that: half a second's work. More are refused at once."""
    token_issuer: Annotated[str, Meta(min_length=1)] = "sagamart"  # noqa: S105  a name
    token_audience: Annotated[str, Meta(min_length=1)] = "sagamart-shop"  # noqa: S105  a name
    """Whom access tokens are for (`aud`): the shop's gateways. They take the name from the user service."""
    access_token_s: Annotated[int, Meta(ge=1)] = 15 * 60
    refresh_token_s: Positive = 14 * 24 * 3600.0
    refresh_grace_s: Annotated[float, Meta(ge=0)] = 10.0
    """How long a used refresh token still gets the successor that it got first; after that it ends the
    sign-in."""
    reset_token_s: Positive = 3600.0
    """How long a mailed token that sets a new password counts."""
    proof_token_s: Positive = 24 * 3600.0
    """The same of one that proves an address."""
    mail_link: str = ""
    """Where letters send their readers, as in `https://shop.example/{page}#{token}`; `{page}` is
    `password-reset` or `email-proof`. Empty: letters name the request, and the token."""
    log_letters: bool = False
    """Whether letters that cannot be mailed are logged, with their tokens: for local runs only."""
    sign_in_failures: Annotated[int, Meta(ge=1)] = 10
    """After so many failed sign-ins in a row to one account from one address, the next has to wait."""
    sign_in_failures_of_client: Annotated[int, Meta(ge=1)] = 100
    """After so many within `sign_in_pause_s` from one client (of IPv6: a /64) at all accounts, it has to
    wait."""
    sign_in_failures_of_account: Annotated[int, Meta(ge=1)] = 100
    """After so many within that time at one account, from wherever, only those clients are heard from which
    it has been signed in to in the last `sign_in_known_days`."""
    sign_in_known_days: Positive = 30.0
    sign_in_pause_s: Positive = 300.0
    open_account_timeout_s: Positive = 2.0
    """How long a sign-up waits for its point account; below `rpc_timeout_s`, so that its caller hears."""
    key_lead_s: Positive = 30.0
    """How long a new signing key is published before it signs; longer than a gateway waits before it asks
    for keys again."""
    registration_retry_s: Positive = 5.0
    """How long until an unfinished sign-up is taken up again."""
    registration_patience_s: Positive = 60.0
    """How old an unfinished sign-up may get while no point account can be opened; then it is undone."""
    admin_password: Annotated[str, Meta(min_length=8, max_length=128)] = ""
    """Of the seeded administrator of a local run; empty: the one that everybody knows."""
    smtp_url: Annotated[str, Meta(pattern=r"^(smtps?://[^/?#]+/?)?$")] = ""
    """Where notifications are mailed through, as in `smtp://user:password@mail.example:587`, with STARTTLS
    where the server offers it, or `smtps://`; empty: they are not mailed."""
    smtp_timeout_s: Positive = 10.0
    mail_from: Annotated[str, Meta(min_length=3, max_length=254)] = "shop@sagamart.local"

    def missing(self) -> Iterator[str]:
        """Complaints: without a secret no key can be kept that signs tokens."""
        if not self.secret_key:
            yield "SHOP_SECRET_KEY: Expected a random secret of 32 or more letters, to seal signing keys with"

    def unsafe(self) -> Iterator[str]:
        """Complaints: an administrator whom everybody can be, a mail server's password."""
        yield from super().unsafe()
        if self.admin_password:
            yield from unsafe_secret(
                "SHOP_ADMIN_PASSWORD", self.admin_password, "a password of its own, or none"
            )
        if self.log_letters:
            yield "SHOP_LOG_LETTERS: Expected false, since letters hold tokens that let somebody in"
        if "@" in self.smtp_url:
            yield from unsafe_url("SHOP_SMTP_URL", self.smtp_url)
