"""The HTTP door: Litestar, as ours. `POST /orders` answers when the order has ended."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Annotated
from uuid import uuid4

from faststream.rabbit import RabbitBroker, RabbitQueue
from litestar import Litestar, post
from litestar.params import Body, HeaderParameter

from bench.peer.messages import Basket, OrderEnded, OrderView, PlaceOrder
from bench.peer.outbox import EVENTS

PATIENCE_S = 20.0


def create_app(broker: RabbitBroker) -> Litestar:
    """The door as an app."""
    waiting: dict[str, asyncio.Future[str]] = {}

    @broker.subscriber(
        RabbitQueue(f"peer.gateway.{uuid4().hex[:8]}", exclusive=True, auto_delete=True, routing_key="ended"),
        EVENTS,
    )
    async def order_ended(event: OrderEnded) -> None:
        if (ended := waiting.pop(event.order_id, None)) is not None:
            ended.set_result(event.status)

    @post("/orders")
    async def place_order(
        data: Annotated[Basket, Body()], buyer: Annotated[int, HeaderParameter(name="x-buyer")]
    ) -> OrderView:
        request = PlaceOrder(order_id=str(uuid4()), buyer_id=buyer, lines=data.lines)
        ended = waiting[request.order_id] = asyncio.get_running_loop().create_future()
        answer = await broker.request(request, queue="peer.place", timeout=PATIENCE_S)
        order = OrderView.model_validate(await answer.decode())
        async with asyncio.timeout(PATIENCE_S):
            order.status = await ended
        return order

    @asynccontextmanager
    async def lifespan(_: Litestar) -> AsyncIterator[None]:
        await broker.start()
        yield
        await broker.stop()

    return Litestar([place_order], lifespan=[lifespan], logging_config=None, openapi_config=None)
