"""Which columns of this service's tables hold secrets: none."""

from collections.abc import Mapping

SECRET: Mapping[str, frozenset[str]] = {}
NO_SECRET = {"dead_letters": {"group_key"}}
"""What only sounds like one."""
