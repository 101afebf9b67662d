"""What must hold of an order by itself."""

from ops.verify.check import Check

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

ORDER_CHECKS = (
    ORDER_STATES,
    ORDER_TOTALS,
)
