"""The words of a licence as numbers: what the SPDX matching guidelines call equal comes out equal.

White space, punctuation, capitals, comment signs, bullets, numbering and spelling do not matter (SPDX specification,
annex "License matching guidelines and templates"). Numbers have 16 bits, so that four words make one 64-bit shingle and
the texts of all licences are small enough to ship; one word in ten shares its number with another, four in a row never
do in practice.
"""

import re
import zlib
from collections.abc import Iterator
from functools import lru_cache

import numpy as np
from numpy.typing import NDArray

Words = NDArray[np.uint16]
Shingles = NDArray[np.uint64]

SHINGLE = 4

_WORD = re.compile(r"[^\W_]+(?:[-.'’‐‑@][^\W_]+)*")
_INNER = re.compile(r"[-.'’‐‑@]")
_NUMBERING = re.compile(r"\d{1,2}|[ivx]{1,5}|[^\W_]")  # such words are no words
_BROKEN = re.compile(r"(?<=[a-z])-[ \t]*\r?\n[ \t]*(?:(?:#|//|\*|;+|--|%)[ \t]*)?(?=[a-z])")
_TAG = re.compile(r"</?(?:p|br|b|i|li|ul|ol|h[1-6]|div|span|em|strong|a|pre|code|body|html|tt|center|font)\b[^<>]*>")

_SAME = {
    word: words[0]
    for words in (
        line.split()
        for line in """
        acknowledgment acknowledgement
        acknowledgments acknowledgements
        analog analogue
        analyze analyse
        artifact artefact
        authorization authorisation
        authorized authorised
        caliber calibre
        canceled cancelled
        capitalizations capitalisations
        catalog catalogue
        categorize categorise
        center centre
        emphasized emphasised
        favor favour
        favorite favourite
        fulfill fulfil
        fulfillment fulfilment
        holder owner
        holders owners
        http https
        initialize initialise
        judgment judgement
        labeling labelling
        labor labour
        license licence
        licenses licences
        licensed licenced
        maximize maximise
        modeled modelled
        modeling modelling
        offense offence
        optimize optimise
        organization organisation
        organize organise
        practice practise
        program programme
        realize realise
        recognize recognise
        signaling signalling
        utilization utilisation
        while whilst
        willful wilful
        """.splitlines()
    )
    for word in words[1:]
}


def words_of(text: str) -> Words:
    """The numbers of the words of a text, in order."""
    return np.fromiter((_number(match[0]) for match in _matches(cleaned(text))), np.uint16)


def places_of(text: str) -> list[int]:
    """Where the words of `cleaned(text)` begin that `words_of` numbers, and where it ends."""
    return [*(match.start() for match in _matches(text)), len(text)]


def cleaned(text: str) -> str:
    """A text in small letters, without tags of HTML, and with words whole that a line end had parted."""
    text = text.lower()
    if "-\n" in text or "-\r" in text:
        text = _BROKEN.sub("", text)
    return _TAG.sub(" ", text) if "</" in text else text


def shingles_of(words: Words) -> Shingles:
    """One number for each four words in a row; none of a text with less than four words."""
    if words.size < SHINGLE:
        return np.empty(0, np.uint64)
    wide = words.astype(np.uint64)
    count = words.size - SHINGLE + 1
    made = wide[:count].copy()
    for place in range(1, SHINGLE):
        made |= wide[place : place + count] << np.uint64(16 * place)
    return made


def _matches(text: str) -> Iterator[re.Match[str]]:
    return (match for match in _WORD.finditer(text) if not _NUMBERING.fullmatch(match[0]))


@lru_cache(maxsize=1 << 16)
def _number(token: str) -> int:
    word = _INNER.sub("", token)
    return zlib.crc32(_SAME.get(word, word).encode("utf-8", "replace")) & 0xFFFF
