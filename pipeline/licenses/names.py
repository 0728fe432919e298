"""Licences as people write them in the metadata of packages: `MIT License`, `Apache 2`, `BSD`, `GPLv3+`."""

import re
from functools import cache

from pipeline.licenses.expressions import Expression, Named, any_of, parse
from pipeline.licenses.table import table

_FILLER = frozenset(
    "a an the license licence licensed licenses under version ver v terms of by to and see file osi approved dual"
    " dually".split()
)
_SEPARATORS = re.compile(r"\s*(?:/|\||,|;|\bor\b)\s*", re.IGNORECASE)
_NOTHING = re.compile(
    r"(?i)\s*(?:unknown|none|n/?a|see licen[cs]e.*|file:?\s*licen[cs]e.*|licen[cs]e|custom|other|-|\.|tbd)?\s*"
)

_FILE = re.compile(r"(?i)\s*\+\s*file licen[cs]e.*")  # so writes R
_AT_LEAST = re.compile(r"\(>=\s*([\d.]+)\)")

_WRITTEN = """
MIT: mit | expat | mit x11 | x11 mit | mit style | mit expat | mit mit | gpl compatible mit
Apache-2.0: apache | apache2 | apache 2 | apache 2.0 | apache2.0 | apache software | apache software 2.0
Apache-2.0: asl 2.0 | asl2 | al2 | apl 2.0 | apachev2 | apache software 2
BSD-2-Clause: bsd 2 clause | 2 clause bsd | simplified bsd | bsd simplified | freebsd | bsd2 | bsd 2
BSD-2-Clause: two clause bsd
BSD-3-Clause: bsd 3 clause | 3 clause bsd | revised bsd | modified bsd | bsd modified | bsd3 | bsd 3 | 3 clause
BSD-3-Clause: three clause bsd | bsd 3clause | bsd revised | new bsd | bsd new | bsd 3 clause new
LicenseRef-BSD: bsd | bsd style | bsd like | bsd derived
ISC: isc | iscl
0BSD: bsd 0 clause | zero clause bsd
Zlib: zlib | zlib libpng | libpng
Unlicense: unlicense | unlicence
CC0-1.0: cc0 | cc0 1.0 | cc0 1.0 universal | cc0 1.0 universal public domain dedication
LicenseRef-public-domain: public domain | publicdomain | pd
WTFPL: wtfpl | do what fuck you want public | do what fuck you want
PSF-2.0: psf | psfl | psf 2.0 | python software foundation | python
Python-2.0: python 2.0 | cnri jython
BSL-1.0: boost | boost software 1.0 | bsl 1.0 | boost 1.0
Artistic-2.0: artistic 2.0 | artistic 2
Artistic-1.0-Perl OR GPL-1.0-or-later: perl | perl 5 | same terms as perl itself | perl5
MPL-1.1: mpl 1.1 | mozilla public 1.1
MPL-2.0: mpl | mpl2 | mpl 2 | mpl 2.0 | mpl2.0 | mozilla public 2.0 | mozilla public 2
EPL-1.0: eclipse public 1.0 | epl 1.0 | eclipse public
EPL-2.0: eclipse public 2.0 | epl 2.0 | epl2
CDDL-1.0: cddl | cddl 1.0
EUPL-1.2: eupl | eupl 1.2 | european union public 1.2
EUPL-1.1: eupl 1.1 | european union public 1.1
LicenseRef-GPL: gpl | gnu gpl | gnu general public | gnu public | gnu
LicenseRef-LGPL: lgpl | gnu lgpl | gnu lesser general public | gnu library or lesser general public
LicenseRef-LGPL: gnu library lesser general public
LicenseRef-AGPL: agpl | gnu agpl | gnu affero general public
LicenseRef-proprietary: proprietary | other proprietary | commercial | closed source | unlicensed
LicenseRef-proprietary: all rights reserved
"""
"""By identifier, how people write a licence whose full name is another."""

_GNU = re.compile(
    r"(?:gnu )?(?:(affero |a)|(lesser |library or lesser |library |l))?(?:gpl|general public)"
    r"(?: gnu)?[ -]*v?(\d)(?:\.(\d))?(?:\.0)?( only)?(\+| \+| or later| or newer| or greater| or any later| any later)?"
)


def expression_of(text: str) -> Expression | None:
    """The licence that a text of metadata names; None if it names none, or none that is known."""
    text = _AT_LEAST.sub(r"\1+", _FILE.sub("", " ".join(text[:300].split())))
    if _NOTHING.fullmatch(text):
        return None
    try:
        return parse(text)
    except ValueError:
        pass
    if found := _written(text):
        return found
    brackets = re.fullmatch(r"(.*?)\s*\(([^()]*)\)\s*(.*)", text)
    if brackets:
        if found := _written(brackets[2]) or _written(f"{brackets[1]} {brackets[3]}"):
            return found
    parts = [part for part in _SEPARATORS.split(text) if part]
    if 1 < len(parts) <= 6:  # Cargo and many others once wrote MIT/Apache-2.0 for a choice
        named = [_one(part) for part in parts]
        if None not in named:
            return any_of(part for part in named if part is not None)
    return None


def _one(text: str) -> Expression | None:
    try:
        return parse(text)
    except ValueError:
        return _written(text)


def _written(text: str) -> Expression | None:
    key = _key(text)
    if key in (known := _known()):
        return parse(known[key])
    if match := _GNU.fullmatch(key):
        kind = "A" if match[1] else "L" if match[2] else ""
        number = f"{kind}GPL-{match[3]}.{match[4] or '0'}"
        name = f"{number}-{'or-later' if match[6] else 'only'}"
        return Named(name) if table().get(name) else None
    return None


@cache
def _known() -> dict[str, str]:
    found = {_key(entry.name): entry.id for entry in table().licenses.values() if not entry.exception}
    for line in _WRITTEN.strip().splitlines():
        name, _, spellings = line.partition(": ")
        found |= {_key(spelling): name for spelling in spellings.split(" | ")}
    found.pop("", None)
    return found


def _key(text: str) -> str:
    words = re.findall(r"[a-z0-9]+(?:\.[0-9]+)*\+?|\+", text.lower().replace("'", ""))
    words = [re.sub(r"^v(?=\d)", "", word) for word in words if word not in _FILLER]
    return " ".join(words)
