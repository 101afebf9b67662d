"""What concerns one service's own tables alone, and is counted best where it lies: statements."""

from collections.abc import Mapping
from dataclasses import dataclass

from ops.verify.check import LONG
from ops.verify.source import Source

SERVICES = ("user", "item", "coupon", "order", "payment", "query")


@dataclass(frozen=True, slots=True)
class Statement:
    """`sql` selects what is wrong, `key` names the columns that identify it, `tell` puts it in words.

    `reads` are the columns that it looks at, by table.
    """

    name: str
    service: str
    key: tuple[str, ...]
    tell: str
    sql: str
    reads: Mapping[str, tuple[str, ...]]


CARTS_WITHOUT_GHOSTS = Statement(
    "carts hold pieces of items",
    "item",
    ("user_id", "item_id"),
    "cart of user {user_id}: has {quantity} of item {item_id}, which is {item}",
    """
    SELECT c.user_id, c.item_id, c.quantity, IF(i.id IS NULL, 'unknown', 'known') AS item
      FROM cart_lines c
      LEFT JOIN items i ON i.id = c.item_id
     WHERE i.id IS NULL OR c.quantity < 1
    """,
    {"cart_lines": ("item_id", "quantity"), "items": ("id",)},
)

COUPONS_COUNTED = Statement(
    "no more coupons are out than there are",
    "coupon",
    ("policy_id",),
    "coupon policy {policy_id}: {held} are out of {quantity}, but {issued} were counted",
    """
    SELECT p.id AS policy_id, p.issued, COUNT(u.id) AS held, COALESCE(p.quantity, 'any number') AS quantity
      FROM coupon_policies p
      LEFT JOIN user_coupons u ON u.policy_id = p.id
     GROUP BY p.id, p.issued, p.quantity
    HAVING p.issued <> COUNT(u.id) OR COUNT(u.id) > COALESCE(p.quantity, COUNT(u.id))
    """,
    {"coupon_policies": ("id", "issued", "quantity"), "user_coupons": ("id", "policy_id")},
)

COUPONS_PER_USER = Statement(
    "nobody has more of a coupon than allowed",
    "coupon",
    ("policy_id", "user_id"),
    "coupon policy {policy_id}: user {user_id} has {held}, but {allowed} is the limit",
    """
    SELECT p.id AS policy_id, u.user_id, COUNT(*) AS held, p.per_user_limit AS allowed
      FROM coupon_policies p
      JOIN user_coupons u ON u.policy_id = p.id
     WHERE p.per_user_limit IS NOT NULL
     GROUP BY p.id, u.user_id, p.per_user_limit HAVING COUNT(*) > p.per_user_limit
    """,
    {"coupon_policies": ("per_user_limit",), "user_coupons": ("user_id", "policy_id")},
)

COUPONS_HAVE_POLICIES = Statement(
    "coupons are of policies that exist",
    "coupon",
    ("user_coupon_id",),
    "coupon {user_coupon_id}: is of policy {policy_id}, which is unknown",
    """
    SELECT u.id AS user_coupon_id, u.policy_id
      FROM user_coupons u LEFT JOIN coupon_policies p ON p.id = u.policy_id WHERE p.id IS NULL
    """,
    {"coupon_policies": ("id",), "user_coupons": ("policy_id",)},
)

# Ids are compared as their columns compare them: MariaDB 11.8 refuses to mix collations.
# An answer to whoever placed an order names the order, that to whoever paid names the payment.
ORDER_KEYS = Statement(
    "idempotency keys name what exists",
    "order",
    ("id",),
    "kept answer {id} of user {owner}: names order {order_id}, which is of {buyer}",
    """
    SELECT k.id, k.owner, k.order_id, COALESCE(o.buyer_id, 'nobody') AS buyer
      FROM (SELECT id, owner, CAST(COALESCE(JSON_VALUE(answer, '$.id'), JSON_VALUE(answer, '$.order_id'))
                                   AS CHAR(36) CHARACTER SET ascii) COLLATE ascii_bin AS order_id
              FROM kept_answers WHERE `call` = 'order.place' AND answer IS NOT NULL) k
      LEFT JOIN orders o ON o.id = k.order_id
     WHERE o.id IS NULL OR o.buyer_id <> k.owner
    """,
    {"kept_answers": ("call", "owner", "answer"), "orders": ("id", "buyer_id")},
)

PAYMENT_KEYS = Statement(
    "idempotency keys name what exists",
    "payment",
    ("id",),
    "kept answer {id} of user {owner}: names payment {payment_id}, which is of {payer}",
    """
    SELECT k.id, k.owner, k.payment_id, COALESCE(p.user_id, 'nobody') AS payer
      FROM (SELECT id, owner, CAST(COALESCE(JSON_VALUE(answer, '$.id'), JSON_VALUE(answer, '$.payment_id'))
                                   AS CHAR(36) CHARACTER SET ascii) COLLATE ascii_bin AS payment_id
              FROM kept_answers WHERE `call` IN ('payment.pay', 'payment.charge') AND answer IS NOT NULL) k
      LEFT JOIN payments p ON p.payment_id = k.payment_id
     WHERE p.payment_id IS NULL OR p.user_id <> k.owner
    """,
    {"kept_answers": ("call", "owner", "answer"), "payments": ("payment_id", "user_id")},
)

OUTBOXES_DRAINED = tuple(
    Statement(
        "outboxes are drained",
        service,
        ("id",),
        f"{service}: {{type}} about {{subjects}} waits in the outbox since {{since}} UTC,"
        " {attempts} attempts",
        f"""
        SELECT id, type, SUBSTRING(subjects, 1, 200) AS subjects, created_at AS since, attempts
          FROM outbox WHERE created_at < UTC_TIMESTAMP(6) - INTERVAL {LONG.seconds} SECOND
        """,
        {"outbox": ("created_at",)},
    )
    for service in SERVICES
)

STATEMENTS = (
    CARTS_WITHOUT_GHOSTS,
    COUPONS_COUNTED,
    COUPONS_PER_USER,
    COUPONS_HAVE_POLICIES,
    ORDER_KEYS,
    PAYMENT_KEYS,
    *OUTBOXES_DRAINED,
)


async def look(source: Source, statement: Statement) -> dict[tuple[object, ...], str]:
    """What is wrong now, by the ids that it is recognised by. Raises `CannotRead`."""
    rows = await source.ask(statement.service, statement.sql)
    return {tuple(row[name] for name in statement.key): statement.tell.format_map(row) for row in rows}
