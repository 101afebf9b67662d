"""What the read side says must be what the orders' own tables say, to the unit.

It knows what happened since it first listened; orders placed before that are not compared.
"""

from ops.verify.check import Check

_KNOWN = "o.created_at >= (SELECT stored_at FROM query_svc.saga_event_log ORDER BY position LIMIT 1)"

ORDERS_TOLD = Check(
    "the read side shows orders as they are",
    ("order_id",),
    "order {order_id}: is {due}, but the read side shows {told}",
    f"""
    SELECT o.id AS order_id,
           CONCAT_WS(', ', o.status, o.reason, IF(o.settled, 'settled', 'under way'),
                     IF(o.paid, 'paid', 'unpaid'), o.total) AS due,
           IF(v.order_id IS NULL, 'nothing',
              CONCAT_WS(', ', v.status, v.reason, IF(v.settled, 'settled', 'under way'),
                        IF(v.confirmed_at IS NULL, 'unpaid', 'paid'), v.total)) AS told
      FROM order_svc.orders o
      LEFT JOIN query_svc.order_views v ON v.order_id = o.id
     WHERE {_KNOWN}
    HAVING due <> told
    """,  # noqa: S608 - a constant
)

# One row an order that was confirmed: its hour, and what it sold, whether or not it was called off since.
_CONFIRMED = f"""
    SELECT TIMESTAMP(DATE(h.at), MAKETIME(HOUR(h.at), 0, 0)) AS hour, o.status = 'COMPLETED' AS stands,
           CAST(o.total AS DECIMAL(38)) AS revenue,
           (SELECT SUM(l.quantity) FROM JSON_TABLE(o.`lines`, '$[*]' COLUMNS (
              quantity DECIMAL(30) PATH '$.quantity')) l) AS quantity,
           (SELECT SUM(l.quantity * l.item_id) FROM JSON_TABLE(o.`lines`, '$[*]' COLUMNS (
              item_id DECIMAL(30) PATH '$.item_id', quantity DECIMAL(30) PATH '$.quantity')) l) AS by_item
      FROM order_svc.order_history h JOIN order_svc.orders o ON o.id = h.order_id
     WHERE h.what = 'ORDER_CONFIRMED' AND {_KNOWN}
"""  # noqa: S608 - a constant

SALES_TOLD = Check(
    "sales figures are those of the orders",
    ("hour",),
    "hour {hour} UTC: the orders differ from the sales figures by {orders} orders, {quantity} pieces,"
    " {revenue} won, {cancelled_orders} cancelled orders, {cancelled_revenue} won cancelled",
    f"""
    SELECT hour, SUM(orders) AS orders, SUM(quantity) AS quantity, SUM(revenue) AS revenue,
           SUM(cancelled_orders) AS cancelled_orders, SUM(cancelled_revenue) AS cancelled_revenue
      FROM (SELECT hour, stands AS orders, stands * quantity AS quantity, stands * revenue AS revenue,
                   NOT stands AS cancelled_orders, (NOT stands) * revenue AS cancelled_revenue
              FROM ({_CONFIRMED}) confirmed
             UNION ALL
            SELECT hour, -orders, -quantity, -revenue, -cancelled_orders, -cancelled_revenue
              FROM query_svc.sales_hours) differences
     GROUP BY hour
    HAVING orders <> 0 OR quantity <> 0 OR revenue <> 0 OR cancelled_orders <> 0 OR cancelled_revenue <> 0
    """,  # noqa: S608 - a constant
)

# As with stock: pieces plainly and multiplied by their item's id, so that wrong items are seen, too.
RANKINGS_TOLD = Check(
    "rankings are those of the orders",
    ("period",),
    "rankings by {period}: {told}, but the orders that stand add up to {due} (pieces, by item id, won)",
    f"""
    SELECT p.period,
           (SELECT CONCAT_WS(' / ', COALESCE(SUM(quantity), 0), COALESCE(SUM(by_item), 0),
                             COALESCE(SUM(revenue), 0))
              FROM ({_CONFIRMED}) confirmed WHERE stands) AS due,
           (SELECT CONCAT_WS(' / ', COALESCE(SUM(s.quantity), 0),
                             COALESCE(SUM(CAST(s.quantity AS DECIMAL(38)) * s.item_id), 0),
                             COALESCE(SUM(s.revenue), 0))
              FROM query_svc.item_sales s WHERE s.period = p.period) AS told
      FROM (SELECT 'day' AS period UNION ALL SELECT 'week' UNION ALL SELECT 'month' UNION ALL SELECT 'all') p
    HAVING due <> told
    """,  # noqa: S608 - a constant
)

READ_SIDE = (ORDERS_TOLD, SALES_TOLD, RANKINGS_TOLD)

COMES_BEHIND = (
    "SELECT 1 FROM query_svc.event_store_head WHERE (folded < position OR wiping) AND %s IS NOT NULL",
    f"""
    SELECT 1 FROM order_svc.orders o LEFT JOIN query_svc.order_views v ON v.order_id = o.id
     WHERE {_KNOWN} AND o.settled AND o.created_at <= %s AND (v.order_id IS NULL OR v.status <> o.status)
     LIMIT 1
    """,  # noqa: S608 - a constant
)
"""What finds something while the read side is behind the others: a rebuild, orders not heard of yet. Each
takes the moment up to which it looks."""
