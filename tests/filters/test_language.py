"""Language identification: on sentences and pages of known languages, in mixed documents, and where there is little to
go by."""

import os
import random
import subprocess
import sys
from collections import Counter
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import polars as pl
import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import ValidationError

from filters import Language, LanguageMix, assets, fasttext_model
from filters.language import LID176_LANGUAGES

ENGLISH = "This is an English sentence about the weather of next week, and about the sea."
GERMAN = "Dies ist ein deutscher Satz über das Wetter der nächsten Woche und über das Meer."


FRENCH = "Voici une phrase en français sur le temps de la semaine prochaine, et sur la mer."
NOT_WORDS = "\0\t\n\x0b\x0c\r "


def identify(step: Language | LanguageMix, *texts: str | None) -> pl.DataFrame:
    return pl.DataFrame({"text": texts}, schema={"text": pl.String}).select(**step.signals())


def test_the_score_is_that_of_the_wanted_languages(lid_model: Path) -> None:
    for languages, wanted in ((None, [True, True]), (("en",), [True, False]), (("de", "fr"), [False, True])):
        got = identify(Language(languages=languages), ENGLISH, GERMAN)
        assert got["label"].to_list() == ["en", "de"]
        assert [score >= 0.65 for score in got["score"]] == wanted
        assert got["score"].is_between(0, 1).all()
        assert (got["second_score"] <= 1 - got["second_score"]).all()


@given(
    st.lists(st.one_of(st.text(max_size=300), st.sampled_from([ENGLISH, GERMAN, FRENCH])).filter(str.strip), max_size=4)
)
def test_short_texts_have_what_the_library_says(lid_model: Path, library: Any, texts: list[str]) -> None:
    texts = [text for text in texts if text.strip(NOT_WORDS) and "</s>" not in text and "__label__" not in text]
    got = identify(Language(), *texts)
    wanted = identify(Language(languages=("de", "fr")), *texts)
    assert wanted.drop("score").equals(got.drop("score"))
    for row, score, text in zip(got.iter_rows(named=True), wanted["score"], texts, strict=True):
        labels, probabilities = library.predict(text.replace("\n", " "), k=-1)
        expected = {label.removeprefix("__label__"): value for label, value in zip(labels, probabilities, strict=True)}
        first, *more = sorted(expected.values(), reverse=True)
        assert row["score"] == pytest.approx(first, abs=1e-4)
        assert expected[row["label"]] == pytest.approx(first, abs=1e-6)
        assert row["second_score"] == pytest.approx(more[0] if more else 0.0, abs=1e-4)
        assert row["second"] != row["label"] and row["second"] in LID176_LANGUAGES
        assert score == pytest.approx(max(expected.get("de", 0.0), expected.get("fr", 0.0)), abs=1e-4)


@pytest.fixture(scope="module")
def library(lid_model: Path) -> Any:
    import fasttext

    return fasttext.load_model(str(lid_model))


def seen(text: str) -> str:
    """What the model should see of a long ASCII text: a third each of start, middle and end, in whole words."""
    middle = len(text) // 2
    first = text.rindex(" ", 0, 1001)
    begin, end = middle - 500, text.rindex(" ", 0, middle + 501)
    begin = begin if text[begin - 1] == " " else text.index(" ", begin)
    last = len(text) - 1000
    last = last if text[last - 1] == " " else text.index(" ", last)
    return f"{text[:first]} {text[begin:end]} {text[last:]}"


def test_the_model_sees_start_middle_and_end(lid_model: Path, library: Any) -> None:
    sentences = (
        "This is an English sentence about the weather of next week, and about the sea. ",
        "Dit is een Nederlandse zin over het weer van de volgende week en ook over de zee. ",
        "Questa frase italiana parla del tempo della prossima settimana e poi anche del mare. ",
    )
    chance = random.Random(4)
    for _ in range(30):
        text = "".join(sentence * chance.randint(25, 200) for sentence in chance.sample(sentences, 3)).strip()
        got = identify(Language(), text).row(0, named=True)
        labels, probabilities = library.predict(seen(text), k=2)
        assert [f"__label__{got['label']}", f"__label__{got['second']}"] == list(labels)
        assert [got["score"], got["second_score"]] == pytest.approx(probabilities.tolist(), abs=1e-4)
    mixed = identify(Language(languages=("de",)), f"{ENGLISH}\n" * 40 + f"{GERMAN}\n" * 400)
    assert mixed["score"][0] > 0.3  # in the first 3,000 characters there is English only


def test_blank_and_missing_texts(lid_model: Path) -> None:
    got = identify(Language(), "", " \n\t", "\0", "\u2028\u00a0\u3000", None)
    assert got["label"].to_list() == got["second"].to_list() == [None] * 5
    assert got["score"].to_list() == got["second_score"].to_list() == [0, 0, 0, 0, None]
    assert identify(Language()).height == 0


@given(st.lists(st.one_of(st.none(), st.text(max_size=100), st.just("\0\r\n\x0b\u2028a")), max_size=5))
def test_every_text_has_an_answer(lid_model: Path, texts: list[str | None]) -> None:
    got = identify(Language(languages=("en", "zh")), *texts)
    assert got["score"].null_count() == texts.count(None)
    for label, text in zip(got["label"], texts, strict=True):
        if text and text.strip() and text.strip(NOT_WORDS):
            assert label in LID176_LANGUAGES
        else:
            assert label is None


def test_settings_that_cannot_work_are_errors_at_once() -> None:
    with pytest.raises(ValidationError, match=r"no 'eng'; did you mean 'en'"):
        Language(languages=("eng",))
    with pytest.raises(ValidationError, match="would keep nothing"):
        Language(languages=())
    with pytest.raises(ValidationError, match=r"neither a known model \(lid\.176\.ftz\) nor a file"):
        Language(model="no-such-model.bin")


def test_the_listed_languages_are_those_of_the_model(library: Any) -> None:
    assert sorted(label.removeprefix("__label__") for label in library.get_labels()) == sorted(LID176_LANGUAGES)


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


@pytest.fixture(scope="module")
def glot(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """A small model whose labels look like those of GlotLID."""
    import fasttext

    folder = tmp_path_factory.mktemp("glot")
    chance = random.Random(1)
    named = {"eng_Latn": ENGLISH, "deu_Latn": GERMAN, "fra_Latn": FRENCH}
    rows = [
        f"__label__{name} {' '.join(chance.sample(sentence.split(), 8))}\n"
        for name, sentence in named.items()
        for _ in range(200)
    ]
    chance.shuffle(rows)
    (folder / "text.txt").write_text("".join(rows), encoding="utf-8")
    model = fasttext.train_supervised(
        str(folder / "text.txt"), minn=2, maxn=5, dim=16, bucket=5000, epoch=10, lr=0.5, thread=1, verbose=0
    )
    model.save_model(str(folder / "glot.bin"))
    yield folder / "glot.bin"


def test_labels_of_other_models(glot: Path) -> None:
    got = identify(Language(model=str(glot), languages=("deu_Latn", "fra_Latn")), ENGLISH, GERMAN, FRENCH)
    assert got["label"].to_list() == ["eng_Latn", "deu_Latn", "fra_Latn"]
    assert [score > 0.65 for score in got["score"]] == [False, True, True]
    with pytest.raises(ValueError, match=r"no 'deu_Latin'; did you mean 'deu_Latn'"):
        identify(Language(model=str(glot), languages=("deu_Latin",)), GERMAN)
    mix = identify(LanguageMix(model=str(glot)), f"{GERMAN}\n{FRENCH}\n{GERMAN}")
    assert mix.row(0) == (3, "deu_Latn", 2 * len(GERMAN) / (2 * len(GERMAN) + len(FRENCH)), 2)


def test_a_damaged_model_is_an_error_that_names_it(glot: Path, tmp_path: Path) -> None:
    path = tmp_path / "broken.bin"
    path.write_bytes(glot.read_bytes()[:-1])
    with pytest.raises(
        assets.AssetError, match=r"broken\.bin is not a sound supervised fastText model: it ends within"
    ):
        identify(Language(model=str(path)), ENGLISH)


def test_a_model_is_opened_once_for_all_steps(glot: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    opened = []
    real = fasttext_model.Model

    def count(path: Path) -> fasttext_model.Model:
        opened.append(path)
        return real(path)

    monkeypatch.setattr(fasttext_model, "Model", count)
    fasttext_model.open_model.cache_clear()
    for text in (ENGLISH, GERMAN):
        identify(Language(model=str(glot)), text)
        identify(Language(model=str(glot), languages=("eng_Latn",)), text)
        identify(LanguageMix(model=str(glot)), text)
    assert opened == [glot]
    fasttext_model.open_model.cache_clear()


def test_the_settings_alone_open_nothing() -> None:
    code = "import sys, filters; filters.Language(languages=('en',)).signals(); filters.LanguageMix().signals()"
    code += "; sys.exit(bool({'numba', 'fasttext'} & set(sys.modules)))"
    subprocess.run([sys.executable, "-c", code], check=True, env={**os.environ, "GRISTMILL_ASSETS": ""})


def test_lines_of_several_languages(lid_model: Path) -> None:
    english, german, french = (len(sentence) for sentence in (ENGLISH, GERMAN, FRENCH))
    got = identify(
        LanguageMix(),
        "\n".join([ENGLISH, "short line", f"  {GERMAN}\t", "", ENGLISH, FRENCH]),
        f"{GERMAN} {ENGLISH}",
        "short\nlines\nonly",
        "",
        None,
    )
    assert got["lines"].to_list() == [4, 1, 0, 0, None]
    assert got["languages"].to_list() == [3, 1, 0, 0, None]
    assert got["label"][0] == "en" and got["label"][2:].to_list() == [None, None, None]
    assert got["main_share"].to_list() == [2 * english / (2 * english + german + french), 1.0, None, None, None]


def test_lines_looked_at_come_from_the_whole_document(lid_model: Path) -> None:
    text = "\n".join([ENGLISH] * 700 + [GERMAN] * 300)
    for most, german in ((10, 3), (20, 6), (1000, 300), (2000, 300)):
        got = identify(LanguageMix(max_lines=most), text)
        english = min(most, 1000) - german
        share = english * len(ENGLISH) / (english * len(ENGLISH) + german * len(GERMAN))
        assert got.row(0) == (min(most, 1000), "en", pytest.approx(share), 2)


def test_lines_of_which_the_model_is_not_sure_are_in_no_language(lid_model: Path) -> None:
    doubtful = "qrs tuv wxy zab cde fgh ijk"
    score = identify(Language(), doubtful)["score"][0]
    assert 0.05 < score < 0.5
    text = f"{ENGLISH}\n{doubtful}"
    assert identify(LanguageMix(), text).row(0) == (2, "en", 1.0, 1)
    assert identify(LanguageMix(min_score=score - 0.01), text)["languages"].to_list() == [2]
    assert identify(LanguageMix(), doubtful).row(0) == (1, None, None, 0)


def test_mixed_documents_are_measured_and_kept() -> None:
    step = LanguageMix()
    assert step.keep == {} and not step.gate
    with pytest.raises(ValidationError, match="greater than or equal to 1"):
        LanguageMix(max_lines=0)
    with pytest.raises(ValidationError, match=r"neither a known model \(lid\.176\.ftz\) nor a file"):
        LanguageMix(model="no-such-model.bin")
    assert LanguageMix(keep={"main_share": (0.8, None)}).keep == {"main_share": (0.8, None)}


def test_documents_made_of_sentences_of_two_languages(lid_model: Path, test_data: Callable[[str], Path]) -> None:
    folder = test_data("C-lingua-testdata") / "sentences"
    read = {
        code: [line for line in (folder / f"{code}.txt").read_text(encoding="utf-8").splitlines() if len(line) >= 40]
        for code in ("en", "de", "fr", "ru", "ar", "hi")
    }
    chance = random.Random(0)
    for main, other in (("en", "de"), ("fr", "en"), ("ru", "ar"), ("hi", "en")):
        texts, shares = [], []
        for _ in range(40):
            lines = [(main, line) for line in chance.sample(read[main], 12)]
            lines += [(other, line) for line in chance.sample(read[other], 5)]
            chance.shuffle(lines)
            texts.append("\n".join(line for _, line in lines))
            shares.append(sum(len(line) for code, line in lines if code == main) / sum(len(line) for _, line in lines))
        got = identify(LanguageMix(), *texts)
        right = [
            label == main and abs(found - share) < 0.05
            for label, found, share in zip(got["label"], got["main_share"], shares, strict=True)
        ]
        assert sum(right) >= 0.9 * len(right)
        pure = identify(LanguageMix(), *("\n".join(chance.sample(read[main], 17)) for _ in range(40)))
        assert (pure["main_share"] > 0.95).mean() > 0.9


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
