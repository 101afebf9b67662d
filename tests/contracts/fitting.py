"""Whether a consumer's own view can read what a publisher writes. Compares types, not examples."""

from typing import Any

import msgspec
from msgspec import inspect

_WRITTEN_AS_TEXT = (
    inspect.StrType,
    inspect.UUIDType,
    inspect.DateTimeType,
    inspect.DateType,
    inspect.TimeType,
    inspect.TimeDeltaType,
    inspect.DecimalType,
    inspect.BytesType,
)
_LISTS = (
    inspect.ListType,
    inspect.SetType,
    inspect.FrozenSetType,
    inspect.VarTupleType,
    inspect.CollectionType,
)
_LOWER, _UPPER = ("ge", "gt", "min_length"), ("le", "lt", "max_length")


def misfits(view: type[msgspec.Struct], event: type[msgspec.Struct]) -> list[str]:
    """Everything that `view` reads and `event` does not give it in that form; empty if it fits.

    Every field of the view must be in the event, also where the view has a default: a name that nobody writes
    is a mistake. Fields that the view does not read are the publisher's own business.
    """
    return _misfits(inspect.type_info(view), inspect.type_info(event), "")


def _misfits(reads: Any, writes: Any, at: str) -> list[str]:
    reads, writes = _plain(reads), _plain(writes)
    if isinstance(reads, inspect.AnyType | inspect.RawType):
        return []
    if isinstance(writes, inspect.UnionType):
        return [line for one in writes.types for line in _misfits(reads, one, at)]
    if isinstance(reads, inspect.UnionType):
        tried = [_misfits(one, writes, at) for one in reads.types]
        if not all(tried):
            return []
        # The alternative that comes closest says most about what is wrong.
        alike = [found for one, found in zip(reads.types, tried, strict=True) if type(one) is type(writes)]
        return alike[0] if alike else [_differs(reads, writes, at)]
    if isinstance(reads, inspect.StructType):
        return _fields(reads, writes, at)
    return _others(reads, writes, at)


def _fields(reads: inspect.StructType, writes: Any, at: str) -> list[str]:
    if not isinstance(writes, inspect.StructType):
        return [_differs(reads, writes, at)]
    given = {field.encode_name: field for field in writes.fields}
    may_leave_out = writes.cls.__struct_config__.omit_defaults
    found: list[str] = []
    for field in reads.fields:
        name = f"{at}.{field.encode_name}".lstrip(".")
        source = given.get(field.encode_name)
        if source is None:
            found.append(f"{name}: is read, but not written")
        elif field.required and may_leave_out and not source.required:
            found.append(f"{name}: is left out where it has its default, but the reader needs it")
        else:
            found += _misfits(field.type, source.type, name)
    return found


def _others(reads: Any, writes: Any, at: str) -> list[str]:
    if isinstance(reads, _LISTS) and isinstance(writes, _LISTS):
        return _limits(reads, writes, at) + _misfits(reads.item_type, writes.item_type, f"{at}[]")
    if isinstance(reads, inspect.TupleType) and isinstance(writes, inspect.TupleType):
        if len(reads.item_types) != len(writes.item_types):
            return [_differs(reads, writes, at)]
        pairs = zip(reads.item_types, writes.item_types, strict=True)
        return [line for n, (one, other) in enumerate(pairs) for line in _misfits(one, other, f"{at}[{n}]")]
    if isinstance(reads, inspect.DictType) and isinstance(writes, inspect.DictType):
        return _misfits(reads.key_type, writes.key_type, f"{at}{{key}}") + _misfits(
            reads.value_type, writes.value_type, f"{at}{{}}"
        )
    if isinstance(reads, inspect.LiteralType | inspect.EnumType):
        allowed, written = _values(reads), _values(writes)
        if written is None:
            return [_differs(reads, writes, at)]
        strange = sorted(map(repr, written - (allowed or set())))
        return [f"{at}: {', '.join(strange)} is written, but not known to the reader"] if strange else []
    if isinstance(reads, inspect.StrType) and _is_text(writes):
        return _limits(reads, writes, at)
    if isinstance(reads, inspect.IntType | inspect.FloatType) and _is_number_for(reads, writes):
        return _limits(reads, writes, at)
    if type(reads) is type(writes) and not isinstance(reads, inspect.StrType):
        return _limits(reads, writes, at)
    return [_differs(reads, writes, at)]


def _is_text(writes: Any) -> bool:
    values = _values(writes)
    return isinstance(writes, _WRITTEN_AS_TEXT) or bool(values and all(isinstance(v, str) for v in values))


def _is_number_for(reads: Any, writes: Any) -> bool:
    values = _values(writes)
    if values:
        return all(isinstance(value, int) for value in values)
    return isinstance(writes, inspect.IntType) or (
        isinstance(reads, inspect.FloatType) and isinstance(writes, inspect.FloatType)
    )


def _limits(reads: Any, writes: Any, at: str) -> list[str]:
    """A limit that the reader sets must be kept by the writer, or its events die in the reader's queue."""
    found: list[str] = []
    for names, keeps in ((_LOWER, lambda mine, theirs: theirs >= mine), (_UPPER, lambda m, t: t <= m)):
        for name in names:
            mine, theirs = getattr(reads, name, None), getattr(writes, name, None)
            if mine is not None and (theirs is None or not keeps(mine, theirs)):
                found.append(f"{at}: the reader wants {name}={mine}, the writer promises {theirs}")
    for name in ("multiple_of", "pattern", "tz"):
        mine, theirs = getattr(reads, name, None), getattr(writes, name, None)
        if mine is not None and mine != theirs:
            found.append(f"{at}: the reader wants {name}={mine}, the writer promises {theirs}")
    return found


def _values(kind: Any) -> set[Any] | None:
    if isinstance(kind, inspect.LiteralType):
        return set(kind.values)
    return {member.value for member in kind.cls} if isinstance(kind, inspect.EnumType) else None


def _plain(kind: Any) -> Any:
    while isinstance(kind, inspect.Metadata):
        kind = kind.type
    return kind


def _differs(reads: Any, writes: Any, at: str) -> str:
    return f"{at or 'the event'}: {_name(reads)} is read, but {_name(writes)} is written"


def _name(kind: Any) -> str:
    if isinstance(kind, inspect.UnionType):
        return " or ".join(_name(_plain(one)) for one in kind.types)
    return type(kind).__name__.removesuffix("Type").lower()
