"""The greet service: its rules, its handlers on a real database, and the service at work."""

import pytest

from deploy.local.layout import Layout
from greet_svc import calls, events
from greet_svc.contracts import Greet, Greeted
from greet_svc.domain import MAX_NAME, tidy, wording
from greet_svc.service import service
from shared.database.units import Database
from shared.errors import RuleBroken
from tests.support.at_work import at_work
from tests.support.databases import Heard


@pytest.mark.parametrize(
    ("times", "said"), [(1, "Hello, Ada"), (2, "Hello again, Ada"), (9, "Hello again, Ada")]
)
def test_what_is_said(times: int, said: str) -> None:
    assert wording("Ada", times) == said


@pytest.mark.parametrize("name", ["", "   ", "a" * (MAX_NAME + 1)])
def test_no_name_is_refused_with_what_is_allowed(name: str) -> None:
    with pytest.raises(RuleBroken) as refused:
        tidy(name)
    assert [(error.field, error.message) for error in refused.value.errors] == [
        ("name", f"must have 1 to {MAX_NAME} characters")
    ]


async def test_a_greeting_is_counted_and_told(db: Database, heard: Heard) -> None:
    said = [await db.transaction(lambda tx: calls.greet(Greet(name=" Ada "), tx)) for _ in range(2)]
    assert [one.text for one in said] == ["Hello, Ada", "Hello again, Ada"]
    assert heard.events == [Greeted(name="Ada"), Greeted(name="Ada")]


async def test_newcomers_are_greeted_in_one_go(db: Database, heard: Heard) -> None:
    newcomers = [events.UserRegistered(user_id=number) for number in (7, 8)]
    await db.transaction(lambda tx: events.greet_newcomers(newcomers, tx))
    assert heard.of(Greeted) == [Greeted(name="user 7"), Greeted(name="user 8")]


async def test_the_service_answers_over_the_broker(db: Database, servers: Layout) -> None:
    async with at_work(service, servers.amqp_url, db.url) as runtime:
        assert (await runtime.rpc.call(Greet(name="Grace"))).text == "Hello, Grace"
