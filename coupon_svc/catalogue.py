"""Reading the whole catalogue, which mends coupon's own copy of item prices should an event be lost."""

from collections.abc import Sequence
from datetime import timedelta

from coupon_svc.contracts import PricesReread
from coupon_svc.models import ItemPrice, PriceReading
from coupon_svc.settings import CouponSettings
from coupon_svc.store.prices import Price, learn
from item_svc.contracts import GetItems, Item, ListItems
from shared.database import Database, Reader, Transaction
from shared.errors import Unavailable, describe
from shared.logs import log
from shared.rpc import Rpc

PAGE = 200
MOST_AT_ONCE = 2000


def read_from(items: Sequence[Item]) -> list[Price]:
    """Items that the catalogue shows, as prices."""
    return [Price(item.id, item.price, item.version) for item in items]


async def reread(database: Database, rpc: Rpc) -> PricesReread:
    """Read the whole catalogue, page by page, and mend what is missing or wrong here."""
    on_sale: set[int] = set()
    after: int | None = None
    while True:
        page = await rpc.call(ListItems(limit=PAGE, after=after))
        await _learn_all(database, page.items)
        on_sale |= {item.id for item in page.items}
        after = page.next
        if after is None:
            break
    known = await database.read(_not_deleted)
    # What is known here but was not shown may also have come while the pages were read, so it is asked for.
    doubtful = sorted(set(known) - on_sale)
    gone: list[int] = []
    for start in range(0, len(doubtful), MOST_AT_ONCE):
        part = doubtful[start : start + MOST_AT_ONCE]
        page = await rpc.call(GetItems(ids=part))
        await _learn_all(database, page.items)
        gone += sorted(set(part) - {item.id for item in page.items})

    async def end(tx: Transaction) -> None:
        if gone:
            await ItemPrice.filter(item_id__in=gone).using_db(tx.models).update(deleted=True)
        await PriceReading.create(read_at=tx.now, items=len(on_sale), gone=len(gone), using_db=tx.models)

    await database.transaction(end)
    return PricesReread(items=len(on_sale), gone=len(gone))


async def keep_true(database: Database, rpc: Rpc, settings: CouponSettings) -> None:
    """A job: read the catalogue at the first start, and again from time to time, should an event be lost."""
    if not await database.read(lambda db: _is_due(db, settings.coupon_reread_s)):
        return
    try:
        found = await reread(database, rpc)
    except Unavailable as error:
        log.info("prices.not_read", **describe(error))
    else:
        log.info("prices.read", items=found.items, gone=found.gone)


async def _is_due(db: Reader, after_s: float) -> bool:
    last = await PriceReading.all(using_db=db.models).order_by("-id").first()
    return last is None or last.read_at + timedelta(seconds=after_s) <= db.now


async def _not_deleted(db: Reader) -> list[int]:
    prices = await ItemPrice.filter(deleted=False).using_db(db.models).only("item_id")
    return [price.item_id for price in prices]


async def _learn_all(database: Database, items: Sequence[Item]) -> None:
    if items:
        await database.transaction(lambda tx: learn(tx, read_from(items)))
