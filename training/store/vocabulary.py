"""The bytes of a vocabulary's tokens, and where a text can be divided without any token changing.

With them a text is cut at any character by tokenising anew the few bytes around the cut, instead of the whole text:
what lies between the cut and the next such place. Before merging, tokenizers split a text into words, and in places
such as between a letter and a space there always is a boundary, whatever stands before and behind. Which pairs of
characters these are is asked of the tokenizer itself.
"""

from collections.abc import Sequence
from itertools import pairwise, product
from typing import Any

import numpy as np
import numpy.typing as npt

_MARK = "☺"
"""Stands before what is tokenised as the inside of a text where a tokenizer sets a space before texts; Code Llama's
authors do so with the same character."""
_MEMORY, _SHORT = 1 << 16, 64
"""Stretches whose tokens are remembered, and the longest of them in bytes."""

_PROBE = "na\u00efve \u65e5\u672c \U0001f642\U0001f469\u200d\U0001f52c 12  x\n\t"

_KINDS = ("aZéяΩ中ア한", "07", "_)]}:;,.=+-*/\\\"'!?&|<>#")
"""Letters, digits and signs that the tokenizer is asked about, of those that texts can be divided behind."""
_LETTERS = (
    *((0x41, 0x5A), (0x61, 0x7A), (0xC0, 0xD6), (0xD8, 0xF6), (0xF8, 0x24F)),
    *((0x391, 0x3A1), (0x3A3, 0x3C9), (0x410, 0x44F)),
    *((0x3041, 0x3096), (0x30A1, 0x30FA), (0x4E00, 0x9FA5), (0xAC00, 0xD7A3)),
)
"""The letters that are taken to be like those: whole alphabets that every version of Unicode knows."""
_OPENINGS = ' \n\t.,;:()[]="、。，'
"""Characters before which a text may be divisible."""
_BEFORE = ("", "x", "don'", "\n\n ", "3.", "🙂")
_BEHIND = ("", "x", " y", "'s", "\n", "12", "==", "日", "/")


class Vocabulary:
    """Bytes of tokens by id, as arrays that compiled code reads.

    Known are those of byte-level tokenizers and of SentencePiece's with single bytes; ValueError for others.
    """

    def __init__(self, inner: Any) -> None:
        """Of a `tokenizers.Tokenizer`."""
        self._inner = inner
        self._lead = lead(inner)
        self._memory: dict[bytes, npt.NDArray[np.int64] | None] = {}
        vocabulary = inner.get_vocab()
        spelled: list[bytes] = [b""] * (max(vocabulary.values()) + 1)
        spell = _byte_level if "ByteLevel" in repr(inner.decoder) else _sentence_piece
        for token, number in vocabulary.items():
            spelled[number] = spell(token)
        self._tokens = spelled
        self.starts: npt.NDArray[np.int64] = np.zeros(len(spelled) + 1, np.int64)
        """(V + 1,) where in `spelling` the bytes of a token begin."""
        np.cumsum([len(token) for token in spelled], out=self.starts[1:])
        self.spelling: npt.NDArray[np.uint8] = np.frombuffer(b"".join(spelled), np.uint8)
        known = inner.encode(_PROBE, add_special_tokens=False).ids
        if self._spelled(known).removeprefix(b" ") != _PROBE.encode():
            raise ValueError("the bytes of its tokens are not known; use a byte-level tokenizer")
        texts = [token.decode("utf-8", "replace") for token in spelled]
        divisible = {opening: _divisible(inner, opening) for opening in _OPENINGS}
        self.opens: npt.NDArray[np.uint8] = np.array([divisible.get(text[:1], 0) for text in texts], np.uint8)
        """(V,) the kinds of characters, as bits, behind which a text can be divided before this token."""
        self.closes: npt.NDArray[np.uint8] = np.array([_kind(text[-1:]) for text in texts], np.uint8)
        """(V,) the kind of the character that the token ends with, as a bit; none of most."""

    def ids(self, text: bytes) -> npt.NDArray[np.int64] | None:
        """Tokens of whole characters out of the inside of a text; None if the tokenizer does not give them back."""
        try:
            return self._memory[text]
        except KeyError:
            pass
        found = inside(self._inner, text.decode("utf-8"), self._lead)
        made = None if found is None or self._spelled(found) != text else np.array(found, np.int64)
        if len(text) <= _SHORT:
            if len(self._memory) >= _MEMORY:
                self._memory.clear()
            self._memory[text] = made
        return made

    def ends_line(self, token: int) -> bool:
        """Whether a token ends with a line's end."""
        return self._tokens[token].endswith(b"\n")

    def _spelled(self, ids: list[int]) -> bytes:
        return b"".join([self._tokens[i] for i in ids])


def lead(inner: Any) -> list[int]:
    """Tokens of what goes before the inside of a text that is tokenised; none unless texts begin with a space."""
    first = inner.encode("x", add_special_tokens=False).tokens[0]
    ids: list[int] = inner.encode(_MARK, add_special_tokens=False).ids if first.startswith("▁") else []
    return ids


def inside(inner: Any, text: str, before: Sequence[int]) -> list[int] | None:
    """Tokens of a text as it stands within another one; `before` are those of `lead`. None if they merge with it."""
    if not before or not text:
        ids: list[int] = inner.encode(text, add_special_tokens=False).ids if text else []
        return ids
    ids = inner.encode(_MARK + text, add_special_tokens=False).ids
    return ids[len(before) :] if ids[: len(before)] == before else None


def _alphabet() -> dict[str, int]:
    """Bytes by the characters that stand for them in byte-level vocabularies (Radford et al. 2019): printable ones for
    themselves, those from U+0100 on for the others."""
    printable = [*range(0x21, 0x7F), *range(0xA1, 0xAD), *range(0xAE, 0x100)]
    others = [byte for byte in range(256) if byte not in printable]
    return {chr(byte): byte for byte in printable} | {chr(0x100 + i): byte for i, byte in enumerate(others)}


_ALPHABET = _alphabet()


def _byte_level(token: str) -> bytes:
    """A token's bytes; one with other characters was added, and is what it says."""
    try:
        return bytes([_ALPHABET[character] for character in token])
    except KeyError:
        return token.encode("utf-8", "surrogatepass")


def _sentence_piece(token: str) -> bytes:
    if len(token) == 6 and token.startswith("<0x") and token.endswith(">"):
        return bytes([int(token[3:5], 16)])
    return token.replace("▁", " ").encode("utf-8", "surrogatepass")


def _kind(character: str) -> int:
    if character == "":
        return 0
    if any(low <= ord(character) <= high for low, high in _LETTERS):
        return 1
    return 2 if "0" <= character <= "9" else 4 * (character in _KINDS[2])


def _divisible(inner: Any, opening: str) -> int:
    """The kinds of characters, as bits, behind which words always end before this one, on either side as if the other
    side were not there."""
    if inner.pre_tokenizer is None:
        return 0
    found = 0
    behind = {opening + text: _words(inner, opening + text) for text in _BEHIND}
    for kind, closings in enumerate(_KINDS):
        if _added(inner, 1 << kind, opening):
            continue
        lefts = [before + closing for before, closing in product(_BEFORE, closings)]
        if all(
            words + after == _words(inner, left + right)
            for left, words in ((left, _words(inner, left)) for left in lefts)
            for right, after in behind.items()
        ):
            found |= 1 << kind
    return found


def _added(inner: Any, kind: int, opening: str) -> bool:
    """Whether a token that is found before words are split could span such a place, or look beyond it."""
    for token in inner.get_added_tokens_decoder().values():
        if not token.special and (
            token.rstrip
            or token.single_word
            or any(_kind(a) == kind and b == opening for a, b in pairwise(token.content))
        ):
            return True
    return False


def _words(inner: Any, text: str) -> list[str]:
    if inner.normalizer is not None:
        text = inner.normalizer.normalize_str(text)
    return [word for word, _ in inner.pre_tokenizer.pre_tokenize_str(text)]
