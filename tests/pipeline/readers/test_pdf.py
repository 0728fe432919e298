"""Text layers of PDF: text in, text out; what crashes, hangs or hides costs one file."""

import base64
import os
import signal
import zlib

import pytest

pytest.importorskip("pypdfium2", reason="needs the extra [pdf]")

from pipeline.child import child
from pipeline.readers import PdfReader
from pipeline.readers.pdf.layout import text_of
from pipeline.readers.pdf.process import Parser

LOCKED = (
    "c-oCp%Wl*_5WLS<^kt7^-Y?1814&jwfU<G|7nDPL9?PPY9nE^BgrDTVAHa_=HV`b91C}jW)m7C!)w9}OZC>yTNmk#!fB8x{Fc`W|q-hA<mLZ-(D$p=Y(z+"
    "<ITa)#gq&`j@vEbf4JtUx8+@&L-m&2(affM?AACK?>R3)}>zmUo^=_QVM7<S~R2Tb1WLZJTHi_kV5hf@hvQ7e^B-=?_7m&0Ri%P!dbSuwr$lXXdTu)n?a!u"
    "$O+b_;^gH>ux^A3?FI10}rj#tL5xoBd&|q0rkA`-mkHdIL?;=%O&rcF{)`a`wt}7K7GVbLMyqnMKZx)+(qjhmN66N||hYLglbd{tg<8#`zAN!HmAkD4DT5"
    "qSX~wCPqv;3*`iIZ!IF1L5IMU3tAYo(k-|1SW+eo3}Md?)b>(ChG&e|v(J_O52pPY#<@Gkj6K7|QacvhA5xiPz1@FKbrjkT!w7QDpT6qz0Q}egRoz#^Wew"
    "07*17C4VRXvYOl{|*(8?&Y{vS%+^K~D})58e*_o9y@mT?Y5*?QAg*EbvT11>egN&"
)
"""A file with one empty page and a password, made with pypdf."""


def pdf(pages, about=""):
    """A PDF file with lines of text on its pages, written by hand after ISO 32000-1, section 7."""
    objects = [
        b"<</Type/Catalog/Pages 2 0 R>>",
        b"",
        b"<</Type/Font/Subtype/Type1/BaseFont/Helvetica>>",
        about.encode() or b"<<>>",
    ]
    kids = []
    for lines in pages:
        shown = "".join(f"({line.replace('(', '').replace(')', '')}) Tj 0 -14 Td " for line in lines)
        content = f"BT /F1 10 Tf 50 800 Td {shown} ET".encode("latin-1")
        kids.append(f"{len(objects) + 1} 0 R")
        objects.append(
            f"<</Type/Page/Parent 2 0 R/MediaBox[0 0 595 842]/Resources<</Font<</F1 3 0 R>>>>/Contents "
            f"{len(objects) + 2} 0 R>>".encode()
        )
        objects.append(b"<</Length %d>>stream\n%s\nendstream" % (len(content), content))
    objects[1] = f"<</Type/Pages/Kids[{' '.join(kids)}]/Count {len(kids)}>>".encode()
    out = bytearray(b"%PDF-1.4\n")
    places = []
    for number, body in enumerate(objects, 1):
        places.append(len(out))
        out += b"%d 0 obj\n%s\nendobj\n" % (number, body)
    start = len(out)
    out += b"xref\n0 %d\n0000000000 65535 f \n" % (len(objects) + 1)
    out += b"".join(b"%010d 00000 n \n" % place for place in places)
    out += b"trailer<</Size %d/Root 1 0 R/Info 4 0 R>>\nstartxref\n%d\n%%%%EOF\n" % (len(objects) + 1, start)
    return bytes(out)


BODY = [
    "This is the first line of a paragraph that goes on, in an inter-",
    "esting way, to the next line, and which has so many words in it that",
    "it needs a third.",
    "Another paragraph begins on this line and ends where the page does: it is",
]
PAGES = [
    [
        f"Journal of Tests, volume {n}",
        f"{n}. A heading about {'abcd'[n - 1] * 3}",
        *[line.replace("paragraph", f"paragraph {n}") for line in BODY],
        *["A line."] * 6,
        f"- {n} -",
    ]
    for n in range(1, 5)
]


def write(tmp_path, data, name="x.pdf"):
    path = tmp_path / name
    path.write_bytes(data)
    return path


def test_text(tmp_path, read_all):
    about = "<</Title(Tests)/Author(A. Tester)/CreationDate(D:20210304120000Z)>>"
    [record], _ = read_all(PdfReader(), write(tmp_path, pdf(PAGES, about)))
    assert "Journal" not in record.text and "- 2 -" not in record.text
    paragraphs = record.text.split("\n\n")
    assert paragraphs[1] == (
        "This is the first line of a paragraph 1 that goes on, in an interesting way, to the next line, and "
        "which has so "
        "many words in it that it needs a third."
    )
    assert record.text.count("A heading") == 4
    assert (record.title, record.author) == ("Tests", "A. Tester")
    assert record.signals == {"pages": 4, "pages_without_text": 0}
    assert (record.date, record.doc_id, record.license) == ("2021-03-04", "x.pdf", None)


def test_what_has_no_text(tmp_path, read_all):
    assert read_all(PdfReader(), write(tmp_path, pdf([[], []])))[0][0].drop == "read.no_text_layer"
    assert read_all(PdfReader(), write(tmp_path, pdf([["Scan 1"], []])))[0][0].drop == "read.no_text_layer"
    assert read_all(PdfReader(), write(tmp_path, b"<html>"))[0][0].drop == "read.content_type"
    [record], _ = read_all(PdfReader(chars_per_page=2), write(tmp_path, pdf([["Scan 1"], []])))
    assert record.text == "Scan 1" and record.signals["pages_without_text"] == 1


def test_what_cannot_be_read(tmp_path, read_all):
    locked = zlib.decompress(base64.b85decode(LOCKED))
    assert read_all(PdfReader(), write(tmp_path, locked))[0][0].error == "read.encrypted"
    assert read_all(PdfReader(), write(tmp_path, b"%PDF-1.4\nnothing"))[0][0].error == "read.pdf"
    whole = pdf(PAGES * 3)
    for reader in (PdfReader(max_pages=11), PdfReader(max_record_bytes=2000)):
        [record], _ = read_all(reader, write(tmp_path, whole))
        assert record.error == "read.too_large" and record.html
    small = pdf([["A line of text that is long enough to be a text."]])
    assert read_all(PdfReader(max_record_bytes=1024), write(tmp_path, small))[0][0].text is not None


def test_damaged_files_are_each_for_themselves(tmp_path, read_all):
    whole = bytearray(pdf(PAGES))
    outcomes = set()
    for place in range(0, len(whole), 97):
        data = whole.copy()
        data[place : place + 20] = b"\xff" * 20
        [record], _ = read_all(PdfReader(), write(tmp_path, bytes(data)))
        outcomes.add(record.error or record.drop or "text")
    assert "text" in outcomes
    assert read_all(PdfReader(), write(tmp_path, bytes(whole)))[0][0].text


def test_a_file_that_takes_too_long_is_ended(tmp_path, read_all):
    endless = pdf([["word " * 40] * 3000] * 3)
    [record], _ = read_all(PdfReader(seconds=0.01), write(tmp_path, endless))
    assert record.error == "read.timeout"
    [record], _ = read_all(PdfReader(seconds=60), write(tmp_path, endless))
    assert record.error is None


def test_the_process_may_die():
    parser = Parser({"seconds": 10.0, "memory": 1 << 30, "pages": 10, "chars": 1 << 20})
    data = pdf(PAGES)
    assert len(parser.parse(data).pages) == 4
    assert parser._process is not None
    os.kill(parser._process.pid, signal.SIGKILL)
    parser._process.wait()
    assert len(parser.parse(data).pages) == 4
    parser.close()
    settings = {"seconds": 10.0, "memory": 1 << 30, "pages": 10, "chars": 1 << 20}
    assert child(Parser, settings) is child(Parser, settings)


def test_hyphens_that_belong_to_a_word():
    lines = [
        "A text about well-known facts, and other well-",
        "known things, each of which stands in a sen-",
        "tence of its own.",
    ]
    assert text_of(["\n".join(lines)]) == (
        "A text about well-known facts, and other well-known things, each of which stands in a sentence of its own."
    )
    assert text_of(["a word that is bro\x02ken here, and bro\ufffe\r\nken"]) == "a word that is broken here, and broken"
    assert text_of(["well-known facts, and well\x02known"]) == "well-known facts, and well-known"


def test_lists_keep_their_items():
    page = (
        "Some things that are to be said before the list begins here:\n• one thing of it\n• another "
        "thing of it\n1. and a third"
    )
    assert text_of([page]).split("\n\n")[1:] == ["• one thing of it", "• another thing of it", "1. and a third"]


def test_running_heads_are_those_that_recur():
    pages = [
        [
            f"Left {n}" if n % 2 else f"Right {n}",
            *[f"Line {'abcdefghij'[n]} {i} of the text." for i in range(12)],
            str(n),
        ]
        for n in range(10)
    ]
    text = text_of(["\n".join(page) for page in pages])
    assert "Left" not in text and "Right" not in text
    assert text.count("of the text.") == 120
    assert "Only once" in text_of(["Only once\n" + "\n".join(pages[0][1:]), *["\n".join(page) for page in pages[1:]]])
