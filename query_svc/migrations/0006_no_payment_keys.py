"""Keys to a buyer's card, which `order.placed` told once, are forgotten: in the store and in dead letters."""

from tortoise import migrations

from shared.database.altering import forget_text


class Migration(migrations.Migration):
    dependencies = [("query", "0005_refunds_in_part")]
    atomic = False

    operations = [
        forget_text("saga_event_log", "event_data", "payment_key", key="position"),
        forget_text("dead_letters", "body", "payment_key"),
    ]
