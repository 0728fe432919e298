"""Which columns of a table or keys of a row hold the document, and what their values become."""

import datetime
from collections.abc import Mapping
from typing import Any

from pydantic import BaseModel, ConfigDict, Field

from pipeline.readers.base import Record


class Columns(BaseModel):
    """Names of the columns by what they hold. Only the text must be there; the others leave their fields empty."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    text: str = Field(default="text", min_length=1)
    id: str = "id"
    url: str = "url"
    date: str = "date"
    language: str = "language"

    @property
    def optional(self) -> dict[str, str]:
        """Field of Record by column, for all but the text."""
        return {"doc_id": self.id, "url": self.url, "date": self.date, "language": self.language}


def as_string(value: Any) -> str | None:
    """A scalar as it is written in JSON or ISO 8601; None for nothing, and for lists and mappings."""
    if value is None or isinstance(value, (list, dict)):
        return None
    if isinstance(value, bytes):
        return value.decode("utf-8", "replace")
    if isinstance(value, bool):
        return str(value).lower()
    if isinstance(value, (datetime.datetime, datetime.date, datetime.time)):
        return value.isoformat()
    return str(value).encode("utf-8", "replace").decode("utf-8")


def described(offset: int, others: Mapping[str, str | None]) -> Record:
    """A record with all but its text."""
    return Record(
        offset,
        doc_id=others["doc_id"],
        url=others["url"],
        date=others["date"],
        language=others["language"],
    )


def is_unicode(text: str) -> bool:
    """Whether a string can be stored: JSON can escape halves of surrogate pairs, which are no characters."""
    try:
        text.encode("utf-8")
    except UnicodeEncodeError:
        return False
    return True
