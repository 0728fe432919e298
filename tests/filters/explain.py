"""Why datatrove decides otherwise: its ways of counting and splitting are put in the place of ours until it agrees.

Signals are counted once more from lists of tokens, in plain Python, so that tokens can be exchanged one kind at a time.
The first kind that suffices names the class of the difference; that is a proof, not a guess.
"""

import re
import unicodedata
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import oracle
from datatrove.utils.text import PUNCTUATION_SET

from filters import C4, Filter, FineWeb, Gopher, words
from pipeline.judge import ranges

UNSPACED = "scripts without spaces"
_KNOWN = re.compile(
    "LATIN|GREEK|CYRILLIC|HEBREW|ARABIC|DEVANAGARI|BENGALI|TAMIL|TELUGU|KANNADA|SINHALA|HANGUL|MICRO|FEMININE|MASCULINE"
)  # names of letters that spaCy's patterns know, besides those of scripts without spaces
_NGRAMS = (*(f"top_{n}_gram" for n in (2, 3, 4)), *(f"duplicate_{n}_gram" for n in range(5, 11)))

Word = Callable[[str], bool]


def is_word(token: str) -> bool:
    return any(oracle.category(char)[0] in "LMN" for char in token)


def is_word_there(token: str) -> bool:
    return any(char not in PUNCTUATION_SET for char in token)


def unspaced(text: str) -> bool:
    """Whether a tenth of the text and more is written in a script without spaces."""
    return 10 * sum(map(oracle.single, text)) > len(text)


def counted(step: Filter, text: str, tokens: Sequence[str], word: Word = is_word_there) -> dict[str, float]:
    """The signals of a filter that come from these tokens; none where it is not asked for tokens."""
    if isinstance(step, C4) or not text:
        return {}
    size, lines = max(len(tokens), 1), oracle.lines(text, 30)
    if isinstance(step, Gopher):
        spoken = [len(token) for token in tokens if word(token)]
        return {
            "words": len(spoken),
            "mean_word_length": sum(spoken) / max(len(spoken), 1),
            "hash_ratio": lines["hashes"] / size,
            "ellipsis_ratio": lines["ellipses"] / size,
            "alpha_words": sum(any(map(str.isalpha, token)) for token in tokens) / size,
            "stop_words": len({*step.stop_words} & {*tokens}),
        }
    if isinstance(step, FineWeb):
        return {"new_line_ratio": lines["newlines"] / size}
    return {key: chars / len(text) for key, chars in zip(_NGRAMS, oracle.repeated(list(tokens)), strict=True)}


def broken(step: Filter, signals: Mapping[str, Any]) -> str | None:
    """The first signal outside its range."""
    for key, (low, high) in ranges({"": step}).items():
        value = signals[key[1:]]
        if value is not None and ((low is not None and value < low) or (high is not None and value > high)):
            return key[1:]
    return None


def kind(mine: str, other: str) -> str:
    """Name what two ways of splitting the same characters differ in; tokens are parted by spaces."""
    run = mine.replace(" ", "")
    if any(map(oracle.single, run)):
        return f"{UNSPACED}: each letter is a word here, a run of them to spaCy"
    if run.isalpha():
        return "words without apostrophe that spaCy parts, such as i|m and can|not"
    if any(oracle.mark(char) or char.isalpha() and not _KNOWN.match(unicodedata.name(char, "")) for char in run):
        return "letters and marks that spaCy's patterns do not know, such as Armenian, or vowel signs"
    if re.search(r"://|www\.|\w\.\w+/|@\w", run):
        return "addresses"
    if re.search(r"['’]", run) and re.search(r"\w", run):
        return "words with apostrophes, such as 'em and o'clock, and quotes"
    if any(len(token) > 1 and not re.search(r"[^\W\d]", token) for token in other.split()):
        return "marks that spaCy keeps together, such as ): and :*"
    return "other places at which to part a word, mostly in program code and LaTeX"


def pieces(mine: Sequence[str], other: Sequence[str]) -> list[tuple[list[str], list[str]]] | None:
    """Two ways of splitting a text, side by side between the places where both part it; None if the texts differ."""
    other = ["".join(token.split()) for token in other]
    if "".join(mine) != "".join(other):
        return None
    found: list[tuple[list[str], list[str]]] = []
    right, ahead = iter(other), 0
    for token in mine:
        if ahead == 0:
            found.append(([], []))
        found[-1][0].append(token)
        ahead += len(token)
        while ahead > 0:
            follower = next(right)
            found[-1][1].append(follower)
            ahead -= len(follower)
    return found


def explained(step: Filter, text: str, answer: Mapping[str, Any], wanted: str | None, tokens: Sequence[str]) -> str:
    """Return the class of a difference.

    Args:
        answer: our signals, and the `reason` that follows from them.
        wanted: datatrove's reason.
        tokens: spaCy's tokens, which it follows from.
    """
    if not text.strip():
        return "empty text, which datatrove drops for that"
    if isinstance(step, C4):
        if "sentences" not in (wanted, answer["reason"]):
            return "two rules are broken, and datatrove names the one whose line comes first"
        return "sentences: a mark at their end is part of a longer token to spaCy, mostly where no space follows it"

    def suffices(tokens: Sequence[str], word: Word) -> bool:
        return broken(step, {**answer, **counted(step, text, tokens, word)}) == wanted

    mine = words.split(text)
    if suffices(mine, is_word_there):
        return "symbols such as © and • are words to datatrove"
    found = pieces(mine, tokens)
    if found is None:
        return "text that datatrove changes before it splits it"
    kinds = [kind(" ".join(left), " ".join(right)) if left != right else "" for left, right in found]
    for one in sorted({*kinds} - {""}, key=lambda one: (UNSPACED not in one, -kinds.count(one), one)):
        mixed = [
            token
            for (left, right), name in zip(found, kinds, strict=True)
            for token in (right if name == one else left)
        ]
        if suffices(mixed, is_word) or suffices(mixed, is_word_there):
            return one
    return "several of these together" if suffices(tokens, is_word_there) else "not explained"
