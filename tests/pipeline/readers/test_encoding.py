"""Text in the encodings of the web's first thirty years comes out as it was written."""

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from pipeline.readers.encoding import decode, utf8

SAMPLES = {
    "windows-1252": "Überfluß – naïve façade, “quoted” €5 … ",
    "iso-8859-2": "Zażółć gęślą jaźń ",
    "windows-1250": "Příliš žluťoučký kůň ",
    "windows-1251": "Съешь же ещё этих мягких французских булок ",
    "koi8-r": "Съешь же ещё этих мягких французских булок ",
    "iso-8859-7": "Ξεσκεπάζω την ψυχοφθόρα βδελυγμία ",
    "windows-1254": "Pijamalı hasta yağız şoföre çabucak güvendi ",
    "windows-1255": "דג סקרן שט בים מאוכזב ",
    "windows-1256": "نص حكيم له سر قاطع ",
    "shift_jis": "いろはにほへと ちりぬるを 色は匂へど ",
    "euc-jp": "いろはにほへと ちりぬるを 色は匂へど ",
    "iso-2022-jp": "いろはにほへと ちりぬるを 色は匂へど ",
    "gb2312": "天地玄黄 宇宙洪荒 日月盈昃 ",
    "gb18030": "天地玄黄 宇宙洪荒 䶮 ",
    "big5": "天地玄黃 宇宙洪荒 日月盈昃 ",
    "euc-kr": "키스의 고유조건은 입술끼리 만나야 하고 ",
    "tis-620": "เป็นมนุษย์สุดประเสริฐเลิศคุณค่า ",
    "utf-8": "Grüße, мир, 世界 ",
}


@pytest.mark.parametrize(("name", "text"), SAMPLES.items())
def test_declared_by_the_server_or_by_the_page(name, text):
    page = f"<html><head><title>x</title></head><body><p>{text * 20}</p></body></html>"
    assert decode(page.encode(name), name)[0] == page
    assert decode(page.encode(name), name.upper() + ";")[0] == page
    for meta in (f'<meta charset="{name}">', f'<META http-equiv="Content-Type" content="text/html; charset={name}">'):
        declared = page.replace("<title>", meta + "<title>")
        assert decode(declared.encode(name))[0] == declared
        assert decode(declared.encode(name), "nonsense")[0] == declared


@pytest.mark.parametrize("name", ["windows-1251", "shift_jis", "euc-jp", "euc-kr", "big5", "gb18030", "iso-8859-7"])
def test_detected(name):
    page = "<html><body>" + SAMPLES[name] * 40 + "</body></html>"
    assert decode(page.encode(name))[0] == page


@pytest.mark.parametrize("name", ["utf-8-sig", "utf-16", "utf-32"])
def test_byte_order_marks_win(name):
    assert decode("<p>Grüße 世界</p>".encode(name), "iso-8859-1")[0] == "<p>Grüße 世界</p>"


def test_utf16_without_a_mark():
    assert decode("<p>Grüße</p>".encode("utf-16-le"), "utf-16")[0] == "<p>Grüße</p>"


def test_utf8_under_a_wrong_declaration():
    page = "<meta charset=iso-8859-1><p>Grüße — “so”</p>"
    assert decode(page.encode(), "windows-1252") == (page, "utf-8")


def test_utf8_with_a_few_broken_bytes_stays_utf8():
    data = ("Grüße " * 100).encode() + b"\xff\xfe!" + ("schöne " * 100).encode()
    text, name = decode(data, "utf-8")
    assert name == "utf-8" and text.count("ü") == 100 and text.count("ö") == 100


def test_cut_off_inside_a_character():
    for name, text in SAMPLES.items():
        data = (text * 30).rstrip().encode(name)[:-1]
        assert decode(data, name)[0].startswith((text * 29).rstrip()), name


@pytest.mark.parametrize("name", ["base64", "hex", "zlib", "rot13", "utf-7", "undefined", "no such thing"])
def test_names_that_are_none(name):
    page = f"<meta charset={name}><p>{SAMPLES['windows-1252'] * 20}</p>"
    assert decode(page.encode("windows-1252"), name) == (page, "cp1252")


@pytest.mark.parametrize("text", [*SAMPLES.values(), ""])
def test_utf8_is_not_written_again(text):
    page = f"<p>{text}</p>".encode()
    assert utf8(page, "windows-1252")[0] is page


@given(
    st.binary(max_size=400), st.sampled_from([None, "utf-8", "gb2312", "x-user-defined", "utf-7", "iso-2022-kr", "ü"])
)
@example("Überfluß – naïve ".encode("cp1252"), None)
@example("<p>Grüße 世界</p>".encode("utf-16"), None)
@example(b"\xef\xbb\xbf<p>x\xff", "utf-8")
@example("Grüße".encode()[:-1] + "ß".encode()[:1], "utf-8")
def test_nothing_fails(data, declared):
    text, name = decode(data, declared)
    assert name and utf8(data, declared) == (text.encode("utf-8"), name)
