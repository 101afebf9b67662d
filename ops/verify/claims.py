"""What must hold between orders and what their participants keep of them."""

from ops.verify.check import Check

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


CLAIM_CHECKS = (
    HELD_AS_ORDERED,
    *(claims_agree(service) for service in CLAIM_TABLES),
    *(claims_have_orders(service) for service in CLAIM_TABLES),
)
