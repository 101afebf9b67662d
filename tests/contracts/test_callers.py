"""Who may make which call: read from the services' files, held against what their modules really import."""

import ast
import inspect
from collections.abc import Iterator
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest

from shared.messages import Call, service_of
from shared.rpc.callers import OPERATOR, PLATFORM_CALLS, ROOT, all_callers, callers_of, may_call
from tests.contracts.house import MODULES, SERVICES, messages, modules

ANSWERED = {one.call.wire_name: name for name, service in SERVICES.items() for one in service.answers}
ANSWERING = set(ANSWERED.values())
PLATFORM = {f"{service}.{name}" for service in ANSWERING for name in PLATFORM_CALLS.values()}


def _named_through(module: ModuleType) -> Iterator[type[Call[Any]]]:
    """The calls that a module names through others' contracts, which it imports whole."""
    for node in ast.walk(ast.parse(inspect.getsource(module))):
        if isinstance(node, ast.Attribute) and isinstance(node.value, ast.Name):
            contracts = vars(module).get(node.value.id)
            if isinstance(contracts, ModuleType) and contracts.__name__.endswith(".contracts"):
                found = getattr(contracts, node.attr)
                if isinstance(found, type) and issubclass(found, Call) and not _is_own(module, contracts):
                    yield found


def _is_own(module: ModuleType, contracts: ModuleType) -> bool:
    return module.__name__.partition(".")[0] == contracts.__name__.partition(".")[0]


@pytest.mark.parametrize("caller", list(MODULES))
def test_a_service_may_make_the_calls_of_others_that_it_imports_and_no_other(caller: str) -> None:
    imported = {
        call.wire_name
        for call in messages(MODULES[caller], Call).values()
        if service_of(call.wire_name) not in (caller, "")
    }
    imported |= {call.wire_name for module in modules(MODULES[caller]) for call in _named_through(module)}
    functions = {name for module in modules(MODULES[caller]) for name in vars(module)}
    imported |= {
        f"{service}.{PLATFORM_CALLS[name]}"
        for name in functions & set(PLATFORM_CALLS)
        for service in ANSWERING
    }
    assert {call for call in (*ANSWERED, *PLATFORM) if may_call(caller, call)} == imported


def test_every_call_that_is_answered_is_known() -> None:
    assert set(all_callers(ROOT)) == {*ANSWERED, *PLATFORM}


def test_operators_may_make_every_call_and_nobody_one_that_is_not_known() -> None:
    assert all(may_call(OPERATOR, call) for call in ANSWERED)
    assert callers_of("item.steal") == frozenset()
    assert not any(may_call(caller, "item.steal") for caller in (*MODULES, "migrate", "", "item_svc"))
    assert not any(
        may_call(caller, call) for call in ANSWERED for caller in ("migrate", "pg", "stranger", "")
    )


def test_imports_are_found_however_they_are_written(tmp_path: Path) -> None:
    files = {
        "told_svc/service.py": "",
        "told_svc/contracts.py": (
            'class A(Call[int], name="told.a"):\n    x: int\n\n'
            'class B(Call[list[int]], name="told.b", idempotent=True):\n    x: int\n\n'
            'class C(\n    Call[None],\n    name="told.c",\n):\n    x: int\n\n'
            'class E(Event, name="told.e", subject="x"):\n    x: int\n'
        ),
        "told_svc/calls.py": "from told_svc.contracts import A, B, C\n",
        "one_svc/service.py": "from told_svc.contracts import A\n",
        "two_svc/service.py": "from told_svc.contracts import (\n    A as Ask,  # not C\n    B,\n)\n",
        "three_svc/service.py": "",
        "three_svc/inner/asks.py": "from told_svc import contracts as told\n\nask = told.C(x=1)\n",
        "tools/no_service.py": "from told_svc.contracts import A, B, C\n",
    }
    for name, text in files.items():
        path = tmp_path / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)
    found = all_callers(tmp_path)
    assert {call: set(who) for call, who in found.items() if call in ("told.a", "told.b", "told.c")} == {
        "told.a": {"one", "two"},
        "told.b": {"two"},
        "told.c": {"three"},
    }
    assert "told.e" not in found
