"""What must hold of coupons: one order uses one, and no more are out than there are."""

from ops.verify.check import Check

COUPON_USED_ONCE = Check(
    "a coupon is used at most once",
    ("user_coupon_id",),
    "coupon {user_coupon_id}: used by {uses} orders at once: {orders}",
    """
    SELECT user_coupon_id, COUNT(*) AS uses, GROUP_CONCAT(order_id ORDER BY order_id SEPARATOR ', ') AS orders
      FROM coupon_svc.coupon_uses WHERE released_at IS NULL
     GROUP BY user_coupon_id HAVING COUNT(*) > 1
    """,
)

COUPON_USED_BY_STANDING = Check(
    "a coupon is used only by an order that stands",
    ("user_coupon_id",),
    "coupon {user_coupon_id}: used by order {order_id}, which is {status} (coupon {stand}, claim {claim})",
    """
    SELECT u.id AS user_coupon_id, u.used_by AS order_id, COALESCE(o.status, 'unknown') AS status,
           COALESCE(p.stand, 'no participant') AS stand, COALESCE(c.state, 'missing') AS claim
      FROM coupon_svc.user_coupons u
      LEFT JOIN coupon_svc.coupon_claims c ON c.order_id = u.used_by
      LEFT JOIN order_svc.orders o ON o.id = u.used_by
      LEFT JOIN order_svc.participants p ON p.order_id = u.used_by AND p.name = 'coupon'
     WHERE u.used_by IS NOT NULL
       AND NOT (COALESCE(c.state, '') = 'HELD' AND COALESCE(p.stand, '') IN ('AWAITING', 'YES', 'RELEASING'))
    """,
)

COUPON_USES_MARKED = Check(
    "the use of a coupon is marked on it",
    ("user_coupon_id", "order_id"),
    "coupon {user_coupon_id}: in use by order {order_id}, but marked as used by {used_by}",
    """
    SELECT s.user_coupon_id, s.order_id, COALESCE(u.used_by, 'nobody') AS used_by
      FROM coupon_svc.coupon_uses s
      LEFT JOIN coupon_svc.user_coupons u ON u.id = s.user_coupon_id
     WHERE s.released_at IS NULL AND NOT (u.used_by <=> s.order_id)
    """,
)

COUPONS_OF_ORDERS = Check(
    "an order that stands uses the coupons of its lines",
    ("order_id", "user_coupon_id"),
    "order {order_id}: its lines name coupon {user_coupon_id}, which is used by {used_by}",
    """
    SELECT o.id AS order_id, l.coupon AS user_coupon_id, COALESCE(u.used_by, 'nobody') AS used_by
      FROM order_svc.orders o
      JOIN order_svc.participants p ON p.order_id = o.id AND p.name = 'coupon' AND p.stand = 'YES'
      JOIN JSON_TABLE(o.`lines`, '$[*].user_coupon_ids[*]' COLUMNS (coupon BIGINT PATH '$')) l
      LEFT JOIN coupon_svc.user_coupons u ON u.id = l.coupon
     WHERE NOT (u.used_by <=> o.id)
    """,
)

COUPONS_COUNTED = Check(
    "no more coupons are out than there are",
    ("policy_id",),
    "coupon policy {policy_id}: {held} are out of {quantity}, but {issued} were counted",
    """
    SELECT p.id AS policy_id, p.issued, COUNT(u.id) AS held, COALESCE(p.quantity, 'any number') AS quantity
      FROM coupon_svc.coupon_policies p
      LEFT JOIN coupon_svc.user_coupons u ON u.policy_id = p.id
     GROUP BY p.id, p.issued, p.quantity
    HAVING p.issued <> COUNT(u.id) OR COUNT(u.id) > COALESCE(p.quantity, COUNT(u.id))
    """,
)

COUPONS_PER_USER = Check(
    "nobody has more of a coupon than allowed",
    ("policy_id", "user_id"),
    "coupon policy {policy_id}: user {user_id} has {held}, but {allowed} is the limit",
    """
    SELECT p.id AS policy_id, u.user_id, COUNT(*) AS held, p.per_user_limit AS allowed
      FROM coupon_svc.coupon_policies p
      JOIN coupon_svc.user_coupons u ON u.policy_id = p.id
     WHERE p.per_user_limit IS NOT NULL
     GROUP BY p.id, u.user_id, p.per_user_limit HAVING COUNT(*) > p.per_user_limit
    """,
)

PRICES_COPIED = Check(
    "the coupons' copy of prices is true",
    ("item_id",),
    "item {item_id}: costs {price}, but coupon takes it for {copied}",
    """
    SELECT c.item_id, IF(c.deleted, 'deleted', c.price) AS copied,
           CASE WHEN i.id IS NULL THEN 'unknown' WHEN i.retired <> 0 THEN 'deleted' ELSE i.price END AS price
      FROM coupon_svc.item_prices c
      LEFT JOIN item_svc.items i ON i.id = c.item_id
     WHERE i.id IS NULL OR c.deleted <> (i.retired <> 0) OR (i.retired = 0 AND c.price <> i.price)
    """,
)

COUPON_CHECKS = (
    COUPON_USED_ONCE,
    COUPON_USED_BY_STANDING,
    COUPON_USES_MARKED,
    COUPONS_OF_ORDERS,
    COUPONS_COUNTED,
    COUPONS_PER_USER,
    PRICES_COPIED,
)
