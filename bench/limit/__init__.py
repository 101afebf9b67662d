"""The limit of this design: the order saga written by hand, as bare as the same durability allows.

Lists through one transaction, many orders in a message, grouped calls, an outbox row in the transaction,
confirmed persistent publishes to quorum queues, commit before acknowledge, a claim an order. Stock aio-pika,
raw aiomysql, msgspec, and a Litestar door as ours; no sign-in, no retries, no history, no giving back.

`python -m bench.limit gateway|order|item|coupon`: four processes, as the shop has for the same work.
"""
