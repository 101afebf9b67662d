"""Tokens that do not count, at every door that asks for one: expired, forged, made up."""

import time
from base64 import urlsafe_b64decode
from collections.abc import Iterator
from typing import Any

import httpx
import jwt
import pytest

from deploy.databases import connect
from deploy.local.layout import Layout
from shared.sealing import Sealer
from shared.settings import Current
from tests.abuse.conftest import Headers, Send

SOME_ID = "00000000-0000-4000-8000-000000000000"


def _doors(paths: dict[str, Any]) -> Iterator[tuple[str, str]]:
    """Every operation that is for those who are signed in."""
    for path, operations in paths.items():
        for method, operation in operations.items():
            if operation.get("security"):
                yield method.upper(), path.replace("{", "").replace("}", "")


class Mint:
    """Signs tokens with the shop's own key, which nobody outside of it has."""

    def __init__(self, shop: Layout, audience: str) -> None:
        self.audience = audience
        with connect(shop.admin_url) as connection, connection.cursor() as cursor:
            cursor.execute(
                "SELECT kid, private_key, public_key FROM user_svc.signing_keys"
                " WHERE signs_from <= UTC_TIMESTAMP() ORDER BY generation DESC LIMIT 1"
            )
            row = cursor.fetchone()
        assert row is not None
        self.kid, sealed, self.public_key = row
        self.private_key = Sealer(Current("SHOP_SECRET_KEY", "")).open(sealed)

    def token(self, issuer: str, **claims: Any) -> str:
        """A token of an admin that is good for ten minutes; `claims` replace its own."""
        now = int(time.time())
        payload = {"sub": "1", "role": "admin", "iss": issuer, "iat": now, "exp": now + 600}
        payload |= {"aud": self.audience} | claims
        return jwt.encode(payload, self.private_key, algorithm="EdDSA", headers={"kid": self.kid})


@pytest.fixture(scope="module")
def mint(shop: Layout, admin: Headers) -> Mint:
    """The shop's own key."""
    claims = jwt.decode(admin["Authorization"].removeprefix("Bearer "), options={"verify_signature": False})
    return Mint(shop, claims["aud"])


@pytest.fixture(scope="module")
def issuer(admin: Headers) -> str:
    """Whom the shop's tokens name as their issuer."""
    claims = jwt.decode(admin["Authorization"].removeprefix("Bearer "), options={"verify_signature": False})
    return claims["iss"]


def _forgeries(mint: Mint, issuer: str) -> dict[str, str]:
    now = int(time.time())
    claims = {"sub": "1", "role": "admin", "iss": issuer, "aud": mint.audience, "iat": now, "exp": now + 600}
    public_half = urlsafe_b64decode(mint.public_key + "=")
    good = mint.token(issuer)
    return {
        "expired some seconds ago": mint.token(issuer, exp=now - 10),
        "expired a year ago": mint.token(issuer, iat=now - 31_536_000, exp=now - 31_535_000),
        "without an end": jwt.encode(
            {name: value for name, value in claims.items() if name != "exp"},
            mint.private_key,
            algorithm="EdDSA",
            headers={"kid": mint.kid},
        ),
        "of another shop": mint.token("elsewhere"),
        "for another shop": mint.token(issuer, aud="elsewhere"),
        "of nobody": mint.token(issuer, sub=""),
        "of a role that is none": mint.token(issuer, role="owner"),
        "not signed": jwt.encode(claims, "", algorithm="none", headers={"kid": mint.kid}),
        "signed with the public key": jwt.encode(
            claims, public_half, algorithm="HS256", headers={"kid": mint.kid}
        ),
        "signed with a key nobody knows": jwt.encode(
            claims, mint.private_key, algorithm="EdDSA", headers={"kid": SOME_ID}
        ),
        "changed": good[: -len(good.rpartition(".")[2])] + "A" * 86,
        "of no parts": "x",
        "of empty parts": "..",
        "too long": "x" * 5000,
    }


def test_a_token_of_the_mint_is_good(door: httpx.Client, mint: Mint, issuer: str) -> None:
    answer = door.get("/users", headers={"Authorization": f"Bearer {mint.token(issuer)}"})
    assert answer.status_code == 200


def test_a_token_that_does_not_count(send: Send, mint: Mint, issuer: str, paths: dict[str, Any]) -> None:
    doors = list(_doors(paths))
    assert len(doors) > 25
    for name, token in _forgeries(mint, issuer).items():
        for method, path in doors:
            problem = send(method, path, 401, headers={"Authorization": f"Bearer {token}"})
            assert ("expired" in problem.detail) == name.startswith("expired"), name


@pytest.mark.parametrize("header", ["", "Bearer", "Basic MTox", "Bearer a b", "bearer  x"])
def test_a_header_that_holds_no_token(send: Send, paths: dict[str, Any], header: str) -> None:
    for method, path in _doors(paths):
        send(method, path, 401, headers={"Authorization": header})
