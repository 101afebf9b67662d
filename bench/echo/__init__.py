"""An echo over RabbitMQ, once for every way to ask: `python -m bench.echo NAME serve|ask`.

Each module has `serving` (answers until the block ends) and `asking` (gives a function that asks once).
All of them run on uvloop, in processes of their own.
"""
