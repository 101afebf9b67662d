"""What the query service answers about dead letters, and about what operators do."""

from datetime import datetime
from typing import Annotated, Any, Literal
from uuid import UUID

from msgspec import Meta, Struct

from shared.messages import Call

LetterState = Literal["DEAD", "REDRIVING", "REDRIVEN", "DISCARDED"]
"""DEAD awaits a person, REDRIVING is to go back to its queue, REDRIVEN is there, DISCARDED is given up."""
LetterId = Annotated[int, Meta(ge=1, le=2**63 - 1)]
GroupKey = Annotated[str, Meta(pattern=r"^[0-9a-f]{16}$")]
Reason = Annotated[str, Meta(min_length=3, max_length=500)]


class AuditEntry(Struct, frozen=True, kw_only=True):
    """Something that an operator did: who, when, what, to what, and why; `details` say what changed."""

    id: int
    at: datetime
    by: int
    action: str
    target: str
    affected: int
    reason: str | None
    details: dict[str, Any] | None = None


class DeadLetter(Struct, frozen=True, kw_only=True):
    """A message that a queue gave up on.

    `failed_redrives` is how often it was sent back before, and failed again. `problem` says why the last try
    to send it back did not reach its queue.
    """

    id: int
    group: str
    state: LetterState
    queue: str
    service: str
    handler: str | None
    event: str | None
    event_id: str | None
    correlation_id: str | None
    exception: str
    message: str
    attempts: int
    failed_redrives: int
    failed_at: datetime | None
    seen_at: datetime
    changed_at: datetime
    changed_by: int | None
    reason: str | None
    problem: str | None


class DeadLetterDetails(DeadLetter, frozen=True, kw_only=True):
    """A dead letter with all that is known of it. A body that is no UTF-8 is given in base64."""

    body: str
    encoding: Literal["text", "base64"]
    headers: dict[str, Any]
    properties: dict[str, Any]
    actions: list[AuditEntry]


class DeadLetterPage(Struct, frozen=True, kw_only=True):
    """A page of dead letters, newest first."""

    items: list[DeadLetter]
    next: int | None


class DeadLetterGroup(Struct, frozen=True, kw_only=True):
    """Dead letters of one queue (so of one handler) that failed with the same exception.

    The counts tell how many of them stand where; `sample` is the newest, of those that still wait if any do.
    """

    group: str
    queue: str
    service: str
    handler: str | None
    exception: str
    dead: int
    redriving: int
    redriven: int
    discarded: int
    failed_redrives: int
    first_seen: datetime
    last_seen: datetime
    newest: int
    sample: DeadLetterDetails


class DeadLetterGroupPage(Struct, frozen=True, kw_only=True):
    """A page of groups, the one with the newest dead letter first."""

    items: list[DeadLetterGroup]
    next: int | None


class DeadCount(Struct, frozen=True, kw_only=True):
    """How many dead letters of a queue wait for a person."""

    queue: str
    dead: int


class DeadCounts(Struct, frozen=True, kw_only=True):
    """The queues that have dead letters waiting."""

    queues: list[DeadCount]


class ListDeadLetterGroups(Call[DeadLetterGroupPage], name="query.dead_letter_groups", idempotent=True):
    """Groups in which some letter waits (DEAD or REDRIVING); with `all` also those where none does."""

    all: bool = False
    limit: Annotated[int, Meta(ge=1, le=100)] = 50
    after: int | None = None


class ListDeadLetters(Call[DeadLetterPage], name="query.dead_letters", idempotent=True):
    """Dead letters, newest first: of one group, state, queue, or undertaking (by correlation id)."""

    group: GroupKey | None = None
    state: LetterState | None = None
    queue: str | None = None
    correlation_id: str | None = None
    limit: Annotated[int, Meta(ge=1, le=100)] = 50
    after: int | None = None


class GetDeadLetter(Call[DeadLetterDetails], name="query.dead_letter", idempotent=True):
    """One dead letter with its body, its headers and what was done about it."""

    id: LetterId


class CountDeadLetters(Call[DeadCounts], name="query.dead_letter_counts", idempotent=True):
    """How many dead letters wait, by queue."""


class Acted(Struct, frozen=True, kw_only=True):
    """What an action came to: how many letters it concerned, and how many stood elsewhere and were left."""

    changed: int
    unchanged: int


class RedriveDeadLetters(Call[Acted], name="query.redrive", idempotent=True):
    """Send letters back to the queue they failed in, and to it alone: some by id, a whole group, or all.

    Only those that wait (DEAD) are sent; done twice, nothing is sent twice. Idempotent by `request_id`.
    """

    request_id: UUID
    by: int
    ids: Annotated[list[LetterId], Meta(max_length=1000)] | None = None
    group: GroupKey | None = None
    reason: Annotated[str, Meta(max_length=500)] | None = None


class DiscardDeadLetters(Call[Acted], name="query.discard", idempotent=True):
    """Give letters up, for a reason: some by id, or a whole group. Idempotent by `request_id`."""

    request_id: UUID
    by: int
    reason: Reason
    ids: Annotated[list[LetterId], Meta(max_length=1000)] | None = None
    group: GroupKey | None = None


class AuditPage(Struct, frozen=True, kw_only=True):
    """A page of the audit log, newest first."""

    items: list[AuditEntry]
    next: int | None


class ListAudit(Call[AuditPage], name="query.audit", idempotent=True):
    """What operators did, newest first: all, or by one user, of one kind, to one thing, within a time."""

    limit: Annotated[int, Meta(ge=1, le=100)] = 50
    after: int | None = None
    by: int | None = None
    action: str | None = None
    target: str | None = None
    since: datetime | None = None
    until: datetime | None = None


class RecordAction(Call[AuditEntry], name="query.record_action", idempotent=True):
    """Write down what an operator is about to do elsewhere. Idempotent by `request_id`."""

    request_id: UUID
    by: int
    action: Annotated[str, Meta(min_length=1, max_length=40)]
    target: Annotated[str, Meta(min_length=1, max_length=200)]
    reason: Annotated[str, Meta(max_length=500)] | None = None
