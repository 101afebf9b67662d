"""What must hold of carts: they lose what is ordered, and get it back where the order came to nothing."""

from ops.verify.check import Check

CARTS_FOLLOW_ORDERS = Check(
    "carts lost and got back what their orders took",
    ("order_id",),
    "order {order_id}: is {status} (completed before: {completed}), but what it took from a cart is {state}",
    """
    SELECT t.order_id, t.state, COALESCE(t.status, 'unknown') AS status,
           IF(t.completed, 'yes', 'no') AS completed
      FROM (SELECT k.order_id, k.state, o.status, EXISTS (
                     SELECT 1 FROM order_svc.order_history h
                      WHERE h.order_id = k.order_id AND h.what = 'ORDER_COMPLETED') AS completed
              FROM item_svc.cart_takings k LEFT JOIN order_svc.orders o ON o.id = k.order_id) t
     WHERE NOT CASE WHEN t.status IS NULL THEN FALSE
                    WHEN t.status IN ('PENDING', 'COMPLETED') OR t.completed THEN t.state = 'TAKEN'
                    ELSE t.state = 'RETURNED' END
    """,
)

CARTS_WITHOUT_GHOSTS = Check(
    "carts hold pieces of items",
    ("user_id", "item_id"),
    "cart of user {user_id}: has {quantity} of item {item_id}, which is {item}",
    """
    SELECT c.user_id, c.item_id, c.quantity, IF(i.id IS NULL, 'unknown', 'known') AS item
      FROM item_svc.cart_lines c
      LEFT JOIN item_svc.items i ON i.id = c.item_id
     WHERE i.id IS NULL OR c.quantity < 1
    """,
)

CARTS_WITHOUT_ORDERED = Check(
    "what was ordered is not in the cart as well",
    ("user_id", "item_id"),
    "cart of user {user_id}: still has item {item_id}, put there at {since} UTC, which order {order_id}"
    " has got",
    # What was put there after the order was placed is wanted once more.
    """
    SELECT c.user_id, c.item_id, c.changed_at AS since, o.id AS order_id
      FROM item_svc.cart_lines c
      JOIN order_svc.orders o ON o.buyer_id = c.user_id AND o.created_at >= c.changed_at
           AND o.status IN ('PENDING', 'COMPLETED')
      JOIN item_svc.item_claims k ON k.order_id = o.id AND k.state = 'HELD'
      JOIN JSON_TABLE(o.`lines`, '$[*]' COLUMNS (item_id BIGINT PATH '$.item_id')) l
           ON l.item_id = c.item_id
    """,
)

CART_CHECKS = (CARTS_FOLLOW_ORDERS, CARTS_WITHOUT_GHOSTS, CARTS_WITHOUT_ORDERED)
