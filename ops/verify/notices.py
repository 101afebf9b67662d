"""What must hold of notifications: buyers are told of all that came to nothing, and of nothing else."""

from ops.verify.check import Check

# The kind of news follows from an order's reason.
_KIND = """CASE WHEN o.reason = 'payment_expired' THEN 'order_expired'
                WHEN o.reason IN ('cancelled_by_buyer', 'cancelled_by_admin') THEN 'order_cancelled'
                ELSE 'order_failed' END"""
# The events are on their way for a moment after everything else has come to rest.
_A_MOMENT = "UTC_TIMESTAMP(6) - INTERVAL 5 SECOND"

_UNTOLD_ORDERS = f"""
      FROM order_svc.orders o
      JOIN user_svc.users u ON u.id = o.buyer_id
     WHERE o.status IN ('FAIL', 'CANCEL')
       AND NOT EXISTS (SELECT 1 FROM user_svc.notifications n
                        WHERE n.order_id = o.id AND n.user_id = o.buyer_id AND n.kind = {_KIND})
"""  # noqa: S608 - a constant
# A payment with a reason was refused: nothing was taken.
_UNTOLD_REFUNDS = """
      FROM payment_svc.payments p
      JOIN user_svc.users u ON u.id = p.user_id
     WHERE p.state = 'RELEASED' AND p.reason IS NULL AND p.amount > 0
       AND NOT EXISTS (SELECT 1 FROM user_svc.notifications n
                        WHERE n.order_id = p.order_id AND n.user_id = p.user_id
                          AND n.kind = 'payment_refunded' AND n.amount = p.amount)
"""

BUYERS_TOLD = Check(
    "buyers are told of orders that came to nothing",
    ("order_id",),
    "order {order_id}: is {status} ({reason}), but user {user_id} has no notification {kind} about it",
    f"""
    SELECT o.id AS order_id, o.status, o.reason, o.buyer_id AS user_id, {_KIND} AS kind
           {_UNTOLD_ORDERS} AND o.updated_at < {_A_MOMENT}
    """,
)

PAYERS_TOLD = Check(
    "payers are told of what they got back",
    ("payment_id",),
    "payment {payment_id} of order {order_id}: {amount} were given back, but user {user_id} was not told",
    f"""
    SELECT p.payment_id, p.order_id, p.amount, p.user_id
           {_UNTOLD_REFUNDS} AND p.changed_at < {_A_MOMENT}
    """,
)

NOTICES_TRUE = Check(
    "notifications are true",
    ("notification_id",),
    "notification {notification_id}: tells user {user_id} of {kind}, but order {order_id} is {status}"
    " ({reason})",
    f"""
    SELECT n.id AS notification_id, n.user_id, n.kind, n.order_id,
           COALESCE(o.status, 'not theirs') AS status, COALESCE(o.reason, 'no reason') AS reason
      FROM user_svc.notifications n
      LEFT JOIN order_svc.orders o ON o.id = n.order_id AND o.buyer_id = n.user_id
     WHERE o.id IS NULL
        OR NOT IF(n.kind = 'payment_refunded',
                  EXISTS (SELECT 1 FROM payment_svc.payments p WHERE p.order_id = n.order_id
                             AND p.user_id = n.user_id AND p.state = 'RELEASED' AND p.amount = n.amount),
                  o.status IN ('FAIL', 'CANCEL') AND n.kind = {_KIND})
    """,  # noqa: S608 - a constant
)

NOTICE_CHECKS = (BUYERS_TOLD, PAYERS_TOLD, NOTICES_TRUE)

UNTOLD_UNDER_WAY = (
    f"SELECT 1 {_UNTOLD_ORDERS} AND o.updated_at <= %s LIMIT 1",
    f"SELECT 1 {_UNTOLD_REFUNDS} AND p.changed_at <= %s LIMIT 1",
)
"""Finds what nobody was told of although it had happened by a given moment, the one argument."""
