"""What the four say to each other: JSON arrays, many orders in a message."""

import msgspec


class Line(msgspec.Struct):
    """What is bought, at which price, with which coupons."""

    item_id: int
    quantity: int
    unit_price: int
    discounted_price: int | None = None
    user_coupon_ids: list[int] = []


class Order(msgspec.Struct):
    """An order, as it is placed and as it travels."""

    id: str
    buyer_id: int
    lines: list[Line]
    total: int


class Verdict(msgspec.Struct):
    """Whether an order is served; with it the order service counts the answers."""

    id: str
    ok: bool


class End(msgspec.Struct):
    """How an order ended."""

    id: str
    status: str


encode = msgspec.json.Encoder().encode
orders_of = msgspec.json.Decoder(list[Order]).decode
verdicts_of = msgspec.json.Decoder(list[Verdict]).decode
ends_of = msgspec.json.Decoder(list[End]).decode
