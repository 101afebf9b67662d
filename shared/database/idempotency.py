"""Idempotency keys: a call that comes again under its key is answered as the first time, and not done again.

What a call answered is written in its own unit of work, so that it is there if and only if the call was done.
A problem is no answer to keep: its unit is undone, the key with it, and the next try may succeed.

    await rpc.call(CreateItem(...), once=Once(user_id, "create_item", key, fingerprint(body)))

Handlers need not know of it, unless they work in several units: those ask for an `Idempotency`.
"""

import hashlib
from collections.abc import Awaitable, Callable, Mapping, Sequence
from datetime import datetime, timedelta
from typing import Any, NamedTuple, Self, cast

import msgspec
import pymysql.err

from shared.database.queries import Row, Select
from shared.database.sql import statements
from shared.database.transaction import Reader, Transaction
from shared.errors import FieldError, Problem, RuleBroken, StillRunning

LOCKED = frozenset({1205, 3572})
"""What `NOWAIT` says where a row is locked: a lock wait that timed out (MariaDB), or an error of its own."""


class Once(msgspec.Struct, frozen=True):
    """That a call is to be done once: whose key it is, on which route, and what was asked for under it."""

    owner: int
    route: str
    key: str
    fingerprint: str

    def key_for(self, call: str) -> "Key":
        """The key of one call: a request that makes several may be done in part, so each has its own."""
        parts = (str(self.owner), self.route, call, _hash(self.key))
        return Key(id=_hash("\n".join(parts)), owner=self.owner, fingerprint=self.fingerprint)


class Key(msgspec.Struct, frozen=True):
    """A key as it travels with its call: `id` stands for owner, route, call and key, exact to the byte."""

    id: str
    owner: int
    fingerprint: str


class Again(NamedTuple):
    """The first answer of a call that was done before, as it was kept."""

    answer: str


class AnsweredBefore(Exception):
    """A twin was faster: ends the unit of work, and the call is answered as the twin was."""

    def __init__(self, again: Again) -> None:
        super().__init__("this call was answered before")
        self.again = again


class _KeptAnswer(Row):
    id: str
    fingerprint: str
    answer: str | None
    work: str | None
    running_until: datetime


_FIND = Select(_KeptAnswer, "FROM kept_answers WHERE id IN %s ORDER BY id")
_LOCK = _FIND + "FOR UPDATE NOWAIT"


def fingerprint(*wish: Any) -> str:
    """What stands for a wish when its key comes again: the same for the same wish, however it was spelled.

    A field that is left out and one that is null say the same; so a field that a later version adds changes
    nothing for those who do not use it.
    """
    return hashlib.sha256(msgspec.json.encode(_said(msgspec.to_builtins(wish)))).hexdigest()


def _said(value: Any) -> Any:
    if isinstance(value, dict):
        fields = cast(dict[str, Any], value)
        return {name: _said(fields[name]) for name in sorted(fields) if fields[name] is not None}
    if isinstance(value, list | tuple):
        return [_said(one) for one in cast(Sequence[Any], value)]
    return value


# In one unit of work -------------------------------------------------------------------------------------


async def do_once(
    tx: Transaction,
    call: str,
    keys: Sequence[Key | None],
    do: Callable[[list[int]], Awaitable[Sequence[Any]]],
    kept: Callable[[Any], str],
) -> list[Any]:
    """Answer some calls of one name in this unit, each with a key or without one.

    `do` is given the places of those that are to be done, and returns their replies (or `Problem`s) in that
    order; `kept` makes of a reply what is kept. Returns what came of each call: a reply, a `Problem`, or
    `Again`. Of two with one key in one list the second is still running.
    """
    firsts: dict[str, Key] = {}
    for key in keys:
        if key is not None:
            firsts.setdefault(key.id, key)
    rows = await _taken(tx, call, firsts, tx.now)
    outcomes: list[Any] = [None] * len(keys)
    fresh: list[int] = []
    for place, key in enumerate(keys):
        outcome = None
        if key is not None:
            is_first = firsts.pop(key.id, None) is not None
            outcome = _known(key, rows.get(key.id), tx.now) if is_first else StillRunning()
        if outcome is None:
            fresh.append(place)
        outcomes[place] = outcome
    replies = await do(fresh) if fresh else []
    answers: dict[Key, str] = {}
    refused: list[str] = []
    for place, reply in zip(fresh, replies, strict=True):
        outcomes[place] = reply
        key = keys[place]
        if key is not None and isinstance(reply, Problem):
            refused.append(key.id)
        elif key is not None:
            answers[key] = kept(reply)
    if refused:
        await tx.write("DELETE FROM kept_answers WHERE id IN %s", [sorted(refused)])
    await _keep(tx, call, answers)
    return outcomes


# In several units of work --------------------------------------------------------------------------------


class Idempotency:
    """The key of the call in hand, for a handler that works in several units of work.

    Such a handler takes the key in the unit that writes down what it begins, and keeps its answer in the unit
    that writes down its end:

        async def begin(tx: Transaction) -> str:
            work_id = await idempotency.begin(tx, new_id())
            ...  # write the work down, unless it is there already

        async def end(tx: Transaction) -> Done:
            ...
            await idempotency.keep(tx, done)

    Until then others with this key are told that it is still running. A process that dies in between leaves
    its key to whoever comes `lease_s` seconds later, who then has the same work in hand and carries it on;
    one whose database or partner went away leaves it at once. If the handler refuses, the key is given up,
    unless an answer is kept. For a call without a key nothing of all this is done.
    """

    def __init__(self, call: str, key: Key | None, kept: Callable[[Any], str], lease_s: float) -> None:
        self._call = call
        self._key = key
        self._kept = kept
        self._lease = timedelta(seconds=lease_s)
        self._until: datetime | None = None
        self.is_kept = False
        """Whether the answer has been kept; once the unit in which it was has committed, that is."""
        self.begun: str | None = None
        """The work that an earlier try began under this key and never ended, as this call found it."""

    @classmethod
    def without_key(cls) -> Self:
        """That of a call that came without a key."""
        return cls("", None, str, 0.0)

    async def look(self, db: Reader) -> Again | None:
        """The first answer, if there is one. Raises `StillRunning`, and `RuleBroken` for another wish."""
        if self._key is None:
            return None
        row = (await _rows(db, _FIND, [self._key.id])).get(self._key.id)
        known = _known(self._key, row, db.now)
        if isinstance(known, Problem):
            raise known
        self.begun = row.work if row is not None else None
        return known

    async def look_again(self, db: Reader) -> None:
        """Look once more, where another service was asked meanwhile and says that it is done already.

        A call that came with the same key a moment earlier may have done it, as work of its own. Raises
        `AnsweredBefore` with its answer, and `StillRunning`.
        """
        if (again := await self.look(db)) is not None:
            raise AnsweredBefore(again)

    async def begin(self, tx: Transaction, work: object = "") -> str:
        """Take the key, and name the work that is begun; returns the work to do.

        That is `work` as text, or what an abandoned try began: what it wrote down is there already. To be
        called once, before anything else in its unit. Raises `StillRunning`, and `RuleBroken` for another
        wish.
        """
        if self._key is None:
            return str(work)
        until = tx.now + self._lease
        row = (await _taken(tx, self._call, {self._key.id: self._key}, until, str(work))).get(self._key.id)
        known = _known(self._key, row, tx.now)
        if isinstance(known, Problem):
            raise known
        if known is not None:
            raise AnsweredBefore(known)
        if row is not None:  # abandoned
            work = row.work or work
            await tx.write(
                "UPDATE kept_answers SET running_until = %s, work = %s WHERE id = %s",
                [until, str(work), row.id],
            )
        self._until = until
        return str(work)

    async def keep(self, tx: Transaction, reply: object) -> None:
        """Keep the answer: written in this unit, which also writes what makes it true."""
        if self._key is not None:
            await _keep(tx, self._call, {self._key: self._kept(reply)})
        self.is_kept = True

    async def leave(self, tx: Transaction) -> None:
        """The call broke off, perhaps in the middle: the next one with this key carries its work on."""
        if self._key is not None and self._until is not None:
            await tx.write(
                "UPDATE kept_answers SET running_until = %s"
                " WHERE id = %s AND answer IS NULL AND running_until = %s",
                [tx.now, self._key.id, self._until],
            )

    async def give_up(self, tx: Transaction) -> None:
        """The call came to nothing: the next one with this key is the first again."""
        if self._key is not None and self._until is not None:
            await tx.write(
                "DELETE FROM kept_answers WHERE id = %s AND answer IS NULL AND running_until = %s",
                [self._key.id, self._until],
            )


# The table -----------------------------------------------------------------------------------------------


async def _taken(
    tx: Transaction, call: str, keys: Mapping[str, Key], until: datetime, work: str | None = None
) -> dict[str, _KeptAnswer]:
    """What is known of keys; those that nothing is known of are taken, so that their twins see them.

    Raises `StillRunning` if one of them is taken by a unit that has not ended. A twin that takes one at this
    very moment shows as a duplicate, and the unit of work runs again.
    """
    ids = sorted(keys)
    if not ids:
        return {}
    rows = await _locked_rows(tx, ids)
    new = [keys[id_] for id_ in ids if id_ not in rows]
    # Waited for: a duplicate must be met here, and not by the handler, who would take it for one of its own.
    for insert in statements(
        "INSERT INTO kept_answers (id, owner, `call`, fingerprint, work, running_until, created_at)"
        " VALUES (%s, %s, %s, %s, %s, %s, %s)",
        [(key.id, key.owner, call, key.fingerprint, work, until, tx.now) for key in new],
    ):
        await tx.execute(insert)
    return rows


async def _locked_rows(tx: Transaction, ids: list[str]) -> dict[str, _KeptAnswer]:
    try:
        return await _rows(tx, _LOCK, ids)
    except pymysql.err.MySQLError as error:
        if error.args[0] not in LOCKED:
            raise
    # A twin that is only answered again holds the row, too, for that moment.
    rows = await _rows(tx, _FIND, ids)
    if len(rows) < len(ids) or any(row.answer is None for row in rows.values()):
        raise StillRunning
    return rows


async def _rows(db: Reader, select: Select[_KeptAnswer], ids: list[str]) -> dict[str, _KeptAnswer]:
    return {row.id: row for row in await db.find(select, ids)}


def _known(key: Key, row: _KeptAnswer | None, now: datetime) -> Again | Problem | None:
    """The first answer, or what is wrong; None for a call that is to be done."""
    if row is None:
        return None
    # Keys from before this table have no fingerprint: what was asked for under them is not known.
    if row.fingerprint and row.fingerprint != key.fingerprint:
        return RuleBroken(
            "This Idempotency-Key was used for another request; use a new key.",
            errors=[FieldError("Idempotency-Key", "Used for another request")],
        )
    if row.answer is not None:
        return Again(row.answer)
    return StillRunning() if row.running_until > now else None


async def _keep(tx: Transaction, call: str, answers: Mapping[Key, str]) -> None:
    """Write answers down; one that is there already stays."""
    await tx.write_many(
        "INSERT INTO kept_answers (id, owner, `call`, fingerprint, answer, running_until, created_at)"
        " VALUES (%s, %s, %s, %s, %s, %s, %s)"
        " ON DUPLICATE KEY UPDATE answer = COALESCE(answer, VALUES(answer))",
        [
            (key.id, key.owner, call, key.fingerprint, answer, tx.now, tx.now)
            for key, answer in answers.items()
        ],
    )


def _hash(text: str) -> str:
    return hashlib.sha256(text.encode()).hexdigest()
