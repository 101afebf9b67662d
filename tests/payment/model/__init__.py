"""Card payments as a model: the real handlers between a payment gateway and a network that do what they like."""
