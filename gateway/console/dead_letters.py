"""Dead letters by group and one by one; sending them back, giving them up."""

from typing import Annotated, get_args

import msgspec
from litestar import Response, get, post
from litestar.params import PathParameter
from litestar.response import Stream

from gateway.console import pages, words
from gateway.console.filters import Query, takes
from gateway.console.forms import Form, fields
from gateway.console.requests import ConsoleRequest
from gateway.door.roles import ADMIN
from query_svc.dead_letters.contracts import (
    Acted,
    DeadLetterGroup,
    DiscardDeadLetters,
    GetDeadLetter,
    LetterState,
    ListDeadLetterGroups,
    ListDeadLetters,
    RedriveDeadLetters,
)
from shared.errors import FieldError, NotFound, RuleBroken

STATES: tuple[LetterState, ...] = get_args(LetterState)
SHOWN = 50
LONGEST_BODY = 60_000
SHORTEST_REASON = 3

LetterNumber = Annotated[int, PathParameter(ge=1, le=2**63 - 1)]
Group = Annotated[str, PathParameter(pattern="^[0-9a-f]{16}$")]


@get("/dead-letters", opt=ADMIN | takes("show", "after"))
async def list_groups(request: ConsoleRequest) -> Response[str] | Stream:
    """Dead letters by queue and exception, the freshest first."""
    query = Query(request)
    everything = query.one_of("show", ("waiting", "all")) == "all"
    after = query.whole("after")

    async def load() -> pages.Facts:
        page = await request.rpc.call(ListDeadLetterGroups(all=everything, limit=SHOWN, after=after))
        return {
            "groups": page.items,
            "older": query.address(after=page.next) if page.next else None,
            "newest": query.address(after=None) if after else None,
        }

    return await pages.live_page(request, "dead_letters.html", load, everything=everything)


@get("/dead-letters/groups/{group:str}", opt=ADMIN | takes("state", "after"))
async def show_group(request: ConsoleRequest, group: Group) -> Response[str] | Stream:
    """One group: how many of its letters stand where, and which they are."""
    query = Query(request)
    state: LetterState | None = query.one_of("state", STATES)
    after = query.whole("after")

    async def load() -> pages.Facts:
        letters = await request.rpc.call(ListDeadLetters(group=group, state=state, limit=SHOWN, after=after))
        return {
            "group": await _find_group(request, group),
            "letters": letters.items,
            "older": query.address(after=letters.next) if letters.next else None,
            "newest": query.address(after=None) if after else None,
        }

    tabs = [(one, query.address(state=one, after=None)) for one in (None, *STATES)]
    return await pages.live_page(request, "dead_letter_group.html", load, state=state, tabs=tabs)


async def _find_group(request: ConsoleRequest, wanted: str) -> DeadLetterGroup:
    after: int | None = None
    while True:
        page = await request.rpc.call(ListDeadLetterGroups(all=True, limit=100, after=after))
        for group in page.items:
            if group.group == wanted:
                return group
        if (after := page.next) is None:
            raise NotFound("There is no such group of dead letters.")


@get("/dead-letters/{letter_id:str}", opt=ADMIN | takes())
async def show_letter(request: ConsoleRequest, letter_id: LetterNumber) -> Response[str] | Stream:
    """One dead letter with all that is known of it."""

    async def load() -> pages.Facts:
        letter = await request.rpc.call(GetDeadLetter(id=letter_id))
        body = _readable(letter.body) if letter.encoding == "text" else letter.body
        return {
            "letter": letter,
            "body": body[:LONGEST_BODY],
            "left_out": max(0, len(body) - LONGEST_BODY),
        }

    return await pages.live_page(request, "dead_letter.html", load, letter_id=letter_id)


def _readable(body: str) -> str:
    try:
        return words.pretty_json(body)
    except msgspec.DecodeError:  # it may well be dead for just that
        return body


@post("/dead-letters/redrive", opt=ADMIN | fields("ids", "group", "reason", "back"), status_code=200)
async def redrive(request: ConsoleRequest) -> Response[str]:
    """Send letters back to the queue in which they failed: those that were chosen, or a group."""
    form = Form(request)
    call = RedriveDeadLetters(
        request_id=form.request_id, by=request.user.id, ids=_chosen(form), group=form.text("group")
    )
    acted = await request.rpc.call(call)
    return pages.see_other(request, _back(form), said=_told(acted, "being redriven"))


@post("/dead-letters/discard", opt=ADMIN | fields("ids", "group", "reason", "back"), status_code=200)
async def discard(request: ConsoleRequest) -> Response[str]:
    """Give letters up, for a reason: those that were chosen, or a group."""
    form = Form(request)
    reason = form.text("reason") or ""
    if not SHORTEST_REASON <= len(reason) <= 500:
        error = FieldError("reason", f"Expected {SHORTEST_REASON} to 500 characters")
        raise RuleBroken("Say why they are discarded.", errors=[error])
    call = DiscardDeadLetters(
        request_id=form.request_id,
        by=request.user.id,
        reason=reason,
        ids=_chosen(form),
        group=form.text("group"),
    )
    acted = await request.rpc.call(call)
    return pages.see_other(request, _back(form), said=_told(acted, "discarded"))


def _chosen(form: Form) -> list[int] | None:
    """The letters that were ticked; None where a whole group is meant."""
    if form.text("group"):
        return None
    ids = form.numbers("ids")
    if not ids:
        raise RuleBroken("Choose at least one dead letter.")
    return ids


def _told(acted: Acted, became: str) -> str:
    letters = f"{acted.changed:,} dead letter{'' if acted.changed == 1 else 's'} {became}."
    left = f" {acted.unchanged:,} did not wait any more and stayed as they were." if acted.unchanged else ""
    return letters + left


def _back(form: Form) -> str:
    """The page that the form stood on."""
    where = form.text("back") or ""
    return where if where.startswith("/console/dead-letters") else "/console/dead-letters"


routes = [list_groups, show_group, show_letter, redrive, discard]
