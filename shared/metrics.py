"""What the platform counts, for Prometheus. Never an id as label."""

from prometheus_client import Counter, Gauge, Histogram

EVENTS_PUBLISHED = Counter("shop_events_published", "Events confirmed by the broker", ["event"])
EVENTS_HANDLED = Counter("shop_events_handled", "Events handled, by outcome", ["event", "outcome"])
EVENT_LIST_SECONDS = Histogram("shop_event_list_seconds", "Time to handle one list of events", ["consumer"])
EVENT_LIST_SIZE = Histogram(
    "shop_event_list_size", "Events in one list", ["consumer"], buckets=(1, 2, 4, 8, 16, 32, 64, 128)
)
EVENT_LAG_SECONDS = Histogram("shop_event_lag_seconds", "From an event's time to its handling", ["event"])
CLOCK_AHEAD_SECONDS = Gauge(
    "shop_clock_ahead_seconds", "How far this host's clock is ahead of its database's", ["service"]
)
CLOCK_DIFFERENCE_SECONDS = Gauge(
    "shop_clock_difference_seconds",
    "How far this host's clock is ahead of the source's, by the youngest event of the last minutes",
    ["source"],
)
CALLS_ANSWERED = Counter("shop_calls_answered", "Calls answered, by status", ["call", "status"])
CALL_SECONDS = Histogram("shop_call_seconds", "Time from asking to the answer, as callers see it", ["call"])
CALLS_OVER_HTTP = Counter("shop_calls_over_http", "Calls made over HTTP for want of a broker", ["call"])
REQUESTS_REFUSED = Counter(
    "shop_requests_refused", "Requests and connections refused before any work", ["why"]
)
CONNECTIONS = Gauge("shop_http_connections", "Open HTTP connections")
CERTIFICATE_ENDS_SECONDS = Gauge(
    "shop_certificate_ends_seconds", "Until a certificate that is shown ends", ["certificate"]
)
STRANGERS = Counter(
    "shop_strangers", "Messages from somebody who may not have sent them, none of them read", ["queue"]
)
DEAD_LETTERS = Counter("shop_dead_letters", "Events given up on", ["queue"])
OUTBOX_PENDING = Gauge("shop_outbox_pending", "Messages in the outbox")
OUTBOX_PARKED = Gauge("shop_outbox_parked", "Messages in the outbox that wait for a person")
OUTBOX_MESSAGES_PARKED = Counter("shop_outbox_messages_parked", "Messages that could not be sent", ["event"])
OUTBOX_OLDEST_SECONDS = Gauge("shop_outbox_oldest_seconds", "Age of the oldest message in the outbox")
FAILING_SECONDS = Gauge(
    "shop_failing_seconds",
    "For how long a link or a job has been failing; 0 while it works",
    ["what"],
)
