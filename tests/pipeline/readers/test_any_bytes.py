"""Readers of documents that anybody can write: whatever the bytes are, a file ends in records, not in an exception."""

import gzip
import io
import tarfile
import zipfile
from collections import Counter

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pipeline.readers import BooksReader, HtmlReader, LatexReader, ParallelReader, Split


def tar():
    out = io.BytesIO()
    with tarfile.open(fileobj=out, mode="w") as made:
        for name in ("2208.00001.gz", "2208.00002.gz"):
            data = gzip.compress(rb"\documentclass{a}\begin{document}\section{A}$x$\end{document}", mtime=0)
            info = tarfile.TarInfo(name)
            info.size = len(data)
            made.addfile(info, io.BytesIO(data))
    return out.getvalue()


def epub():
    out = io.BytesIO()
    with zipfile.ZipFile(out, "w") as made:
        made.writestr("META-INF/container.xml", '<c><rootfile full-path="b.opf"/></c>')
        made.writestr(
            "b.opf",
            '<package><metadata><title>T</title></metadata><manifest><item id="a" href="a.xhtml" '
            'media-type="application/xhtml+xml"/></manifest><spine><itemref idref="a"/></spine></package>',
        )
        made.writestr("a.xhtml", "<html><body><h1>A</h1><p>Text of it.</p></body></html>")
    return out.getvalue()


PARALLEL = ParallelReader(source="en", target="de")
TEX = rb"\documentclass{a}\begin{document}\section{A} \cite{x} $y$ \begin{itemize}\item z\end{itemize}"
TMX = b'<tmx><tu><tuv xml:lang="en"><seg>a b</seg></tuv><tuv xml:lang="de"><seg>c d</seg></tuv></tu></tmx>'
BOOK = b"*** START OF THE PROJECT GUTENBERG EBOOK A ***\n\nCHAPTER I\n\nText of it.\n\nEnd of Project Gutenberg"
SAMPLES = {
    "a.tar": (LatexReader(), tar()),
    "a.tar.gz": (LatexReader(), gzip.compress(tar(), mtime=0)),
    "a.tex": (LatexReader(), TEX),
    "a.epub": (BooksReader(), epub()),
    "a.txt": (BooksReader(per="chapter"), BOOK),
    "a.tmx": (PARALLEL, TMX),
    "a.tsv": (PARALLEL, b"a house\tein Haus\na tree\tein Baum\n"),
    "a.html": (HtmlReader(), b"<html><body><p>Text</p></body></html>"),
}


def records(reader, path):
    ignored = Counter()
    splits = reader.splits(path.stat().st_size, str(path), 300)
    assert all(isinstance(split, Split) for split in splits)
    return [record for split in splits for record in reader.read(split, ignored)]


@pytest.mark.parametrize("name", SAMPLES)
@given(data=st.data())
def test_any_change_of_a_file(tmp_path_factory, name, data):
    reader, sample = SAMPLES[name]
    changed = bytearray(sample)
    for _ in range(data.draw(st.integers(1, 6))):
        at = data.draw(st.integers(0, len(changed)))
        changed[at : at + data.draw(st.integers(0, 40))] = data.draw(st.binary(max_size=12))
    path = tmp_path_factory.getbasetemp() / name
    path.write_bytes(changed)
    found = records(reader, path)
    assert len({record.offset for record in found}) == len(found)
    for record in found:
        assert sum(value is not None for value in (record.error, record.drop)) <= 1
        assert record.error or record.drop or record.text or record.html
        (record.text or "").encode()


@pytest.mark.parametrize("name", SAMPLES)
@given(data=st.binary(max_size=400))
def test_any_bytes(tmp_path_factory, name, data):
    path = tmp_path_factory.getbasetemp() / f"any-{name}"
    path.write_bytes(data)
    assert all(record.error or record.drop or record.text or record.html for record in records(SAMPLES[name][0], path))


@pytest.mark.parametrize("name", SAMPLES)
@pytest.mark.parametrize("codec", ["utf-8-sig", "utf-16", "utf-32", "utf-8"])
@pytest.mark.parametrize("blank", ["", " ", "\r\n\t"])
def test_nothing_but_a_mark_and_white_space(tmp_path, name, codec, blank):
    path = tmp_path / name
    path.write_bytes(blank.encode(codec))
    assert all(record.error or record.drop for record in records(SAMPLES[name][0], path))


@pytest.mark.parametrize("name", SAMPLES)
def test_the_samples_are_read(tmp_path, name):
    path = tmp_path / name
    path.write_bytes(SAMPLES[name][1])
    assert all(record.text or record.html for record in records(SAMPLES[name][0], path))
