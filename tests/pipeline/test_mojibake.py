"""Wrong encodings: mangled text comes back as ftfy brings it, right text stays, and the gates hide nothing."""

import re
import unicodedata
from collections.abc import Callable, Iterator
from pathlib import Path

import ftfy
import polars as pl
import pytest
from ftfy.badness import BADNESS_RE, MOJIBAKE_CATEGORIES
from hypothesis import given
from hypothesis import strategies as st

from pipeline.normalize import Normalize, kernels, mojibake

ENCODINGS = ("latin-1", "cp1252", "cp1250", "cp1251", "cp1253", "cp1254", "cp1257", "iso8859-2", "mac_roman", "cp437")
ONLY_ENCODING = ftfy.TextFixerConfig(
    unescape_html=False,
    remove_terminal_escapes=False,
    fix_latin_ligatures=False,
    fix_character_width=False,
    uncurl_quotes=False,
    fix_line_breaks=False,
    fix_surrogates=False,
    remove_control_chars=False,
    normalization=None,
    explain=False,
)


def repaired(text):
    (answer,), _ = mojibake.repair([text])
    return answer


def suspected(*texts):
    return (Normalize()._look(pl.Series(texts, dtype=pl.String)) & kernels.REPAIR > 0).tolist()


def mangled(text: str) -> Iterator[str]:
    """A text as it looks when its UTF-8 is read in other encodings, twice, or beside something else."""
    for encoding in ENCODINGS:
        try:
            yield (wrong := text.encode().decode(encoding))
            yield f"漢字 {wrong}"
            yield wrong.encode().decode("cp1252")
        except UnicodeDecodeError:
            continue


SENTENCES = (
    "L’œuvre était à l’Opéra, où naïveté et maïs coûtaient 5 €.",
    "Größe und Übermaß – „Grüße“ für Fräulein Müller…",
    "¿Dónde está el niño? ¡Mañana!",
    "Příliš žluťoučký kůň úpěl ďábelské ódy.",
    "Zażółć gęślą jaźń.",
    "Đất nước Việt Nam có nhiều cảnh đẹp.",
    "Съешь ещё этих мягких французских булок.",
    "Ξεσκεπάζω τὴν ψυχοφθόρα βδελυγμία.",
    "我能吞下玻璃而不伤身体。",
    "いろはにほへと ちりぬるを",
    "다람쥐 헌 쳇바퀴에 타고파",
    "مرحبا بالعالم",
    "שלום עולם",
    "हिन्दी में लिखा हुआ",
    "emoji 😀 → “quoted” — dash",
)


@pytest.mark.parametrize("sentence", SENTENCES)
def test_mangled_sentences_come_back(sentence):
    right = unicodedata.normalize("NFC", sentence)
    assert repaired(right) == right and not mojibake.repair([right])[1][0]
    wrong = right.encode().decode("latin-1")
    assert repaired(wrong) == right
    text = f"first\n{wrong}\nNaïve “last”"
    done = Normalize().apply(pl.DataFrame({"text": [text]}), "n")
    assert done["text"].to_list() == [f"first\n{right}\nNaïve “last”"] and done["n.repaired"].to_list() == [1]


@pytest.mark.parametrize("sentence", SENTENCES)
def test_in_whatever_encoding_it_was_read_the_answer_is_that_of_ftfy(sentence):
    for wrong in mangled(sentence):
        assert repaired(wrong) == ftfy.fix_text(wrong, ONLY_ENCODING)


def test_real_sentences_in_75_languages(test_data: Callable[[str], Path]):
    """Mangled they come back as ftfy brings them, from Latin-1 as they were; as they are they stay, unless their
    publisher mangled them."""
    files = sorted((test_data("C-lingua-testdata") / "sentences").iterdir())
    assert len(files) == 75
    wrong, back, tried = set(), 0, 0
    for file in files:
        lines = file.read_text(encoding="utf-8").split("\n")
        answers, _ = mojibake.repair(lines)
        wrong |= {file.stem for line, answer in zip(lines, answers, strict=True) if line != answer}
        right = [line for line in lines[:60] if line in answers and not line.isascii()]
        texts = [text for line in right[::12] for text in mangled(line)]
        assert mojibake.repair(texts)[0] == [ftfy.fix_text(text, ONLY_ENCODING) for text in texts]
        latin = [line.encode().decode("latin-1") for line in right]
        tried += len(latin)
        back += sum(map(str.__eq__, mojibake.repair(latin)[0], right))
    assert back > 0.99 * tried > 1000
    # Every such line has controls of Windows-1252, or letters of UTF-8 read in that or Windows-1250.
    assert wrong == set("af ca cs de fi fr hr hu lg nb pl ro sv tr".split())


def test_hidden_by_no_gate_are_all_neighbours_that_ftfy_knows():
    """All pairs of characters of its categories, with what its longer patterns want around them."""
    known = [
        c for c in map(chr, range(0x80, 0x10000)) if re.match("[" + "".join(MOJIBAKE_CATEGORIES.values()) + "]", c)
    ]
    known += list("Œœ漢 \n")
    assert len(known) > 400
    for left in known:
        texts = [f"{left}{right}" for right in known]
        bad = [bool(BADNESS_RE.search(text)) for text in texts]
        found = pl.Series(texts).str.contains(mojibake.pattern()).to_list()
        assert not any(b and not (f and s) for b, f, s in zip(bad, found, suspected(*texts), strict=True))


LETTERS = st.sampled_from(
    sorted({c for text in SENTENCES for wrong in mangled(text) for c in wrong} | set("aA ÂÃ\xa0œŒ\n°×²³√±‚Ä"))
)


@given(st.text(LETTERS, max_size=8))
def test_hidden_by_no_gate(text):
    if BADNESS_RE.search(text):
        assert pl.Series([text]).str.contains(mojibake.pattern()).item() and suspected(text) == [True]


@given(st.text(LETTERS, max_size=40))
def test_what_is_repaired_is_not_repaired_again(text):
    once = repaired(text)
    assert repaired(once) == once
    assert once == text or suspected(text) == [True]


ORDINARY = (
    "plain ASCII",
    "Café – l’été, déjà vu…",
    "Ångström, Ærø, øl",
    "10 € ½ × ²",
    "漢字",
    "Привет",
    "Þór",
    "ÀÉÎÕÜ ÇÑ",
)


@pytest.mark.parametrize("text", ORDINARY)
def test_ordinary_text_does_not_reach_ftfy(text):
    assert suspected(text) == [False]


def test_what_only_begins_like_a_wrong_encoding_does_not_reach_ftfy(monkeypatch):
    monkeypatch.setattr(mojibake, "repair", None)
    text = "“Café” und „à“"
    assert suspected(text) == [True]
    assert Normalize().apply(pl.DataFrame({"text": [text]}), "n")["text"].to_list() == [text]


@pytest.mark.parametrize(
    "text",
    [
        "Ã" * 100_000,
        "Ã" + "ƒ" * 100_000,  # ftfy: a pass for each character
        "漢" + ("Ã" + "ƒ" * 15 + "漢") * 5_000,
        "Ãƒ" + "Æ’" * 40_000,
        "\x81" * 100_000,
        "a" + "\u0301\u0327" * 200_000,
        "\u200b" * 300_000,
        "\n \n" * 100_000,
        " " * 300_000 + "x" + "\u3000" * 100_000,
    ],
    ids=range(9),
)
def test_texts_made_to_take_long_end(text):
    once = Normalize().apply(pl.DataFrame({"text": [text]}), "n")
    assert once["n.removed"].item() == len(text) - len(once["text"].item())
    assert not Normalize().apply(once.select("text"), "n")["n.changed"].item()


def test_a_pattern_that_is_not_understood_is_an_error(monkeypatch):
    monkeypatch.setattr(mojibake, "BADNESS_RE", re.compile("(?:ab)+"))
    with pytest.raises(ValueError, match="not understood"):
        mojibake._alternatives()
