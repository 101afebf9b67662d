"""The AsyncAPI document over HTTP, and as a page that needs nothing but itself: no script, no other host."""

import base64
import hashlib
import re
from collections.abc import Iterable, Mapping
from html import escape
from typing import Any

import msgspec
from litestar import Response, get

from gateway.docs.asyncapi import document, for_the_public
from gateway.door.requests import ShopRequest
from gateway.door.roles import ADMIN
from gateway.operators.directory import directory
from shared.messages import service_of
from shared.rpc import PLATFORM_CALLS, callers_of
from shared.service.describe import version

_STYLE = """
:root { color-scheme: light dark; --line: #8884; --soft: #8881; --accent: light-dark(#14598c, #8cc4f0); }
body { font: 1rem/1.5 system-ui, sans-serif; max-width: 62rem; margin: 0 auto; padding: 1rem; }
h1 { font-size: 1.6rem; } h2 { margin-top: 2.5rem; border-bottom: 1px solid var(--line); }
h3 { margin: 1.5rem 0 .25rem; font: 600 1rem ui-monospace, monospace; overflow-wrap: anywhere; }
p { margin: .25rem 0; } a { color: var(--accent); } nav a { margin-right: 1rem; white-space: nowrap; }
code, pre { font: .875rem/1.45 ui-monospace, monospace; overflow-wrap: anywhere; }
pre { background: var(--soft); padding: .75rem; overflow-x: auto; }
ul { margin: .25rem 0; padding-left: 1.25rem; } summary { cursor: pointer; color: var(--accent); }
.away { border-left: .25rem solid #b45309; padding-left: .75rem; }
"""

_STYLE_HASH = base64.b64encode(hashlib.sha256(_STYLE.encode()).digest()).decode()
POLICY = (
    f"default-src 'none'; style-src 'sha256-{_STYLE_HASH}'; base-uri 'none'; form-action 'none';"
    " frame-ancestors 'none'"
)


@get("/asyncapi.json", include_in_schema=False)
async def asyncapi_json(request: ShopRequest) -> Response[bytes]:
    """The events of the shop and the calls that the public's requests become, as AsyncAPI 3.0."""
    return _as_json(for_the_public(await whole(request), _is_public))


@get("/asyncapi", include_in_schema=False)
async def asyncapi_page(request: ShopRequest) -> Response[str]:
    """The same for people."""
    page = render(for_the_public(await whole(request), _is_public), is_whole=False)
    return Response(page, media_type="text/html", headers={"Content-Security-Policy": POLICY})


@get("/ops/asyncapi.json", include_in_schema=False, opt=ADMIN)
async def whole_json(request: ShopRequest) -> Response[bytes]:
    """All messages of the shop, with who hears them from which queue, and the calls of services alone."""
    return _as_json(await whole(request))


def _as_json(spec: dict[str, Any]) -> Response[bytes]:
    return Response(msgspec.json.encode(spec), media_type="application/json")


async def whole(request: ShopRequest) -> dict[str, Any]:
    """The document of all messages, as the services describe themselves."""
    return document(await directory(request).all(), version=version())


def _is_public(name: str) -> bool:
    """Whether a message concerns those outside: an event of a service behind the gateway, or a call that the
    gateway makes, and not to ask what the service is made of.
    """
    callers = callers_of(name)
    if not callers:
        return service_of(name) != "gateway"
    return name.partition(".")[2] not in PLATFORM_CALLS.values() and "gateway" in callers


def render(spec: Mapping[str, Any], *, is_whole: bool = True) -> str:
    """An AsyncAPI document of ours as a page: events by publisher, then calls by service.

    One that is not whole does not say who hears an event.
    """
    address = "/ops/asyncapi.json" if is_whole else "/asyncapi.json"
    schemas: Mapping[str, Any] = spec["components"]["schemas"]
    operations: Mapping[str, Any] = spec["operations"]
    events = [name for name, one in spec["channels"].items() if _is_event(one)]
    publishers = sorted({service_of(name) for name in events})
    answering = sorted({one["x-service"] for one in operations.values() if "reply" in one})
    links = [f'<a href="#{name}">{name}</a>' for name in publishers]
    links += [f'<a href="#calls-{name}">RPC calls answered by {name}</a>' for name in answering]
    body = [
        f"<h1>Messages of {escape(spec['info']['title'])} {escape(spec['info']['version'])}</h1>",
        f"<p>{escape(spec['info']['description'])}</p>",
        f'<p>As a document: <a href="{address}">{address}</a> (AsyncAPI 3.0).'
        ' The HTTP API is at <a href="/docs">/docs</a>.</p>',
        *_away(spec["info"].get("x-services-away", [])),
        f"<nav aria-label='Services'>{' '.join(links)}</nav>",
    ]
    for publisher in publishers:
        body.append(f'<h2 id="{publisher}">Events published by {publisher}</h2>')
        for name in events:
            if service_of(name) == publisher:
                consumers = _consumers(name, operations) if is_whole else ()
                body += [*_event(name, spec["channels"][name]), *consumers, _data(name, spec, schemas)]
    for service in answering:
        body.append(f'<h2 id="calls-{service}">Calls to {service}</h2>')
        for name, one in operations.items():
            if one["x-service"] == service and "reply" in one:
                body += _call(name, one, spec["channels"], schemas)
    return (
        '<!doctype html>\n<html lang="en">\n<head>\n<meta charset="utf-8">\n'
        '<meta name="viewport" content="width=device-width, initial-scale=1">\n'
        f"<title>Sagamart messages</title>\n<style>{_STYLE}</style>\n</head>\n<body>\n"
        + "\n".join(body)
        + "\n</body>\n</html>\n"
    )


def _away(gaps: Iterable[Mapping[str, Any]]) -> Iterable[str]:
    for gap in gaps:
        seen = f"shown as it was at {gap['last-seen']}" if gap["described"] else "and has not been seen yet"
        yield f'<p class="away">The {escape(gap["service"])} service does not answer; {escape(seen)}.</p>'


def _event(name: str, channel: Mapping[str, Any]) -> Iterable[str]:
    yield f'<h3 id="{escape(name)}">{escape(name)}</h3>'
    yield f"<p>{_prose(channel['description'])}</p>"
    exchange = channel["bindings"]["amqp"]["exchange"]["name"]
    subject = channel["messages"][name]["x-subject"]
    yield f"<p>Exchange <code>{escape(exchange)}</code>, about <code>{escape(subject)}</code>.</p>"


def _consumers(name: str, operations: Mapping[str, Any]) -> Iterable[str]:
    ref = f"#/channels/{name}"
    listeners = [
        one for one in operations.values() if one["action"] == "receive" and one["channel"]["$ref"] == ref
    ]
    if listeners:
        yield "<ul>" + "".join(map(_listener, listeners)) + "</ul>"
    else:
        yield "<p>No consumers.</p>"


def _data(name: str, spec: Mapping[str, Any], schemas: Mapping[str, Any]) -> str:
    message = spec["channels"][name]["messages"][name]
    return _schema("data", message["payload"]["items"]["allOf"][1]["properties"]["data"], schemas)


def _listener(one: Mapping[str, Any]) -> str:
    queue = one.get("x-queue")
    where = f"queue <code>{escape(queue)}</code>" if queue else "every process for itself, unqueued"
    many = f", up to {one['x-batch']} at once" if one["x-batch"] > 1 else ""
    return (
        f"<li><b>{escape(one['x-service'])}</b>: {where}, <code>{escape(one['x-handler'])}</code>{many}."
        f" {_prose(one['summary'])}</li>"
    )


def _call(
    name: str, one: Mapping[str, Any], channels: Mapping[str, Any], schemas: Mapping[str, Any]
) -> Iterable[str]:
    call = name.partition(".answers.")[2]
    service = one["x-service"]
    yield f"<h3>{escape(call)}</h3>"
    again = "may be asked twice" if one["x-idempotent"] else "is not asked again when the outcome is unknown"
    yield f"<p>{_prose(one['summary'])} It {again}.</p>"
    request = channels[f"rpc.{service}"]["messages"][call]["payload"]
    reply = channels[f"rpc.{service}.answers"]["messages"][call]["payload"]
    yield _schema("request", request, schemas) + _schema("answer", reply, schemas)


def _prose(text: str) -> str:
    """Text as it stands in a docstring, names in backticks as code."""
    return re.sub(r"`([^`]+)`", r"<code>\1</code>", escape(text))


def _schema(title: str, schema: Any, schemas: Mapping[str, Any]) -> str:
    shown = msgspec.json.format(msgspec.json.encode(_resolved(schema, schemas)), indent=2).decode()
    return f"<details><summary>{escape(title)}</summary><pre>{escape(shown)}</pre></details>"


def _resolved(schema: Any, schemas: Mapping[str, Any], inside: tuple[str, ...] = ()) -> Any:
    """A schema with those that it refers to written in their place, so that it can be read as a whole."""
    if isinstance(schema, list):
        return [_resolved(part, schemas, inside) for part in schema]
    if not isinstance(schema, dict):
        return schema
    reference = str(schema.get("$ref", "")).rpartition("/")[2]
    if reference in schemas and reference not in inside:
        return _resolved(schemas[reference], schemas, (*inside, reference))
    return {key: _resolved(value, schemas, inside) for key, value in schema.items()}


def _is_event(channel: Mapping[str, Any]) -> bool:
    return channel.get("bindings", {}).get("amqp", {}).get("exchange", {}).get("type") == "topic"


routes = [asyncapi_json, asyncapi_page, whole_json]
