"""Card payments as a model: the real handlers, and around them a world that does what it likes."""
