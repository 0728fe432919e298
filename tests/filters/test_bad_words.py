"""The list rule of C4: against datatrove's class, against every place tried, and what `keep_fraction` lets pass."""

from collections.abc import Callable
from pathlib import Path

import polars as pl
import pytest
from datatrove.data import Document
from datatrove.pipeline.filters import c4_filters
from hypothesis import example, given
from hypothesis import strategies as st
from pydantic import ValidationError

from filters import BadWords
from filters.assets import AssetError

ENTRIES = ["bad", "Worse", "bad egg", "s&m", "@ss", "b.", "été", "cafe", "ß", "गाँड", "σας", "x_y", "a" * 30, "aa"]


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("lists")
    (folder / "en").write_text("\n".join(ENTRIES) + "\n# a comment\n\n", encoding="utf-8")
    (folder / "ja.txt").write_text("悪い\nグロ\nsm\nbad\n", encoding="utf-8")
    (folder / "README.md").write_text("readme", encoding="utf-8")
    return folder


def hits(step: BadWords, *texts: str | None, languages: list[str | None] | None = None) -> list[int | None]:
    docs = pl.DataFrame({"text": texts}, schema={"text": pl.String})
    if languages is not None:
        docs = docs.with_columns(language=pl.Series(languages, dtype=pl.String))
    return docs.select(**step.signals())["hits"].to_list()


def word(char: str) -> bool:
    return char.isalnum() or char == "_"


def by_trying(text: str, entries: list[str], whole: bool) -> int:
    text, entries, count = text.lower(), [entry.lower() for entry in entries], 0
    for place in range(len(text)):
        ends = [place + len(entry) for entry in entries if text.startswith(entry, place)]
        if whole:
            ends = [end for end in ends if not (end < len(text) and word(text[end]))]
            ends = [] if place and word(text[place - 1]) else ends
        count += bool(ends)
    return count


PIECES = st.sampled_from(
    [*ENTRIES, "BAD", "É", "悪い", "グロ", " ", "_", ".", "-", "\u0301", "ा", "1", "\n", "x", "İ", "Σ", "😀"]
)
TEXTS = st.one_of(st.text(max_size=30), st.lists(PIECES).map("".join))


@given(TEXTS)
@example("bad bad. a bad egg, a badegg, s&m S&M's b. (été) 😀bad😀")
@example("_bad bad_ 1bad bad1 ébad badé \u0301bad bad\u0301")
@example("a" * 31 + " " + "a" * 30)
def test_every_place_is_found(folder: Path, text: str) -> None:
    assert hits(BadWords(lists=folder), text) == [by_trying(text, ENTRIES, whole=True)]
    assert hits(BadWords(lists=folder, language="ja"), text) == [by_trying(text, ["悪い", "bad"], whole=False)]


def theirs(path: Path, language: str) -> c4_filters.C4BadWordsFilter:
    """Datatrove's filter with a list from here, in small letters: it never finds the entries that have capitals."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(c4_filters, "cached_asset_path_or_download", lambda *args, **kwargs: str(path))
        block = c4_filters.C4BadWordsFilter(default_language=language)
        block._get_badwords(language)
    return block


@given(TEXTS)
def test_texts_are_decided_as_by_datatrove(folder: Path, tmp_path_factory: pytest.TempPathFactory, text: str) -> None:
    small = folder / "small.list"
    small.write_text("\n".join(ENTRIES).lower(), encoding="utf-8")
    verdict = theirs(small, "en").filter(Document(text=text, id=""))
    assert (hits(BadWords(lists=folder), text) == [0]) == (verdict is True)


def test_the_lists_of_c4_decide_real_sentences_as_datatrove_does(
    test_data: Callable[[str], Path], tmp_path: Path
) -> None:
    lists, sentences = test_data("G-ldnoobw"), test_data("C-lingua-testdata")
    compared = dropped = 0
    for path in sorted(sentences.rglob("*.txt")):
        language = path.stem
        if not (lists / language).is_file():
            continue
        listed = (lists / language).read_text(encoding="utf-8")
        (tmp_path / language).write_text(listed.lower(), encoding="utf-8")
        texts = path.read_text(encoding="utf-8").splitlines()
        texts += [f"{text} {entry}." for text, entry in zip(texts, listed.splitlines(), strict=False)]
        block = theirs(tmp_path / language, language)
        got = hits(BadWords(lists=lists, language=language), *texts)
        expected = [block.filter(Document(text=text, id="")) is True for text in texts]
        assert [count == 0 for count in got] == expected, language
        compared += 1
        dropped += expected.count(False)
    assert compared > 20
    assert dropped > 1000


def test_each_document_has_the_list_of_its_language(folder: Path) -> None:
    step = BadWords(lists=folder, language="auto")
    texts = ["bad", "badly", "badly", "bad", "bad", None, "BAD 悪い bad"]
    assert hits(step, *texts, languages=["en", "en", "ja", "fr", None, "en", "ja"]) == [1, 0, 1, None, None, None, 3]
    assert hits(step, *texts, languages=["ja"] * 7) == [1, 1, 1, 1, 1, None, 3]
    assert hits(step, languages=[]) == []


def test_the_column_may_be_a_slice(folder: Path) -> None:
    docs = pl.DataFrame({"text": ["bad", "", None, "bad bad", "good"]})
    assert docs[2:].select(**BadWords(lists=folder).signals())["hits"].to_list() == [None, 2, 0]


def test_some_documents_with_hits_pass(folder: Path) -> None:
    texts = [f"document {i} is bad" for i in range(4000)] + [f"document {i} is good" for i in range(100)]
    docs = pl.DataFrame({"text": texts})
    step = BadWords(lists=folder, keep_fraction=0.25, seed=1)
    got = docs.select(**step.signals())
    assert got["found"].to_list() == [1] * 4000 + [0] * 100
    passed = got["hits"] == 0
    assert passed[4000:].all()
    assert 0.22 < passed[:4000].mean() < 0.28  # type: ignore[operator]
    turned = docs.reverse().select(**step.signals()).reverse()
    assert turned.equals(got)  # whatever stands beside it
    other = docs.select(**BadWords(lists=folder, keep_fraction=0.25, seed=2).signals())["hits"] == 0
    assert 0.04 < (passed & other)[:4000].mean() < 0.09  # type: ignore[operator]
    assert hits(BadWords(lists=folder, keep_fraction=1), "bad", "good") == [0, 0]


def test_a_changed_list_is_read_again(tmp_path: Path) -> None:
    path = tmp_path / "mine.txt"
    path.write_text("bad", encoding="utf-8")
    step = BadWords(lists=path)
    before = step.identity()
    assert hits(step, "bad good") == [1]
    path.write_text("bad\ngood", encoding="utf-8")
    assert hits(step, "bad good") == [2]
    assert step.identity() != before
    path.write_bytes(b"b\xe4d")
    with pytest.raises(AssetError, match=r"mine.txt: lists are UTF-8, and byte 1 is not"):
        hits(step, "bad good.")


def test_which_lists_matter(folder: Path) -> None:
    assert set(BadWords(lists=folder, language="ja").identity()) == {"ja"}
    assert set(BadWords(lists=folder, language="auto").identity()) == {"en", "ja"}


def test_lists_that_are_not_there(folder: Path, tmp_path: Path) -> None:
    with pytest.raises(ValidationError, match="has no list 'eng'; did you mean 'en'?"):
        BadWords(lists=folder, language="eng")
    with pytest.raises(ValidationError, match="is neither a file nor a folder"):
        BadWords(lists=tmp_path / "missing")
    with pytest.raises(ValidationError, match="has no file named by a language"):
        BadWords(lists=tmp_path)
    with pytest.raises(ValidationError, match="auto needs a folder of lists"):
        BadWords(lists=folder / "en", language="auto")


@pytest.mark.parametrize(
    ("unit", "found"),
    [
        ("bad ", 100_000),
        ("a", 0),
        ("aa ", 100_000),
        ("@ss", 1),
        ("@ss ", 100_000),
        ("b.", 1),
        ("b. ", 100_000),
        (" ", 0),
    ],
)
def test_long_texts(folder: Path, unit: str, found: int) -> None:
    assert hits(BadWords(lists=folder), unit * 100_000) == [found]
