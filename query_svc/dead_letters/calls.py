"""What the dead letters answer: looked at, sent back, given up; and what operators did."""

from query_svc.dead_letters import store
from query_svc.dead_letters.contracts import (
    Acted,
    AuditEntry,
    AuditPage,
    CountDeadLetters,
    DeadCounts,
    DeadLetterDetails,
    DeadLetterGroupPage,
    DeadLetterPage,
    DiscardDeadLetters,
    GetDeadLetter,
    LetterState,
    ListAudit,
    ListDeadLetterGroups,
    ListDeadLetters,
    RecordAction,
    RedriveDeadLetters,
)
from shared.database import Reader, Transaction, page
from shared.errors import FieldError, NotFound, RuleBroken


async def list_groups(call: ListDeadLetterGroups, reader: Reader) -> DeadLetterGroupPage:
    """A page of groups, the one with the newest letter first."""
    items, after = await page(
        call.limit, lambda most: store.groups(reader, call, limit=most), lambda group: group.newest
    )
    return DeadLetterGroupPage(items=items, next=after)


async def list_letters(call: ListDeadLetters, reader: Reader) -> DeadLetterPage:
    """A page of letters, newest first."""
    items, after = await page(
        call.limit, lambda most: store.newest(reader, call, limit=most), lambda letter: letter.id
    )
    return DeadLetterPage(items=items, next=after)


async def get_letter(call: GetDeadLetter, reader: Reader) -> DeadLetterDetails:
    """One letter, with what was done about it."""
    found = await store.details(reader, [call.id])
    if call.id not in found:
        raise NotFound(f"There is no dead letter {call.id}.")
    return found[call.id]


async def count_letters(call: CountDeadLetters, reader: Reader) -> DeadCounts:
    """How many letters wait, by queue."""
    return DeadCounts(queues=await store.counts(reader))


async def redrive(call: RedriveDeadLetters, tx: Transaction) -> Acted:
    """Mark letters to be sent back; a job sends what is marked, for a connection cannot be rolled back."""
    return await _act(tx, call, "REDRIVING")


async def discard(call: DiscardDeadLetters, tx: Transaction) -> Acted:
    """Give letters up. Discarding all at once is not offered: it would be too easily done."""
    if call.ids is None and call.group is None:
        raise RuleBroken("Say which letters: some `ids`, or a `group`.")
    return await _act(tx, call, "DISCARDED")


async def list_audit(call: ListAudit, reader: Reader) -> AuditPage:
    """A page of what operators did, newest first."""
    items, after = await page(
        call.limit, lambda most: store.audit(reader, call, limit=most), lambda entry: entry.id
    )
    return AuditPage(items=items, next=after)


async def record_action(call: RecordAction, tx: Transaction) -> AuditEntry:
    """Write down what an operator is about to do elsewhere."""
    action_id, _ = await store.recorded(tx, call.request_id, call.by, call.action, call.target, call.reason)
    return await store.action(tx, action_id)


async def _act(tx: Transaction, call: RedriveDeadLetters | DiscardDeadLetters, to: LetterState) -> Acted:
    if call.ids is not None and call.group is not None:
        raise RuleBroken("Say either which `ids` or which `group`, not both.")
    if call.ids is not None:
        await _refuse_unknown(tx, call.ids)
    verb = "redrive" if to == "REDRIVING" else "discard"
    action_id, before = await store.recorded(tx, call.request_id, call.by, verb, _target(call), call.reason)
    if before is not None:
        return Acted(changed=before[0], unchanged=before[1])
    changed, unchanged = await store.move(tx, to, action_id, ids=call.ids, group=call.group)
    await store.came_to(tx, action_id, changed, unchanged)
    return Acted(changed=changed, unchanged=unchanged)


async def _refuse_unknown(tx: Transaction, ids: list[int]) -> None:
    if not ids:
        raise RuleBroken("No dead letter is named.", errors=[FieldError("ids", "Expected at least one id")])
    if unknown := sorted(set(ids) - await store.known(tx, ids)):
        listed = ", ".join(map(str, unknown[:20]))
        raise NotFound(f"There is no dead letter {listed}.")


def _target(call: RedriveDeadLetters | DiscardDeadLetters) -> str:
    if call.group is not None:
        return f"group {call.group}"
    if call.ids is None:
        return "all dead letters"
    ids = sorted(set(call.ids))
    named = f"dead letter {', '.join(map(str, ids[:10]))}"
    return named if len(ids) <= 10 else f"{named} and {len(ids) - 10} more"
