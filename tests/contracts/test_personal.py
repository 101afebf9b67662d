"""What is kept of persons is declared, so that export and erasure reach it: every table, every column."""

import importlib

import pytest
from tortoise.models import Model

from shared.database import Held
from shared.database.personal import ANSWERS
from shared.database.tables import KeptAnswer
from tests.contracts.house import SERVICES

PERSONAL = ("email", "address", "phone", "password", "birth", "client", "agent", "user_id", "buyer_id")
"""No column of a table that is said to be nobody's has such a word in its name."""
WITH_TABLES = [name for name, service in SERVICES.items() if service.models]


def _tables(name: str) -> dict[str, list[str]]:
    """The columns of a service's tables."""
    found = [
        model
        for module in SERVICES[name].models
        for model in vars(importlib.import_module(module)).values()
        if isinstance(model, type) and issubclass(model, Model) and model is not Model
    ]
    return {model._meta.db_table: list(model._meta.fields_db_projection) for model in found}


def _personal(name: str) -> tuple[dict[str, Held], dict[str, str]]:
    declared = importlib.import_module(f"{name}_svc.personal")
    return {one.table: one for one in declared.HELD}, declared.NOBODYS


@pytest.mark.parametrize("name", WITH_TABLES)
def test_every_table_is_declared_as_somebodys_or_nobodys(name: str) -> None:
    held, nobodys = _personal(name)
    assert held.keys() & nobodys.keys() == set()
    assert held.keys() | nobodys.keys() == _tables(name).keys()


@pytest.mark.parametrize("name", WITH_TABLES)
def test_every_column_of_a_persons_row_is_declared(name: str) -> None:
    """A new column fails here until it says whether it is told, and what an erasure makes of it."""
    for table, held in _personal(name)[0].items():
        declared = [*held.shown, *held.inner, *([] if held.whose in held.shown else [held.whose])]
        assert sorted(declared) == sorted(_tables(name)[table]), table
        assert set(held.documents) <= set(held.shown)
        assert set(held.erased or ()) <= set(declared)
        assert held.erased is None or held.why, f"{table}: why does it stay?"


@pytest.mark.parametrize("name", WITH_TABLES)
def test_what_names_a_person_does_not_survive_an_erasure(name: str) -> None:
    for table, held in _personal(name)[0].items():
        columns = {*held.shown, *held.inner} - {held.whose}
        naming = {column for column in columns if any(word in column for word in PERSONAL)}
        if held.erased is not None:
            assert naming <= held.erased.keys(), table


@pytest.mark.parametrize("name", WITH_TABLES)
def test_nobodys_tables_hold_nothing_that_names_a_person(name: str) -> None:
    for table in _personal(name)[1]:
        found = [one for one in _tables(name)[table] if any(word in one for word in PERSONAL)]
        assert found == [], table


def test_kept_answers_are_declared_for_all_services() -> None:
    declared = [*ANSWERS.shown, *ANSWERS.inner, ANSWERS.whose]
    assert sorted(declared) == sorted(KeptAnswer._meta.fields_db_projection)


@pytest.mark.parametrize("name", [one for one in WITH_TABLES if one != "query"])
def test_every_service_that_erases_hears_of_it(name: str) -> None:
    heard = {hearing.heard for hearing in SERVICES[name].hears}
    assert name == "user" or "user.erased" in heard
    assert any(one.call.wire_name == f"{name}.export_user" for one in SERVICES[name].answers)
