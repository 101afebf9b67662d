"""Orders: placing, the saga, deadlines, cancelling."""
