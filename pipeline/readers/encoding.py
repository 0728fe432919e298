"""Bytes of the web to text, by byte order marks, by what server and page declare, and by detection."""

import codecs
import re

from resiliparse.parse.encoding import detect_encoding, map_encoding_to_html5

_MARKS = (
    (codecs.BOM_UTF8, "utf-8"),
    (codecs.BOM_UTF32_LE, "utf-32-le"),
    (codecs.BOM_UTF32_BE, "utf-32-be"),
    (codecs.BOM_UTF16_LE, "utf-16-le"),
    (codecs.BOM_UTF16_BE, "utf-16-be"),
)
_META = re.compile(rb"<(?:meta|\?xml)\b[^>]*?(?:charset|encoding)\s*=\s*[\"']?\s*([A-Za-z0-9_.:-]+)", re.IGNORECASE)
_BINARY = re.compile(rb"[\x00-\x08\x0e-\x1a\x1c-\x1f]")
_META_BYTES = 4096  # the standard says 1024; pages exist that have their scripts first
_BROKEN_SHARE = 0.05
_WIDER = {
    "gbk": "gb18030",
    "shift_jis": "cp932",
    "euc_kr": "cp949",
    "iso8859-11": "cp874",
    "big5": "big5hkscs",
    "iso2022_jp": "iso2022_jp_ext",
}
"""Python's codecs by the supersets that browsers read under the same names (WHATWG Encoding Standard)."""


_NEVER = frozenset({"utf-7", "idna", "punycode", "unicode_escape", "raw_unicode_escape", "undefined", "mbcs", "oem"})
"""Python's codecs that no page means, or that browsers refuse because they hide markup."""


def decode(data: bytes, declared: str | None = None) -> tuple[str, str]:
    """Return the text of a page and the name of its encoding; no input fails.

    UTF-8 comes first whatever is declared, since text in another encoding is practically never valid UTF-8, while
    UTF-8 under a wrong declaration is common. Otherwise the first of these that decodes without an error is taken:
    `declared` (by the HTTP header), the page's own declaration, detection. A page that is broken in all of them is
    read under the first of these names, with U+FFFD for the broken bytes.
    """
    text, name, _ = _read(data, declared)
    return text, name


def utf8(data: bytes, declared: str | None = None) -> tuple[bytes, str]:
    """Return the text that `decode` finds in UTF-8: of most pages their own bytes, which need not be written again."""
    text, name, same = _read(data, declared)
    return data if same else text.encode("utf-8", "replace"), name


def _read(data: bytes, declared: str | None) -> tuple[str, str, bool]:
    """The text of a page, the name of its encoding, and whether the bytes as they are are that text in UTF-8."""
    for mark, name in _MARKS:
        if data.startswith(mark):
            return data[len(mark) :].decode(name, "replace"), name, False
    if data[:4] in (b"<\x00!\x00", b"<\x00h\x00", b"<\x00?\x00"):
        return data.decode("utf-16-le", "replace"), "utf-16-le", False
    named = [name for name in (codec_named(declared), _in_page(data)) if name is not None]
    for name in named:  # all their bytes are valid UTF-8
        shifted = b"\x1b" in data if name.startswith("iso2022") else name.startswith("utf-16")
        if shifted and (text := _strict(data, name)) is not None:
            return text, name, False
    try:
        return data.decode(), "utf-8", True
    except UnicodeDecodeError:
        if (text := _strict(data, "utf-8") or _nearly_utf8(data)) is not None:
            return text, "utf-8", False
    detected = codec_named(detect_encoding(data, html5_compatible=False)) or "cp1252"
    candidates = [name for name in [*named, detected] if not name.startswith("utf-16")] or ["cp1252"]
    for name in candidates:
        if (text := _strict(data, name)) is not None:
            return text, name, False
    return data.decode(candidates[0], "replace"), candidates[0], False


def is_blank(data: bytes) -> bool:
    """Whether a body holds nothing but white space, behind a byte order mark or not."""
    for mark, _ in _MARKS:
        if data.startswith(mark):
            return not data[len(mark) :].replace(b"\0", b"").strip()  # UTF-16 and UTF-32 fill up with zeros
    return not data.strip()


def is_text(head: bytes) -> bool:
    """Whether the first bytes of a body have no control characters that text does not have."""
    return not _BINARY.search(head)


def _nearly_utf8(data: bytes) -> str | None:
    """The text, if of its characters outside ASCII only a few are broken."""
    text = data.decode("utf-8", "replace")
    broken = text.count("\ufffd") - data.count("\ufffd".encode())
    others = len(text) - len(text.encode("ascii", "ignore"))
    return text if broken <= _BROKEN_SHARE * others else None


def codec_named(name: str | None) -> str | None:
    """Return Python's name of what browsers understand under a name, or of what it says itself; None if it is none."""
    label = (name or "").strip().rstrip(";")
    try:
        codec = codecs.lookup(str(map_encoding_to_html5(label, False) or label))
        " ".encode(codec.name)  # fails for codecs that make no text, such as base64
    except (LookupError, ValueError):
        return None
    return None if codec.name in _NEVER else _WIDER.get(codec.name, codec.name)


def _in_page(data: bytes) -> str | None:
    found = _META.search(data, 0, _META_BYTES)
    name = codec_named(found[1].decode("ascii")) if found else None
    # A declaration that can be read as ASCII is not in UTF-16 (WHATWG HTML, "prescan a byte stream").
    return "utf-8" if name is not None and name.startswith("utf-16") else name


def _strict(data: bytes, name: str) -> str | None:
    if name.startswith("utf-16") and b"\x00" not in data:
        return None  # any bytes are valid UTF-16; a page without a single ASCII character in it is none
    try:
        return data.decode(name)
    except UnicodeDecodeError as error:
        cut_off = error.end >= len(data) and error.start >= len(data) - 4 > 0
        return data[: error.start].decode(name) if cut_off else None
