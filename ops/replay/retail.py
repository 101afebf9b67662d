"""Reads the Online Retail CSV into invoices; pure but for `read`, which opens the file."""

import csv
import gzip
import re
import zlib
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from datetime import UTC, datetime
from decimal import Decimal
from enum import StrEnum
from pathlib import Path
from typing import NamedTuple

COLUMNS = (
    "InvoiceNo",
    "StockCode",
    "Description",
    "Quantity",
    "InvoiceDate",
    "UnitPrice",
    "CustomerID",
    "Country",
)

# Bounded, because int() and Decimal() accept far more (underscores, exponents, NaN) and digits without end.
_WHOLE = re.compile(r"[+-]?[0-9]{1,15}")
_MONEY = re.compile(r"[+-]?[0-9]{1,12}(\.[0-9]{1,12})?")
_CUSTOMER = re.compile(r"([0-9]{1,15})(\.0+)?")
_GZIP_MAGIC = b"\x1f\x8b"


class BadFile(Exception):
    """The file cannot be replayed; the message says which line and why, for the person who gave it."""


class Skip(StrEnum):
    """Why a row becomes no line of an order; a row counts under the first that applies."""

    NO_CUSTOMER = "no customer"
    PRICE_NOT_POSITIVE = "price of 0 or below"
    PRICE_FRACTION = "price with fractions of a penny"
    QUANTITY_NOT_POSITIVE = "quantity of 0 or below without C"
    QUANTITY_NOT_NEGATIVE = "quantity of 0 or above in a C invoice"


class Article(NamedTuple):
    """What becomes one item of the shop: the same StockCode at another price is another item."""

    stock_code: str
    price: int  # pence


class Line(NamedTuple):
    """One row that counts; a cancellation's quantity stands here without its minus sign."""

    article: Article
    quantity: int


@dataclass(frozen=True, slots=True)
class Invoice:
    """One order, or with `cancels` the cancelling of an earlier one."""

    number: str
    customer: str
    at: datetime
    cancels: bool
    row: int  # line number in the file of its first row
    lines: list[Line] = field(default_factory=list)

    def quantities(self) -> dict[Article, int]:
        """Pieces per article: one article may stand on several lines."""
        total: dict[Article, int] = {}
        for line in self.lines:
            total[line.article] = total.get(line.article, 0) + line.quantity
        return total


@dataclass(frozen=True, slots=True)
class RetailFile:
    """All that a replay needs to know of the file."""

    invoices: list[Invoice]
    descriptions: dict[Article, str]  # the first one seen
    demand: dict[Article, int]  # pieces that all purchases of the file ask for together
    skipped: dict[Skip, list[int]]  # line numbers
    rows: int


def read(path: Path) -> RetailFile:
    """Parse a plain or gzipped CSV, UTF-8 or else Latin-1; raises BadFile with a message for a person."""
    try:
        try:
            return _parse_encoded(path, "utf-8-sig")
        except UnicodeDecodeError:
            return _parse_encoded(path, "latin-1")
    except FileNotFoundError:
        raise BadFile(f"{path}: no such file") from None
    except IsADirectoryError:
        raise BadFile(f"{path} is a directory, not a CSV file") from None
    except (EOFError, gzip.BadGzipFile, zlib.error) as error:
        raise BadFile(f"{path}: broken gzip: {error}") from error
    except OSError as error:
        raise BadFile(f"{path}: cannot be read: {error.strerror or error}") from error
    except BadFile as error:
        raise BadFile(f"{path}: {error}") from None


def _parse_encoded(path: Path, encoding: str) -> RetailFile:
    with path.open("rb") as raw:
        zipped = raw.read(2) == _GZIP_MAGIC
    opener = gzip.open if zipped else open
    # newline="" leaves line ends to the csv module, which knows those inside quotes.
    with opener(path, "rt", encoding=encoding, newline="") as text:
        return parse(text)


def parse(text: Iterable[str]) -> RetailFile:
    """Group the rows into invoices, in the file's order.

    Raises:
        BadFile: wrong header, wrong number of columns, or a number or date that is none.
    """
    invoices: dict[tuple[str, str], Invoice] = {}
    descriptions: dict[Article, str] = {}
    demand: dict[Article, int] = {}
    skipped: dict[Skip, list[int]] = {reason: [] for reason in Skip}
    rows = 0
    for number, row in _numbered_rows(text):
        rows += 1
        record = _record(number, row)
        reason = _skip(record)
        if reason is not None:
            skipped[reason].append(number)
            continue
        article = Article(record.stock_code, int(record.price * 100))
        invoice = invoices.get((record.invoice, record.customer))
        if invoice is None:
            invoice = Invoice(record.invoice, record.customer, record.at, record.cancels, number)
            invoices[record.invoice, record.customer] = invoice
        invoice.lines.append(Line(article, abs(record.quantity)))
        descriptions.setdefault(article, record.description)
        if not record.cancels:
            demand[article] = demand.get(article, 0) + record.quantity
    return RetailFile(list(invoices.values()), descriptions, demand, skipped, rows)


class _Record(NamedTuple):
    invoice: str
    cancels: bool
    stock_code: str
    description: str
    quantity: int
    at: datetime
    price: Decimal
    customer: str


def _numbered_rows(text: Iterable[str]) -> Iterator[tuple[int, list[str]]]:
    """Rows below the header, each with the number of its first line (a quoted field may span several)."""
    reader = csv.reader(text, strict=True)
    start = 1
    try:
        header = next(reader, None)
        if header is None:
            raise BadFile("the file is empty")
        if tuple(name.strip() for name in header) != COLUMNS:
            found = ",".join(header)
            raise BadFile(f"line 1: wrong header: expected {','.join(COLUMNS)} but found {found[:120]!r}")
        start = reader.line_num + 1
        for row in reader:
            if row:
                yield start, row
            start = reader.line_num + 1
    except csv.Error as error:
        raise BadFile(f"line {start}: not valid CSV: {error}") from error


def _record(number: int, row: list[str]) -> _Record:
    if len(row) != len(COLUMNS):
        raise BadFile(f"line {number}: {len(row)} columns where {len(COLUMNS)} belong")
    invoice, stock_code, description, quantity, at, price, customer, _ = (cell.strip() for cell in row)
    for name, cell in (("InvoiceNo", invoice), ("StockCode", stock_code)):
        if not cell:
            raise BadFile(f"line {number}: {name} is missing")
    if not _WHOLE.fullmatch(quantity):
        raise BadFile(f"line {number}: Quantity is not a whole number: {quantity[:40]!r}")
    if not _MONEY.fullmatch(price):
        raise BadFile(f"line {number}: UnitPrice is not a price: {price[:40]!r}")
    customer_number = _CUSTOMER.fullmatch(customer)
    if customer and customer_number is None:
        raise BadFile(f"line {number}: CustomerID is not a number: {customer[:40]!r}")
    return _Record(
        invoice,
        invoice[0] in "Cc",
        stock_code,
        description,
        int(quantity),
        _date(number, at),
        Decimal(price),
        customer_number[1] if customer_number else "",
    )


def _date(number: int, text: str) -> datetime:
    try:
        # The file names no zone; only distances in time are used.
        return datetime.fromisoformat(text).replace(tzinfo=UTC)
    except ValueError:
        raise BadFile(f"line {number}: InvoiceDate is not a date and time: {text[:40]!r}") from None


def _skip(record: _Record) -> Skip | None:
    if not record.customer:
        return Skip.NO_CUSTOMER
    if record.price <= 0:
        return Skip.PRICE_NOT_POSITIVE
    if record.price * 100 % 1:
        return Skip.PRICE_FRACTION
    if record.cancels:
        return None if record.quantity < 0 else Skip.QUANTITY_NOT_NEGATIVE
    return None if record.quantity > 0 else Skip.QUANTITY_NOT_POSITIVE
