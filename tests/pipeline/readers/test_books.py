"""Books: every chapter of a book comes out, and nothing of what is put around it."""

import gzip
import io
import json
import re
import zipfile

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pipeline.readers import BooksReader
from pipeline.readers.books.chapters import split_at, with_headings
from pipeline.readers.books.gutenberg import COPYRIGHTED, PUBLIC_DOMAIN, strip
from pipeline.readers.prose import blocks_of

CONTAINER = (
    '<?xml version="1.0"?><container xmlns="urn:oasis:names:tc:opendocument:xmlns:container" version="1.0"><rootfiles>'
    '<rootfile full-path="OPS/book.opf" media-type="application/oebps-package+xml"/></rootfiles></container>'
)
OPF = """<?xml version="1.0"?><package xmlns="http://www.idpf.org/2007/opf" version="3.0" unique-identifier="id">
<metadata xmlns:dc="http://purl.org/dc/elements/1.1/" xmlns:opf="http://www.idpf.org/2007/opf">
<dc:identifier id="id">http://example.org/book/7</dc:identifier><dc:title>The
 Whale</dc:title><dc:creator opf:role="aut">Herman Melville</dc:creator><dc:creator opf:role="ill">R. Kent</dc:creator>
<dc:language>en-GB</dc:language><dc:date>1851-10-18</dc:date><dc:rights>Public domain</dc:rights></metadata>
<manifest>{items}</manifest><spine toc="ncx">{refs}</spine><guide>{guide}</guide></package>"""
PAGE = (
    '<?xml version="1.0" encoding="utf-8"?><!DOCTYPE html><html xmlns="http://www.w3.org/1999/xhtml" '
    'xmlns:epub="http://www.idpf.org/2007/ops"><head><title/><script src="x.js"/></head><body>{}</body></html>'
)
NAV = PAGE.format('<nav epub:type="toc"><ol><li><a href="three.xhtml#x">The Third</a></li></ol></nav>')
NCX = (
    '<ncx xmlns="http://www.daisy.org/z3986/2005/ncx/"><navMap><navPoint><navLabel><text>The Third</text></navLabel>'
    '<content src="three.xhtml"/></navPoint></navMap></ncx>'
)
CHAPTERS = {
    "cover.xhtml": '<img src="c.jpg" alt="Cover"/><p>Cover page</p>',
    "one.xhtml": '<h2>CHAPTER I.<br/>Loomings</h2><p>Call me <i>Ishmael</i>.<span epub:type="pagebreak">12</span></p>',
    "list.xhtml": "<h2>Contents</h2>"
    + "".join(f'<p><a href="c{i}.xhtml">Chapter number {i}</a></p>' for i in range(9)),
    "two.xhtml": '<a id="p"/><h2>CHAPTER II.</h2><p>A &amp; b&#8212;c<a epub:type="noteref" '
    'href="#n">1</a>.</p><p/><p>End</p>',
    "three.xhtml": "<p>No heading of its own.</p>",
}
TEXT = """## CHAPTER I. Loomings

Call me Ishmael.

## CHAPTER II.

A & b—c[1].

End

## The Third

No heading of its own."""


def epub(path, pages=CHAPTERS, version=3, extra=(), opf=OPF, order=None):
    items = "".join(
        f'<item id="i{n}" href="{name}" media-type="application/xhtml+xml"/>' for n, name in enumerate(pages)
    )
    refs = "".join(f'<itemref idref="i{n}"/>' for n in (order or range(len(pages))))
    guide = '<reference type="cover" href="cover.xhtml"/>'
    if version == 3:
        items += '<item id="nav" href="nav.xhtml" media-type="application/xhtml+xml" properties="nav"/>'
        refs += '<itemref idref="nav"/>'
    else:
        items += '<item id="ncx" href="toc.ncx" media-type="application/x-dtbncx+xml"/>'
    with zipfile.ZipFile(path, "w") as made:
        made.writestr("mimetype", "application/epub+zip")
        made.writestr("META-INF/container.xml", CONTAINER)
        made.writestr("OPS/book.opf", opf.format(items=items, refs=refs, guide=guide))
        made.writestr("OPS/nav.xhtml" if version == 3 else "OPS/toc.ncx", NAV if version == 3 else NCX)
        for name, body in pages.items():
            made.writestr(f"OPS/{name}", PAGE.format(body), zipfile.ZIP_DEFLATED)
        for name, data in extra:
            made.writestr(name, data, zipfile.ZIP_DEFLATED)
    return path


@pytest.mark.parametrize("version", [2, 3])
def test_epub(tmp_path, read_all, version):
    [record], _ = read_all(BooksReader(), epub(tmp_path / "a.epub", version=version))
    assert record.text == TEXT
    assert (record.language, record.date, record.license) == ("en", "1851-10-18", "Public domain")
    assert record.doc_id == record.url == "http://example.org/book/7"
    assert (record.title, record.author) == ("The Whale", "Herman Melville")
    assert record.signals == {"gutenberg": False, "chapters": 3}


def test_chapters_as_documents(tmp_path, read_all):
    records, _ = read_all(BooksReader(per="chapter"), epub(tmp_path / "a.epub"))
    assert "\n\n".join(record.text for record in records) == TEXT
    assert [record.signals["chapter"] for record in records] == ["CHAPTER I. Loomings", "CHAPTER II.", "The Third"]
    assert [record.offset for record in records] == [0, 1, 2]


def test_the_order_is_that_of_the_spine(tmp_path, read_all):
    [record], _ = read_all(BooksReader(), epub(tmp_path / "a.epub", order=[3, 1]))
    assert record.text.index("CHAPTER II.") < record.text.index("CHAPTER I.")


def encryption(uri, algorithm):
    return (
        "META-INF/encryption.xml",
        '<encryption xmlns="urn:oasis:names:tc:opendocument:xmlns:container" xmlns:e="http://www.w3.org/2001/04/xmlenc#">'
        f'<e:EncryptedData><e:EncryptionMethod Algorithm="{algorithm}"/><e:CipherData><e:CipherReference URI="{uri}"/>'
        "</e:CipherData></e:EncryptedData></encryption>",
    )


def test_what_is_encrypted(tmp_path, read_all):
    locked = epub(
        tmp_path / "a.epub", extra=[encryption("OPS/one.xhtml", "http://www.w3.org/2001/04/xmlenc#aes128-cbc")]
    )
    assert [record.error for record in read_all(BooksReader(), locked)[0]] == ["read.encrypted"]
    fonts = epub(tmp_path / "b.epub", extra=[encryption("OPS/font.otf", "http://www.idpf.org/2008/embedding")])
    assert [record.text for record in read_all(BooksReader(), fonts)[0]] == [TEXT]
    data = bytearray(epub(tmp_path / "c.epub").read_bytes())
    place = data.rindex(b"PK\x01\x02", 0, data.rindex(b"OPS/one.xhtml"))
    data[place + 8] |= 1  # the flag of a member with a password
    (tmp_path / "c.epub").write_bytes(data)
    assert [record.error for record in read_all(BooksReader(), tmp_path / "c.epub")[0]] == ["read.encrypted"]


def test_damage(tmp_path, read_all):
    path = epub(tmp_path / "a.epub")
    data = bytearray(path.read_bytes())
    header = data.index(
        b"PK\x03\x04", data.index(b"toc") if b"OPS/one" not in data else data.index(b"OPS/one.xhtml") - 30
    )
    data[header + 60 : header + 70] = b"\xff" * 10  # inside what is packed of the first chapter
    path.write_bytes(data)
    [record], _ = read_all(BooksReader(), path)
    assert record.error == "read.corrupt" and b"CHAPTER II." in record.html
    records, _ = read_all(BooksReader(per="chapter"), path)
    assert [record.text and record.text[:13] for record in records] == ["## CHAPTER II", "## The Third\n", None]
    assert records[-1].error == "read.corrupt"
    path.write_bytes(data[: len(data) // 2])
    assert [record.error for record in read_all(BooksReader(), path)[0]] == ["read.zip"]


@pytest.mark.parametrize(
    ("opf", "error"),
    [
        ("<package/>", "read.package"),
        ("not xml", "read.package"),
        (
            "<!DOCTYPE p [<!ENTITY a 'x'><!ENTITY b '&a;&a;'>]><package><metadata>&b;</metadata></package>",
            "read.package",
        ),
        (
            OPF.replace("{items}", '<item id="i0" href="gone.xhtml" media-type="application/xhtml+xml"/>'),
            "read.missing_member",
        ),
        (
            OPF.replace("{items}", '<item id="i0" href="../../../etc/passwd" media-type="text/html"/>'),
            "read.missing_member",
        ),
    ],
)
def test_packages_that_lead_nowhere(tmp_path, read_all, opf, error):
    path = epub(tmp_path / "a.epub", {"one.xhtml": "x"}, opf=opf)
    assert [record.error for record in read_all(BooksReader(), path)[0]] == [error]


def test_bombs(tmp_path, read_all):
    path = epub(tmp_path / "a.epub", {**CHAPTERS, "bomb.xhtml": " " * 5_000_000})
    assert path.stat().st_size < 20_000
    reader = BooksReader(max_record_bytes=1_000_000)
    assert [record.error for record in read_all(reader, path)[0]] == ["read.too_large"]
    text = tmp_path / "b.txt.gz"
    text.write_bytes(gzip.compress(b"word " * 1_000_000))
    assert [record.error for record in read_all(reader, text)[0]] == ["read.too_large"]


STORY = (
    "CHAPTER I\n\nIt was a dark and stormy night; the rain fell in torrents, except at\noccasional "
    "intervals, when it was "
    "checked by a violent gust of wind\nwhich swept up the streets.\n\n_Such_ nights are [Pg 12]rare.\n"
)
CLEAN = (
    "## CHAPTER I\n\nIt was a dark and stormy night; the rain fell in torrents, except at occasional "
    "intervals, when it was "
    "checked by a violent gust of wind which swept up the streets.\n\nSuch nights are rare."
)
MODERN_HEAD = """The Project Gutenberg eBook of Paul Clifford

This ebook is for the use of anyone anywhere in the United States and most other parts of the world.

Title: Paul Clifford
       A Novel

Author: Edward Bulwer-Lytton

Release date: July 1, 2005 [eBook #7735]
                Most recently updated: December 30, 2020

Language: English

"""
VARIANTS = {
    "2020s": (
        MODERN_HEAD + "Credits: David Widger\n\n*** START OF THE PROJECT GUTENBERG EBOOK PAUL CLIFFORD ***\n\n\n",
        "\n\n*** END OF THE PROJECT GUTENBERG EBOOK PAUL CLIFFORD ***\n\nUpdated editions will replace the "
            "previous one.\n",
    ),
    "2010s, a long title and credits": (
        MODERN_HEAD
        + "*** START OF THIS PROJECT GUTENBERG EBOOK PAUL CLIFFORD, A NOVEL IN\nMANY VOLUMES "
            "***\n\nProduced by David Widger "
        "and the Online\nDistributed Proofreading Team at http://www.pgdp.net (This\nfile was produced from "
            "images)\n\n\n",
        "\n\nEnd of the Project Gutenberg EBook of Paul Clifford, by Edward Bulwer-Lytton\n\n*** END OF "
            "THIS PROJECT GUTENBERG "
        "EBOOK PAUL CLIFFORD ***\n\n***** This file should be named 7735.txt or 7735.zip *****\n",
    ),
    "2000s, no space": (
        "Project Gutenberg's Paul Clifford, by Edward Bulwer-Lytton\n\nRelease Date: July, 2005 [EBook "
            "#7735]\n\n***START OF THE "
        "PROJECT GUTENBERG EBOOK PAUL CLIFFORD***\n\nE-text prepared by David Widger\n\nNote: Project "
            "Gutenberg also has an HTML "
        "version of this file.\n\n",
        "\n\n***END OF THE PROJECT GUTENBERG EBOOK PAUL CLIFFORD***\n\n******* This file should be named "
            "7735.txt *******\n",
    ),
    "1990s, small print": (
        "***The Project Gutenberg Etext of Paul Clifford, by Edward Bulwer-Lytton***\n\nJuly, 1994  [Etext "
            "#7735]\n\n***START**THE "
        "SMALL PRINT!**FOR PUBLIC DOMAIN ETEXTS**START***\nWhy is this \"Small Print!\" statement "
            "here?\n\n*END*THE SMALL PRINT! "
        "FOR PUBLIC DOMAIN ETEXTS*Ver.04.29.93*END*\n\n\nThis etext was prepared by David Widger\n\n\n",
        "\n\nEnd of Project Gutenberg Etext of Paul Clifford\n",
    ),
    "1990s, small print behind the text": (
        "**This is the Project Gutenberg Etext of Paul Clifford**\n\n",
        "\n\nEnd of The Project Gutenberg Etext of Paul Clifford\n\n***START**THE SMALL PRINT!**\nWhy is this here?\n"
        + "More of it.\n" * 30
        + "*END*THE SMALL PRINT! FOR PUBLIC DOMAIN ETEXTS*Ver.04.29.93*END*\n",
    ),
    "German": (
        "The Project Gutenberg EBook of Paul Clifford\n\n*** START OF THIS PROJECT GUTENBERG EBOOK PAUL "
            "CLIFFORD ***\n\n\n",
        "\n\nEnde dieses Projekt Gutenberg Etextes Paul Clifford\n",
    ),
    "copyrighted": (
        "This is a COPYRIGHTED Project Gutenberg eBook, details below.\n\n*** START OF THE COPYRIGHTED "
            "PROJECT GUTENBERG EBOOK "
        "X ***\n\n",
        "\n\n*** END OF THE COPYRIGHTED PROJECT GUTENBERG EBOOK X ***\n",
    ),
}  # fmt: skip


@pytest.mark.parametrize("variant", VARIANTS)
@pytest.mark.parametrize("ending", ["\n", "\r\n"])
def test_project_gutenberg(tmp_path, read_all, variant, ending):
    head, foot = VARIANTS[variant]
    path = tmp_path / "pg.txt"
    path.write_bytes((head + STORY + foot).replace("\n", ending).encode())
    [record], _ = read_all(BooksReader(), path)
    assert record.text == CLEAN
    assert record.signals["gutenberg"] is True
    assert record.license == (COPYRIGHTED if variant == "copyrighted" else PUBLIC_DOMAIN)
    assert record.doc_id == ("7735" if "#7735" in head else "pg.txt")


def test_what_the_header_says(tmp_path, read_all):
    path = tmp_path / "pg.txt"
    path.write_text(VARIANTS["2020s"][0] + STORY + VARIANTS["2020s"][1])
    [record], _ = read_all(BooksReader(), path)
    assert (record.title, record.author) == ("Paul Clifford A Novel", "Edward Bulwer-Lytton")
    assert (record.date, record.language) == ("2005-07-01", "en")
    assert record.url == "https://www.gutenberg.org/ebooks/7735"
    kept, _ = read_all(BooksReader(gutenberg=False), path)
    assert "START OF THE PROJECT" in kept[0].text and "_Such_" in kept[0].text


def test_the_encoding_that_the_header_names(tmp_path, read_all):
    text = (
        "Character set encoding: ISO-8859-5\n\n*** START OF THIS PROJECT GUTENBERG EBOOK X ***\n\nМой "
        "дядя самых честных правил\n"
    )
    path = tmp_path / "x.txt"
    path.write_bytes(text.encode("iso-8859-5"))
    assert read_all(BooksReader(), path)[0][0].text == "Мой дядя самых честных правил"


def test_a_gutenberg_epub(tmp_path, read_all):
    pages = {
        "a.xhtml": "<p>The Project Gutenberg eBook of X</p><p>*** START OF THE PROJECT GUTENBERG EBOOK X "
        "***</p><h1>X</h1>",
        "b.xhtml": "<h2>CHAPTER I</h2><p>Text.</p><h2>CHAPTER II</h2><p>More.</p>",
        "c.xhtml": "<p>The end.</p><p>*** END OF THE PROJECT GUTENBERG EBOOK X ***</p><p>Licence.</p>",
        "three.xhtml": "<p>Section 1. General Terms</p>",
    }
    [record], _ = read_all(BooksReader(), epub(tmp_path / "a.epub", pages))
    assert record.text == "# X\n\n## CHAPTER I\n\nText.\n\n## CHAPTER II\n\nMore.\n\nThe end."
    assert record.signals["gutenberg"] is True and record.signals["chapters"] == 2


def test_texts_of_others_are_not_touched():
    for text in ("A text about Gutenberg.\n" * 40, "", "x", STORY):
        assert strip(text).text == text


PROSE = (
    "    The first line is set in, as printers did it, and the lines of this\nparagraph are all filled up "
    "to the same width, "
    "but for the last of\nthem, which ends where the paragraph ends.\n"
)
VERSE = (
    "Tyger Tyger, burning bright,\nIn the forests of the night;\n  What immortal hand or eye,\nCould "
    "frame thy symmetry?"
)
TABLE = "Name          Age     Town\nAnna           12     Ulm\nBert            9     Bonn"
QUOTED = "\n".join("     " + line for line in PROSE.split("\n") if line)


def test_prose_is_joined_and_verse_is_not():
    text = "\n\n".join([PROSE.strip("\n"), VERSE, PROSE.strip("\n"), TABLE, QUOTED])
    one = " ".join(PROSE.split())
    assert blocks_of(text) == [one, VERSE, one, TABLE, one]
    assert blocks_of(text, join=False)[0] == PROSE.rstrip("\n")


def test_dashes_and_hyphens_at_the_ends_of_lines():
    lines = [
        "a line that has been filled up to its width with the words of it--",
        "and another one, in which a word has a hyphen where it ends: self-",
        "contained. The third - as it is - keeps all of its own dashes, and -",
        "by itself - its spaces.",
    ]
    blocks = blocks_of((PROSE.strip("\n") + "\n\n") * 5 + "\n".join(lines))
    assert blocks[-1] == f"{lines[0]}{lines[1]}{lines[2]} {lines[3]}"


def test_paragraphs_without_blank_lines():
    text = "\n".join(" ".join(PROSE.split()).replace("printers", f"printers{i}") for i in range(9))
    assert blocks_of(text) == text.split("\n")
    wrapped = (PROSE.replace("    The", "The")) * 9
    assert blocks_of(wrapped) == [" ".join(PROSE.split())] * 9


@given(st.text("abc \n-.#*|\t", max_size=300), st.booleans())
def test_no_word_is_lost(text, join):
    out = "\n\n".join(with_headings(blocks_of(text, join)))
    assert "".join(out.split()) == "".join(text.split())
    chapters = split_at(out)
    assert "".join("".join(chapter.text for chapter in chapters).split()) == "".join(text.split())


@pytest.mark.parametrize(
    "lines",
    [
        ["CHAPTER I", "CHAPTER II", "CHAPTER III"],
        ["Chapter One", "Chapter Two", "Chapter Three"],
        ["I.", "II.", "III."],
        ["1", "2", "3"],
        ["LETTER 1", "LETTER 2", "LETTER 3"],
        ["ACT I", "SCENE 1", "SCENE 2"],
        ["Erstes Kapitel", "Zweites Kapitel", "Drittes Kapitel"],
        ["CHAPITRE PREMIER", "CHAPITRE II", "CHAPITRE III"],
        ["ГЛАВА I", "ГЛАВА II", "ГЛАВА III"],
        ["BOOK THE FIRST", "CHAPTER THE FIRST", "EPILOGUE"],
    ],
)
def test_headings(lines):
    blocks = [block for line in lines for block in (line, "The text of it is long enough. " * 9)]
    marked = with_headings(blocks)
    assert [block.lstrip("# ") for block in marked if block.startswith("#")] == [line.rstrip(".") for line in lines]


@pytest.mark.parametrize(
    "line",
    [
        "Part of the answer was known.",
        "Chapter 3 says otherwise.",
        "I",
        "Book lovers",
        "chapter i",
        "Introduction to it all",
    ],
)
def test_what_is_no_heading(line):
    blocks = ["The text of it is long enough. " * 9, line, "The text of it is long enough. " * 9]
    assert with_headings(blocks) == blocks


def test_a_table_of_contents_is_not_a_row_of_chapters():
    contents = [f"CHAPTER {n}" for n in ("I", "II", "III")]
    text = [block for line in contents for block in (line, "THE NAME OF IT", "Long enough to be a text. " * 9)]
    marked = with_headings(["CONTENTS", *contents, *text])
    assert marked[:4] == ["CONTENTS", *contents]
    assert [block for block in marked if block.startswith("#")] == [f"## {line}. THE NAME OF IT" for line in contents]


CHAPTER_LINE = re.compile(r"^\s*chapter\b(?! house)[ \t]+[\w-]+", re.MULTILINE | re.IGNORECASE)
NOVELS = {  # chapters that the printed editions have
    "Dickens_Bleak_1853.txt": 67,
    "Blackmore_Lorna_1869.txt": 75,
    "Bennet_Babylon_1902.txt": 30,
    "Cbronte_Jane_1847.txt": 38,
    "Doyle_Lost_1912.txt": 16,
    "Eliot_Felix_1866.txt": 51,
    "Forster_Angels_1905.txt": 10,
    "Galsworthy_River_1933.txt": 39,
    "Gaskell_Wives_1865.txt": 60,
    "Haggard_Mines_1885.txt": 20,
}


def test_real_novels(test_data, tmp_path, read_all):
    with gzip.open(test_data("READY-jsonl/books_en_dev14.jsonl.gz")) as lines:
        novels = {row["path"]: row["text"] for row in map(json.loads, lines)}
    assert len(novels) == 14
    for name, novel in novels.items():
        path = tmp_path / name
        path.write_text(novel, newline="")
        [record], _ = read_all(BooksReader(), path)
        assert record.signals["gutenberg"] is False
        plain = re.sub(r"^#+ ", "", record.text, flags=re.MULTILINE)
        letters = [re.sub(r"\W", "", text) for text in (novel, plain)]
        assert letters[0] == letters[1], name  # all of it is there, in its order
        chapters = re.findall(r"^## chapter\b.*", record.text, re.MULTILINE | re.IGNORECASE)
        if name in NOVELS:
            assert len(chapters) == NOVELS[name], name
        documents, _ = read_all(BooksReader(per="chapter"), path)
        assert "\n\n".join(document.text for document in documents) == record.text


def test_real_novels_have_no_broken_lines(test_data, tmp_path, read_all):
    """In the books that were wrapped at some width, lines that remain inside paragraphs are those of verse."""
    with gzip.open(test_data("READY-jsonl/books_en_dev14.jsonl.gz")) as lines:
        novels = {row["path"]: row["text"] for row in map(json.loads, lines)}
    for name in (
        "Bennet_Babylon_1902.txt",
        "Forster_Angels_1905.txt",
        "Haggard_Mines_1885.txt",
        "Dickens_Bleak_1853.txt",
    ):
        path = tmp_path / name
        path.write_text(novels[name], newline="")
        [record], _ = read_all(BooksReader(), path)
        inner = len(re.findall(r"\S\n(?=\S)", record.text))
        assert inner <= 0.01 * novels[name].count("\n"), name


def test_files_that_are_no_books(tmp_path, read_all):
    cases = {"a.txt": (b" \n\n", "read.empty"), "b.txt": (b"GIF89a\0\0\0", "read.content_type")}
    for name, (data, drop) in cases.items():
        path = tmp_path / name
        path.write_bytes(data)
        assert [record.drop for record in read_all(BooksReader(), path)[0]] == [drop]
    packed = gzip.compress(STORY.encode() * 50)
    path = tmp_path / "c.txt.gz"
    path.write_bytes(packed[: len(packed) // 2])
    assert [record.error for record in read_all(BooksReader(), path)[0]] == ["read.truncated"]
    out = io.BytesIO()
    with zipfile.ZipFile(out, "w") as made:
        made.writestr("a.txt", "no book")
    path = tmp_path / "d.epub"
    path.write_bytes(out.getvalue())
    assert [record.error for record in read_all(BooksReader(), path)[0]] == ["read.package"]
