"""What reading costs without a gateway: one Litestar process with Tortoise, on the shop's own tables."""
