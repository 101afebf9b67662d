"""A third kind of coupon, "percentage, at most so many won", made in a copy of the tree.

Whoever begins with it is shown by the type checker every place that must know it; and few files change.
"""

import json
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from deploy.services import ROOT
from tests.contracts.house import MODULES

CONTRACTS, KINDS, BODY = "coupon_svc/contracts.py", "coupon_svc/kinds.py", "gateway/shop/coupons.py"

pytestmark = pytest.mark.long

NAMED = [(CONTRACTS, 'Literal["fixed", "percentage"]', 'Literal["fixed", "percentage", "capped"]')]
"""The kind is named, and nothing else: file, text, and what is put in its place everywhere in the file."""

SUPPORTED = [
    *NAMED,
    (
        CONTRACTS,
        "    discount_percent: int | None = None\n",
        "    discount_percent: int | None = None\n    discount_most: int | None = None\n",
    ),
    (
        CONTRACTS,
        "    discount_percent: Percent | None = None\n",
        "    discount_percent: Percent | None = None\n    discount_most: Amount | None = None\n",
    ),
    (
        BODY,
        "    discount_percent: Percent | None = None\n",
        "    discount_percent: Percent | None = None\n    discount_most: Amount | None = None\n",
    ),
    (
        KINDS,
        "    discount_percent: int | None\n",
        "    discount_percent: int | None\n    discount_most: int | None\n",
    ),
    (KINDS, "            return 1\n", '            return 1\n        case "capped":\n            return 2\n'),
    (
        KINDS,
        "            return price * (100 - value) // 100\n",
        "            return price * (100 - value) // 100\n"
        '        case "capped":\n'
        "            most, percent = divmod(value, 100)\n"
        "            return max(price * (100 - percent) // 100, price - most)\n",
    ),
    (
        KINDS,
        "            return kind, 0\n",
        '            return kind, 0\n        case "capped":\n            return kind, value // 100\n',
    ),
    (KINDS, "discount_percent=None)\n", "discount_percent=None, discount_most=None)\n"),
    (
        KINDS,
        "discount_percent=value)\n",
        "discount_percent=value, discount_most=None)\n"
        '        case "capped":\n'
        "            most, percent = divmod(value, 100)\n"
        "            return Discount(discount_amount=None, discount_percent=percent, discount_most=most)\n",
    ),
    (
        KINDS,
        '            value, wanted = wish.discount_percent, {"discount_percent"}\n',
        '            value, wanted = wish.discount_percent, {"discount_percent"}\n'
        '        case "capped":\n'
        '            value, wanted = wish.discount_percent, {"discount_percent", "discount_most"}\n'
        "            value = (wish.discount_most or 0) * 100 + (value or 0)\n",
    ),
]
"""All that the kind needs. Its value keeps both numbers: a hundred times the most, and the percentage."""

WORKS = """
from datetime import UTC, datetime
from uuid import UUID

from coupon_svc import assignment, contracts, domain, kinds

FROM, UNTIL = datetime(2026, 1, 1, tzinfo=UTC), datetime(2026, 2, 1, tzinfo=UTC)
wish = contracts.CreatePolicy(request_id=UUID(int=1), name="ten", kind="capped", valid_from=FROM,
    valid_until=UNTIL, discount_percent=20, discount_most=1_000)
value = domain.check_terms(wish)
assert kinds.told("capped", value) == dict(discount_amount=None, discount_percent=20, discount_most=1_000)
coupon = domain.Coupon(7, 2, "capped", value, 0, FROM, UNTIL)
assert [domain.discounted_price(price, [coupon]) for price in (4_000, 10_000)] == [3_200, 9_000]
assert assignment.cheapest([10_000], [coupon]) == [[7]]
"""


@pytest.fixture
def copy(tmp_path: Path) -> Path:
    """The tree, to be changed."""
    for package in (*MODULES.values(), "shared"):
        shutil.copytree(ROOT / package, tmp_path / package, ignore=shutil.ignore_patterns("__pycache__"))
    settings = {
        "include": ["coupon_svc", BODY],
        "venvPath": str(ROOT),
        "venv": ".venv",
        "pythonVersion": "3.11",
        "reportIncompatibleVariableOverride": False,
    }
    (tmp_path / "pyrightconfig.json").write_text(json.dumps(settings), encoding="utf-8")
    return tmp_path


def _change(copy: Path, edits: list[tuple[str, str, str]]) -> None:
    for file, old, new in edits:
        text = (copy / file).read_text(encoding="utf-8")
        assert old in text, f"{file} does not say {old!r} any more"
        (copy / file).write_text(text.replace(old, new), encoding="utf-8")


def _type_errors(copy: Path) -> list[tuple[str, str]]:
    """The files and functions in which the type checker finds something wrong."""
    command = [sys.executable, "-m", "pyright", "--outputjson", "--project", str(copy)]
    told = json.loads(subprocess.run(command, capture_output=True, text=True, check=False).stdout)
    assert told["summary"]["filesAnalyzed"] > 10
    found: list[tuple[str, str]] = []
    for one in told["generalDiagnostics"]:
        file = Path(one["file"])
        lines = file.read_text(encoding="utf-8").splitlines()[: one["range"]["start"]["line"]]
        function = next(line for line in reversed(lines) if line.startswith("def "))
        found.append((str(file.relative_to(copy)), function[4:].partition("(")[0]))
    return found


def test_the_type_checker_names_each_place_that_must_know_a_new_kind(copy: Path) -> None:
    _change(copy, NAMED)
    places = ["turn", "reduced", "rivals", "told", "value_of"]
    assert _type_errors(copy) == [(KINDS, place) for place in places]


def test_a_new_kind_changes_few_files_and_works_then(copy: Path) -> None:
    assert len({file for file, *_ in SUPPORTED}) <= 5
    _change(copy, SUPPORTED)
    assert _type_errors(copy) == []
    subprocess.run([sys.executable, "-c", WORKS], cwd=copy, check=True)
