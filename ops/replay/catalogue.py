"""Articles of the file as items of the shop: found from an earlier run, created, or topped up."""

from collections.abc import Callable, Iterable, Mapping

from ops.replay.crowd import run_all
from ops.replay.retail import Article
from ops.shop import Item, Refused, Session, Shop, persist

_NAME_MAX = 100
_STOCK_MAX = 10**9
_CREATING = 16  # requests in flight


class CannotStock(Exception):
    """An item of the file could not be put on sale; the message says why."""


def item_name(article: Article, description: str) -> str:
    """`85123A: WHITE HANGING HEART T-LIGHT HOLDER`, at most 100 characters."""
    return f"{article.stock_code}: {' '.join(description.split())}"[:_NAME_MAX].rstrip()


def item_size(article: Article) -> str:
    """What sets items with one name apart: the price."""
    return f"{article.price // 100}.{article.price % 100:02d}"


def article_of(item: Item) -> Article | None:
    """The article that an item stands for, or None for an item that no replay made.

    The description is left out, so that another month's file, which may describe the article otherwise,
    finds it again.
    """
    code, colon, _ = item.name.partition(":")
    article = Article(code, item.price)
    return article if colon and item.size == item_size(article) else None


async def stock_up(
    shop: Shop,
    admin: Session,
    descriptions: Mapping[Article, str],
    demand: Mapping[Article, int],
    wanted: Iterable[Article],
    step: Callable[[], None],
) -> dict[Article, int]:
    """Item ids of the wanted articles, each with stock for the whole file's demand. `step` counts them.

    Raises:
        CannotStock: the shop refused an item.
    """
    ids: dict[Article, int] = {}
    missing = set(wanted)
    # Twice: an item that turns out to be there already (made just now by another replay) is found then.
    for _ in range(2):
        present = {article: item for article, item in (await _present(shop)).items() if article in missing}
        await run_all(
            present.items(), lambda pair: _top_up(admin, pair[1], demand.get(pair[0], 0)), _CREATING, step
        )
        ids |= {article: item.id for article, item in present.items()}
        missing -= present.keys()
        created = await run_all(
            sorted(missing), lambda article: _create(admin, article, descriptions[article], demand), _CREATING
        )
        for article, item_id in created:
            if item_id is not None:
                ids[article] = item_id
                missing.discard(article)
                step()
        if not missing:
            return ids
    names = ", ".join(f"{article.stock_code} at {article.price}" for article in sorted(missing)[:5])
    raise CannotStock(f"the shop has other items in place of {len(missing)} of the file's: {names}")


async def _present(shop: Shop) -> dict[Article, Item]:
    return {article: item async for item in shop.every_item() if (article := article_of(item)) is not None}


async def _create(
    admin: Session, article: Article, description: str, demand: Mapping[Article, int]
) -> int | None:
    stock = min(demand.get(article, 0), _STOCK_MAX)
    name, size = item_name(article, description), item_size(article)
    try:
        return await persist(lambda: admin.create_item(name, size, article.price, stock))
    except Refused as refusal:
        if refusal.status == 409:
            return None
        raise CannotStock(f"item {name!r} at {article.price}: {refusal}") from refusal


async def _top_up(admin: Session, item: Item, demand: int) -> None:
    """Bring the stock to the file's demand; an earlier run sold from it."""
    missing = min(demand, _STOCK_MAX) - item.available_quantity
    if missing <= 0:
        return
    try:
        # Not repeated: an adjustment has no key, and done twice it would be double.
        await admin.adjust_stock(item.id, missing, "replay")
    except Refused as refusal:
        raise CannotStock(f"stock of item {item.id} ({item.name!r}): {refusal}") from refusal
