"""What the reader of the books may read: no column that holds a secret, and whoever adds one must say so."""

import importlib
import re
from collections.abc import Iterator, Mapping
from uuid import uuid4

import pymysql
import pytest

from deploy.databases import connect, url_as
from deploy.grants import grant_reading, secrets_of
from deploy.local.layout import Layout
from deploy.services import Service, load_services

pytestmark = pytest.mark.servers
SAYS_SECRET = re.compile(r"hash|salt|secret|private|key|token|password|code")
OWNING = [service for service in load_services({}) if service.database]


def known_as_none(service: Service) -> Mapping[str, set[str]]:
    """What a service says only sounds like a secret."""
    try:
        declared = importlib.import_module(f"{service.module}.secret_columns")
    except ModuleNotFoundError:
        return {}
    return getattr(declared, "NO_SECRET", {})


@pytest.fixture
def columns(servers: Layout, schemas: dict[str, str]) -> dict[str, set[tuple[str, str]]]:
    """The columns of all tables of each service, as its migrations have made them."""
    found: dict[str, set[tuple[str, str]]] = {}
    with connect(servers.admin_url) as connection, connection.cursor() as cursor:
        for module, schema in schemas.items():
            cursor.execute(
                "SELECT table_name, column_name FROM information_schema.columns WHERE table_schema = %s",
                (schema,),
            )
            found[module] = {(table, column) for table, column in cursor.fetchall()}
    return found


@pytest.fixture
def reader(servers: Layout, schemas: dict[str, str]) -> Iterator[tuple[str, str]]:
    """A user who may read what `verify` may, and the URL with which they do."""
    user, password = f"reader{uuid4().hex[:8]}", uuid4().hex
    with connect(servers.admin_url) as connection, connection.cursor() as cursor:
        cursor.execute(f"CREATE USER '{user}'@'%' IDENTIFIED BY '{password}'")
        try:
            yield user, url_as(servers.admin_url, user, password)
        finally:
            cursor.execute(f"DROP USER '{user}'@'%'")


@pytest.mark.parametrize("service", OWNING, ids=lambda service: service.name)
def test_every_column_that_sounds_like_a_secret_is_hidden_or_known_to_be_none(
    service: Service, columns: dict[str, set[tuple[str, str]]]
) -> None:
    there = columns[service.module]
    hidden = {(table, column) for table, names in secrets_of(service).items() for column in names}
    none = {(table, column) for table, names in known_as_none(service).items() for column in names}
    suspicious = {(table, column) for table, column in there if SAYS_SECRET.search(column)}
    assert suspicious - hidden - none == set(), "say in secret_columns.py whether these are secret"
    assert (hidden | none) - there == set(), "there are no such columns any more"
    assert hidden & none == set()


def test_a_reader_is_granted_everything_but_the_secrets(
    servers: Layout,
    schemas: dict[str, str],
    columns: dict[str, set[tuple[str, str]]],
    reader: tuple[str, str],
) -> None:
    user, url = reader
    with connect(servers.admin_url) as connection, connection.cursor() as admin:
        for service in OWNING:
            for _ in range(2):  # the second time changes nothing
                grant_reading(admin, schemas[service.module], secrets_of(service), user)
    hidden = 0
    with connect(url) as connection, connection.cursor() as cursor:
        for service in OWNING:
            schema, secret = schemas[service.module], secrets_of(service)
            for table in sorted({table for table, _ in columns[service.module]}):
                mine = sorted(column for other, column in columns[service.module] if other == table)
                readable = [column for column in mine if column not in secret.get(table, ())]
                cursor.execute(
                    f"SELECT {', '.join(f'`{one}`' for one in readable)} FROM `{schema}`.`{table}`"
                )
                for column in set(mine) - set(readable):
                    hidden += 1
                    with pytest.raises(pymysql.err.OperationalError, match="denied"):
                        cursor.execute(f"SELECT `{column}` FROM `{schema}`.`{table}`")
    assert hidden >= 5


def test_what_becomes_secret_is_taken_back(
    servers: Layout, schemas: dict[str, str], reader: tuple[str, str]
) -> None:
    user, url = reader
    schema = schemas["user_svc"]
    look = f"SELECT password_hash FROM `{schema}`.users"
    pattern = schema.replace("_", r"\_")
    with connect(servers.admin_url) as connection, connection.cursor() as admin:
        admin.execute(f"GRANT SELECT ON `{pattern}`.* TO '{user}'@'%'")  # as it was granted of old
        grant_reading(admin, schema, {}, user)
        with connect(url) as reading, reading.cursor() as cursor:
            cursor.execute(look)
        grant_reading(admin, schema, {"users": {"password_hash"}}, user)
        with connect(url) as reading, reading.cursor() as cursor:
            cursor.execute(f"SELECT id, name FROM `{schema}`.users")
            with pytest.raises(pymysql.err.OperationalError, match="denied"):
                cursor.execute(look)
