"""The events that the greet service consumes: of each, the fields that it reads."""

from greet_svc import store
from greet_svc.contracts import Greeted
from shared.database import Transaction
from shared.messages import View


class UserRegistered(View, of="user.registered"):
    """Somebody has signed up."""

    user_id: int


async def greet_newcomers(heard: list[UserRegistered], tx: Transaction) -> None:
    """Greet everybody who has signed up."""
    names = [f"user {one.user_id}" for one in heard]
    await store.count(tx, names)
    for name in names:
        tx.emit(Greeted(name=name))
