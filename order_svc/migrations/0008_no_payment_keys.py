"""Keys to a buyer's card, which `order.placed` told once, are forgotten where such an event still waits."""

from tortoise import migrations

from shared.database.altering import forget_text


class Migration(migrations.Migration):
    dependencies = [("order", "0007_waiting_is_due"), ("platform", "0001_initial")]
    atomic = False

    operations = [forget_text("outbox", "body", "payment_key")]
