"""A plan follows from its seed and settings, and keeps to its limits."""

from itertools import pairwise

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ops.chaos.plan import (
    LONGEST_S,
    MOST_AT_ONCE,
    OF_LINKS,
    SERVER_PAUSE_S,
    Fault,
    Scope,
    What,
    fits,
    most_at_once,
    only,
    plan,
)

PROCESSES = ("order-1", "order-2", "item-1", "gateway-1", "pg-1")
LINKS = (("order", "broker"), ("order", "database"), ("gateway", "broker"))
SCOPES = st.builds(
    Scope,
    seconds=st.integers(5, 900),
    kills=st.integers(0, 60),
    processes=st.just(PROCESSES),
    links=st.sampled_from(((), LINKS)),
    infra=st.booleans(),
)


# No limit of time: long plans take long, the longer the busier the machine is.
@settings(deadline=None, max_examples=60)
@given(seed=st.integers(0, 2**32), scope=SCOPES)
def test_the_same_seed_gives_the_same_plan_and_every_plan_keeps_to_the_limits(
    seed: int, scope: Scope
) -> None:
    faults = plan(seed, scope)
    assert faults == plan(seed, scope)
    assert len(faults) <= scope.kills
    assert [fault.number for fault in faults] == list(range(1, len(faults) + 1))
    assert faults == sorted(faults, key=lambda fault: fault.at_s)
    assert most_at_once(faults) <= MOST_AT_ONCE
    for fault in faults:
        assert 0 < fault.lasts_s <= max(LONGEST_S, 12.0) <= SERVER_PAUSE_S
        assert fault.at_s >= 0
        assert fault.at_s <= scope.seconds
        assert (fault.what in OF_LINKS) == (fault.server is not None)
        assert scope.links or fault.server is None
        assert scope.infra or fault.of_server is None
        others = [other for other in faults if other is not fault]
        assert fits(fault, others)
    for server in ("broker", "database"):
        begins = [fault.at_s for fault in faults if fault.of_server == server]
        assert all(later - earlier >= SERVER_PAUSE_S for earlier, later in pairwise(begins))


def test_every_kind_of_fault_occurs_and_one_seed_differs_from_another() -> None:
    scope = Scope(900, 60, PROCESSES, LINKS, infra=True)
    plans = [plan(seed, scope) for seed in range(40)]
    assert {fault.what for faults in plans for fault in faults} == set(What)
    assert len({tuple(faults) for faults in plans}) == len(plans)


def test_faults_of_one_process_or_link_never_go_on_together() -> None:
    stop = Fault(1, What.STOP, "order-1", 5, 4)
    assert not fits(Fault(2, What.KILL, "order-1", 8, 4), [stop])
    assert fits(Fault(2, What.KILL, "order-2", 8, 4), [stop])
    hole = Fault(3, What.HOLE, "all", 5, 4, "broker")
    assert not fits(Fault(4, What.CUT, "order", 6, 1, "broker"), [hole])
    assert fits(Fault(4, What.CUT, "order", 6, 1, "database"), [hole])
    assert not fits(Fault(5, What.STOP, "broker", 20, 1), [hole])


def test_a_part_of_a_plan_keeps_its_numbers() -> None:
    faults = plan(3, Scope(300, 12, PROCESSES, LINKS))
    assert [fault.number for fault in only(faults, [7, 3])] == [3, 7]
    assert only(faults, [3]) == [faults[2]]
    with pytest.raises(ValueError, match="no fault 99: it has 1 to 12"):
        only(faults, [3, 99])
