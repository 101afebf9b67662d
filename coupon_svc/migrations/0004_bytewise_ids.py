"""Ids and words of our own compare byte by byte."""

from tortoise import migrations

from shared.database.altering import bytewise

ID = "VARCHAR(36) NOT NULL"


class Migration(migrations.Migration):
    dependencies = [("coupon", "0003_prices")]

    operations = [
        bytewise("coupon_claims", order_id=ID),
        bytewise("coupon_uses", order_id=ID),
        bytewise("user_coupons", used_by="VARCHAR(36) NULL"),
    ]
