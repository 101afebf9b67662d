"""What the PG does not do, in its own codes: each with its HTTP status and its message."""

from msgspec import Struct


class Refusal(Struct, frozen=True):
    """Why something was not done, in the PG's words."""

    code: str
    message: str


_KNOWN: dict[str, tuple[int, str]] = {
    "INVALID_REQUEST": (400, "The request is not valid."),
    "INVALID_IDEMPOTENCY_KEY": (400, "The idempotency key may have 1 to 300 characters."),
    "INVALID_TRANSACTION_KEY": (400, "There is no transaction with the key that paging is to go on from."),
    "ALREADY_PROCESSED_PAYMENT": (400, "The payment has already been processed."),
    "DUPLICATED_ORDER_ID": (400, "The order number has been charged already; use another."),
    "PROVIDER_ERROR": (400, "A temporary error. Try again in a while."),
    "ALREADY_CANCELED_PAYMENT": (400, "The payment has already been cancelled."),
    "UNAUTHORIZED_KEY": (401, "The secret key is not valid."),
    "INCORRECT_BASIC_AUTH_FORMAT": (403, "Basic credentials are the secret key and a colon, in Base64."),
    "REJECT_CARD_COMPANY": (403, "The card's issuer declined the payment."),
    "FORBIDDEN_REQUEST": (403, "The order number or the amount is not that of the payment."),
    "FORBIDDEN_CONSECUTIVE_REQUEST": (403, "A request for this payment is at work. Try again in a while."),
    "NOT_CANCELABLE_AMOUNT": (403, "The amount is more than what is left of the payment."),
    "NOT_CANCELABLE_PAYMENT": (403, "The payment cannot be cancelled."),
    "NOT_FOUND": (404, "There is nothing at this address."),
    "NOT_FOUND_PAYMENT": (404, "There is no such payment."),
    "NOT_FOUND_PAYMENT_SESSION": (404, "The time for the payment is over, its session is gone."),
    "IDEMPOTENT_REQUEST_PROCESSING": (409, "The first request with this idempotency key is at work."),
}


def refusal(code: str, message: str = "") -> Refusal:
    """The refusal with this code, with its usual message or another."""
    return Refusal(code, message or _KNOWN[code][1])


def status_of(refused: Refusal) -> int:
    """The HTTP status that a refusal is answered with."""
    return _KNOWN[refused.code][0]


class Refused(Exception):
    """Raised instead of doing what is refused."""

    def __init__(self, code: str, message: str = "") -> None:
        self.refusal = refusal(code, message)
        super().__init__(f"{code}: {self.refusal.message}")
