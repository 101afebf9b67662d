"""The lab: the suite's broker and database server, as tests of the platform use them."""

from collections.abc import AsyncIterator

import aio_pika
import pytest
from aio_pika.abc import AbstractChannel

from deploy.local.layout import Layout
from shared.database.units import Database
from tests.shared.lab import Lab, Template


@pytest.fixture(scope="session")
async def _template(servers: Layout) -> AsyncIterator[Template]:
    template = Template(servers)
    await template.make()
    yield template
    await template.drop()


@pytest.fixture(scope="session")
async def _connection(servers: Layout) -> AsyncIterator[aio_pika.abc.AbstractConnection]:
    connection = await aio_pika.connect(servers.amqp_url)
    yield connection
    await connection.close()


@pytest.fixture
async def channel(_connection: aio_pika.abc.AbstractConnection) -> AsyncIterator[AbstractChannel]:
    """A channel of the test's own, beside the platform."""
    channel = await _connection.channel()
    yield channel
    await channel.close()


@pytest.fixture
async def lab(servers: Layout, channel: AbstractChannel, _template: Template) -> AsyncIterator[Lab]:
    """A test's view of the servers; what it starts ends with it."""
    lab = Lab(servers, channel, _template)
    yield lab
    await lab.close()


@pytest.fixture
async def url(lab: Lab) -> str:
    """A fresh database with the tables of the tiny service."""
    return await lab.new_database()


@pytest.fixture
async def db(url: str) -> AsyncIterator[Database]:
    """That database, opened by the platform with a small pool."""
    database = Database(url, pool=4, lock_wait_s=1)
    await database.open(["tests.shared.tiny.models", "shared.database.tables"])
    yield database
    await database.close()
