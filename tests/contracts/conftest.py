"""The databases of all services, as their migrations make them."""

import asyncio
from collections.abc import AsyncIterator
from uuid import uuid4

import pytest

from deploy.databases import connect
from deploy.local.layout import Layout
from deploy.services import load_services
from tests.support.databases import migrate


@pytest.fixture(scope="package")
async def schemas(servers: Layout) -> AsyncIterator[dict[str, str]]:
    """The database of each service's package, made by somebody who asked for another collation than ours."""
    modules = [service.module for service in load_services() if service.database]
    made = {module: f"test_contracts_{module}_{uuid4().hex[:8]}" for module in modules}
    with connect(servers.admin_url) as connection, connection.cursor() as cursor:
        for name in made.values():
            cursor.execute(f"CREATE DATABASE {name} COLLATE utf8mb4_general_ci")
        try:
            await asyncio.gather(
                *(
                    migrate(module, f"{servers.admin_url.rstrip('/')}/{name}", seed=False)
                    for module, name in made.items()
                )
            )
            yield made
        finally:
            for name in made.values():
                cursor.execute(f"DROP DATABASE {name}")
