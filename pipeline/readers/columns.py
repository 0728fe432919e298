"""Which columns of a table or keys of a row hold the document, and what their values become.

The names that data sets in the wild use are the defaults, so most are read without settings. The price is that what a
source has under such a name is taken for what it usually is.
"""

import datetime
import json
from collections.abc import Callable, Mapping, Sequence
from decimal import Decimal
from functools import lru_cache
from typing import Annotated, Any, Literal

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, StringConstraints

from pipeline.configfile import nearest
from pipeline.readers.base import Record

ABSENT = object()
_SHOWN = 40
_SHAPES, _MANY = 256, 64
_INT64 = 1 << 63
_JOINTS = {"author": "; ", "license": " AND "}
"""What is put between the texts of a list; of other fields a list is no value."""

Name = Annotated[str, StringConstraints(min_length=1)]
Names = Annotated[tuple[Name, ...], BeforeValidator(lambda value: (value,) if isinstance(value, str) else value)]
SignalName = Annotated[str, StringConstraints(pattern=r"^[A-Za-z][A-Za-z0-9_]*$")]
Value = int | float | bool | str | None


class SignalColumn(BaseModel):
    """A column whose values become a signal."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    column: Name
    type: Literal["int", "float", "bool", "str"] = "float"

    def value(self, found: Any) -> Value:
        """A value in the type of the signal, also one that is written as a text; ValueError if it is none."""
        if isinstance(found, bytes):
            found = found.decode("utf-8", "replace")
        if found is None:
            return None
        if self.type == "str":
            if (text := as_string(found)) is None:
                raise ValueError("no text")
            return text
        if self.type == "bool" and isinstance(found, str) and found.lower() in ("true", "false"):
            return found.lower() == "true"
        if not isinstance(found, (bool, int, float, Decimal, str)):
            raise ValueError("no number")
        try:
            if self.type == "float":
                return float(found)
            whole = int(found)
            exact = isinstance(found, str) or whole == found
        except (ValueError, ArithmeticError):
            raise ValueError(f"no {self.type}") from None
        if not exact or not -_INT64 <= whole < _INT64 or (self.type == "bool" and whole not in (0, 1)):
            raise ValueError(f"no {self.type}")
        return bool(whole) if self.type == "bool" else whole


class Columns(BaseModel):
    """Names of the columns by what they hold: one name, or several of which the first that is there counts.

    `a.b` is the key `a.b`, else the key `b` of the object (struct, map, or text in JSON) under `a`. Only the text must
    be there; the first of its names that a row has holds it. The other fields take the first value that is not empty.

    The defaults read the layouts of FineWeb and other tables of Hugging Face, datatrove, Dolma and the Common Pile, C4,
    RedPajama 1 and 2, OSCAR, DCLM, Common Corpus and The Stack.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    text: Annotated[Names, Field(min_length=1)] = ("text", "content", "raw_content")
    id: Names = ("id", "doc_id", "identifier", "hexsha", "warc_headers.warc-record-id", "metadata.WARC-Record-ID")
    url: Names = ("url", "metadata.url", "meta.url", "warc_headers.warc-target-uri", "metadata.WARC-Target-URI")
    date: Names = (
        "date",
        "metadata.date",
        "timestamp",
        "metadata.timestamp",
        "meta.timestamp",
        "created",
        "date_download",
        "meta.date_download",
        "warc_headers.warc-date",
        "metadata.WARC-Date",
    )
    language: Names = (
        "language",
        "metadata.language",
        "meta.language",
        "lang",
        "metadata.lang",
        "metadata.identification.label",
    )
    title: Names = ("title", "metadata.title", "meta.title")
    author: Names = ("author", "metadata.author", "authors", "metadata.authors", "creator")
    license: Names = ("license", "metadata.license", "meta.license", "licence", "max_stars_repo_licenses")
    signals: Mapping[
        SignalName,
        Annotated[SignalColumn, BeforeValidator(lambda value: {"column": value} if isinstance(value, str) else value)],
    ] = {}
    """Further columns that become signals `read.<name>`: the name of the column, if its values are numbers, else with
    its `type`. A row with a value of another type becomes the error `read.signal_type`."""

    def fields(self) -> dict[str, tuple[str, ...]]:
        """Names by field of Record, of all but the text."""
        return {
            "doc_id": self.id,
            "url": self.url,
            "date": self.date,
            "language": self.language,
            "title": self.title,
            "author": self.author,
            "license": self.license,
        }

    def told(self) -> dict[str, type]:
        """The types of the signals."""
        return {
            name: {"int": int, "float": float, "bool": bool, "str": str}[s.type] for name, s in self.signals.items()
        }

    def asked(self) -> dict[str, tuple[str, ...]]:
        """The names that the user chose, by what they are for."""
        chosen = {
            name: getattr(self, name)
            for name, info in type(self).model_fields.items()
            if name not in ("text", "signals") and getattr(self, name) not in (info.default, ())
        }
        return {**chosen, **{name: (signal.column,) for name, signal in self.signals.items()}}

    def no_text(self, known: Sequence[str]) -> str:
        """Why there is no text, where these names are all that there is."""
        return f"no column {_listed(self.text)} for the text; {among(self.text[0], known)}"


def described(
    offset: int, fields: Mapping[str, Sequence[str]], signals: Mapping[str, SignalColumn], find: Callable[[str], Any]
) -> Record:
    """A record with all but its text, and with its error if a value is not what it should be.

    Args:
        fields: names of columns by field of Record; the first with a value counts.
        find: the value under a name, None if there is none; raises UnicodeDecodeError for texts that are none.
    """
    told: dict[str, Value] = {}
    error = None
    for name, signal in signals.items():
        try:
            told[name] = signal.value(find(signal.column))
        except UnicodeDecodeError:
            error = "read.utf8"
        except ValueError:
            error = "read.signal_type"
    about: dict[str, Any] = {}
    try:
        for field, names in fields.items():
            about[field] = _first(_JOINTS.get(field), names, find)
    except UnicodeDecodeError:
        error = "read.utf8"
    return Record(offset, signals=told, error=error, **about)


def _first(joint: str | None, names: Sequence[str], find: Callable[[str], Any]) -> str | None:
    for name in names:
        value = find(name)
        if isinstance(value, list) and joint is not None:
            value = joint.join(filter(None, map(as_string, value)))
        if value is not None and (found := as_string(value)):
            return found
    return None


def reach(value: Any, name: str) -> Any:
    """The value under a name in nested objects, ABSENT if there is none; a key that is the name itself comes first."""
    if not isinstance(value, dict):
        value = _object_in(value) if isinstance(value, str) else _object_of(value)
    if name in value:
        return value[name]
    at = name.find(".")
    while at > 0:
        inner = value.get(name[:at])
        if inner is not None and (found := reach(inner, name[at + 1 :])) is not ABSENT:
            return found
        at = name.find(".", at + 1)
    return ABSENT


@lru_cache(maxsize=4)
def _object_in(text: str) -> dict[str, Any]:
    """The object that a text in JSON is, such as the column `meta` of RedPajama; an empty one if it is none."""
    if not text.startswith("{"):
        return {}
    try:
        found: dict[str, Any] = json.loads(text)
    except (ValueError, RecursionError):
        return {}
    return found


def _object_of(pairs: Any) -> dict[Any, Any]:
    """The object that a map of Arrow is, which comes as a list of pairs; an empty one for all other values."""
    pairs = pairs if isinstance(pairs, list) else []
    return {pair[0]: pair[1] for pair in pairs if isinstance(pair, tuple) and len(pair) == 2}


class Shapes:
    """The names by field that rows with certain keys can have: most rows have the keys of rows before them."""

    def __init__(self, fields: Mapping[str, Sequence[str]]) -> None:
        self._fields = fields
        self._known: dict[tuple[str, ...], dict[str, list[str]]] = {}

    def fields(self, row: Mapping[str, Any]) -> Mapping[str, Sequence[str]]:
        """The fields with those of their names that begin with a key of the row."""
        if len(row) > _MANY:
            return self._fields
        keys = tuple(row)
        if (found := self._known.get(keys)) is None:
            if len(self._known) == _SHAPES:
                self._known.clear()
            found = {
                field: [name for name in names if any(key == name or name.startswith(f"{key}.") for key in keys)]
                for field, names in self._fields.items()
            }
            self._known[keys] = found
        return found


def names_in(value: Any, depth: int = 3) -> list[str]:
    """The names under which `reach` finds something, in their order."""
    found = []
    for key, inner in value.items():
        found.append(key)
        if isinstance(inner, dict) and depth > 1:
            found += [f"{key}.{name}" for name in names_in(inner, depth - 1)]
    return found


def among(name: str, known: Sequence[str]) -> str:
    """The nearest of the names that are there, and all of them."""
    hint = nearest(name, known)
    shown = ", ".join(known[:_SHOWN]) + (f" and {len(known) - _SHOWN} more" if len(known) > _SHOWN else "")
    return f"{hint} There are: {shown}" if hint.startswith("did") else hint.partition(":")[0] + f": {shown}"


def _listed(names: Sequence[str]) -> str:
    quoted = [f"'{name}'" for name in names]
    return quoted[0] if len(quoted) == 1 else f"{', '.join(quoted[:-1])} or {quoted[-1]}"


def as_string(value: Any) -> str | None:
    """A scalar as it is written in JSON or ISO 8601; None for nothing, and for lists and mappings."""
    if isinstance(value, str):
        return value if value.isascii() else value.encode("utf-8", "replace").decode("utf-8")
    if value is None or isinstance(value, (list, dict)):
        return None
    if isinstance(value, bytes):
        return value.decode("utf-8", "replace")
    if isinstance(value, bool):
        return str(value).lower()
    if isinstance(value, (datetime.datetime, datetime.date, datetime.time)):
        return value.isoformat()
    return str(value)


def is_unicode(text: str) -> bool:
    """Whether a string can be stored: JSON can escape halves of surrogate pairs, which are no characters."""
    try:
        text.encode("utf-8")
    except UnicodeEncodeError:
        return False
    return True
