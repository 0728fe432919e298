"""Threads of forums: every post under what it answers, nobody's name, and nothing lost but what was deleted."""

import bz2
import gzip
import json
import random
from collections import defaultdict

import pytest
import zstandard
from hypothesis import given
from hypothesis import strategies as st

from pipeline.readers import Split, ThreadsReader
from pipeline.readers.conversation import Choice, Post, conversation
from pipeline.readers.lines import line_splits, lines

ALL = Choice("score", False, None, None, None)


def write(tmp_path, data, name="threads.jsonl"):
    path = tmp_path / name
    path.write_bytes(data if isinstance(data, bytes) else json.dumps(data).encode())
    return path


def comment(number, body, *replies, score=1, author="bob", **more):
    return {"id": number, "body": body, "score": score, "author": author, "replies": list(replies), **more}


def submission(number="s1", **more):
    return {
        "id": number,
        "title": "How &amp; why?",
        "selftext": "Tell me, u/bob.\n\n&gt; quote",
        "author": "ann",
        "subreddit": "cats",
        "permalink": f"/r/cats/comments/{number}/how/",
        "created_utc": 1500000000,
        "score": 42,
        "num_comments": 9,
        "upvote_ratio": 0.97,
        "over_18": False,
        "locked": True,
        **more,
    }


NESTED = submission(
    comments=[
        comment("a", "low", score=-2, author="cid"),
        comment("b", "high\n\nsecond", comment("c", "reply to @ann and @decorator", author="cid"), score=9),
        comment("d", "[deleted]", comment("e", "kept /u/ann"), author="[deleted]"),
        comment("f", "I am a bot", author="AutoModerator"),
    ]
)


def test_comments_in_each_other(tmp_path, read_all):
    (record,) = read_all(ThreadsReader(), write(tmp_path, NESTED))[0]
    assert record.text == (
        "# How & why?\n\nTell me, [user].\n\n> quote\n\n"
        "- high\n\n  second\n\n  - reply to [user] and @decorator\n- kept [user]\n- low"
    )
    assert (record.doc_id, record.title, record.date) == ("s1", "How & why?", "2017-07-14T02:40:00Z")
    assert record.author is None
    assert record.url == "https://www.reddit.com/r/cats/comments/s1/how/"
    assert record.signals == {
        "score": 42,
        "upvote_ratio": 0.97,
        "comments": 4,
        "comment_count": 9,
        "skipped": 2,
        "left_out": 0,
        "depth": 2,
        "best_score": 9,
        "participants": 3,
        "community": "cats",
        "tags": None,
        "adult": False,
        "closed": True,
    }
    assert set(record.signals) == set(ThreadsReader.signals) == set(ThreadsReader.units)


def test_settings(tmp_path, read_all):
    path = write(tmp_path, NESTED)

    def read(**settings):
        (record,) = read_all(ThreadsReader(**settings), path)[0]
        return record.text.partition("> quote\n\n")[2], record.signals

    assert read(authors="label")[0] == (
        "- User 2: high\n\n  second\n\n  - User 3: reply to User 1 and @decorator\n- User 2: kept User 1\n- User 3: low"
    )
    assert read(order="date")[0].startswith("- low\n\n- high")
    text, signals = read(max_depth=1)
    assert "reply" not in text and "kept" in text and signals["left_out"] == 1
    text, signals = read(max_comments=1)
    assert text == "- high\n\n  second" and signals["left_out"] == 5
    text, signals = read(min_comment_score=2)
    assert text == "- high\n\n  second" and signals["left_out"] == 5
    assert "bot" in read(skip_authors=())[0]


def test_pages_of_reddit(tmp_path, read_all):
    def listing(*children):
        return {"kind": "Listing", "data": {"children": list(children)}}

    def thing(data, *replies):
        return {"kind": "t1", "data": {**data, "replies": listing(*replies) if replies else ""}}

    top = {"name": "t1_x", "id": "x", "parent_id": "t3_s1", "body": "one", "author": "a", "score": 1}
    below = {"name": "t1_y", "id": "y", "parent_id": "t1_x", "body": "two", "author": "b", "score": 1}
    more = {"kind": "more", "data": {"count": 7, "id": "z", "name": "t1_z", "parent_id": "t3_s1", "children": ["z"]}}
    page = [listing({"kind": "t3", "data": submission()}), listing(thing(top, thing(below)), more)]
    (record,) = read_all(ThreadsReader(), write(tmp_path, page))[0]
    assert record.text.endswith("> quote\n\n- one\n  - two")
    assert record.signals["left_out"] == 7


TOPIC = {
    "id": 12,
    "title": "Upgrade",
    "slug": "upgrade",
    "created_at": "2020-01-02T03:04:05.000Z",
    "like_count": 3,
    "reply_count": 2,
    "category_id": 4,
    "closed": True,
    "tags": ["how to", {"name": "b"}],
    "post_stream": {
        "stream": [1, 2, 3, 4, 5, 6, 7],
        "posts": [
            {"id": 101, "post_number": 1, "username": "ann", "cooked": "<p>How to <code>x</code>?</p>"},
            {
                "id": 103,
                "post_number": 3,
                "username": "bob",
                "created_at": "2020-01-03",
                "reply_to_post_number": 2,
                "actions_summary": [{"id": 2, "count": 5}],
                "cooked": '<aside class="quote" data-username="ann"><div class="title">\n<div class="quote-controls">'
                '</div>\n<img src="a.png" class="avatar"> ann:</div>\n<blockquote>\n<p>How?</p></blockquote></aside>\n'
                '<p><a class="mention" href="/u/ann">@ann</a> so:</p><pre><code class="lang-sh">make\n</code></pre>',
            },
            {"id": 102, "post_number": 2, "username": "cid", "created_at": "2020-01-02", "raw": "Like @bob says."},
            {"id": 104, "post_number": 4, "username": "cid", "user_deleted": True, "cooked": "<p>gone</p>"},
            {"id": 105, "post_number": 5, "username": "ann", "reply_to_post_number": 4, "cooked": "<p>thanks</p>"},
            {"id": 106, "post_number": 6, "username": "system", "post_type": 3, "cooked": "<p>closed</p>"},
        ],
    },
}


@pytest.mark.parametrize("indent", [None, 2])
def test_topics_of_discourse(tmp_path, read_all, indent):
    path = write(tmp_path, json.dumps(TOPIC, indent=indent).encode(), "12.json")
    (record,) = read_all(ThreadsReader(site="meta.discourse.org"), path, 50)[0]
    assert record.text == (
        "# Upgrade\n\nHow to `x`?\n\n- thanks\n- Like [user] says.\n\n"
        "  - > How?\n\n    [user] so:\n\n    ```sh\n    make\n    ```"
    )
    assert record.url == "https://meta.discourse.org/t/upgrade/12"
    told = {name: record.signals[name] for name in ("score", "best_score", "skipped", "left_out", "tags", "community")}
    assert told == {"score": 3, "best_score": 5, "skipped": 1, "left_out": 1, "tags": "how-to b", "community": "4"}
    assert read_all(ThreadsReader(), path)[0][0].url is None


def test_quotes_in_raw_posts_of_discourse(tmp_path, read_all):
    posts = [
        {"post_number": 1, "raw": '[quote="ann, post:3, topic:4"]\nfirst\nsecond\n[/quote]\n\nYes.', "username": "b"}
    ]
    (record,) = read_all(ThreadsReader(), write(tmp_path, {"title": "T", "post_stream": {"posts": posts}}))[0]
    assert record.text == "# T\n\n> first\n> second\n\n\nYes."


def test_what_is_no_thread(tmp_path, read_all):
    rows = {
        b"{bad": "read.json",
        b"[1]": "read.thread",
        b"3": "read.thread",
        b"{}": "read.thread",
        b'{"post_stream": {"posts": []}}': "read.thread",
        b'{"title": "\\ud800", "selftext": "\\ud800"}': "read.utf8",
        b'{"title": "\xff"}': "read.json",
        b'{"title": ' + b"[" * 100_000: "read.json",
        b'{"title": "only this", "selftext": ""}': "read.empty",
        b'{"title": "t", "selftext": "[removed]", "comments": [{"id": "a", "body": "[deleted]"}]}': "read.deleted",
    }
    data = b"\n\n".join([*rows, json.dumps(NESTED).encode()])
    for split_bytes in (1 << 30, 20):
        records, _ = read_all(ThreadsReader(), write(tmp_path, data), split_bytes)
        assert [record.drop or record.error for record in records] == [*rows.values(), None]
        assert all(record.html for record in records if record.error)


@pytest.mark.parametrize(
    "piece",
    [
        *("[quote]", '[quote="a', "[", "[removed by ", "u/", "@", "/u/a", "&gt;", "\n", "- ", "a"),
        *('<div class="title">', '<a class="mention" ', "<sup>", "<aside class='quote'>"),
    ],
)
def test_long_repetitions_end(tmp_path, read_all, piece):
    for text in (piece * (200_000 // len(piece)), piece + " " * 200_000, piece + " " * 200_000 + "x"):
        topics = [
            {"title": "T", "post_stream": {"posts": [{"post_number": 1, kind: text}]}} for kind in ("raw", "cooked")
        ]
        rows = [*topics, {"title": "T", "body": text, "comments": [{"id": "a", "body": text}]}]
        records, _ = read_all(ThreadsReader(), write(tmp_path, jsonl(rows)))
        assert len(records) == 3 and not any(record.error for record in records)


# --- trees ----------------------------------------------------------------------------------------------------------


def depths(text):
    """Every post of a text of one-word posts, with its level."""
    rows = [line for line in text.split("\n") if line.lstrip().startswith("- ")]
    return {line.lstrip()[2:]: 1 + (len(line) - len(line.lstrip())) // 2 for line in rows}


@given(st.lists(st.tuples(st.integers(0, 20), st.booleans(), st.integers(-5, 5)), max_size=20))
def test_no_post_is_lost(rows):
    """Whatever the posts answer: each other in a circle, themselves, or something that is not there."""
    posts = [
        Post(str(i), str(parent), f"p{i}", None, score, str(i), skipped)
        for i, (parent, skipped, score) in enumerate(rows)
    ]
    told = conversation("T", Post("", None, "first", None, None, ""), posts, ALL)
    assert sorted(depths(told.text)) == sorted(post.text for post in posts if not post.skipped)
    assert told.posts + told.skipped == len(rows)


@given(st.lists(st.integers(-1, 8), max_size=9), st.integers(0, 4))
def test_levels(parents, max_depth):
    parents = [min(parent, i - 1) for i, parent in enumerate(parents)]  # a tree: each answers one before it
    level = {-1: 0}
    for i, parent in enumerate(parents):
        level[i] = level[parent] + 1
    posts = [Post(str(i), str(parent), f"p{i}", None, None, "") for i, parent in enumerate(parents)]
    first = Post("", None, "x", None, None, "")
    expected = {f"p{i}": level[i] for i in range(len(parents))}
    assert depths(conversation("T", first, posts, ALL).text) == expected
    told = conversation("T", first, posts, ALL._replace(max_depth=max_depth))
    assert depths(told.text) == {text: depth for text, depth in expected.items() if depth <= max_depth}
    assert told.left_out == sum(depth > max_depth for depth in expected.values())


def test_deep_trees_and_posts_given_twice():
    chain = [Post(str(i), str(i - 1), "p", None, None, "") for i in range(50_000)]
    told = conversation("T", Post("", None, "first", None, None, ""), [*chain, *chain[:100]], ALL)
    assert (told.posts, told.depth) == (50_000, 50_000)
    assert len(told.text) < 50_000 * 25


# --- posts and comments in two files --------------------------------------------------------------------------------


def pack(data, name):
    if name.endswith(".gz"):
        return gzip.compress(data)
    if name.endswith(".bz2"):
        return bz2.compress(data)
    if name.endswith(".zst"):
        parameters = zstandard.ZstdCompressionParameters.from_level(3, window_log=31)  # as Pushshift's
        return zstandard.ZstdCompressor(compression_params=parameters).compress(data)
    return data


def jsonl(rows):
    return b"".join(json.dumps(row, separators=(",", ":")).encode() + b"\n" for row in rows)


def reddit(seed=1, n=60):
    """Posts, comments on them in any order, and the tree of each: the words of its comments by the word they answer."""
    rng = random.Random(seed)
    posts = [submission(f"{i:x}z", selftext=f"post {i}") for i in range(n)]
    comments, trees = [], defaultdict(dict)
    for number in range(5 * n):
        post = rng.choice([*posts, {"id": "gone"}])["id"]
        parent = rng.choice([f"t3_{post}", *(f"t1_{name}" for name in trees[post])])
        trees[post][f"c{number}"] = parent[3:]
        row = {"id": f"c{number}", "link_id": f"t3_{post}", "parent_id": parent, "author": "x", "created_utc": number}
        comments.append({**row, "body": f"c{number}", "score": rng.randrange(9)})
    rng.shuffle(comments)
    return posts, comments, trees


@pytest.mark.parametrize(
    ("name", "other"),
    [
        ("cats_submissions.jsonl", "cats_comments.jsonl"),
        ("cats_submissions.zst", "cats_comments.zst"),
        ("RS_2015-01.bz2", "RC_2015-01.bz2"),
        ("RS_2015-01.gz", "RC_2015-01.gz"),
    ],
)
def test_pairs(tmp_path, read_all, name, other):
    posts, comments, trees = reddit()
    write(tmp_path, pack(jsonl(comments), other), other)
    path = write(tmp_path, pack(jsonl(posts), name), name)
    records, ignored = read_all(ThreadsReader(pairs=True), path, 100)
    orphans = len(trees.pop("gone"))
    assert ignored == {"comment": len(comments) - orphans, "orphan": orphans}
    assert [record.doc_id for record in records] == [post["id"] for post in posts]
    for record in records:
        tree = trees[record.doc_id]

        def level(word, tree=tree):
            return 1 + level(tree[word]) if word in tree else 0

        assert depths(record.text) == {word: min(level(word), 10) for word in tree}
    assert ThreadsReader(pairs=True).splits(100, str(tmp_path / other), 10) == []


def test_pairs_without_their_other_half(tmp_path):
    for name, word in (("cats_submissions.zst", "cats_comments.zst"), ("cats.jsonl", "submissions")):
        path = write(tmp_path, b"{}", name)
        with pytest.raises(ValueError, match=word):
            ThreadsReader(pairs=True).splits(2, str(path), 100)


@pytest.mark.parametrize("name", ["submissions.jsonl", "submissions.jsonl.gz"])
def test_damage_in_either_file(tmp_path, read_all, name):
    link = {"link_id": "t3_1", "parent_id": "t3_1"}
    comments = [
        json.dumps({"id": "a", "body": "one", **link}).encode(),
        b'{"link_id": "t3_1", "body": oops}',
        b"{oops",
        json.dumps({"id": "b", "body": "x" * 5000, **link}).encode(),
        json.dumps({"id": "c", "body": "two", **link}).encode(),
    ]
    posts = [b"{oops", json.dumps({"id": "1", "title": "T", "selftext": "post"}).encode(), b'{"id": 3}']
    write(tmp_path, pack(b"\n".join(comments), name), name.replace("submissions", "comments"))
    path = write(tmp_path, pack(b"\n".join(posts), name), name)
    records, ignored = read_all(ThreadsReader(pairs=True, max_record_bytes=4000), path)
    assert [record.text for record in records if record.text] == ["# T\n\npost\n\n- one\n- two"]
    told = sorted(record.error for record in records if record.error)
    assert told == [*["read.json"] * 4, "read.too_large"]
    assert sum(record.offset < 0 for record in records) == 3
    assert ignored["comment"] == 3


# --- lines ----------------------------------------------------------------------------------------------------------


@given(
    rows=st.lists(st.text(max_size=30), max_size=30),
    split_bytes=st.integers(1, 200),
    ending=st.sampled_from(["\n", "\r\n", "\n \n"]),
    last=st.booleans(),
)
def test_every_line_is_in_one_split(tmp_path_factory, rows, split_bytes, ending, last):
    data = (ending.join(rows) + (ending if last else "")).encode("utf-8", "replace")
    path = write(tmp_path_factory.getbasetemp(), data, "lines.txt")
    expected = [line for line in data.split(b"\n") if line.strip()]
    found = [line for split in line_splits(str(path), len(data), split_bytes) for line in lines(split, 1000)]
    assert [line.data for line in found] == expected
    assert [data[line.offset : line.offset + len(line.data)] for line in found] == expected


@pytest.mark.parametrize("name", ["x.jsonl.gz", "x.jsonl.zst", "x.jsonl.bz2"])
def test_packed_lines_and_damage(tmp_path, name):
    rows = [random.Random(i).randbytes(40).hex().encode() for i in range(300)]
    members = [bytearray(pack(b"\n".join(rows[i : i + 50]) + b"\n", name)) for i in range(0, 300, 50)]
    whole = write(tmp_path, b"".join(members), name)
    found = list(lines(Split(str(whole), 0, whole.stat().st_size), 1000))
    assert [line.data for line in found] == rows and not any(line.error for line in found)
    assert len({line.offset for line in found}) == 300
    members[2][len(members[2]) // 2 :] = members[2][len(members[2]) // 2 : -9]
    broken = write(tmp_path, b"".join(members), name)
    found = list(lines(Split(str(broken), 0, broken.stat().st_size), 1000))
    good = [line.data for line in found if line.error is None]
    assert set(good) >= set(rows[:100] + rows[151:]) and set(good) <= set(rows)
    assert sum(line.error is not None for line in found) == 1
    assert len({line.offset for line in found}) == len(found)


def test_long_lines_are_not_held(tmp_path, read_all):
    data = jsonl([NESTED, {"title": "x" * 3_000_000}, NESTED])
    for split_bytes in (1 << 30, 1 << 20):
        records, _ = read_all(ThreadsReader(max_record_bytes=20_000), write(tmp_path, data), split_bytes)
        assert [record.error for record in records] == [None, "read.too_large", None]
        assert len(records[1].html) <= 1 << 20
    big = write(tmp_path, json.dumps({**TOPIC, "x": "y" * 30_000}, indent=1).encode(), "big.json")
    assert read_all(ThreadsReader(max_record_bytes=20_000), big)[0][0].error == "read.too_large"
