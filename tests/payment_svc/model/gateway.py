"""A payment gateway (PG) in memory, after the facts of a real one: sessions, confirmations, refunds, books.

It implements the port that the payment service asks through, without HTTP. What befalls a question is told to
it beforehand, for each payment: so what happens does not hang on which of two tasks comes first.
"""

import asyncio
from collections import deque
from collections.abc import AsyncIterator, Callable, Iterable, Mapping
from datetime import datetime, timedelta
from enum import StrEnum
from typing import NamedTuple
from uuid import UUID

from payment_svc.pgs import Card, Entry, Finding, NoAnswer, Notice, Report
from tests.payment_svc.model.clock import Clock

WINDOW = timedelta(minutes=10)
"""For so long after it began can a session be confirmed."""
TEST_KEY = "default_"
"""Begins the keys of test cards; their sessions begin with the first confirmation."""


class Trouble(StrEnum):
    """What befalls one question to the PG."""

    NONE = "none"
    UNREACHABLE = "unreachable"
    """It never arrives, and the asker is told so."""
    ANSWER_LOST = "answer lost"
    """It is done, and its answer gets lost."""
    LATE = "late"
    """The asker gives up on it; it arrives some time later and is done then."""
    HANGS = "hangs"
    """Nothing comes, until somebody lets the PG do it and answer, or the asker dies or gives up."""
    ANSWER_HANGS = "answer hangs"
    """It is done, but the answer, which gets older, hangs like that."""
    DIES_BEFORE = "dies before"
    """The asker dies before it has asked."""
    DIES_AFTER = "dies after"
    """It is done, and the asker dies before it has written anything down."""


class Status(StrEnum):
    """Where a session stands at the PG."""

    READY = "READY"
    DONE = "DONE"
    CANCELED = "CANCELED"
    ABORTED = "ABORTED"
    EXPIRED = "EXPIRED"


class Session:
    """What the PG knows of one payment key."""

    def __init__(self, key: str, began: datetime, *, number: str | None, amount: int | None) -> None:
        self.key, self.began, self.number, self.amount = key, began, number, amount
        self.status = Status.READY
        self.given_back = 0
        self.declines = False
        self.refuses_to_cancel = False
        self.contradicts = False

    @property
    def left(self) -> int:
        """How many won are charged and not given back."""
        return (self.amount or 0) - self.given_back if self.status is Status.DONE else 0


class Parked(NamedTuple):
    """A question that hangs: about what, the task that waits, what the PG will do, and its answer to be."""

    payment_id: UUID
    since: datetime
    changes: bool
    task: "asyncio.Task[object] | None"
    work: Callable[[], Report]
    answer: "asyncio.Future[Report]"


class Late(NamedTuple):
    """A request about a payment that is still on its way, which nobody waits for any more."""

    payment_id: UUID
    sent_at: datetime
    work: Callable[[], Report]


class Gateway:
    """The PG: its sessions by key and its books, and what is on its way to and from it."""

    confirm_window_s = WINDOW.total_seconds()

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self._sessions: dict[str, Session] = {}
        self._answered: dict[str, Report] = {}
        self._troubles: dict[UUID, deque[Trouble]] = {}
        self.entries: list[Entry] = []
        self.parked: list[Parked] = []
        self.late: list[Late] = []
        self.someone_hangs = asyncio.Event()
        self.fates: list[Trouble] = []
        """What the first questions about payments meet, by their numbers, if nothing else was said."""
        self._asked: set[UUID] = set()
        self.may_hang = True
        """Else a question that would hang is answered as one that never arrived."""
        self.delay_s = 0.0
        """How long every answer takes, in real time."""

    # What tests arrange ----------------------------------------------------------------------------------

    def open_widget(
        self, key: str, *, number: UUID | None, amount: int | None, declines: bool = False
    ) -> Session:
        """A buyer types a card in: a session begins, of a number and an amount where the shop said them."""
        session = Session(key, self._clock.now, number=str(number) if number else None, amount=amount)
        session.declines = declines
        self._sessions[key] = session
        return session

    def befall(self, payment_id: UUID, troubles: Iterable[Trouble]) -> None:
        """What the next questions about a payment meet, one after the other."""
        self._troubles[payment_id] = deque(troubles)

    def charged(self) -> list[Session]:
        """The sessions that are charged, wholly or in part."""
        return [session for session in self._sessions.values() if session.left]

    def known(self) -> list[Session]:
        """The sessions that some number of ours was confirmed with."""
        return [session for session in self._sessions.values() if session.number is not None]

    def left_of(self, payment_id: UUID) -> int:
        """How many won are charged and not given back under a number, by the PG's books."""
        return sum(entry.amount for entry in self.entries if entry.number == str(payment_id))

    def was_charged(self, payment_id: UUID) -> bool:
        """Whether a number was ever charged."""
        return any(entry.number == str(payment_id) for entry in self.entries)

    def cancel_by_itself(self, session: Session, amount: int) -> None:
        """Somebody cancels so many won at the PG's own counter."""
        self._give_back(session, min(amount, session.left))

    def notice_of(self, session: Session) -> str:
        """What the PG tells of a payment as it stands now."""
        report = self._report(session)
        return f"{session.number} {report.finding} {report.returned}"

    def answer(self, parked: Parked, *, lost: bool) -> None:
        """Let a question that hangs be done, and its answer arrive or get lost."""
        self.parked.remove(parked)
        report = parked.work()
        if parked.answer.done():
            return
        if lost:
            parked.answer.set_exception(NoAnswer("the answer got lost"))
        else:
            parked.answer.set_result(report)

    def give_up(self, patience: timedelta) -> None:
        """Nobody waits longer than this for an answer; what was asked may still be done."""
        for parked in [one for one in self.parked if self._clock.now > one.since + patience]:
            self.parked.remove(parked)
            if parked.changes:
                self.late.append(Late(parked.payment_id, parked.since, parked.work))
            if not parked.answer.done():
                parked.answer.set_exception(NoAnswer("it took too long"))

    def arrive(self, late: Late) -> None:
        """A request that was on its way for long is done, unless it has become too old."""
        self.late.remove(late)
        if self._clock.now < late.sent_at + WINDOW:
            late.work()

    def calm_down(self) -> None:
        """No more trouble: whatever hangs is answered."""
        self._troubles.clear()
        self.fates = []
        for parked in list(self.parked):
            self.answer(parked, lost=False)

    def arrive_after(self, delay: timedelta) -> datetime | None:
        """What has been on its way for so long arrives; returns when the next does, if there is one."""
        for late in [one for one in self.late if one.sent_at + delay <= self._clock.now]:
            self.arrive(late)
        return min((late.sent_at + delay for late in self.late), default=None)

    # The port --------------------------------------------------------------------------------------------

    async def charge(self, card: Card, *, attempt: int) -> Report:
        """Confirm; the same attempt is answered as it was."""
        key = f"charge-{card.payment_id}-{attempt}"
        return await self._question(card, lambda: self._once(key, lambda: self._confirm(card)))

    async def look_up(self, card: Card) -> Report:
        """What is so now."""
        return await self._question(card, lambda: self._look(card), changes=False)

    async def cancel(self, card: Card, reason: str, *, attempt: str, amount: int | None = None) -> Report:
        """Give back; the same attempt is done once, and answered as it was."""
        key = f"cancel-{attempt}"
        return await self._question(card, lambda: self._once(key, lambda: self._cancel(card, amount)))

    async def transactions(self, since: datetime, until: datetime) -> AsyncIterator[Entry]:
        """The books between two times."""
        for entry in list(self.entries):
            if since <= entry.at <= until:
                yield entry

    def read_notice(self, headers: Mapping[str, str], body: str) -> Notice | None:
        """A notice says a number, a finding and how much was given back; the number alone tells nothing."""
        match body.split():
            case [number, finding, returned]:
                return Notice(number, Finding(finding), int(returned))
            case [number]:
                return Notice(number)
            case _:
                return None

    # What it does ----------------------------------------------------------------------------------------

    async def _question(self, card: Card, work: Callable[[], Report], *, changes: bool = True) -> Report:
        if self.delay_s:
            await asyncio.sleep(self.delay_s)
        trouble = self._trouble(card.payment_id)
        match trouble:
            case Trouble.NONE:
                return _certain(work())
            case Trouble.ANSWER_LOST:
                work()
            case Trouble.LATE if changes:
                self.late.append(Late(card.payment_id, self._clock.now, work))
            case Trouble.HANGS | Trouble.ANSWER_HANGS if self.may_hang:
                if trouble is Trouble.ANSWER_HANGS:
                    report, changes = work(), False
                    work = lambda: report  # noqa: E731  what is told now is what was so then
                answer = asyncio.get_running_loop().create_future()
                task = asyncio.current_task()
                parked = Parked(card.payment_id, self._clock.now, changes, task, work, answer)
                self.parked.append(parked)
                self.someone_hangs.set()
                return _certain(await parked.answer)
            case Trouble.DIES_BEFORE:
                raise asyncio.CancelledError
            case Trouble.DIES_AFTER:
                work()
                raise asyncio.CancelledError
            case _:
                pass
        raise NoAnswer(str(trouble))

    def _trouble(self, payment_id: UUID) -> Trouble:
        is_first = payment_id not in self._asked
        self._asked.add(payment_id)
        if troubles := self._troubles.get(payment_id):
            return troubles.popleft()
        if is_first and self.fates:
            return self.fates[(payment_id.int >> 96) % len(self.fates)]
        return Trouble.NONE

    def _once(self, key: str, work: Callable[[], Report]) -> Report:
        if key not in self._answered:
            self._answered[key] = work()
        return self._answered[key]

    def _confirm(self, card: Card) -> Report:
        number = str(card.payment_id)
        session = self._sessions.get(card.key)
        if session is None and card.key.startswith(TEST_KEY):
            session = self.open_widget(card.key, number=card.payment_id, amount=card.amount)
        if session is None:
            return Report(Finding.UNKNOWN)
        if session.number not in (None, number):
            if session.status is Status.READY:
                return Report(Finding.UNKNOWN)
            return Report(Finding.REFUSED, 0, "ALREADY_PROCESSED_PAYMENT", "It pays for something else.")
        if session.amount not in (None, card.amount):
            return Report(Finding.UNKNOWN)
        self._expire(session)
        if session.status is Status.EXPIRED:
            return Report(Finding.REFUSED, 0, "NOT_FOUND_PAYMENT_SESSION", "It is too late.")
        session.number, session.amount = number, card.amount
        if session.status is Status.READY:
            session.status = Status.ABORTED if session.declines else Status.DONE
            if session.status is Status.DONE:
                self._enter(session, card.amount)
        return self._report(session)

    def _look(self, card: Card) -> Report:
        for session in self._sessions.values():
            if session.number == str(card.payment_id):
                self._expire(session)
                return self._report(session)
        return Report(Finding.NOTHING)

    def _cancel(self, card: Card, amount: int | None) -> Report:
        session = self._sessions.get(card.key)
        if session is None:
            return Report(Finding.UNKNOWN)
        wanted = session.left if amount is None else amount
        if session.status is not Status.DONE:
            return self._look(card)
        if session.refuses_to_cancel or wanted > session.left:
            return Report(Finding.STAYS_CHARGED, session.given_back, "NOT_CANCELABLE_AMOUNT", "Refused.")
        self._give_back(session, wanted)
        return self._report(session)

    def _report(self, session: Session) -> Report:
        if session.contradicts:
            return Report(Finding.CONTRADICTION, 0, "NOT_OURS", "In the answer differs: key.")
        match session.status:
            case Status.READY:
                return Report(Finding.NOTHING)
            case Status.DONE:
                return Report(Finding.CHARGED, session.given_back)
            case Status.CANCELED:
                return Report(Finding.CANCELLED, session.given_back)
            case Status.ABORTED:
                return Report(Finding.REFUSED, 0, "REJECT_CARD_PAYMENT", "The card was declined.")
            case Status.EXPIRED:
                return Report(Finding.REFUSED, 0, "EXPIRED", "Nobody confirmed it in time.")

    def _expire(self, session: Session) -> None:
        if session.status is Status.READY and self._clock.now > session.began + WINDOW:
            session.status = Status.EXPIRED

    def _give_back(self, session: Session, amount: int) -> None:
        if amount <= 0:
            return
        session.given_back += amount
        self._enter(session, -amount)
        if session.given_back == session.amount:
            session.status = Status.CANCELED

    def _enter(self, session: Session, amount: int) -> None:
        self.entries.append(Entry(session.number or "", amount, "KRW", self._clock.now))


def _certain(report: Report) -> Report:
    if report.finding is Finding.UNKNOWN:
        raise NoAnswer("an error that says nothing of the payment")
    return report
