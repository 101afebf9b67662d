"""The events that the greet service consumes: of each, the fields that it reads."""

from greet_svc.contracts import Greeted
from shared.database import Transaction
from shared.messages import View


class UserRegistered(View, of="user.registered"):
    """Somebody has signed up."""

    user_id: int


async def greet_newcomers(heard: list[UserRegistered], tx: Transaction) -> None:
    """Greet everybody who has signed up."""
    names = [f"user {one.user_id}" for one in heard]
    await tx.write_many(
        "INSERT INTO greeted (name, times, last_at) VALUES (%s, 1, %s)"
        " ON DUPLICATE KEY UPDATE times = times + 1, last_at = VALUES(last_at)",
        [(name, tx.now) for name in names],
    )
    for name in names:
        tx.emit(Greeted(name=name))
