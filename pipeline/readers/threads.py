"""Threads of forums and social media: each post with all its replies as one document, without the names of people."""

import json
import re
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from typing import Any, ClassVar, Literal

from pydantic import Field

from pipeline.readers.base import Reader, Record, Split, open_binary
from pipeline.readers.columns import as_string, is_unicode
from pipeline.readers.conversation import Choice, Post, conversation
from pipeline.readers.elements import Element
from pipeline.readers.lines import line_splits, lines
from pipeline.readers.pieces import head_of
from pipeline.readers.records import PAYLOAD
from pipeline.readers.replies import Replies, comments_path
from pipeline.readers.thread_layouts import Thread, date, post, thread

_HEAD = 1 << 16
_LINES, _BYTES = 1000, 8 << 20
"""After so many posts, or bytes of them, the comments on all of them are looked up at once."""
_UNPACKED = 1 << 62


class ThreadsReader(Reader):
    """Threads in JSON, plain or packed with gzip, bzip2 or zstd.

    A line is a thread: a post with its comments in each other (as Reddit's own pages have them) or in a list in which
    each says what it answers, or a topic of Discourse with its `post_stream`. A file that is one such value over many
    lines is one thread. With `pairs`, a file has posts without their comments, and another beside it has the comments,
    as the dumps of Reddit by Pushshift and its successors have it.

    The text is the title as heading, the post, and the replies as a list, each below what it answers. Nobody's name is
    in it: people are left out, or called `User 1` and so on. Deleted posts are left out, and their replies kept.

    The offset of a record is that of its line in a plain file; in a packed one it is where the member begins in which
    the line begins, times 2**20, and the number of the line among those that begin there. Damage in a file of comments
    has a negative offset: one less than that of its line there with the sign changed, or, if only its JSON is damaged,
    2**62 less than where it lies among all comments.
    """

    use: Literal["threads"] = "threads"
    version: ClassVar[int] = 1
    suffixes: ClassVar[tuple[str, ...]] = tuple(
        f"{kind}{packed}" for kind in (".json", ".jsonl", ".ndjson") for packed in ("", ".gz", ".bz2", ".zst")
    ) + (".zst", ".bz2")
    renders_html: ClassVar[bool] = True
    signals: ClassVar[Mapping[str, type]] = {
        "score": int,
        "upvote_ratio": float,
        "comments": int,
        "comment_count": int,
        "skipped": int,
        "left_out": int,
        "depth": int,
        "best_score": int,
        "participants": int,
        "community": str,
        "tags": str,
        "adult": bool,
        "closed": bool,
    }
    units: ClassVar[Mapping[str, str]] = {
        "score": "votes for the first post",
        "upvote_ratio": "share of votes that are in favour",
        "comments": "replies in the text",
        "comment_count": "replies that the thread has by what the source says",
        "skipped": "posts that are deleted, or by those in `skip_authors`",
        "left_out": "replies left out by depth, number or score, or by the source",
        "depth": "levels of replies",
        "best_score": "votes for the reply with the most of them",
        "participants": "people whose posts are in the text",
        "community": "name of the subreddit or number of the category",
        "tags": "names, with spaces between them",
        "adult": "whether the source calls the thread unfit for minors",
        "closed": "whether replies are no longer possible",
    }

    pairs: bool = False
    """Comments lie in another file: `comments` for `submissions` in its name, or `RC_` for `RS_`. Files of comments
    among the paths are then read with their posts, not by themselves."""
    site: str | None = Field(default=None, pattern=r"^(?:[\w-]+\.)+[a-z]{2,}$")
    """Such as meta.discourse.org; threads of Reddit need none."""
    authors: Literal["remove", "label"] = "remove"
    order: Literal["score", "date"] | None = None
    """Of the replies to a post; by default by score, and in Discourse by date."""
    max_depth: int | None = Field(default=None, ge=0)
    max_comments: int | None = Field(default=None, ge=0)
    min_comment_score: int | None = None
    """Replies with a lower score are left out, with all that answers them."""
    skip_authors: tuple[str, ...] = ("AutoModerator", "system", "discobot")

    def splits(self, size: int, path: str, split_bytes: int) -> list[Split]:
        if not size:
            return []
        if not self.pairs:
            return [Split(path, 0, size)] if _is_one_value(path) else line_splits(path, size, split_bytes)
        comments = comments_path(path)
        if comments == path:
            return []  # read with its posts
        if comments is None:
            raise ValueError(
                "pairs: its name has neither 'submissions' nor 'RS_', for which a file of comments is named"
            )
        try:
            open_binary(comments).close()
        except OSError as error:
            raise ValueError(f"pairs: no file of comments {comments} ({error})") from None
        return [Split(path, 0, size)]

    def read(self, split: Split, ignored: Counter[str]) -> Iterator[Record]:
        if self.pairs:
            yield from self._pairs(split, ignored)
            return
        if _is_one_value(split.path):
            yield self._whole(split)
            return
        for line in lines(split, int(self.max_record_bytes), long_windows=True):
            if line.error is not None:
                yield Record(line.offset, html=line.data, error=f"read.{line.error}")
            else:
                yield self._record(line.offset, line.data)

    def _whole(self, split: Split) -> Record:
        limit = int(self.max_record_bytes)
        data = head_of(split.path, limit + 1)
        if len(data) > limit:
            return Record(0, html=data[:PAYLOAD], error="read.too_large")
        return self._record(0, data)

    def _record(self, offset: int, data: bytes) -> Record:
        value = _json(data)
        try:
            found = thread(value) if value is not None else None
        except MemoryError:
            return Record(offset, html=data[:PAYLOAD], error="read.too_large")
        if found is None:
            return Record(offset, html=data[:PAYLOAD], error="read.json" if value is None else "read.thread")
        return self._document(offset, found, data)

    def _pairs(self, split: Split, ignored: Counter[str]) -> Iterator[Record]:
        limit = int(self.max_record_bytes)
        path = comments_path(split.path)
        assert path is not None
        with Replies(path, limit) as replies:
            for damaged in replies.index():
                yield Record(-1 - damaged.offset, html=damaged.data[:PAYLOAD], error=f"read.{damaged.error}")
            waiting: list[Element] = []
            size = 0
            for line in lines(split, limit, long_windows=True):
                waiting.append(line)
                size += len(line.data)
                if len(waiting) >= _LINES or size >= _BYTES:
                    yield from self._joined(waiting, replies)
                    waiting, size = [], 0
            yield from self._joined(waiting, replies)
            ignored["comment"] += min(replies.taken, replies.count)
            ignored["orphan"] += max(0, replies.count - replies.taken)

    def _joined(self, rows: Sequence[Element], replies: Replies) -> Iterator[Record]:
        """The threads of some posts, for all of which the comments are looked up at once."""
        posts = [_json(row.data) if row.error is None else None for row in rows]
        found = [thread(value) if isinstance(value, dict) else None for value in posts]
        places = replies.places({as_string(each.about.get("id")) or "" for each in found if each is not None})
        for row, each in zip(rows, found, strict=True):
            if each is None:
                yield Record(row.offset, html=row.data[:PAYLOAD], error=f"read.{row.error or 'json'}")
                continue
            own = places.get(as_string(each.about.get("id")) or "", [])
            if sum(length for _, length in own) > self.max_record_bytes:
                yield Record(row.offset, html=row.data[:PAYLOAD], error="read.too_large")
                continue
            comments: list[Post] = []
            for position, length in own:
                data = replies.read(position, length)
                value = _json(data)
                if isinstance(value, dict):
                    comments.append(post(value, as_string(value.get("parent_id"))))
                else:
                    yield Record(-_UNPACKED - position, html=data[:PAYLOAD], error="read.json")
            yield self._document(row.offset, each._replace(replies=[*each.replies, *comments]), row.data)

    def _document(self, offset: int, found: Thread, data: bytes) -> Record:
        about = found.about
        choice = Choice(
            order=self.order or ("date" if found.linear else "score"),
            names=self.authors == "label",
            max_depth=self.max_depth,
            max_posts=self.max_comments,
            min_score=self.min_comment_score,
        )
        first, *replies = [self._without_bots(each) for each in (found.first, *found.replies)]
        told = conversation(found.title, first, replies, choice)
        record = Record(
            offset,
            url=self._url(found),
            date=date(about),
            doc_id=as_string(about.get("id")),
            title=found.title or None,
            license=as_string(about.get("license")),
            signals={
                "score": _number(about.get("score")),
                "upvote_ratio": _share(about.get("upvote_ratio")),
                "comments": told.posts,
                "comment_count": _number(about.get("num_comments", about.get("reply_count"))),
                "skipped": told.skipped,
                "left_out": told.left_out + found.missing,
                "depth": told.depth,
                "best_score": told.best_score,
                "participants": told.participants,
                "community": as_string(about.get("subreddit") or about.get("category_id")),
                "tags": _tags(about),
                "adult": bool(about.get("over_18")),
                "closed": bool(about.get("locked") or about.get("closed")),
            },
        )
        if not is_unicode(told.text):
            return record._replace(html=data[:PAYLOAD], error="read.utf8")
        if not told.posts and (first.skipped or not first.text):
            return record._replace(drop="read.deleted" if first.skipped else "read.empty")
        return record._replace(text=told.text)

    def _without_bots(self, each: Post) -> Post:
        return each._replace(skipped=True) if each.author in self.skip_authors else each

    def _url(self, found: Thread) -> str | None:
        place = found.permalink
        if place is None or not place.startswith("/"):
            return place
        site = self.site or (None if found.linear else "www.reddit.com")
        return f"https://{site}{place}" if site else None


def _is_one_value(path: str) -> bool:
    """Whether the file is one JSON value written over many lines, which then breaks after its first bracket."""
    if not re.search(r"\.json(?:\.\w+)?$", path, re.IGNORECASE):
        return False
    first, newline, _ = head_of(path, _HEAD).lstrip(b"\xef\xbb\xbf \t\r\n").partition(b"\n")
    return bool(newline) and first.rstrip().endswith((b"{", b"[", b","))


def _json(data: bytes) -> Any:
    try:
        return json.loads(data.decode("utf-8-sig"))
    except (ValueError, RecursionError):
        return None


def _number(value: Any) -> int | None:
    return value if isinstance(value, int) and not isinstance(value, bool) and abs(value) < 1 << 62 else None


def _share(value: Any) -> float | None:
    return float(value) if isinstance(value, (int, float)) and 0 <= value <= 1 else None


def _tags(about: Mapping[str, Any]) -> str | None:
    given = about.get("tags")
    tags = given if isinstance(given, list) else [about.get("link_flair_text")]
    names = (as_string(tag.get("name") if isinstance(tag, dict) else tag) or "" for tag in tags)
    return " ".join("-".join(name.split()) for name in names if name.strip()) or None
