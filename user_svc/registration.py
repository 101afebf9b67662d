"""Signing up: the user and its point account come to be together or not at all, whatever dies in between."""

from payment_svc.contracts import OpenAccount
from shared.clock import utc_now
from shared.database import Database
from shared.errors import OutcomeUnknown, Problem, RuleBroken, Unavailable
from shared.logs import log
from shared.rpc import Rpc
from user_svc import accounts, domain, store
from user_svc.contracts import Register, UserId
from user_svc.passwords import hash_password
from user_svc.settings import UserSettings


async def register(call: Register, db: Database, rpc: Rpc, settings: UserSettings) -> UserId:
    """Write the user down, open its point account, let it in: two units of work with a call between them.

    A lost answer leaves the user OPENING for the job; any other trouble undoes the sign-up at once.
    """
    if errors := domain.registration_errors(call.email, call.name, call.address, call.password):
        raise RuleBroken("Some fields cannot be accepted.", errors=errors)
    begun = await db.read(lambda reader: accounts.find_request(reader, call))
    if begun is None:
        password_hash = await hash_password(call.password, settings)
        begun = await db.transaction(
            lambda tx: accounts.begin(tx, call, password_hash, retry_s=settings.registration_retry_s)
        )
    elif not begun.active:
        await db.transaction(
            lambda tx: store.take_up(tx, [begun.user_id], retry_s=settings.registration_retry_s)
        )
    if not begun.active and not await _finish(begun.user_id, db, rpc, settings, in_doubt=(OutcomeUnknown,)):
        raise Unavailable("The point account could not be opened, so nobody was registered; try again.")
    return UserId(id=begun.user_id)


async def take_up_unfinished(db: Database, rpc: Rpc, settings: UserSettings) -> None:
    """A job: finish sign-ups whose process died, or whose point account was left in doubt.

    Opening is repeated, which does no harm. While the payment service is away they wait, but not past the
    patience: then they are undone. If that takes so long that another replica takes up the same one, only the
    first step out of OPENING counts.
    """
    waiting = await db.transaction(
        lambda tx: store.claim_unfinished(tx, retry_s=settings.registration_retry_s)
    )
    for one in waiting:
        seconds = (utc_now() - one.created_at).total_seconds()
        in_doubt = (Unavailable,) if seconds < settings.registration_patience_s else ()
        try:
            await _finish(one.id, db, rpc, settings, in_doubt=in_doubt)
        except Unavailable as error:
            log.info("registration.unfinished", user_id=one.id, seconds=seconds, detail=error.detail)
            return  # the younger ones would only wait for the same service


async def _finish(
    user_id: int, db: Database, rpc: Rpc, settings: UserSettings, *, in_doubt: tuple[type[Problem], ...]
) -> bool:
    """Open the point account and let the user in (True), or undo the sign-up (False).

    Raises the problems named by `in_doubt`, with the user still OPENING.
    """
    try:
        await rpc.call(OpenAccount(user_id=user_id), timeout=settings.open_account_timeout_s)
    except in_doubt:
        raise
    except Problem as error:
        log.info("registration.undone", user_id=user_id, problem=error.slug, detail=error.detail)
        if await db.transaction(lambda tx: accounts.undo(tx, user_id)):
            return False
    return await db.transaction(lambda tx: accounts.activate(tx, user_id))
