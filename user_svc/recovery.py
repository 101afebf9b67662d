"""Passwords and addresses by mail: a forgotten password, the proof of an address, a change of it."""

from shared.database import Database, DuplicateKey, Transaction
from shared.errors import Conflict, FieldError, RuleBroken
from user_svc import domain, mailings, sessions
from user_svc.contracts import AskEmailProof, AskPasswordReset, ProveEmail, ResetPassword
from user_svc.models import User
from user_svc.passwords import hash_password
from user_svc.settings import UserSettings


async def ask_password_reset(call: AskPasswordReset, tx: Transaction) -> None:
    """Have a letter sent to this address, if it is somebody's."""
    await mailings.ask(tx, "reset", call.email, client=call.client)


async def ask_email_proof(call: AskEmailProof, tx: Transaction) -> None:
    """The same, to prove that its owner reads it."""
    await mailings.ask(tx, "proof", call.email, client=call.client)


async def reset_password(call: ResetPassword, db: Database, settings: UserSettings) -> None:
    """Set a new password, and end all sign-ins: whoever knew the old one is out."""
    if errors := domain.change_errors(None, None, call.password, ""):
        raise RuleBroken("Some fields cannot be accepted.", errors=errors)
    known = mailings.token_hash(call.token)
    if not await db.read(lambda r: mailings.MailedToken.exists(id=known, kind="reset", using_db=r.models)):
        raise _no_token()  # before a hash is made, which is costly
    password_hash = await hash_password(call.password, settings)

    async def reset(tx: Transaction) -> None:
        token = await mailings.take_token(tx, call.token, "reset")
        user = await _held(tx, token.user_id) if token else None
        if token is None or user is None:
            raise _no_token()
        user.password_hash = password_hash
        if domain.email_key(token.email) == user.email_key:
            user.email_proven_at = tx.now
        await user.save(using_db=tx.models, update_fields=["password_hash", "email_proven_at"])
        await mailings.forget_tokens(tx, user.id)
        await sessions.end_sessions(tx, user.id)

    await db.transaction(reset)


async def prove_email(call: ProveEmail, tx: Transaction) -> None:
    """The token came back, so its address is read by the user: a new one becomes the account's."""
    token = await mailings.take_token(tx, call.token, "proof", "change")
    user = await _held(tx, token.user_id) if token else None
    if token is None or user is None or (token.kind == "proof" and _key(token.email) != user.email_key):
        raise _no_token()
    user.email_proven_at = tx.now
    if token.kind == "change":
        if _key(token.email) != user.email_key:
            await mailings.ask(tx, "moved", user.email, user_id=user.id)
        user.email, user.email_key = token.email, _key(token.email)
        await mailings.forget_tokens(tx, user.id)
    try:
        await user.save(using_db=tx.models, update_fields=["email", "email_key", "email_proven_at"])
    except DuplicateKey:
        raise Conflict(
            "This address has an account already.", errors=[FieldError("email", "Taken")]
        ) from None


def _key(email: str) -> str:
    return domain.email_key(email)


async def _held(tx: Transaction, user_id: int) -> User | None:
    query = User.filter(id=user_id, state="ACTIVE").using_db(tx.models)
    return await query.select_for_update().get_or_none()


def _no_token() -> RuleBroken:
    return RuleBroken(
        "The token is not valid, or not any more; ask for another letter.",
        errors=[FieldError("token", "Expected the token of the latest letter, unused and not expired")],
    )
