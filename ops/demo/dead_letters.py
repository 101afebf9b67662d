"""Scenarios of events that cannot be handled: they become dead letters, and a person decides."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import aio_pika

from deploy.databases import connect
from deploy.local import fleet
from ops.demo.scenario import Record, Scenario
from ops.demo.stage import Stage, shirts
from ops.letters import DeadLetters
from query_svc.dead_letters.contracts import DeadLetter
from shared.addresses import AMQP, parse
from shared.broker.connecting import connect as connect_to_broker

_QUEUE = "item.order.placed"
# One retry, in a queue that is there anyway: after three of them the order would be past its deadline.
_SOON_DEAD = {"SHOP_RETRY_DELAYS_S": "5"}
_LOOKS = 200


@asynccontextmanager
async def broken(item: int) -> AsyncIterator[None]:
    """A fault in the item service's database that hits one item alone; mended on the way out."""
    await _run("DROP TRIGGER IF EXISTS item_svc.demo_broken")
    await _run(
        "CREATE TRIGGER item_svc.demo_broken BEFORE INSERT ON item_svc.stock_history FOR EACH ROW BEGIN"
        f" IF NEW.item_id = {item:d} THEN SIGNAL SQLSTATE '45000'"
        " SET MESSAGE_TEXT = 'the demo has broken the shelf of this item'; END IF; END"
    )
    try:
        yield
    finally:
        await _run("DROP TRIGGER IF EXISTS item_svc.demo_broken")


async def sent_back_once_mended(stage: Stage, record: Record) -> None:
    """The order waits while its event lies among the dead letters, and completes once that is sent back."""
    buyer, item, letters = await stage.buyer(), await stage.shirt(), DeadLetters(stage.admin)
    await asyncio.to_thread(fleet.restart, "item", settings=_SOON_DEAD)
    try:
        async with broken(item):
            with record.step("accept"):
                placed = await buyer.place([shirts(item)])
            record.accepted(placed)
            with record.step("dead"):
                letter = await _letter(letters, placed.id)
        record.check("shelf" in letter.message, f"the letter says {letter.message!r}")
        record.check(letter.queue == _QUEUE, f"the letter is from {letter.queue}")
        acted = [await letters.redrive(ids=[letter.id]) for _ in range(2)]
        record.check([one.changed for one in acted] == [1, 0], "a second click sent it a second time")
        with record.step("settle"):
            record.ended(await buyer.until_settled(placed.id))
        record.check(await stage.stock(item) == 9, "the stock did not fall from 10 to 9")
    finally:
        await asyncio.to_thread(fleet.restart, "item")


async def given_up(stage: Stage, record: Record) -> None:
    """What nobody will ever be able to read harms nothing, and is given up for a reason."""
    key, letters = stage.new_key(), DeadLetters(stage.admin)
    connection = await connect_to_broker(parse(fleet.current_layout().amqp_url, AMQP), "demo")
    async with connection, connection.channel() as channel:
        poison = aio_pika.Message(b"\xff\x00 no message of ours", correlation_id=key, type="order.placed")
        await channel.default_exchange.publish(poison, routing_key=_QUEUE)
    with record.step("dead"):
        letter = await _letter(letters, key)
    record.check((await letters.one(letter.id)).encoding == "base64", "its body was not kept as it is")
    await letters.discard("poison made by the demo", ids=[letter.id])
    found = await letters.one(letter.id)
    record.check(found.reason == "poison made by the demo", "the reason was not written down")
    record.ended(found.state)


async def _letter(letters: DeadLetters, correlation_id: str) -> DeadLetter:
    """The dead letter of an order, as soon as it is there."""
    for _ in range(_LOOKS):
        if found := await letters.about(correlation_id):
            return found[0]
        await asyncio.sleep(0.1)
    raise TimeoutError(f"no dead letter about {correlation_id}")


async def _run(sql: str) -> None:
    def run() -> None:
        with connect(fleet.current_layout().admin_url) as connection, connection.cursor() as cursor:
            cursor.execute(sql)

    await asyncio.to_thread(run)


DEAD_LETTERS = (
    Scenario(
        "an event fails until its cause is mended: a dead letter, sent back",
        ("COMPLETED",),
        (),
        sent_back_once_mended,
        stops="item",
    ),
    Scenario("a message that cannot be read: a dead letter, discarded", ("DISCARDED",), (), given_up),
)
