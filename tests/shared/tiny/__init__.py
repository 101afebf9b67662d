"""A tiny service: as little business as it takes to see the platform work."""
