"""The request as the gateway's handlers see it: who asks, the way to the services, and a strict JSON body."""

import codecs
from typing import Any

from litestar import Request
from litestar.exceptions import HTTPException, InternalServerException
from msgspec import Struct

from gateway.door.roles import allowed
from gateway.door.strict import decode
from gateway.settings import GatewaySettings
from shared.errors import Malformed
from shared.rpc import Rpc
from shared.service import Client, client_of, networks
from user_svc.contracts import Role

JSON_TYPES = {"application/json", ""}
"""What a body may say it is; one that does not say is taken for JSON."""


class User(Struct, frozen=True):
    """Who asks, as a verified access token says."""

    id: int
    roles: frozenset[Role]
    session: str = ""
    """The sign-in that the token belongs to."""
    generation: int = 0
    """Of the user's tokens: when one ends, all of it do."""


class ShopRequest(Request[User, Any, Any]):
    """A request with the way to the services, whose `data` is decoded strictly.

    The framework's own way converts laxly: it would take "5" for 5.
    """

    __slots__ = ()

    @property
    def rpc(self) -> Rpc:
        """Asks the services."""
        return self.app.state["rpc"]

    @property
    def owner(self) -> int | None:
        """Whose things this request is limited to: its user's own, or (None) anybody's for some roles."""
        who = allowed(self.route_handler.opt)
        unlimited = who is not None and not who.unlimited.isdisjoint(self.user.roles)
        return None if unlimited else self.user.id

    @property
    def settings(self) -> GatewaySettings:
        """The gateway's settings."""
        return self.app.state["settings"]

    @property
    def came_from(self) -> Client:
        """Its client, past the proxies that are ours."""
        return came_from(self)

    async def body(self) -> bytes:
        """The body of a request that must have one, as JSON in UTF-8; empty where its handler can do without.

        Raises 415 for another content type, 413 for one that is too large and `Malformed` for none at all.
        """
        body = await self.body_as_it_came()
        if not body and self.route_handler.parsed_fn_signature.parameters["data"].has_default:
            return body
        media_type, options = self.content_type
        if media_type not in JSON_TYPES or not _is_utf_8(options.get("charset")):
            raise HTTPException(status_code=415, detail="Send the body as application/json, in UTF-8.")
        if not body:
            raise Malformed("A JSON body is needed.")
        return body

    async def body_as_it_came(self) -> bytes:
        """The body, whatever it is. Raises 413 where it is too large, `Malformed` where it breaks off."""
        try:
            return await super().body()
        except InternalServerException:  # the client is gone in the middle of it: nothing of ours failed
            raise Malformed("The body breaks off.") from None

    async def json(self) -> Any:
        """The body as the type of the handler's `data`; see `gateway.door.strict.decode`."""
        kind = self.route_handler.parsed_fn_signature.parameters["data"].annotation
        return decode(await self.body(), kind)


def came_from(request: Request[Any, Any, Any]) -> Client:
    """The client of a request, past the proxies that are ours."""
    scope = request.scope
    peer, _ = scope["client"] or ("", 0)
    trusted = networks(request.app.state["settings"].trusted_proxies)
    return client_of(peer, scope["scheme"] == "https", scope["headers"], trusted)


def _is_utf_8(charset: str | None) -> bool:
    """Whether a `charset` is UTF-8, in any spelling that clients have for it."""
    try:
        return charset is None or codecs.lookup(charset.strip("\"' ")).name == "utf-8"
    except (LookupError, ValueError):
        return False
