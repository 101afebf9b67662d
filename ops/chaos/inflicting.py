"""Does the faults of a plan to a shop, each at its time, and undoes them."""

import asyncio
import os
from collections import defaultdict
from collections.abc import AsyncIterator, Callable, Iterable
from contextlib import asynccontextmanager, suppress
from signal import SIGSTOP
from time import monotonic
from typing import TypeVar

import psutil
import pymysql

from deploy.databases import connect
from deploy.local import broker, fleet
from deploy.local.errors import FleetError
from ops.chaos.ground import Ground
from ops.chaos.plan import OF_LINKS, Fault, What

T = TypeVar("T")

_BEGIN_WITHIN_S = 5.0
"""A process that has just died has so long to be back, to be broken anew."""
_UNDO_WITHIN_S = 60.0
_NO_SPACE = "1000GB"
"""More free space than there is: below it the broker's alarm rings."""
_USUAL_SPACE = "50MB"


class Inflicted:
    """What became of one fault: when it really went on, in seconds from the beginning, or why it did not."""

    def __init__(self, fault: Fault) -> None:
        self.fault = fault
        self.began_s: float | None = None
        self.ended_s: float | None = None
        self.trouble: str | None = None

    def document(self) -> dict[str, object]:
        """As JSON."""
        fault = self.fault
        return {
            "number": fault.number,
            "what": fault.what,
            "target": fault.target,
            "server": fault.server,
            "at_s": fault.at_s,
            "lasts_s": fault.lasts_s,
            "began_s": self.began_s,
            "ended_s": self.ended_s,
            "trouble": self.trouble,
        }


async def inflict(faults: Iterable[Fault], ground: Ground, started: float) -> list[Inflicted]:
    """Do all faults, each at its time after `started` (`monotonic`); returns when all of them are undone."""
    done = [Inflicted(fault) for fault in faults]
    # What takes longer than planned, such as a restart on a busy machine, is not met by the next of its kind.
    turns: defaultdict[str, asyncio.Lock] = defaultdict(asyncio.Lock)

    async def in_turn(one: Inflicted) -> None:
        await asyncio.sleep(started + one.fault.at_s - monotonic())
        async with turns[one.fault.target if one.fault.server is None else one.fault.words]:
            await _do(one, ground, started)

    async with asyncio.TaskGroup() as group:
        for one in done:
            group.create_task(in_turn(one))
    return done


async def _do(one: Inflicted, ground: Ground, started: float) -> None:
    fault = one.fault
    one.began_s = monotonic() - started
    ground.report(f"{one.began_s:6.1f} s  {fault.number:>3}  {fault.words}, {fault.lasts_s:g} s")
    try:
        async with _DOINGS[fault.what](fault, ground):
            await asyncio.sleep(started + one.began_s + fault.lasts_s - monotonic())
    except (FleetError, OSError, pymysql.err.Error, TimeoutError, _NotHere) as error:
        one.trouble = str(error).partition("\n")[0]
        ground.report(f"          {fault.number:>3}  could not be done: {one.trouble}")
    one.ended_s = monotonic() - started


class _NotHere(Exception):
    """This cannot be done to this shop."""


@asynccontextmanager
async def _broken_link(fault: Fault, ground: Ground) -> AsyncIterator[None]:
    if ground.links is None or fault.server is None:
        raise _NotHere("the links of this shop are its own")
    links = ground.links.between(fault.target, fault.server)
    for link in links:
        link.suffer(fault.what)
    try:
        yield
    finally:
        for link in links:
            link.heal()


@asynccontextmanager
async def _killed(fault: Fault, ground: Ground) -> AsyncIterator[None]:
    await _until_done(lambda: fleet.kill(*_process(fault.target), environ=ground.environ), _BEGIN_WITHIN_S)
    yield


@asynccontextmanager
async def _stopped(fault: Fault, ground: Ground) -> AsyncIterator[None]:
    def stop() -> psutil.Process:
        return psutil.Process(fleet.kill(*_process(fault.target), SIGSTOP, ground.environ))

    process = await _until_done(stop, _BEGIN_WITHIN_S)
    try:
        yield
    finally:
        with suppress(psutil.Error):  # it was killed meanwhile
            process.resume()


@asynccontextmanager
async def _restarted(fault: Fault, ground: Ground) -> AsyncIterator[None]:
    await asyncio.to_thread(ground.restart, fault.target)
    yield


@asynccontextmanager
async def _short_of_memory(_: Fault, ground: Ground) -> AsyncIterator[None]:
    before = await _tell_broker(ground, "eval", "vm_memory_monitor:get_vm_memory_high_watermark().")
    try:
        await _tell_broker(ground, "set_vm_memory_high_watermark", "absolute", "1MB")
        yield
    finally:
        await _tell_broker(ground, "set_vm_memory_high_watermark", before.strip(), within_s=_UNDO_WITHIN_S)


@asynccontextmanager
async def _disk_full(fault: Fault, ground: Ground) -> AsyncIterator[None]:
    if fault.target == broker.NAME:
        try:
            await _tell_broker(ground, "set_disk_free_limit", _NO_SPACE)
            yield
        finally:
            await _tell_broker(ground, "set_disk_free_limit", _USUAL_SPACE, within_s=_UNDO_WITHIN_S)
        return
    if ground.disk is None:
        raise _NotHere("this database has no disk of its own")
    try:
        await asyncio.to_thread(ground.disk.fill)
        yield
    finally:
        await asyncio.to_thread(ground.disk.free)


@asynccontextmanager
async def _read_only(_: Fault, ground: Ground) -> AsyncIterator[None]:
    try:
        await _until_done(lambda: _set_read_only(ground, True), _BEGIN_WITHIN_S)
        yield
    finally:
        await _until_done(lambda: _set_read_only(ground, False), _UNDO_WITHIN_S)


_DOINGS = {
    **dict.fromkeys(OF_LINKS, _broken_link),
    What.KILL: _killed,
    What.STOP: _stopped,
    What.RESTART: _restarted,
    What.MEMORY: _short_of_memory,
    What.DISK: _disk_full,
    What.READ_ONLY: _read_only,
}


def _set_read_only(ground: Ground, on: bool) -> None:
    connection = connect(ground.at.admin_url)
    try:
        with connection.cursor() as cursor:
            cursor.execute("SET GLOBAL read_only = %s", (int(on),))
    finally:
        connection.close()


def _process(target: str) -> tuple[str, int]:
    """`order-2` as the fleet's commands want it; broker and database have no number."""
    name, _, replica = target.rpartition("-")
    return (name, int(replica)) if name else (target, 1)


async def _until_done(act: Callable[[], T], within_s: float) -> T:
    """Do it, again and again while the process or the server is only away for a moment."""
    give_up = monotonic() + within_s
    while True:
        try:
            return await asyncio.to_thread(act)
        except (FleetError, OSError, pymysql.err.Error):
            if monotonic() > give_up:
                raise
        await asyncio.sleep(0.2)


async def _tell_broker(ground: Ground, *words: str, within_s: float = 20.0) -> str:
    """What the broker's own tool answers; asked again while the broker is away."""
    give_up = monotonic() + within_s
    tool = broker.engine_of(ground.at).program.with_name("rabbitmqctl")
    while True:
        telling = await asyncio.create_subprocess_exec(
            tool,
            *words,
            env={**os.environ, **broker.environment(ground.at)},
            stdout=asyncio.subprocess.PIPE,
            stderr=asyncio.subprocess.STDOUT,
        )
        try:
            said, _ = await asyncio.wait_for(telling.communicate(), within_s)
        except TimeoutError:
            telling.kill()
            raise TimeoutError(f"rabbitmqctl {words[0]} did not end within {within_s:g} s") from None
        if telling.returncode == 0:
            return said.decode(errors="replace")
        if monotonic() > give_up:
            raise OSError(f"rabbitmqctl {words[0]}: {said.decode(errors='replace').strip()[-200:]}")
        await asyncio.sleep(0.5)
