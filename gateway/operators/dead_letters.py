"""Dead letters over HTTP: found, sent back or given up by operators, who leave a trace in the audit log."""

from typing import Annotated, Literal, cast, get_args

from litestar import get, post
from litestar.params import JSONBody, QueryParameter
from msgspec import UNSET, Meta, Struct, UnsetType

from gateway.door.api import BODY, After, Id, PageSize, problems
from gateway.door.idempotency import IdempotencyKey, once
from gateway.door.requests import ShopRequest
from gateway.door.roles import ADMIN
from query_svc.dead_letters.contracts import (
    Acted,
    DeadLetterDetails,
    DeadLetterGroupPage,
    DeadLetterPage,
    DiscardDeadLetters,
    GetDeadLetter,
    GroupKey,
    LetterId,
    LetterState,
    ListDeadLetterGroups,
    ListDeadLetters,
    Reason,
    RedriveDeadLetters,
)
from shared.errors import Conflict, FieldError, Malformed, RuleBroken
from shared.ids import new_id

Name = Annotated[str | None, QueryParameter(min_length=1, max_length=255)]
STATES = get_args(LetterState)
State = Annotated[str | None, QueryParameter(name="state", description=f"One of {', '.join(STATES)}.")]
Group = Annotated[str | None, QueryParameter(pattern=r"^[0-9a-f]{16}$", description="The key of a group.")]


class Selection(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Which dead letters: some by `ids`, those of a `group`, or `all` of them. Exactly one of the three."""

    ids: Annotated[list[LetterId], Meta(min_length=1, max_length=1000)] | UnsetType = UNSET
    group: GroupKey | UnsetType = UNSET
    all: Literal[True] | UnsetType = UNSET


class Discarding(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Which dead letters to give up, by `ids` or `group`, and why."""

    reason: Reason
    ids: Annotated[list[LetterId], Meta(min_length=1, max_length=1000)] | UnsetType = UNSET
    group: GroupKey | UnsetType = UNSET


class Why(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Why something is done."""

    reason: Reason


@get(
    "/ops/dead-letters/groups",
    operation_id="list_dead_letter_groups",
    summary="Dead letters by cause",
    opt=ADMIN,
    responses=problems(400, 401, 403),
)
async def list_dead_letter_groups(
    request: ShopRequest,
    all: Annotated[bool, QueryParameter(description="Also groups without a letter that is DEAD.")] = False,
    limit: PageSize = 50,
    after: After = None,
) -> DeadLetterGroupPage:
    """Dead letters grouped by queue and exception, the group with the newest letter first."""
    return await request.rpc.call(ListDeadLetterGroups(all=all, limit=limit, after=after))


@get(
    "/ops/dead-letters",
    operation_id="list_dead_letters",
    summary="Dead letters",
    opt=ADMIN,
    responses=problems(400, 401, 403),
)
async def list_dead_letters(
    request: ShopRequest,
    group: Group = None,
    letter_state: State = None,
    queue: Name = None,
    correlation_id: Name = None,
    limit: PageSize = 50,
    after: After = None,
) -> DeadLetterPage:
    """Dead letters, newest first; of one group, state, queue or order (its id is the correlation id)."""
    call = ListDeadLetters(
        group=group,
        state=_state(letter_state),
        queue=queue,
        correlation_id=correlation_id,
        limit=limit,
        after=after,
    )
    return await request.rpc.call(call)


@get(
    "/ops/dead-letters/{letter_id:str}",
    operation_id="get_dead_letter",
    summary="A dead letter",
    opt=ADMIN,
    responses=problems(400, 401, 403, 404),
)
async def get_dead_letter(request: ShopRequest, letter_id: Id) -> DeadLetterDetails:
    """A dead letter with its body, its headers and what was done about it."""
    return await request.rpc.call(GetDeadLetter(id=letter_id))


@post(
    "/ops/dead-letters/{letter_id:str}/redrive",
    operation_id="redrive_dead_letter",
    summary="Send a dead letter back",
    opt=ADMIN,
    status_code=202,
    responses=problems(400, 401, 403, 404, 409, 422),
)
async def redrive_dead_letter(
    request: ShopRequest, letter_id: Id, idempotency_key: IdempotencyKey = None
) -> DeadLetterDetails:
    """Send it back to the queue it failed in, and to no other. Repeating this sends it once."""
    key = once(request, idempotency_key, letter_id)
    call = RedriveDeadLetters(request_id=new_id(), by=request.user.id, ids=[letter_id])
    await request.rpc.call(call, once=key)
    letter = await request.rpc.call(GetDeadLetter(id=letter_id), once=key)
    if letter.state == "DISCARDED":
        raise Conflict(f"The dead letter was given up by user {letter.changed_by}: {letter.reason}")
    return letter


@post(
    "/ops/dead-letters/{letter_id:str}/discard",
    operation_id="discard_dead_letter",
    summary="Discard a dead letter",
    opt=ADMIN,
    status_code=200,
    responses=problems(*BODY, 401, 403, 404, 409),
)
async def discard_dead_letter(
    request: ShopRequest, letter_id: Id, data: JSONBody[Why], idempotency_key: IdempotencyKey = None
) -> DeadLetterDetails:
    """Discard it, with a reason. It is kept, and can still be read."""
    key = once(request, idempotency_key, letter_id, data)
    call = DiscardDeadLetters(request_id=new_id(), by=request.user.id, ids=[letter_id], reason=data.reason)
    await request.rpc.call(call, once=key)
    letter = await request.rpc.call(GetDeadLetter(id=letter_id), once=key)
    if letter.state != "DISCARDED":
        raise Conflict("The dead letter has been sent back already.")
    return letter


@post(
    "/ops/dead-letters/redrive",
    operation_id="redrive_dead_letters",
    summary="Send dead letters back",
    opt=ADMIN,
    status_code=202,
    responses=problems(*BODY, 401, 403, 404, 409),
)
async def redrive_dead_letters(
    request: ShopRequest, data: JSONBody[Selection], idempotency_key: IdempotencyKey = None
) -> Acted:
    """Send letters back to the queues they failed in, and to no others; only those that are DEAD."""
    given = [name for name in ("ids", "group", "all") if getattr(data, name) is not UNSET]
    if len(given) != 1:
        raise _not_one("ids, group, all", given)
    call = RedriveDeadLetters(
        request_id=new_id(),
        by=request.user.id,
        ids=data.ids or None,
        group=data.group or None,
    )
    return await request.rpc.call(call, once=once(request, idempotency_key, data))


@post(
    "/ops/dead-letters/discard",
    operation_id="discard_dead_letters",
    summary="Discard dead letters",
    opt=ADMIN,
    status_code=200,
    responses=problems(*BODY, 401, 403, 404, 409),
)
async def discard_dead_letters(
    request: ShopRequest, data: JSONBody[Discarding], idempotency_key: IdempotencyKey = None
) -> Acted:
    """Discard letters, with a reason; those that were sent back already stay as they are."""
    given = [name for name in ("ids", "group") if getattr(data, name) is not UNSET]
    if len(given) != 1:
        raise _not_one("ids, group", given)
    call = DiscardDeadLetters(
        request_id=new_id(),
        by=request.user.id,
        reason=data.reason,
        ids=data.ids or None,
        group=data.group or None,
    )
    return await request.rpc.call(call, once=once(request, idempotency_key, data))


def _state(text: str | None) -> LetterState | None:
    """Read here: the framework would tell of `letter_state`, for its own `state` is something else."""
    if text is not None and text not in STATES:
        error = FieldError(field="state", message=f"Expected one of {', '.join(STATES)}")
        raise Malformed("A query parameter cannot be read.", errors=[error])
    return cast(LetterState | None, text)


def _not_one(names: str, given: list[str]) -> RuleBroken:
    said = f"{' and '.join(given)} are given" if given else "none is given"
    return RuleBroken(
        f"Say which dead letters by exactly one of {names}.",
        errors=[FieldError(field=given[1] if given else "ids", message=f"{said}; expected exactly one")],
    )


routes = [
    list_dead_letter_groups,
    list_dead_letters,
    get_dead_letter,
    redrive_dead_letter,
    discard_dead_letter,
    redrive_dead_letters,
    discard_dead_letters,
]
