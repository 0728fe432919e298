"""Personal data in text, replaced by placeholders: e-mail addresses, IP addresses, phone numbers."""

import re
from collections.abc import Callable, Iterator, Mapping
from importlib.metadata import version
from ipaddress import IPv4Address, IPv6Address, IPv6Network, ip_address
from itertools import accumulate
from typing import ClassVar

import phonenumbers
import polars as pl
from pydantic import Field, field_validator

from filters.base import Transform

# One word as it is written in addresses, in any script (RFC 6531), starting where no such word is under way: so each
# stretch of text is tried once, and a handle such as @name@host or the end of a longer word is no address.
_EMAIL = re.compile(
    r"(?<![\w.+%'@-])[\w+%](?:[\w.+%'-]{0,62}[\w+%-])?@(?:[^\W_](?:[\w-]{0,61}[^\W_])?\.){1,8}"
    r"(xn--[a-z0-9-]{2,59}|[^\W\d_]{2,24})(?![\w@-]|\.\w+@)"
)
_FILES = frozenset(
    "avif bmp css csv doc docx eot exe gif htm html ico jpeg jpg js json jsp mjs mp3 mp4 ogg pdf php png psd scss svg"
    " tar tiff ttf txt webm webp woff xhtml xls xlsx xml yaml yml".split()
)
"""Ends of file names that are no top-level domains: `icon@2x.png` is a picture for fine screens."""
_SCALE = re.compile(r"@\d(?:\.\d)?x\.")

_OCTET = r"(?:25[0-5]|2[0-4]\d|1\d\d|[1-9]?\d)"
_IPV4 = re.compile(rf"(?<![\w.-])(?:{_OCTET}\.){{3}}{_OCTET}(?![\w-]|\.\w)")
_IPV6 = re.compile(r"(?<![\w:.])(?:[0-9A-Fa-f]{0,4}:){2,7}(?:[0-9A-Fa-f]{1,4}|:)(?![\w:])", re.ASCII)
_VERSION = re.compile(
    r"(?:\b(?:version|versions|ver|v|release|released|build|firmware|driver|revision|rev|section|chapter|clause"
    r"|paragraph|rule|article|oid)|§)\s{0,2}[.:=#(]?\s{0,2}$|[=<>~!]=\s?$|\w/$",
    re.IGNORECASE,
)
_ASSIGNED = IPv6Network("2000::/3")
"""What the registries give out; words of hexadecimal letters joined by `::`, as in C++, are mostly elsewhere."""

_GAP = r"[ \t.\-()/\u00a0\u2010-\u2015]{0,3}"
_PHONE = re.compile(
    rf"(?<![\w.,=/@#&%+$€£-])(?:\(?\+|\()?\d(?:{_GAP}\d){{6,16}}"
    r"(?:[ ,]{0,2}(?:x|ext\.?|extension) ?\d{1,6})?(?![\w%]|[.,-]\d)"
)
_NUMBERED = re.compile(r"\b(?:isbn|issn|doi|pmid|iban|ein|vat|asin|sku|upc|oclc)\b[\w\s:.#-]{0,12}$", re.IGNORECASE)
_ANNOUNCED = re.compile(
    r"(?:\b(?:t[eé]l(?:ephone|efon|efono|éfono|efone|éphone)?|phones?|ph|(?:tele)?fax|mobile|mobil|móvil|mob|cell|cellphone"
    r"|whatsapp|handy|hotline|(?:call|ring|phone|text)(?: (?:me|us|him|her|them))?(?: (?:at|on|under))?)"
    r"|телефон|тел|факс|моб|τηλ|电话|電話|手机|携帯|전화)(?:\W{0,3}(?:no|nr|number|num))?[\s.:：#(]{0,6}$",
    re.IGNORECASE,
)
"""The word before a phone number that says it is one, in some languages."""
_DATES = re.compile(
    r"\(?(?:(?:19|20)\d\d\D{1,3}(?:19|20)\d\d|(?:19|20)\d\d\D\d\d?\D\d\d?|\d\d?\D\d\d?\D(?:19|20)\d\d)\b.*"
)
_DIGITS = re.compile(r"\d+")
_SPACE = re.compile(r"[ \t\u00a0]+(?=[+(\d])")
_NUMBERS_BEFORE = 4  # other numbers, such as a year, that may stand before a phone number
_MAX_GROUPS = 7
_CONTEXT = 24

# Rust's regular expressions, over whole columns: no text without these can hold a match.
_HAS_IPV4 = r"\d\.\d{1,3}\.\d{1,3}\.\d"
_HAS_IPV6 = r"[0-9A-Fa-f]::?[0-9A-Fa-f]{1,4}:|[0-9A-Fa-f]{1,4}::"
_HAS_PHONE = r"\d(?:[ \t.\-()/\x{00a0}\x{2010}-\x{2015}]{0,3}\d){6}"

Finder = Callable[[str], Iterator[tuple[int, int]]]


class Pii(Transform):
    """Replace e-mail addresses, IP addresses and phone numbers. Signals: how many `emails`, `ips`, `phones` there were.

    A phone number is one in international form that can exist, one that a word such as `Tel.` announces, or one that
    is valid in one of `regions` and written in the groups that are usual there. Other digits are left alone, since most
    of them are no phone numbers.
    """

    source: ClassVar[str] = "RFC 6531 for addresses; libphonenumber for telephone numbers"
    units: ClassVar[Mapping[str, str]] = {"emails": "addresses", "ips": "addresses", "phones": "numbers"}
    version: ClassVar[int] = 1

    email: bool = True
    ip: bool = True
    phone: bool = True
    email_placeholder: str = "<EMAIL>"
    ip_placeholder: str = "<IP>"
    phone_placeholder: str = "<PHONE>"
    only_global_ips: bool = True
    """Leave addresses that nobody can reach from outside, such as 127.0.0.1 and 192.168.0.1."""
    regions: tuple[str, ...] = Field(default=("US", "GB"))
    """ISO 3166 codes of the countries whose numbers are found without a country code, too."""

    @field_validator("regions")
    @classmethod
    def _known_regions(cls, regions: tuple[str, ...]) -> tuple[str, ...]:
        unknown = [region for region in regions if region not in phonenumbers.SUPPORTED_REGIONS]
        if unknown:
            raise ValueError(f"no phone numbers are known for {', '.join(unknown)}; give ISO 3166 codes such as US")
        return regions

    def identity(self) -> dict[str, str]:
        return {"phonenumbers": version("phonenumbers")}

    def apply(self, docs: pl.DataFrame, name: str) -> pl.DataFrame:
        text = pl.col("text")
        has_phone = text.str.contains(_HAS_PHONE)
        steps: list[tuple[str, bool, pl.Expr, Finder, str]] = [
            ("emails", self.email, text.str.contains("@", literal=True), emails, self.email_placeholder),
            (
                "ips",
                self.ip,
                text.str.contains(_HAS_IPV4) | text.str.contains(_HAS_IPV6),
                self._ips,
                self.ip_placeholder,
            ),
            ("phones", self.phone, has_phone, self._phones, self.phone_placeholder),
        ]
        for signal, wanted, candidate, find, placeholder in steps:
            counts = pl.zeros(docs.height, pl.Int64, eager=True).alias(f"{name}.{signal}")
            if wanted:
                rows = docs.select(candidate.fill_null(False).arg_true()).to_series()
                found = [_replace(entry, find, placeholder) for entry in docs["text"].gather(rows)]
                changed = [(row, *result) for row, result in zip(rows, found, strict=True) if result[1]]
                if changed:
                    at, texts, numbers = zip(*changed, strict=True)
                    docs = docs.with_columns(docs["text"].scatter(list(at), list(texts)))
                    counts = counts.scatter(list(at), list(numbers))
            docs = docs.with_columns(counts)
        return docs

    def _ips(self, text: str) -> Iterator[tuple[int, int]]:
        return ips(text, only_global=self.only_global_ips)

    def _phones(self, text: str) -> Iterator[tuple[int, int]]:
        return phones(text, self.regions)


def _replace(text: str, find: Finder, placeholder: str) -> tuple[str, int]:
    parts: list[str] = []
    at = count = 0
    for start, end in find(text):
        parts += text[at:start], placeholder
        at = end
        count += 1
    return "".join([*parts, text[at:]]) if count else text, count


def emails(text: str) -> Iterator[tuple[int, int]]:
    """Spans of e-mail addresses, internationalised ones too."""
    for match in _EMAIL.finditer(text):
        address = match[0]
        if match[1].lower() in _FILES or _SCALE.search(address) or ".." in address:
            continue
        if address.startswith("git@") and text.startswith(":", match.end()):
            continue  # the address of a repository
        yield match.span()


def ips(text: str, *, only_global: bool) -> Iterator[tuple[int, int]]:
    """Spans of IPv4 and IPv6 addresses, from left to right; what is announced as a version or a section is none."""
    spans = [match.span() for match in _IPV4.finditer(text) if _is_address(match[0], text, match.start(), only_global)]
    spans += [match.span() for match in _IPV6.finditer(text) if _is_address(match[0], text, match.start(), only_global)]
    return iter(sorted(spans))


def _is_address(written: str, text: str, start: int, only_global: bool) -> bool:
    try:
        address: IPv4Address | IPv6Address = ip_address(written)
    except ValueError:
        return False
    if isinstance(address, IPv6Address):
        groups = [group for group in written.split(":") if group]
        if len(groups) < 8 and (address not in _ASSIGNED or len(groups) < 3):
            return False
        if len(groups) == 8 and all(len(group) <= 2 for group in groups):
            return False  # the hardware address of an interface (EUI-64)
    elif _VERSION.search(text[max(0, start - _CONTEXT) : start]):
        return False
    return address.is_global or not only_global


def phones(text: str, regions: tuple[str, ...]) -> Iterator[tuple[int, int]]:
    """Spans of phone numbers."""
    for match in _PHONE.finditer(text):
        start, end = match.span()
        written = match[0]
        before = text[max(0, start - _CONTEXT) : start]
        if _NUMBERED.search(before):
            continue
        if (_grouped(written) or written[0] in "+0") and _ANNOUNCED.search(before) and not _DATES.fullmatch(written):
            yield start, end
            continue
        for _ in range(_NUMBERS_BEFORE):
            if _is_phone(written, regions):
                yield (end - len(written), end)
                break
            cut = _SPACE.search(written)
            if cut is None:
                break
            written = written[cut.end() :]


def _is_phone(written: str, regions: tuple[str, ...]) -> bool:
    if written.count("(") != written.count(")"):
        return False
    if written.startswith(("+", "(+")) or (written.startswith("00") and written[2:3].isdigit()):
        plus = "+" + written[2:] if written.startswith("00") else written
        number = _parse(plus, None)
        return number is not None and phonenumbers.is_possible_number(number)
    if not _grouped(written):
        return False
    for region in regions:
        number = _parse(written, region)
        if number is not None and phonenumbers.is_valid_number(number) and _usual(written, number):
            return True
    return False


def _parse(written: str, region: str | None) -> phonenumbers.PhoneNumber | None:
    try:
        return phonenumbers.parse(written, region)
    except phonenumbers.NumberParseException:
        return None


def _grouped(written: str) -> bool:
    """Whether the digits stand in groups, as those of a plain number do not, and not one by one either."""
    return 2 <= len(_DIGITS.findall(written)) <= _MAX_GROUPS


def _usual(written: str, number: phonenumbers.PhoneNumber) -> bool:
    """Whether digits are parted only where the national form parts them, with or without the country code before it."""
    national = phonenumbers.format_number(number, phonenumbers.PhoneNumberFormat.NATIONAL)
    groups = _DIGITS.findall(written)
    if len(groups) > 2 and groups[0] == str(number.country_code):
        groups = groups[1:]
    usual = _DIGITS.findall(national)
    return "".join(groups) == "".join(usual) and _ends(groups) <= _ends(usual)


def _ends(groups: list[str]) -> set[int]:
    return set(accumulate(map(len, groups)))
