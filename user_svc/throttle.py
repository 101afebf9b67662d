"""Whether tries to prove who one is are heard: after too many failures they have to wait.

Failures are counted three times: of one account from one client, of all accounts from one client, and of one
account from all clients. An account that is tried from everywhere goes on hearing the clients from which it
has been signed in to of late: nobody can shut its owner out by failing often enough.
"""

from datetime import timedelta
from typing import NamedTuple

from shared.database import Reader, Transaction
from shared.errors import TooMany
from shared.service import owner_of
from user_svc import domain, sessions, store
from user_svc.domain import Failures
from user_svc.settings import UserSettings

NOBODY = 0
"""Where there is no such account as much is asked as where there is one."""


class _Count(NamedTuple):
    """Something that is counted: under which key, and how many are heard."""

    key: str
    limit: int
    in_a_row: bool


class Throttle:
    """The failed tries at one account from one client.

    `alone`: what is tried needs a proof already, so only those of this account from this client count.
    """

    def __init__(self, account: str, client: str, settings: UserSettings, *, alone: bool = False) -> None:
        client = owner_of(client) if not alone else client
        self.client = client
        self._pause = timedelta(seconds=settings.sign_in_pause_s)
        self._known_for = timedelta(days=settings.sign_in_known_days)
        self._own = _Count(domain.throttle_key(account, client), settings.sign_in_failures, True)
        self._client = _Count(domain.client_key(client), settings.sign_in_failures_of_client, False)
        self._account = _Count(domain.account_key(account), settings.sign_in_failures_of_account, False)
        self._counts = (self._own,) if alone else (self._own, self._client, self._account)

    async def look(self, reader: Reader, user_id: int | None = None) -> int:
        """How often it has failed in a row. Raises `TooMany` while no more tries are heard."""
        found = await store.failures(reader, [one.key for one in self._counts])
        for count in self._counts:
            wait = domain.seconds_to_wait(found.get(count.key), reader.now, count.limit, self._pause)
            if wait and not (count is self._account and await self._is_known(reader, user_id)):
                raise TooMany("Signing in has failed too often; wait a little.", retry_after=wait)
        own = found.get(self._own.key)
        return own.count if own else 0

    async def forget(self, tx: Transaction, user_id: int | None = None) -> None:
        """One has succeeded: the next failure from this client is the first again.

        Raises `TooMany` where it should not have been heard at all: of many guesses made at once, those that
        end after the limit was reached learn nothing, not even the right one.
        """
        await store.hold_failures(tx, [self._own.key])
        if await self.look(tx, user_id):
            await sessions.forget_failures(tx, self._own.key)

    async def count(self, tx: Transaction, user_id: int | None = None) -> None:
        """One more has failed. Raises `TooMany` where it should not have been heard at all."""
        found = await store.lock_failures(tx, [one.key for one in self._counts])
        await self.look(tx, user_id)
        counted: dict[str, Failures] = {}
        for one in self._counts:
            more = domain.one_more_failure if one.in_a_row else domain.one_more_within
            counted[one.key] = more(found.get(one.key), tx.now, self._pause)
        await store.keep_failures(tx, counted)

    async def _is_known(self, reader: Reader, user_id: int | None) -> bool:
        """Whether the account has been signed in to from this client of late."""
        key = domain.known_client_key(NOBODY if user_id is None else user_id, self.client)
        return await sessions.is_known_client(reader, key, reader.now - self._known_for)
