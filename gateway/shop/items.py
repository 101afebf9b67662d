"""The catalogue over HTTP: find and look at items; as an admin, keep them and their stock."""

import re
from typing import Annotated

import msgspec
from litestar import Response, delete, get, patch, post
from litestar.datastructures import ResponseHeader
from litestar.params import HeaderParameter, JSONBody, QueryParameter
from msgspec import UNSET, Struct, UnsetType

from gateway.door.api import BODY, After, Id, LongPageSize, parse_ids, problems
from gateway.door.idempotency import IdempotencyKey, once
from gateway.door.requests import ShopRequest
from gateway.door.roles import CATALOGUE
from item_svc.contracts import (
    AdjustStock,
    ChangeItem,
    CreateItem,
    DeleteItem,
    GetItem,
    GetItems,
    Item,
    ItemId,
    ItemPage,
    ListItems,
    Name,
    Price,
    Reason,
    StockDelta,
    StockHistory,
    StockHistoryPage,
    StockQuantity,
)
from shared.errors import Malformed, PreconditionRequired, RuleBroken, Stale
from shared.ids import new_id

Ids = Annotated[
    str | None,
    QueryParameter(description="Up to 200 ids, comma-separated: those that exist; not with the others."),
]
Search = Annotated[str | None, QueryParameter(min_length=1, max_length=100, description="Part of the name.")]
IfMatch = Annotated[
    str | None, HeaderParameter(name="If-Match", description="The ETag of the version you mean.")
]
ETAG = [ResponseHeader(name="ETag", value="", documentation_only=True, description="The item's version.")]


class NewItem(Struct, frozen=True, forbid_unknown_fields=True):
    """An item to put into the catalogue; name and size together are unique."""

    name: Name
    price: Price
    size: Name = "-"
    stock_quantity: StockQuantity = 0


class ItemChange(Struct, frozen=True, forbid_unknown_fields=True):
    """What to change of an item; what is left out stays."""

    name: Name | UnsetType = UNSET
    size: Name | UnsetType = UNSET
    price: Price | UnsetType = UNSET


class StockAdjustment(Struct, frozen=True, forbid_unknown_fields=True):
    """How many pieces come (or, below zero, go), and why."""

    delta: StockDelta
    reason: Reason


@get("/items", operation_id="list_items", summary="Find items", responses=problems(400, 422))
async def list_items(
    request: ShopRequest, ids: Ids = None, q: Search = None, limit: LongPageSize = 50, after: After = None
) -> ItemPage:
    """Items by id, by part of their name, or all of them; by rising id."""
    if ids is None:
        return await request.rpc.call(ListItems(q=q, limit=limit, after=after))
    if {"q", "limit", "after"} & request.query_params.keys():
        raise Malformed("Ask either for `ids`, or with `q`, `limit` and `after`.")
    return await request.rpc.call(GetItems(ids=parse_ids("ids", ids)))


@get(
    "/items/{item_id:str}",
    operation_id="get_item",
    summary="Look at an item",
    responses=problems(400, 404),
    response_headers=ETAG,
)
async def get_item(request: ShopRequest, item_id: Id) -> Response[Item]:
    """One item, with what is left of it now."""
    return _tagged(await request.rpc.call(GetItem(id=item_id)))


@post(
    "/items",
    operation_id="create_item",
    summary="Add an item",
    opt=CATALOGUE,
    responses=problems(*BODY, 401, 403, 409),
)
async def create_item(
    request: ShopRequest, data: JSONBody[NewItem], idempotency_key: IdempotencyKey = None
) -> ItemId:
    """Put an item into the catalogue."""
    call = CreateItem(request_id=new_id(), by=request.user.id, **msgspec.structs.asdict(data))
    return await request.rpc.call(call, once=once(request, idempotency_key, data))


@patch(
    "/items/{item_id:str}",
    operation_id="change_item",
    summary="Change an item",
    opt=CATALOGUE,
    responses=problems(*BODY, 401, 403, 404, 409, 412, 428),
    response_headers=ETAG,
)
async def change_item(
    request: ShopRequest, item_id: Id, data: JSONBody[ItemChange], if_match: IfMatch = None
) -> Response[Item]:
    """Change name, size or price, unless the item was changed since you read it."""
    changes = {name: value for name, value in msgspec.structs.asdict(data).items() if value is not UNSET}
    version = await _version(request, item_id, if_match)
    if not changes:
        raise RuleBroken("Say what to change: `name`, `size` or `price`.")
    call = ChangeItem(
        request_id=new_id(), id=item_id, expected_version=version, by=request.user.id, **changes
    )
    return _tagged(await request.rpc.call(call))


@delete(
    "/items/{item_id:str}",
    operation_id="delete_item",
    summary="Remove an item",
    opt=CATALOGUE,
    responses=problems(400, 401, 403, 404, 412, 428),
)
async def delete_item(request: ShopRequest, item_id: Id, if_match: IfMatch = None) -> None:
    """Remove an item from the catalogue, unless it was changed since you read it."""
    version = await _version(request, item_id, if_match)
    call = DeleteItem(request_id=new_id(), id=item_id, expected_version=version, by=request.user.id)
    await request.rpc.call(call)


@post(
    "/items/{item_id:str}/stock",
    operation_id="adjust_stock",
    summary="Adjust an item's stock",
    opt=CATALOGUE,
    status_code=200,
    responses=problems(*BODY, 401, 403, 404, 409),
)
async def adjust_stock(
    request: ShopRequest,
    item_id: Id,
    data: JSONBody[StockAdjustment],
    idempotency_key: IdempotencyKey = None,
) -> Item:
    """Add or remove pieces, with a reason that is kept in the history."""
    call = AdjustStock(
        request_id=new_id(), id=item_id, delta=data.delta, reason=data.reason, by=request.user.id
    )
    return await request.rpc.call(call, once=once(request, idempotency_key, item_id, data))


@get(
    "/items/{item_id:str}/stock-history",
    operation_id="list_stock_history",
    summary="The stock history of an item",
    opt=CATALOGUE,
    responses=problems(400, 401, 403, 404),
)
async def list_stock_history(
    request: ShopRequest, item_id: Id, limit: LongPageSize = 50, after: After = None
) -> StockHistoryPage:
    """Every change of the stock with its cause, newest first."""
    return await request.rpc.call(StockHistory(id=item_id, limit=limit, after=after or None))


def _tagged(item: Item) -> Response[Item]:
    return Response(item, headers={"ETag": f'"{item.version}"'})


async def _version(request: ShopRequest, item_id: int, if_match: str | None) -> int:
    """The version that an `If-Match` header means: with `*`, whichever there is.

    Comparison is strong, so a weak tag never matches.
    """
    if if_match is None:
        raise PreconditionRequired(
            'Say which version you mean: `If-Match: "<version>"`, the ETag of the item.'
        )
    if if_match.strip() == "*":
        return (await request.rpc.call(GetItem(id=item_id))).version
    match = re.fullmatch(r'(W/)?"([0-9]{1,18})"', if_match.strip())
    if match is None:
        raise Malformed('`If-Match` takes one ETag of the item, as in `If-Match: "3"`.')
    if match[1]:
        raise Stale("A weak ETag never matches; send the item's ETag as it was given.")
    return int(match[2])


routes = [
    list_items,
    get_item,
    create_item,
    change_item,
    delete_item,
    adjust_stock,
    list_stock_history,
]
