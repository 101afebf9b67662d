"""The user service's database, empty before each test."""

from tests.support.service_database import database_of, db, heard

__all__ = ["database", "db", "heard"]

database = database_of("user_svc")
