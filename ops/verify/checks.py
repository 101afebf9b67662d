"""What must hold in the books: each check is one statement that finds what breaks it, over all orders.

An order's own records are always behind its participants' claims: a participant commits its claim before
it tells the order. So a statement, which sees one moment of all databases, may find a claim that the order
has not heard of yet, but never the other way round.
"""

from ops.verify.carts import CART_CHECKS
from ops.verify.check import Check
from ops.verify.notices import NOTICE_CHECKS, UNTOLD_UNDER_WAY

SERVICES = ("user", "item", "coupon", "order", "payment")
CLAIM_TABLES = {
    "item": "item_svc.item_claims",
    "coupon": "coupon_svc.coupon_claims",
    "payment": "payment_svc.payments",
}
# An order may have had several payments, one after another; its participant is one of them.
_OWN = {
    "payment": "AND (c.payment_id = p.payment_id OR (p.payment_id IS NULL AND c.attempt = 0))",
}
# Those that were paid later, and took nothing or gave it back, are nobody's.
_CONCERNED = {
    "payment": """AND (c.attempt = 0 OR c.state = 'HELD'
                OR NOT EXISTS (SELECT 1 FROM order_svc.orders o WHERE o.id = c.order_id))""",
}

# What has been under way for longer than this was not merely seen in passing.
_LONG = "INTERVAL 60 SECOND"
# A sweep looks for passed deadlines every second or so.
_SWEEP = "INTERVAL 5 SECOND"


STOCK_ADDS_UP = Check(
    "stock adds up",
    ("item_id",),
    "item {item_id}: initial {initial} + adjustments {adjusted} - held {held} = {due}, but stock is {stock}",
    """
    SELECT i.id AS item_id, i.initial_stock AS initial, COALESCE(a.pieces, 0) AS adjusted,
           COALESCE(h.pieces, 0) AS held, i.stock,
           i.initial_stock + COALESCE(a.pieces, 0) - COALESCE(h.pieces, 0) AS due
      FROM item_svc.items i
      LEFT JOIN (SELECT item_id, SUM(delta) AS pieces FROM item_svc.stock_history
                  WHERE cause = 'adjustment' GROUP BY item_id) a ON a.item_id = i.id
      LEFT JOIN (SELECT s.item_id, -SUM(s.delta) AS pieces FROM item_svc.stock_history s
                   JOIN item_svc.item_claims c ON c.order_id = s.order_id AND c.state = 'HELD'
                  WHERE s.cause = 'order' GROUP BY s.item_id) h ON h.item_id = i.id
     WHERE i.stock <> i.initial_stock + COALESCE(a.pieces, 0) - COALESCE(h.pieces, 0)
    """,
)

STOCK_NOT_NEGATIVE = Check(
    "stock is not below zero",
    ("item_id",),
    "item {item_id}: the stock is {stock}",
    "SELECT id AS item_id, stock FROM item_svc.items WHERE stock < 0",
)

STOCK_HISTORY_ADDS_UP = Check(
    "stock history adds up",
    ("item_id",),
    "item {item_id}: its history adds up to {due}, but the stock is {stock}",
    """
    SELECT i.id AS item_id, i.initial_stock + COALESCE(h.pieces, 0) AS due, i.stock
      FROM item_svc.items i
      LEFT JOIN (SELECT item_id, SUM(delta) AS pieces FROM item_svc.stock_history
                  WHERE cause <> 'initial' GROUP BY item_id) h ON h.item_id = i.id
     WHERE i.stock <> i.initial_stock + COALESCE(h.pieces, 0)
    """,
)

# Pieces are summed per order, plainly and multiplied by their item's id, so that the right number of the
# wrong items is seen, too. Lines are unfolded per order: MariaDB fails on grouping very many unfolded ones.
HELD_AS_ORDERED = Check(
    "item holds what the order asks for",
    ("order_id",),
    "order {order_id}: its lines ask for {asked} pieces ({asked_sum} by item id),"
    " but {held} ({held_sum}) are held for it",
    """
    SELECT o.id AS order_id,
           (SELECT SUM(l.quantity) FROM JSON_TABLE(o.`lines`, '$[*]' COLUMNS (
              quantity DECIMAL(30) PATH '$.quantity')) l) AS asked,
           (SELECT SUM(l.quantity * l.item_id) FROM JSON_TABLE(o.`lines`, '$[*]' COLUMNS (
              item_id DECIMAL(30) PATH '$.item_id', quantity DECIMAL(30) PATH '$.quantity')) l) AS asked_sum,
           (SELECT COALESCE(-SUM(s.delta), 0) FROM item_svc.stock_history s
             WHERE s.order_id = o.id AND s.cause = 'order') AS held,
           (SELECT COALESCE(-SUM(CAST(s.delta AS DECIMAL(30)) * s.item_id), 0) FROM item_svc.stock_history s
             WHERE s.order_id = o.id AND s.cause = 'order') AS held_sum
      FROM order_svc.participants p
      JOIN order_svc.orders o ON o.id = p.order_id
     WHERE p.name = 'item' AND p.stand = 'YES'
    HAVING asked <> held OR asked_sum <> held_sum
    """,
)


def claims_agree(service: str) -> Check:
    """Every claim agrees with what its order knows of this participant."""
    return Check(
        f"{service} claims agree with their orders",
        ("order_id",),
        f"order {{order_id}} ({{status}}): {service} stands at {{stand}}, but its claim is {{claim}}",
        f"""
        SELECT p.order_id, o.status, p.stand, COALESCE(c.state, 'missing') AS claim
          FROM order_svc.participants p
          JOIN order_svc.orders o ON o.id = p.order_id
          LEFT JOIN {CLAIM_TABLES[service]} c ON c.order_id = p.order_id {_OWN.get(service, "")}
         WHERE p.name = '{service}'
           AND NOT CASE p.stand
                   WHEN 'AWAITING' THEN COALESCE(c.state, '') <> 'RELEASED'
                   WHEN 'YES' THEN COALESCE(c.state, '') = 'HELD'
                   WHEN 'NO' THEN COALESCE(c.state, '') = 'REJECTED'
                   WHEN 'RELEASED' THEN COALESCE(c.state, '') = 'RELEASED'
                   ELSE TRUE END
        """,  # noqa: S608 - names of our own tables
    )


def claims_have_orders(service: str) -> Check:
    """Nobody holds anything for an order that does not know of it."""
    return Check(
        f"{service} claims belong to orders",
        ("order_id",),
        f"order {{order_id}}: {service} has a claim ({{state}}), but is no participant of such an order",
        f"""
        SELECT c.order_id, c.state
          FROM {CLAIM_TABLES[service]} c
          LEFT JOIN order_svc.participants p ON p.order_id = c.order_id AND p.name = '{service}'
               {_OWN.get(service, "")}
         WHERE p.order_id IS NULL {_CONCERNED.get(service, "")}
        """,  # noqa: S608 - names of our own tables
    )


ORDER_STATES = Check(
    "orders agree with their participants",
    ("order_id",),
    "order {order_id}: is {status}, settled {settled}, but its participants are {stands}",
    """
    SELECT o.id AS order_id, o.status, IF(o.settled, 'yes', 'no') AS settled,
           COALESCE(GROUP_CONCAT(p.name, ' ', p.stand ORDER BY p.name SEPARATOR ', '), 'none') AS stands
      FROM order_svc.orders o
      LEFT JOIN order_svc.participants p ON p.order_id = o.id
     GROUP BY o.id, o.status, o.settled
    HAVING NOT COALESCE(SUM(p.name = 'item') = 1 AND CASE o.status
           WHEN 'PENDING' THEN NOT o.settled AND SUM(p.stand = 'AWAITING') > 0
                               AND SUM(p.stand NOT IN ('AWAITING', 'YES')) = 0
           WHEN 'COMPLETED' THEN o.settled AND SUM(p.stand <> 'YES') = 0
           WHEN 'FAIL' THEN SUM(p.stand = 'YES') = 0 AND o.settled = (SUM(p.stand <> 'NO') = 0)
           WHEN 'CANCEL' THEN o.settled AND SUM(p.stand = 'RELEASED') > 0
                              AND SUM(p.stand NOT IN ('NO', 'RELEASED')) = 0
           ELSE FALSE END, FALSE)
    """,
)

ORDER_TOTALS = Check(
    "order totals add up",
    ("order_id",),
    "order {order_id}: the total is {total}, but its lines come to {due}",
    """
    SELECT o.id AS order_id, o.total,
           (SELECT SUM(l.quantity * l.price) FROM JSON_TABLE(o.`lines`, '$[*]' COLUMNS (
              quantity DECIMAL(30) PATH '$.quantity', price DECIMAL(30) PATH '$.discounted_price')) l) AS due
      FROM order_svc.orders o
    HAVING NOT o.total <=> due
    """,
)

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
     WHERE NOT (u.used_by <=> CAST(o.id AS CHAR(36)))
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

USERS_HAVE_ACCOUNTS = Check(
    "users and point accounts stand or fall together",
    ("user_id",),
    "user {user_id}: the user is {user_state}, the point account is {account_state}",
    # A sign-up is undone before payment hears of it, so an account that is new may be about to close.
    """
    SELECT u.id AS user_id, u.state AS user_state, COALESCE(a.state, 'missing') AS account_state
      FROM user_svc.users u LEFT JOIN payment_svc.accounts a ON a.user_id = u.id
     WHERE u.state = 'ACTIVE' AND (a.state IS NULL OR a.state <> 'OPEN')
    UNION ALL
    SELECT a.user_id, 'missing', a.state
      FROM payment_svc.accounts a LEFT JOIN user_svc.users u ON u.id = a.user_id
     WHERE u.id IS NULL AND a.state = 'OPEN' AND a.opened_at < UTC_TIMESTAMP() - INTERVAL 5 MINUTE
    """,
)

POINTS_ADD_UP = Check(
    "point balances equal their ledgers",
    ("user_id",),
    "user {user_id}: the ledger adds up to {due} points, but the balance is {balance}",
    """
    SELECT a.user_id, a.balance, COALESCE(l.points, 0) AS due
      FROM payment_svc.accounts a
      LEFT JOIN (SELECT user_id, SUM(delta) AS points FROM payment_svc.ledger GROUP BY user_id) l
        ON l.user_id = a.user_id
     WHERE a.balance <> COALESCE(l.points, 0)
    """,
)

POINTS_HAVE_ACCOUNTS = Check(
    "ledgers belong to accounts",
    ("user_id",),
    "user {user_id}: has {entries} ledger entries, but no account",
    """
    SELECT l.user_id, COUNT(*) AS entries
      FROM payment_svc.ledger l LEFT JOIN payment_svc.accounts a ON a.user_id = l.user_id
     WHERE a.user_id IS NULL GROUP BY l.user_id
    """,
)

POINTS_NOT_NEGATIVE = Check(
    "point balances are not below zero",
    ("user_id",),
    "user {user_id}: the balance is {balance} points",
    "SELECT user_id, balance FROM payment_svc.accounts WHERE balance < 0",
)

PAYMENTS_ADD_UP = Check(
    "points taken agree with the claims",
    ("order_id",),
    "order {order_id}: its payment is {state} with {amount}, but its ledger entries come to {net}",
    """
    SELECT d.order_id, COALESCE(c.state, 'missing') AS state, COALESCE(c.amount, 0) AS amount,
           d.points - IF(c.state <=> 'HELD' AND c.method <=> 'points', c.amount, 0) AS net
      FROM (SELECT order_id, SUM(points) AS points FROM (
              SELECT order_id, delta AS points FROM payment_svc.ledger WHERE order_id IS NOT NULL
              UNION ALL
              SELECT order_id, amount FROM payment_svc.payments
               WHERE state = 'HELD' AND method = 'points') entries
             GROUP BY order_id HAVING SUM(points) <> 0) d
      LEFT JOIN payment_svc.payments c ON c.order_id = d.order_id
           AND c.attempt = (SELECT MAX(l.attempt) FROM payment_svc.payments l WHERE l.order_id = d.order_id)
    """,
)

ORDERS_PAID = Check(
    "paid orders were paid in full",
    ("order_id",),
    "order {order_id} ({status}): total {total}, paid {paid}, but the payment is {claim} with {amount}",
    """
    SELECT o.id AS order_id, o.status, o.total, IF(o.paid, 'yes', 'no') AS paid,
           COALESCE(c.state, 'missing') AS claim, COALESCE(c.amount, 0) AS amount
      FROM order_svc.orders o
      LEFT JOIN order_svc.participants p ON p.order_id = o.id AND p.name = 'payment'
      LEFT JOIN payment_svc.payments c ON c.order_id = o.id
           AND (c.payment_id = p.payment_id OR (p.payment_id IS NULL AND c.attempt = 0))
     WHERE (o.status = 'COMPLETED'
            AND IF(o.paid, COALESCE(c.state, '') <> 'HELD' OR c.amount <> o.total, o.pay_with IS NOT NULL))
        OR (o.paid AND COALESCE(p.stand, '') NOT IN ('YES', 'RELEASING'))
    """,
)

PAYMENTS_KNOWN = Check(
    "the outcome of every payment is found out",
    ("payment_id",),
    "payment {payment_id} of order {order_id}: {state} since {since} UTC, asked about {asks} times",
    """
    SELECT payment_id, order_id, state, changed_at AS since, asks FROM payment_svc.payments
     WHERE state IN ('ASKING', 'RELEASING') AND ask_due_at IS NOT NULL
       AND changed_at < UTC_TIMESTAMP(6) - INTERVAL 5 MINUTE
    """,
)

NOTHING_OVERDUE = Check(
    "no order is past its deadline",
    ("order_id",),
    "order {order_id}: still {status}, although its deadline was {deadline} UTC; silent: {silent}",
    f"""
    SELECT o.id AS order_id, o.status, o.deadline_at AS deadline,
           GROUP_CONCAT(p.name ORDER BY p.name SEPARATOR ', ') AS silent
      FROM order_svc.orders o
      LEFT JOIN order_svc.participants p ON p.order_id = o.id AND p.stand = 'AWAITING'
     WHERE o.deadline_at < UTC_TIMESTAMP(6) - {_SWEEP} AND o.status IN ('PENDING', 'FAIL')
     GROUP BY o.id, o.status, o.deadline_at
    """,  # noqa: S608 - a constant
)

NOTHING_STUCK = Check(
    "no order is stuck while giving back",
    ("order_id",),
    "order {order_id}: {status} since {since} UTC ({reason}), still waiting for {waiting} to give back",
    f"""
    SELECT o.id AS order_id, o.status, COALESCE(o.reason, 'no reason') AS reason, o.updated_at AS since,
           GROUP_CONCAT(p.name ORDER BY p.name SEPARATOR ', ') AS waiting
      FROM order_svc.orders o
      JOIN order_svc.participants p ON p.order_id = o.id AND p.stand = 'RELEASING'
     WHERE NOT o.settled AND o.updated_at < UTC_TIMESTAMP(6) - {_LONG}
     GROUP BY o.id, o.status, o.reason, o.updated_at
    """,  # noqa: S608 - a constant
)

OUTBOXES_DRAINED = Check(
    "outboxes are drained",
    ("service", "id"),
    "{service}: {type} about {subjects} waits in the outbox since {since} UTC, {attempts} attempts",
    " UNION ALL ".join(
        f"""
        SELECT '{service}' AS service, id, type, SUBSTRING(subjects, 1, 200) AS subjects,
               created_at AS since, attempts
          FROM {service}_svc.outbox WHERE created_at < UTC_TIMESTAMP(6) - {_LONG}
        """  # noqa: S608 - names of our own tables
        for service in SERVICES
    ),
)

CHECKS = (
    STOCK_ADDS_UP,
    STOCK_NOT_NEGATIVE,
    STOCK_HISTORY_ADDS_UP,
    HELD_AS_ORDERED,
    *(claims_agree(service) for service in CLAIM_TABLES),
    *(claims_have_orders(service) for service in CLAIM_TABLES),
    ORDER_STATES,
    ORDER_TOTALS,
    COUPON_USED_ONCE,
    COUPON_USED_BY_STANDING,
    COUPON_USES_MARKED,
    COUPONS_OF_ORDERS,
    COUPONS_COUNTED,
    COUPONS_PER_USER,
    PRICES_COPIED,
    *CART_CHECKS,
    USERS_HAVE_ACCOUNTS,
    POINTS_ADD_UP,
    POINTS_HAVE_ACCOUNTS,
    POINTS_NOT_NEGATIVE,
    PAYMENTS_ADD_UP,
    ORDERS_PAID,
    PAYMENTS_KNOWN,
    *NOTICE_CHECKS,
    NOTHING_OVERDUE,
    NOTHING_STUCK,
    OUTBOXES_DRAINED,
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
)
NOW = "SELECT UTC_TIMESTAMP(6) AS now"
COUNT_ORDERS = "SELECT COUNT(*) AS orders FROM order_svc.orders"
