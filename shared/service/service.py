"""The composition root of a service: what it is made of, as one table on one screen."""

from collections.abc import Callable, Iterable, Sequence
from itertools import chain
from types import ModuleType
from typing import Any, Protocol, TypeVar

from litestar.openapi import OpenAPIConfig
from litestar.types import ASGIApp, ControllerRouterHandler, Middleware

from shared.messages import Call, Event, service_of
from shared.registry import (
    Answer,
    Attachment,
    Hearing,
    Job,
    Rank,
    Tap,
    answer,
    every,
    hear,
    hear_everything,
    tap,
)
from shared.settings import Settings

__all__ = ["Rank", "Service", "answer", "every", "hear", "hear_everything", "tap"]

Message = TypeVar("Message")


class Dressing(Protocol):
    """Headers of all answers, those that the server gives by itself included."""

    def around(self, app: ASGIApp) -> ASGIApp:
        """The app, its answers with these headers."""
        ...

    def early(
        self, scheme: str, peer: str, asked: Iterable[tuple[bytes, bytes]]
    ) -> Sequence[tuple[bytes, bytes]]:
        """The headers of an answer before the app has heard of the request, whose headers were these."""
        ...


class Service:
    """What a service is made of.

    `name` gives the exchange `<name>.events`, the queues `<name>.<event>`, the calls' queue `rpc.<name>` and
    the process name `<name>-svc#<instance>`. `contracts` are the modules that define its events and calls: it
    publishes those events, and answers all those calls. `models` are Tortoise modules; a service without any
    has no database. One whose handlers ask in SQL alone says `asks_models=False`: its models are for
    migrations, and its processes do without Tortoise. `routes`, `middleware` and `openapi` are for a service
    with HTTP of its own; what it `refuses` (by method, target and settings) is answered 503 before any work,
    and its `dressing` (by settings) puts headers on all that it answers.
    Nobody waits for a service in the `background`: where processors are scarce, it gives way to others.
    """

    def __init__(
        self,
        name: str,
        *,
        settings: type[Settings] = Settings,
        contracts: Sequence[ModuleType] = (),
        models: Sequence[str] = (),
        asks_models: bool = True,
        answers: Sequence[Answer] = (),
        hears: Sequence[Sequence[Hearing]] = (),
        taps: Sequence[Sequence[Tap]] = (),
        jobs: Sequence[Job] = (),
        attachments: Sequence[type[Attachment]] = (),
        routes: Sequence[ControllerRouterHandler] = (),
        middleware: Sequence[Middleware] = (),
        openapi: OpenAPIConfig | None = None,
        app_id: str | None = None,
        background: bool = False,
        app_options: dict[str, Any] | None = None,
        refuses: Callable[[bytes, bytes, Any], bool] | None = None,
        dressing: Callable[[Any], Dressing] | None = None,
    ) -> None:
        self.name = name
        self.app_id = app_id or f"{name}-svc"
        self.background = background
        self.settings = settings
        self.models = tuple(models)
        self.asks_models = asks_models
        self.publishes = tuple(_named(contracts, Event))
        self.answers = tuple(answers)
        self.hears = tuple(chain.from_iterable(hears))
        self.taps = tuple(chain.from_iterable(taps))
        self.jobs = tuple(jobs)
        self.attachments = tuple(attachments)
        self.routes = tuple(routes)
        self.middleware = tuple(middleware)
        self.openapi = openapi
        self.app_options = app_options or {}
        self.refuses = refuses
        self.dressing = dressing
        self._check(set(_named(contracts, Call)))

    def _check(self, declared: set[type[Call[Any]]]) -> None:
        for event in self.publishes:
            if service_of(event.wire_name) != self.name:
                raise ValueError(
                    f"{self.name} cannot publish {event.wire_name}: the first part names its publisher"
                )
            if event.subject_field not in event.__struct_fields__:
                raise ValueError(f"{event.__name__} needs subject=..., one of its fields")
        for one in self.answers:
            if service_of(one.call.wire_name) != self.name:
                raise ValueError(f"{self.name} cannot answer {one.call.wire_name}")
        answered = [one.call.wire_name for one in self.answers]
        if len(answered) != len(set(answered)):
            raise ValueError(f"{self.name} answers a call twice; one call has one handler")
        if unanswered := declared - {one.call for one in self.answers}:
            names = ", ".join(sorted(call.wire_name for call in unanswered))
            raise ValueError(f"{self.name} answers no {names}, which its contracts declare")
        heard = [hearing.heard for hearing in self.hears]
        if len(heard) != len(set(heard)):
            raise ValueError(f"{self.name} hears an event twice; one queue has one handler")


def _named(contracts: Iterable[ModuleType], kind: type[Message]) -> Iterable[type[Message]]:
    """The messages of a kind that these modules define themselves, in the order in which they are written."""
    for module in contracts:
        for named in vars(module).values():
            if isinstance(named, type) and issubclass(named, kind) and named.__module__ == module.__name__:
                yield named
