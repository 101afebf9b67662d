"""The payment service's tables: payments, accounts with their ledger, numbers given out, the audit log."""
