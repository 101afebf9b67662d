"""The user service as coupon asks it: so many users, numbered from 1."""

from typing import Any

from shared.errors import Unavailable
from user_svc.contracts import FindUsers, KnownUsers


class FakeUsers:
    """The first `count` users are there, and no others."""

    def __init__(self, count: int = 100) -> None:
        self.count = count
        self.away = False

    async def call(self, call: Any) -> KnownUsers:
        assert isinstance(call, FindUsers)
        if self.away:
            raise Unavailable("user is away")
        return KnownUsers(ids=sorted({one for one in call.ids if one <= self.count}))
