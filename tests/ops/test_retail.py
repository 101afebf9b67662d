"""The parser of the Online Retail file: what counts, what is skipped and why, and what is refused."""

import gzip
from datetime import UTC, datetime
from pathlib import Path

import pytest

from ops.replay.retail import COLUMNS, Article, BadFile, Line, Skip, parse, read

HEADER = ",".join(COLUMNS) + "\n"


def row(
    invoice: str = "536365",
    code: str = "85123A",
    description: str = "HOLDER",
    quantity: str = "6",
    at: str = "2010-12-01 08:26:00",
    price: str = "2.55",
    customer: str = "17850.0",
) -> str:
    """One line of the file with what a test does not care about filled in."""
    return f"{invoice},{code},{description},{quantity},{at},{price},{customer},United Kingdom\n"


def test_rows_of_one_invoice_become_one_order_in_pence() -> None:
    file = parse([HEADER, row(), row(code="71053", price="3.3", quantity="2"), row(invoice="536366")])

    first, second = file.invoices
    assert first.number == "536365"
    assert first.customer == "17850"
    assert first.at == datetime(2010, 12, 1, 8, 26, tzinfo=UTC)
    assert not first.cancels
    assert first.lines == [Line(Article("85123A", 255), 6), Line(Article("71053", 330), 2)]
    assert second.number == "536366"
    assert file.rows == 3


def test_the_same_code_at_another_price_or_in_other_letters_is_another_article() -> None:
    file = parse([HEADER, row(), row(price="2.95"), row(code="85123a")])

    assert set(file.demand) == {Article("85123A", 255), Article("85123A", 295), Article("85123a", 255)}


def test_one_article_twice_in_an_invoice_stays_two_lines() -> None:
    [invoice] = parse([HEADER, row(quantity="6"), row(quantity="1")]).invoices

    assert [line.quantity for line in invoice.lines] == [6, 1]
    assert invoice.quantities() == {Article("85123A", 255): 7}


def test_demand_sums_purchases_only() -> None:
    file = parse([HEADER, row(), row(invoice="C536367", quantity="-2"), row(invoice="536368", quantity="4")])

    assert file.demand == {Article("85123A", 255): 10}


def test_c_invoices_cancel_with_positive_quantities() -> None:
    [invoice] = parse([HEADER, row(invoice="C536379", quantity="-2")]).invoices

    assert invoice.cancels
    assert invoice.lines == [Line(Article("85123A", 255), 2)]


def test_the_first_description_is_kept() -> None:
    file = parse([HEADER, row(description="LANTERN"), row(description="damaged")])

    assert file.descriptions == {Article("85123A", 255): "LANTERN"}


@pytest.mark.parametrize(
    ("reason", "odd"),
    [
        (Skip.NO_CUSTOMER, row(customer="")),
        (Skip.PRICE_NOT_POSITIVE, row(price="0.0")),
        (Skip.PRICE_NOT_POSITIVE, row(price="-11062.06")),
        (Skip.PRICE_FRACTION, row(price="0.001")),
        (Skip.QUANTITY_NOT_POSITIVE, row(quantity="-3")),
        (Skip.QUANTITY_NOT_POSITIVE, row(quantity="0")),
        (Skip.QUANTITY_NOT_NEGATIVE, row(invoice="C536379", quantity="1")),
        (Skip.QUANTITY_NOT_NEGATIVE, row(invoice="C536379", quantity="0")),
    ],
)
def test_a_row_that_does_not_count_is_told_with_its_line_number(reason: Skip, odd: str) -> None:
    file = parse([HEADER, row(), odd, row(), odd])

    assert {why: numbers for why, numbers in file.skipped.items() if numbers} == {reason: [3, 5]}
    assert file.rows == 4
    assert len(file.invoices) == 1
    assert len(file.invoices[0].lines) == 2


def test_a_row_counts_under_its_first_reason_only() -> None:
    file = parse([HEADER, row(customer="", price="0.0", quantity="-1")])

    assert {why: numbers for why, numbers in file.skipped.items() if numbers} == {Skip.NO_CUSTOMER: [2]}
    assert file.invoices == []


def test_line_numbers_count_lines_within_quotes() -> None:
    file = parse(
        [HEADER, '536365,1,"TWO\n', 'LINES",1,2010-12-01 08:26:00,1.0,1,UK\n', "\n", row(customer="")]
    )

    assert file.skipped[Skip.NO_CUSTOMER] == [5]
    assert file.invoices[0].row == 2


@pytest.mark.parametrize(
    ("bad", "words"),
    [
        (row(quantity="six"), "line 3: Quantity is not a whole number: 'six'"),
        (row(quantity="1.5"), "line 3: Quantity"),
        (row(quantity=""), "line 3: Quantity"),
        (row(quantity="1_000"), "line 3: Quantity"),
        (row(quantity="9" * 5000), "line 3: Quantity"),
        (row(price="cheap"), "line 3: UnitPrice is not a price: 'cheap'"),
        (row(price="NaN"), "line 3: UnitPrice"),
        (row(price="1e3"), "line 3: UnitPrice"),
        (row(customer="somebody"), "line 3: CustomerID is not a number: 'somebody'"),
        (row(at="yesterday"), "line 3: InvoiceDate is not a date and time: 'yesterday'"),
        (row(invoice=""), "line 3: InvoiceNo is missing"),
        (row(code=" "), "line 3: StockCode is missing"),
        ("536365,85123A,HOLDER,6\n", "line 3: 4 columns where 8 belong"),
        ('536365,"85123A\n', "line 3: not valid CSV"),
    ],
)
def test_a_bad_row_is_refused_with_its_line_number(bad: str, words: str) -> None:
    with pytest.raises(BadFile) as caught:
        parse([HEADER, row(), bad])

    assert words in str(caught.value)


@pytest.mark.parametrize("header", ["a,b,c\n", "InvoiceNo,StockCode\n", row(), "\x00\x01\x02\n"])
def test_a_wrong_header_is_refused(header: str) -> None:
    with pytest.raises(BadFile, match="line 1: wrong header: expected InvoiceNo,StockCode,"):
        parse([header])


def test_an_empty_file_is_refused() -> None:
    with pytest.raises(BadFile, match="the file is empty"):
        parse([])


def test_plain_and_gzipped_files_read_the_same(tmp_path: Path) -> None:
    text = (HEADER + row(description="£5 VOUCHER")).encode()
    plain, zipped = tmp_path / "a.csv", tmp_path / "a.csv.gz"
    plain.write_bytes(text)
    zipped.write_bytes(gzip.compress(text))

    assert read(plain) == read(zipped)


@pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig", "latin-1"])
def test_the_usual_encodings_are_read(tmp_path: Path, encoding: str) -> None:
    path = tmp_path / "a.csv"
    path.write_bytes((HEADER + row(description="£5 VOUCHER")).encode(encoding))

    assert list(read(path).descriptions.values()) == ["£5 VOUCHER"]


def test_a_missing_file_is_told(tmp_path: Path) -> None:
    with pytest.raises(BadFile, match="no such file"):
        read(tmp_path / "none.csv")


def test_a_directory_is_told(tmp_path: Path) -> None:
    with pytest.raises(BadFile, match="is a directory"):
        read(tmp_path)


@pytest.mark.parametrize("damage", [lambda whole: whole[:-9], lambda whole: whole[:30] + b"xx" + whole[32:]])
def test_a_broken_gzip_is_told(tmp_path: Path, damage) -> None:
    path = tmp_path / "a.csv.gz"
    path.write_bytes(damage(gzip.compress((HEADER + row() * 500).encode())))

    with pytest.raises(BadFile, match="broken gzip"):
        read(path)


def test_a_bad_row_names_the_file_too(tmp_path: Path) -> None:
    path = tmp_path / "a.csv"
    path.write_text(HEADER + row(quantity="six"))

    with pytest.raises(BadFile, match=r"a\.csv: line 2: Quantity"):
        read(path)
