"""What must hold of stock: it is what was there, with what was adjusted, without what is held."""

from ops.verify.check import Check

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

STOCK_CHECKS = (
    STOCK_ADDS_UP,
    STOCK_NOT_NEGATIVE,
    STOCK_HISTORY_ADDS_UP,
)
