"""What must hold of users and their points: balances follow from ledgers, entry by entry."""

from collections.abc import AsyncIterator, Collection, Iterator, Sequence
from dataclasses import dataclass, field
from datetime import timedelta
from typing import Any

import msgspec

from ops.verify.check import Book, Check, Facts
from ops.verify.runs import Run, breaks, only
from ops.verify.source import Source, folded, merged
from ops.verify.tables import (
    ACCOUNTS,
    ACTS,
    LEDGER,
    USERS,
    Account,
    LedgerEntry,
    Only,
    StoredEvent,
    User,
    events_by_number,
)

# A sign-up is undone before payment hears of it, so an account that is new may be about to close.
_NEW = timedelta(minutes=5)
_GRANTED = "points.granted"


@dataclass
class Ledger(Run):
    """An account's ledger, and those of its entries that no payment is the cause of."""

    grants: int = 0
    """How many were made by admins, each with an id."""
    causeless: list[str] = field(default_factory=list)

    def add(self, entry: LedgerEntry) -> None:
        """One more entry."""
        what = f"ledger entry {entry.id} ({entry.kind} of {entry.delta}) of user {entry.user_id}"
        if entry.payment_id is None:
            self.grants += entry.kind == "grant" and entry.grant_id is not None
            if entry.kind == "opening":
                right = not self.entries and entry.delta >= 0 and entry.grant_id is None
            else:
                # Those from before there were grants have a note alone.
                right = entry.kind == "grant" and bool(entry.note)
            if not right or entry.order_id is not None:
                self.causeless.append(f"{what}: has no cause")
        super().add(entry)


@dataclass
class UserRecords:
    """A user, the user's points, and what was told of the user."""

    id: int
    facts: Facts
    user: User | None
    account: Account | None
    ledger: Ledger | None
    granted: int
    """How many grants the audit log has for the user."""
    events: list[StoredEvent]


_LEDGER = LEDGER.by("user_id", "id")
READINGS = (
    USERS.by("id"),
    ACCOUNTS.by("user_id"),
    _LEDGER,
    ACTS.by_number("subject", "id", Only("action", (_GRANTED,))),
    events_by_number("user.registered", "user.registration_failed"),
)
_KEYS = [reading.key for reading in READINGS]
_KEYS[2] = lambda run: run.key


async def _pages(
    source: Source, facts: Facts, keys: Collection[Any] | None
) -> AsyncIterator[Sequence[tuple[int, UserRecords]]]:
    async with source.streams(READINGS, keys) as (users, accounts, ledger, acts, events):
        ledgers = folded(ledger, _LEDGER.key, lambda entry: Ledger(entry.user_id), Ledger.add)
        async for batch in merged((users, accounts, ledgers, acts, events), _KEYS):
            yield [
                (
                    key,
                    UserRecords(
                        key, facts, only(rows[0]), only(rows[1]), only(rows[2]), len(rows[3]), rows[4]
                    ),
                )
                for key, rows in batch.items()
            ]


def _have_accounts(records: UserRecords) -> Iterator[str]:
    user, account = records.user, records.account
    open_ = account is not None and account.state == "OPEN"
    if user is not None:
        wrong = user.state == "ACTIVE" and not open_
    else:
        wrong = account is not None and open_ and account.opened_at < records.facts.now - _NEW
    if wrong:
        yield (
            f"user {records.id}: the user is {user.state if user else 'missing'}, the point account is"
            f" {account.state if account else 'missing'}"
        )


def _looked_after(records: UserRecords) -> Iterator[str]:
    user = records.user
    if user is None or user.state != "OPENING":
        return
    if user.due_at is None or user.due_at < records.facts.now - _NEW:
        yield f"user {records.id}: is OPENING since {user.created_at}, due at {user.due_at}"


def _add_up(records: UserRecords) -> Iterator[str]:
    due = records.ledger.total if records.ledger else 0
    if records.account and records.account.balance != due:
        yield (
            f"user {records.id}: the ledger adds up to {due} points, but the balance is"
            f" {records.account.balance}"
        )


def _follow(records: UserRecords) -> Iterator[str]:
    yield from breaks(records.ledger, f"ledger of user {records.id}")


def _belong(records: UserRecords) -> Iterator[str]:
    if records.ledger and records.account is None:
        yield f"user {records.id}: has {records.ledger.entries} ledger entries, but no account"


def _not_negative(records: UserRecords) -> Iterator[str]:
    if records.account and records.account.balance < 0:
        yield f"user {records.id}: the balance is {records.account.balance} points"


def _causes(records: UserRecords) -> Iterator[str]:
    yield from records.ledger.causeless if records.ledger else ()
    grants = records.ledger.grants if records.ledger else 0
    if grants != records.granted:
        yield (
            f"user {records.id}: has {grants} grants in the ledger, but {records.granted} in the audit log"
        )


def _events(records: UserRecords) -> Iterator[str]:
    since = records.facts.told_since
    told_of = {event.event_type for event in records.events}
    if since is not None:
        user, account = records.user, records.account
        if user and user.state == "ACTIVE" and user.created_at >= since and not told_of:
            yield f"user {records.id}: is {user.state}, but no event tells of it"
        closed = user is None and account is not None and account.state == "CLOSED"
        if closed and account and account.opened_at >= since and not told_of:
            yield f"user {records.id}: has a closed account, but no event tells why"
    for event in records.events:
        try:
            told = msgspec.json.decode(event.event_data).get("user_id")
        except (msgspec.DecodeError, AttributeError):
            told = None
        lives = records.user is not None
        if told != records.id or lives != (event.event_type == "user.registered"):
            yield (
                f"event {event.position}: {event.event_type} of user {told}, but user {records.id} is"
                f" {records.user.state if records.user else 'unknown'}"
            )


ACCOUNT_BOOK = Book(
    "accounts",
    (
        Check("users and point accounts stand or fall together", _have_accounts),
        Check("sign-ups come to their end", _looked_after),
        Check("point balances equal their ledgers", _add_up),
        Check("ledger entries note the balance after them", _follow),
        Check("ledgers belong to accounts", _belong),
        Check("point balances are not below zero", _not_negative),
        Check("ledger entries have their causes", _causes),
        Check("stored events of users are true", _events),
    ),
    _pages,
)
