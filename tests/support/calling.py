"""Calls over HTTP in tests: one key that all services of a test share, so each may make every call."""

from shared.rpc.credentials import Signer, new_key, public_part

KEY = new_key("tests")
SETTINGS = {"call_key": KEY, "call_keys": public_part(KEY)}
"""For processes that call and are called."""
SIGNER = Signer(lambda: KEY)


def bearer(service: str) -> dict[str, str]:
    """The head of a call to a service, besides what it says."""
    return {"authorization": f"Bearer {SIGNER.token_for(service)}", "content-type": "application/json"}
