"""A service at work: its links, pool, consumers and jobs, started and stopped in the right order."""

import asyncio
from collections.abc import Mapping, Sequence
from typing import Any

from aio_pika.abc import AbstractConnection

from shared import clocks, crash, metrics
from shared.addresses import AMQP, Servers
from shared.broker.link import Link, SetUp, TearDown
from shared.certificates import Files, Shown
from shared.clock import utc_now
from shared.database.purging import purge
from shared.database.units import Database, DatabaseUnavailable
from shared.errors import describe
from shared.events.consumer import Consumer
from shared.events.outbox import Outbox
from shared.events.passing import Passing
from shared.events.taps import Taps
from shared.logs import log
from shared.masks import masked
from shared.registry import Job, Wiring, every, together
from shared.rpc import Rpc
from shared.rpc.answering import Answering
from shared.rpc.callers import may_call
from shared.rpc.credentials import Signer, Verifier
from shared.rpc.door import Door
from shared.rpc.http import hosts_of
from shared.rpc.server import RpcServer
from shared.service.describe import (
    Description,
    Process,
    memory_bytes,
    platform_answers,
    registrations,
    version,
)
from shared.service.service import Service
from shared.settings import Current, Settings
from shared.trouble import TOLD_EVERY_SECONDS, Trouble

START_SECONDS = 120.0
PURGE_SECONDS = 3600.0
GAUGE_SECONDS = 5.0
SUSPECT_DAYS = 30.0
CERTIFICATE_SECONDS = 5.0
"""How often the files of certificates are looked at, where there are some."""
SERVING = ("starting", "draining", "database")
"""The checks without which a process can do nothing for who asks. What else is away is told beside them."""


class Runtime:
    """One process of a service.

    Three connections, by role: what blocks publishing (a broker's memory alarm) must not stop the
    acknowledgements, and calls must not queue behind events.
    """

    def __init__(self, service: Service, settings: Settings) -> None:
        self.service = service
        self.settings = settings
        self.name = f"{service.app_id}#{settings.instance}"
        self.closing = asyncio.Event()
        """Set when the process begins to shut down, before the answers in hand are waited for."""
        self.draining = False
        self.started = False
        """Set once the database is open and the links have been begun."""
        self.started_at = utc_now()
        self.own_tls = _shown("service", settings.tls)
        self.public_tls = _shown("public", settings.public_tls)
        self.certificates = [one for one in (self.own_tls, self.public_tls) if one is not None]
        self.database = _database(service, settings)
        self.rpc = Rpc(
            self.name,
            timeout_s=settings.rpc_timeout_s,
            peers=settings.peers,
            tls=settings.tls,
            signer=Signer(Current("SHOP_CALL_KEY", settings.call_key)),
            breaker_threshold=settings.breaker_threshold,
            breaker_open_s=settings.breaker_open_s,
        )
        provided: dict[type, Any] = {type(settings): settings, Settings: settings, Rpc: self.rpc}
        self.outbox: Outbox | None = None
        if self.database is not None:
            provided[Database] = self.database
            self.outbox = Outbox(
                service.name,
                self.database,
                grace_s=settings.outbox_grace_s,
                poll_s=settings.outbox_poll_s,
                lease_s=settings.outbox_lease_s,
            )
            provided[Outbox] = self.outbox
        self.passing: Passing | None = None
        if service.publishes and self.database is None:
            self.passing = Passing(service.name, self.name)
            provided[Passing] = self.passing
        self._attachments = [kind(self.name) for kind in service.attachments]
        provided |= {type(one): one for one in self._attachments}
        self._wiring = Wiring(provided)
        self.answering = Answering(
            (*service.answers, *platform_answers(service, self.description, self.outbox)),
            self._wiring,
            self.database,
            linger_s=settings.linger_ms / 1000,
            lease_s=settings.idempotency_lease_s,
        )
        self.door = _door(service, settings)
        self.server = RpcServer(service.name, self.name, self.answering) if service.answers else None
        self.consumers = self._consumers()
        self.links = self._links()
        self._jobs: list[asyncio.Task[None]] = []
        self._job_troubles: dict[str, Trouble] = {}

    async def start(self) -> None:
        """Open the database, connect, consume. Waits for what is not there yet, for two minutes at most."""
        crash.arm(self.settings.crash_at, self.settings.crash_marker)
        if self.database is not None:
            await self._open_database(self.database)
        if self.outbox is not None and self.database is not None:
            self.database.publish_through(self.outbox)
            self.outbox.start()
        for link in self.links:
            link.start()
        self._jobs = [
            asyncio.create_task(self._repeat(job), name=f"job {job.name}") for job in self._all_jobs()
        ]
        self.started = True
        log.info("service.started", process=self.name)

    async def stop(self) -> None:
        """Stop taking, finish what is in hand, flush the outbox, close. Nothing is lost by a deploy."""
        self.draining = True
        seconds = self.settings.shutdown_s
        log.info("service.stopping", process=self.name)
        for job in self._jobs:
            job.cancel()
        await asyncio.gather(*self._jobs, return_exceptions=True)
        await asyncio.gather(*(consumer.drain(seconds) for consumer in self.consumers))
        if self.server is not None:
            await self.server.drain(seconds)
        await self.answering.drain(seconds)
        if self.outbox is not None:
            try:
                await self.outbox.flush(seconds)
            except Exception as error:  # what cannot be flushed stays in its table for the next start
                log.info("outbox.not_flushed", **describe(error))
            await self.outbox.stop()
        for link in self.links:
            await link.stop()
        await self.rpc.close()
        if self.database is not None:
            await self.database.close()
        log.info("service.stopped", process=self.name)

    async def checks(self) -> dict[str, str]:
        """Named checks: `ok`, or what is wrong."""
        found = {"draining": "shutting down" if self.draining else "ok"}
        if not self._has_started:
            found["starting"] = "not everything has been tried yet"
        if self.database is not None:
            try:
                await self.database.ping()
                found["database"] = "ok"
            except DatabaseUnavailable as error:
                found["database"] = f"away: {error}"
        down = [link for link in self.links if not link.is_up]
        said = ", ".join(f"{link.name} ({link.trouble})" for link in down)
        found["broker"] = f"not connected: {said}" if down else "ok"
        paused = [consumer.name for consumer in self.consumers if consumer.paused]
        if self.consumers:
            found["consumers"] = f"paused: {', '.join(paused)}" if paused else "ok"
        failing = [f"{name} ({job})" for name, job in self._job_troubles.items() if job.reason is not None]
        if failing and found.get("database", "ok") == "ok":
            found["jobs"] = f"failing: {', '.join(failing)}"
        if ending := [said for one in self.certificates if (said := one.ending)]:
            found["certificates"] = ", ".join(ending)
        return {name: masked(said) for name, said in found.items()}

    @property
    def _has_started(self) -> bool:
        """Whether every link has been up, or has failed for a reason that can be told."""
        return self.started and all(link.is_tried for link in self.links)

    async def description(self) -> Description:
        """What this service is made of, and how this process is."""
        checks = await self.checks()
        process = Process(
            name=self.name,
            replica=self.settings.instance,
            version=version(),
            started_at=self.started_at,
            ready=can_serve(checks),
            checks=checks,
            memory_bytes=memory_bytes(),
        )
        return Description(registrations=registrations(self.service), process=process)

    def _consumers(self) -> list[Consumer]:
        if self.database is None or self.outbox is None:
            if self.service.hears:
                raise TypeError(f"{self.service.name} hears events, so it needs a database (models=...)")
            return []
        return [
            Consumer(
                self.service.name,
                self.name,
                hearings,
                self._wiring.bind(hearings[0].handler),
                self.database,
                self.outbox.publish,
                in_unit=self._wiring.wants_unit(hearings[0].handler) or hearings[0].once,
                retry_delays=self.settings.retry_delays,
                linger_s=self.settings.linger_ms / 1000,
                database_patience_s=self.settings.database_patience_s,
                instance=self.settings.instance,
            )
            for hearings in together(self.service.hears)
        ]

    def _links(self) -> list[Link]:
        servers = Servers(Current("SHOP_AMQP_URL", self.settings.amqp_url), AMQP)
        calls = Link(servers, f"{self.name} calls", deadline_s=self.settings.rpc_timeout_s)
        calls.use(self.rpc.set_up, self.rpc.tear_down, self.rpc.finish)
        if self.server is not None:
            own = self._unless_draining(self.server.set_up, self.server.tear_down)
            move, _ = self._unless_draining(self.server.move, self.server.tear_down)
            calls.use(*own, self.server.drain, move)
        if self.passing is not None:
            calls.use(self.passing.set_up, self.passing.tear_down)
        links = [calls]
        if self.outbox is not None:
            publish = Link(servers, f"{self.name} publish", deadline_s=self.settings.rpc_timeout_s)
            publish.use(self.outbox.set_up, self.outbox.tear_down)
            links.append(publish)
        if self.consumers or self.service.taps:
            consume = Link(servers, f"{self.name} consume", deadline_s=self.settings.rpc_timeout_s)
            for consumer in self.consumers:
                consumer.give_back = consume.reset
                own = self._unless_draining(consumer.set_up, consumer.tear_down)
                consume.use(*own, consumer.drain)
            if self.service.taps:
                taps = Taps(self.name, self.service.taps)
                consume.use(*self._unless_draining(taps.set_up, taps.tear_down))
            links.append(consume)
        for attachment in self._attachments:
            link = Link(servers, f"{self.name} {attachment.role}", deadline_s=self.settings.rpc_timeout_s)
            link.use(*self._unless_draining(attachment.set_up, attachment.tear_down))
            links.append(link)
        return links

    def _unless_draining(self, set_up: SetUp, tear_down: TearDown) -> tuple[SetUp, TearDown]:
        """A link that comes up again while the process shuts down must bring it nothing more to do."""

        async def set_up_unless_draining(connection: AbstractConnection) -> None:
            if not self.draining:
                await set_up(connection)

        return set_up_unless_draining, tear_down

    def _all_jobs(self) -> Sequence[Job]:
        own: list[Job] = []
        if self.database is not None:
            own.append(every(PURGE_SECONDS, self._purge, name="purge of inbox and kept answers"))
            own.append(every(GAUGE_SECONDS, self._measure_outbox, name="outbox gauge"))
            own.append(every(clocks.ASK_EVERY_S, self._follow_clock, name="the database's clock"))
        if self.certificates:
            own.append(every(CERTIFICATE_SECONDS, self._look_at_certificates, name="certificates"))
        return [*self.service.jobs, *own]

    async def _repeat(self, job: Job) -> None:
        handle = self._wiring.bind(job.handler, messages=0)
        trouble = self._job_troubles[job.name] = Trouble(f"job {job.name}", "job.failed")
        while True:
            await asyncio.sleep(job.seconds)
            try:
                await _in_unit(self._wiring, job, handle, self.database)
                trouble.over()
            except DatabaseUnavailable as error:
                # Its check tells of the database; what no other has to wait for is told after a while.
                trouble.failed(f"it waits for the database: {error}", silent_s=TOLD_EVERY_SECONDS)
            except Exception as error:  # a job that fails now is to run again at its next time
                trouble.failed(f"{type(error).__name__}: {error}", error)

    async def _look_at_certificates(self) -> None:
        for one in self.certificates:
            one.look()

    async def _purge(self) -> None:
        if self.database is not None:
            await purge(self.database, "inbox", "received_at", self.settings.inbox_days)
            await purge(self.database, "kept_answers", "created_at", self.settings.idempotency_days)
            await purge(self.database, "suspects", "begun_at", SUSPECT_DAYS)

    async def _measure_outbox(self) -> None:
        if self.outbox is not None:
            pending, oldest = await self.outbox.backlog()
            metrics.OUTBOX_PENDING.set(pending)
            metrics.OUTBOX_OLDEST_SECONDS.set(oldest)
            metrics.OUTBOX_PARKED.set(await self.outbox.parked())

    async def _follow_clock(self) -> None:
        if self.database is not None:
            await clocks.follow(self.database, self.service.name)

    async def _open_database(self, database: Database) -> None:
        models = self.service.models if self.service.asks_models else ()
        deadline = asyncio.get_running_loop().time() + START_SECONDS
        while True:
            try:
                await database.open(models)
                await clocks.follow(database, self.service.name)
                return
            except DatabaseUnavailable as error:
                if asyncio.get_running_loop().time() > deadline:
                    raise
                log.info("service.waits_for_database", **describe(error))
                await database.close()
                await asyncio.sleep(1)


def _door(service: Service, settings: Settings) -> Door:
    """Who is let in with calls over HTTP, and under which names."""
    own_name = settings.call_key.partition("=")[0]
    return Door(
        Verifier(service.name, Current("SHOP_CALL_KEYS", settings.call_keys)),
        may_call,
        (settings.bind_host, *hosts_of(service.name, settings.peers), *settings.service_hosts.split()),
        shared=own_name if own_name not in ("", service.app_id) else None,
    )


def can_serve(checks: Mapping[str, str]) -> bool:
    """Whether a process with these checks can do something for who asks."""
    return all(checks.get(name, "ok") == "ok" for name in SERVING)


async def _in_unit(wiring: Wiring, job: Job, handle: Any, database: Database | None) -> None:
    from shared.database.transaction import Reader, Transaction

    if database is not None and wiring.wants(job.handler, Transaction):
        await database.transaction(lambda tx: handle(unit=tx))
    elif database is not None and wiring.wants(job.handler, Reader):
        await database.read(lambda reader: handle(unit=reader))
    else:
        await handle()


def _shown(name: str, files: Files | None) -> Shown | None:
    return None if files is None else Shown(name, files)


def _database(service: Service, settings: Settings) -> Database | None:
    if not service.models:
        return None
    if not settings.database_url:
        raise SystemExit(f"SHOP_DATABASE_URL is missing: {service.app_id} keeps its own database")
    url = Current("SHOP_DATABASE_URL", settings.database_url)
    return Database(url, pool=settings.database_pool, answer_s=settings.database_answer_s)
