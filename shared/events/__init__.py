"""Facts on their way: out of a unit of work, over the broker, into another service's."""
