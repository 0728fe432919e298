"""Parallel corpora: every good pair is in one document, every other one is a record that says why it is not."""

import gzip
import re
import xml.sax.saxutils as sax

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import ValidationError

from pipeline.readers import ParallelReader

PAIRS = [
    ("The house is small.", "Das Haus ist klein."),
    ("She reads a book.", "Sie liest ein Buch."),
    ("", "Allein."),
    ("Berlin", "berlin "),
    ("Yes.", "Ja, das ist ganz und gar richtig, und es gibt nichts, was dagegen spräche, auch morgen nicht."),
    ("{source} & <b>", "Ein {Wort} & <b>"),
    ("x", "y"),
]
REASONS = [None, None, "read.empty_pair", "read.identical", "read.length_ratio", None, "read.length"]
ONE = {"document_chars": 1, "templates": ["{source} => {target}"]}


def moses(folder, pairs, pack=bytes, suffix="", ending="\n"):
    folder.mkdir(exist_ok=True)
    for side, language in enumerate(("en", "de")):
        text = ending.join(pair[side] for pair in pairs) + ending
        (folder / f"corpus.{language}{suffix}").write_bytes(pack(text.encode()))
    return folder / f"corpus.en{suffix}"


def tsv(folder, pairs, pack=bytes, suffix=""):
    path = folder / f"x.tsv{suffix}"
    path.write_bytes(pack("".join(f"0.9\t{a}\t{b}\tnote\n" for a, b in pairs).encode()))
    return path


def tmx(folder, pairs, encoding="utf-8", pack=bytes, suffix="", first="<tu>"):
    units = "".join(
        f'{first}<prop>x</prop><tuv xml:lang="de-DE"><seg>{sax.escape(b)}</seg></tuv><tuv '
        f'xml:lang="EN"><seg>{sax.escape(a)}'
        "</seg></tuv></tu>\n"
        for a, b in pairs
    )
    text = (
        f'<?xml version="1.0" encoding="{encoding}"?>\n<!DOCTYPE tmx SYSTEM "tmx14.dtd"><tmx><body>{units}</body></tmx>'
    )
    path = folder / f"x.tmx{suffix}"
    path.write_bytes(pack(text.encode(encoding)))
    return path


def reader(**settings):
    return ParallelReader(source="en", target="de", **settings)


CORPORA = {
    "moses": lambda folder: (moses(folder, PAIRS), {}),
    "moses, windows": lambda folder: (moses(folder, PAIRS, ending="\r\n"), {}),
    "moses, packed": lambda folder: (moses(folder, PAIRS, gzip.compress, ".gz"), {}),
    "tsv": lambda folder: (tsv(folder, PAIRS), {"columns": [1, 2]}),
    "tsv, packed": lambda folder: (tsv(folder, PAIRS, gzip.compress, ".gz"), {"columns": [1, 2]}),
    "tmx": lambda folder: (tmx(folder, PAIRS), {}),
    "tmx, utf-16": lambda folder: (tmx(folder, PAIRS, "utf-16"), {}),
    "tmx, packed": lambda folder: (tmx(folder, PAIRS, pack=gzip.compress, suffix=".gz", first='<tu tuid="1">'), {}),
}


@pytest.mark.parametrize("kind", CORPORA)
def test_pairs_and_reasons(tmp_path, read_all, kind):
    path, settings = CORPORA[kind](tmp_path)
    records, ignored = read_all(reader(**ONE, **settings), path)
    assert [record.drop for record in records] == REASONS and not ignored
    good = [pair for pair, reason in zip(PAIRS, REASONS, strict=True) if reason is None]
    assert [record.text for record in records if not record.drop] == [f"{a} => {b}" for a, b in good]
    assert records[3].text == "Berlin\nberlin"  # a pair that is left out can be looked at
    assert {record.language for record in records if not record.drop} == {"en"}
    assert all(record.signals["target_language"] == "de" for record in records)
    ratio = records[0].signals["length_ratio"]
    assert ratio == pytest.approx((len(PAIRS[0][0]) + 10) / (len(PAIRS[0][1]) + 10), abs=1e-3)


def test_settings_of_what_is_left_out(tmp_path, read_all):
    path = moses(tmp_path, PAIRS)
    records, _ = read_all(reader(**ONE, drop_identical=False, max_ratio=100, min_chars=1), path)
    assert [record.drop for record in records] == [None, None, "read.empty_pair", None, None, None, None]
    assert sum(record.drop == "read.length" for record in read_all(reader(**ONE, max_chars=18), path)[0]) == 4


def test_scripts_that_say_more_with_a_character(tmp_path, read_all):
    english = "The weather is beautiful today, so we would like to go to the park together."
    path = tmp_path / "x.tsv"
    path.write_text(f"{english}\t今天天气很好，所以我们想一起去公园。\n")
    [record], _ = read_all(ParallelReader(source="en", target="zh", max_ratio=1.6, **ONE), path)
    assert record.drop is None


@given(
    pairs=st.lists(
        st.tuples(st.text("abcdefgh ", min_size=1, max_size=30), st.text("ijklmnop ", min_size=1, max_size=30)),
        max_size=40,
    ),
    chars=st.integers(1, 120),
    split_bytes=st.integers(1, 600),
)
def test_splits_cut_nothing(tmp_path_factory, read_all, pairs, chars, split_bytes):
    path = tmp_path_factory.getbasetemp() / "splits.tsv"
    path.write_text("".join(f"{a}\t{b}\n" for a, b in pairs))
    made = reader(document_chars=chars, max_ratio=1000, min_chars=1, templates=["{source}|{target}"], separator="\n")
    whole = read_all(made, path)
    good = [f"{a.strip()}|{b.strip()}" for a, b in pairs if a.strip() and b.strip()]
    assert "\n".join(record.text for record in whole[0] if not record.drop) == "\n".join(good)
    assert sum(record.signals["pairs"] for record in whole[0]) == len(pairs)
    assert read_all(made, path, split_bytes) == whole


def test_pairs_are_joined_to_documents(tmp_path, read_all):
    pairs = [(f"Sentence number {i}.", f"Satz mit der Nummer {i}.") for i in range(100)]
    for path, settings in (
        (moses(tmp_path, pairs), {}),
        (tmx(tmp_path, pairs), {}),
        (tsv(tmp_path, pairs), {"columns": [1, 2]}),
    ):
        records, _ = read_all(reader(document_chars=400, templates=["{source}\t{target}"], **settings), path)
        text = "\n\n".join(record.text for record in records)
        assert text == "\n\n".join("\t".join(pair) for pair in pairs)
        sizes = [len(record.text.replace("\n\n", "").replace("\t", "")) for record in records]
        assert all(400 <= size < 450 for size in sizes[:-1]) and len(records) > 5
        assert sum(record.signals["pairs"] for record in records) == 100


def test_templates(tmp_path, read_all):
    pairs = [(f"Sentence {i}.", f"Satz {i}.") for i in range(400)]
    path = moses(tmp_path, pairs)
    templates = ["{source_name}: {source}\n{target_name}: {target}", "{target} <- {source}", "{source}{target}"]
    records, _ = read_all(reader(document_chars=1, templates=templates), path)
    used = [record.signals["template"] for record in records]
    assert {used.count(choice) > 80 for choice in range(3)} == {True}
    for record, choice, (a, b) in zip(records, used, pairs, strict=True):
        assert record.text == [f"English: {a}\nGerman: {b}", f"{b} <- {a}", f"{a}{b}"][choice]
    moved = moses(tmp_path / "other", pairs[200:])  # a pair has its template wherever it stands
    assert [
        record.signals["template"] for record in read_all(reader(document_chars=1, templates=templates), moved)[0]
    ] == used[200:]


@pytest.mark.parametrize("template", ["{source}", "{source} {target} {other}", "no places"])
def test_templates_are_checked(template):
    with pytest.raises(ValidationError, match="a template needs"):
        reader(templates=[template])


def test_the_other_file(tmp_path, read_all):
    path = moses(tmp_path, PAIRS)
    assert read_all(reader(), tmp_path / "corpus.de") == ([], {})  # it is read with corpus.en
    (tmp_path / "corpus.de").unlink()
    with pytest.raises(ValueError, match="is not there: .*corpus.de"):
        read_all(reader(), path)
    other = tmp_path / "corpus.fr"
    other.write_text("x")
    with pytest.raises(ValueError, match="no '.en'"):
        read_all(reader(), other)


def test_files_of_different_length(tmp_path, read_all):
    path = moses(tmp_path, PAIRS[:2])
    for name in ("corpus.en", "corpus.de"):
        with (tmp_path / name).open("a") as file:
            file.write("One line too many.\n")
        records, _ = read_all(reader(**ONE), path)
        assert [record.error for record in records] == [
            None,
            None,
            *(["read.line_count"] if name == "corpus.en" else [None]),
        ]
    (tmp_path / "corpus.de").write_text("a b\nc d\ne f\ng h\n")
    assert read_all(reader(**ONE), path)[0][-1].error == "read.line_count"


def test_damage_costs_only_the_pairs_it_hit(tmp_path, read_all):
    rows = [
        b"0\tA house\tEin Haus",
        b"0\tA \xff house\tEin Haus",
        b"0\tno other side",
        b"0\t" + b"x" * 5000 + b"\ty",
        b"0\tA tree\tEin Baum",
    ]
    path = tmp_path / "x.tsv"
    path.write_bytes(b"\n".join(rows))
    records, _ = read_all(reader(columns=(1, 2), max_record_bytes=2000, **ONE), path)
    assert [record.error for record in records] == [None, "read.utf8", "read.columns", "read.too_large", None]
    packed = gzip.compress(b"".join(b"0\tA house %d\tEin Haus %d\n" % (i, i * i) for i in range(5000)))
    path = tmp_path / "y.tsv.gz"
    path.write_bytes(packed[: len(packed) // 2])
    *good, last = read_all(reader(columns=(1, 2), **ONE), path)[0]
    assert last.error == "read.truncated" and 1000 < len(good) < 5000


def test_damaged_units(tmp_path, read_all):
    path = tmx(tmp_path, [(f"Sentence {i}", f"Satz {i}") for i in range(6)])
    text = path.read_text().split("<tu>")
    text[2] = text[2].replace("</seg>", "</sag>", 1)
    text[4] = text[4].replace("</tu>", "")
    text[5] = text[5].replace("Satz", "&bomb;").replace("Sentence", "&#x53;&lt;")
    path.write_text("<tu>".join(text))
    records, _ = read_all(reader(**ONE), path)
    assert [record.error for record in records] == [None, "read.xml", None, "read.truncated", "read.xml", None]
    path.write_text("<tu>".join(text)[: len("<tu>".join(text)) - 60])
    assert read_all(reader(**ONE), path)[0][-1].error == "read.truncated"
    path.write_text("<tmx><tu>" + "x" * 300_000 + "<tu>" + "y" * 10)
    assert [record.error for record in read_all(reader(max_record_bytes=2000), path)[0]] == [
        "read.too_large",
        "read.truncated",
    ]


def test_codes_of_a_layout_are_no_text(tmp_path, read_all):
    unit = (
        '<tu><tuv xml:lang="en"><seg>A <bpt i="1">&lt;b&gt;<sub>code</sub></bpt>bold<ept '
        'i="1">&lt;/b&gt;</ept> <hi>word</hi>'
        '<ph>x</ph>.</seg></tuv><tuv lang="de"><seg>Ein Wort\n  mehr.</seg></tuv><tuv '
        'xml:lang="fr"><seg>Non</seg></tuv></tu>'
    )
    path = tmp_path / "x.tmx"
    path.write_text(f"<tmx><body>{unit}</body></tmx>")
    [record], _ = read_all(reader(**ONE), path)
    assert record.text == "A bold word. => Ein Wort mehr."


def test_languages_with_regions(tmp_path, read_all):
    path = tmp_path / "x.tmx"
    path.write_text(re.sub(r'"EN"', '"en_US"', tmx(tmp_path, PAIRS[:1]).read_text()))
    for source in ("en", "en-US", "EN"):
        [record], _ = read_all(ParallelReader(source=source, target="de", **ONE), path)
        assert record.text is not None and record.drop is None
    [record], _ = read_all(ParallelReader(source="en-GB", target="de", **ONE), path)
    assert record.drop == "read.empty_pair"
