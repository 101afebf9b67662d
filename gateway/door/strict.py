"""Request bodies, read strictly: JSON into a Struct, or a problem that names every bad field."""

import json
from contextlib import suppress
from functools import lru_cache
from itertools import islice
from types import UnionType
from typing import Annotated, Any, TypeVar, Union, cast, get_args, get_origin

import msgspec
from msgspec import UnsetType

from shared.errors import FieldError, Malformed, Problem, RuleBroken

T = TypeVar("T")

MOST_ERRORS = 50
"""More bad fields than this are not listed: a body of 2,000 bad lines needs no list of 2,000 errors."""
LONGEST_NAME = 100
"""More of the name of a field that nobody knows is not sent back."""
_UNKNOWN = "is not known"


def decode(body: bytes, kind: type[T]) -> T:
    """Read a JSON body as `kind`.

    Raises `Malformed` (400) for what cannot be read: syntax, encoding, nesting, duplicate keys, a missing
    field, a wrong type (a bool, a string or 1.0 is no integer). Raises `RuleBroken` (422) for a value that
    can be read but is out of its limits, and for a field that `kind` forbids as unknown.
    """
    try:
        value = _decoder(kind).decode(body)
    except msgspec.ValidationError as error:
        raise _refusal(body, kind, error) from None
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
        raise _unreadable(error) from None
    _refuse_ambiguous(body)
    return value


@lru_cache(256)
def _decoder(kind: type[Any]) -> msgspec.json.Decoder[Any]:
    return msgspec.json.Decoder(kind)


def _unreadable(error: Exception) -> Malformed:
    if isinstance(error, RecursionError):
        return Malformed("The JSON is nested too deeply.")
    if isinstance(error, UnicodeDecodeError):
        return Malformed("The body is not valid UTF-8.")
    return Malformed(f"The body is not valid JSON: {error}")


def _object(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    found = dict(pairs)
    if len(found) != len(pairs):
        names = [name for name, _ in pairs]
        twice = next(name for name in names if names.count(name) > 1)
        raise Malformed(
            f"The key {twice!r} stands twice in one object.", errors=[FieldError(twice, "given twice")]
        )
    return found


_plain_json = json.JSONDecoder(object_pairs_hook=_object)


def _refuse_ambiguous(body: bytes) -> None:
    """Two values for one key say two things, and which one counts must not be left to a parser.

    Reads all of the body, so it also finds bad UTF-8 in fields that the Struct does not know.
    """
    if _is_plain(body):
        return
    try:
        found = _plain_json.decode(body.decode())
    except (ValueError, RecursionError) as error:
        raise _unreadable(error) from None
    if b"\\u0000" in body and (field := _with_nul(found, "")):
        raise RuleBroken("Text must not contain NUL characters.", errors=[FieldError(field, "contains NUL")])


def _is_plain(body: bytes) -> bool:
    """Whether a body is just what is written again from what is read in it: nothing in it was passed over.

    Most clients write JSON so, and looking at each object by itself takes ten times as long.
    """
    try:
        return b"\\u0000" not in body and msgspec.json.encode(msgspec.json.decode(body)) == body
    except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError):  # the slower way says what is wrong
        return False


def _with_nul(value: Any, path: str) -> str | None:
    """Where a text contains the character 0, which cannot be stored everywhere; a password is not stored."""
    if isinstance(value, str):
        return path if "\0" in value else None
    if isinstance(value, dict):
        inside = ((_joined(path, name), part) for name, part in cast(dict[str, Any], value).items())
    elif isinstance(value, list):
        inside = ((f"{path}[{index}]", part) for index, part in enumerate(cast(list[Any], value)))
    else:
        return None
    return next(
        (field for where, part in inside if where != "password" and (field := _with_nul(part, where))), None
    )


def _refusal(body: bytes, kind: type[Any], first: msgspec.ValidationError) -> Problem:
    """The problem for a body of the wrong shape, with all of its bad fields and not only the first."""
    found: list[tuple[FieldError, bool]] = []
    try:
        with suppress(msgspec.ValidationError):  # numbers beyond all ranges can be told of, but not looked at
            found = _bad_fields(msgspec.json.decode(body), kind, "")
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
        return _unreadable(error)
    found = found or [_bad_field(str(first), "")]
    if any(error.message.startswith(_UNKNOWN) for error, _ in found):
        _refuse_ambiguous(body)  # a name that stands twice cannot be read, known or not
    malformed = [error for error, is_rule in found if not is_rule]
    errors = [error for error, _ in found][:MOST_ERRORS]
    if malformed:
        return Malformed("The body does not have the expected shape.", errors=errors)
    return RuleBroken("The body has values that are not allowed.", errors=errors)


def _bad_field(message: str, path: str) -> tuple[FieldError, bool]:
    """A message of msgspec as a field error, and whether a limit (rather than a type) was missed.

    msgspec gives no code for what is wrong, so its English text decides between 400 and 422:

        Expected `int`, got `str`             a wrong type: 400
        Invalid UUID                          a text that is no such thing: 400
        Object missing required field `x`     400
        Invalid enum value 'x'                a choice that there is not: 422
        Expected `int` >= 1                   a limit, also of lengths and patterns: 422

    A release that words them otherwise would turn refusals of values into 400; tests/gateway/test_strict.py
    has each of these texts and would notice.
    """
    text, _, where = message.partition(" - at `$")
    if text.startswith("Object missing required field"):
        return FieldError(_joined(path, text.split("`")[1]), "is required"), False
    is_rule = "got `" not in text and (not text.startswith("Invalid") or text.startswith("Invalid enum"))
    return FieldError((path + where.rstrip("`")).lstrip("."), text), is_rule


def _joined(path: str, name: str) -> str:
    return f"{path}.{name}" if path else name


def _bad_fields(value: Any, kind: Any, path: str) -> list[tuple[FieldError, bool]]:
    """Every bad field of `value`, read as `kind`; lists and Structs are entered, all else is converted."""
    kind = _given(kind)
    bare = get_args(kind)[0] if get_origin(kind) is Annotated else kind
    if get_origin(bare) in (Union, UnionType) and value is not None:
        bare = next((choice for choice in get_args(bare) if choice is not type(None)), bare)
    if isinstance(bare, type) and issubclass(bare, msgspec.Struct) and isinstance(value, dict):
        found: list[tuple[FieldError, bool]] = []
        for field in msgspec.structs.fields(bare):
            where = _joined(path, field.encode_name)
            if field.encode_name in value:
                found += _bad_fields(value[field.encode_name], field.type, where)
            elif field.required:
                found.append((FieldError(where, "is required"), False))
            if len(found) > MOST_ERRORS:
                break
        if bare.__struct_config__.forbid_unknown_fields:
            found += _unknown_fields(cast(dict[str, Any], value), bare, path)
        return found
    if get_origin(bare) is list and isinstance(value, list):
        inside: list[tuple[FieldError, bool]] = []
        for index, element in enumerate(cast(list[Any], value)):
            inside += _bad_fields(element, get_args(bare)[0], f"{path}[{index}]")
            if len(inside) > MOST_ERRORS:
                break
        if inside:
            return inside
    try:
        msgspec.convert(value, kind)
    except msgspec.ValidationError as error:
        return [_bad_field(str(error), path)]
    return []


def _unknown_fields(
    value: dict[str, Any], kind: type[msgspec.Struct], path: str
) -> list[tuple[FieldError, bool]]:
    known = [field.encode_name for field in msgspec.structs.fields(kind)]
    said = f"{_UNKNOWN}; expected {', '.join(known)}"
    unknown = islice((name for name in value if name not in known), MOST_ERRORS)
    return [(FieldError(_joined(path, name[:LONGEST_NAME]), said), True) for name in unknown]


def _given(kind: Any) -> Any:
    """A field's type without the possibility of being left out, which a value that is there does not have."""
    choices = get_args(kind) if get_origin(kind) in (Union, UnionType) else ()
    if UnsetType not in choices:
        return kind
    return Union[tuple(choice for choice in choices if choice is not UnsetType)]  # noqa: UP007  made at run time
