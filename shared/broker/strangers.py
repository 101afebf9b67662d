"""Messages from somebody who may not have sent them: counted, and told now and then. None of them is read."""

import time

from pamqp.commands import Basic

from shared import metrics
from shared.logs import log

TOLD_EVERY_SECONDS = 10.0
"""The log must not grow with what strangers send."""


class Strangers:
    """What has come to one place from those who may not send there."""

    def __init__(self, queue: str) -> None:
        self._queue = queue
        self._count = metrics.STRANGERS.labels(queue)
        self._untold = 0
        self._told = float("-inf")

    def note(self, properties: Basic.Properties, messages: int = 1) -> None:
        """So many more have come from this one."""
        self._count.inc(messages)
        self._untold += messages
        now = time.monotonic()
        if now - self._told >= TOLD_EVERY_SECONDS:
            log.warning(
                "broker.stranger", queue=self._queue, sender=properties.user_id, messages=self._untold
            )
            self._told, self._untold = now, 0
