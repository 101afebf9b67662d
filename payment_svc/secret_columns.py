"""Which columns of this service's tables hold secrets: nobody reads them but the service itself."""

SECRET = {
    "payments": {"card_key"},
    "payment_intents": {"card_key"},
}
"""With such a key and the shop's own secret, the PG gives a charge back."""
