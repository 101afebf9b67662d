"""The calls that coupon answers: policies, and what coupons take off. Handing out is in `handing_out.py`."""

from collections.abc import Sequence
from datetime import datetime
from typing import cast

from msgspec.structs import asdict, replace

from coupon_svc import catalogue, contracts
from coupon_svc.assignment import cheapest
from coupon_svc.domain import (
    Coupon,
    PricedLine,
    Refusal,
    check_terms,
    explain,
    no_policy,
    price_of_line,
    refusal_of_shape,
    tidy,
)
from coupon_svc.kinds import told
from coupon_svc.models import CouponPolicy
from coupon_svc.store import prices
from coupon_svc.store.coupons import read_coupons, usable_by, uses_of
from item_svc.contracts import GetItem
from shared.database import Database, Reader, Transaction, page
from shared.errors import FieldError, NotFound, Problem, RuleBroken
from shared.rpc import Rpc
from shared.threads import Threads, between_steps

_searches = Threads("searching for coupons", count=1, line=8)


async def create_policy(call: contracts.CreatePolicy, tx: Transaction) -> contracts.PolicyCreated:
    """Make a policy, of which nothing is issued yet."""
    value = check_terms(call)
    before = await CouponPolicy.get_or_none(request_id=call.request_id, using_db=tx.models)
    policy = before or await CouponPolicy.create(
        request_id=call.request_id,
        name=tidy(call.name, "name"),
        kind=call.kind,
        value=value,
        valid_from=call.valid_from,
        valid_until=call.valid_until,
        quantity=call.quantity,
        per_user_limit=call.per_user_limit,
        floor_price=call.floor_price or 0,
        created_at=tx.now,
        using_db=tx.models,
    )
    if before is None:
        terms = {name: value for name, value in asdict(call).items() if name not in ("request_id", "by")}
        tx.emit(
            contracts.CouponAudited(
                by=call.by,
                action="create coupon policy",
                target=f"coupon {policy.id}",
                before=None,
                after=terms,
            )
        )
    return contracts.PolicyCreated(id=policy.id)


async def list_policies(call: contracts.ListPolicies, db: Reader) -> contracts.PolicyPage:
    """A page of policies."""
    query = CouponPolicy.filter(id__gt=call.after or 0).using_db(db.models).order_by("id")
    policies, more = await page(call.limit, query.limit, key=lambda policy: policy.id)
    return contracts.PolicyPage(items=[_policy(policy) for policy in policies], next=more)


async def list_uses(call: contracts.ListUses, db: Reader) -> contracts.CouponUsePage:
    """A page of who used a policy's coupons for what, and whether it was given back."""
    uses, more = await page(
        call.limit,
        lambda most: uses_of(db, call.policy_id, call.after, most),
        key=lambda use: use.id,
    )
    if not uses and not await CouponPolicy.exists(id=call.policy_id, using_db=db.models):
        raise no_policy(call.policy_id)
    return contracts.CouponUsePage(items=uses, next=more)


async def applied_amount(
    call: contracts.GetAppliedAmount, database: Database, rpc: Rpc
) -> contracts.AppliedAmount:
    """Today's price of an item after a buyer's coupons."""
    if refusal := refusal_of_shape(call.user_coupon_ids):
        raise _problem(refusal)
    price = await _price(call.item_id, database, rpc)
    coupons, now = await database.read(lambda db: _with_time(db, call.user_coupon_ids))
    line = PricedLine(
        item_id=call.item_id, quantity=1, unit_price=price, user_coupon_ids=call.user_coupon_ids
    )
    discounted = price_of_line(line, frozenset(), call.buyer_id, now, coupons)
    if isinstance(discounted, Refusal):
        raise _problem(discounted)
    return contracts.AppliedAmount(item_id=call.item_id, price=price, discounted_price=discounted)


async def quote(call: contracts.GetQuote, database: Database) -> contracts.Quoted:
    """Lines with their prices after coupons, or the items that must be priced by whoever asks."""
    known, coupons, now = await database.read(lambda db: _for_quote(db, call))
    unknown = {
        line.item_id
        for line in call.lines
        if line.unit_price is None and (line.item_id not in known or known[line.item_id].deleted)
    }
    if unknown:
        return contracts.Quoted(unknown=sorted(unknown))
    lines = [
        PricedLine(
            item_id=line.item_id,
            quantity=line.quantity,
            unit_price=known[line.item_id].price if line.unit_price is None else line.unit_price,
            user_coupon_ids=line.user_coupon_ids,
        )
        for line in call.lines
    ]
    if call.best_coupons:
        lines = await _with_best_coupons(lines, coupons, call.buyer_id)
    return contracts.Quoted(lines=_quoted(lines, call.buyer_id, now, coupons))


async def _for_quote(
    db: Reader, call: contracts.GetQuote
) -> tuple[dict[int, prices.Price], dict[int, Coupon], datetime]:
    """The prices, coupons and time that a quote is reckoned with."""
    known = await prices.known(db, {line.item_id for line in call.lines if line.unit_price is None})
    if call.best_coupons:
        return known, await usable_by(db, call.buyer_id), db.now
    return known, await read_coupons(db, {one for line in call.lines for one in line.user_coupon_ids}), db.now


async def reread_prices(
    _call: contracts.RereadPrices, database: Database, rpc: Rpc
) -> contracts.PricesReread:
    """Mend the copy of item prices now."""
    return await catalogue.reread(database, rpc)


async def _with_best_coupons(
    lines: list[PricedLine], coupons: dict[int, Coupon], buyer_id: int
) -> list[PricedLine]:
    if any(line.user_coupon_ids for line in lines):
        raise RuleBroken(
            "Either name coupons, or let the best be chosen.",
            errors=[FieldError("best_coupons", "must be false where lines name coupons")],
        )
    single = [number for number, line in enumerate(lines) if line.quantity == 1]
    costs = [lines[number].unit_price for number in single]
    # Beside the event loop: a search may take a moment, and others are waiting for their answers.
    chosen = await _searches.run(cheapest, costs, list(coupons.values()), between_steps, whose=str(buyer_id))
    by_line = dict(zip(single, chosen, strict=True))
    return [replace(line, user_coupon_ids=by_line.get(number, [])) for number, line in enumerate(lines)]


def _quoted(
    lines: list[PricedLine], buyer_id: int, at: datetime, coupons: dict[int, Coupon]
) -> list[contracts.QuotedLine]:
    used: set[int] = set()
    quoted: list[contracts.QuotedLine] = []
    for number, line in enumerate(lines):
        price = price_of_line(line, used, buyer_id, at, coupons)
        if isinstance(price, Refusal):
            raise _problem(price, f"lines[{number}].user_coupon_ids")
        used.update(line.user_coupon_ids)
        quoted.append(contracts.QuotedLine(**asdict(line), discounted_price=price))
    return quoted


async def _price(item_id: int, database: Database, rpc: Rpc) -> int:
    """An item's price: the one kept here or, for an item that nothing was heard of yet, the catalogue's."""
    known = await database.read(lambda db: prices.known(db, [item_id]))
    if item_id not in known:
        item = await rpc.call(GetItem(id=item_id))
        await database.transaction(lambda tx: prices.learn(tx, catalogue.read_from([item])))
        return item.price
    if known[item_id].deleted:
        raise NotFound(f"There is no item {item_id}.")
    return known[item_id].price


async def _with_time(db: Reader, user_coupon_ids: Sequence[int]) -> tuple[dict[int, Coupon], datetime]:
    return await read_coupons(db, user_coupon_ids), db.now


def _problem(refusal: Refusal, field: str = "user_coupon_ids") -> Problem:
    text = explain(refusal)
    kind = NotFound if refusal.why == "unknown" else RuleBroken
    return kind(text, errors=[FieldError(field, text)])


def _policy(policy: CouponPolicy) -> contracts.CouponPolicy:
    kind = cast(contracts.CouponKind, policy.kind)
    return contracts.CouponPolicy(
        id=policy.id,
        name=policy.name,
        kind=kind,
        **told(kind, policy.value),
        valid_from=policy.valid_from,
        valid_until=policy.valid_until,
        issued=policy.issued,
        quantity=policy.quantity,
        per_user_limit=policy.per_user_limit,
        floor_price=policy.floor_price or None,
    )
