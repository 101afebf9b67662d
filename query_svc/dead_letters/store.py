"""Dead letters in the database: taken in once, changed only from the state they are expected in."""

from collections.abc import Iterable, Sequence
from datetime import datetime, timedelta
from typing import Any, Literal
from uuid import UUID

from msgspec.structs import asdict

from query_svc.dead_letters.contracts import (
    AuditEntry,
    DeadCount,
    DeadLetter,
    DeadLetterDetails,
    DeadLetterGroup,
    LetterState,
    ListAudit,
    ListDeadLetterGroups,
    ListDeadLetters,
)
from query_svc.dead_letters.letter import Letter
from shared.database import Reader, Row, Select, Transaction

LEASE = timedelta(seconds=30)
"""How long one process may take to send a letter back, before another tries."""


class Sendable(Row):
    """A letter that is to go back to its queue, with what makes up its message."""

    id: int
    queue: str
    encoding: str
    body: str
    headers: dict[str, Any]
    properties: dict[str, Any]
    redrives: int


class _Letter(DeadLetter, frozen=True, kw_only=True):
    body: str
    encoding: Literal["text", "base64"]
    headers: dict[str, Any]
    properties: dict[str, Any]


class _Group(Row):
    key: str
    dead: int
    redriving: int
    redriven: int
    discarded: int
    first: int
    last: int
    waiting: int | None
    """The newest of those that wait for a person."""


class _Worst(Row):
    group_key: str
    failed_redrives: int


class _Seen(Row):
    id: int
    seen_at: datetime


class _Id(Row):
    id: int


class _Queue(Row):
    queue: str


class _Recorded(Row):
    id: int
    affected: int
    unaffected: int


class _OfLetter(Row):
    letter_id: int
    id: int
    at: datetime
    by: int
    action: str
    target: str
    affected: int
    reason: str | None


_FROM = (
    "FROM dead_letters l LEFT JOIN watched_queues w ON w.queue = l.queue"
    " LEFT JOIN operator_actions a ON a.id = l.action_id"
)
_MADE = {
    "group": "l.group_key",
    "service": "COALESCE(w.service, SUBSTRING_INDEX(l.queue, '.', 1))",
    "handler": "w.handler",
    "changed_by": "a.by_user",
    "reason": "a.reason",
}
_LETTERS = Select(DeadLetter, _FROM, of="l", made=_MADE)
_DETAILS = Select(_Letter, f"{_FROM} WHERE l.id IN %s", of="l", made=_MADE)
_GROUPS = Select(
    _Group,
    "FROM dead_letters GROUP BY group_key",
    made={
        "key": "group_key",
        "dead": "SUM(state = 'DEAD')",
        "redriving": "SUM(state = 'REDRIVING')",
        "redriven": "SUM(state = 'REDRIVEN')",
        "discarded": "SUM(state = 'DISCARDED')",
        "first": "MIN(id)",
        "last": "MAX(id)",
        "waiting": "MAX(IF(state = 'DEAD', id, NULL))",
    },
)
# Of the groups of a page only: the index that counts all of them does not hold this.
_WORST = Select(
    _Worst,
    "FROM dead_letters WHERE group_key IN %s GROUP BY group_key",
    made={"failed_redrives": "MAX(failed_redrives)"},
)
_SEEN = Select(_Seen, "FROM dead_letters WHERE id IN %s")
_COUNTS = Select(
    DeadCount, "FROM dead_letters WHERE state = 'DEAD' GROUP BY queue", made={"dead": "COUNT(*)"}
)
_KNOWN = Select(_Id, "FROM dead_letters WHERE id IN %s")
_SENDABLE = Select(
    Sendable,
    "FROM dead_letters WHERE send_at <= %s ORDER BY send_at, id LIMIT %s FOR UPDATE SKIP LOCKED",
    made={"redrives": "failed_redrives + 1"},
)
_QUEUES = Select(_Queue, "FROM watched_queues ORDER BY queue")
_RECORDED = Select(_Recorded, "FROM operator_actions WHERE request_id = %s")
_ACTIONS = Select(AuditEntry, "FROM operator_actions", made={"by": "by_user"})
_ACTION = _ACTIONS + "WHERE id = %s"
_OF_LETTERS = Select(
    _OfLetter,
    "FROM letter_actions s JOIN operator_actions a ON a.id = s.action_id"
    " WHERE s.letter_id IN %s ORDER BY a.id",
    of="a",
    made={"letter_id": "s.letter_id", "by": "a.by_user"},
)


async def keep(tx: Transaction, letters: Sequence[Letter]) -> None:
    """Take letters in; one that was taken in before, and came again, changes nothing."""
    for letter in letters:  # one by one: bodies may be large, and a statement has its limit
        await tx.write(
            "INSERT INTO dead_letters (identity, group_key, state, queue, event, event_id, correlation_id,"
            " exception, message, attempts, failed_redrives, failed_at, seen_at, changed_at, encoding, body,"
            " headers, properties)"
            " VALUES (%s, %s, 'DEAD', %s, %s, %s, %s, %s, %s, %s, %s, %s, %s, %s, %s, %s, %s, %s)"
            " ON DUPLICATE KEY UPDATE id = id",
            (
                letter.identity,
                letter.group,
                letter.queue,
                letter.event,
                letter.event_id,
                letter.correlation_id,
                letter.exception,
                letter.message,
                letter.attempts,
                letter.failed_redrives,
                letter.failed_at,
                tx.now,
                tx.now,
                letter.encoding,
                letter.body,
                letter.headers,
                letter.properties,
            ),
        )


# Looking -------------------------------------------------------------------------------------------------


async def newest(reader: Reader, call: ListDeadLetters, *, limit: int) -> list[DeadLetter]:
    """The newest `limit` of the letters that are meant."""
    wanted: dict[str, Any] = {
        "l.group_key = %s": call.group,
        "l.state = %s": call.state,
        "l.queue = %s": call.queue,
        "l.correlation_id = %s": call.correlation_id,
        "l.id < %s": call.after,
    }
    given = {condition: value for condition, value in wanted.items() if value is not None}
    where = f"WHERE {' AND '.join(given)} " if given else ""
    return await reader.find(_LETTERS + f"{where}ORDER BY l.id DESC LIMIT %s", *given.values(), limit)


async def details(reader: Reader, letter_ids: Sequence[int]) -> dict[int, DeadLetterDetails]:
    """Letters with all that is known of them, by id."""
    if not letter_ids:
        return {}
    letters = await reader.find(_DETAILS, letter_ids)
    actions = await _actions(reader, letter_ids)
    return {
        letter.id: DeadLetterDetails(**asdict(letter), actions=actions.get(letter.id, []))
        for letter in letters
    }


async def groups(reader: Reader, call: ListDeadLetterGroups, *, limit: int) -> list[DeadLetterGroup]:
    """Groups, the one with the newest letter first."""
    conditions: list[str] = [] if call.all else ["SUM(state IN ('DEAD', 'REDRIVING')) > 0"]
    args: list[int] = []
    if call.after is not None:
        conditions.append("MAX(id) < %s")
        args.append(call.after)
    having = f"HAVING {' AND '.join(conditions)} " if conditions else ""
    found = await reader.find(_GROUPS + f"{having}ORDER BY MAX(id) DESC LIMIT %s", *args, limit)
    ends = {letter_id for group in found for letter_id in (group.first, group.last)}
    worst, seen = await reader.ask(_WORST.among({group.key for group in found}), _SEEN.among(ends))
    failed_redrives = {one.group_key: one.failed_redrives for one in worst}
    seen_at = {letter.id: letter.seen_at for letter in seen}
    samples = await details(reader, [group.waiting or group.last for group in found])
    result: list[DeadLetterGroup] = []
    for group in found:
        sample = samples[group.waiting or group.last]
        result.append(
            DeadLetterGroup(
                group=group.key,
                queue=sample.queue,
                service=sample.service,
                handler=sample.handler,
                exception=sample.exception,
                dead=group.dead,
                redriving=group.redriving,
                redriven=group.redriven,
                discarded=group.discarded,
                failed_redrives=failed_redrives[group.key],
                first_seen=seen_at[group.first],
                last_seen=seen_at[group.last],
                newest=group.last,
                sample=sample,
            )
        )
    return result


async def counts(reader: Reader) -> list[DeadCount]:
    """How many letters wait, by queue."""
    return await reader.find(_COUNTS)


async def known(reader: Reader, letter_ids: Sequence[int]) -> set[int]:
    """Those of the ids that letters have."""
    return {letter.id for letter in await reader.find(_KNOWN, letter_ids)}


# Changing ------------------------------------------------------------------------------------------------


async def move(
    tx: Transaction, to: LetterState, action_id: int, *, ids: Sequence[int] | None, group: str | None
) -> tuple[int, int]:
    """Move the letters that wait (DEAD) among those meant; returns how many moved, and how many did not.

    Without ids and group all are meant.
    """
    where, args = "1 = 1", []
    if ids is not None:
        where, args = "id IN %s", [list(ids)]
    elif group is not None:
        where, args = "group_key = %s", [group]
    moved = await tx.execute(
        "UPDATE dead_letters SET state = %s, action_id = %s, changed_at = %s,"
        " send_at = %s, problem = NULL"
        f" WHERE {where} AND state = 'DEAD'",
        (to, action_id, tx.now, tx.now if to == "REDRIVING" else None, *args),
    )
    await tx.write(
        "INSERT INTO letter_actions (letter_id, action_id)"
        " SELECT id, action_id FROM dead_letters WHERE action_id = %s",
        [action_id],
    )
    if ids is None:
        return moved, 0
    return moved, len(set(ids)) - moved


async def claim(tx: Transaction, most: int) -> list[Sendable]:
    """Letters to send back now, leased to us for a while so that no other process sends them too."""
    letters = await tx.find(_SENDABLE, tx.now, most)
    if letters:
        await tx.write(
            "UPDATE dead_letters SET send_at = %s WHERE id IN %s",
            (tx.now + LEASE, [letter.id for letter in letters]),
        )
    return letters


async def sent(tx: Transaction, letter_ids: Sequence[int]) -> None:
    """These have reached their queues."""
    await tx.write(
        "UPDATE dead_letters SET state = 'REDRIVEN', send_at = NULL, changed_at = %s"
        " WHERE id IN %s AND state = 'REDRIVING'",
        (tx.now, sorted(letter_ids)),
    )


async def came_back(tx: Transaction, letter_ids: Sequence[int], problem: str) -> None:
    """These could not be sent: they wait for a person again, who is told why."""
    await tx.write(
        "UPDATE dead_letters SET state = 'DEAD', send_at = NULL, changed_at = %s, problem = %s"
        " WHERE id IN %s AND state = 'REDRIVING'",
        (tx.now, problem, sorted(letter_ids)),
    )


# Queues --------------------------------------------------------------------------------------------------


async def remember_queues(tx: Transaction, queues: Iterable[tuple[str, str, str, str]]) -> None:
    """Queues as (name, service, handler, what is heard), to be watched from now on.

    What is known already is not written again: this is asked for every minute.
    """
    await tx.write_many(
        "INSERT INTO watched_queues (queue, service, handler, heard, seen_at) VALUES (%s, %s, %s, %s, %s)"
        " ON DUPLICATE KEY UPDATE service = VALUES(service), handler = VALUES(handler),"
        " heard = VALUES(heard)",
        [(*queue, tx.now) for queue in queues],
    )


async def watched_queues(reader: Reader) -> list[str]:
    """All queues whose dead letters are taken in."""
    return [one.queue for one in await reader.find(_QUEUES)]


# Actions -------------------------------------------------------------------------------------------------


async def recorded(
    tx: Transaction, request_id: UUID, by: int, action: str, target: str, reason: str | None
) -> tuple[int, tuple[int, int] | None]:
    """Write an action down; returns its id, and what it came to if it was written down before."""
    before = await tx.find_one(_RECORDED, request_id)
    if before is not None:
        return before.id, (before.affected, before.unaffected)
    action_id = await tx.insert(
        "INSERT INTO operator_actions (request_id, at, by_user, action, target, affected, unaffected, reason)"
        " VALUES (%s, %s, %s, %s, %s, 0, 0, %s)",
        (request_id, tx.now, by, action, target[:200], reason),
    )
    return action_id, None


async def came_to(tx: Transaction, action_id: int, affected: int, unaffected: int) -> None:
    """What an action came to."""
    await tx.write(
        "UPDATE operator_actions SET affected = %s, unaffected = %s WHERE id = %s",
        (affected, unaffected, action_id),
    )


async def audit(reader: Reader, wanted: ListAudit, *, limit: int) -> list[AuditEntry]:
    """What operators did, newest first, as far as it is wanted."""
    filters = {
        "id < %s": wanted.after,
        "by_user = %s": wanted.by,
        "action = %s": wanted.action,
        "target = %s": wanted.target,
        "at >= %s": wanted.since,
        "at < %s": wanted.until,
    }
    given = {sql: value for sql, value in filters.items() if value is not None}
    where = f"WHERE {' AND '.join(given)} " if given else ""
    return await reader.find(_ACTIONS + f"{where}ORDER BY id DESC LIMIT %s", *given.values(), limit)


async def action(reader: Reader, action_id: int) -> AuditEntry:
    """One action, which must be there."""
    [found] = await reader.find(_ACTION, action_id)
    return found


async def _actions(reader: Reader, letter_ids: Sequence[int]) -> dict[int, list[AuditEntry]]:
    found: dict[int, list[AuditEntry]] = {}
    for one in await reader.find(_OF_LETTERS, letter_ids):
        entry = AuditEntry(
            id=one.id,
            at=one.at,
            by=one.by,
            action=one.action,
            target=one.target,
            affected=one.affected,
            reason=one.reason,
        )
        found.setdefault(one.letter_id, []).append(entry)
    return found
