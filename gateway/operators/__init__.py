"""The routes of operators: what goes on in the shop, and what they put right."""
