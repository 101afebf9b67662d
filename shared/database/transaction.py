"""A unit of work from within: questions to the database, changes to it, and what is to be told of them."""

from collections.abc import Sequence
from datetime import datetime
from typing import TYPE_CHECKING, Any, NamedTuple, TypeVar, overload

from shared.clock import utc_now
from shared.database.pipeline import Outcome, Pipeline
from shared.database.queries import Query, Question, Select
from shared.database.sql import statement, statements
from shared.messages import Event

if TYPE_CHECKING:
    from tortoise.backends.base.client import BaseDBAsyncClient

    from shared.database.orm import Orm


class Cause(NamedTuple):
    """What a unit of work was started by; what it emits is traced back to it."""

    id: str
    correlation_id: str | None
    traceparent: str | None


class Emitted(NamedTuple):
    """An event that a transaction wants told once it has committed."""

    event: Event
    sequence: int | None


T = TypeVar("T")
U = TypeVar("U")
V = TypeVar("V")


class Reader:
    """A connection for questions. `now` is the one time that this unit of work knows."""

    def __init__(self, pipeline: Pipeline, orm: "Orm | None" = None) -> None:
        self._pipeline = pipeline
        self._orm = orm
        self._models: BaseDBAsyncClient | None = None
        self.now: datetime = utc_now()

    @property
    def models(self) -> "BaseDBAsyncClient":
        """This unit of work for a model to ask in: `Model.filter(...).using_db(db.models)`.

        Raises `TypeError` in a process that asks through no models.
        """
        if self._models is None:
            if self._orm is None:
                raise TypeError("this service asks in SQL alone (asks_models=False, or it names no models)")
            self._models = self._orm.within(self._pipeline)
        return self._models

    async def rows(self, sql: str, args: Sequence[Any] = ()) -> list[tuple[Any, ...]]:
        """All rows of a query; `%s` are placeholders, and a list as argument expands for `IN %s`."""
        return (await self._ask(sql, args)).rows

    async def row(self, sql: str, args: Sequence[Any] = ()) -> tuple[Any, ...] | None:
        """The first row of a query, or None."""
        rows = await self.rows(sql, args)
        return rows[0] if rows else None

    async def rows_of_each(self, *questions: Question) -> list[list[tuple[Any, ...]]]:
        """All rows of each of several queries, asked one after the other in one round trip."""
        if not questions:
            return []
        outcomes = await self._pipeline.ask(*(statement(sql, args) for sql, args in questions))
        return [outcome.rows for outcome in outcomes]

    async def find(self, select: Select[T], *args: Any) -> list[T]:
        """All rows of a `Select` with these arguments."""
        return select.read(await self.rows(select.sql, args))

    async def find_one(self, select: Select[T], *args: Any) -> T | None:
        """The first row of a `Select` with these arguments, or None."""
        found = await self.find(select, *args)
        return found[0] if found else None

    @overload
    async def ask(self, one: Query[T], /) -> tuple[T]: ...

    @overload
    async def ask(self, one: Query[T], two: Query[U], /) -> tuple[T, U]: ...

    @overload
    async def ask(self, one: Query[T], two: Query[U], three: Query[V], /) -> tuple[T, U, V]: ...

    async def ask(self, *queries: Query[Any]) -> tuple[Any, ...]:
        """What some queries find, asked in their order in one round trip."""
        found = iter(await self.rows_of_each(*(one.question for one in queries if one.question)))
        return tuple(one.read(next(found) if one.question else []) for one in queries)

    async def _ask(self, sql: str, args: Sequence[Any]) -> Outcome:
        return (await self._pipeline.ask(statement(sql, args)))[0]


class Transaction(Reader):
    """A unit of work that commits as a whole, together with the events it emits."""

    def __init__(
        self,
        pipeline: Pipeline,
        orm: "Orm | None" = None,
        causes: Sequence[Cause] = (),
        *,
        is_again: bool = False,
    ) -> None:
        super().__init__(pipeline, orm)
        self.causes = causes
        self.is_again = is_again
        """Whether the unit ran before and was undone; perhaps a key that it wrote was there already."""
        self.emitted: list[Emitted] = []

    def emit(self, event: Event, *, sequence: int | None = None) -> None:
        """Tell `event` to whoever listens, if and when this transaction commits.

        `sequence` is the version of the aggregate that the event is about.
        """
        self.emitted.append(Emitted(event, sequence))

    async def execute(self, sql: str, args: Sequence[Any] = ()) -> int:
        """Run a statement; returns how many rows it changed. Raises `DuplicateKey`."""
        return (await self._ask(sql, args)).changed

    async def insert(self, sql: str, args: Sequence[Any] = ()) -> int:
        """Insert one row; returns the id that the database gave it. Raises `DuplicateKey`."""
        return (await self._ask(sql, args)).last_id

    async def write(self, sql: str, args: Sequence[Any] = ()) -> None:
        """Run a statement of which no answer is needed: it travels with the next one, or with the commit.

        A duplicate key that it meets is raised there, and so makes the whole unit run again.
        """
        await self._pipeline.put_off(statement(sql, args))

    async def write_many(self, sql: str, rows: Sequence[Sequence[Any]]) -> None:
        """`write` an `INSERT ... VALUES (%s, ...)` for many rows at once; nothing at all for no rows.

        The tuple after VALUES may hold literals too; `ON DUPLICATE KEY UPDATE` may follow it.
        """
        for one in statements(sql, rows):
            await self._pipeline.put_off(one)
