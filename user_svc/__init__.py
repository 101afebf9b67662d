"""Accounts: signing up, signing in, tokens and the keys they are signed with."""
