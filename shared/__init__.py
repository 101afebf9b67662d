"""The platform every service stands on: messaging, outbox, database, calls, settings, errors, logs.

It knows no business word: nothing here mentions orders, items or users, and it imports no service.
`docs/platform.md` shows how to build a service on it.
"""
