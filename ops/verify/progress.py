"""What must not be left lying: deadlines, releases, messages."""

from ops.verify.check import Check

SERVICES = ("user", "item", "coupon", "order", "payment", "query")
# What has been under way for longer than this was not merely seen in passing.
_LONG = "INTERVAL 60 SECOND"
# A sweep looks for passed deadlines every second or so.
_SWEEP = "INTERVAL 5 SECOND"


NOTHING_OVERDUE = Check(
    "no order is past its deadline",
    ("order_id",),
    "order {order_id}: still {status}, although its deadline was {deadline} UTC; silent: {silent}",
    f"""
    SELECT o.id AS order_id, o.status, o.deadline_at AS deadline,
           GROUP_CONCAT(p.name ORDER BY p.name SEPARATOR ', ') AS silent
      FROM order_svc.orders o
      LEFT JOIN order_svc.participants p ON p.order_id = o.id AND p.stand = 'AWAITING'
     WHERE o.deadline_at < UTC_TIMESTAMP(6) - {_SWEEP} AND o.status IN ('PENDING', 'FAIL')
     GROUP BY o.id, o.status, o.deadline_at
    """,  # noqa: S608 - a constant
)

NOTHING_STUCK = Check(
    "no order is stuck while giving back",
    ("order_id",),
    "order {order_id}: {status} since {since} UTC ({reason}), still waiting for {waiting} to give back",
    f"""
    SELECT o.id AS order_id, o.status, COALESCE(o.reason, 'no reason') AS reason, o.updated_at AS since,
           GROUP_CONCAT(p.name ORDER BY p.name SEPARATOR ', ') AS waiting
      FROM order_svc.orders o
      JOIN order_svc.participants p ON p.order_id = o.id AND p.stand = 'RELEASING'
     WHERE NOT o.settled AND o.updated_at < UTC_TIMESTAMP(6) - {_LONG}
     GROUP BY o.id, o.status, o.reason, o.updated_at
    """,  # noqa: S608 - a constant
)

OUTBOXES_DRAINED = Check(
    "outboxes are drained",
    ("service", "id"),
    "{service}: {type} about {subjects} waits in the outbox since {since} UTC, {attempts} attempts",
    " UNION ALL ".join(
        f"""
        SELECT '{service}' AS service, id, type, SUBSTRING(subjects, 1, 200) AS subjects,
               created_at AS since, attempts
          FROM {service}_svc.outbox WHERE created_at < UTC_TIMESTAMP(6) - {_LONG}
        """  # noqa: S608 - names of our own tables
        for service in SERVICES
    ),
)

PROGRESS_CHECKS = (
    NOTHING_OVERDUE,
    NOTHING_STUCK,
    OUTBOXES_DRAINED,
)
