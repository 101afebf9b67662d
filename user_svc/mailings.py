"""Letters about accounts: asked for, and sent by a job that alone finds out whether there is such an account.

So asking takes as long, and answers the same, for every address. A token is made when its letter is sent, by
each try anew: no table ever holds one that could be used.
"""

import hashlib
import secrets
from datetime import timedelta

from shared.database import Database, Reader, Transaction
from shared.errors import TooMany
from shared.logs import log
from user_svc import accounts, domain
from user_svc.channels import outbound
from user_svc.domain import MailingKind
from user_svc.letters import Channel, Letter, NotSent
from user_svc.models import MailedToken, Mailing, User
from user_svc.sessions import LONGEST_CLIENT
from user_svc.settings import UserSettings
from user_svc.store import DueMailing, claim_mailings

AT_ONCE = 10
COUNTED_FOR = timedelta(hours=1)
MOST_TO_ADDRESS = 5
"""So many letters an address is sent in an hour; those asked for beyond are not, and nobody is told."""
ASK_AGAIN_S = 900
MOST_FROM_CLIENT = 30
"""So many may be asked for from one network address in an hour, to whomever."""


async def ask(
    tx: Transaction, kind: MailingKind, email: str, *, client: str = "", user_id: int | None = None
) -> None:
    """Have a letter sent. Raises `TooMany` where too many were asked for from there."""
    since = tx.now - COUNTED_FOR
    counted = Mailing.filter(created_at__gt=since).using_db(tx.models)
    if client and await counted.filter(client=client[:LONGEST_CLIENT]).count() >= MOST_FROM_CLIENT:
        raise TooMany("Too many letters were asked for; wait a little.", retry_after=ASK_AGAIN_S)
    fits = len(email) <= domain.EMAIL_MAX
    await Mailing.create(
        kind=kind,
        email=email if fits else "",
        address_hash=hashlib.sha256(domain.email_key(email).encode()).hexdigest(),
        client=client[:LONGEST_CLIENT],
        user_id=user_id,
        due_at=tx.now if fits else None,
        created_at=tx.now,
        using_db=tx.models,
    )


async def send_due(db: Database, settings: UserSettings) -> None:
    """A job: send the letters that are due."""
    lease = timedelta(seconds=AT_ONCE * settings.smtp_timeout_s * 2)
    while due := await db.transaction(lambda tx: claim_mailings(tx, AT_ONCE, lease)):
        for one in due:
            await _send(one, db, settings)


async def purge(tx: Transaction) -> None:
    """Forget letters that do not count any more, and tokens that have expired."""
    past = Mailing.filter(created_at__lt=tx.now - COUNTED_FOR, due_at=None).using_db(tx.models)
    await past.limit(1000).delete()
    await MailedToken.filter(expires_at__lt=tx.now).using_db(tx.models).limit(1000).delete()


async def take_token(tx: Transaction, token: str, *kinds: MailingKind) -> MailedToken | None:
    """The token that somebody presents, used up by that; None where there is none, or none any more."""
    rows = MailedToken.filter(id=token_hash(token), kind__in=kinds).using_db(tx.models)
    found = await rows.select_for_update().get_or_none()
    if found is None or found.expires_at <= tx.now:
        return None
    await rows.delete()
    return found


async def forget_tokens(tx: Transaction, user_id: int) -> None:
    """No token that was mailed to this user counts any more."""
    await MailedToken.filter(user_id=user_id).using_db(tx.models).delete()


def token_hash(token: str) -> str:
    """What is kept of a token; it is 256 random bits, so a plain hash cannot be undone."""
    return hashlib.sha256(token.encode()).hexdigest()


async def _send(due: DueMailing, db: Database, settings: UserSettings) -> None:
    """One try: find whose it is, make the token, hand the letter over, write down how that went."""
    token = secrets.token_urlsafe(32)
    send = await db.transaction(lambda tx: _prepare(tx, due, token, settings))
    try:
        if send:
            text = domain.letter_text(due.kind, token, settings.mail_link)
            letter = Letter(
                key=f"mailing-{due.id}-{due.attempts}",
                to=due.email,
                subject=domain.letter_subject(due.kind),
                text=text,
            )
            await _hand_over(letter, outbound(settings), settings)
    except NotSent as error:
        pause = None if error.for_good else domain.next_try(due.attempts)
        log.info("mailing.not_sent", mailing=due.id, given_up=pause is None)
        if pause is not None:
            await db.transaction(lambda tx: _later(tx, due.id, pause))
            return
    await db.transaction(lambda tx: _done(tx, due.id))


async def _prepare(tx: Transaction, due: DueMailing, token: str, settings: UserSettings) -> bool:
    """Keep the token's hash; False where nobody is to get such a letter."""
    if due.kind == "moved":
        return True
    # Counted here, one after the other: asked for at once, each would be the first.
    before = Mailing.filter(address_hash=due.address_hash, id__lt=due.id, created_at__gt=tx.now - COUNTED_FOR)
    user = await _whose(tx, due)
    if user is None or await before.using_db(tx.models).count() >= MOST_TO_ADDRESS:
        return False
    # Of two letters the later one counts.
    await MailedToken.filter(user_id=user.id, kind=due.kind).using_db(tx.models).delete()
    life = timedelta(seconds=settings.reset_token_s if due.kind == "reset" else settings.proof_token_s)
    await MailedToken.create(
        id=token_hash(token),
        user_id=user.id,
        kind=due.kind,
        email=due.email,
        expires_at=tx.now + life,
        using_db=tx.models,
    )
    return True


async def _whose(db: Reader, due: DueMailing) -> User | None:
    """Who gets it: whoever has that address, or, for a new address that is free, the user who wants it."""
    owner = await accounts.with_address(db, due.email)
    if due.kind != "change":
        return owner
    if owner is not None and owner.id != due.user_id:
        return None
    return await User.get_or_none(id=due.user_id, state="ACTIVE", using_db=db.models)


async def _hand_over(letter: Letter, channel: Channel | None, settings: UserSettings) -> None:
    if channel is not None:
        await channel.send(letter)
    elif settings.log_letters:  # a local run: its developer is the only reader
        log.info("mailing.not_mailed", to=letter.to, subject=letter.subject, letter=letter.text)
    else:
        log.warning("mailing.no_channel", advice="set SHOP_SMTP_URL")


async def _later(tx: Transaction, mailing_id: int, pause: timedelta) -> None:
    await Mailing.filter(id=mailing_id).using_db(tx.models).update(due_at=tx.now + pause)


async def _done(tx: Transaction, mailing_id: int) -> None:
    await Mailing.filter(id=mailing_id).using_db(tx.models).update(due_at=None, email="")
