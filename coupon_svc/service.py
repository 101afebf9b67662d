"""What the coupon service is made of."""

from coupon_svc import calls, catalogue, contracts, events, handing_out, personal
from coupon_svc.settings import CouponSettings
from shared.service import Rank, Service, answer, every, hear

LIST = 128
"""Two full messages of 64 events. Beyond 64 no order gets cheaper; but with lists of up to 128 the shop
keeps 0.94 of its orders/s, not 0.86, when every service has a second replica on the same cores."""
QUOTES = 32
"""Quotes at once: one searches for the best coupons, some wait for that, and most need no search."""

service = Service(
    "coupon",
    settings=CouponSettings,
    contracts=(contracts,),
    models=("coupon_svc.models",),
    answers=(
        answer(personal.export_user, rank=Rank.COSTLY),
        answer(calls.create_policy),
        answer(calls.list_policies, rank=Rank.LIST),
        answer(handing_out.issue_coupon),
        answer(handing_out.grant_coupons),
        answer(handing_out.list_held, rank=Rank.LIST),
        answer(calls.list_uses, rank=Rank.LIST),
        answer(calls.applied_amount),
        answer(calls.quote, rank=Rank.COSTLY, most=QUOTES),
        answer(calls.reread_prices),
    ),
    hears=(
        hear(events.apply_coupons, batch=LIST, touches=events.rows_of_order),
        hear(events.release_coupons, batch=LIST, touches=events.rows_of_release),
        hear(events.learn_prices, batch=LIST),
        hear(events.forget_items, batch=LIST),
        hear(personal.forget_user),
    ),
    jobs=(every(1.0, catalogue.keep_true),),
)
