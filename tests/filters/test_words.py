"""The tokeniser: against decisions of spaCy, and against properties that hold for every text."""

import unicodedata

import polars as pl
import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from filters import words

# Tokens that spaCy 3.8's English tokeniser gives, noted down from it.
SPACY = [
    ("Hello, world!", "Hello|,|world|!"),
    ("I can't, won't and didn't.", "I|ca|n't|,|wo|n't|and|did|n't|."),
    ("It’s we'll they're I'd I'm he's.", "It|’s|we|'ll|they|'re|I|'d|I|'m|he|'s|."),
    ("Mr. Smith's 3.14 and 1,000 (really)", "Mr.|Smith|'s|3.14|and|1,000|(|really|)"),
    ("in the U.S. e.g. at 9am or 5km.", "in|the|U.S.|e.g.|at|9|am|or|5|km|."),
    ("well-known state-of-the-art foo--bar", "well|-|known|state|-|of|-|the|-|art|foo|--|bar"),
    ("see http://foo.com/a-b?c=1, or a.b@x.com", "see|http://foo.com/a-b?c=1|,|or|a.b@x.com"),
    ("www.example.com example.org/a-b end.Start", "www.example.com|example.org/a-b|end|.|Start"),
    ("wait...what …and so on…", "wait|...|what|…|and|so|on|…"),
    ("$5 100% #tag @name a/b x=y", "$|5|100|%|#|tag|@name|a|/|b|x|=|y"),
    ('"Quoted," he said; "yes".', '"|Quoted|,|"|he|said|;|"|yes|"|.'),
    ("-5 +3 C++ 10-20 2019-2020", "-5|+3|C++|10|-|20|2019|-|2020"),
    ("A. B. Smith, Ph.D., Inc.", "A.|B.|Smith|,|Ph.D.|,|Inc."),
    ("foo(bar) a_b _x_", "foo(bar|)|a_b|_|x|_"),
    ('A$ or 5$, 7% of $x$. Body= "5%". £3 3£', 'A$|or|5|$|,|7|%|of|$|x$.|Body=|"|5|%|"|.|£|3|3|£'),
    ("she's 'em, 'cause the dog 's (this): ''", "she|'s|'em|,|'cause|the|dog|'s|(|this|):|''"),
    ("in /etc/. So `x`.y end).Start, see 'it'.The x", "in|/etc/.|So|`|x`.y|end).Start|,|see|'|it'|.|The|x"),
    ("85°C, 91–94 °C. 20°F. 90°. 5°N. (20°)", "85|°|C|,|91–94|°|C|.|20|°|F|.|90|°|.|5|°|N.|(|20|°|)"),
    ("a (= 1.2) libc6(>= 2) (=5) x=) ''so'' (:z)", "a|(=|1.2|)|libc6(>=|2|)|(=|5|)|x=|)|''|so|''|(:|z|)"),
    ("rock 'n' roll :) fine:) no:( 'soap 'cos'", "rock|'|n|'|roll|:)|fine|:)|no|:(|'|soap|'cos|'"),
]


@pytest.mark.parametrize(("text", "tokens"), SPACY)
def test_tokens_are_those_of_spacy(text: str, tokens: str) -> None:
    assert words.split(text) == tokens.split("|")


@pytest.mark.parametrize(
    ("text", "tokens"),
    [
        ("日本語です。「はい」", "日|本|語|で|す|。|「|は|い|」"),
        ("ภาษาที่ดี", "ภ|า|ษ|า|ที่|ดี"),
        ("中文,English混合", "中|文|,|English|混|合"),
        ("한국어 텍스트", "한국어|텍스트"),
        ("नमस्ते दुनिया।", "नमस्ते|दुनिया|।"),
    ],
)
def test_scripts_without_spaces_give_letters(text: str, tokens: str) -> None:
    assert words.split(text) == tokens.split("|")


MESSY = st.one_of(
    st.text(max_size=60),
    st.text("aB1 .,'’-!?()\n\t/:@#$…é日の。́\u2028", max_size=80),
    st.lists(st.sampled_from([text for text, _ in SPACY] + ["a.b", "...", "''", "5km", "\u00a0", "x\x1fy"])).map(
        " ".join
    ),
)


@given(MESSY)
@example("." * 300 + ")" * 300)
@example("a." * 200 + "@" * 200)
@example("")
def test_tokens_are_the_text_without_white_space(text: str) -> None:
    tokens = words.split(text)
    assert "".join(tokens) == "".join(text.split())
    position = 0
    for token in tokens:  # in order, and none spans white space
        position = text.index(token, position) + len(token)


def sentences(lines: list[list[str]]) -> int:
    """Sentences as spaCy finds them: after a full stop, the first token that is no punctuation begins one."""
    count = 0
    for tokens in lines:
        stopped = False
        count += bool(tokens)
        for i, token in enumerate(tokens):
            if token in set(".!?。।"):
                stopped = True
            elif stopped and i and not all(unicodedata.category(c)[0] == "P" for c in token):
                count += 1
                stopped = False
    return count


@given(st.lists(MESSY, max_size=4))
def test_counts_follow_from_the_tokens(texts: list[str]) -> None:
    counts = words.Batch(pl.Series(texts, dtype=pl.String)).counts
    for i, text in enumerate(texts):
        tokens = words.split(text)
        spoken = [token for token in tokens if any(unicodedata.category(c)[0] in "LMN" for c in token)]
        assert counts["chars"][i] == len(text)
        assert counts["tokens"][i] == len(tokens)
        assert counts["words"][i] == len(spoken)
        assert counts["word_chars"][i] == sum(map(len, spoken))
        assert counts["alpha_words"][i] == sum(any(c.isalpha() for c in token) for token in tokens)
        if text.isascii():
            assert counts["sentences"][i] == sentences([words.split(line) for line in text.splitlines()])


@given(st.lists(MESSY, min_size=1, max_size=5))
def test_a_text_is_measured_the_same_alone_and_in_a_batch(texts: list[str]) -> None:
    batch = words.Batch(pl.Series(texts))
    for i, text in enumerate(texts):
        alone = words.Batch(pl.Series([text]))
        part = slice(batch.bounds[i], batch.bounds[i + 1])
        assert batch.hashes[part].tolist() == alone.hashes.tolist()
        assert batch.starts[part].tolist() == alone.starts.tolist()
        assert [alone.counts[name][0] for name in alone.counts] == [batch.counts[name][i] for name in batch.counts]
        assert [alone.lines()[name][0] for name in alone.lines()] == [batch.lines()[name][i] for name in batch.lines()]
        assert alone.repeated[0].tolist() == batch.repeated[i].tolist()


@given(MESSY)
def test_equal_tokens_have_equal_hashes_and_others_do_not(text: str) -> None:
    batch, tokens = words.Batch(pl.Series([text])), words.split(text)
    assert len(set(batch.hashes.tolist())) == len(set(tokens))
    assert words.hashes(tokens).tolist() == batch.hashes.tolist()


@pytest.mark.parametrize(
    "unit", [".", ")", "(", "[", "@", "a.", "a@", "://", "'s", "-", "1", "a", "日", "…", "é", "n't", "\n"]
)
def test_long_runs_of_anything_are_handled(unit: str) -> None:
    text = unit * 200_000
    batch = words.Batch(pl.Series([text]))
    assert batch.lengths.sum() == len("".join(text.split()))
    assert batch.counts["chars"][0] == len(text)
    assert batch.lines()["newlines"][0] == text.count("\n")
    assert batch.repeated.shape == (1, 9)


def test_a_slice_of_a_column_is_measured_by_its_own_rows() -> None:
    column = pl.concat([pl.Series(["one", None, "two words"]), pl.Series(["a b c", ""])], rechunk=False)
    for first in range(5):
        assert words.Batch(column[first:]).counts["tokens"].tolist() == [1, 0, 2, 3, 0][first:]
    assert words.Batch(column.filter(pl.Series([False] * 5))).counts["tokens"].tolist() == []
