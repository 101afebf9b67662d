"""What is done to a shop, and when. A plan follows from its seed and its settings, and from nothing else."""

import random
from collections.abc import Collection, Iterable, Sequence
from enum import StrEnum

from msgspec import Struct

MOST_AT_ONCE = 2
"""So many faults at a time."""
SERVER_PAUSE_S = 20.0
"""A fault of the broker, or of the database, begins this long after the last one of the same server."""
LONGEST_S = 12.0
"""No fault of a link or a stopped process lasts longer; an order's deadline is 30 s."""
_TRIES = 200


class What(StrEnum):
    """What can be done."""

    KILL = "kill"
    """SIGKILL; the supervisor starts it again."""
    STOP = "stop"
    """SIGSTOP, and SIGCONT at the end: it hangs, with all its connections open."""
    RESTART = "restart"
    """In good order, as a deploy does."""
    CUT = "cut"
    """Connections are reset, and new ones refused."""
    HOLE = "hole"
    """Connections stay open, and nothing passes either way."""
    MUTE = "mute"
    """What is sent arrives, the answers do not."""
    DELAY = "delay"
    """Whatever passes is late."""
    NARROW = "narrow"
    """About half of the bytes a second pass that a busy service needs."""
    MEMORY = "memory"
    """The broker's alarm for memory: it takes no messages."""
    DISK = "disk"
    """The database's disk is full; of the broker its alarm for disk space."""
    READ_ONLY = "read_only"
    """The database refuses to write, as after a failover."""


OF_PROCESSES = (What.KILL, What.STOP, What.RESTART)
OF_LINKS = (What.CUT, What.HOLE, What.MUTE, What.DELAY, What.NARROW)
OF_SERVER = {
    "broker": (*OF_PROCESSES, *OF_LINKS, What.MEMORY, What.DISK),
    "database": (*OF_PROCESSES, *OF_LINKS, What.DISK, What.READ_ONLY),
}

_BRIEF = {What.KILL, What.RESTART}
"""Over when the process is back; meanwhile it counts as going on for so many seconds:"""
_PROCESS_BACK_S = 4.0
_SERVER_BACK_S = 12.0


class Fault(Struct, frozen=True):
    """One thing that is done. `target` is a process (`order-2`, `broker`), or of a broken link the service
    (`order`, or `all`) whose way to `server` is broken. Seconds count from the beginning of the run.
    """

    number: int
    what: What
    target: str
    at_s: float
    lasts_s: float
    server: str | None = None

    @property
    def ends_s(self) -> float:
        """When it is over, as planned."""
        return self.at_s + self.lasts_s

    @property
    def of_server(self) -> str | None:
        """Which server it harms for everybody; None: it harms one service alone."""
        if self.target in OF_SERVER:
            return self.target
        return self.server if self.target == "all" else None

    @property
    def words(self) -> str:
        """What is done, for people."""
        if self.server is None:
            return f"{self.what} {self.target}"
        who = "all services" if self.target == "all" else self.target
        return f"{self.what} {who} > {self.server}"


class Scope(Struct, frozen=True):
    """What a plan is made for: how long, how many faults, and what there is to break."""

    seconds: int
    kills: int
    processes: tuple[str, ...]
    """Each replica of each service: `order-1`, `pg-1`."""
    links: tuple[tuple[str, str], ...]
    """Each service and server whose way to each other can be broken; empty: none can."""
    infra: bool = False
    """Also the broker and the database, for all services at once."""


def plan(seed: int, scope: Scope) -> list[Fault]:
    """The faults in the order in which they begin, numbered from 1; fewer where they do not fit."""
    chance = random.Random(seed)  # noqa: S311 - to be repeated, not to be secret
    chosen: list[Fault] = []
    for _ in range(scope.kills):
        for _ in range(_TRIES):
            fault = _any_fault(chance, scope)
            if fits(fault, chosen):
                chosen.append(fault)
                break
    chosen.sort(key=lambda fault: fault.at_s)
    return [
        Fault(number, one.what, one.target, one.at_s, one.lasts_s, one.server)
        for number, one in enumerate(chosen, 1)
    ]


def fits(fault: Fault, others: Iterable[Fault]) -> bool:
    """Whether a fault can be done beside others.

    Not too many go on at once, none at the same process or link, and between two of one server is a pause.
    """
    meanwhile = []
    for other in others:
        same_server = fault.of_server is not None and fault.of_server == other.of_server
        if same_server and abs(fault.at_s - other.at_s) < SERVER_PAUSE_S:
            return False
        if fault.at_s < other.ends_s and other.at_s < fault.ends_s:
            if _touch(fault, other):
                return False
            meanwhile.append(other)
    return most_at_once([fault, *meanwhile]) <= MOST_AT_ONCE


def most_at_once(faults: Collection[Fault]) -> int:
    """How many faults go on at the same time, at most."""
    return max((sum(other.at_s <= one.at_s < other.ends_s for other in faults) for one in faults), default=0)


def only(faults: Sequence[Fault], numbers: Collection[int]) -> list[Fault]:
    """A part of a plan. Raises `ValueError` and names the numbers that there are."""
    known = {fault.number for fault in faults}
    if unknown := sorted(set(numbers) - known):
        raise ValueError(f"the plan has no fault {', '.join(map(str, unknown))}: it has 1 to {len(faults)}")
    return [fault for fault in faults if fault.number in numbers]


def _any_fault(chance: random.Random, scope: Scope) -> Fault:
    kind = chance.random()
    if scope.infra and kind < 0.35:
        return _of_server(chance, scope)
    if scope.links and kind < 0.6:
        target, server = chance.choice(scope.links)
        what = chance.choice(OF_LINKS)
        lasts_s = _length(chance, scope)
        return Fault(0, what, target, _begin(chance, scope, lasts_s), lasts_s, server)
    what, target = chance.choice(OF_PROCESSES), chance.choice(scope.processes)
    lasts_s = _PROCESS_BACK_S if what in _BRIEF else _length(chance, scope)
    return Fault(0, what, target, _begin(chance, scope, lasts_s), lasts_s)


def _of_server(chance: random.Random, scope: Scope) -> Fault:
    server = chance.choice(sorted(OF_SERVER))
    what = chance.choice([one for one in OF_SERVER[server] if scope.links or one not in OF_LINKS])
    lasts_s = _SERVER_BACK_S if what in _BRIEF else _length(chance, scope)
    at_s = _begin(chance, scope, lasts_s)
    if what in OF_LINKS:
        return Fault(0, what, "all", at_s, lasts_s, server)
    return Fault(0, what, server, at_s, lasts_s)


def _length(chance: random.Random, scope: Scope) -> float:
    return round(chance.uniform(1.0, max(1.5, min(LONGEST_S, scope.seconds / 3))), 1)


def _begin(chance: random.Random, scope: Scope, lasts_s: float) -> float:
    return round(chance.uniform(0.5, max(1.0, scope.seconds - lasts_s)), 1)


def _touch(one: Fault, other: Fault) -> bool:
    """Whether both are done to the same process or the same link."""
    if one.server is None and other.server is None:
        return one.target == other.target
    if one.server is None or one.server != other.server:
        return False
    return one.target == other.target or "all" in (one.target, other.target)
