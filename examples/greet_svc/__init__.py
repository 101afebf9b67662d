"""Greetings, counted."""
