"""What became of everything that people were told: what is lost, stuck or doubled, by id. Pure."""

from collections import Counter
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, field

from ops.chaos.buying import Purchase


@dataclass(frozen=True, slots=True)
class KeptOrder:
    """An order as the order service's database has it once all is at rest."""

    id: str
    buyer_id: int
    status: str
    reason: str | None
    settled: bool


@dataclass(frozen=True, slots=True)
class KeptPayment:
    """A payment as the payment service's database has it."""

    id: str
    state: str


@dataclass
class Verdict:
    """Everything that is not as it must be, in words with ids; and how the orders ended."""

    lost: list[str] = field(default_factory=list)
    stuck: list[str] = field(default_factory=list)
    doubled: list[str] = field(default_factory=list)
    troubles: list[str] = field(default_factory=list)
    ends: Counter[str] = field(default_factory=Counter)
    told: Counter[str] = field(default_factory=Counter)
    """What clients were told of their purchases: accepted, refused, unavailable, unknown."""
    unknown_but_placed: list[str] = field(default_factory=list)
    """Orders that exist although their buyer never got an answer: both may be, and neither is wrong."""

    @property
    def good(self) -> bool:
        """Whether nothing is lost, stuck, doubled, or otherwise wrong."""
        return not (self.lost or self.stuck or self.doubled or self.troubles)


_UNDER_WAY = ("ASKING", "RELEASING")


def judge(
    purchases: Sequence[Purchase],
    orders: Mapping[str, KeptOrder],
    payments: Mapping[str, KeptPayment],
    dead_letters: Iterable[str],
) -> Verdict:
    """Compare what people were told with what there is.

    `orders` and `payments` are all of these buyers', also those that nobody was told of.
    """
    verdict = Verdict()
    for one in purchases:
        verdict.told[one.outcome] += 1
        verdict.troubles += [f"purchase {one.number} ({one.kind}): {text}" for text in one.troubles]
        if len(one.orders) > 1:
            verdict.doubled.append(
                f"purchase {one.number} ({one.kind}): one key, orders {', '.join(sorted(one.orders))}"
            )
        verdict.lost += [
            f"order {order_id}: accepted ({one.kind}), but there is no such order"
            for order_id in sorted(one.orders - orders.keys())
        ]
        verdict.lost += [
            f"payment {payment_id} of order {', '.join(one.orders)}: accepted, but there is no such payment"
            for payment_id in sorted(one.payments - payments.keys())
        ]
    _surplus(verdict, purchases, orders.values())
    for order in orders.values():
        verdict.ends[f"{order.status} ({order.reason})" if order.reason else order.status] += 1
        if not order.settled:
            verdict.stuck.append(f"order {order.id}: still {order.status} ({order.reason or 'no reason'})")
    for payment in payments.values():
        if payment.state in _UNDER_WAY:
            verdict.stuck.append(f"payment {payment.id}: still {payment.state}")
    verdict.lost += [f"event given up as a dead letter: {letter}" for letter in dead_letters]
    return verdict


def _surplus(verdict: Verdict, purchases: Sequence[Purchase], orders: Collection[KeptOrder]) -> None:
    """Orders that nobody was told of: at most one for each purchase of this buyer without an answer."""
    told = {order_id for one in purchases for order_id in one.orders}
    unanswered = Counter(one.buyer_id for one in purchases if one.outcome == "unknown")
    for order in sorted(orders, key=lambda order: order.id):
        if order.id in told:
            continue
        if unanswered[order.buyer_id] > 0:
            unanswered[order.buyer_id] -= 1
            verdict.unknown_but_placed.append(order.id)
        else:
            verdict.doubled.append(
                f"order {order.id} of buyer {order.buyer_id}: exists ({order.status}), though its buyer"
                " was told of another one or was refused"
            )
