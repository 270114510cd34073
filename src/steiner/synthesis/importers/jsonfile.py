"""Objects of a JSON file, each with its place: JSON Lines, a JSON list, or a single object, also gzipped.

JSON Lines are read one line at a time; a list has to be held in memory whole. A file that breaks off is an
error, not a shorter file: what is missing would change the counts in silence.
"""

from __future__ import annotations

import gzip
import json
import zlib
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import IO, Any, NamedTuple

import orjson

from steiner.core import InputError

MAX_WHOLE_BYTES = 1 << 30
"""A longer JSON list is refused: it would have to be held in memory whole. JSON Lines have no limit."""
_BOM = b"\xef\xbb\xbf"
_KEYS_SHOWN = 12
_START_SHOWN = 40


class Place(NamedTuple):
    """Where an object stands."""

    path: Path
    number: int
    """Line of JSON Lines, item of a list; from 1."""
    unit: str = "line"

    def __str__(self) -> str:
        return f"{self.path}: {self.unit} {self.number}"


Objects = Iterator[tuple[Place, dict[str, Any]]]


def read_objects(path: Path, expected: str) -> Objects:
    """Yield place and content of each object.

    Args:
        path: a file of JSON Lines, one JSON list of objects, or one object; UTF-8 with or without a mark at
            its begin, lines ended in any way.
        expected: what an object is, for error messages.

    Raises:
        InputError: if the file is missing, empty, no JSON, breaks off, or holds anything but objects.
    """
    try:
        with _opened(path) as file:
            yield from _objects(file, path, expected)
    except (gzip.BadGzipFile, zlib.error, EOFError) as error:
        raise InputError(f"{path} is no readable gzip file ({error}): download it again.") from error
    except FileNotFoundError:
        raise InputError(f"{path} does not exist.") from None
    except OSError as error:
        raise InputError(f"{path} cannot be read: {error.strerror or error}.") from error


def _opened(path: Path) -> IO[bytes]:
    return gzip.open(path) if path.suffix.lower() == ".gz" else path.open("rb")  # type: ignore[return-value]


def _objects(file: IO[bytes], path: Path, expected: str) -> Objects:
    found = False
    for number, line in enumerate(file, start=1):
        line = line.removeprefix(_BOM) if number == 1 else line
        if not line.strip():
            continue
        if not found and (line.lstrip()[:1] == b"[" or _is_spread(line)):
            yield from _whole(line + _rest(file, path), path, expected)
            return
        found = True
        place = Place(path, number)
        yield place, _as_object(_parsed(line, place, expected), place, expected)
    if not found:
        raise InputError(f"{path} is empty: expected {expected}.")


def _is_spread(line: bytes) -> bool:
    """Whether the first line opens an object that goes on over more lines."""
    return line.strip() == b"{"


def _rest(file: IO[bytes], path: Path) -> bytes:
    rest = file.read(MAX_WHOLE_BYTES + 1)
    if len(rest) > MAX_WHOLE_BYTES:
        raise InputError(
            f"{path} is one JSON value of more than {MAX_WHOLE_BYTES:,} bytes, which would have to be held "
            f"in "
            "memory whole: write it as JSON Lines, one record a line."
        )
    return rest


def _whole(text: bytes, path: Path, expected: str) -> Objects:
    """Yield the objects of a file that is one JSON value; a single object counts as a list of one."""
    try:
        value = _loads(text)
    except ValueError as error:
        line = getattr(error, "lineno", 1)
        breaks_off = text.rstrip()[-1:] != (b"]" if text.lstrip()[:1] == b"[" else b"}")
        raise InputError(
            f"{path}: line {line} is not valid JSON ({_reason(error)})"
            + (": the file breaks off at its end, so copy or download it again." if breaks_off else ".")
            + f" Expected {expected}."
        ) from error
    items = value if isinstance(value, list) else [value]
    if not items:
        raise InputError(f"{path} is an empty list: expected {expected}.")
    for number, item in enumerate(items, start=1):
        place = Place(path, number, "item")
        yield place, _as_object(item, place, expected)


def _parsed(line: bytes, place: Place, expected: str) -> Any:
    try:
        return _loads(line)
    except ValueError as error:
        torn = not line.endswith((b"\n", b"\r")) and line.lstrip()[:1] == b"{"
        if isinstance(error, UnicodeDecodeError) and not torn:
            raise InputError(
                f"{place} is not UTF-8 text ({error.reason}): convert the file first."
            ) from error
        if torn:
            raise InputError(
                f"{place}, the last, breaks off in the middle ({_reason(error)}): the file is not whole. "
                f"Copy or "
                "download it again, or delete that line."
            ) from error
        start = line[:_START_SHOWN].decode("utf-8", "replace").strip()
        raise InputError(
            f"{place} is not valid JSON ({_reason(error)}); it begins with {start!r}. Expected {expected}."
        ) from error


def _loads(text: bytes) -> Any:
    """Parse JSON; also what only Python writes: NaN (read as null) and lone surrogates (replaced)."""
    try:
        return orjson.loads(text)
    except orjson.JSONDecodeError:
        try:
            return _storable(json.loads(text.decode("utf-8"), parse_constant=lambda _: None))
        except RecursionError:
            raise ValueError("too many brackets in one another") from None


def _storable(value: Any) -> Any:
    if isinstance(value, str):
        return value.encode("utf-8", "replace").decode("utf-8")
    if isinstance(value, list):
        return [_storable(item) for item in value]
    if isinstance(value, dict):
        return {_storable(key): _storable(item) for key, item in value.items()}
    return value


def _reason(error: ValueError) -> str:
    return f"{error.msg} at column {error.colno}" if isinstance(error, json.JSONDecodeError) else str(error)


def _as_object(value: Any, place: Place, expected: str) -> dict[str, Any]:
    if not isinstance(value, dict):
        raise InputError(f"{place} holds {_kind(value)}, no object: expected {expected}.")
    return value


def _kind(value: Any) -> str:
    names: dict[type, str] = {list: "a list", str: "a text", bool: "true or false", type(None): "null"}
    return names.get(type(value), "a number")


def keys_of(record: Mapping[str, Any]) -> str:
    """Return the keys of an object as an error message shows them: names and kinds, no content."""
    shown = [f"{key} ({_shape(value)})" for key, value in list(record.items())[:_KEYS_SHOWN]]
    return ", ".join(shown + ["…"] * (len(record) > _KEYS_SHOWN)) or "no keys"


def _shape(value: Any) -> str:
    if isinstance(value, dict):
        return f"object with {', '.join(map(str, list(value)[:5])) or 'no keys'}"
    return f"list of {len(value)}" if isinstance(value, list) else _kind(value).removeprefix("a ")


def wrong_shape(
    place: Place,
    record: Mapping[str, Any],
    expected: str,
    looks: Mapping[str, Callable[[Mapping[str, Any]], bool]],
    detail: str = "",
) -> InputError:
    """Return the error for an object of another shape: what was expected, what was found, what it may be.

    Args:
        place: where it stands.
        record: the object.
        expected: what it should have been.
        looks: by the name of each other format, whether an object looks like one of its records.
        detail: what exactly is missing or wrong.
    """
    near: Sequence[str] = [name for name, test in looks.items() if test(record)]
    hint = f" It looks like the format {near[0]}: try --format {near[0]}." if near else ""
    what = f"{detail}. " if detail else ""
    return InputError(f"{place}: {what}Expected {expected}; found an object with {keys_of(record)}.{hint}")
