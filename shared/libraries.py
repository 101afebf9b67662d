"""Libraries of which more is used than they promise: which inner names, and in which versions that is tested.

Such a name may go with any release. So versions are bounded (`pyproject.toml` says the same), a process that
finds others installed says so at its start, and for each library there is a test that fails when its inside
has changed. `tests/contracts/test_libraries.py` looks for each name, and for names that are missing here.
"""

from collections.abc import Callable
from importlib.metadata import version
from typing import NamedTuple

from shared.logs import log


class Library(NamedTuple):
    """A library, the versions tested (`at_least`, and `below`), its inner names, and the test that notices.

    A name is written `module:Class.attribute`. What has no name is said in `besides`.
    """

    name: str
    at_least: str
    below: str
    inner: tuple[str, ...]
    test: str
    besides: str = ""

    @property
    def tested(self) -> str:
        """The versions tested, as a requirement writes them."""
        return f">={self.at_least},<{self.below}"


LIBRARIES = (
    Library(
        "aio-pika",
        "10.2.1",
        "10.3",
        (
            "aio_pika.connection:Connection.transport",
            "aio_pika.connection:Connection.__del__",
            "aio_pika.channel:Channel.get_underlay_channel",
        ),
        "tests/shared/test_amqp.py",
    ),
    Library(
        "aiormq",
        "7.2.4",
        "7.3",
        (
            "aiormq.connection:Connection.channels",
            "aiormq.connection:Connection.write_queue",
            "aiormq.connection:Connection.connection_tune",
            "aiormq.connection:Connection.__last_frame_time",
            "aiormq.channel:Channel.on_consumer_cancel_callbacks",
            "aiormq.channel:exception_by_code",
            "aiormq.abc:ChannelFrame",
        ),
        "tests/shared/test_amqp.py",
        besides="that a connection calls `frames.put` of what it finds under a channel's number",
    ),
    Library(
        "pamqp",
        "4.0.1",
        "4.1",
        (
            "pamqp.encode:field_table",
            "pamqp.body:ContentBody",
            "pamqp.header:ContentHeader.unmarshal",
            "pamqp.commands:Basic.Deliver",
            "pamqp.commands:Basic.GetOk",
        ),
        "tests/shared/test_amqp.py",
        besides="that these read the frames that arrive: `broker/headers.py` puts its own in their place",
    ),
    Library(
        "aiomysql",
        "0.3.2",
        "0.4",
        (
            "aiomysql.connection:Connection._execute_command",
            "aiomysql.connection:Connection._connect",
            "aiomysql.connection:Connection._set_keep_alive",
            "aiomysql.connection:Connection._request_authentication",
            "aiomysql.connection:Connection._reader",
            "aiomysql.connection:Connection._writer",
            "aiomysql.connection:Connection.client_flag",
            "aiomysql.connection:Connection.server_status",
            "aiomysql.connection:_StreamReader._wait_for_data",
        ),
        "tests/shared/test_results.py",
        besides="that it calls _set_keep_alive when it has connected, before it reads the server's greeting,"
        " and _request_authentication after that, in which it begins TLS on a stream of its own",
    ),
    Library(
        "pymysql",
        "1.2.4",
        "1.3",
        (
            "pymysql.err:raise_mysql_exception",
            "pymysql.converters:decoders",
            "pymysql.constants.SERVER_STATUS:SERVER_MORE_RESULTS_EXISTS",
        ),
        "tests/shared/test_results.py",
        besides='that its error for packets out of turn says "sequence"',
    ),
    Library(
        "tortoise-orm",
        "1.1.9",
        "1.2",
        (
            "tortoise.backends.base.client:ConnectionWrapper",
            "tortoise.backends.mysql.client:TransactionWrapper.acquire_connection",
            "tortoise.backends.mysql.client:TransactionWrapper._lock",
            "tortoise.backends.mysql.client:TransactionWrapper._connection",
            "tortoise.migrations.executor:MigrationExecutor._schema_editor",
            "tortoise.migrations.schema_editor:MySQLSchemaEditor._table_generate_extra",
            "tortoise.migrations.autodetector:MigrationAutodetector.changes",
            "tortoise.cli.cli:tortoise_cli_context",
        ),
        "tests/shared/test_database.py",
        besides="`Tortoise.init(_enable_global_fallback=...)`",
    ),
    Library(
        "msgspec",
        "0.22.0",
        "0.23",
        ("msgspec:StructMeta",),
        "tests/abuse/test_bodies.py",
        besides="the English texts of its `ValidationError`, which decide between 400 and 422",
    ),
    Library(
        "litestar",
        "2.25.0",
        "2.26",
        ("litestar.exceptions:ValidationException.extra",),
        "tests/gateway/test_routes.py",
        besides="the keys `key` and `message` in `extra`; what the OpenAPI document leaves to be mended",
    ),
    Library(
        "uvicorn",
        "0.54.0",
        "0.55",
        ("uvicorn.server:Server.shutdown",),
        "tests/shared/test_runtime.py",
        besides="that `shutdown` is called before it waits for the answers in hand",
    ),
)


def untested(installed: Callable[[str], str] = version) -> list[str]:
    """The libraries whose installed version is not one of those tested, each with what is known of it."""
    return [
        f"{one.name} {there} is installed, and {one.tested} is tested"
        for one in LIBRARIES
        if not _numbers(one.at_least) <= _numbers(there := installed(one.name)) < _numbers(one.below)
    ]


def check() -> None:
    """Warn of each library that is installed in a version whose inside nobody has tested."""
    for one in untested():
        log.warning("library.untested", said=one, see="shared/libraries.py")


def _numbers(version: str) -> tuple[int, ...]:
    """10.2.1 as (10, 2, 1), up to the first part that is no number."""
    numbers: list[int] = []
    for part in version.split("."):
        if not part.isdecimal():
            break
        numbers.append(int(part))
    return tuple(numbers)
