"""What goes on with dead letters by itself: queues become known, letters are fetched, and sent back."""

import asyncio
import time

from aio_pika.exceptions import DeliveryError

from query_svc.dead_letters import store
from query_svc.dead_letters.letter import letter_of, message_of
from query_svc.dead_letters.office import Arrived, DeadLetterOffice
from query_svc.dead_letters.store import Sendable
from shared.database import Database, DatabaseUnavailable
from shared.errors import Problem, describe
from shared.logs import log
from shared.rpc import Rpc
from shared.service.describe import describe_call

FETCHED = 50
SENT = 100
ASK_AGAIN_S = 60.0
_GONE = "Its queue does not exist any more, or takes nothing."


async def learn_queues(rpc: Rpc, database: Database, office: DeadLetterOffice) -> None:
    """Ask every service now and then which queues it has, remember them, and watch all that were ever seen.

    So a service that is down does not keep its dead letters from being seen: they may be why it is down.
    """
    if not office.is_open:  # nothing can be watched without the broker, and all would be asked over HTTP
        return
    due = time.monotonic() - ASK_AGAIN_S
    await asyncio.gather(
        *(
            _learn(service, rpc, database, office)
            for service in rpc.services
            if office.described_at.get(service, float("-inf")) < due
        )
    )
    await office.watch(await database.read(store.watched_queues))


async def _learn(service: str, rpc: Rpc, database: Database, office: DeadLetterOffice) -> None:
    try:
        description = await rpc.call(describe_call(service)())
    except Problem as problem:
        log.debug("dead_letters.not_described", of=service, **describe(problem))
        return
    queues = [
        (one.queue, service, one.handler, one.event)
        for one in description.registrations.hears
        if one.queue is not None
    ]
    await database.transaction(lambda tx: store.remember_queues(tx, queues))
    office.described_at[service] = time.monotonic()


async def fetch(database: Database, office: DeadLetterOffice) -> None:
    """Keep what has arrived, and only then acknowledge it."""
    while arrived := office.take(FETCHED):
        try:
            await _keep(database, arrived)
        except DatabaseUnavailable:
            office.put_back(arrived)
            raise
        except Exception as error:  # one of them cannot be kept: it stays in its queue, the others must not
            log.warning("dead_letters.list_apart", letters=len(arrived), **describe(error))
            for one in arrived:
                await _keep_alone(database, office, one)


async def _keep(database: Database, arrived: list[Arrived]) -> None:
    letters = [
        letter_of(one.message, one.queue, one.published_by, is_strange=one.is_strange) for one in arrived
    ]
    await database.transaction(lambda tx: store.keep(tx, letters))
    results = await asyncio.gather(*(one.message.ack() for one in arrived), return_exceptions=True)
    # What could not be acknowledged comes again, and is recognised.
    unacknowledged = sum(isinstance(result, BaseException) for result in results)
    log.info("dead_letters.kept", letters=len(letters), unacknowledged=unacknowledged)


async def _keep_alone(database: Database, office: DeadLetterOffice, one: Arrived) -> None:
    try:
        await _keep(database, [one])
    except DatabaseUnavailable:
        office.put_back([one])
    except Exception as error:  # unacknowledged, so it is still there when somebody has mended this
        office.put_off(one)
        log.error("dead_letter.not_kept", queue=one.queue, exc_info=error)


async def send_back(database: Database, office: DeadLetterOffice) -> None:
    """Send the letters that are to be redriven to their queues, confirmed, and only then mark them.

    If we die in between, the next process sends them again once the lease is over: twice does no harm.
    """
    while office.is_open:
        letters = await database.transaction(lambda tx: store.claim(tx, SENT))
        if not letters:
            return
        results = await asyncio.gather(*(_send(office, letter) for letter in letters), return_exceptions=True)
        outcomes = [(one.id, result) for one, result in zip(letters, results, strict=True)]
        sent = [letter_id for letter_id, result in outcomes if result is None]
        # What failed otherwise (the connection broke) may have arrived: it is sent again after its lease.
        returned = {letter_id: _why(result) for letter_id, result in outcomes if _why(result)}
        if sent:
            await database.transaction(lambda tx, ids=sent: store.sent(tx, ids))
        for why in sorted(set(returned.values())):
            ids = [letter_id for letter_id, said in returned.items() if said == why]
            await database.transaction(lambda tx, ids=ids, why=why: store.came_back(tx, ids, why))
        log.info("dead_letters.redriven", letters=len(letters), sent=len(sent), returned=len(returned))
        if len(letters) < SENT:
            return


async def _send(office: DeadLetterOffice, letter: Sendable) -> None:
    message = message_of(letter.encoding, letter.body, letter.headers, letter.properties, letter.redrives)
    await office.send(letter.queue, message)


def _why(result: BaseException | None) -> str:
    """Why a letter certainly did not reach its queue, and never will as it is; else nothing."""
    if isinstance(result, DeliveryError):
        return _GONE
    if isinstance(result, TypeError | ValueError | OverflowError):
        return f"It cannot be sent: {result}"[:500]
    return ""
