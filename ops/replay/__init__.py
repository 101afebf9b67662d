"""Replays a file of real orders through the shop's HTTP door."""
