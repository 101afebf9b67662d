"""The `Idempotency-Key` of a request: whose it is, on which route, and what stands for what was asked for.

Every POST of a signed-in user that changes something takes one, and gives it to the calls that it makes.
"""

import hashlib
from typing import Annotated, Any
from uuid import UUID

from litestar.params import HeaderParameter

from gateway.door.requests import ShopRequest
from shared.errors import FieldError, Malformed
from shared.ids import new_id
from shared.rpc import Once, fingerprint

HEADER = "Idempotency-Key"
IdempotencyKey = Annotated[
    str | None,
    HeaderParameter(
        name=HEADER,
        pattern=r"^[!-~]{1,255}$",
        description="1 to 255 visible characters of your choice. The same request again under the same key, "
        "within 7 days, is not done again but gets the first answer again; another one is 422, and while the "
        "first is still running 409 with Retry-After. What was refused does not use up its key.",
    ),
]


def once(request: ShopRequest, key: str | None, *wish: Any) -> Once | None:
    """That what this request asks for is to be done once; None for a request without a key.

    `wish` is all that it asks for, as read: the body, and what its path names. Raises `Malformed` for two
    keys.
    """
    if key is None:
        return None
    _refuse_two(request)
    return Once(request.user.id, str(request.route_handler.operation_id), key, fingerprint(*wish))


def same_id(request: ShopRequest, key: str | None, *wish: Any) -> UUID:
    """For requests of nobody: the id of the request, the same whenever it comes again under its key.

    No secret belongs into `wish`: the id is kept, and made so fast that it could be guessed from it.
    """
    if key is None:
        return new_id()
    _refuse_two(request)
    return UUID(bytes=hashlib.sha256(f"{key} {fingerprint(*wish)}".encode()).digest()[:16])


def _refuse_two(request: ShopRequest) -> None:
    if len(request.headers.getall(HEADER)) > 1:
        raise Malformed(f"One {HEADER} is enough.", errors=[FieldError(field=HEADER, message="given twice")])
