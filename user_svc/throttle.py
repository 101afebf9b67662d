"""Whether tries to prove who one is are heard: after too many failures in a row they have to wait."""

from datetime import timedelta

from shared.database import Reader, Transaction
from shared.errors import TooMany
from user_svc import domain, sessions, store
from user_svc.settings import UserSettings


class Throttle:
    """The failed tries at one account from one client address."""

    def __init__(self, account: str, client: str, settings: UserSettings) -> None:
        self.key = domain.throttle_key(account, client)
        self._pause = timedelta(seconds=settings.sign_in_pause_s)
        self._limit = settings.sign_in_failures

    def check(self, failed: domain.Failures | None, unit: Reader) -> None:
        """Raises `TooMany` while no more tries are heard."""
        if seconds := domain.seconds_to_wait(failed, unit.now, self._limit, self._pause):
            raise TooMany("Signing in has failed too often; wait a little.", retry_after=seconds)

    async def forget(self, tx: Transaction) -> None:
        """One has succeeded: the next failure is the first again.

        Raises `TooMany` where it should not have been heard at all: of many guesses made at once, those that
        end after the limit was reached learn nothing, not even the right one.
        """
        failed = await sessions.failures(tx, self.key, lock=True)
        self.check(failed, tx)
        if failed:
            await sessions.forget_failures(tx, self.key)

    async def count(self, tx: Transaction) -> None:
        """One more has failed. Raises `TooMany` where it should not have been heard at all."""
        failed = await store.lock_failures(tx, self.key)
        self.check(failed, tx)
        await sessions.keep_failures(tx, self.key, domain.one_more_failure(failed, tx.now, self._pause))
