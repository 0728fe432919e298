"""Where texts are cut: whole lines, and pieces of syntax held against Python's own parser and cases by hand."""

import ast
import bisect
import inspect
import shlex
import textwrap
from collections import Counter
from types import ModuleType

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from training.fim.cuts import drawn

WORDS = st.integers(0, 2**64 - 1)
TEXTS = st.one_of(
    st.text(max_size=200),
    st.lists(st.sampled_from(["if x {", "}", "\n", "  ", "\t", "(", ")", "[", "'", '"', "\\", "é", "日", ";"])).map(
        "".join
    ),
)


def bytes_of(text: str) -> np.ndarray:
    return np.frombuffer(text.encode(), np.uint8)


def middle(text: str, cuts: str, one: int, other: int) -> tuple[str, str, str]:
    low, high = drawn(bytes_of(text), cuts, one, other)
    encoded = text.encode()
    return encoded[:low].decode(), encoded[low:high].decode(), encoded[high:].decode()


def pieces(text: str, place: int) -> set[str]:
    """All pieces of syntax around a byte."""
    return {middle(text, "syntax", place, other)[1] for other in range(60)}


@given(TEXTS, WORDS, WORDS, st.sampled_from(["characters", "lines", "syntax"]))
def test_cuts_lie_between_characters_and_in_order(text: str, one: int, other: int, cuts: str) -> None:
    assert "".join(middle(text, cuts, one, other)) == text  # decoding fails inside of a character


@given(TEXTS, WORDS, WORDS)
def test_lines_are_whole(text: str, one: int, other: int) -> None:
    low, high = drawn(bytes_of(text), "lines", one, other)
    encoded = text.encode()
    begins = [0, *(i + 1 for i, byte in enumerate(encoded) if byte == 10 and i + 1 < len(encoded)), len(encoded)]
    if len(begins) - 1 >= 3:
        assert low in begins and high in begins and low < high
    else:
        assert (low, high) == drawn(bytes_of(text), "characters", one, other)


def test_every_choice_of_lines_is_as_likely() -> None:
    text = "a\nbb\n\ndddd"
    random = np.random.default_rng(1)
    drawings = random.integers(0, 2**64, (6000, 2), np.uint64).tolist()
    found = Counter(middle(text, "lines", one, other)[1] for one, other in drawings)
    rows = ["a\n", "bb\n", "\n", "dddd"]
    wanted = {"".join(rows[i:j]) for i in range(4) for j in range(i + 1, 5)}
    assert found.keys() == wanted
    expected = len(drawings) / len(wanted)
    assert sum((n - expected) ** 2 / expected for n in found.values()) < 33  # chi-squared, 9 degrees: 1 in 7,000


PYTHON = '''import os

def first(a, b=(1, 2)):
    """Says (nothing."""
    if a:
        return [b, "x)", a]

    return None


class Second:
    value = {1: 2}
'''

BRACES = """int main(int argc) {
    if (argc > 1) {
        puts("a}b");
    } else {
        return f(argc, 'x');
    }
    return 0;
}
"""


def test_pieces_of_indented_code() -> None:
    inner = 'return [b, "x)", a]'
    condition = f"if a:\n        {inner}"
    body = f'    """Says (nothing."""\n    {condition}\n\n    return None'
    function = f"def first(a, b=(1, 2)):\n{body}"
    assert pieces(PYTHON, PYTHON.index("x)")) == {'b, "x)", a', inner, f"        {inner}", condition, body, function}
    assert pieces(PYTHON, PYTHON.index("1, 2")) == {"1, 2", "a, b=(1, 2)", function}
    assert pieces(PYTHON, PYTHON.index("2}")) == {
        "1: 2",
        "value = {1: 2}",
        "    value = {1: 2}",
        "class Second:\n    value = {1: 2}",
    }


def test_pieces_of_code_in_braces() -> None:
    call = "return f(argc, 'x');"
    both = BRACES[BRACES.index("if (argc") : BRACES.index("\n    return 0")]
    body = BRACES[BRACES.index("    if (argc") : BRACES.index("\n}")]
    assert pieces(BRACES, BRACES.index("'x'")) == {
        "argc, 'x'",
        call,
        f"        {call}",
        f"\n        {call}\n    ",
        both,
        body,
        f"\n{body}\n",
        BRACES.rstrip(),
    }


def test_text_without_syntax_is_cut_at_characters() -> None:
    for text in ("", "\n\n \n", "   "):
        assert drawn(bytes_of(text), "syntax", 3, 5) == drawn(bytes_of(text), "characters", 3, 5)


@pytest.mark.parametrize("module", [bisect, shlex, textwrap], ids=lambda module: module.__name__)
def test_most_pieces_of_python_are_nodes_of_its_syntax(module: ModuleType) -> None:
    text = inspect.getsource(module)
    random = np.random.default_rng(7)
    draws = random.integers(0, 2**64, (80, 2), np.uint64).tolist()
    whole = {cuts: sum(is_node(*middle(text, cuts, *draw)) for draw in draws) for cuts in ("syntax", "characters")}
    assert whole["syntax"] >= 60  # the others: `else` with its block, lines of docstrings
    assert whole["characters"] <= 6


def is_node(before: str, inside: str, after: str) -> bool:
    """Whether Python parses the piece, as statements or as what stands in brackets, and the rest with a stand-in."""
    statements = textwrap.dedent(inside)
    forms = (statements, f"f({inside})", f"[{inside}]", f"{{{inside}}}", f"def f({inside}): pass")
    space = inside[: len(inside) - len(inside.lstrip())]
    rests = (before + space + stand_in + after for stand_in in ("pass", "x", "x=1", "x: x"))
    return any(map(parses, forms)) and any(map(parses, rests))


def parses(text: str) -> bool:
    try:
        ast.parse(text)
    except SyntaxError:
        return False
    return True
