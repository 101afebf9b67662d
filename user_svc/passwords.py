"""Password hashes: argon2id, made and checked in a few threads of their own so that the loop stays free."""

import secrets
from functools import lru_cache

from argon2 import PasswordHasher
from argon2.exceptions import VerificationError

from shared.threads import Threads
from user_svc.domain import is_password, password_bytes
from user_svc.settings import UserSettings


async def hash_password(password: str, settings: UserSettings) -> str:
    """The hash to store, with its parameters and salt in it. Raises `Overloaded` with too many in line."""
    return await _threads(settings).run(hash_now, password, settings)


async def verify(
    password_hash: str | None, password: str, settings: UserSettings, *, client: str = "", failed: int = 0
) -> bool:
    """Whether `password` is the one that was hashed.

    With more to check than can be checked in time, those go first that have not `failed` of late, and then
    those from whose `client` address fewest wait. Raises `Overloaded` for those who would wait too long.

    Without a hash (nobody has this address) a made-up one is checked all the same, so that the time it takes
    does not tell which addresses have an account.
    """
    return await _threads(settings).run(
        _verify_now, password_hash, password, settings, whose=client, suspicion=failed
    )


def is_outdated(password_hash: str, settings: UserSettings) -> bool:
    """Whether the hash was made with other parameters than today's, and should be made anew."""
    return _hasher(settings).check_needs_rehash(password_hash)


def hash_now(password: str, settings: UserSettings) -> str:
    """`hash_password` for where there is no loop to keep free."""
    return _hasher(settings).hash(password_bytes(password))


def _verify_now(password_hash: str | None, password: str, settings: UserSettings) -> bool:
    # What nobody could have registered is not worth hashing in full length, but takes as long as any other.
    candidate = password if is_password(password) else ""
    try:
        _hasher(settings).verify(password_hash or _nobodys(settings), password_bytes(candidate))
    except VerificationError:
        return False
    return password_hash is not None


@lru_cache(maxsize=1)
def _threads(settings: UserSettings) -> Threads:
    return Threads("hashing", settings.argon2_workers, settings.argon2_line)


@lru_cache(maxsize=4)
def _hasher(settings: UserSettings) -> PasswordHasher:
    return PasswordHasher(
        time_cost=settings.argon2_passes, memory_cost=settings.argon2_memory_kib, parallelism=1
    )


@lru_cache(maxsize=4)
def _nobodys(settings: UserSettings) -> str:
    return hash_now(secrets.token_urlsafe(), settings)
