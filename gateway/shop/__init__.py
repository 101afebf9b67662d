"""The routes of the buyers' nouns: items, carts, coupons, orders, payments, points, users."""
