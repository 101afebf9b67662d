"""The service's own database: units of work, and the statements that travel in them."""

from shared.database.idempotency import Idempotency
from shared.database.locks import Rows, Through
from shared.database.personal import Held, erase, kept_of
from shared.database.pipeline import DuplicateKey
from shared.database.purging import purge
from shared.database.queries import Query, Row, Select, columns, each, page, values
from shared.database.transaction import Reader, Transaction
from shared.database.units import Database, DatabaseUnavailable

__all__ = [
    "Database",
    "DatabaseUnavailable",
    "DuplicateKey",
    "Held",
    "Idempotency",
    "Query",
    "Reader",
    "Row",
    "Rows",
    "Select",
    "Through",
    "Transaction",
    "columns",
    "each",
    "erase",
    "kept_of",
    "page",
    "purge",
    "values",
]
