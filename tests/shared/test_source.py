"""The platform's source: it imports no service, knows no business word, and says what it is for."""

import ast
import inspect
import re
from pathlib import Path

import pytest

from shared import crash, errors

ROOT = Path(__file__).parents[2]
FILES = sorted(path for path in (ROOT / "shared").rglob("*.py") if "migrations" not in path.parts)
SERVICES = {path.parent.name for path in ROOT.glob("*_svc/__init__.py")} | {
    "gateway",
    "ops",
    "deploy",
    "bench",
}
BUSINESS = {
    *(
        "order",
        "orders",
        "item",
        "items",
        "coupon",
        "coupons",
        "payment",
        "payments",
        "price",
        "prices",
        "stock",
    ),
    *(
        "cart",
        "buyer",
        "buyers",
        "customer",
        "customers",
        "saga",
        "sagas",
        "point",
        "points",
        "card",
        "refund",
    ),
    *("discount", "user", "users", "catalogue", "shop"),
}
GENERAL = {
    "items",  # of a dictionary
    "POINTS",  # where a process may crash
    "point",
    "_point",
    *("user", "user_id", "_user_id", "_USER_ID", "user_of"),  # of a server
}
"""Words of the business that mean something else in the platform."""


def names_in(tree: ast.AST) -> set[str]:
    """Every identifier that a module makes or uses."""
    found: set[str] = set()
    for node in ast.walk(tree):
        match node:
            case ast.Name(id=name) | ast.arg(arg=name) | ast.Attribute(attr=name):
                found.add(name)
            case ast.FunctionDef(name=name) | ast.AsyncFunctionDef(name=name) | ast.ClassDef(name=name):
                found.add(name)
            case ast.keyword(arg=str(name)):
                found.add(name)
    return found


def words_of(name: str) -> set[str]:
    """`OrderPlaced` and `order_placed` as `order`, `placed`."""
    return set(re.sub(r"(?<=[a-z])(?=[A-Z])", "_", name).lower().split("_"))


@pytest.mark.parametrize("path", FILES, ids=lambda path: str(path.relative_to(ROOT)))
def test_it_imports_no_service(path: Path):
    for node in ast.walk(ast.parse(path.read_text())):
        names = [alias.name for alias in node.names] if isinstance(node, ast.Import) else []
        names += [node.module or ""] if isinstance(node, ast.ImportFrom) else []
        assert not {name.partition(".")[0] for name in names} & (SERVICES | {"tests"})


@pytest.mark.parametrize("path", FILES, ids=lambda path: str(path.relative_to(ROOT)))
def test_its_identifiers_name_no_business(path: Path):
    telling = {
        name
        for name in names_in(ast.parse(path.read_text()))
        if words_of(name) & BUSINESS and name not in GENERAL
    }
    assert telling == set()


@pytest.mark.parametrize("path", FILES, ids=lambda path: str(path.relative_to(ROOT)))
def test_everything_public_says_what_it_is_for(path: Path):
    tree = ast.parse(path.read_text())
    assert ast.get_docstring(tree), "the module"
    mute = [
        node.name
        for scope in [tree, *(node for node in tree.body if isinstance(node, ast.ClassDef))]
        if not getattr(scope, "name", "").startswith("_")
        for node in scope.body
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef)
        and not node.name.startswith("_")
        and node.name != "Meta"  # of a model, by its library's convention
        and not any(isinstance(one, ast.Name) and one.id == "overload" for one in node.decorator_list)
        and not ast.get_docstring(node)
    ]
    assert mute == []


def test_the_tree_of_problems_in_its_docstring_is_the_tree():
    for kind in vars(errors).values():
        if inspect.isclass(kind) and issubclass(kind, errors.Problem) and kind is not errors.Problem:
            assert re.search(rf"{kind.__name__}\s+{kind.status}", errors.__doc__ or "")


def test_every_crash_point_is_somewhere_in_the_source():
    source = "".join(path.read_text() for path in FILES)
    for point in crash.POINTS:
        assert f'crash.here("{point}")' in source
