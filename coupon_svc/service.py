"""What the coupon service is made of."""

from coupon_svc import calls, contracts, events
from shared.service import Service, answer, hear

service = Service(
    "coupon",
    models=("coupon_svc.models",),
    publishes=(contracts.CouponsApplied, contracts.CouponsRejected, contracts.CouponsReleased),
    answers=(
        answer(contracts.CreatePolicy, calls.create_policy),
        answer(contracts.ListPolicies, calls.list_policies),
        answer(contracts.IssueCoupon, calls.issue_coupon),
        answer(contracts.GrantCoupons, calls.grant_coupons),
        answer(contracts.ListHeld, calls.list_held),
        answer(contracts.GetAppliedAmount, calls.applied_amount),
    ),
    hears=(
        hear(events.OrderPlaced, events.apply_coupons, batch=64),
        hear(events.ReleaseCoupons, events.release_coupons, batch=64),
    ),
)
