"""Normalised text: what changes, what must not, what the signals count, and that a second time changes nothing."""

import gzip
import json
import re
import subprocess
import sys
import unicodedata
from collections.abc import Callable
from itertools import product
from pathlib import Path

import polars as pl
import pytest
from hypothesis import given
from hypothesis import strategies as st

from pipeline.normalize import Normalize, kernels

COUNTED = ("repaired", "composed", "line_ends", "invisible", "blanks", "ligatures")


def normalize(*texts, **settings):
    docs = pl.DataFrame({"text": list(texts)}, schema={"text": pl.String})
    return Normalize(**settings).apply(docs, "normalize")


def one(text, **settings):
    return normalize(text, **settings)["text"][0]


@pytest.mark.parametrize(
    ("before", "after", "counts"),
    [
        ("a\r\nb\rc\u2028d\u2029e\x0bf\x0cg", "a\nb\nc\nd\ne\nf\ng", {"line_ends": 6}),
        ("e\u0301 \u212b\nx\ne\u0301", "é Å\nx\né", {"composed": 2}),
        ("a\x00b\x1bc\x7fd\ufefff\u2060g\u00adh\ufffei\U0001fffej", "abcdfghij", {"invisible": 8}),
        ("\u202eright\u202c \u2066x\u2069", "right x", {"invisible": 4}),
        ("zero\u200bwidth", "zerowidth", {"invisible": 1}),
        ("ภาษา\u200bไทย", "ภาษา\u200bไทย", {}),
        ("می\u200cخواهم 👩\u200d💻", "می\u200cخواهم 👩\u200d💻", {}),
        ("a \t\u00a0\nb\u3000\n  c  ", "a\nb\n  c", {"blanks": 6}),
        ("\n\n a\n\n\n\n \n\nb\n\n", " a\n\nb", {"blanks": 9}),
        ("if x:\n\treturn  1\n\n    pass", "if x:\n\treturn  1\n\n    pass", {}),
        ("Markdown's  \nbreak", "Markdown's\nbreak", {"blanks": 2}),
        ("e\u200b\u0301", "é", {"invisible": 1, "composed": 1}),
        ("", "", {}),
        ("  \n ", "", {"blanks": 4}),
        ("\u200b\r\n", "", {"invisible": 1, "line_ends": 1, "blanks": 1}),
        ("sÃ³\nno\nÃ©tÃ©", "só\nno\nété", {"repaired": 2}),
        ("it\x92s\x85", "it’s…", {"repaired": 1}),
        ("Ã\u200b© Ã©", "é é", {"invisible": 1, "repaired": 2}),
        ("oﬃce", "oﬃce", {}),
        (None, None, {}),
    ],
)
def test_what_changes_and_how_much(before, after, counts):
    row = normalize("x", before, "y").row(1, named=True)
    assert row.pop("text") == after
    if before is None:
        assert set(row.values()) == {None}
        return
    assert row.pop("normalize.changed") is (before != after)
    assert row.pop("normalize.removed") == len(before) - len(after)
    assert row == {f"normalize.{signal}": counts.get(signal, 0) for signal in COUNTED}


def test_settings():
    assert one("oﬃce ﬁxed ﬆ", ligatures=True) == "office fixed st"
    assert one("ﬁ\u0300", ligatures=True) == "fì"
    assert normalize("oﬃce ﬁxed", ligatures=True)["normalize.ligatures"].to_list() == [2]
    assert one("sÃ³ it\x92s\x85", mojibake=False) == "sÃ³ its"  # U+0085 ends a line
    assert Normalize(mojibake=False).identity() == {} and Normalize().identity().keys() == {"ftfy"}


MESSY = st.text(
    st.sampled_from("ab \t\n\r\x0b\x00\u00a0\u3000\u200b\u200d\u00ad\ufeff\u0301\u0327ก\u2028가각\u1100\u1161ậéﬁ")
)
GARBLED = st.text(st.sampled_from("aé ÃÂâ€™“\x80\x93©ƒ\u00adÐ¡œ\u200b\n漢"), max_size=12)
TEXTS = st.one_of(st.text(), MESSY, GARBLED)


@given(TEXTS, st.booleans(), st.booleans())
def test_a_second_time_changes_nothing(text, mojibake, ligatures):
    once = one(text, mojibake=mojibake, ligatures=ligatures)
    twice = normalize(once, mojibake=mojibake, ligatures=ligatures)
    assert twice["text"][0] == once and not twice["normalize.changed"][0]
    assert twice.select(pl.sum_horizontal(f"normalize.{signal}" for signal in COUNTED)).item() == 0
    assert unicodedata.is_normalized("NFC", once)
    assert "\r" not in once and "\n\n\n" not in once and not any(line != line.rstrip() for line in once.split("\n"))


@given(st.one_of(st.text(), MESSY))
def test_no_letter_is_lost(text):
    def letters(of):
        return [c for c in unicodedata.normalize("NFC", "".join(c for c in of if c.isalnum())) if c.isalnum()]

    once = one(text, mojibake=False)
    assert letters(unicodedata.normalize("NFD", once)) == letters(unicodedata.normalize("NFD", text))


INVISIBLE = r"[\x00-\x08\x0e-\x1f\x7f-\x84\x86-\x9f\xad\u2060-\u206f\u202a-\u202e\ufeff\ufff9-\ufffb\ufdd0-\ufdef]"
UNSPACED = re.compile(r"[ก-ฺเ-๎ກ-ໟༀ-࿚က-႟ក-៝\u1b00-\u1b7fꦀ-꧀]")


def by_regular_expressions(text):
    """The rules but for encodings, one after the other."""
    text = re.sub(r"\r\n|[\r\x0b\x0c\x85\u2028\u2029]", "\n", text)
    text = "".join(c for c in re.sub(INVISIBLE, "", text) if ord(c) & 0xFFFE != 0xFFFE)
    if not UNSPACED.search(text):
        text = text.replace("\u200b", "")
    text = unicodedata.normalize("NFC", text)
    text = "\n".join(line.rstrip("\t \xa0\u1680\u202f\u205f\u3000" + "".join(map(chr, range(0x2000, 0x200B))))
                     for line in text.split("\n"))  # fmt: skip
    return re.sub(r"\n{3,}", "\n\n", text).strip("\n")


@given(st.lists(TEXTS, max_size=6))
def test_the_rules_done_one_after_the_other_give_the_same(texts):
    assert normalize(*texts, mojibake=False)["text"].to_list() == [by_regular_expressions(text) for text in texts]


def test_every_character_alone_and_every_pair_that_unicode_composes():
    everything = [chr(c) for c in range(0x110000) if not 0xD800 <= c < 0xE000]
    pairs = [unicodedata.decomposition(c) for c in everything]
    pairs = ["".join(chr(int(part, 16)) for part in pair.split()) for pair in pairs if pair and pair[0] != "<"]
    marks = [c for c in everything if unicodedata.combining(c)]
    # A mark that may be composed, after every letter that has one already: the order of two may be the wrong one.
    stacked = [
        f"{c}{mark}" for c in everything[:0x2000] if unicodedata.decomposition(c)[:1].isalnum() for mark in marks
    ]
    for texts in (everything, pairs, stacked):
        column = pl.Series([f"x{text}x" for text in texts])
        found = Normalize(mojibake=False)._look(column) & kernels.COMPOSE > 0
        assert not (column.str.normalize("NFC").ne(column).to_numpy() & ~found).any()
        assert not [text for text, flag in zip(column, found, strict=True)
                    if not flag and not unicodedata.is_normalized("NFC", text)]  # fmt: skip


@given(st.text(st.sampled_from("aeoâậẹ\u0301\u0302\u0323\u0327\u0328\u0345\u0653ا가각\u11a8ড়न\u093cে\u09be")))
def test_what_is_not_composed_is_found(text):
    assert one(f"x{text}x") == unicodedata.normalize("NFC", f"x{text}x")


def test_many_rows_keep_their_places():
    texts = [(f"row {i} \r\n", "Ã©\n" + "line\n" * i, f"row {i}", None, f"e\u0301 {i}")[i % 5] for i in range(500)]
    done = normalize(*texts)
    assert done["text"].to_list() == [
        (f"row {i}", ("é\n" + "line\n" * i).strip(), f"row {i}", None, f"é {i}")[i % 5] for i in range(500)
    ]
    assert done["normalize.changed"].to_list() == [(True, True, False, None, True)[i % 5] for i in range(500)]
    assert done.select("text").equals(Normalize().apply(done.select("text"), "n").select("text"))


def test_nothing_is_compiled_after_the_way_through_without_texts():
    program = (
        "import polars as pl\n"
        "from pipeline.normalize import Normalize, kernels\n"
        "made = lambda: [str(kernel.signatures) for kernel in (kernels.look, kernels.clean)]\n"
        "Normalize().apply(pl.DataFrame(schema={'text': pl.String}), 'n')\n"
        "before = made()\n"
        "Normalize(ligatures=True).apply(pl.DataFrame({'text': [None, 'a ', '\\u00c3\\u00a9', 'e\\u0301']}), 'n')\n"
        "assert '[]' not in before and before == made(), (before, made())\n"
    )
    subprocess.run([sys.executable, "-c", program], check=True, cwd=Path(__file__).parents[2])


def test_texts_in_order_stay_as_they_are(test_data: Callable[[str], Path]):
    """Whole works, but for what stands at the ends of their lines."""
    for name, wrong in (("books_en_dev14", 0), ("docs_python_rst", 0), ("latex_openlogic", 0),
                        ("code_thealgorithms_mit", 1), ("wikipedia_en_dump_excerpt", 1)):  # fmt: skip
        with gzip.open(test_data("READY-jsonl") / f"{name}.jsonl.gz", "rt", encoding="utf-8") as lines:
            texts = [json.loads(line)["text"] for line in lines]
        done = normalize(*texts)
        # One link was read wrongly three times over, and one dash is a control of Windows-1252.
        assert done["normalize.repaired"].sum() == wrong
        right = done.filter(pl.col("normalize.repaired") == 0)["text"].to_list()
        expected = [by_regular_expressions(text) for text in texts[::8]]
        assert len(set(expected) - set(right)) <= wrong


def test_characters_of_each_block_survive_beside_each_other():
    kept = [
        chr(c) for c in (0xE9, 0x416, 0x5D0, 0x628, 0x93F, 0xE01, 0x1EAD, 0x4E2D, 0xAC00, 0x1F600, 0x20000, 0xE0100)
    ]
    texts = ["".join(three) for three in product(kept, repeat=3)]
    assert normalize(*texts)["text"].to_list() == texts
