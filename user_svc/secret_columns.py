"""Which columns of this service's tables hold secrets: nobody reads them but the service itself."""

SECRET = {
    "users": {"password_hash"},
    "sessions": {"secret_hash", "previous_hash", "successor_salt"},
    "mailings": {"address_hash"},
    "mailed_tokens": {"id"},
    "known_clients": {"id"},
    "sign_in_failures": {"id"},
    "signing_keys": {"private_key"},
    "kept_answers": {"answer"},  # what is shown once may be kept there to be shown again to who asked
}
NO_SECRET = {
    "users": {"email_key"},
    "signing_keys": {"public_key"},
}
"""What only sounds like one."""
