"""Customers of the file as users of the shop."""

from collections.abc import Callable, Iterable

from ops.replay.crowd import run_all
from ops.shop import Refused, Session, Shop, persist

# Made-up people of a local shop: a password that is known lets a second run sign them in again.
_PASSWORD = "sagamart-replay"  # noqa: S105
_SIGNING_UP = 8  # hashing passwords is heavy by intent; more at once would only wait inside the shop


class CannotSignIn(Exception):
    """A customer of the file cannot act in this shop; the message says why."""


def email_of(customer: str) -> str:
    """The address that stands for a customer number."""
    return f"customer-{customer}@replay.local"


async def sign_in_all(shop: Shop, customers: Iterable[str], step: Callable[[], None]) -> dict[str, Session]:
    """A session for every customer number; those who are new are signed up first."""
    sessions = await run_all(customers, lambda customer: _enter(shop, customer), _SIGNING_UP, step)
    return dict(sessions)


async def _enter(shop: Shop, customer: str) -> Session:
    email = email_of(customer)
    try:
        try:
            await persist(lambda: shop.register(email, f"Customer {customer}", _PASSWORD))
        except Refused as refusal:
            if refusal.status != 409:  # 409: known from an earlier run, or from a try whose answer was lost
                raise
        return await persist(lambda: shop.sign_in(email, _PASSWORD))
    except Refused as refusal:
        raise CannotSignIn(f"{email}: {refusal}") from refusal
