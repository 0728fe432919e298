"""NeMo Curator's heuristics: against plain Python written from their definition, and cases counted by hand."""

import re
from collections import Counter
from collections.abc import Callable
from itertools import pairwise
from typing import Any

import messy
import polars as pl
import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from filters import Filter, Nemo, NemoRepetition, Repetition

Measure = Callable[[Filter, str], dict[str, Any]]

PHRASES = ["terms of use", "Privacy Policy", "use cookies", "uses cookies", "Privacy & Cookies Policy", "Lorem Ipsum"]
TEXTS = messy.texts(
    [
        *("the", "The", "of", "#", "##", "#a#", "...", "[…]", "(...)", "-»", "•", "◦ a", "- b", "1,2", 'a"', "b?"),
        *("Read more", "read more..", "http://a.b/c?d=%20#e(f)", "https://x y", "https://%2", "a b", "a b c d e"),
        *PHRASES,
    ]
)

PLAIN = set("abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789\n?!,.")
ELLIPSES = ("...", "[...]", "…", "(...)", "[…]", "-»")
URL = re.compile(r"https?://(?:%[0-9a-fA-F][0-9a-fA-F]|[0-9a-zA-Z!#$&()*+,./:=?@_~-])+")


def share(part: float, whole: float) -> float:
    return part / whole if whole else 0.0


def fold(text: str) -> str:
    return text.encode().lower().decode()  # of bytes, hence of ASCII alone


def heuristics(text: str) -> dict[str, float]:
    words, lines = text.split(), [line.strip() for line in text.split("\n") if line.strip()]
    paragraphs = fold(text).split("\n\n")
    policies = sum(any(fold(phrase) in paragraph for phrase in PHRASES) for paragraph in paragraphs)
    symbols = [word for word in words if word in ELLIPSES or len(re.findall("#+", word)) / len(word) > 0.5]
    return {
        "non_alphanumeric": share(sum(char not in PLAIN for char in text), len(text)),
        "symbol_words": share(len(symbols), len(words)),
        "numbers": share(sum(char in "0123456789" for char in text), len(text)),
        "urls": share(sum(map(len, URL.findall(text))), len(text)),
        "white_space": share(sum(char in "\t\n\r\b " for char in text), len(text)),
        "parentheses": share(sum(char in "()[]{}⟨⟩" for char in text), len(text)),
        "boilerplate": 1.0 if "lorem ipsum" in fold(text) else policies / len(paragraphs),
        "words": len(words),
        "no_end_mark": share(sum(line[-1] not in ".?!\"'" for line in lines), len(lines)),
        "alpha_words": share(sum(any(map(str.isalpha, word)) for word in words), len(words)),
        "stop_words": sum(word in ("the", "of") for word in words),
        "mean_word_length": share(sum(map(len, words)), len(words)),
        "longest_word": max(map(len, words), default=0),
        "ellipsis_lines": share(
            sum(fold(line).endswith((*ELLIPSES, "read more", "read more..")) for line in lines), len(lines)
        ),
        "bullet_lines": share(sum(line[0] in "•‣⁃⁌⁍∙○●◘◦⦾⦿" for line in lines), len(lines)),
    }


def repetition(text: str) -> dict[str, float]:
    words = text.split()
    lines, paragraphs = [line for line in text.split("\n") if line.strip()], text.split("\n\n")
    found = {
        "duplicate_lines": share(len(lines) - len(set(lines)), len(lines)),
        "duplicate_paragraphs": share(len(paragraphs) - len(set(paragraphs)), len(paragraphs)),
    }
    for name, pieces in (("line", lines), ("paragraph", paragraphs)):
        all_of_them = len("".join(pieces))
        found[f"duplicate_{name}_chars"] = share(all_of_them - len("".join(set(pieces))), all_of_them)
    for n in (2, 3, 4):
        counts = Counter(" ".join(words[i : i + n]) for i in range(len(words) - n + 1))
        top = max(counts, key=lambda gram: counts[gram], default=None)
        found[f"top_{n}_gram"] = len(text) and (len(text) - len(text.replace(top, "") if top else text)) / len(text)
    for n in range(5, 11):
        seen: set[tuple[str, ...]] = set()
        repeated: set[int] = set()
        spaces: set[tuple[int, int]] = set()
        for i in range(len(words) - n + 1):
            gram = tuple(words[i : i + n])
            if gram in seen:
                repeated.update(range(i, i + n))
                spaces.update(pairwise(range(i, i + n)))
            seen.add(gram)
        found[f"duplicate_{n}_gram"] = share(sum(len(words[i]) for i in repeated) + len(spaces), len(text))
    return found


@given(st.lists(TEXTS, max_size=4))
@example(
    ["", "\n", "\n\n\n\n", "privacy policy\n\n\nlorem", "#a# ## #", "x" * 3000, "⟨⟩\u27e7", "[…]\n(...) \nreAd More"]
)
def test_heuristics_are_those_of_plain_python(texts: list[str]) -> None:
    docs = pl.DataFrame({"text": texts}, schema={"text": pl.String})
    got = docs.select(**Nemo(stop_words=("the", "of")).signals()).to_dicts()
    assert got == [pytest.approx(heuristics(text), rel=1e-15, abs=0) for text in texts]


@given(st.lists(TEXTS, max_size=4))
@example(
    ["", "\n", "a\n\na\n\n\na", "a a a a a a a a a a a a", "the c bathe cat the c", "a b c d e a b c d e a b c d e f"]
)
def test_repetition_is_that_of_plain_python(texts: list[str]) -> None:
    docs = pl.DataFrame({"text": texts}, schema={"text": pl.String})
    assert docs.select(**NemoRepetition().signals()).to_dicts() == [repetition(text) for text in texts]


def test_heuristics_of_a_text_counted_by_hand(measure: Measure) -> None:
    text = "• See [1] of https://a.org/b?c=d%20e now.\n\nWe use COOKIES ... Read more\n# The end"
    got = measure(Nemo(), text)
    assert len(text) == 81
    assert got == {
        # 12 spaces, • [ ] #, and : / / / = % of the address
        "non_alphanumeric": 22 / 81,
        "symbol_words": 2 / 15,
        "numbers": 3 / 81,
        "urls": 23 / 81,
        "white_space": 15 / 81,
        "parentheses": 2 / 81,
        "boilerplate": 1 / 2,
        "words": 15,
        "no_end_mark": 2 / 3,
        "alpha_words": 11 / 15,  # all but • [1] ... #
        "stop_words": 1,
        "mean_word_length": (81 - 15) / 15,
        "longest_word": 23,
        "ellipsis_lines": 1 / 3,
        "bullet_lines": 1 / 3,
    }


def test_repetition_of_a_text_counted_by_hand(measure: Measure) -> None:
    text = "one two\none two\n\none two\n\nbone two\n"
    got = measure(NemoRepetition(), text)
    assert len(text) == 35
    assert got["duplicate_lines"] == 2 / 4
    assert got["duplicate_line_chars"] == 14 / 29
    assert got["duplicate_paragraphs"] == 0  # one two\none two, one two, bone two\n
    assert got["top_2_gram"] == 4 * 7 / 35  # inside of "bone two" too
    assert got["top_3_gram"] == 0  # one two one never stands on one line
    text = "a b c d e f a b c d e f"
    assert measure(NemoRepetition(), text)["duplicate_5_gram"] == 11 / 23  # two 5-grams over six words
    assert measure(Repetition(), text)["duplicate_5_gram"] == 5 / 23


@pytest.mark.parametrize("words", range(12))
def test_a_document_of_fewer_words_than_n_is_not_repetitive(measure: Measure, words: int) -> None:
    # NeMo Curator says 1 for it, and drops it as repetitive.
    got = measure(NemoRepetition(), " ".join(["again"] * words))
    assert {got[f"top_{n}_gram"] for n in (2, 3, 4) if words < n} <= {0}
    assert {got[f"duplicate_{n}_gram"] for n in range(5, 11) if words <= n} <= {0}
    assert all(got[f"top_{n}_gram"] > 0 for n in (2, 3, 4) if words >= n)
    got = measure(NemoRepetition(), " ".join(f"word{i}" for i in range(words)))
    assert all(got[f"duplicate_{n}_gram"] == 0 for n in range(5, 11))


def test_notices_of_cookie_banners_are_boilerplate(measure: Measure) -> None:
    for notice in (
        "Necessary cookies are absolutely essential for the website to function properly.",
        "Any cookies that may not be particularly necessary for the website to function are of another kind.",
        "If you continue to browse this site without changing your cookie settings, all is well.",
        "Read our cookie policy, our privacy and cookies policy, and the privacy overview.",
        "On the use of cookies",
    ):
        assert measure(Nemo(), f"{notice}\n\nA paragraph about cookies.")["boilerplate"] == 1 / 2
