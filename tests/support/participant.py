"""What every participant of the order saga does, whatever it is that it takes: one suite, inherited by each.

A service's tests describe their `Participant` and inherit the suite:

    class TestItemTakesPart(TakesPart):
        @pytest.fixture
        def side(self, db: Database, heard: Heard) -> ItemSide:
            return ItemSide(db, heard)
"""

import asyncio
from abc import ABC, abstractmethod
from typing import Any, ClassVar
from uuid import UUID

from shared.database.units import Database
from shared.ids import new_id
from shared.messages import Event
from tests.support.databases import Heard


class Participant(ABC):
    """A participant on a real database: what is done to it, and what is seen of it."""

    accepted: ClassVar[type[Event]]
    rejected: ClassVar[type[Event]]
    released: ClassVar[type[Event]]

    def __init__(self, db: Database, heard: Heard) -> None:
        self.db = db
        self.heard = heard

    @abstractmethod
    async def good(self) -> Any:
        """An order that can be served, and takes one unit of what there is to take."""

    @abstractmethod
    async def bad(self) -> Any:
        """An order that cannot be served, until `supply`."""

    @abstractmethod
    async def supply(self) -> None:
        """Let there be what the bad order lacked."""

    @abstractmethod
    def elsewhere(self) -> Any:
        """An order that this participant has no part in."""

    @abstractmethod
    async def place(self, *orders: Any) -> None:
        """Hear of these orders in one list."""

    @abstractmethod
    async def release(self, *order_ids: UUID) -> None:
        """Hear in one list that these orders give back what they hold."""

    @abstractmethod
    async def taken(self) -> int:
        """How many units orders hold."""

    @abstractmethod
    async def books_balance(self) -> None:
        """What is written of what was taken agrees in itself."""

    def answers(self, order: Any) -> list[Any]:
        """What was said to an order that asked."""
        said = (*self.heard.of(self.accepted), *self.heard.of(self.rejected))
        return [event for event in said if event.order_id == order.order_id]

    def acknowledged(self, order_id: UUID) -> list[Any]:
        """What was said to releases of an order."""
        return [event for event in self.heard.of(self.released) if event.order_id == order_id]


class TakesPart:
    """The suite. It needs a fixture `side`, the participant with nothing in its database."""

    async def test_an_order_placed_again_gets_the_same_answer_and_takes_nothing_more(
        self, side: Participant
    ) -> None:
        good, bad = await side.good(), await side.bad()
        for arrivals in ((good, bad), (bad,), (good,)):
            await side.place(*arrivals)
        yes, no = side.answers(good), side.answers(bad)
        assert (yes, no) == ([yes[0]] * 2, [no[0]] * 2)
        assert (type(yes[0]), type(no[0])) == (side.accepted, side.rejected)
        assert await side.taken() == 1
        await side.books_balance()

    async def test_an_order_twice_in_one_list_is_served_once(self, side: Participant) -> None:
        good, bad = await side.good(), await side.bad()
        await side.place(good, bad, good, bad)
        yes, no = side.answers(good), side.answers(bad)
        assert {type(one) for one in yes} == {side.accepted}
        assert {type(one) for one in no} == {side.rejected}
        assert yes == yes[:1] * len(yes)
        assert no == no[:1] * len(no)
        assert await side.taken() == 1
        await side.books_balance()

    async def test_a_rejected_order_stays_rejected_when_there_would_be_enough(
        self, side: Participant
    ) -> None:
        bad = await side.bad()
        await side.place(bad)
        await side.supply()
        await side.place(bad)
        first, again = side.answers(bad)
        assert type(first) is side.rejected
        assert again == first
        assert await side.taken() == 0
        await side.books_balance()

    async def test_an_order_arriving_everywhere_at_once_is_served_once(self, side: Participant) -> None:
        good = await side.good()
        await asyncio.gather(*(side.place(good) for _ in range(8)))
        yes = side.answers(good)
        assert yes == yes[:1] * 8
        assert type(yes[0]) is side.accepted
        assert await side.taken() == 1
        await side.books_balance()

    async def test_an_order_that_does_not_ask_is_left_alone(self, side: Participant) -> None:
        before = list(side.heard.events)
        await side.place(side.elsewhere())
        assert side.heard.events == before

    async def test_a_release_gives_back_once_and_is_acknowledged_each_time(self, side: Participant) -> None:
        good = await side.good()
        await side.place(good)
        for again in range(3):
            await side.release(good.order_id)
            assert len(side.acknowledged(good.order_id)) == again + 1
            assert await side.taken() == 0
        await side.release(good.order_id, good.order_id)
        told = side.acknowledged(good.order_id)
        assert len(told) >= 4
        assert told == told[:1] * len(told)
        await side.place(good)
        _, late = side.answers(good)
        assert (type(late), late.reason) == (side.rejected, "released")
        assert await side.taken() == 0
        await side.books_balance()

    async def test_an_order_released_before_it_was_seen_gets_nothing(self, side: Participant) -> None:
        good = await side.good()
        await side.release(good.order_id, good.order_id)
        await side.release(good.order_id)
        for _ in range(2):
            await side.place(good)
        late, again = side.answers(good)
        assert (type(late), late.reason) == (side.rejected, "released")
        assert again == late
        assert len(side.acknowledged(good.order_id)) >= 2
        assert await side.taken() == 0
        await side.books_balance()

    async def test_a_release_of_a_rejected_order_gives_nothing_back(self, side: Participant) -> None:
        bad = await side.bad()
        await side.place(bad)
        for _ in range(2):
            await side.release(bad.order_id)
        await side.place(bad)
        no, still = side.answers(bad)
        assert (type(no), type(still)) == (side.rejected, side.rejected)
        assert no.reason != "released"
        assert still == no
        assert len(side.acknowledged(bad.order_id)) == 2
        assert await side.taken() == 0
        await side.books_balance()

    async def test_releases_of_orders_known_unknown_and_rejected_share_a_list(
        self, side: Participant
    ) -> None:
        good, kept, bad, unseen = await side.good(), await side.good(), await side.bad(), new_id()
        await side.place(good, kept, bad)
        await side.release(unseen, good.order_id, bad.order_id)
        for order_id in (unseen, good.order_id, bad.order_id):
            assert len(side.acknowledged(order_id)) == 1
        assert side.acknowledged(kept.order_id) == []
        assert await side.taken() == 1
        await side.books_balance()

    async def test_of_an_order_and_its_release_at_once_nothing_stays(self, side: Participant) -> None:
        orders = [await side.good() for _ in range(6)]
        lists = (orders[:3], orders[3:], orders[::-1])
        await asyncio.gather(
            *(side.place(*some) for some in lists),
            *(side.release(*(order.order_id for order in some)) for some in lists),
        )
        assert await side.taken() == 0
        await side.books_balance()
