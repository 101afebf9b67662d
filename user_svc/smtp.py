"""The channel by mail."""

from email.message import EmailMessage
from urllib.parse import unquote, urlsplit

import aiosmtplib

from user_svc.letters import Letter, NotSent


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
