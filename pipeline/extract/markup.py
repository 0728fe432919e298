"""Tags, attributes and comments of a page, byte by byte where something is read, eight at a time where nothing is."""

import numpy as np

from filters.hashing import I64, U64, Bytes, Ints, inlined, kernel, load, trailing_zeros
from pipeline.extract.characters import find_name
from pipeline.extract.keywords import Keywords
from pipeline.extract.state import (
    KNOWN,
    NO_NUMBER,
    R_ALT,
    R_ALT_END,
    R_COLSPAN,
    R_HIDDEN,
    R_LANGUAGE,
    R_LANGUAGE_END,
    R_LAYOUT,
    R_OPEN,
    R_REVERSED,
    R_ROWSPAN,
    R_SELF_CLOSING,
    R_START,
    R_TEX,
    R_VALUE,
    READ,
)
from pipeline.extract.tags import (
    ATTRIBUTE_KEYS,
    ATTRIBUTE_NUMBERS,
    ATTRIBUTES,
    FACTOR,
    NUMBER,
    SEED,
    TAG_KEYS,
    TAG_NUMBERS,
)

_EACH, _HIGH = U64(0x0101010101010101), U64(0x8080808080808080)
_FAR = 1024  # bytes of a value that are looked at
_LONGEST_LANGUAGE = 32
(_NONE, _INVISIBLE, _TRUE, _PRESENTATION, _NO_ROLE, _HIDDEN, _UNTIL_FOUND) = (
    np.frombuffer(word, np.uint8)
    for word in b"display:none visibility:hidden true presentation none hidden until-found".split()
)
_TEX, _LANGUAGE, _LANG = (np.frombuffer(word, np.uint8) for word in (b"tex", b"language-", b"lang-"))
(
    _CLASS,
    _ID,
    _ROLE,
    _ITEMPROP,
    _IS_HIDDEN,
    _STYLE,
    _ARIA_HIDDEN,
    _OPEN,
    _START,
    _REVERSED,
    _VALUE,
    _ALTTEXT,
    _ENCODING,
    _COLSPAN,
    _ROWSPAN,
    _TYPE,
) = range(1, len(ATTRIBUTES))
_PRE, _CODE, _INPUT = NUMBER["pre"], NUMBER["code"], NUMBER["input"]


@kernel
def find(page: Bytes, at: int, end: int, byte: int) -> int:
    """Return the next place of a byte, the end if there is none."""
    pattern = _EACH * U64(byte)
    while at + 8 <= end:
        word = load(page, at) ^ pattern
        hits = (word - _EACH) & ~word & _HIGH
        if hits:
            return at + (trailing_zeros(hits) >> 3)
        at += 8
    while at < end and page[at] != byte:
        at += 1
    return at


@inlined
def ends_name(byte: int) -> bool:
    return byte == 0x3E or byte == 0x2F or byte <= 0x20


@kernel
def tag_name(page: Bytes, at: int) -> tuple[int, int]:
    """Return the number of a tag, a large one made of its name if it is not known, and the byte behind the name."""
    key = U64(SEED)
    while at < len(page):
        byte = page[at]
        if ends_name(byte):
            break
        if 0x41 <= byte <= 0x5A:
            byte |= 0x20
        key = (key ^ U64(byte)) * U64(FACTOR)
        at += 1
    place = find_name(TAG_KEYS, key)
    return (TAG_NUMBERS[place] if place >= 0 else KNOWN + I64(key & U64(0x3FFFFFFF))), at


@kernel
def past_comment(page: Bytes, at: int) -> int:
    """Return what follows a comment, a document type or whatever begins with `<!`, `<?` or `</`; the end if nothing."""
    end = len(page)
    if not (at + 2 < end and page[at] == 0x21 and page[at + 1] == 0x2D and page[at + 2] == 0x2D):
        return min(find(page, at, end, 0x3E) + 1, end)
    at += 3
    close = find(page, at, end, 0x3E)
    while close < end:
        inside = close - at
        if inside == 0 or (inside == 1 and page[at] == 0x2D):
            break
        if inside >= 2 and page[close - 1] == 0x2D and page[close - 2] == 0x2D:
            break
        if inside >= 3 and page[close - 1] == 0x21 and page[close - 2] == 0x2D and page[close - 3] == 0x2D:
            break
        close = find(page, close + 1, end, 0x3E)
    return min(close + 1, end)


@kernel
def character_data_end(page: Bytes, at: int) -> int:
    """Return the place of the `]]>` that ends a section of character data, the end if there is none."""
    end = len(page)
    close = find(page, at, end, 0x3E)
    while close < end:
        if close - at >= 2 and page[close - 1] == 0x5D and page[close - 2] == 0x5D:
            return close - 2
        close = find(page, close + 1, end, 0x3E)
    return end


@kernel
def starts_with(page: Bytes, at: int, end: int, words: Bytes) -> bool:
    """Whether a word stands there, in small letters or capitals."""
    if at + len(words) > end:
        return False
    for i in range(len(words)):
        byte = page[at + i]
        if (byte | 0x20 if 0x41 <= byte <= 0x5A else byte) != words[i]:
            return False
    return True


@kernel
def _is_named(page: Bytes, at: int, name: int, size: int) -> bool:
    """Whether the name of a tag that stands elsewhere in the page is here, whole."""
    end = len(page)
    if at + size > end:
        return False
    for i in range(size):
        if page[at + i] | 0x20 != page[name + i] | 0x20:
            return False
    return at + size == end or ends_name(page[at + size])


@kernel
def raw_end(page: Bytes, at: int, name: int, size: int, script: bool) -> int:
    """Return the place of the end tag of a raw element whose name is given by place and size; the end if there is none.

    In a comment in a script, an end tag belongs to a script that begins in the comment (WHATWG, section 13.2.5.20).
    """
    end, inside = len(page), 0
    while at < end:
        if inside:
            if page[at] == 0x2D and at + 2 < end and page[at + 1] == 0x2D and page[at + 2] == 0x3E:
                inside = 0
                at += 3
                continue
            if page[at] != 0x3C:
                at += 1
                continue
        else:
            at = find(page, at, end, 0x3C)
        if at + 1 >= end:
            return end
        after = page[at + 1]
        if after == 0x2F and _is_named(page, at + 2, name, size):
            if inside < 2:
                return at
            inside = 1
        elif inside and _is_named(page, at + 1, name, size):
            inside = 2
        elif script and after == 0x21 and at + 3 < end and page[at + 2] == 0x2D and page[at + 3] == 0x2D:
            inside = max(inside, 1)
            at += 1  # its two hyphens may be those of its end
        at += 1
    return end


@kernel
def _number(page: Bytes, first: int, last: int) -> int:
    """Return a whole number, of which eight digits are read; `NO_NUMBER` if it is none."""
    while first < last and page[first] <= 0x20:
        first += 1
    negative = first < last and page[first] == 0x2D
    if first < last and (negative or page[first] == 0x2B):
        first += 1
    digits, value = 0, 0
    while first < last and 0x30 <= page[first] <= 0x39 and digits < 8:
        value = 10 * value + I64(page[first] - 0x30)
        digits += 1
        first += 1
    if not digits:
        return NO_NUMBER
    return -value if negative else value


@kernel
def _declares(page: Bytes, first: int, last: int, words: Bytes) -> bool:
    """Whether a style has a declaration, or a value is a word; white space and capitals make no difference."""
    while first < last:
        i, at = 0, first
        while at < last and i < len(words):
            byte = page[at]
            if byte > 0x20:
                if 0x41 <= byte <= 0x5A:
                    byte |= 0x20
                if byte != words[i]:
                    break
                i += 1
            at += 1
        if i == len(words):
            while at < last and page[at] <= 0x20:
                at += 1
            if at == last or page[at] == 0x3B or page[at] == 0x21:
                return True
        first = find(page, first, last, 0x3B) + 1
    return False


@kernel
def _keywords(page: Bytes, first: int, last: int, keywords: Keywords) -> int:
    found, state = 0, 0
    for at in range(first, last):
        byte = page[at] | 0x20
        letter = I64(byte) - 0x61 if 0x61 <= byte <= 0x7A else (26 if page[at] == 0x2D else 27)
        state = I64(keywords.step[state * 28 + letter])
        found |= I64(keywords.found[state])
    return found


@kernel
def _language(page: Bytes, first: int, last: int, memory: Ints) -> None:
    """Find the name of a programming language in a class, as the standard recommends to write it."""
    for at in range(first, last):
        if at > first and page[at - 1] > 0x20:
            continue
        size = 9 if starts_with(page, at, last, _LANGUAGE) else (5 if starts_with(page, at, last, _LANG) else 0)
        if not size:
            continue
        name = after = at + size
        while after < last and after - name < _LONGEST_LANGUAGE:
            byte = page[after]
            letter = 0x61 <= byte | 0x20 <= 0x7A or 0x30 <= byte <= 0x39
            if not (letter or byte == 0x2B or byte == 0x23 or byte == 0x2D or byte == 0x2E or byte == 0x5F):
                break
            after += 1
        if after > name and (after == last or page[after] <= 0x20):
            memory[R_LANGUAGE], memory[R_LANGUAGE_END] = name, after
            return


@kernel
def attributes(page: Bytes, at: int, tag: int, keywords: Keywords, memory: Ints) -> tuple[int, int]:
    """Read what matters of the attributes of a tag into memory; return the keywords, and the byte behind the tag."""
    end, mask = len(page), 0
    for place in range(READ, R_LAYOUT + 1):
        memory[place] = 0
    memory[R_START] = memory[R_VALUE] = NO_NUMBER
    memory[R_COLSPAN] = memory[R_ROWSPAN] = 1
    while at < end:
        byte = page[at]
        if byte == 0x3E:
            break
        if byte <= 0x20 or byte == 0x2F:
            memory[R_SELF_CLOSING] = byte == 0x2F
            at += 1
            continue
        memory[R_SELF_CLOSING] = 0
        key, first = U64(SEED), at
        while at < end:
            byte = page[at]
            if ends_name(byte) or (byte == 0x3D and at > first):
                break
            if 0x41 <= byte <= 0x5A:
                byte |= 0x20
            key = (key ^ U64(byte)) * U64(FACTOR)
            at += 1
        while at < end and page[at] <= 0x20:
            at += 1
        first = last = at
        if at < end and page[at] == 0x3D:
            at += 1
            while at < end and page[at] <= 0x20:
                at += 1
            first = at
            if at < end and (page[at] == 0x22 or page[at] == 0x27):
                first = at + 1
                last = find(page, first, end, page[at])
                at = min(last + 1, end)
            else:
                while at < end and page[at] > 0x20 and page[at] != 0x3E:
                    at += 1
                last = at
        place = find_name(ATTRIBUTE_KEYS, key)
        if place >= 0:
            mask |= _value(page, first, last, ATTRIBUTE_NUMBERS[place], tag, keywords, memory)
    return mask, min(at + 1, end)


@kernel
def _value(page: Bytes, first: int, last: int, name: int, tag: int, keywords: Keywords, memory: Ints) -> int:
    """Read the value of an attribute; return the keywords in it."""
    if name == _ALTTEXT:
        memory[R_ALT], memory[R_ALT_END] = first, last
        return 0
    last = min(last, first + _FAR)
    if name <= _ITEMPROP:
        if name == _CLASS and (tag == _PRE or tag == _CODE):
            _language(page, first, last, memory)
        elif name == _ROLE and (_declares(page, first, last, _PRESENTATION) or _declares(page, first, last, _NO_ROLE)):
            memory[R_LAYOUT] = 1
        return _keywords(page, first, last, keywords)
    if name == _IS_HIDDEN:
        if not _declares(page, first, last, _UNTIL_FOUND):
            memory[R_HIDDEN] = 1
    elif name == _STYLE:
        if _declares(page, first, last, _NONE) or _declares(page, first, last, _INVISIBLE):
            memory[R_HIDDEN] = 1
    elif name == _ARIA_HIDDEN:
        if _declares(page, first, last, _TRUE):
            memory[R_HIDDEN] = 1
    elif name == _OPEN:
        memory[R_OPEN] = 1
    elif name == _START:
        memory[R_START] = _number(page, first, last)
    elif name == _REVERSED:
        memory[R_REVERSED] = 1
    elif name == _VALUE:
        memory[R_VALUE] = _number(page, first, last)
    elif name == _COLSPAN:
        memory[R_COLSPAN] = _number(page, first, last)
    elif name == _ROWSPAN:
        memory[R_ROWSPAN] = _number(page, first, last)
    elif name == _TYPE:
        if tag == _INPUT and _declares(page, first, last, _HIDDEN):
            memory[R_HIDDEN] = 1
    elif name == _ENCODING:
        for at in range(first, last):
            if starts_with(page, at, last, _TEX):
                memory[R_TEX] = 1
    return 0
