"""Stack Exchange dumps: every question once with all its answers, wherever in the file they lie."""

import bz2
import gzip
import re
from collections import Counter, defaultdict
from xml.etree import ElementTree

import numpy as np
import pytest
import zstandard
from hypothesis import given
from hypothesis import strategies as st
from lxml import etree

from pipeline.readers import StackExchangeReader, joins, reader_for
from pipeline.readers.joins import Index, Spool, SpoolError

SITE = StackExchangeReader(site="beer.stackexchange.com")


def row(number, kind, body="<p>text</p>", **attributes):
    attributes = {
        "Id": number,
        "PostTypeId": kind,
        "CreationDate": "2019-01-02T03:04:05.678",
        "Score": 1,
        "Body": body,
        **attributes,
    }
    element = etree.Element("row", {name: str(value) for name, value in attributes.items() if value is not None})
    return b"  " + etree.tostring(element, encoding="utf-8") + b"\n"


def question(number, **attributes):
    return row(number, 1, Title=f"Question {number}", **attributes)


def answer(number, parent, body=None, **attributes):
    return row(number, 2, body or f"<p>answer {number}</p>", ParentId=parent, **attributes)


def dump(rows, tag="posts"):
    head = f'<?xml version="1.0" encoding="utf-8"?>\n<{tag}>\n'.encode()
    return b"\xef\xbb\xbf" + head + b"".join(rows) + f"</{tag}>".encode()


def write(tmp_path, data, name="Posts.xml"):
    path = tmp_path / name
    path.write_bytes(data)
    return path


def threads(records):
    """The numbers of the answers in each document, in their order."""
    return {record.doc_id: re.findall(r"answer (\d+)", record.text) for record in records if record.text}


def errors(records):
    return [record.error for record in records if record.error]


# --- documents ------------------------------------------------------------------------------------------------------


def test_a_thread(tmp_path, read_all):
    body = (
        "<p>Is <code>a &lt; b</code> 10<sup>6</sup>?</p>\n\n<h1>More</h1>\n<ul>\n<li>one</li>\n</ul>\n"
        '<pre class="lang-py prettyprint-override"><code>x = 1\n\ny = 2\n</code></pre>'
    )
    code = "<!-- language: lang-js -->\n\n<pre><code>let z;\n</code></pre>"
    rows = [
        question(
            5,
            body=body,
            AcceptedAnswerId=9,
            ViewCount=70,
            AnswerCount=3,
            CommentCount=2,
            Tags="<a-b><c++>",
            OwnerUserId=11,
            Score=-4,
            ContentLicense="CC BY-SA 4.0",
            ClosedDate="2020-01-01T00:00:00.000",
        ),
        answer(7, 5, "<p>best <em>one</em></p>", Score=8, OwnerUserId=12, ContentLicense="CC BY-SA 3.0"),
        answer(8, 5, code, Score=3, OwnerDisplayName="Jane", CommentCount=1, ContentLicense="CC BY-SA 4.0"),
        answer(9, 5, "<p>accepted</p>", Score=0, OwnerUserId=11, ContentLicense="CC BY-SA 4.0"),
    ]
    (record,) = read_all(SITE, write(tmp_path, dump(rows)))[0]
    assert record.text == (
        "# Question 5\n\nIs `a < b` 10⁶?\n\n### More\n\n- one\n\n```py\nx = 1\n\ny = 2\n```\n\n"
        "## Accepted answer\n\naccepted\n\n## Answer\n\nbest one\n\n## Answer\n\n```js\nlet z;\n```"
    )
    assert (record.doc_id, record.url) == ("5", "https://beer.stackexchange.com/questions/5")
    assert record.date == "2019-01-02T03:04:05.678"
    assert record.license == "CC-BY-SA-3.0 AND CC-BY-SA-4.0"
    people = "https://beer.stackexchange.com/users/"
    assert (record.title, record.author) == ("Question 5", f"{people}11; {people}12; Jane")
    assert record.signals == {
        "score": -4,
        "views": 70,
        "answers": 3,
        "answer_count": 3,
        "accepted": True,
        "accepted_score": 0,
        "best_score": 8,
        "comments": 3,
        "closed": True,
        "tags": "a-b c++",
    }
    assert set(record.signals) == set(SITE.signals) == set(SITE.units)


def test_small_print_and_formulas(tmp_path, read_all):
    body = "<p>CO<sub>2</sub> and 10<sup>6</sup> cups.</p>\n\n<p><sup>Source: my own kitchen</sup></p>"
    (record,) = read_all(SITE, write(tmp_path, dump([question(5, body=body)])))[0]
    assert record.text.endswith("CO2 and 10⁶ cups.\n\nSource: my own kitchen")


def test_order_and_choice_of_answers(tmp_path, read_all):
    rows = [question(1, AcceptedAnswerId=4), *(answer(i, 1, Score=score) for i, score in ((2, 5), (3, 9), (4, -1)))]
    path = write(tmp_path, dump([*rows, answer(5, 1, Score=9)]))

    def numbers(**settings):
        (record,) = read_all(StackExchangeReader(**settings), path)[0]
        assert record.signals["answers"] == len(threads([record])["1"])
        return [int(number) for number in threads([record])["1"]]

    assert numbers() == [4, 3, 5, 2]
    assert numbers(order="score") == [3, 5, 2, 4]
    assert numbers(order="date") == [2, 3, 4, 5]
    assert numbers(max_answers=2) == [4, 3] and numbers(max_answers=0) == []
    assert numbers(min_answer_score=0) == [3, 5, 2]


def test_licences_by_date_where_none_is_given(tmp_path, read_all):
    dates = {"2011-04-07T23:59:59": "2.5", "2011-04-08T00:00:00": "3.0", "2018-05-01T23:59": "3.0", "2018-05-02": "4.0"}
    rows = [question(i, CreationDate=date) for i, date in enumerate(dates)]
    records, _ = read_all(SITE, write(tmp_path, dump(rows)))
    assert [record.license for record in records] == [f"CC-BY-SA-{version}" for version in dates.values()]


def test_sites_by_the_names_of_files(tmp_path, read_all):
    (tmp_path / "cooking.stackexchange.com").mkdir()
    names = {
        "cooking.stackexchange.com/Posts.xml": "https://cooking.stackexchange.com/questions/1",
        "stackoverflow.com-Posts.xml": "https://stackoverflow.com/questions/1",
        "Posts.xml": None,
    }
    for name, url in names.items():
        (record,) = read_all(StackExchangeReader(), write(tmp_path, dump([question(1, OwnerUserId=3)]), name))[0]
        assert record.url == url
        assert record.author == (url.replace("questions/1", "users/3") if url else "user 3")


def test_posts_that_are_no_documents(tmp_path, read_all):
    rows = [
        question(1),
        row(2, 4),
        row(3, 5),
        answer(4, 99),
        answer(5, 2),
        answer(6, 1),
        row(7, 1, body=""),
        row(8, None),
        row("x", 1),
        row(9, 2),
    ]
    records, ignored = read_all(SITE, write(tmp_path, dump(rows)))
    told = [record.drop or record.error for record in records]
    assert told == [None, "read.orphan", "read.orphan", "read.empty", "read.post", "read.post", "read.post"]
    assert ignored == {"post_type": 2, "answer": 1}


@pytest.mark.parametrize("name", ["Posts.xml", "Posts.xml.gz"])
def test_comments(tmp_path, read_all, name):
    pack = gzip.compress if name.endswith("gz") else bytes
    posts = dump([question(1), question(2), answer(3, 1)])
    texts = [(1, "first\n[link](x)"), (3, "on the answer & more"), (1, "second"), (7, "elsewhere")]
    comments = [etree.Element("row", Id=str(i), PostId=str(post), Text=text) for i, (post, text) in enumerate(texts)]
    write(tmp_path, pack(dump([etree.tostring(comment) for comment in comments], "comments")), "Comments" + name[5:])
    path = write(tmp_path, pack(posts), name)
    first, second = read_all(StackExchangeReader(comments=True), path, 200)[0]
    assert first.text == (
        "# Question 1\n\ntext\n\n- first [link](x)\n- second\n\n## Answer\n\nanswer 3\n\n- on the answer & more"
    )
    assert second.text == "# Question 2\n\ntext"
    other = write(tmp_path, pack(posts), "alone-" + name)
    with pytest.raises(ValueError, match="Comments"):
        StackExchangeReader(comments=True).splits(other.stat().st_size, str(other), 100)


def test_dumps_are_known_by_their_names():
    names = ("*/Posts.xml", "Posts.xml", "stackoverflow.com-Posts.xml", "a/Posts.xml.bz2")
    assert {reader_for(name) for name in names} == {"stackexchange"}
    assert reader_for("a/Compost.xml") is None and reader_for("a/Comments.xml") is None


def test_files_that_are_no_posts(tmp_path):
    for data in (b"<mediawiki>", b"PK\x03\x04", b"7z\xbc\xaf\x27\x1c"):
        path = write(tmp_path, data)
        with pytest.raises(ValueError, match="Posts.xml"):
            SITE.splits(len(data), str(path), 100)
    assert SITE.splits(0, str(write(tmp_path, b"")), 100) == []


# --- joining --------------------------------------------------------------------------------------------------------


@given(
    posts=st.lists(st.one_of(st.none(), st.integers(0, 12)), max_size=40),
    split_bytes=st.integers(1, 5000),
    name=st.sampled_from(["Posts.xml", "Posts.xml.gz", "Posts.xml.bz2", "Posts.xml.zst"]),
    run=st.integers(1, 6),
)
def test_answers_find_their_questions(tmp_path_factory, read_all, posts, split_bytes, name, run):
    """Posts are questions (None) or answers to the post of a number, before or after it, there or not."""
    rows = [question(i) if parent is None else answer(i, parent, Score=0) for i, parent in enumerate(posts)]
    pack = {"xml": bytes, "gz": gzip.compress, "bz2": bz2.compress, "zst": zstandard.ZstdCompressor().compress}
    folder = tmp_path_factory.mktemp("posts")
    path = write(folder, pack[name.rpartition(".")[2]](dump(rows)), name)
    expected = {str(i): [] for i, parent in enumerate(posts) if parent is None}
    orphans = 0
    for i, parent in enumerate(posts):
        if parent is not None:
            expected.get(str(parent), []).append(str(i))
            orphans += str(parent) not in expected
    whole, ignored = read_all(SITE, path)
    assert threads(whole) == expected
    assert sum(record.drop == "read.orphan" for record in whole) == orphans
    assert ignored["answer"] + orphans + len(expected) == len(posts)
    assert read_all(SITE, path, split_bytes) == (whole, ignored)


@pytest.mark.parametrize("site", ["beer", "coffee"])
def test_real_dumps(test_data, read_all, site):
    path = test_data(f"D-stackexchange/{site}/Posts.xml")
    posts = [element.attrib for element in ElementTree.parse(path).getroot()]
    answers = defaultdict(list)
    for post in posts:
        if post["PostTypeId"] == "2":
            answers[post["ParentId"]].append(post)
    questions = {post["Id"]: post for post in posts if post["PostTypeId"] == "1"}
    records, ignored = read_all(SITE, path, 100_000)
    assert [record.doc_id for record in records] == list(questions)
    assert ignored["answer"] == sum(len(answers[number]) for number in questions)
    for record in records:
        post, own = questions[record.doc_id], answers[record.doc_id]
        assert record.text.startswith(f"# {' '.join(post['Title'].split())}\n\n")
        assert len(re.findall(r"^## (?:Accepted a|A)nswer$", record.text, re.M)) == len(own)
        assert ("## Accepted answer" in record.text) == (post.get("AcceptedAnswerId") in {a["Id"] for a in own})
        assert record.signals["answers"] == len(own) == int(post["AnswerCount"])
        assert record.signals["score"] == int(post["Score"])
        words = Counter(re.findall(r"[a-z]{3,}", record.text.lower()))
        for body in (post["Body"], *(a["Body"] for a in own)):
            shown = etree.HTML(f"<div>{body}</div>").xpath("string()") if body else ""
            missing = set(re.findall(r"[a-z]{3,}", shown.lower())) - set(words)
            assert not missing
    assert read_all(SITE, path)[0] == records


@given(
    st.lists(st.tuples(st.integers(-3, 9), st.integers(0, 50)), max_size=60),
    st.sets(st.integers(-4, 10)),
    st.integers(1, 9),
)
def test_the_index_finds_what_a_search_finds(rows, keys, run):
    index = Index(run)
    for place, (key, length) in enumerate(rows):
        index.add(key, place, length)
    index.close()
    wanted = np.array(sorted(keys), np.int64)
    expected = [(key, place, length) for place, (key, length) in enumerate(rows) if key in keys]
    assert list(zip(*(values.tolist() for values in index.find(wanted)), strict=True)) == expected
    assert index.has(wanted).tolist() == [any(key == row[0] for row in rows) for key in sorted(keys)]


# --- damage ---------------------------------------------------------------------------------------------------------


def test_rows_that_are_damaged_cost_only_themselves(tmp_path, read_all):
    rows = [question(1), answer(2, 1), question(3), answer(4, 3), answer(5, 1)]
    whole = rows[1]
    for broken in (
        whole.replace(b"/>", b""),
        whole.replace(b'Score="1"', b'Score="1'),
        whole.replace(b'Score="1"', b'Score="1" Score="2"'),
        whole.replace(b"answer 2", b"answer \xff"),
        whole.replace(b"answer 2", b"answer &bomb;"),
        whole.replace(b"answer 2", b"answer &#0;"),
    ):
        path = write(tmp_path, dump([rows[0], broken, *rows[2:]]))
        for split_bytes in (1 << 30, 150):
            records, _ = read_all(SITE, path, split_bytes)
            assert threads(records) == {"1": ["5"], "3": ["4"]}
            assert errors(records) == ["read.xml"]


@pytest.mark.parametrize("name", ["Posts.xml", "Posts.xml.gz", "Posts.xml.zst", "Posts.xml.bz2"])
def test_rows_before_a_truncation_are_kept(tmp_path, read_all, name):
    rows = [question(i, body=f"<p>x{'x' * (i % 50)}</p>") for i in range(3000)]
    data = dump(rows)
    pack = {"xml": bytes, "gz": gzip.compress, "bz2": bz2.compress, "zst": zstandard.ZstdCompressor().compress}
    packed = pack[name.rpartition(".")[2]](data)
    records, _ = read_all(SITE, write(tmp_path, packed[: len(packed) * 2 // 3], name))
    good = [record.doc_id for record in records if record.text]
    assert good == [str(i) for i in range(len(good))]
    assert len(errors(records)) == 1 and errors(records)[0] in {"read.truncated", "read.xml"}
    assert name.endswith(("bz2", "zst")) or 1900 < len(good) < 2100


def test_threads_that_are_too_large_are_not_held(tmp_path, read_all):
    rows = [
        question(1),
        answer(2, 1, "<p>" + "x" * 6000),
        question(3),
        *(answer(i, 3, "y" * 2000) for i in range(4, 8)),
        question(8, body="z" * 9000),
        question(9),
    ]
    reader = StackExchangeReader(max_record_bytes=5000)
    for name, pack in (("Posts.xml", bytes), ("Posts.xml.gz", gzip.compress)):
        records, _ = read_all(reader, write(tmp_path, pack(dump(rows)), name))
        assert threads(records) == {"1": [], "9": []}
        assert errors(records) == ["read.too_large"] * 3
        assert not any(record.drop for record in records)


def test_a_packed_file_that_unpacks_without_end(tmp_path, read_all, monkeypatch):
    monkeypatch.setattr(joins, "_SMALL", 50_000)
    monkeypatch.setattr(joins, "_RATIO", 2)
    records, _ = read_all(SITE, write(tmp_path, gzip.compress(dump(question(i) for i in range(5000))), "Posts.xml.gz"))
    assert errors(records) == ["read.too_large"]
    assert 100 < len(threads(records)) < 1000
    with Spool(10) as spool, pytest.raises(SpoolError):
        spool.append(b"x" * 50_001)
