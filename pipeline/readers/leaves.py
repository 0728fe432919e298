"""Where in a Parquet table the columns of `Columns` lie: at the top, in structs, in maps and in texts that are JSON."""

from collections.abc import Sequence
from typing import Any, NamedTuple

import pyarrow as pa
import pyarrow.compute as pc

from pipeline.readers.columns import ABSENT, Columns, among, reach

_TEXT_TYPES = (
    pa.types.is_string,
    pa.types.is_large_string,
    pa.types.is_string_view,
    pa.types.is_binary,
    pa.types.is_large_binary,
    pa.types.is_binary_view,
)
_DEEPEST = 4


class Place(NamedTuple):
    """The way to the values of one name."""

    top: str
    """The column of the table."""
    path: tuple[str, ...]
    """The fields of structs from there on."""
    rest: str
    """What to look up in each value then; empty if the value itself is meant."""
    kind: pa.DataType

    @property
    def selected(self) -> str:
        """What Parquet has to read."""
        return ".".join((self.top, *self.path))


def place_of(schema: pa.Schema, name: str) -> Place | None:
    """Where a name lies, None if nowhere; a column that is the name itself comes first."""
    for top in _beginnings(name):
        if top in schema.names:
            if schema.names.count(top) > 1:
                raise ValueError(f"two columns are called '{top}'")
            place = _inside(schema.field(top).type, name[len(top) + 1 :], ())
            if place is not None:
                path, rest, kind = place
                return Place(top, path, rest, kind)
    return None


def _beginnings(name: str) -> list[str]:
    """`a.b.c`, `a`, `a.b`."""
    dots = [at for at, character in enumerate(name) if character == "."]
    return [name, *(name[:at] for at in dots if at)]


def _inside(kind: pa.DataType, rest: str, path: tuple[str, ...]) -> tuple[tuple[str, ...], str, pa.DataType] | None:
    if not rest:
        return path, "", kind
    if pa.types.is_map(kind) or _is_text(kind):
        return path, rest, kind
    if pa.types.is_struct(kind):
        for field in _beginnings(rest):
            if kind.get_field_index(field) >= 0:
                found = _inside(kind.field(field).type, rest[len(field) + 1 :], (*path, field))
                if found is not None:
                    return found
    return None


def check(schema: pa.Schema, columns: Columns) -> Place:
    """The place of the text; ValueError where a column that is needed or was asked for is missing, or is of no use."""
    known = leaves(schema)
    for what, names in columns.asked().items():
        if all(place_of(schema, name) is None for name in names):
            raise ValueError(f"no column '{names[0]}' for {what}; {among(names[0], known)}")
    for name, signal in columns.signals.items():
        place = place_of(schema, signal.column)
        if place is not None and not place.rest and (pa.types.is_nested(place.kind)):
            raise ValueError(f"column '{signal.column}' for {name} has the type {place.kind}, not {signal.type}")
    found = ((name, place) for name in columns.text if (place := place_of(schema, name)) and not place.rest)
    name, text = next(found, (columns.text[0], None))
    if text is None:
        raise ValueError(columns.no_text(known))
    if not _is_text(text.kind):
        raise ValueError(f"column '{name}' for the text has the type {text.kind}, not text")
    return text


def places_of(schema: pa.Schema, columns: Columns) -> dict[str, Place]:
    """The places of all names that the table has, but those of the text."""
    names = [*columns.fields().values(), [signal.column for signal in columns.signals.values()]]
    places = {name: place_of(schema, name) for each in names for name in each}
    return {name: place for name, place in places.items() if place is not None}


def leaves(schema: pa.Schema) -> list[str]:
    """The names of all columns, with those of the fields of structs."""
    return [name for field in schema for name in _names(field, _DEEPEST)]


def _names(field: pa.Field, depth: int) -> Sequence[str]:
    if not pa.types.is_struct(field.type) or depth == 1:
        return [field.name]
    inner = [name for each in field.type for name in _names(each, depth - 1)]
    return [field.name, *(f"{field.name}.{name}" for name in inner)]


def _is_text(kind: pa.DataType) -> bool:
    if isinstance(kind, pa.BaseExtensionType):
        kind = kind.storage_type
    if pa.types.is_dictionary(kind):
        kind = kind.value_type
    return any(test(kind) for test in _TEXT_TYPES)


def column(batch: pa.RecordBatch, place: Place) -> pa.Array:
    """The values of a place; texts as bytes, since not every file keeps to UTF-8."""
    values = batch.column(place.top)
    for field in place.path:
        values = pc.struct_field(values, [values.type.get_field_index(field)])
    if isinstance(values.type, pa.BaseExtensionType):
        values = values.storage
    if pa.types.is_timestamp(values.type) and values.type.unit == "ns":
        values = values.cast(pa.timestamp("us", values.type.tz), safe=False)  # Python's times have no finer unit
    return values.cast(pa.large_binary()) if _is_text(values.type) else values


def value(values: pa.Array, index: int, place: Place) -> Any:
    """One value as a Python object; None where it is null, or has not what is looked up in it."""
    scalar = values[index]
    try:
        found = scalar.as_py()
    except (ValueError, OverflowError):
        if pa.types.is_nested(values.type):
            raise  # texts in it that are not UTF-8
        found = scalar.cast(pa.string()).as_py()  # a time beyond those of Python
    if place.rest:
        found = reach(found.decode("utf-8", "replace") if isinstance(found, bytes) else found, place.rest)
    return None if found is ABSENT else found
