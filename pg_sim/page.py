"""`/simulator`, which no real PG has: keys to pay with, all charges, and a page to play the PG on."""

import base64
import hashlib
from collections.abc import Sequence
from datetime import datetime
from itertools import islice
from pathlib import Path
from typing import Annotated, Any
from urllib.parse import parse_qsl, quote, urlsplit

import jinja2
import msgspec
from litestar import Response
from litestar.enums import MediaType
from msgspec import UNSET, Meta, Struct, UnsetType

from pg_sim.api import OrderId, Won
from pg_sim.book import Book
from pg_sim.cards import CARDS, GOOD, OverallManner, card_of
from pg_sim.payments import SEOUL, Payment, ShownPayment, shown
from pg_sim.refusals import Refused, status_of
from pg_sim.web import AnyRequest, body_of, decoded, path_of, refusing

PAGE = 50
REASON = "Cancelled at the gateway"
OVERALL_WORDS = {
    OverallManner.OFF: "behaves as each card says",
    OverallManner.DECLINE: "declines every card",
    OverallManner.HANG: "answers nothing, and does nothing",
    OverallManner.REFUSE_CANCELLATIONS: "refuses every cancellation of the shop",
    OverallManner.LOSE_ANSWERS: "does what it is asked, but its answers get lost",
}
_DONE = {"cancelled": "It was cancelled.", "notified": "A notice is sent to the shop."}

_FOLDER = Path(__file__).parent / "templates"


class NewKey(Struct, frozen=True, forbid_unknown_fields=True):
    """The card that a buyer shows in the widget, and what the shop opened the widget with."""

    card_number: Annotated[str, Meta(pattern="^[0-9]{12,19}$")] = GOOD
    order_id: OrderId | UnsetType = UNSET
    amount: Won | UnsetType = UNSET


class CancelHere(Struct, frozen=True, forbid_unknown_fields=True):
    """What a person cancels; without an amount all that is left."""

    amount: Won | None = None
    reason: Annotated[str, Meta(min_length=1, max_length=200)] = REASON


class Nothing(Struct, frozen=True, forbid_unknown_fields=True):
    """A request that says all by its address."""


class Behave(Struct, frozen=True, forbid_unknown_fields=True):
    """How everybody is treated from now on."""

    manner: OverallManner


class Page:
    """The simulator's own addresses, for browsers (HTML) and programs (JSON)."""

    def __init__(self, book: Book) -> None:
        self._book = book
        environment = jinja2.Environment(
            loader=jinja2.FileSystemLoader(_FOLDER),
            autoescape=True,
            undefined=jinja2.StrictUndefined,
            trim_blocks=True,
            lstrip_blocks=True,
        )
        environment.filters |= {"part": _part, "won": _won, "time": _time, "card": card_of}
        self._templates = environment
        self._headers = _headers(environment.get_template("style.css").render())

    async def answer(self, request: AnyRequest) -> Response[Any]:
        """Do what a request asks for, or say plainly why not."""
        try:
            if request.method == "POST":
                _check_origin(request)
            match request.method, path_of(request.scope):
                case "GET", ["simulator"]:
                    return self._charges_page(request)
                case "GET", ["simulator", "cards"]:
                    return Response({number: card.manner.value for number, card in CARDS.items()})
                case "GET", ["simulator", "charges"]:
                    return Response([_listed(payment) for payment in self._book])
                case "GET", ["simulator", "charges", key]:
                    return self._charge(request, self._book.by_key(key))
                case "POST", ["simulator", "keys"]:
                    return await self._hand_out(request)
                case "POST", ["simulator", "charges", key, "cancel"]:
                    return await self._cancel(request, self._book.by_key(key))
                case "POST", ["simulator", "charges", key, "notify"]:
                    await _wish(request, Nothing)
                    return self._done(request, self._book.tell_again(key), "notified")
                case "POST", ["simulator", "manner"]:
                    return await self._behave(request)
                case _:
                    raise Refused("NOT_FOUND")
        except Refused as refused:
            if _wants_json(request):
                return refusing(refused.refusal)
            status = status_of(refused.refusal)
            return self._html("wrong.html", status, message=refused.refusal.message)

    async def _hand_out(self, request: AnyRequest) -> Response[Any]:
        wish = decoded(await body_of(request) or b"{}", NewKey)
        if wish.order_id is UNSET and wish.amount is UNSET:
            payment = self._book.hand_out(wish.card_number)
        elif wish.order_id is UNSET or wish.amount is UNSET:
            raise Refused("INVALID_REQUEST", "order_id and amount go together: give both, or neither.")
        else:
            payment = self._book.hand_out(wish.card_number, wish.order_id, wish.amount)
        return Response({"payment_key": payment.key}, status_code=201)

    async def _cancel(self, request: AnyRequest, payment: Payment) -> Response[Any]:
        typed = {"amount": "", "reason": REASON}
        try:
            wish = await _wish(request, CancelHere, typed)
            done = self._book.cancel(payment.key, wish.amount, wish.reason)
        except Refused as refused:
            if _wants_json(request):
                raise
            status = status_of(refused.refusal)
            return self._charge(request, payment, refused.refusal.message, status, typed)
        return self._done(request, done, "cancelled")

    async def _behave(self, request: AnyRequest) -> Response[Any]:
        wish = await _wish(request, Behave)
        self._book.behave(wish.manner)
        if _wants_json(request):
            return Response({"manner": wish.manner})
        return _see("/simulator")

    def _done(self, request: AnyRequest, payment: Payment, done: str) -> Response[Any]:
        if _wants_json(request):
            return Response(_listed(payment))
        return _see(f"/simulator/charges/{_part(payment.key)}?done={done}")

    def _charges_page(self, request: AnyRequest) -> Response[Any]:
        find = request.query_params.get("find", "").strip()
        text = request.query_params.get("page", "1")
        if not (text.isascii() and text.isdigit() and len(text) < 7 and int(text) > 0):
            raise Refused("INVALID_REQUEST", f"page: expected a number from 1, got {text!r}.")
        page = int(text)
        first = (page - 1) * PAGE
        found = self._found(find) if find else list(islice(self._book, first, first + PAGE + 1))
        return self._html(
            "charges.html",
            charges=found[:PAGE],
            more=len(found) > PAGE,
            page=page,
            find=find,
            cards=CARDS.values(),
            address=f"{request.url.scheme}://{request.url.netloc}",
        )

    def _found(self, find: str) -> Sequence[Payment]:
        for look in (self._book.by_order, self._book.by_key):
            try:
                return [look(find)]
            except Refused:
                continue
        return []

    def _charge(
        self,
        request: AnyRequest,
        payment: Payment,
        wrong: str = "",
        status: int = 200,
        typed: dict[str, str] | None = None,
    ) -> Response[Any]:
        if _wants_json(request):
            return Response(_listed(payment))
        return self._html(
            "charge.html",
            status,
            charge=payment,
            waiting=sum(of.key == payment.key for _, of in self._book.notices.values()),
            note=wrong or _DONE.get(request.query_params.get("done", ""), ""),
            wrong=bool(wrong),
            typed=typed or {"amount": "", "reason": REASON},
        )

    def _html(self, template: str, status: int = 200, **values: Any) -> Response[Any]:
        text = self._templates.get_template(template).render(
            overall=self._book.overall.value,
            overall_words={manner.value: words for manner, words in OVERALL_WORDS.items()},
            **values,
        )
        return Response(text, status_code=status, media_type=MediaType.HTML, headers=self._headers)


def _headers(style: str) -> dict[str, str]:
    """What lets a browser show our page and style, and nothing else."""
    style_hash = base64.b64encode(hashlib.sha256(style.encode()).digest()).decode()
    return {
        "Content-Security-Policy": (
            f"default-src 'none'; style-src 'sha256-{style_hash}'; img-src data:; form-action 'self'; "
            "base-uri 'none'; frame-ancestors 'none'"
        ),
        "X-Content-Type-Options": "nosniff",
        "Referrer-Policy": "same-origin",
        "Cache-Control": "no-store",
    }


async def _wish(request: AnyRequest, kind: type[Any], typed: dict[str, str] | None = None) -> Any:
    """What a form or a JSON body says; `typed` takes in a form's text, to show it again. Raises `Refused`."""
    body = await body_of(request)
    content_type = request.headers.get("content-type", "").partition(";")[0].strip().lower()
    if content_type == "application/json" or not body:
        return decoded(body or b"{}", kind)
    if content_type != "application/x-www-form-urlencoded":
        raise Refused("INVALID_REQUEST", f"Expected a form or JSON, got {content_type or 'neither'!r}.")
    try:
        fields = parse_qsl(body.decode(), keep_blank_values=True, max_num_fields=20, errors="strict")
    except ValueError:
        raise Refused("INVALID_REQUEST", "The form cannot be read.") from None
    if len(dict(fields)) < len(fields):
        raise Refused("INVALID_REQUEST", "The form has a field twice.")
    given = {name: value.strip() for name, value in fields}
    if typed is not None:
        typed |= {name: value for name, value in given.items() if name in typed}
    amount = given.get("amount")
    if amount and not (amount.isascii() and amount.isdigit() and len(amount) <= 16):
        raise Refused("INVALID_REQUEST", f"amount: expected whole won, such as 1000, got {amount!r}.")
    try:
        # Fields that are left empty say nothing, as if they were not there.
        return msgspec.convert({name: value for name, value in given.items() if value}, kind, strict=False)
    except msgspec.ValidationError as error:
        raise Refused("INVALID_REQUEST", f"The form is not what is expected: {error}.") from error


def _check_origin(request: AnyRequest) -> None:
    """No page of somebody else's makes a browser send forms here."""
    origin = request.headers.get("origin")
    if origin is not None and urlsplit(origin).netloc != request.headers.get("host"):
        raise Refused("FORBIDDEN_REQUEST", "The form was sent from a page of somebody else's.")


def _listed(payment: Payment) -> ShownPayment:
    """As the PG shows it, but `cancels` is always a list."""
    as_shown = shown(payment)
    return msgspec.structs.replace(as_shown, cancels=as_shown.cancels or ())


def _wants_json(request: AnyRequest) -> bool:
    accepted = request.headers.get("accept", "")
    return "application/json" in accepted or (
        "text/html" not in accepted and request.headers.get("content-type", "").startswith("application/json")
    )


def _see(address: str) -> Response[Any]:
    return Response(b"", status_code=303, headers={"Location": address, "Cache-Control": "no-store"})


def _part(text: str) -> str:
    return quote(text, safe="")


def _won(amount: int) -> str:
    return f"{amount:,}"


def _time(at: datetime) -> str:
    return at.astimezone(SEOUL).strftime("%Y-%m-%d %H:%M:%S")
