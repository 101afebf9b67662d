"""The cart over HTTP: what a signed-in user has put aside to buy."""

from litestar import delete, get, put
from litestar.params import JSONBody
from msgspec import Struct

from gateway.door.api import BODY, Id, problems
from gateway.door.requests import ShopRequest
from gateway.door.roles import OWN
from item_svc.contracts import Cart, CartQuantity, ClearCart, GetCart, RemoveCartLine, SetCartLine


class CartEntry(Struct, frozen=True, forbid_unknown_fields=True):
    """How many of an item the cart is to have."""

    quantity: CartQuantity


@get("/cart", operation_id="get_cart", summary="Your cart", opt=OWN, responses=problems(400, 401, 403))
async def get_cart(request: ShopRequest) -> Cart:
    """What you have put aside, at today's prices. What you order leaves it; it returns if the order fails."""
    return await request.rpc.call(GetCart(user_id=request.user.id))


@delete(
    "/cart", operation_id="clear_cart", summary="Empty your cart", opt=OWN, responses=problems(400, 401, 403)
)
async def clear_cart(request: ShopRequest) -> None:
    """Take everything out."""
    await request.rpc.call(ClearCart(user_id=request.user.id))


@put(
    "/cart/items/{item_id:str}",
    operation_id="set_cart_line",
    summary="Put an item into your cart",
    opt=OWN,
    responses=problems(*BODY, 401, 403, 404),
)
async def set_cart_line(request: ShopRequest, item_id: Id, data: JSONBody[CartEntry]) -> Cart:
    """Set the quantity of an item in the cart, whatever it was before."""
    call = SetCartLine(user_id=request.user.id, item_id=item_id, quantity=data.quantity)
    return await request.rpc.call(call)


@delete(
    "/cart/items/{item_id:str}",
    operation_id="remove_cart_line",
    summary="Take an item out of your cart",
    opt=OWN,
    responses=problems(400, 401, 403, 404),
)
async def remove_cart_line(request: ShopRequest, item_id: Id) -> None:
    """Remove an item from the cart; not an error if it was not there."""
    await request.rpc.call(RemoveCartLine(user_id=request.user.id, item_id=item_id))


routes = [get_cart, clear_cart, set_cart_line, remove_cart_line]
