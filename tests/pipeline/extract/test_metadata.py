"""What pages say about themselves: hand-written pages, any bytes, and pages made to take long."""

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pipeline.extract.metadata import LONGEST_NAME, LONGEST_URL, Metadata, metadata, table

URL = "https://www.example.org/2024/05/06/a-page"
LD = '<script type="application/ld+json">'
BY = "https://creativecommons.org/licenses/by/4.0/"


@pytest.mark.parametrize(
    ("html", "expected"),
    [
        # title
        ("<title>A page &amp; more</title>", {"title": "A page & more"}),
        ("<title>A page | The Site</title><meta property=og:site_name content='The Site'>", {"title": "A page"}),
        ("<title>The Site - A page</title><meta property=og:site_name content='The  site'>", {"title": "A page"}),
        ('<meta property="og:title" content="Caf&eacute;"><title>x</title>', {"title": "Café"}),
        ('<meta property="og:title" content="Ann&amp;#8217;s"><title>x</title>', {"title": "Ann’s"}),
        ("<title>Deep water – Blog</title><h1>Blog</h1><h1>Deep <b>water</b></h1>", {"title": "Deep water"}),
        ("<title>How rivers run | Science</title><h1>Science</h1>", {"title": "How rivers run"}),
        ("<title>Rivers in spring: a guide</title><h1>A Guide to Rivers</h1>", {"title": "A Guide to Rivers"}),
        ("<h1><svg><title>logo</title></svg>One<br>two<script>3</script></h1>", {"title": "One two"}),
        ("<h1>Closed by another</h2>text <h1>Next</h1>", {"title": "Closed by another"}),
        ("<body><svg><title>icon</title></svg><title>yes</title>", {"title": "yes"}),
        ("<!-- <title>no</title> --><title>yes</title>", {"title": "yes"}),
        ("<!--!><title>no</title>--><title>yes</title>", {"title": "yes"}),
        ("<!--><title>yes</title>-->", {"title": "yes"}),
        ("<script>'<title>no</title>'</script><title>yes</title>", {"title": "yes"}),
        ("<title>a</titles></title >", {"title": "a"}),
        ("<TITLE\n>yes</TiTlE\n>", {"title": "yes"}),
        # author
        ('<meta name=author content="Ann Example">', {"author": "Ann Example"}),
        ('<meta name=author content="By Ann Lee"><meta name=author content="Bo Li">', {"author": "Ann Lee; Bo Li"}),
        ('<meta property="article:author" content="https://example.com/ann"><a rel=author>x</a>', {"author": None}),
        ('<meta name="DC.Creator" content="Ann"><meta name="dc:creator" content="Bo">', {"author": "Ann; Bo"}),
        (
            '<a href="/authors/ann-example">Ann <b>Example</b></a><a rel=author href=/x>Bo</a>',
            {"author": "Ann Example"},
        ),
        ('<a href="/authors">Authors</a><a href="/author-list">All</a>', {"author": None}),
        (
            "<div itemprop=author itemscope><img><span itemprop='name'>Ann &amp; Bo</span> writes</div>"
            "<b itemprop=author>A commentator</b>",
            {"author": "Ann & Bo"},
        ),
        (
            LD + '[{"@type": "Article", "author": {"@id": "#ann"},'
            '"publisher": {"@type": "Organization", "name": "P"}},'
            '{"@id": "#ann", "@type": "Person", "givenName": "Ann", "familyName": "Lee"}]</script>',
            {"author": "Ann Lee", "site": "P"},
        ),
        (
            LD + '{"@type": "Article", "author": {"@type": "Organization", "name": "The Desk"}}</script>'
            "<meta name=author content='Ann Lee'>",
            {"author": "Ann Lee"},
        ),
        (
            LD + '{"@type": "Article", "author": {"@type": "Organization", "name": "The Desk"}}</script>',
            {"author": "The Desk"},
        ),
        # date
        ('<meta property="article:published_time" content="2023-02-01T23:00:00-08:00">', {"date": "2023-02-01"}),
        ("<meta name=citation_date content=2023/2/1><time datetime=2020-01-01>", {"date": "2023-02-01"}),
        ("<time itemprop=datePublished datetime=2021-03-04>March</time>", {"date": "2021-03-04"}),
        ("<span itemprop=datePublished>March 4th, 2021</span>", {"date": "2021-03-04"}),
        ("<time datetime=2021-03-04>", {"date": "2024-05-06"}),  # the address says more than any time on the page
        ('<meta property="article:modified_time" content="2023-02-01">', {"date": "2024-05-06"}),
        ('<meta property="article:published_time" content="2023-02-30">', {"date": "2024-05-06"}),
        # language
        ('<html lang="pt-br"><p>', {"language": "pt-BR"}),
        ("<html xml:lang=de lang=zh_hant_tw>", {"language": "zh-Hant-TW"}),
        ("<html lang=x-default><meta http-equiv=Content-Language content='fr, en'>", {"language": "fr"}),
        ('<html lang=""><meta property=og:locale content=en_US>', {"language": "en-US"}),
        ("<html lang=English>", {"language": None}),
        # addresses
        (
            "<link rel=canonical href='/b?x=1&amp;y=2&copy=3'>",
            {"canonical_url": "https://www.example.org/b?x=1&y=2&copy=3"},
        ),
        ("<base href=//other.org/c/><link rel='x Canonical' href=d>", {"canonical_url": "https://other.org/c/d"}),
        (
            "<link rel=canonical href='javascript:x'><meta property=og:url content=http://a.b/>",
            {"canonical_url": "http://a.b/"},
        ),
        ("<link rel=canonical href='https://a.b/c d'>", {"canonical_url": "https://a.b/c%20d"}),
        ("<link rel=canonical href='http://[x'>", {"canonical_url": None}),
        ("<link rel=stylesheet href=/canonical>", {"canonical_url": None}),
        (f"<a rel='license noopener' href='{BY}'>CC</a><link rel=license href={BY}>", {"licenses": BY}),
        (
            f"<a rel=license href={BY}></a>" + LD + '{"@type": "Dataset", "license": "/terms"}</script>',
            {"licenses": f"{BY} https://www.example.org/terms"},
        ),
        ("<meta name=dc.rights content='Copyright 2020 Ann'>", {"licenses": None}),
        # site
        (LD + '{"@graph": [{"@type": "WebSite", "name": "S"}, {"@type": "WebPage"}]}</script>', {"site": "S"}),
        ("<meta name=application-name content=App><meta property=og:site_name content=Site>", {"site": "Site"}),
        # JSON-LD
        (
            LD + '{"@type": ["NewsArticle"], "headline": "H &amp; I", "datePublished": "2022-12-31",'
            ' "inLanguage": "sv", "author": [{"@type": "Person", "name": "Bo Li"}, "Ann"]}</script>',
            {"title": "H & I", "author": "Bo Li; Ann", "date": "2022-12-31", "language": "sv", "page_type": "article"},
        ),
        (LD + '{"headline": </script><title>T</title>' + LD + "{}</script>", {"title": "T", "broken_json": 1}),
        (
            LD + '//<![CDATA[\n{"@type": "Article", "headline": "a\nb"}\n//]]></script>',
            {"title": "a b", "broken_json": 0},
        ),
        (LD + '<!-- {"@type": "Article", "headline": "a"} --></script>', {"title": "a", "broken_json": 0}),
        (LD + "[" * 100_000 + "</script>", {"broken_json": 1}),
        (LD + '{"@type": "Article", "headline": ' + "9" * 5000 + "}</script>", {"title": None, "broken_json": 1}),
        (
            LD + '{"@type": 1, "headline": {"@value": "v"}, "author": [[], {}, 1, null]}</script>',
            {"title": "v", "author": None},
        ),
        ('<script type=text/javascript>{"@type": "Article"}</script>', {"page_type": "article", "broken_json": 0}),
    ],
)
def test_what_a_page_says(html: str, expected: dict[str, Any]) -> None:
    found = metadata(html, URL)._asdict()
    assert {name: found[name] for name in expected} == expected


def test_a_page_that_says_nothing() -> None:
    assert metadata("<p>text", None) == metadata(b"", None) == Metadata()


def test_a_change_is_a_date_where_there_is_no_other() -> None:
    page = '<meta property="article:modified_time" content="2023-02-01">'
    assert metadata(page, "https://example.org/a").date == "2023-02-01"


def test_a_search_through_the_page_is_made_only_if_asked_for() -> None:
    page = "<html><body><article><p class=date>Published on 2019-08-07</p><p>Text of it.</p></article></body></html>"
    assert metadata(page, None).date is None
    assert metadata(page, None, "full").date == "2019-08-07"
    assert metadata("https://localhost/not-a-page", None, "full").date is None  # and is not fetched


def test_values_have_bounds() -> None:
    long = "a " * 100_000
    page = f"<meta name=author content='{long}'><title>{long}</title><meta property=og:site_name content='{long}'>"
    links = f"<link rel=canonical href='/{long}'>" + "".join(f"<a rel=license href=/{i}></a>" for i in range(1000))
    found = metadata(page + links, URL)
    assert len(found.title or "") == len(found.site or "") == LONGEST_NAME
    assert found.author is None and found.canonical_url is None
    assert 1 < len((found.licenses or "").split()) < 20
    assert all(len(address) <= LONGEST_URL for address in (found.licenses or "").split())


def test_a_table_has_a_row_for_each_page() -> None:
    pages = ["<title>a</title>", None, b"<title>b</title><h1>\xff", ""]
    found = table(pages, [URL, URL, None, None])
    assert found.columns == list(Metadata._fields)
    assert found["title"].to_list() == ["a", None, "b", None]
    assert found["broken_json"].to_list() == [0, None, 0, 0]
    assert found["date"].to_list() == ["2024-05-06", None, None, None]
    assert table([]).schema == found.schema


PIECES = st.sampled_from(
    [
        *(
            "<title>",
            "</title>",
            "<meta name=author content=",
            "<meta property='og:title' content=\"",
            "&eacute",
            "<h1>",
        ),
        *(
            LD,
            "</script>",
            '{"@graph": [',
            '{"@type": "Article", "author": ',
            "]",
            "}",
            "<time datetime=",
            ">",
            '"',
            "'",
        ),
        *("<html lang=", "<link rel=canonical href=", "http://[", "//x", "2024-02-30", "<a rel=license href=", "<!--"),
        *("-->", "<svg>", "</svg>", "<p itemprop=author>", "<p itemtype=", "</p>", "/", "=", "<", "&#", "\0", "\ud800"),
    ]
)
SOUP = st.lists(PIECES | st.text(max_size=8), max_size=30).map("".join)


@given(SOUP, st.sampled_from([None, URL, "http://[", "x", "//"]) | st.text(max_size=20))
def test_any_page_is_read(page: str, url: str | None) -> None:
    found = metadata(page, url)
    assert metadata(page.encode("utf-8", "replace"), url) == found
    assert all(value is None or isinstance(value, int) or 0 < len(value) <= 16_384 for value in found)


def test_half_a_surrogate_pair_is_no_part_of_a_value() -> None:
    said = '{"@type": "Article", "headline": "a\\ud83d", "license": "http://x/\\udc00", "author": "\\ud83d\\ude00 b"}'
    page = LD + said + "</script><link rel=canonical href=b>"
    found = table([page, page], [URL, "http://\ud800/"])
    assert found["title"].to_list() == ["a", "a"]
    assert found["author"].to_list() == ["\U0001f600 b"] * 2
    assert found["licenses"].to_list() == [None, None]
    assert found["canonical_url"].to_list() == ["https://www.example.org/2024/05/06/b", None]


@given(st.binary(max_size=200), st.binary(max_size=20))
def test_any_bytes_are_read(page: bytes, value: bytes) -> None:
    metadata(page, None)
    metadata(b'<meta name="author" content="' + value + b'"><title>' + page, value.decode("latin-1"))


@pytest.mark.parametrize(
    ("page", "title"),
    [
        ("<" * 3_000_000, None),
        ("<meta name=author content=a " * 150_000, None),
        ("<meta " + "a=b " * 1_000_000 + "><title>t</title>", "t"),
        ("<!--" * 700_000, None),
        ("<!-- -" * 500_000 + "--><title>t</title>", "t"),
        ("<title>" * 400_000, None),
        ("<h1>" * 700_000 + "t", None),
        ("<script>" + "</scrip" * 400_000 + "</script><title>t</title>", "t"),
        ("<p itemprop=author>" * 150_000, None),
        ("<a rel=license href=/>" * 130_000, None),
        ("<div>" * 600_000 + "<title>t</title>", "t"),
        (f"<title>t</title>{LD}" * 100_000, "t"),
        ("<title>t</title>" + f"{LD}[1]</script>" * 50_000, "t"),
        (f"{LD}{' ' * 900_000}x</script><title>t</title>", "t"),
        (f"{LD}{'/*' * 400_000}</script><title>t</title>", "t"),
        (f"{LD}{'[' + '[1],' * 200_000}1]</script><title>t</title>", "t"),
        (LD + '{"@type":"Article","headline":"' + "&amp;" * 190_000 + '"}</script>', None),
        (
            LD
            + '[{"@type":"Article","headline":"'
            + '"},{"@type":"Article","headline":"'.join(["a b"] * 20_000)
            + '"}]</script><title>a b</title><h1>b</h1>',
            "b",
        ),
    ],
    ids=range(18),
)
def test_pages_made_to_take_long(page: str, title: str | None) -> None:
    """None of them ends within a test run if anything takes the square of their length."""
    if title is None:
        metadata(page, URL)
    else:
        assert metadata(page, URL).title == title
