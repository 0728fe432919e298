"""MediaWiki's markup as it is read: what is seen stays, nothing of the markup does, and nothing makes it hang."""

import re

import mwparserfromhell
import pytest
from hypothesis import given
from hypothesis import strategies as st

from pipeline.readers.wikitext import Site, convert
from pipeline.readers.wikitext.site import site_of

SITE = Site("en", "https://en.wikipedia.org/wiki/", site_of(b"").namespaces)


def text(source, language="en", **settings):
    """What a page with this source shows under its title."""
    found = convert(source, SITE._replace(language=language), "Title", **settings).text
    assert found.startswith("# Title")
    return found.removeprefix("# Title").lstrip("\n")


def counts(source):
    return convert(source, SITE, "Title").counts


SHOWN = {
    # Help:Formatting
    "'''Bold''', ''italic'', '''''both'''''": "Bold, italic, both",
    "L''''amour'''": "L'amour",
    "rock 'n' roll": "rock 'n' roll",
    "a<!-- no\n\n-->b": "ab",
    "a\n<!-- alone on its line -->\nb": "a b",
    "a <!-- without an end": "a",
    "one\ntwo\n\nthree": "one two\n\nthree",
    "a<br>b<br/>c": "a\nb\nc",
    "&lt;b&gt; &amp;amp; &nbsp;&minus;1": "<b> &amp; −1",
    "a < b > c <foo> <john@x.org>": "a < b > c <foo> <john@x.org>",
    "H<sub>2</sub>O, 10<sup>6</sup>, x<sup>n+1</sup>, T<sub>max</sub>, 1<sup>st</sup>": "H₂O, 10⁶, xⁿ⁺¹, T_max, 1st",
    "e<sup>i&pi;</sup> a<sub>i,j</sub>": "e^iπ a_{i,j}",
    "<small>s</small> <u>u</u> <span style='color:red'>c</span>": "s u c",
    "a<span style='display:none'>key</span>b": "ab",
    "<code>x = 1</code>": "`x = 1`",
    "<nowiki>'''[[a]] {{b}}'''</nowiki>": "'''[[a]] {{b}}'''",
    "__NOTOC__a __not_a_switch__ b": "a __not_a_switch__ b",
    "a\n----\nb": "a\n\nb",
    # links
    "[[a]]s, [[b|c]], [[d (e)|d]], [[#Top]], [[:Category:X]], [[:File:Y.png|Y]]": "as, c, d, Top, Category:X, Y",
    "[[wikt:word|word]] [[File]] [[Re:Zero|Z]]": "word File Z",
    "a [[Category:X]] b [[Category:Y|key]]": "a b",
    "a[[File:X.png|thumb|200px|A [[b|c]] and {{convert|1|km}}]]b": "ab",
    "[[Image:X.png|thumb|by [[A]]]]b": "b",
    "[[File:X.png|[http://x.org label]]]b": "b",
    "[[fr:Page]][[zh-min-nan:Page]]b": "b",
    "[http://x.org/a_b label] [//x.org] [mailto:a@x.org] http://x.org/y [not a link]": (
        "label http://x.org/y [not a link]"
    ),
    "[[a|b]] [[unclosed": "b unclosed",
    "unopened]] a": "unopened a",
    # references and extensions
    "a<ref>{{cite web|url=http://x.org|title=T}}</ref>b<ref name=x />c<ref name='y'/>": "abc",
    "a<REF>x</Ref >b": "ab",
    "a<ref>no end": "ano end",
    "a</ref>b<references/>": "ab",
    "a<gallery>\nFile:X.png|caption\n</gallery>b": "ab",
    "<poem>\n  roses\nare red\n</poem>": "roses\nare red",
    "<includeonly>no</includeonly><noinclude>yes</noinclude>": "yes",
    "Euler: <math>e^{i\\pi} &= {{-1}}</math>": "Euler: $e^{i\\pi} &= {{-1}}$",
    "then\n:<math>x\n = 1</math>.\nand": "then\n\n$$x = 1$$.\n\nand",
    '<math display="block">x<y</math>': "$$x<y$$",
    "<chem>H2O</chem> <ce>A -> B</ce>": "$\\ce{H2O}$ $\\ce{A -> B}$",
    '<syntaxhighlight lang="python">\ndef f(x):\n    return x["&lt;"]\n</syntaxhighlight>': (
        '```python\ndef f(x):\n    return x["&lt;"]\n```'
    ),
    "<source lang=c inline>a[[0]]</source>": "`a[[0]]`",
    "<pre>a\n  {{b}} &lt;</pre>": "```\na\n  {{b}} <\n```",
    " one\n  two": "```\none\n two\n```",
    # headings and sections
    "a\n== One ==\nb\n===Two=== \nc\n====== Six ======\nd": "a\n\n## One\n\nb\n\n### Two\n\nc\n\n###### Six\n\nd",
    "== {{anchor|x}}A ''b'' ==\nc": "## A b\n\nc",
    "a\n== Empty ==\n{{navbox}}\n== Also ==\n=== below ===\n<!-- -->": "a",
    "a\n== References ==\n{{reflist}}\n* book\n=== more ===\nx\n== Next ==\nb": "a\n\n## Next\n\nb",
    "1 + 1 == 2\n== no heading": "1 + 1 == 2 == no heading",
    # lists
    "* a\n** b\n*** c\n* d": "- a\n  - b\n    - c\n- d",
    "# a\n## b\n# c": "1. a\n   1. b\n2. c",
    "* a\n*: more\n* b": "- a\n\n  more\n\n- b",
    "; term\n: what it is\n; two : in one": "term\n: what it is\n\ntwo\n: in one",
    "a\n: indented\n:: more": "a\n\nindented\n\nmore",
    "a\n* b\nc": "a\n\n- b\n\nc",
    "*# a\n*# b": "1. a\n2. b",
}


@pytest.mark.parametrize("source", SHOWN)
def test_what_is_seen(source):
    assert text(source) == SHOWN[source]


TEMPLATES = {
    "{{Infobox person\n| name = X\n| born = {{birth date|1970|1|2}}\n}}\n'''X''' is": "X is",
    "{{Use dmy dates|date=May 2012}}{{Short description|x}}A": "A",
    "a{{citation needed|date=May 2012}}, b{{sfn|Smith|2001|p=3}}.": "a, b.",
    "{{lang|fr|chat}} {{lang-fr|chat}} {{langx|de|Katze}} {{transl|ja|Hepburn|neko}}": (
        "chat French: chat German: Katze neko"
    ),
    "{{IPA|/kæt/}} {{IPA-fr|ʃa}} {{IPAc-en|ˈ|k|æ|t}} {{respell|KAT}}": "/kæt/ [ʃa] /ˈkæt/ KAT",
    "{{convert|5|km}}, {{convert|1000|-|2000|km2|sqmi}}, {{convert|6|ft|2|in|m}}, {{cvt|-3.5|C}}": (
        "5 km, 1,000–2,000 km², 6 ft 2 in, −3.5 °C"
    ),
    "{{convert|3|x|4|m|ft}} {{convert|12|st|kg}} {{convert|50|mph|km/h|abbr=on}}": "3 × 4 m 12 stone 50 mph",
    "{{val|1.5|0.2|e=-9|u=m}} {{val|12345}} {{frac|1|2}} {{frac|3|1|2}} {{sfrac|2}}": (
        "1.5±0.2×10⁻⁹ m 12,345 1/2 3 1/2 1/2"
    ),
    "{{chem|H|2|O}} {{chem|SO|4|2-}} {{chem2|Ca(OH)2}} {{chem2|SO4(2-)}} {{chem2|Na+}}": "H₂O SO₄²⁻ Ca(OH)₂ SO₄²⁻ Na⁺",
    "{{nowrap|a b}} {{abbr|UN|United Nations}} {{small|c}} {{nbsp}}{{snd}}{{·}} d{{'s}}": "a b UN c – · d's",
    "{{sic|teh}} {{circa|1200}} {{as of|2005|3}} {{as of|2005|lc=y}}": "teh (sic) c. 1200 As of March 2005 as of 2005",
    "{{start date|2001|9|4}} {{start date|2001|9|4|df=y}} {{dts|2001|9}}": (
        "September 4, 2001 4 September 2001 September 2001"
    ),
    "{{nihongo|Tower|東京タワー|tawā}} {{nihongo||東京|Tōkyō}}": "Tower (東京タワー, tawā) Tōkyō (東京)",
    "{{zh|s=汉字|t=漢字|p=hànzì}}": "simplified Chinese: 汉字; traditional Chinese: 漢字; pinyin: hànzì",
    "{{USS|Enterprise|CVN-65}} {{HMS|Victory||3}} {{USS|Enterprise|CVN-65|2}}": (
        "USS Enterprise (CVN-65) HMS Victory Enterprise"
    ),
    "{{quote|text='''To be''' or not|author=Hamlet|source=Act 3}}": "> To be or not\n>\n> — Hamlet, Act 3",
    "{{quote|1=a = b}}": "> a = b",
    "{{hlist|a|b|c}}": "a · b · c",
    "{{ubl|a|b}}": "- a\n- b",
    "{{nowrap|{{lang|fr|a {{small|b}} c}}}}": "a b c",
    "{{nowrap|[[a|b]] c}} {{nowrap|1=x<nowiki>|=}}</nowiki>}}": "b c x|=}}",
    "{{math|''x''<sup>2</sup>}} {{sup|3}} {{sub|i}} 5{{e|6}}": "x² ³ _i 5×10⁶",
    "{{music|sharp}} {{ordinal|22}} {{flag|France}} {{flagicon|France}}x": "♯ 22nd France x",
    "{{legend|#f00|red areas}} {{sort|05|five}} {{angbr|x}}": "red areas five ⟨x⟩",
    # unknown ones: the only argument if there is prose beside it
    "the {{xyzzy|word}} here": "the word here",
    "{{xyzzy|word}} begins": "word begins",
    "a {{xyzzy|word|other}} b": "a b",
    "a {{xyzzy|date=May 2012}} b": "a b",
    "a\n{{xyzzy|box}}\nb": "a\n\nb",
    "{{xyzzy\n|a\n|b}}": "",
    # parser functions and variables
    "{{#if: x | yes | no }}{{#if:|yes|no}}{{#ifeq:1|1.0|same}}": "yesnosame",
    "{{#switch: b | a = 1 | b | c = 2 | 3 }}{{#switch:z|a=1|#default=9}}{{#switch:z|a=1|8}}": "298",
    "{{PAGENAME}} {{lc:ABC}} {{ucfirst:abc}} {{formatnum:1234567.5}} {{#invoke:x|y}}z": "Title abc Abc 1,234,567.5 z",
    "{{DEFAULTSORT:Key, The}}{{DISPLAYTITLE:''x''}}{{CURRENTYEAR}}a": "a",
    "{{#tag:ref|x|name=y}}a {{{1|default}}} {{{1}}}b": "a default b",
    # what does not nest as it should
    "{{nowrap|a": "nowrap|a",
    "a}} b": "a b",
    "{{nowrap|[[a|b}} c": "a|b c",
    "{{{{nowrap|a}}}}": "{a}",
    "{ {{nowrap|a}} }": "{ a }",
    "[[a|b {{nowrap|c]]}} d": "a|b c d",
}


@pytest.mark.parametrize("source", TEMPLATES)
def test_templates(source):
    assert text(source) == TEMPLATES[source]


def test_templates_of_other_wikis():
    assert text("le {{s|XIX|e}}, {{unité|5|km}} {{citation|x}}", "fr") == "le XIXe siècle, 5 km « x »"
    assert text("{{仮リンク|甲|en|A}} {{読み仮名|東京|とうきょう}}", "ja") == "甲 東京（とうきょう）"
    assert text("{{lang-fr|chat}}", "de") == "chat"
    assert text("-{zh-hans:汉;zh-hant:漢}- -{漢}- -{T|zh:x}-", "zh") == "汉 漢"
    assert text("-{a}-", "en") == "-{a}-"


def test_templates_of_the_user():
    mine = {"box": "<{1}>", "person": "{name|1}[ ({born})]", "infobox": ""}
    shown = text("x {{Box|a}} {{person|B|born=1970}} {{Person|name=C}} {{infobox|d}}", templates=mine)
    assert shown == "x <a> B (1970) C"


TABLE = """{| class="wikitable" style="width:50%"
|+ Caption
! Name !! scope="col" | Value
|-
| style="color:red" | a || [[b|c]]
|-
| rowspan="2" | {{nowrap|d}}
* one
* two
| 1<ref>x</ref>
|- style="display:none"
| hidden || row
|}"""


def test_tables():
    assert text(TABLE) == ("Caption\n\n| Name | Value |\n| --- | --- |\n| a | c |\n| d - one - two | 1 |")
    assert text("{|\n! A !! B\n|-\n| 1 || 2\n|-\n| 3 || 4\n|}\nafter") == (
        "| A | B |\n| --- | --- |\n| 1 | 2 |\n| 3 | 4 |\n\nafter"
    )
    assert text("{|\n|-\n| a\n{|\n| inner\n|}\n|}\nx").split() == ["a", "inner", "x"]
    assert text('{| class="infobox"\n| a\n|}\nb') == "b"
    assert text("{|\n| {{yes}} {{n/a}} {{won|Best}} {{!}}{{!}} {{no|x}}\n|}").split(" | ") == ["Yes N/A Best", "x"]
    assert text('{|\n|-\n| a || colspan="2" bgcolor=#fff {{xyzzy}} || class=x b = c\n|}') == "a | | | b = c"
    assert counts(TABLE)["tables"] == 1


def test_tables_that_are_broken():
    assert text("{|\n| a\n== Next ==\nb") == "a\n\n## Next\n\nb"
    assert text("|-\n| a || b\n|}\nc") == "a | b\n\nc"
    assert text("a\n|}\nb") == "a\n\nb"
    assert "x" in text("{|\n" * 5000 + "| x")


def test_counts_and_marks():
    page = """{{Featured article}}{{stub}}[[a]] [[b|c]] [http://x.org y] <ref>r</ref><ref name=q/>
[[File:X.png]] [[Category:C]] [[fr:D]] <math>x</math>
{{disambiguation}}
== S ==
{| \n| a {{qwerty|1|2}} b\n|}"""
    found = convert(page, SITE, "Title")
    once = ("external_links", "images", "categories", "language_links", "formulas", "holes", "tables", "sections")
    assert found.counts == {**dict.fromkeys(once, 1), "links": 2, "references": 2, "templates": 4}
    assert found.marks == {"featured", "stub", "disambiguation"}


def test_talk_pages_lose_their_signatures():
    source = ":I agree. [[User:A|A]] ([[User talk:A|talk]]) 12:01, 3 May 2012 (UTC)"
    assert text(source, namespace=1) == "I agree."
    assert "A" in text("see [[User:A|A]]")


def test_back_matter_is_kept_on_demand():
    assert text("a\n== See also ==\n* [[b]]", back_matter=True) == "a\n\n## See also\n\n- b"
    assert text("a\n== Siehe auch ==\n* [[b]]", "de") == "a"
    assert text("a\n== Siehe auch ==\n* [[b]]", "en") == "a\n\n## Siehe auch\n\n- b"


# --- second opinions ------------------------------------------------------------------------------------------------

WORDS = st.text("abcdefghijklmnopqrstuvwxyz", min_size=3, max_size=8)
LINK, BOLD, SMALL, WITH_COMMENT, TWO, TEMPLATE, BOX, REFERENCE, IMAGE, EXTERNAL = range(10)


@st.composite
def pages(draw, kinds, depth=4):
    """Wikitext with the words that are seen of it."""
    word = draw(WORDS)
    if not depth or draw(st.booleans()):
        return word, [word]
    inner, seen = draw(pages(kinds, depth - 1))
    match draw(st.sampled_from(kinds)):
        case 0:
            return f"[[{word}|{inner}]]", seen
        case 1:
            return f"''' {inner} '''", seen
        case 2:
            return f"<small>{inner}</small>", seen
        case 3:
            return f"{inner}<!-- {word} -->", seen
        case 4:
            other, more = draw(pages(kinds, depth - 1))
            return f"{inner} {other}", [*seen, *more]
        case 5:
            return f"{{{{nowrap|{inner}}}}}", seen
        case 6:
            return f"{{{{infobox {word}\n|a={inner}\n|b=[[c]]}}}} {word}", [word]
        case 7:
            return f"{word}<ref name={word}>{{{{cite book|title={inner}}}}}</ref>", [word]
        case 8:
            return f"{word}[[File:{word}.png|thumb|{inner}]]", [word]
        case _:
            return f"[http://{word}.org {inner}]" if "[" not in inner else inner, seen


@given(pages(range(10)))
def test_words_that_are_seen(page):
    source, seen = page
    assert re.findall("[a-z]+", text(source)) == seen


@given(pages([LINK, BOLD, SMALL, WITH_COMMENT, TWO]))
def test_a_parser_by_others_sees_the_same(page):
    assert text(page[0]).split() == mwparserfromhell.parse(page[0]).strip_code().split()


@given(pages([LINK, BOLD, SMALL, WITH_COMMENT, TWO, TEMPLATE, BOX, IMAGE]))
def test_a_parser_by_others_finds_as_many_templates_and_links(page):
    other = mwparserfromhell.parse(page[0])
    found = counts(page[0])
    assert found["templates"] == len(other.filter_templates())
    assert found["links"] + found["images"] == len(other.filter_wikilinks())


def test_real_prose_comes_out_as_it_went_in(test_data):
    import gzip
    import json

    with gzip.open(test_data("READY-jsonl/wikipedia_en_dump_excerpt.jsonl.gz"), "rt") as lines:
        texts = [json.loads(line)["text"] for line in lines]
    markup = re.compile(r"[{}\[\]<>|&~]|''|__|[\x7f-\x9f]|^[*#:;= |-]")
    lines = [line for article in texts for line in article.split("\n") if line.strip() and not markup.search(line)]
    assert len(lines) > 1000
    for line in lines:
        assert text(line).split() == line.split()


# --- anything at all ------------------------------------------------------------------------------------------------

PIECES = [
    *("{{", "}}", "{{{", "}}}", "[[", "]]", "|", "=", "\n", "\n*", "\n#", "\n:", "\n;", "\n==", "==", "{|", "|}", "|-"),
    *("\n|", "\n!", "||", "!!", "<ref>", "</ref>", "<ref name=a/>", "<!--", "-->", "<nowiki>", "</nowiki>", "<math>"),
    *("</math>", "'''", "''", "__TOC__", "-{", "}-", "[http://x.org ", "]", "&lt;", "<br>", "<div>", "</table>"),
    *("File:", "Category:", "#if:", "lang", "quote", "convert", "nowrap", "!", "a", "b c", " ", "1", "<sup>", "</sup>"),
    *("<poem>", "</poem>", "\x01", "\x020\x02", "ü漢🎈", "<pre>", "</pre>"),
]
LEFT = re.compile(r"\{\{|\}\}|\[\[|\]\]|<ref|</ref|<!--|\x01|\x02|\x03|\x04")


@given(st.lists(st.sampled_from(PIECES), max_size=60).map("".join))
def test_nothing_is_left_of_any_markup(source):
    free = re.sub(r"<(nowiki|pre|math)>", "", source)  # in these it is content
    assert not LEFT.search(text(free).replace("<!--", "" if "&lt;" in free else "<!--"))
    text(source)
    text(source, "zh", namespace=1)


@pytest.mark.parametrize(
    "piece",
    [
        *PIECES,
        "{{a|",
        "[[a|",
        "{{nowrap|",
        "{{{1|",
        "<ref ",
        "[http://x ",
        "; a : ",
        "__a",
        "<sup>1",
        "{|\n|",
        "x[[a]]",
    ],
)
def test_long_repetitions_end(piece):
    size = 300_000
    text(piece * (size // len(piece)))
    text(piece + " " * size)
    text(piece + " " * size + "x")


def test_arguments_written_twice_do_not_grow_without_end():
    twice = {"twice": "{1} {1}"}
    source = "{{twice|" * 60 + "word" + "}}" * 60
    assert len(text(source, templates=twice)) < 20_000
