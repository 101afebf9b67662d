"""The same saga as a competent user would write it today with FastStream and Tortoise.

One message an event, one transaction a message: an outbox row in it, published with confirms right after the
commit and then deleted; durable quorum queues; a claim an order, so that a second delivery changes nothing.

`python -m bench.peer gateway|order|item|coupon`: four processes, as the shop has for the same work.
"""
