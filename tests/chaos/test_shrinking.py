"""How a failing plan is made smaller."""

from ops.chaos.plan import Fault, What
from ops.chaos.shrinking import MOST_HALVINGS, TRIES, shrink

PLAN = [Fault(number, What.KILL, "order-1", number * 5.0, 4.0) for number in range(1, 101)]


async def test_what_fails_because_of_one_fault_is_halved_down_to_it() -> None:
    async def fails(part: list[Fault]) -> bool:
        return any(fault.number == 7 for fault in part)

    shrunk = await shrink(PLAN[:16], fails)
    assert [fault.number for fault in shrunk.faults] == [7]
    assert (shrunk.halvings, shrunk.why) == (4, "one fault is left")


async def test_it_is_halved_so_many_times_at_most() -> None:
    async def fails(_: list[Fault]) -> bool:
        return True

    shrunk = await shrink(PLAN, fails)
    assert (shrunk.halvings, len(shrunk.faults)) == (MOST_HALVINGS, 2)
    assert shrunk.why == f"halved {MOST_HALVINGS} times"


async def test_what_does_not_fail_again_is_told_after_three_tries_of_each_half() -> None:
    tried: list[int] = []

    async def fails(part: list[Fault]) -> bool:
        tried.append(part[0].number)
        return len(part) > 4

    shrunk = await shrink(PLAN[:8], fails)
    assert shrunk.faults == PLAN[:8]
    assert tried == [1] * TRIES + [5] * TRIES
    assert shrunk.why == f"neither half failed again in {TRIES} tries each"


async def test_what_fails_only_sometimes_is_found() -> None:
    tries = 0

    async def fails(_: list[Fault]) -> bool:
        nonlocal tries
        tries += 1
        return tries == TRIES

    assert len((await shrink(PLAN[:2], fails)).faults) == 1
