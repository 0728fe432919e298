"""Licences of texts, files and packages, by the identifiers of the SPDX licence list."""

from pipeline.licenses.expressions import Allowed, Expression, parse
from pipeline.licenses.files import license_of
from pipeline.licenses.names import expression_of
from pipeline.licenses.notices import notice_in
from pipeline.licenses.scopes import Licensed, Scopes, tells_license
from pipeline.licenses.texts import licenses_in

__all__ = [
    "Allowed",
    "Expression",
    "Licensed",
    "Scopes",
    "expression_of",
    "license_of",
    "licenses_in",
    "notice_in",
    "parse",
    "tells_license",
]
