"""Which calls a service may make: those that it imports, as the services' own code stands on this machine.

Nobody writes that down a second time. Each `contracts.py` says what calls are named, and the imports of all
other packages beside it say who makes them. A few hundred files are read for that, without being imported:
once a process, when it is first asked. A test holds what is found here against what is imported.
"""

import re
from collections import defaultdict
from collections.abc import Mapping
from functools import cache
from pathlib import Path

from shared.messages import service_of

ROOT = Path(__file__).resolve().parents[2]
OPERATOR = "operator"
"""Who operates the services: a person, or a tool that a person runs. May make every call."""
PLATFORM_CALLS = {
    "describe_call": "describe",
    "outbox_call": "outbox",
    "publish_outbox_call": "publish_outbox",
    "parked_call": "parked",
    "send_parked_call": "send_parked",
}
"""What every service answers without a line of its own, by the function that makes such a call."""

_CALL = re.compile(r"^class (\w+)\([^)]*\bCall\[[^)]*?\bname=\"([\w.]+)\"", re.MULTILINE)
_IMPORT = re.compile(r"^ *from ([\w.]+) import (\([^)]*\)|.*)", re.MULTILINE)
_NAME = re.compile(r"(\w+)(?: as (\w+))?")
_COMMENT = re.compile(r"#.*")
_DESCRIBED = "shared.service.describe"


def may_call(caller: str, call: str) -> bool:
    """Whether `caller`, a service by its name or `OPERATOR`, may make the call of this name.

    Nobody but operators may make a call that is not known.
    """
    return caller == OPERATOR or caller in callers_of(call)


def callers_of(call: str) -> frozenset[str]:
    """The services that may make a call, by their names; operators are not among them."""
    return all_callers(ROOT).get(call, frozenset())


@cache
def all_callers(root: Path) -> Mapping[str, frozenset[str]]:
    """Every call that the packages of a folder declare or get from the platform, with who imports it."""
    packages = sorted(path.parent for path in root.glob("*/service.py"))
    texts = {
        path: path.read_text(encoding="utf-8")
        for package in packages
        for path in package.rglob("*.py")
        if "migrations" not in path.parts
    }
    named: dict[str, dict[str, str]] = {}
    callers: dict[str, set[str]] = defaultdict(set)
    for path, text in texts.items():
        if path.name == "contracts.py":
            calls = named[_module(root, path)] = dict(_CALL.findall(text))
            for call in calls.values():
                callers[call] = set()
    answering = {service_of(call) for call in callers}
    for path, text in texts.items():
        package = path.relative_to(root).parts[0]
        for module, name in _imported(text):
            if module == _DESCRIBED and name in PLATFORM_CALLS:
                for service in answering:
                    callers[f"{service}.{PLATFORM_CALLS[name]}"].add(_service(package))
            elif module in named and name in named[module] and not module.startswith(f"{package}."):
                callers[named[module][name]].add(_service(package))
    return {call: frozenset(found) for call, found in callers.items()}


def _imported(text: str) -> list[tuple[str, str]]:
    """What a file imports from contracts and from the platform, by module and name.

    Of contracts that are imported whole, it is what is named of them: `contracts.ListPages`.
    """
    found: list[tuple[str, str]] = []
    for module, names in _IMPORT.findall(text):
        for name, alias in _NAME.findall(_COMMENT.sub("", names)):
            if name == "contracts":
                whole = f"{module}.contracts"
                found += [(whole, one) for one in re.findall(rf"\b{alias or name}\.(\w+)", text)]
            elif module.endswith(".contracts") or module == _DESCRIBED:
                found.append((module, name))
    return found


def _module(root: Path, path: Path) -> str:
    return ".".join(path.relative_to(root).with_suffix("").parts)


def _service(package: str) -> str:
    """Services are called like their packages: `item` for `item_svc`."""
    return package.removesuffix("_svc")
