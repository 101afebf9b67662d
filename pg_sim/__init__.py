"""A payment gateway (PG) to practise with: a process of its own, outside of the shop, that moves no money."""
