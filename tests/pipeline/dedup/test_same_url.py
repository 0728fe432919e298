"""Canonical addresses against those that RFC 3986 calls equivalent, cases by hand, and the standard library."""

from urllib.parse import parse_qsl, urlsplit

import polars as pl
import pytest
from hypothesis import given
from hypothesis import strategies as st

from pipeline.dedup.same_url import SameUrl, canonical


@pytest.mark.parametrize(
    ("one", "other"),
    [
        ("http://example.com", "https://www.example.com/"),
        ("http://example.com:80/a", "http://example.com/a"),
        ("https://example.com:443/a", "//EXAMPLE.com./a/"),
        ("http://example.com/%7Euser/%e4", "http://example.com/~user/%E4"),
        ("example://a/b/c/%7Bfoo%7D", "eXAMPLE://a/./b/../b/%63/%7bfoo%7d"),  # RFC 3986, section 6.2.2
        ("http://example.com/a?b=1&a=2", "http://example.com/a?a=2&b=1&"),
        ("http://example.com/a?utm_source=x&fbclid=y&id=3#top", "http://example.com/a?id=3"),
        ("http://example.com/a;jsessionid=0F?x=1", "http://example.com/a?x=1&PHPSESSID=77"),
        ("http://example.com/a?q=b+c", "http://example.com/a?q=b%20c"),
        ("http://user:secret@example.com/a", "http://example.com/a"),
        ("http://bücher.example/ä", "http://xn--bcher-kva.example/%C3%A4"),
        (" http://example.com/a\n", "http://example.com\\a"),
    ],
)
def test_ways_to_write_one_address(one: str, other: str) -> None:
    assert canonical(one) == canonical(other) != ""


@pytest.mark.parametrize(
    ("one", "other"),
    [
        ("http://example.com/a", "http://example.com/A"),
        ("http://example.com:8080/a", "http://example.com/a"),
        ("http://example.com/a?x=1", "http://example.com/a?x=2"),
        ("http://example.com/a%2Fb", "http://example.com/a/b"),
        ("http://example.com/a?b%26c=1", "http://example.com/a?b&c=1"),
        ("http://example.com/#!/a", "http://example.com/#!/b"),
        ("http://example.com/a", "http://example.org/a"),
        ("http://example.com/?a=%2B", "http://example.com/?a=+"),
        ("http://example.com/article?sid=1", "http://example.com/article?sid=2"),
    ],
)
def test_addresses_of_different_pages(one: str, other: str) -> None:
    assert canonical(one) != canonical(other)


@pytest.mark.parametrize("url", ["", " ", "http:// /a", "/path/only", "?query", "#fragment", "http://", "http:///path"])
def test_what_names_no_host_is_no_address(url: str) -> None:
    assert canonical(url) == ""


_PART = st.text(st.sampled_from("abcXYZ019-._~%2fé &=+;/?:@!"), max_size=12)


@given(st.from_regex(r"[a-zA-Z0-9.-]{0,9}[a-zA-Z](:[0-9]{1,3})?", fullmatch=True), _PART, _PART)
def test_any_address_becomes_one_that_stays_as_it_is(host: str, path: str, query: str) -> None:
    once = canonical(f"http://{host}/{path}?{query}")
    assert once.isascii() and canonical(once) == once


@given(
    st.lists(st.tuples(st.text(min_size=1, max_size=5), st.text(min_size=1, max_size=5)), max_size=5),
    st.randoms(use_true_random=False),
)
def test_parameters_keep_their_meaning_and_lose_their_order(pairs: list[tuple[str, str]], random) -> None:
    from urllib.parse import urlencode

    pairs = [(f"p{name}", value) for name, value in pairs]  # none that tracks
    try:
        written = urlencode(pairs)
    except UnicodeEncodeError:
        return  # half of a surrogate pair
    found = canonical(f"https://example.com/a?{written}")
    assert sorted(parse_qsl(urlsplit(f"//{found}").query)) == sorted(pairs)
    random.shuffle(pairs)
    assert canonical(f"http://example.com/a?{urlencode(pairs)}") == found


def test_without_an_address_nobody_is_a_duplicate() -> None:
    urls = pl.Series(["http://a.example/x", None, "", "https://www.a.example/x/", "/x", None])
    keys, found = SameUrl().band_keys(urls)
    assert found.tolist() == [True, False, False, True, False, False]
    assert keys[0] == keys[3]
