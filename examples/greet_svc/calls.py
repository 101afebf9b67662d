"""The calls that the greet service answers."""

from greet_svc import models, store
from greet_svc.contracts import Greet, Greeted, Greeting
from greet_svc.domain import tidy, wording
from shared.database import Transaction


async def greet(call: Greet, tx: Transaction) -> Greeting:
    """Count the greeting, tell the others, and say hello."""
    name = tidy(call.name)
    await store.count(tx, [name])
    greeted = await models.Greeted.get(name=name, using_db=tx.models)
    tx.emit(Greeted(name=name))
    return Greeting(text=wording(name, greeted.times), times=greeted.times)
