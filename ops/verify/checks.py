"""What must hold in the books: each check is one statement that finds what breaks it, over all orders.

An order's own records are always behind its participants' claims: a participant commits its claim before
it tells the order. So a statement, which sees one moment of all databases, may find a claim that the order
has not heard of yet, but never the other way round.
"""

from ops.verify.carts import CART_CHECKS
from ops.verify.claims import CLAIM_CHECKS
from ops.verify.coupons import COUPON_CHECKS
from ops.verify.money import MONEY_CHECKS
from ops.verify.notices import NOTICE_CHECKS, UNTOLD_UNDER_WAY
from ops.verify.orders import ORDER_CHECKS
from ops.verify.progress import PROGRESS_CHECKS, SERVICES
from ops.verify.read_side import COMES_BEHIND, READ_SIDE
from ops.verify.stock import STOCK_CHECKS

CHECKS = (
    *STOCK_CHECKS,
    *CLAIM_CHECKS,
    *ORDER_CHECKS,
    *COUPON_CHECKS,
    *CART_CHECKS,
    *MONEY_CHECKS,
    *NOTICE_CHECKS,
    *PROGRESS_CHECKS,
    *READ_SIDE,
)

# What a shop that rests has none of, as far as it was there at a given moment (the one argument of each).
UNDER_WAY = (
    "SELECT 1 FROM order_svc.orders WHERE NOT settled AND created_at <= %s LIMIT 1",
    "SELECT 1 FROM payment_svc.payments WHERE ask_due_at IS NOT NULL AND created_at <= %s LIMIT 1",
    *UNTOLD_UNDER_WAY,
    *(
        f"SELECT 1 FROM {service}_svc.outbox WHERE created_at <= %s LIMIT 1"  # noqa: S608
        for service in SERVICES
    ),
    *COMES_BEHIND,
)
NOW = "SELECT UTC_TIMESTAMP(6) AS now"
COUNT_ORDERS = "SELECT COUNT(*) AS orders FROM order_svc.orders"
