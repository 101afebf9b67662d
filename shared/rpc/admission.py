"""How many calls a service works on at once, so that under any load it answers in time what it takes in.

Each kind of call has a limit of its own, and all of them together have one. A limit follows the time that
calls take: while that stays about what it was for long, nothing changes; where many are under way and it
grows, they stand in each other's way, and fewer are let in. Beyond the limit a call is refused at once,
before any work, so that a refusal costs next to nothing. Pure: the clock is given. See docs/adr/0027.
"""

from collections.abc import Mapping

from shared.errors import Overloaded
from shared.registry import Rank

LEAST = 8
"""So many may be under way at once, however slow they are."""
MOST = 512
"""More never wait together: at 200 calls a second the last of them waits as long as its caller does."""
WINDOW_S = 0.25
WINDOW_CALLS = 8
"""A limit looks at the mean of as many calls as ended in so many seconds, but of no fewer than this."""
TOLERANCE = 1.5
"""So much longer than for long may calls take before fewer are let in."""
BEARABLE_S = (0.25, 1.0)
"""What takes less is never too slow, and what takes more always is: callers wait for three seconds. Without
the second, a load that does not end would make slow calls the usual ones, and raise the limit with them."""
SMOOTHING = 0.3
"""How far a limit goes towards what the last window says."""
LONG_WINDOWS = 240
"""Over so many windows, a minute of them, goes the mean that the last one is held against."""
RECOVERY = 1.25
"""By so much a limit rises in a window in which few were under way: there is nothing to keep out then."""
SHARES: Mapping[Rank, float] = {Rank.FIRST: 1.0, Rank.USUAL: 0.9, Rank.LIST: 0.7, Rank.COSTLY: 0.5}
"""The part of a service's limit that calls of a rank may fill: orders find room when others find none."""


class Limit:
    """How many may be under way at once, adapted to the gradient of the time that they take.

    After Netflix' concurrency limits ("Gradient2"): the mean of many windows by that of the last one is the
    gradient; the limit is multiplied by it, never by less than a half, and rises by the root of itself for a
    line that may form. A window counts only if the limit was at least half used, else it says nothing.
    """

    def __init__(self, most: int = MOST, bearable: tuple[float, float] = BEARABLE_S) -> None:
        self._bearable = bearable
        self._least = min(LEAST, most)
        self._most = most
        self._value = float(most)
        self._long: float | None = None
        self._sum, self._count, self._busiest = 0.0, 0, 0
        self._since: float | None = None

    @property
    def value(self) -> int:
        """The limit now."""
        return int(self._value)

    @property
    def bearable(self) -> float:
        """How many seconds one may take before fewer are let in."""
        least, most = self._bearable
        return min(max(TOLERANCE * (self._long or 0.0), least), most)

    def ended(self, took: float, under_way: int, now: float) -> None:
        """One of `under_way` has ended that took so many seconds; `now` is of any steady clock."""
        if self._since is None:
            self._since = now - took
        self._sum += took
        self._count += 1
        self._busiest = max(self._busiest, under_way)
        if self._count >= WINDOW_CALLS and now - self._since >= WINDOW_S:
            self._adapt(self._sum / self._count)
            self._sum, self._count, self._busiest, self._since = 0.0, 0, 0, now

    def _adapt(self, short: float) -> None:
        if self._long is None:
            self._long = short
        self._long += (short - self._long) / LONG_WINDOWS
        if self._long > 2 * short:  # the load is over, and what it did to the mean shall not last
            self._long *= 0.9
        if self._busiest < self._value / 2:
            self._value = min(self._value * RECOVERY, self._most)
            return
        gradient = max(0.5, min(1.0, self.bearable / short)) if short > 0 else 1.0
        wanted = self._value * gradient + self._value**0.5
        value = self._value + (wanted - self._value) * SMOOTHING
        self._value = max(self._least, min(value, self._most))


class _Kind:
    """The calls of one name."""

    __slots__ = ("limit", "rank", "under_way")

    def __init__(self, rank: Rank, most: int) -> None:
        self.rank = rank
        self.limit = Limit(most)
        self.under_way = 0


class Admission:
    """Lets calls in, or refuses them. One per process: replicas have the same limits each for themselves."""

    def __init__(self, kinds: Mapping[str, tuple[Rank, int | None]]) -> None:
        self._kinds = {name: _Kind(rank, most or MOST) for name, (rank, most) in kinds.items()}
        self.limit = Limit(bearable=(1.0, 1.0))
        self.under_way = 0

    def enter(self, name: str) -> None:
        """Count a call of this name in. Raises `Overloaded` where there is no room: it was not begun.

        Of a name that is not known nothing is counted.
        """
        kind = self._kinds.get(name)
        if kind is None:
            return
        if kind.under_way >= kind.limit.value or self.under_way >= max(
            LEAST, int(self.limit.value * SHARES[kind.rank])
        ):
            raise Overloaded
        kind.under_way += 1
        self.under_way += 1

    def leave(self, name: str, took: float, now: float) -> None:
        """A call that was let in has ended, after so many seconds."""
        kind = self._kinds.get(name)
        if kind is None:
            return
        kind.limit.ended(took, kind.under_way, now)
        # Calls of all kinds together: by what each one may take of its kind.
        self.limit.ended(took / kind.limit.bearable, self.under_way, now)
        kind.under_way -= 1
        self.under_way -= 1
