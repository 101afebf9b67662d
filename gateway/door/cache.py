"""Answers that many ask for and that cost something to make: each is asked for once in a while."""

import asyncio
import hashlib
from typing import Any, TypeVar

import msgspec
from cachetools import TTLCache

from shared.messages import Call
from shared.rpc import Rpc

R = TypeVar("R")

MOST = 500
"""How many answers are remembered; those beyond push out the ones that were not asked for longest."""


class Cached(msgspec.Struct, frozen=True):
    """An answer, and the tag that stands for its content."""

    reply: Any
    tag: str


class Memory:
    """Remembers the answers to calls for some seconds, in this process.

    Who asks while a call is under way gets its answer too, so a crowd never asks twice at once.
    """

    def __init__(self, rpc: Rpc, seconds: float) -> None:
        self.seconds = seconds
        self._rpc = rpc
        self._answers = TTLCache[Call[Any], asyncio.Task[Cached]](maxsize=MOST, ttl=seconds)

    async def ask(self, call: Call[Any]) -> Cached:
        """The answer to a call, not older than it may be. Raises what the call raises, and forgets that."""
        task = self._answers.get(call)
        if task is None:
            task = self._answers[call] = asyncio.create_task(self._ask(call))
        try:
            answer = await asyncio.shield(task)
        except Exception:  # whatever it is, the next one shall ask again; raised on
            self._forget(call, task)
            raise
        if not getattr(answer.reply, "complete", True):
            self._forget(call, task)
        return answer

    async def _ask(self, call: Call[Any]) -> Cached:
        reply = await self._rpc.call(call)
        return Cached(reply, tag_of(reply))

    def _forget(self, call: Call[Any], task: asyncio.Task[Cached]) -> None:
        if self._answers.get(call) is task:
            del self._answers[call]


def tag_of(reply: Any) -> str:
    """An ETag made of the content: equal answers have equal tags, in every process."""
    return f'"{hashlib.blake2b(msgspec.json.encode(reply), digest_size=12).hexdigest()}"'
