"""What the coupon service is made of."""

from coupon_svc import calls, catalogue, contracts, events, handing_out
from coupon_svc.settings import CouponSettings
from shared.service.service import Service, answer, every, hear

service = Service(
    "coupon",
    settings=CouponSettings,
    models=("coupon_svc.models",),
    publishes=(contracts.CouponsApplied, contracts.CouponsRejected, contracts.CouponsReleased),
    answers=(
        answer(contracts.CreatePolicy, calls.create_policy),
        answer(contracts.ListPolicies, calls.list_policies),
        answer(contracts.IssueCoupon, handing_out.issue_coupon),
        answer(contracts.GrantCoupons, handing_out.grant_coupons),
        answer(contracts.ListHeld, handing_out.list_held),
        answer(contracts.ListUses, calls.list_uses),
        answer(contracts.GetAppliedAmount, calls.applied_amount),
        answer(contracts.GetQuote, calls.quote),
        answer(contracts.RereadPrices, calls.reread_prices),
    ),
    hears=(
        hear(events.OrderPlaced, events.apply_coupons, batch=128),
        hear(events.ReleaseCoupons, events.release_coupons, batch=128),
        hear(events.ItemCreated, events.learn_prices, batch=128),
        hear(events.ItemChanged, events.learn_prices, batch=128),
        hear(events.ItemDeleted, events.forget_items, batch=128),
    ),
    jobs=(every(1.0, catalogue.keep_true),),
)
