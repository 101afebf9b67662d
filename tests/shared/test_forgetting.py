"""Texts that are forgotten, in a document and in a table: those, all of those, and nothing besides."""

from collections.abc import Awaitable, Callable
from typing import Any, cast

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from shared.database import altering
from shared.database.altering import forget_text
from shared.database.forgetting import without_text
from shared.database.units import Database

KEYS = [
    "pay_1",
    'a"b',
    "back\\slash",
    '\\"',
    '","other":"',
    "\\\\",
    "!#$%&'()*+,-./:;<=>?@[]^_`{|}~",
    "a" * 100,
]
LEFT_ALONE = [
    {"key": None},
    {"key": 7},
    {"key": ["a"]},
    {"other": '"key":"not one"'},
    {"other": "key", "text": 'a \\"key\\": b'},
    {"my_key": "a", "keys": "b"},
]

_values = st.recursive(
    st.none() | st.integers() | st.text(),
    lambda inside: (
        st.lists(inside, max_size=3)
        | st.dictionaries(st.sampled_from(["key", "other", "a"]), inside, max_size=3)
    ),
)


def expected(value: Any) -> Any:
    """The same document by the plain way: read, go through it, write."""
    match value:
        case dict():
            return {
                name: None if name == "key" and isinstance(one, str) else expected(one)
                for name, one in value.items()
            }
        case list():
            return [expected(one) for one in value]
        case _:
            return value


@given(_values)
def test_no_member_of_the_name_holds_a_text_and_all_else_is_as_it_was(document: Any) -> None:
    written = msgspec.json.encode(document)
    assert without_text(written, "key") == msgspec.json.encode(expected(document))


@pytest.mark.parametrize("key", KEYS)
def test_whatever_the_text_is_it_goes(key: str) -> None:
    spaced = b'{ "key" : ' + msgspec.json.encode(key) + b', "other": "o" }'
    assert msgspec.json.decode(without_text(spaced, "key")) == {"key": None, "other": "o"}


@pytest.mark.parametrize("document", LEFT_ALONE, ids=str)
def test_what_is_no_such_text_stays_to_the_letter(document: Any) -> None:
    written = msgspec.json.encode(document)
    assert without_text(written, "key") == written


class _Editor:
    """What a migration asks the database through, over a connection of ours."""

    def __init__(self, db: Database) -> None:
        self.client = self
        self.asked: list[str] = []
        self._db = db

    async def execute_query(self, sql: str, values: list[Any] | None = None) -> tuple[int, list[Any]]:
        self.asked.append(sql)
        if sql.startswith("UPDATE"):
            return await self._db.execute(sql, values or []), []
        return 0, [{"place": row[0]} for row in await self._db.read(lambda r: r.rows(sql, values or []))]


@pytest.mark.parametrize("at_once", [1, 4, 1000])
async def test_a_table_is_cleaned_in_pieces_and_may_be_cleaned_again(
    db: Database, monkeypatch: pytest.MonkeyPatch, at_once: int
) -> None:
    monkeypatch.setattr(altering, "AT_ONCE", at_once)
    documents = [{"n": number, "key": key, "한국어": "🛒"} for number, key in enumerate(KEYS)]
    texts = [msgspec.json.encode(one).decode() for one in (*documents, *LEFT_ALONE)]
    for number, text in enumerate(texts):
        await db.execute("INSERT INTO marks (`key`, text) VALUES (%s, %s)", [f"{number:04}", text])
    for _ in range(2):
        editor = _Editor(db)
        step = cast(Callable[..., Awaitable[None]], forget_text("marks", "text", "key").code)
        await step(None, editor)
        rows = await db.read(lambda reader: reader.rows("SELECT text FROM marks ORDER BY id"))
        assert [row[0] for row in rows] == [without_text(text.encode(), "key").decode() for text in texts]
        assert sum(sql.startswith("UPDATE") for sql in editor.asked) == -(-len(texts) // at_once)
