"""What a page says about itself, by the columns of documents: there, other dates and languages stand beside it."""

from pipeline.extract.metadata import Metadata
from pipeline.schema import DESCRIPTION

_FIELDS = {"published": "date", "declared_language": "language", "license": "licenses"}


def described(said: Metadata) -> dict[str, str | None]:
    """Return the values of the columns."""
    return {column: getattr(said, _FIELDS.get(column, column)) for column in DESCRIPTION.names}
