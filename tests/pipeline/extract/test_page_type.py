"""Types of pages by what they say of themselves and by their addresses."""

from urllib.parse import urlsplit

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pipeline.extract.page_type import TYPES, page_type


@pytest.mark.parametrize(
    ("url", "expected"),
    [
        ("https://example.org/2024/05/06/title", "article"),
        ("https://example.org/blog/how-rivers-run", "article"),
        ("https://example.org/news/a-b-c?x=1", "article"),
        ("https://forum.example.org/anything", "forum"),
        ("https://example.org/forum/viewtopic.php?t=12", "forum"),
        ("https://example.org/t/a-question/1234", "forum"),
        ("https://example.org/threads/a-question.123/", "forum"),
        ("https://german.stackexchange.com/questions/12/x", "forum"),
        ("https://docs.example.org/en/stable/", "documentation"),
        ("https://project.readthedocs.io/x", "documentation"),
        ("https://example.org/docs/install.html", "documentation"),
        ("https://example.org/products/blue-mug", "product"),
        ("https://example.org/dp/B000123", "product"),
        ("https://example.org/collections/mugs", "collection"),
        ("https://example.org/product-category/mugs/", "collection"),
        ("https://example.org/collections/mugs/products/blue-mug", "product"),
        ("https://example.org/tag/rivers/", "listing"),
        ("https://example.org/blog/", "listing"),
        ("https://example.org/anything/page/3", "listing"),
        ("https://example.org/", "other"),
        ("https://example.org", "other"),
        ("https://example.org/about-us", None),
        ("https://mydocs-and-more.example.org/x", None),
    ],
)
def test_addresses(url: str, expected: str | None) -> None:
    assert page_type([], None, [], urlsplit(url)) == expected


@pytest.mark.parametrize(
    ("things", "open_graph", "software", "url", "expected"),
    [
        ([["newsarticle"]], None, [], None, "article"),
        ([["organization"], ["webpage", "faqpage"], ["article"]], None, [], None, "article"),
        ([["article"], ["product"]], None, [], None, "product"),
        ([["product"], ["product"], ["product"]], None, [], None, "collection"),
        ([["product"]], None, [], "https://example.org/collections/x", "collection"),
        ([["collectionpage"]], None, [], None, "listing"),
        ([["collectionpage"]], None, [], "https://example.org/shop/x", "listing"),
        ([["question"]], None, [], None, "forum"),
        ([["faqpage"], ["question"], ["question"]], None, [], None, "other"),
        ([["itemlist"]], "article", [], None, "article"),
        ([["itemlist"]], None, [], None, "listing"),
        ([["service"]], None, [], "https://example.org/x", "other"),
        ([], "article", [], "https://example.org/products/x", "product"),
        ([], "product", [], "https://example.org/blog/x-y-z", "product"),
        ([], " Product.Group ", [], None, "collection"),
        ([], "website", [], None, None),
        ([["article"]], None, ["Discourse 3.2 - https://example.org"], None, "forum"),
        ([], None, ["WordPress 6", "Docusaurus v3"], "https://example.org/blog/x-y-z", "documentation"),
        ([], None, ["Smfx", "phpBB"], None, "forum"),
    ],
)
def test_what_pages_say(
    things: list[list[str]], open_graph: str | None, software: list[str], url: str | None, expected: str | None
) -> None:
    assert page_type(things, open_graph, software, urlsplit(url) if url else None) == expected


@given(st.from_regex(r"\Ahttps?://[a-z.]{0,12}/[a-z/?0-9-]{0,40}\Z"))
def test_any_address_has_one_of_the_types_or_none(url: str) -> None:
    assert page_type([], None, [], urlsplit(url)) in {*TYPES, None}
