"""Dead letters in the database: taken in once, changed only from the state they are expected in."""

from collections.abc import Iterable, Sequence
from datetime import timedelta
from typing import Any, NamedTuple
from uuid import UUID

import msgspec

from query_svc.dead_letters.contracts import (
    AuditEntry,
    DeadLetter,
    DeadLetterDetails,
    DeadLetterGroup,
    LetterState,
    ListDeadLetterGroups,
    ListDeadLetters,
)
from query_svc.dead_letters.letter import Letter
from shared.database import Reader, Transaction

LEASE = timedelta(seconds=30)
"""How long one process may take to send a letter back, before another tries."""

_COLUMNS = (
    "l.id, l.group_key, l.state, l.queue, COALESCE(w.service, SUBSTRING_INDEX(l.queue, '.', 1)), w.handler,"
    " l.event, l.event_id, l.correlation_id, l.exception, l.message, l.attempts, l.failed_redrives,"
    " l.failed_at, l.seen_at, l.changed_at, a.by_user, a.reason, l.problem"
)
_FROM = (
    " FROM dead_letters l LEFT JOIN watched_queues w ON w.queue = l.queue"
    " LEFT JOIN operator_actions a ON a.id = l.action_id"
)
_ACTION = "a.id, a.at, a.by_user, a.action, a.target, a.affected, a.reason"
_read_json = msgspec.json.Decoder(dict[str, Any]).decode


class Sendable(NamedTuple):
    """A letter that is to go back to its queue, with what makes up its message."""

    id: int
    queue: str
    encoding: str
    body: str
    headers: dict[str, Any]
    properties: dict[str, Any]
    redrives: int


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


async def page(reader: Reader, call: ListDeadLetters, *, limit: int) -> list[DeadLetter]:
    """Letters, newest first."""
    wanted: dict[str, Any] = {
        "l.group_key = %s": call.group,
        "l.state = %s": call.state,
        "l.queue = %s": call.queue,
        "l.correlation_id = %s": call.correlation_id,
        "l.id < %s": call.after,
    }
    given = {condition: value for condition, value in wanted.items() if value is not None}
    where = f" WHERE {' AND '.join(given)}" if given else ""
    rows = await reader.rows(
        f"SELECT {_COLUMNS}{_FROM}{where} ORDER BY l.id DESC LIMIT %s",
        (*given.values(), limit),
    )
    return [DeadLetter(**_summary(row)) for row in rows]


async def details(reader: Reader, letter_ids: Sequence[int]) -> dict[int, DeadLetterDetails]:
    """Letters with all that is known of them, by id."""
    if not letter_ids:
        return {}
    rows = await reader.rows(
        f"SELECT {_COLUMNS}, l.encoding, l.body, l.headers, l.properties{_FROM} WHERE l.id IN %s",
        [list(letter_ids)],
    )
    actions = await _actions(reader, letter_ids)
    return {
        row[0]: DeadLetterDetails(
            **_summary(row),
            encoding=row[-4],
            body=row[-3],
            headers=_read_json(row[-2]),
            properties=_read_json(row[-1]),
            actions=actions.get(row[0], []),
        )
        for row in rows
    }


async def groups(reader: Reader, call: ListDeadLetterGroups, *, limit: int) -> list[DeadLetterGroup]:
    """Groups, the one with the newest letter first."""
    conditions: list[str] = [] if call.all else ["SUM(state IN ('DEAD', 'REDRIVING')) > 0"]
    args: list[int] = []
    if call.after is not None:
        conditions.append("MAX(id) < %s")
        args.append(call.after)
    having = f" HAVING {' AND '.join(conditions)}" if conditions else ""
    found = await reader.rows(
        "SELECT group_key, SUM(state = 'DEAD'), SUM(state = 'REDRIVING'),"  # noqa: S608  conditions of our own
        " SUM(state = 'REDRIVEN'),"
        " SUM(state = 'DISCARDED'), MIN(id), MAX(id), MAX(IF(state = 'DEAD', id, NULL)) FROM dead_letters"
        f" GROUP BY group_key{having} ORDER BY MAX(id) DESC LIMIT %s",
        (*args, limit),
    )
    ends = [letter_id for row in found for letter_id in row[5:7]]
    seen = {
        letter_id: at
        for letter_id, at in (
            await reader.rows("SELECT id, seen_at FROM dead_letters WHERE id IN %s", [ends]) if ends else []
        )
    }
    keys = [row[0] for row in found]
    worst = dict(
        await reader.rows(
            "SELECT group_key, MAX(failed_redrives) FROM dead_letters WHERE group_key IN %s"
            " GROUP BY group_key",
            [keys],
        )
        if keys
        else []
    )
    samples = await details(reader, [row[7] or row[6] for row in found])
    result: list[DeadLetterGroup] = []
    for key, dead, redriving, redriven, discarded, first, last, waiting in found:
        sample = samples[waiting or last]
        result.append(
            DeadLetterGroup(
                group=key,
                queue=sample.queue,
                service=sample.service,
                handler=sample.handler,
                exception=sample.exception,
                dead=int(dead),
                redriving=int(redriving),
                redriven=int(redriven),
                discarded=int(discarded),
                failed_redrives=worst[key],
                first_seen=seen[first],
                last_seen=seen[last],
                newest=last,
                sample=sample,
            )
        )
    return result


async def counts(reader: Reader) -> dict[str, int]:
    """How many letters wait, by queue."""
    rows = await reader.rows("SELECT queue, COUNT(*) FROM dead_letters WHERE state = 'DEAD' GROUP BY queue")
    return {queue: int(count) for queue, count in rows}


async def known(reader: Reader, letter_ids: Sequence[int]) -> set[int]:
    """Those of the ids that letters have."""
    rows = await reader.rows("SELECT id FROM dead_letters WHERE id IN %s", [list(letter_ids)])
    return {row[0] for row in rows}


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
        "UPDATE dead_letters SET state = %s, action_id = %s, changed_at = %s,"  # noqa: S608  condition of our own
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
    rows = await tx.rows(
        "SELECT id, queue, encoding, body, headers, properties, failed_redrives FROM dead_letters"
        " WHERE send_at <= %s ORDER BY send_at, id LIMIT %s FOR UPDATE SKIP LOCKED",
        (tx.now, most),
    )
    if rows:
        await tx.write(
            "UPDATE dead_letters SET send_at = %s WHERE id IN %s", (tx.now + LEASE, [row[0] for row in rows])
        )
    return [
        Sendable(letter_id, queue, encoding, body, _read_json(headers), _read_json(properties), failed + 1)
        for letter_id, queue, encoding, body, headers, properties, failed in rows
    ]


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
    return [row[0] for row in await reader.rows("SELECT queue FROM watched_queues ORDER BY queue")]


# Actions -------------------------------------------------------------------------------------------------


async def recorded(
    tx: Transaction, request_id: UUID, by: int, action: str, target: str, reason: str | None
) -> tuple[int, tuple[int, int] | None]:
    """Write an action down; returns its id, and what it came to if it was written down before."""
    row = await tx.row(
        "SELECT id, affected, unaffected FROM operator_actions WHERE request_id = %s", [request_id]
    )
    if row is not None:
        return row[0], (row[1], row[2])
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


async def audit(reader: Reader, *, after: int | None, limit: int) -> list[AuditEntry]:
    """What operators did, newest first."""
    rows = await reader.rows(
        f"SELECT {_ACTION} FROM operator_actions a WHERE a.id < %s ORDER BY a.id DESC LIMIT %s",  # noqa: S608
        (after if after is not None else 2**63 - 1, limit),
    )
    return [_entry(row) for row in rows]


async def action(reader: Reader, action_id: int) -> AuditEntry:
    """One action, which must be there."""
    [row] = await reader.rows(f"SELECT {_ACTION} FROM operator_actions a WHERE a.id = %s", [action_id])  # noqa: S608
    return _entry(row)


async def _actions(reader: Reader, letter_ids: Sequence[int]) -> dict[int, list[AuditEntry]]:
    found: dict[int, list[AuditEntry]] = {}
    for row in await reader.rows(
        f"SELECT s.letter_id, {_ACTION} FROM letter_actions s JOIN operator_actions a ON a.id = s.action_id"  # noqa: S608
        " WHERE s.letter_id IN %s ORDER BY a.id",
        [list(letter_ids)],
    ):
        found.setdefault(row[0], []).append(_entry(row[1:]))
    return found


def _entry(row: tuple[Any, ...]) -> AuditEntry:
    return AuditEntry(
        id=row[0],
        at=row[1],
        by=row[2],
        action=row[3],
        target=row[4],
        affected=row[5],
        reason=row[6],
    )


def _summary(row: tuple[Any, ...]) -> dict[str, Any]:
    return {
        "id": row[0],
        "group": row[1],
        "state": row[2],
        "queue": row[3],
        "service": row[4],
        "handler": row[5],
        "event": row[6],
        "event_id": row[7],
        "correlation_id": row[8],
        "exception": row[9],
        "message": row[10],
        "attempts": row[11],
        "failed_redrives": row[12],
        "failed_at": row[13],
        "seen_at": row[14],
        "changed_at": row[15],
        "changed_by": row[16],
        "reason": row[17],
        "problem": row[18],
    }
