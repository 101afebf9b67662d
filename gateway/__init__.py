"""The public HTTP door: turns requests into calls, and owns no table."""
