"""Accounts over HTTP: sign up, sign in and stay so, sign out, and the keys that tokens are checked with."""

from litestar import Response, get, post
from litestar.params import JSONBody
from msgspec import Struct

from gateway.api import BODY, problems
from gateway.door import SIGNED_IN
from gateway.requests import ShopRequest
from shared.ids import new_id
from user_svc.contracts import (
    GetKeys,
    GetMe,
    Login,
    Logout,
    Profile,
    PublicKey,
    Refresh,
    Register,
    Tokens,
    UserId,
)


class SignUp(Struct, frozen=True):
    """A new account; the password has 8 to 128 characters."""

    email: str
    name: str
    address: str
    password: str


class SignIn(Struct, frozen=True):
    """An address and its password."""

    email: str
    password: str


class RefreshToken(Struct, frozen=True):
    """The refresh token of the latest sign-in or refresh."""

    refresh_token: str


class PublicKeys(Struct, frozen=True):
    """A JSON Web Key Set (RFC 7517)."""

    keys: list[PublicKey]


@post("/users", operation_id="sign_up", summary="Sign up", responses=problems(*BODY, 409))
async def sign_up(request: ShopRequest, data: JSONBody[SignUp]) -> UserId:
    """Open an account, with a point account beside it."""
    return await request.rpc.call(
        Register(
            request_id=new_id(),
            email=data.email,
            name=data.name,
            address=data.address,
            password=data.password,
        )
    )


@post(
    "/users/login",
    operation_id="sign_in",
    summary="Sign in",
    status_code=200,
    responses=problems(*BODY, 401),
)
async def sign_in(request: ShopRequest, data: JSONBody[SignIn]) -> Tokens:
    """An access token and a refresh token for an address and its password."""
    client = request.client.host if request.client else ""
    return await request.rpc.call(Login(email=data.email, password=data.password, client=client))


@post(
    "/users/refresh",
    operation_id="refresh",
    summary="Stay signed in",
    status_code=200,
    responses=problems(*BODY, 401),
)
async def refresh(request: ShopRequest, data: JSONBody[RefreshToken]) -> Tokens:
    """The next pair of tokens. A refresh token works once; using it again ends the sign-in."""
    return await request.rpc.call(Refresh(request_id=new_id(), refresh_token=data.refresh_token))


@post(
    "/users/logout", operation_id="sign_out", summary="Sign out", status_code=204, responses=problems(*BODY)
)
async def sign_out(request: ShopRequest, data: JSONBody[RefreshToken]) -> None:
    """End the sign-in that a refresh token belongs to; its access token lives on until it expires."""
    await request.rpc.call(Logout(refresh_token=data.refresh_token))


@get("/users/me", operation_id="me", summary="Your account", opt=SIGNED_IN, responses=problems(400, 401, 404))
async def me(request: ShopRequest) -> Profile:
    """Who you are."""
    return await request.rpc.call(GetMe(user_id=request.user.id))


@get(
    "/.well-known/jwks.json",
    operation_id="public_keys",
    summary="Public keys",
    responses=problems(400),
)
async def public_keys(request: ShopRequest) -> Response[PublicKeys]:
    """The keys that access tokens can be checked with."""
    answer = await request.rpc.call(GetKeys())
    return Response(PublicKeys(answer.keys), headers={"Cache-Control": "public, max-age=300"})


routes = [sign_up, sign_in, refresh, sign_out, me, public_keys]
