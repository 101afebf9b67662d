"""What the four say to each other; pydantic models, as FastStream's documentation has them."""

from pydantic import BaseModel, Field


class Line(BaseModel):
    """What is bought, at which price, with which coupons."""

    item_id: int
    quantity: int = Field(ge=1)
    unit_price: int
    discounted_price: int | None = None
    user_coupon_ids: list[int] = []


class Basket(BaseModel):
    """What a client sends."""

    lines: list[Line] = Field(min_length=1, max_length=2000)


class PlaceOrder(BaseModel):
    """A request to place an order."""

    order_id: str
    buyer_id: int
    lines: list[Line]


class OrderPlaced(BaseModel):
    """An order was placed."""

    order_id: str
    buyer_id: int
    lines: list[Line]


class Answered(BaseModel):
    """Item or coupon has answered an order."""

    order_id: str
    ok: bool


class OrderEnded(BaseModel):
    """An order is completed, or failed."""

    order_id: str
    status: str


class OrderView(BaseModel):
    """An order as a client sees it."""

    id: str
    buyer_id: int
    status: str
    total: int
    lines: list[Line]
