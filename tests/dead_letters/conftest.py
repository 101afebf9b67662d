"""The query service's database, empty before each test, and the broker as tests of the platform use it."""

from tests.shared.conftest import _connection, _template, channel, lab, url
from tests.support.service_database import database_of, db, heard

__all__ = ["_connection", "_template", "channel", "database", "db", "heard", "lab", "url"]

database = database_of("query_svc")
