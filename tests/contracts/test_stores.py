"""Services that ask through models have SQL in their store alone: what is not there goes through a model."""

import ast
import re
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
STATEMENT = re.compile(r"\s*(SELECT|INSERT INTO|UPDATE|DELETE FROM|REPLACE INTO)\s")


def statements(source: str) -> Iterator[str]:
    """The texts of a module that are SQL from their beginning."""
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.Constant) and isinstance(node.value, str) and STATEMENT.match(node.value):
            yield node.value


@pytest.mark.parametrize("package", ["item_svc", "coupon_svc", "user_svc"])
def test_sql_stands_in_the_store(package: str) -> None:
    elsewhere = {
        str(path.relative_to(ROOT)): found
        for path in (ROOT / package).rglob("*.py")
        if not {"store", "store.py", "migrations"} & set(path.parts)
        if (found := list(statements(path.read_text())))
    }
    assert elsewhere == {}


def test_sql_is_noticed() -> None:
    source = (
        'await tx.execute("DELETE FROM items WHERE id = %s", [1]); f"SELECT {name} FROM items"; "Select it"'
    )
    assert set(statements(source)) == {"DELETE FROM items WHERE id = %s", "SELECT "}
