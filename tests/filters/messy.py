"""Arbitrary text for tests of filters: every kind of character, and pieces that a filter looks for, mixed at random."""

from collections.abc import Sequence

from hypothesis import strategies as st

CHARACTERS = st.one_of(
    st.characters(exclude_categories=["Cs"]),
    st.sampled_from("aZ09.,;:!?'\"’()[]{}<>⟨⟩-–—/@#&*+=~^_|…•●◦»$%\\"),
    st.sampled_from(" \t\n\r\b\x0b\x0c\x1c\x1f\x85\xa0\u2003\u2028\u3000"),
    st.sampled_from("\0\x7f\u200b\u200d\u2060\ufeff\u0301\u093f\u20e3\ufe0f"),  # controls, joiners, marks
    st.sampled_from("éßÉǅЯغ日本語ไ한ａＡⅧⓐ½²٣𝒳𝟘😀𠀀\U000323af\U0010ffff"),
)


def texts(pieces: Sequence[str]) -> st.SearchStrategy[str]:
    """Texts with and without white space between characters and pieces; few pieces often, so that they repeat."""
    piece = st.sampled_from(pieces)
    parts = st.lists(st.one_of(piece, piece, st.text(CHARACTERS, max_size=4)), max_size=40)
    few = st.lists(piece, min_size=1, max_size=3).flatmap(lambda some: st.lists(st.sampled_from(some), max_size=60))
    between = st.sampled_from(["", " ", "\n", " \n", "\n\n", "\u3000"])
    return st.one_of(st.text(CHARACTERS, max_size=80), st.builds(str.join, between, st.one_of(parts, few)))
