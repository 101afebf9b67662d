"""The tiny service, under a name of its own for each test; as a program it is called what `TINY_NAME` says.

`TINY_HEARS` names the publisher whose marks it hears; `TINY_ONCE=1` makes it keep an inbox.
"""

import asyncio
import os
import signal
from typing import Any

from shared.database.idempotency import Idempotency
from shared.database.transaction import Transaction
from shared.database.units import Database, DatabaseUnavailable
from shared.errors import Conflict, FieldError, OutcomeUnknown, RuleBroken
from shared.service.service import Service, answer, hear
from shared.settings import Settings
from tests.shared.tiny.contracts import Answered, contracts, module_of, takes


def tiny(name: str, hears: str = "", *, once: bool = False) -> Service:
    """A service that marks, notes and answers. `how` in a call or the text of a mark tells it to fail."""
    said = contracts(name)

    @takes(said.put)
    async def put(call: Any, tx: Transaction) -> Answered:
        for number in range(call.count):
            key = call.key if call.count == 1 else f"{call.key}-{number}"
            await tx.execute("INSERT INTO marks (`key`, text) VALUES (%s, %s)", (key, call.text))
            tx.emit(said.marked(key=key, text=call.text))
        if call.how == "die":
            os.kill(os.getpid(), signal.SIGKILL)
        if call.how == "refuse":
            raise Conflict("The mark is taken.")
        return Answered(by=name, text=call.key)

    @takes(said.ask)
    async def ask(call: Any, settings: Settings) -> Answered:
        return await _answer(call.how, call.seconds, f"{name}#{settings.instance}")

    @takes(said.ask_once)
    async def ask_once(call: Any, settings: Settings) -> Answered:
        return await _answer(call.how, call.seconds, f"{name}#{settings.instance}")

    @takes(said.carry)
    async def carry(call: Any, db: Database, idempotency: Idempotency) -> Answered:
        async def begin(tx: Transaction) -> str:
            work = await idempotency.begin(tx, call.work)
            if idempotency.begun is None:
                await tx.execute("INSERT INTO marks (`key`, text) VALUES (%s, 'begun')", (work,))
            return work

        async def end(tx: Transaction) -> Answered:
            done = Answered(by=name, text=work)
            await tx.execute("UPDATE marks SET text = 'ended' WHERE `key` = %s", (work,))
            await idempotency.keep(tx, done)
            return done

        work = await db.transaction(begin)
        if call.how == "die":
            os.kill(os.getpid(), signal.SIGKILL)
        if call.how == "refuse":
            raise Conflict("It came to nothing.")
        if call.how == "lose the database":
            raise DatabaseUnavailable("gone in the middle")
        if call.how == "lose a partner":
            raise OutcomeUnknown("A partner may have done it.")
        done = await db.transaction(end)
        if call.how == "refuse late":
            raise Conflict("It was done all the same.")
        return done

    @takes(list[contracts(hears or name).marked_view])
    async def note(heard: list[Any], tx: Transaction) -> None:
        await _note(tx, [(one.key, one.text) for one in heard])
        for one in heard:
            tx.emit(said.noted(key=one.key))

    return Service(
        name,
        models=("tests.shared.tiny.models",),
        contracts=(module_of(said.marked, said.noted),),
        answers=(
            answer(put),
            answer(ask),
            answer(ask_once),
            answer(carry),
        ),
        hears=(hear(note, batch=16, once=once),) if hears else (),
    )


async def _answer(how: str, seconds: float, by: str) -> Answered:
    await asyncio.sleep(seconds)
    if how == "refuse":
        raise RuleBroken("Not like that.", errors=[FieldError("how", "must not be 'refuse'")])
    if how == "break":
        raise RuntimeError("a defect with inside knowledge")
    return Answered(by=by, text=how)


async def _note(tx: Transaction, marks: list[tuple[str, str]]) -> None:
    if any(text == "die" for _, text in marks):
        os.kill(os.getpid(), signal.SIGKILL)
    await tx.write_many("INSERT INTO marks (`key`, text) VALUES (%s, %s)", marks)
    if any(text == "boom" for _, text in marks):
        raise RuntimeError("a mark that nobody can take")


service = tiny(
    os.environ.get("TINY_NAME", "tiny"),
    os.environ.get("TINY_HEARS", ""),
    once=os.environ.get("TINY_ONCE") == "1",
)
