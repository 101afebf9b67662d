"""Ids and words of our own compare byte by byte."""

from tortoise import migrations

from shared.database.altering import bytewise

ID = "VARCHAR(36) NOT NULL"


class Migration(migrations.Migration):
    dependencies = [("item", "0004_carts")]

    operations = [
        bytewise("item_claims", order_id=ID),
        bytewise(
            "stock_history",
            order_id="VARCHAR(36) NULL",
            cause="VARCHAR(10) NOT NULL COMMENT 'initial, order, release or adjustment'",
        ),
        bytewise("item_requests", id=ID),
        bytewise("cart_takings", order_id=ID),
    ]
