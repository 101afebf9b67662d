"""Webhooks, tokens, cookies and headers as nobody means them: whatever comes, nothing is answered 500."""

import base64
import json
import random
import time
from collections.abc import Callable
from typing import Any, cast

import httpx
import jwt
import msgspec
import pytest

from gateway.console import session
from item_svc import contracts as item
from payment_svc.contracts import TakeNotice
from tests.gateway.fakes import FakeRpc, Signer, gateway
from tests.gateway.test_routes import SHIRT
from user_svc.contracts import GetKeys, Tokens

Request = tuple[str, str, list[tuple[bytes, bytes]], bytes]
Kind = Callable[["Fuzz"], Request]

WORDS = [
    *(
        b"",
        b"0",
        b"-1",
        b"1e9",
        b"null",
        b"true",
        b'"',
        b"'",
        b"\\",
        b",",
        b";",
        b"=",
        b":",
        b"*",
        b"%00",
        b"%ff",
    ),
    *(
        b"\x00",
        b"\xff",
        b"\xc3\x28",
        b"\xed\xa0\x80",
        b"\xf0\x9f\x92\xa9",
        b"\r\n",
        b"\t",
        b" ",
        b"\x7f",
        b"../",
    ),
    *(
        b"{",
        b"}",
        b"[",
        b"]",
        b"{}",
        b"[]",
        b'{"a":',
        b"9" * 400,
        b"a" * 5000,
        b"[" * 3000,
        b"Infinity",
        b"NaN",
    ),
    *(
        b"bearer",
        b"Bearer ",
        b"Basic ",
        b"wait=",
        b"W/",
        b'"1"',
        b"for=",
        b"utf-8",
        b"charset=",
        b"application/json",
    ),
    *(
        b"multipart/form-data; boundary=",
        b"text/event-stream",
        b"gzip",
        b"bytes=0-",
        b"2001:db8::1",
        b"unknown",
    ),
]
HEADERS = [
    *(
        b"accept",
        b"accept-encoding",
        b"accept-language",
        b"authorization",
        b"content-type",
        b"content-length",
    ),
    *(b"content-encoding", b"cookie", b"expect", b"forwarded", b"host", b"idempotency-key", b"if-match"),
    *(
        b"if-none-match",
        b"if-modified-since",
        b"last-event-id",
        b"origin",
        b"prefer",
        b"range",
        b"referer",
        b"te",
    ),
    *(
        b"sec-fetch-site",
        b"traceparent",
        b"tracestate",
        b"transfer-encoding",
        b"upgrade",
        b"user-agent",
        b"via",
    ),
    *(b"x-forwarded-for", b"x-forwarded-proto", b"x-forwarded-host", b"x-http-method-override", b"x-api-key"),
    *(
        b"access-control-request-method",
        b"tosspayments-webhook-signature",
        b"x-correlation-id",
        b"x-call-key",
    ),
]
PATHS = [
    "/items/1",
    "/items",
    "/orders",
    "/users/me",
    "/users/login",
    "/cart",
    "/docs",
    "/livez",
    "/console/orders",
]
PATHS += ["/console/sign-in", "/payments", "/points/charge", "/asyncapi.json", "/nowhere", "/items/popular"]


class Fuzz:
    """Makes requests, the same ones for a seed."""

    def __init__(self, seed: int, signer: Signer) -> None:
        self.dice = random.Random(seed)  # noqa: S311  no secret
        self.signer = signer
        self.tokens = [signer.bearer(2)["Authorization"], signer.bearer(1, "admin")["Authorization"]]

    def junk(self, most: int = 6) -> bytes:
        return b"".join(self.dice.choices(WORDS, k=self.dice.randrange(most)))

    def spoiled(self, good: bytes) -> bytes:
        """Something good with a few octets changed, cut out or put in."""
        octets = bytearray(good)
        for _ in range(self.dice.randrange(4)):
            place = self.dice.randrange(len(octets) + 1)
            octets[place : place + self.dice.randrange(3)] = self.dice.choice(
                [self.junk(2), bytes([self.dice.randrange(256)])]
            )
        return bytes(octets)

    def headers(self) -> list[tuple[bytes, bytes]]:
        return [(self.dice.choice(HEADERS), self.junk()) for _ in range(self.dice.randrange(8))]


def webhook(fuzz: Fuzz) -> Request:
    notice = {
        "eventType": "PAYMENT_STATUS_CHANGED",
        "createdAt": "2026-01-01T00:00:00",
        "data": {"orderId": "x"},
    }
    body = fuzz.dice.choice([fuzz.spoiled(msgspec.json.encode(notice)), fuzz.junk(), fuzz.junk(30)])
    return "POST", "/payments/pg/webhook", fuzz.headers(), body


def token(fuzz: Fuzz) -> Request:
    claims: dict[str, Any] = {"iss": "sagamart-test", "sub": "2", "role": "customer", "exp": time.time() + 60}
    odd = [None, "", -1, 2**70, 1e308, [], {}, True, "admin", "\ud83d\ude00", ["admin"], {"a": 1}]
    claims |= {
        fuzz.dice.choice(
            ["iss", "sub", "role", "roles", "exp", "iat", "aud", "sid", "gen"]
        ): fuzz.dice.choice(odd)
    }
    headers = {"kid": fuzz.signer.key_id} | (
        {fuzz.dice.choice(["kid", "alg", "typ", "crit"]): fuzz.dice.choice(odd)}
    )
    head, body = (
        base64.urlsafe_b64encode(json.dumps(part).encode()).rstrip(b"=")
        for part in ({"alg": "EdDSA", "typ": "JWT"} | headers, claims)
    )
    made = fuzz.dice.choice(
        [
            fuzz.spoiled(fuzz.dice.choice(fuzz.tokens).encode()),
            b"Bearer " + head + b"." + body + b"." + fuzz.junk(2),
            b"Bearer " + jwt.encode({"sub": "2", "role": "admin"}, "", algorithm="none").encode(),
            b"Bearer " + fuzz.junk(),
            fuzz.junk(),
        ]
    )
    return fuzz.dice.choice(["GET", "HEAD"]), "/users/me", [(b"authorization", made)], b""


def cookie(fuzz: Fuzz) -> Request:
    tokens = Tokens(
        access_token=fuzz.tokens[1][7:], expires_in=60, refresh_token=fuzz.junk(2).decode("latin-1")
    )
    good = (session.begin("admin@shop.test", tokens).cookie(secure=False).value or "").encode()
    made = fuzz.dice.choice(
        [
            session.COOKIE.encode() + b"=" + fuzz.spoiled(good),
            session.COOKIE.encode()
            + b"="
            + base64.urlsafe_b64encode(fuzz.spoiled(base64.urlsafe_b64decode(good + b"=="))),
            session.COOKIE.encode() + b"=" + fuzz.junk(),
            b"sagamart_console_said=" + fuzz.junk() + b"; " + session.COOKIE.encode() + b"=" + good,
            fuzz.junk(),
        ]
    )
    method, path = fuzz.dice.choice(
        [("GET", "/console/sign-in"), ("GET", "/console/orders"), ("POST", "/console/sign-out")]
    )
    form = (b"content-type", b"application/x-www-form-urlencoded")
    return method, path, [(b"cookie", made), form], fuzz.junk()


def headers(fuzz: Fuzz) -> Request:
    signed_in = (
        [(b"authorization", fuzz.dice.choice(fuzz.tokens).encode())] if fuzz.dice.random() < 0.7 else []
    )
    method = fuzz.dice.choice(["GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS"])
    query = "?" + fuzz.junk(3).decode("latin-1").replace("\\", "") if fuzz.dice.random() < 0.3 else ""
    path = fuzz.dice.choice(PATHS) + "".join(
        letter for letter in query if letter.isascii() and letter.isprintable()
    )
    return method, path, [*signed_in, *fuzz.headers()], fuzz.dice.choice([b"", fuzz.junk()])


@pytest.mark.parametrize("kind", [webhook, token, cookie, headers])
@pytest.mark.parametrize(
    "count", [300, pytest.param(25_000, marks=[pytest.mark.long, pytest.mark.timeout(1800)])]
)
async def test_nothing_is_answered_500(kind: Kind, count: int) -> None:
    signer, rpc = Signer(), FakeRpc()
    rpc.answers[GetKeys] = lambda _: signer.keys()
    rpc.answers[TakeNotice] = lambda _: None
    rpc.answers[item.GetItem] = lambda _: SHIRT
    app = gateway(rpc, signer, trusted_proxies="127.0.0.1", cors_origins="https://a.test")
    fuzz = Fuzz(15, signer)
    transport = httpx.ASGITransport(cast(Any, app))
    async with httpx.AsyncClient(transport=transport) as client:
        for number in range(count):
            method, path, given, body = kind(fuzz)
            url = httpx.URL(scheme="http", host="shop.test", raw_path=path.replace(" ", "+").encode("ascii"))
            asked = httpx.Request(method, url, headers=given, content=body)
            answer = await client.send(asked)
            assert answer.status_code != 500, (number, method, path, given, body[:200], answer.text)
            rpc.calls.clear()
            rpc.keys.clear()
            client.cookies.clear()
