"""What must hold of points and payments."""

from ops.verify.check import Check

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

MONEY_CHECKS = (
    USERS_HAVE_ACCOUNTS,
    POINTS_ADD_UP,
    POINTS_HAVE_ACCOUNTS,
    POINTS_NOT_NEGATIVE,
    PAYMENTS_ADD_UP,
    ORDERS_PAID,
    PAYMENTS_KNOWN,
)
