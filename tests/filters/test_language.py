"""Language identification: on sentences and pages of known languages, and where there is little to go by."""

from collections import Counter
from collections.abc import Callable
from pathlib import Path

import polars as pl
import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import ValidationError

from filters import Language, assets
from filters.language import LID176_LANGUAGES

ENGLISH = "This is an English sentence about the weather of next week, and about the sea."
GERMAN = "Dies ist ein deutscher Satz über das Wetter der nächsten Woche und über das Meer."


def identify(step: Language, *texts: str | None) -> pl.DataFrame:
    return pl.DataFrame({"text": texts}, schema={"text": pl.String}).select(**step.signals())


def test_the_score_is_that_of_the_wanted_languages(lid_model: Path) -> None:
    for languages, wanted in ((None, [True, True]), (("en",), [True, False]), (("de", "fr"), [False, True])):
        got = identify(Language(languages=languages), ENGLISH, GERMAN)
        assert got["label"].to_list() == ["en", "de"]
        assert [score >= 0.65 for score in got["score"]] == wanted
        assert got["score"].is_between(0, 1).all()
        assert (got["second_score"] <= 1 - got["second_score"]).all()


def test_the_model_sees_start_middle_and_end(lid_model: Path) -> None:
    page = f"{GERMAN}\\n" * 400
    assert identify(Language(), page)["label"].to_list() == ["de"]
    # In the first 3,000 characters there is English only.
    mixed = identify(Language(languages=("de",)), f"{ENGLISH}\n" * 40 + page)
    assert mixed["score"][0] > 0.3


def test_blank_and_missing_texts(lid_model: Path) -> None:
    got = identify(Language(), "", " \n\t", None)
    assert got["label"].to_list() == [None, None, None]
    assert got["score"].to_list() == [0, 0, None]
    assert identify(Language()).height == 0


@given(st.lists(st.one_of(st.none(), st.text(max_size=100), st.just("\0\r\n\x0b\u2028a")), max_size=5))
def test_every_text_has_an_answer(lid_model: Path, texts: list[str | None]) -> None:
    got = identify(Language(languages=("en", "zh")), *texts)
    assert got["score"].null_count() == texts.count(None)
    labels = [label for label, text in zip(got["label"], texts, strict=True) if text and text.strip()]
    assert all(label in LID176_LANGUAGES for label in labels)


def test_settings_that_cannot_work_are_errors_at_once() -> None:
    with pytest.raises(ValidationError, match=r"no 'eng'; did you mean 'en'"):
        Language(languages=("eng",))
    with pytest.raises(ValidationError, match="would keep nothing"):
        Language(languages=())
    with pytest.raises(ValidationError, match=r"neither a known model \(lid\.176\.ftz\) nor a file"):
        Language(model="no-such-model.bin")


def test_the_listed_languages_are_those_of_the_model(lid_model: Path) -> None:
    import fasttext

    labels = fasttext.load_model(str(lid_model)).get_labels()
    assert sorted(label.removeprefix("__label__") for label in labels) == sorted(LID176_LANGUAGES)


def test_a_model_of_ones_own_and_its_identity(
    lid_model: Path, tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    copy = tmp_path / "own.ftz"
    copy.write_bytes(lid_model.read_bytes())
    step = Language(model=str(copy), languages=("en",))
    assert identify(step, ENGLISH)["score"][0] > 0.65
    assert step.identity() == Language().identity() == {"model": assets.SOURCES[assets.LID176].sha256}
    assert Language.model_validate_json(step.model_dump_json()) == step
    with pytest.raises(ValueError, match="no 'eng'"):
        identify(Language(model=str(copy), languages=("eng",)), ENGLISH)
    assert capfd.readouterr() == ("", "")


def test_sentences_of_many_languages(lid_model: Path, test_data: Callable[[str], Path]) -> None:
    files = sorted((test_data("C-lingua-testdata") / "sentences").glob("*.txt"))
    wanted = {file.stem: file for file in files if file.stem in LID176_LANGUAGES}
    assert len(wanted) > 50
    right = Counter[str]()
    for code, file in wanted.items():
        lines = [line for line in file.read_text(encoding="utf-8").splitlines() if line.strip()][:100]
        label = identify(Language(), *lines)["label"]
        right[code] = round(100 * (label == code).mean())
    assert right["en"] >= 90
    assert sum(percent >= 80 for percent in right.values()) >= 0.8 * len(right)


def test_pages_of_the_handbook(lid_model: Path, test_data: Callable[[str], Path]) -> None:
    """Pages of a book in 26 languages, some chapters of which are left in English."""
    from fastwarc.warc import ArchiveIterator, WarcRecordType
    from resiliparse.extract.html2text import extract_plain_text

    pages: list[tuple[str, str]] = []
    with (test_data("A-warc-debian-handbook") / "debian-handbook-00000.warc.gz").open("rb") as stream:
        for number, record in enumerate(ArchiveIterator(stream, record_types=WarcRecordType.response)):
            if number % 12 == 0:
                code = record.headers["WARC-Target-URI"].split("/")[4][:2]
                pages.append((code, record.reader.read().decode()))
    texts = [extract_plain_text(html, main_content=True) for _, html in pages]
    got = identify(Language(), *texts)
    rows = zip(pages, got["label"], texts, strict=True)
    long = [(code, label) for (code, _), label, text in rows if len(text) > 500]
    assert len(long) > 100
    agree = sum(label in (code, "en") or {code, label} <= {"nb", "no", "da", "nn"} for code, label in long)
    assert agree >= 0.97 * len(long)
