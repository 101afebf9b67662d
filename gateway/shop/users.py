"""Accounts over HTTP: sign up, sign in and stay so, sign out, one's profile, and the keys of tokens."""

from datetime import datetime
from typing import Annotated
from uuid import UUID

from litestar import Response, delete, get, patch, post, put
from litestar.params import JSONBody, PathParameter, QueryParameter
from msgspec import UNSET, Meta, Struct, UnsetType, structs

from gateway.door.api import BODY, After, Id, LongPageSize, problems
from gateway.door.idempotency import IdempotencyKey, same_id
from gateway.door.requests import ShopRequest
from gateway.door.roles import ADMIN, SIGNED_IN, SUPPORT
from shared.errors import RuleBroken
from shared.ids import new_id
from user_svc.contracts import (
    AskEmailProof,
    AskPasswordReset,
    ChangeMe,
    EndSignIn,
    GetKeys,
    GetMe,
    ListSignIns,
    ListUsers,
    Login,
    Logout,
    Profile,
    ProveEmail,
    PublicKey,
    Refresh,
    Register,
    ResetPassword,
    Role,
    SetRoles,
    Tokens,
    UserEntry,
    UserId,
    UserPage,
)

SessionId = Annotated[UUID, PathParameter(description="The session's id.")]
AfterSession = Annotated[
    UUID | None, QueryParameter(description="Continue after this session: the `next` of a page.")
]


class SignUp(Struct, frozen=True, forbid_unknown_fields=True):
    """A new account; the password has 8 to 128 characters."""

    email: str
    name: str
    address: str
    password: str


class ProfileChange(Struct, frozen=True, forbid_unknown_fields=True):
    """What to change of your profile; what is left out stays.

    A new password or e-mail address needs the current password.
    """

    name: str | UnsetType = UNSET
    address: str | UnsetType = UNSET
    password: str | UnsetType = UNSET
    current_password: str | UnsetType = UNSET
    email: str | UnsetType = UNSET


class SignIn(Struct, frozen=True, forbid_unknown_fields=True):
    """An address and its password."""

    email: str
    password: str


class RefreshToken(Struct, frozen=True, forbid_unknown_fields=True):
    """The refresh token of the latest sign-in or refresh."""

    refresh_token: str


class NewRoles(Struct, frozen=True, forbid_unknown_fields=True):
    """All roles that a user is to have."""

    roles: Annotated[list[Role], Meta(min_length=1, max_length=5)]


class PublicKeys(Struct, frozen=True):
    """A JSON Web Key Set (RFC 7517)."""

    keys: list[PublicKey]


@post("/users", operation_id="sign_up", summary="Sign up", responses=problems(*BODY, 409))
async def sign_up(
    request: ShopRequest, data: JSONBody[SignUp], idempotency_key: IdempotencyKey = None
) -> UserId:
    """Create a user, together with a points account."""
    return await request.rpc.call(
        Register(
            request_id=same_id(request, idempotency_key, data.email, data.name, data.address),
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
    call = Login(email=data.email, password=data.password, client=request.came_from.address)
    return await request.rpc.call(call)


@post(
    "/users/refresh",
    operation_id="refresh",
    summary="Stay signed in",
    status_code=200,
    responses=problems(*BODY, 401),
)
async def refresh(request: ShopRequest, data: JSONBody[RefreshToken]) -> Tokens:
    """The next pair of tokens.

    A refresh token works once. Sent again within ten seconds (the answer was lost, or two windows asked at
    once) it gets the same next one; after that its reuse ends the whole session.
    """
    return await request.rpc.call(Refresh(request_id=new_id(), refresh_token=data.refresh_token))


@post(
    "/users/logout", operation_id="sign_out", summary="Sign out", status_code=204, responses=problems(*BODY)
)
async def sign_out(request: ShopRequest, data: JSONBody[RefreshToken]) -> None:
    """End the session of a refresh token; its access tokens end within seconds."""
    await request.rpc.call(Logout(refresh_token=data.refresh_token))


class PasswordReset(Struct, frozen=True, forbid_unknown_fields=True):
    """An `email` to get a letter, or the letter's `token` and a new `password`."""

    email: str | UnsetType = UNSET
    token: str | UnsetType = UNSET
    password: str | UnsetType = UNSET


class EmailProof(Struct, frozen=True, forbid_unknown_fields=True):
    """An `email` to get a letter, or the letter's `token`."""

    email: str | UnsetType = UNSET
    token: str | UnsetType = UNSET


class Session(Struct, frozen=True):
    """A session of yours: when and from which address it was begun, when it was last refreshed (null: never).

    `current` is the one that this request belongs to.
    """

    id: UUID
    begun_at: datetime
    client: str
    used_at: datetime | None
    expires_at: datetime
    current: bool


class Sessions(Struct, frozen=True):
    """A page of sessions, newest first; `next` continues after its last one."""

    items: list[Session]
    next: UUID | None


@get(
    "/users/me/sessions",
    operation_id="my_sessions",
    summary="Where you are signed in",
    opt=SIGNED_IN,
    responses=problems(400, 401),
)
async def my_sessions(request: ShopRequest, limit: LongPageSize = 50, after: AfterSession = None) -> Sessions:
    """Your sessions, newest first."""
    page = await request.rpc.call(ListSignIns(user_id=request.user.id, limit=limit, after=after))
    items = [
        Session(**structs.asdict(one), current=str(one.id) == request.user.session) for one in page.items
    ]
    return Sessions(items=items, next=page.next)


@delete(
    "/users/me/sessions/{session_id:str}",
    operation_id="end_session",
    summary="End a session",
    opt=SIGNED_IN,
    responses=problems(400, 401, 404),
)
async def end_session(request: ShopRequest, session_id: SessionId) -> None:
    """Sign out there; its access tokens end within seconds. Another's session is 404."""
    await request.rpc.call(EndSignIn(user_id=request.user.id, session_id=session_id))


@post(
    "/users/password-reset",
    operation_id="reset_password",
    summary="Forgot your password",
    status_code=202,
    responses=problems(*BODY),
)
async def reset_password(request: ShopRequest, data: JSONBody[PasswordReset]) -> Response[None]:
    """With `email`: a letter with a one-time token, if that is somebody's address; the answer does not tell.

    With `token` and `password`: the new password is set (204), and all your sessions end.
    """
    if isinstance(data.email, str) and data.token is UNSET and data.password is UNSET:
        await request.rpc.call(AskPasswordReset(email=data.email, client=request.came_from.address))
        return Response(None, status_code=202)
    if data.email is UNSET and isinstance(data.token, str) and isinstance(data.password, str):
        await request.rpc.call(ResetPassword(token=data.token, password=data.password))
        return Response(None, status_code=204)
    raise RuleBroken("Send `email` to get a letter, or the letter's `token` and a new `password`.")


@post(
    "/users/email-proof",
    operation_id="prove_email",
    summary="Prove your address",
    status_code=202,
    responses=problems(*BODY, 409),
)
async def prove_email(request: ShopRequest, data: JSONBody[EmailProof]) -> Response[None]:
    """With `email`: a letter with a one-time token, if that is somebody's address; the answer does not tell.

    With `token`: the address that the letter came to is proven (204), and a new one is your account's.
    """
    if isinstance(data.email, str) and data.token is UNSET:
        await request.rpc.call(AskEmailProof(email=data.email, client=request.came_from.address))
        return Response(None, status_code=202)
    if data.email is UNSET and isinstance(data.token, str):
        await request.rpc.call(ProveEmail(token=data.token))
        return Response(None, status_code=204)
    raise RuleBroken("Send `email` to get a letter, or the letter's `token`.")


@get("/users/me", operation_id="me", summary="Your account", opt=SIGNED_IN, responses=problems(400, 401, 404))
async def me(request: ShopRequest) -> Profile:
    """Who you are."""
    return await request.rpc.call(GetMe(user_id=request.user.id))


@patch(
    "/users/me",
    operation_id="change_me",
    summary="Change your account",
    opt=SIGNED_IN,
    responses=problems(*BODY, 401, 404, 409),
)
async def change_me(request: ShopRequest, data: JSONBody[ProfileChange]) -> Profile:
    """Change your name, address, password or e-mail address.

    A new password ends all your sessions: sign in again. A new e-mail address gets a letter, and is your
    account's once its token comes back (`POST /users/email-proof`); the old one is told.
    """
    given = {name: value for name, value in structs.asdict(data).items() if value is not UNSET}
    if not given.keys() - {"current_password"}:
        raise RuleBroken("Say what to change: `name`, `address`, `password` or `email`.")
    call = ChangeMe(user_id=request.user.id, client=request.came_from.address, **given)
    return await request.rpc.call(call)


@get(
    "/users",
    operation_id="list_users",
    summary="List users",
    opt=SUPPORT,
    responses=problems(400, 401, 403),
)
async def list_users(request: ShopRequest, limit: LongPageSize = 50, after: After = None) -> UserPage:
    """All users, by ascending id."""
    return await request.rpc.call(ListUsers(limit=limit, after=after))


@put(
    "/users/{user_id:str}/roles",
    operation_id="set_roles",
    summary="Set the roles of a user",
    opt=ADMIN,
    responses=problems(*BODY, 401, 403, 404, 409),
)
async def set_roles(request: ShopRequest, user_id: Id, data: JSONBody[NewRoles]) -> UserEntry:
    """Give a user exactly these roles. Tokens with others end within seconds; a refresh gives a new one.

    The last admin stays one: 409.
    """
    return await request.rpc.call(SetRoles(user_id=user_id, roles=data.roles, by=request.user.id))


@get(
    "/.well-known/jwks.json",
    operation_id="public_keys",
    summary="Public keys",
    responses=problems(400),
)
async def public_keys(request: ShopRequest) -> Response[PublicKeys]:
    """The public keys that access tokens are verified with."""
    answer = await request.rpc.call(GetKeys())
    return Response(PublicKeys(answer.keys), headers={"Cache-Control": "public, max-age=300"})


routes = [
    sign_up,
    sign_in,
    refresh,
    sign_out,
    me,
    change_me,
    reset_password,
    prove_email,
    my_sessions,
    end_session,
    list_users,
    set_roles,
    public_keys,
]
