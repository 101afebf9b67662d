"""Ways to reach a user outside the shop: what a channel is, and the one by mail."""

from email.message import EmailMessage
from typing import Protocol
from urllib.parse import unquote, urlsplit

import aiosmtplib
from msgspec import Struct

from user_svc.settings import UserSettings


class Letter(Struct, frozen=True, kw_only=True):
    """Something to send. `key` is the same whenever the same thing is sent again."""

    key: str
    to: str
    subject: str
    text: str


class NotSent(Exception):
    """A letter could not be handed over; `for_good` where trying again makes no sense."""

    def __init__(self, detail: str, *, for_good: bool = False) -> None:
        super().__init__(detail)
        self.for_good = for_good


class Channel(Protocol):
    """A way to reach somebody."""

    async def send(self, letter: Letter) -> None:
        """Hand a letter over. Raises `NotSent`."""
        ...


class Smtp:
    """Mail through an SMTP server, one connection for each letter: they are few."""

    def __init__(self, url: str, sender: str, timeout_s: float) -> None:
        parts = urlsplit(url)
        self._tls = parts.scheme == "smtps"
        self._host = parts.hostname or "127.0.0.1"
        self._port = parts.port or (465 if self._tls else 25)
        self._user = unquote(parts.username) if parts.username else None
        self._password = unquote(parts.password) if parts.password else None
        self._sender = sender
        self._timeout_s = timeout_s

    async def send(self, letter: Letter) -> None:
        """Hand the letter to the server, encrypted where it can be."""
        try:
            await aiosmtplib.send(
                self._message(letter),
                hostname=self._host,
                port=self._port,
                username=self._user,
                password=self._password,
                use_tls=self._tls,
                timeout=self._timeout_s,
            )
        except aiosmtplib.SMTPRecipientsRefused as error:
            codes = [refused.code for refused in error.recipients]
            raise NotSent(f"{error}", for_good=all(code >= 500 for code in codes)) from error
        except (aiosmtplib.SMTPSenderRefused, aiosmtplib.SMTPDataError) as error:
            raise NotSent(f"{error.code} {error.message}", for_good=error.code >= 500) from error
        except (aiosmtplib.SMTPException, OSError) as error:
            raise NotSent(f"{type(error).__name__}: {error}") from error

    def _message(self, letter: Letter) -> EmailMessage:
        message = EmailMessage()
        message["From"] = self._sender
        message["To"] = letter.to
        message["Subject"] = letter.subject
        # The same for the same letter, so that mail programs can tell a repetition.
        message["Message-ID"] = f"<{letter.key}@{self._sender.rpartition('@')[2]}>"
        message.set_content(letter.text)
        return message


def outbound(settings: UserSettings) -> Channel | None:
    """The channel that the settings name; None where notifications stay inside the shop."""
    if not settings.smtp_url:
        return None
    return Smtp(settings.smtp_url, settings.mail_from, settings.smtp_timeout_s)
