"""A request to the console: its session, its form, and which of a page's two faces it asks for."""

from urllib.parse import parse_qsl

from litestar.exceptions import HTTPException

from gateway.console.session import Session
from gateway.door.requests import ShopRequest
from shared.errors import Malformed

FORM = "application/x-www-form-urlencoded"
MOST_FIELDS = 1000
EVENT_STREAM = "text/event-stream"


class ConsoleRequest(ShopRequest):
    """A request of a signed-in operator (or of somebody about to sign in)."""

    __slots__ = ()

    @property
    def operator(self) -> Session:
        """The session of who asks; there is one behind every route that is not `opt=OPEN`."""
        return self.state["session"]

    @property
    def is_secure(self) -> bool:
        """Whether the cookies of the answer are for HTTPS alone."""
        return self.settings.has_secure_cookies or self.came_from.is_https

    @property
    def wants_stream(self) -> bool:
        """Whether this asks for the page's changes as they come, rather than for the page."""
        return EVENT_STREAM in self.headers.get("accept", "")

    @property
    def asked_for(self) -> str:
        """Path and query as they were asked for."""
        query = self.scope["query_string"].decode("ascii", "replace")
        return self.scope["path"] + (f"?{query}" if query else "")

    async def fields(self) -> list[tuple[str, str]]:
        """The fields of the form that was sent, in their order.

        Raises 415 for another content type, 413 for a form that is too large, `Malformed` for none.
        """
        media_type, _ = self.content_type
        if media_type != FORM:
            raise HTTPException(status_code=415, detail=f"Send the form as {FORM}.")
        try:
            body = await self.body_as_it_came()  # a form, where the API's requests bring JSON
            return parse_qsl(
                body.decode("ascii"),
                keep_blank_values=True,
                strict_parsing=bool(body),
                errors="strict",
                max_num_fields=MOST_FIELDS,
            )
        except ValueError:
            raise Malformed("The form cannot be read.") from None
