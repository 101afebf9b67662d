"""Which channel the settings name to reach users outside the shop."""

from user_svc.letters import Channel
from user_svc.settings import UserSettings


def outbound(settings: UserSettings) -> Channel | None:
    """The channel that the settings name; None where notifications stay inside the shop."""
    if not settings.smtp_url:
        return None
    from user_svc.smtp import Smtp  # a megabyte, which a shop that sends no mail need not have

    return Smtp(settings.smtp_url, settings.mail_from, settings.smtp_timeout_s)
