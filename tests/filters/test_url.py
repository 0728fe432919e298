"""The filter by address: listed hosts and URLs in every spelling, words in addresses, addresses that are none."""

import random
import socket
import tarfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import polars as pl
import pytest
from hypothesis import example, given
from hypothesis import strategies as st
from pydantic import ValidationError

from filters import Url, blocklist, urls
from filters.assets import AssetError


def signals(step: Url, *addresses: str | None) -> pl.DataFrame:
    return pl.DataFrame({"url": addresses}, schema={"url": pl.String}).select(**step.signals())


def dropped(step: Url, address: str | None) -> str | None:
    """The first signal above its range."""
    row = signals(step, address).row(0, named=True)
    return next((name for name, value in row.items() if value is not None and value > (step.keep[name][1] or 0)), None)


def own(*domains: str) -> Url:
    return Url(integrated=False, domains=domains)


@pytest.fixture(scope="module")
def integrated(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """The integrated lists, built anew into an empty cache."""
    with pytest.MonkeyPatch.context() as patch:
        folder = tmp_path_factory.mktemp("cache")
        patch.setenv("XDG_CACHE_HOME", str(folder))
        blocklist.hashes.cache_clear()
        yield folder / "gristmill"
    blocklist.hashes.cache_clear()


@pytest.mark.parametrize(
    ("listed", "address", "reason"),
    [
        ("bad.com", "http://bad.com", "domain_listed"),
        ("Bad.com", "http://bad.com/page", "domain_listed"),
        ("bad.com", "HTTPS://WWW.BAD.COM./x?y#z", "domain_listed"),
        ("bad.com", "http://user:pass@a.b.bad.com:8080/", "domain_listed"),
        ("bad.com", "bad.com/without/scheme", "domain_listed"),
        ("bad.com", "//bad.com", "domain_listed"),
        ("bad.com", "http://notbad.com/", None),
        ("bad.com", "http://bad.com.example.org/", None),
        ("bad.com", "http://example.org/bad.com", None),
        ("bad.co.uk", "http://www.bad.co.uk/", "domain_listed"),
        ("co.uk", "http://www.fine.co.uk/", None),
        ("one.blogspot.com", "http://one.blogspot.com/x", "subdomain_listed"),
        ("one.blogspot.com", "http://www.ONE.blogspot.com/x", "subdomain_listed"),
        ("one.blogspot.com", "http://two.blogspot.com/x", None),
        ("sub.bad.com", "http://deep.sub.bad.com", "subdomain_listed"),
        ("sub.bad.com", "http://bad.com", None),
        ("bad.com/page", "http://www.Bad.com/Page/", "url_listed"),
        ("https://bad.com/page?a=1", "http://bad.com/page?a=1#part", "url_listed"),
        ("bad.com/page", "http://bad.com/pages", None),
        ("пример.рф", "http://www.xn--e1afmkfd.xn--p1ai/", "domain_listed"),
        ("xn--bcher-kva.example", "http://Bücher.example/x", "domain_listed"),
        ("192.0.2.7", "http://192.0.2.7/x", "domain_listed"),
        ("[2001:db8::1]", "http://[2001:db8::1]:80/x", "domain_listed"),
    ],
)
def test_hosts_and_urls_of_ones_own(listed: str, address: str, reason: str | None) -> None:
    assert dropped(own(listed), address) == reason


def test_lists_from_files(tmp_path: Path) -> None:
    path = tmp_path / "list.txt"
    path.write_text("# a comment\n\nBad.com  \nworse.org/page\n", encoding="utf-8")
    step = Url.model_validate({"integrated": False, "lists": str(path)})
    assert dropped(step, "http://bad.com/") == "domain_listed"
    assert dropped(step, "http://worse.org/page") == "url_listed"
    assert dropped(step, "http://a-comment.org/") is None
    before = step.identity()
    path.write_text("other.com", encoding="utf-8")
    assert step.identity() != before
    assert dropped(step, "http://other.com/") == "domain_listed"
    assert dropped(step, "http://bad.com/") is None
    with pytest.raises(ValidationError, match="does not point to a file"):
        Url(lists=(tmp_path / "missing",))


def test_a_missing_address_passes(integrated: Path) -> None:
    got = signals(Url(), None, "", "  ", "http://example.org/")
    assert [set(row) for row in got.rows()] == [{None}, {None}, {None}, {0}]


def test_words_in_addresses(integrated: Path) -> None:
    hard, soft = blocklist.words("banned_words")[0], blocklist.words("soft_banned_words")
    part = next(word for word in blocklist.words("banned_subwords") if len(word) > 8)
    assert dropped(Url(), f"http://x.com/{hard.upper()}/1") == "banned_words"
    assert dropped(Url(), "http://x.com/PORN/1") == "banned_words"
    assert dropped(Url(), f"http://x.com/zzq{hard}zzq") is None
    assert dropped(Url(), f"http://x.com/{soft[0]}") is None
    assert dropped(Url(), f"http://x.com/{soft[0]}/{soft[0]}") is None
    assert dropped(Url(), f"http://x.com/{soft[0].upper()}-{soft[1]}") == "soft_banned_words"
    assert dropped(Url(), f"http://x.com/qq{part[:4]}-{part[4:].upper()}qq") == "banned_subwords"


def test_all_entries_of_the_lists_are_found_and_nothing_else(integrated: Path) -> None:
    with tarfile.open(blocklist.tarball()) as archive:
        lists = {name: archive.extractfile(name).read().decode().splitlines() for name in ("domains", "urls")}  # type: ignore[union-attr]
    choose = random.Random(0)
    hosts, pages = choose.sample(lists["domains"], 2000), choose.sample(lists["urls"], 500)
    got = signals(Url(), *(f"http://{host}/some/page" for host in hosts))
    assert (got["domain_listed"] + got["subdomain_listed"] > 0).all()
    got = signals(Url(), *(f"https://www.{page.upper()}" for page in pages))
    assert (got["url_listed"] == 1).all()
    letters = "abcdefghijklmnopqrstuvwxyz"
    made_up = ["".join(choose.choices(letters, k=20)) + ".com" for _ in range(2000)]
    got = signals(Url(), *(f"http://{host}/" for host in made_up))
    assert got["domain_listed"].sum() == 0
    assert len(blocklist.hashes()) == len(lists["domains"]) + len(lists["urls"])


def test_the_lists_are_built_once_and_by_no_process_twice(integrated: Path) -> None:
    first = blocklist.path()
    before = first.stat()
    blocklist.hashes.cache_clear()
    assert blocklist.path() == first
    assert first.stat().st_mtime_ns == before.st_mtime_ns
    assert [path.name for path in integrated.iterdir() if not path.name.startswith(".")] == [first.name]


def test_a_foreign_archive_is_refused(integrated: Path, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """Names in an archive lead nowhere: only regular members of the expected names are read, none is written."""
    evil = tmp_path / "evil.tar.gz"
    with tarfile.open(evil, "w:gz") as archive:
        for name, kind in (("../domains", tarfile.REGTYPE), ("domains", tarfile.SYMTYPE)):
            member = tarfile.TarInfo(name)
            member.type, member.linkname = kind, "/etc/passwd"
            archive.addfile(member)
    monkeypatch.setattr(blocklist, "tarball", lambda: evil)
    monkeypatch.setattr(blocklist, "sha256", lambda: "0" * 64)
    with pytest.raises(AssetError, match="no list 'domains'"):
        blocklist.path()
    assert sorted(tmp_path.iterdir()) == [evil]


PARTS = ["http", "://", "//", "@", ":", "[", "]", "/", "?", "#", ".", "a", "B", "com", "é", "%", " ", "\\", "xn--"]
ADDRESSES = st.one_of(st.text(max_size=40), st.lists(st.sampled_from(PARTS)).map("".join))


@given(ADDRESSES)
@example("http://[::1")
@example("http://" + "a" * 300 + "é.com")
@example("http://a..b.com")
def test_every_address_is_taken_apart(address: str) -> None:
    page = urls.parse(address)
    assert page.host.endswith(page.domain)
    assert all(name.endswith(page.domain) and page.host.endswith(name) for name in page.between)
    assert page.host == page.host.lower()


def test_nothing_touches_the_network(integrated: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*args: Any, **kwargs: Any) -> None:
        raise AssertionError("network")

    monkeypatch.setattr(socket, "socket", refuse)
    monkeypatch.setattr(socket, "create_connection", refuse)
    urls.registered_domain.cache_clear()
    assert urls.registered_domain("www.example.co.uk") == "example.co.uk"
    assert signals(Url(), "http://unheard-of.example/x").row(0) == (0,) * 6
