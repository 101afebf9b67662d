"""Proves the books across the services' databases."""
