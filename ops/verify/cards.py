"""Our card payments against the charges of the payment gateway (PG): neither exists alone."""

from collections.abc import Awaitable, Callable, Iterable, Iterator, Sequence

import httpx
import msgspec
from msgspec import Struct

from ops.databases import CannotRead, Row

CHECK = "card payments agree with the payment gateway"
CARD_PAYMENTS = """
SELECT payment_id, order_id, state, amount FROM payment_svc.payments WHERE method = 'card' AND amount > 0
"""


class Charge(Struct, frozen=True, rename="camel"):
    """A payment as the PG lists it; `order_id` is our payment's id."""

    order_id: str
    status: str
    total_amount: int


Charges = Callable[[], Awaitable[Sequence[Charge]]]


async def read_charges(url: str) -> Sequence[Charge]:
    """Every charge that the simulated PG knows. Raises CannotRead where it does not answer."""
    try:
        async with httpx.AsyncClient(base_url=url, timeout=10.0, trust_env=False) as http:
            response = (await http.get("/simulator/charges")).raise_for_status()
            return msgspec.json.decode(response.content, type=list[Charge])
    except (httpx.HTTPError, msgspec.DecodeError) as error:
        raise CannotRead(f"the payment gateway at {url} does not list its charges: {error}") from error


def compare(payments: Iterable[Row], charges: Iterable[Charge]) -> Iterator[tuple[str, str]]:
    """What does not agree: the payment's id, and what is wrong in words."""
    charged = {charge.order_id: charge for charge in charges if charge.status == "DONE"}
    known = set[str]()
    for payment in payments:
        payment_id, state = payment["payment_id"], payment["state"]
        known.add(payment_id)
        charge = charged.get(payment_id)
        what = f"payment {payment_id} of order {payment['order_id']}: is {state} with {payment['amount']}"
        if state == "HELD" and charge is None:
            yield payment_id, f"{what}, but the payment gateway has charged nothing"
        elif (state == "HELD" and charge is not None and charge.total_amount != payment["amount"]) or (
            state in ("REJECTED", "RELEASED") and charge is not None
        ):
            yield payment_id, f"{what}, but the payment gateway has charged {charge.total_amount}"
    for payment_id, charge in charged.items():
        if payment_id not in known:
            yield payment_id, f"payment {payment_id}: charged with {charge.total_amount}, but unknown to us"
