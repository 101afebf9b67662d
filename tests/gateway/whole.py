"""The whole shop without a broker: the gateway, and behind it every service's real handlers and database."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any, TypeVar
from uuid import uuid4

import msgspec

from coupon_svc.service import service as coupon
from deploy.databases import connect
from deploy.local.layout import Layout
from item_svc.service import service as item
from order_svc.service import service as order
from payment_svc.service import service as payment
from query_svc.service import service as query
from shared.addresses import DATABASE, parse
from shared.database.idempotency import Once
from shared.database.orm import Orm
from shared.database.units import Database
from shared.errors import problem_from
from shared.ids import new_text_id
from shared.messages import Call, reply_type, service_of
from shared.rpc import wire
from shared.service.runtime import Runtime
from tests.gateway.fakes import FakeRpc
from tests.support.databases import migrate
from user_svc.service import service as user

R = TypeVar("R")
SERVICES = (coupon, item, order, payment, query, user)


class WholeShop(FakeRpc):
    """Asks the services in this process; `answers` of a test come first."""

    def __init__(self, runtimes: dict[str, Runtime]) -> None:
        super().__init__()
        self.services = list(runtimes)
        self._runtimes = runtimes
        self.published: list[str] = []
        """Whose outbox was told to publish."""
        for name, runtime in runtimes.items():
            # There is no broker, so how often it was asked for is all that can be seen.
            runtime.outbox.publish_now = lambda name=name: self.published.append(name)  # type: ignore[union-attr]
            runtime.rpc.call = self.call  # type: ignore[method-assign]

    def database(self, service: str) -> Database:
        """A service's database."""
        found = self._runtimes[service].database
        assert found is not None
        return found

    def keep_events(self) -> None:
        """Have the services write what they tell into their outboxes, where it stays: there is no broker."""
        for name, runtime in self._runtimes.items():
            assert runtime.outbox is not None
            self.database(name).publish_through(runtime.outbox)

    async def call(
        self,
        call: Call[R],
        *,
        timeout: float | None = None,  # noqa: ASYNC109  as the real one
        once: Once | None = None,
    ) -> R:
        if type(call) in self.answers:
            return await super().call(call, timeout=timeout, once=once)
        name = type(call).wire_name
        outcome = await self._runtimes[service_of(name)].answering.answer(
            wire.Request(
                id=new_text_id(),
                call=name,
                left_ms=30_000,
                key=once.key_for(name) if once else None,
                data=msgspec.Raw(wire.encode(call)),
            )
        )
        assert outcome is not None
        if outcome.problem is not None:
            raise problem_from(outcome.problem)
        return msgspec.json.decode(outcome.data, type=reply_type(type(call)))

    async def contents(self) -> dict[str, Any]:
        """All rows of all tables."""
        found: dict[str, Any] = {"published": list(self.published)}
        for name in self._runtimes:
            database = self.database(name)
            tables = await database.read(
                lambda reader: reader.rows(
                    "SELECT table_name FROM information_schema.tables WHERE table_schema = DATABASE()"
                )
            )
            for (table,) in tables:
                found[f"{name}.{table}"] = sorted(
                    await database.read(lambda reader, table=table: reader.rows(f"SELECT * FROM `{table}`")),
                    key=repr,
                )
        return found


@asynccontextmanager
async def whole_shop(at: Layout) -> AsyncIterator[WholeShop]:
    """Fresh databases with the seeds of a local run, and the services' handlers on them."""
    run = uuid4().hex[:8]
    names = {service.name: f"test_whole_{service.name}_{run}" for service in SERVICES}
    urls = {name: f"{at.admin_url.rstrip('/')}/{database}" for name, database in names.items()}
    for database in names.values():
        await _sql(at, f"CREATE DATABASE {database} COLLATE utf8mb4_unicode_ci")
    try:
        await asyncio.gather(
            *(migrate(f"{service.name}_svc", urls[service.name], seed=True) for service in SERVICES)
        )
        runtimes = {
            service.name: Runtime(service, service.settings(database_url=urls[service.name]))
            for service in SERVICES
        }
        # One process has one set of models, whoever they belong to.
        models = [module for service in SERVICES if service.asks_models for module in service.models]
        orm = await Orm.open(parse(next(iter(urls.values())), DATABASE)[0], models, "service")
        shop = WholeShop(runtimes)
        for name in runtimes:
            database = shop.database(name)
            await database.open()
            database._orm = orm
        try:
            yield shop
        finally:
            for name in runtimes:
                shop.database(name)._orm = None
                await shop.database(name).close()
            await orm.close()
    finally:
        for database in names.values():
            await _sql(at, f"DROP DATABASE {database}")


async def _sql(at: Layout, statement: str) -> None:
    def run() -> None:
        with connect(at.admin_url) as connection, connection.cursor() as cursor:
            cursor.execute(statement)

    await asyncio.to_thread(run)
