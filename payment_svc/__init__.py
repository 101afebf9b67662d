"""Point accounts and their ledger, and the payments of orders."""
