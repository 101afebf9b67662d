"""What each service may do at the broker: what it needs and nothing else, as a table."""

import re
from collections.abc import Iterable
from pathlib import Path

import pytest

from deploy.broker_users import definitions, file_name, hashed, in_order
from deploy.secrets import secret
from deploy.services import load_services
from ops.permissions import rows
from shared.broker import topology
from shared.declare import queues_of
from shared.permissions import OTHERS, PAGES, PEOPLE, pattern, permission_of
from shared.rpc.callers import may_call
from shared.settings import Settings
from tests.contracts.house import SERVICES

DELAYS = Settings().retry_delays
PERMISSIONS = {name: permission_of(service) for name, service in SERVICES.items()}
QUEUES = {queue.name: name for name, one in SERVICES.items() for queue in queues_of(one, DELAYS)}
QUEUES |= {topology.rpc_queue(name): name for name, one in SERVICES.items() if one.answers}
"""Every queue that outlives its processes, and those of calls, with whose it is."""
EXCHANGES = {
    topology.RPC_EXCHANGE,
    *(topology.events_exchange(name) for name in SERVICES),
    *(
        queue.binding.exchange
        for one in SERVICES.values()
        for queue in queues_of(one, DELAYS)
        if queue.binding
    ),
}
HEARD = {
    topology.queue_name(name, one.heard): name for name, service in SERVICES.items() for one in service.hears
}


def fitting(names: Iterable[str], among: Iterable[str]) -> set[str]:
    """What the broker would let pass."""
    expression = pattern(names) or "^$"
    return {one for one in among if re.search(expression, one)}


@pytest.mark.parametrize("name", list(SERVICES))
def test_a_service_configures_the_queue_of_its_calls_and_its_taps(name: str) -> None:
    service = SERVICES[name]
    own_calls = {topology.rpc_queue(name)} if service.answers else set[str]()
    everything = {*QUEUES, *EXCHANGES, "amq.default", "amq.topic", "new", f"{name}.new", "shop.declaring"}
    assert fitting(PERMISSIONS[name].configure, everything) == own_calls
    taps = {f"{other}-svc#{n}.tap.order.settled.a1b2c3" for other in SERVICES for n in (1, 12)}
    own_taps = {one for one in taps if one.startswith(f"{name}-svc#")} if service.taps else set[str]()
    assert fitting(PERMISSIONS[name].configure, taps) == own_taps


@pytest.mark.parametrize("name", list(SERVICES))
def test_a_service_reads_its_own_queues_and_the_read_side_every_dead_letter(name: str) -> None:
    own = {queue for queue, owner in HEARD.items() if owner == name}
    own |= {queue for queue in QUEUES if queue == topology.rpc_queue(name)}
    dead = {queue for queue in QUEUES if queue.endswith(".dead")} if name == "query" else set[str]()
    assert fitting(PERMISSIONS[name].read, QUEUES) == own | dead
    tapped = {topology.events_exchange(one.view.wire_name.partition(".")[0]) for one in SERVICES[name].taps}
    calls = {topology.RPC_EXCHANGE} if SERVICES[name].answers else set[str]()
    assert fitting(PERMISSIONS[name].read, EXCHANGES) == tapped | calls


@pytest.mark.parametrize("name", list(SERVICES))
def test_a_service_writes_to_its_own_exchanges_to_calls_and_to_the_default_exchange(name: str) -> None:
    own = {topology.events_exchange(name)} if SERVICES[name].publishes else set[str]()
    own |= {one for one in EXCHANGES if one.startswith(f"{name}.retry.")}
    assert fitting(PERMISSIONS[name].write, {*EXCHANGES, "amq.default", "amq.topic", ""}) == {
        *own,
        topology.RPC_EXCHANGE,
        "amq.default",
    }
    # To bind a queue one must be able to write to it.
    bound = {topology.rpc_queue(name)} & QUEUES.keys()
    assert fitting(PERMISSIONS[name].write, QUEUES) == bound | {q for q in own if q in QUEUES}


@pytest.mark.parametrize("name", list(SERVICES))
def test_keys_bound_what_may_be_published_and_what_may_be_tapped(name: str) -> None:
    keys = {one.exchange: one for one in PERMISSIONS[name].topics}
    own = topology.events_exchange(name)
    for exchange in fitting(PERMISSIONS[name].write, EXCHANGES):
        if exchange.endswith(".events"):
            assert exchange == own
    events = {event.wire_name for service in SERVICES.values() for event in service.publishes}
    if SERVICES[name].publishes:
        assert fitting(keys[own].write, events) == {one for one in events if one.startswith(f"{name}.")}
    tapped = {one.view.wire_name for one in SERVICES[name].taps}
    for exchange in fitting(PERMISSIONS[name].read, EXCHANGES) - {topology.RPC_EXCHANGE}:
        assert fitting(keys[exchange].read, {*events, "#", "*", "order.#"}) == {
            one for one in tapped if one.startswith(exchange.removesuffix("events"))
        }


def test_the_definitions_have_every_user_once_with_no_password(tmp_path: Path) -> None:
    found = definitions([*PERMISSIONS.values(), *OTHERS], lambda user: f"secret of {user}", "shop")
    users = [one["name"] for one in found["users"]]
    assert len(users) == len(set(users)) == len(SERVICES) + 3
    assert "secret" not in str(found)
    assert {one["user"] for one in found["permissions"]} == set(users)
    assert {one["vhost"] for part in ("permissions", "topic_permissions") for one in found[part]} == {"shop"}
    tags = {one["name"]: one["tags"] for one in found["users"] if one["tags"]}
    assert tags == {"migrate": "impersonator", PEOPLE: "administrator", PAGES: "monitoring"}
    assert all(secret(tmp_path, file_name(user)) for user in users)


def test_a_password_is_hashed_as_the_broker_does() -> None:
    # The example of RabbitMQ's documentation of password hashing.
    assert hashed("test12", bytes.fromhex("908DC60A")) == "kI3GCqW5JLMJa4iX1lo7X4D6XbYqlLgxIs30+P6tENUV2POR"


def test_the_operators_pages_can_take_no_message() -> None:
    [pages] = [one for one in OTHERS if one.user == PAGES]
    assert fitting(pages.read, QUEUES) == set()


def test_a_pattern_fits_whole_names_only() -> None:
    assert fitting(
        ["rpc.item", "item.retry.*"], ["rpc.item", "rpcxitem", "rpc.item.dead", "my.rpc.item"]
    ) == {"rpc.item"}
    assert fitting(["item.retry.*"], ["item.retry.5s", "item.retry", "an.item.retry.5s"]) == {"item.retry.5s"}
    assert fitting(["a-svc#*.tap.*"], ["a-svc#1.tap.b", "a-svcs1.tap.b"]) == {"a-svc#1.tap.b"}
    assert pattern([]) == ""


def test_the_table_has_all_users_and_the_calls_of_each() -> None:
    found = {one.user: one for one in rows([*PERMISSIONS.values(), *OTHERS], load_services({}))}
    assert found["operator"].calls == ("*",)
    assert found["migrate"].calls == found[PEOPLE].calls == ()
    assert set(found["coupon-svc"].calls) == {"item.get", "item.get_many", "item.list", "user.find"}
    assert all(may_call("gateway", call) for call in found["gateway-svc"].calls)


def test_what_permissions_are_about_is_there_before_them() -> None:
    exchanges, users = in_order(definitions(list(PERMISSIONS.values()), lambda _: "a"))
    assert {one["name"] for one in exchanges["exchanges"]} >= {
        one["exchange"] for one in users["topic_permissions"]
    }
    assert exchanges.keys() & users.keys() == set()
