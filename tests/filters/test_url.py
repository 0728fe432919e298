"""The filter by address: listed hosts and URLs in every spelling, words in addresses, addresses that are none."""

import json
import random
import re
import subprocess
import sys
import tarfile
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import polars as pl
import pytest
from hypothesis import example, given
from hypothesis import strategies as st
from pydantic import ValidationError

from filters import Url, blocklist, suffixes, urls
from filters.assets import AssetError
from filters.url_kernels import among, take_apart
from filters.words import buffers


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
        ("bad.xn--55qx5d.cn", "http://www.bad.公司.cn/", "domain_listed"),
        ("bad.com", "http://example.org/go?to=http://bad.com/", None),
        ("bad.com", "example.org/go?to=http://bad.com/", None),
        ("example.org/go?to=http://bad.com", "http://www.example.org/go?to=http://bad.com/", "url_listed"),
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
    path.write_text("one.com\n\nhttp://\n", encoding="utf-8")
    with pytest.raises(AssetError, match=r"list.txt:3: 'http://' names no host"):
        dropped(step, "http://one.com/")
    path.write_bytes(b"b\xfccher.de")
    with pytest.raises(AssetError, match="lists are UTF-8, and byte 1 is not"):
        dropped(step, "http://one.com/")


def test_a_domain_that_is_none() -> None:
    with pytest.raises(ValidationError, match="'https:///page' names no host"):
        own("bad.com", "https:///page")


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


def test_words_of_ones_own(integrated: Path) -> None:
    step = Url(integrated=False, words=("Casino",), soft_words=("free", "bonus"), subwords=("viagra",))
    assert dropped(step, "http://x.com/best-CASINO/") == "banned_words"
    assert dropped(step, "http://x.com/casinos") is None
    assert dropped(step, "http://x.com/free") is None
    assert dropped(step, "http://x.com/Free_bonus") == "soft_banned_words"
    assert dropped(step, "http://buy-via-gra.com/") == "banned_subwords"
    assert signals(step, "http://casino.com/free-casino-free").row(0) == (0, 0, 0, 1, 1, 0)
    both = Url(words=("casino",))
    assert dropped(both, "http://x.com/casino") == dropped(both, "http://x.com/porn") == "banned_words"
    with pytest.raises(ValidationError, match="'two-words' can be no word of an address"):
        Url(words=("two-words",))


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


PARTS = [
    "http",
    "://",
    "//",
    "@",
    ":",
    "[",
    "]",
    "/",
    "?",
    "#",
    ".",
    "a",
    "B",
    "com",
    "co.uk",
    "www.",
    "é",
    "%",
    " ",
    "\\",
]
PARTS += ["xn--", "80", "_", "-", "\n", "\x1f", "\u00a0", "\u212a", "公司.cn", "1.2.3.4", "user:word@"]
PLAIN = re.compile(r"([a-z\d.+-]*://)?+(//)?+[a-z\d._-]*(:\d*)?([/?#][!-~]*)?", re.ASCII)
ADDRESSES = st.one_of(st.text(max_size=40), st.lists(st.sampled_from(PARTS)).map("".join))


@given(ADDRESSES)
@example("http://[::1")
@example("http://" + "a" * 300 + "é.com")
@example("http://a..b.com")
@example("http://.com")
@example("http://" + "a." * 200 + "com")
def test_every_address_is_taken_apart(address: str) -> None:
    page = urls.parse(address)
    assert page.host.endswith(page.domain)
    assert page.host == page.host.lower()
    longer = [page.host]
    while len(page.host) <= 253 and longer[-1] != page.domain:
        longer.append(longer[-1].partition(".")[2])
    assert page.between == tuple(name for name in longer if name != page.domain)


@given(st.lists(ADDRESSES))
@example(["http://a.b.co.uk:80/x", "", "http://www.a.com./", "a.b." + "c" * 300 + ".com", "公司.cn", "x.com/a#b"])
def test_the_compiled_loop_finds_the_same_parts(addresses: list[str]) -> None:
    small = pl.Series([address.lower() for address in addresses], dtype=pl.String)
    domains, pages, between, owners, odd = take_apart(*buffers(small), *suffixes.rules())
    for row, address in enumerate(small):
        page = urls.parse(address)
        if odd[row]:
            assert not PLAIN.fullmatch(address)
            continue
        expected = urls.hashes(pl.Series([page.domain, page.url, *page.between]))
        assert [domains[row], pages[row], *between[owners == row]] == expected.tolist()


def test_addresses_that_are_taken_apart_one_by_one_keep_their_rows() -> None:
    step = own("sub.bücher.de", "sub.bad.com", "192.0.2.7/x", "bad.org")
    rows = [
        ("http://fine.org", None),
        ("http://sub.bücher.de/", "subdomain_listed"),
        ("http://sub.bad.com/", "subdomain_listed"),
        ("http://user@bad.org", "domain_listed"),
        (None, None),
        ("http://192.0.2.7/x", "url_listed"),
        ("http://user@a.b.sub.bad.com/", "subdomain_listed"),
    ]
    got = signals(step, *(address for address, _ in rows))
    reasons = [next((name for name, value in row.items() if value), None) for row in got.iter_rows(named=True)]
    assert reasons == [reason for _, reason in rows]


def test_a_host_that_is_too_long_costs_no_more_than_its_length() -> None:
    """As many parents as it has labels, each as long as what is left of it, would be ten gigabytes."""
    address = "http://" + "a." * 150_000 + "com/"
    assert dropped(own("bad.com"), address) is None
    assert dropped(own("a.com"), address) == "domain_listed"


@pytest.mark.parametrize(
    ("host", "domain"),
    [
        ("com", "com"),
        ("example.com", "example.com"),
        ("a.b.example.com", "example.com"),
        ("uk.com", "uk.com"),
        ("b.c.mm", "b.c.mm"),
        ("a.b.c.mm", "b.c.mm"),
        ("test.ck", "test.ck"),
        ("a.b.test.ck", "b.test.ck"),
        ("www.ck", "www.ck"),
        ("www.www.ck", "www.ck"),
        ("kobe.jp", "kobe.jp"),
        ("c.kobe.jp", "c.kobe.jp"),
        ("a.b.c.kobe.jp", "b.c.kobe.jp"),
        ("a.city.kobe.jp", "city.kobe.jp"),
        ("test.k12.ak.us", "test.k12.ak.us"),
        ("www.test.k12.ak.us", "test.k12.ak.us"),
        ("www.xn--85x722f.xn--55qx5d.cn", "xn--85x722f.xn--55qx5d.cn"),
        ("xn--55qx5d.cn", "xn--55qx5d.cn"),
        ("www.xn--85x722f.xn--fiqs8s", "xn--85x722f.xn--fiqs8s"),
        ("one.github.io", "github.io"),
        ("a.unheard-of", "a.unheard-of"),
        ("192.0.2.7", "192.0.2.7"),
        ("", ""),
    ],
)
def test_registered_domains(host: str, domain: str) -> None:
    """The cases of publicsuffix.org's own test; as filters see it, a public suffix itself is its own domain."""
    assert urls.registered_domain(host) == domain


def test_registered_domains_are_those_of_another_reader_of_the_rules() -> None:
    from tld import get_tld

    rules = suffixes.path().read_text(encoding="utf-8").partition("===BEGIN PRIVATE DOMAINS===")[0].splitlines()
    plain = [rule.lstrip("!").replace("*", "any") for rule in rules if rule.isascii() and rule and rule[0] != "/"]
    assert len(plain) > 5000
    for rule in plain:
        for host in (rule, f"a.{rule}", f"b.a.{rule}", f"c.{rule.partition('.')[2] or rule}"):
            known = get_tld(f"http://{host}", fail_silently=True, as_object=True, search_private=False)
            assert urls.registered_domain(host) == ((known and known.fld) or host)  # type: ignore[union-attr]


EDGES = [0, 1, 2, 2**63 - 1, 2**63, 2**64 - 2, 2**64 - 1]
KEYS = st.lists(st.integers(0, 2**64 - 1) | st.sampled_from(EDGES), max_size=60)


@given(KEYS, KEYS)
def test_hashes_are_found_in_a_sorted_array(listed: list[int], others: list[int]) -> None:
    array = np.unique(np.array(listed, np.uint64))
    keys = np.array(listed + others, np.uint64)
    assert among(keys, array).tolist() == np.isin(keys, array).tolist()


JUDGE = """
import json, sys
events = []
sys.addaudithook(lambda event, _: events.append(event) if event.startswith("socket.") else None)
import polars as pl
from filters import Url

def held():
    return next(int(line.split()[1]) for line in open("/proc/self/status") if line.startswith("RssAnon")) // 1024

docs = pl.DataFrame({"url": [f"http://www.site{i}.co.uk/page/{i}" for i in range(10_000)] + ["http://bücher.example/"]})
docs.select(**Url(integrated=False, domains=("bad.com",)).signals())
before = held()
got = docs.select(**Url().signals())
print(json.dumps({"sockets": events, "mebibytes": held() - before, "listed": got["domain_listed"].sum()}))
"""


@pytest.mark.skipif(not Path("/proc/self/status").exists(), reason="the memory of a process is read from /proc")
def test_a_worker_opens_no_socket_and_holds_no_list(integrated: Path) -> None:
    blocklist.path()  # made once a machine, by whoever comes first
    done = subprocess.run([sys.executable, "-c", JUDGE], capture_output=True, text=True, check=True)
    got = json.loads(done.stdout)
    assert got["sockets"] == []
    assert got["listed"] == 0
    assert got["mebibytes"] < 40  # as text in a set the lists take over 500
