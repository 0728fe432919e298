"""How threads lie in JSON: as Reddit's dumps and pages have them, as Discourse does, or as comments within comments."""

import datetime
import html
import re
from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

from pipeline.readers.columns import as_string
from pipeline.readers.conversation import Post

Row = Mapping[str, Any]

_TEXTS = ("selftext", "body", "text", "content", "raw", "message", "comment")
_TITLES = ("title", "subject", "topic")
_AUTHORS = ("author", "username", "user", "by")
_SCORES = ("score", "ups", "points", "votes", "like_count")
_DATES = ("created_utc", "created_at", "created", "date", "timestamp", "time")
_REPLIES = ("comments", "replies", "children", "answers", "responses")
_PARENTS = ("parent_id", "parent", "reply_to", "in_reply_to", "reply_to_post_number")
_GONE = ("deleted", "removed", "deleted_at", "hidden", "user_deleted")
_DELETED = re.compile(r"\[ ?(?:deleted|removed)(?: by [\w ]{1,40})?\]", re.IGNORECASE)
_KIND = re.compile(r"t\d_")
_QUOTE, _QUOTE_END = re.compile(r"\[quote(?:=\"[^\"\]]{0,200}\")?\]"), "[/quote]"
_QUOTED = re.compile(
    r"<div class=\"title\">\s{0,9}(?:<div class=\"quote-controls\">\s{0,9}</div>)?.{0,2000}?</div>", re.DOTALL
)
_MENTIONED = re.compile(r"<(a|span) class=\"mention\"[^<>]*>@[^<]*</\1>")


class Thread(NamedTuple):
    title: str
    first: Post
    replies: list[Post]
    about: Row
    """What the source says of the thread itself."""
    permalink: str | None
    """Its place on the site, without the name of the site, or its whole address."""
    linear: bool
    """Posts are read in the order of time, not of votes."""
    missing: int
    """Replies that the source says it left out."""


def thread(value: Any) -> Thread | None:
    """The thread in a JSON value; None if there is none."""
    if isinstance(value, list) and len(value) == 2 and all(isinstance(part, dict) for part in value):
        listed = _listed(value[0])
        if len(listed) == 1:  # a page of Reddit: the listing of the post, and that of the comments
            return _nested({**listed[0], "comments": value[1]})
        return None
    if not isinstance(value, dict):
        return None
    if isinstance(value.get("post_stream"), dict):
        return _discourse(value)
    if isinstance(value.get("submission"), dict):
        return _nested({**value["submission"], "comments": value.get("comments") or []})
    return _nested(value)


def post(row: Row, parent: str | None) -> Post:
    """One post of any layout, as an answer to another."""
    text = _text(row)
    gone = any(row.get(key) for key in _GONE) or _DELETED.fullmatch(text.strip()) is not None
    author = _first(row, _AUTHORS)
    if isinstance(author, dict):
        author = author.get("username") or author.get("name")
    author = as_string(author)
    return Post(
        id=_id(row, parent),
        parent=parent,
        text="" if gone else text,
        author=None if author is None or _DELETED.fullmatch(author) else author,
        score=_integer(_first(row, _SCORES)),
        date=date(row) or "",
        skipped=gone,
    )


def date(row: Row) -> str | None:
    """When a post was written, in ISO 8601."""
    value = _first(row, _DATES)
    if isinstance(value, str) and re.fullmatch(r"\d{9,11}(?:\.\d+)?", value):
        value = float(value)
    if isinstance(value, (int, float)) and not isinstance(value, bool):
        if not 0 <= value < 1e11:
            return None
        return datetime.datetime.fromtimestamp(int(value), datetime.UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
    return as_string(value)


def _text(row: Row) -> str:
    value = _first(row, _TEXTS)
    if not isinstance(value, str):
        cooked = row.get("cooked") or row.get("html")
        return _from_html(cooked) if isinstance(cooked, str) else ""
    if "raw" in row and value is row["raw"]:
        return _with_quotes(value).strip()
    # Reddit escapes three characters, and writes blank lines as a character without width.
    return html.unescape(value).replace("\u200b", "").replace("\r\n", "\n").strip()


def _with_quotes(text: str) -> str:
    """The text with Discourse's quotations as those of Markdown, without who is quoted."""
    out = []
    at = 0
    while (found := _QUOTE.search(text, at)) is not None and (end := text.find(_QUOTE_END, found.end())) >= 0:
        quoted = text[found.end() : end].strip()
        out += [text[at : found.start()], *(f"> {line}\n" for line in quoted.split("\n"))]
        at = end + len(_QUOTE_END)
    return "".join([*out, text[at:]])


def _from_html(page: str) -> str:
    from pipeline.extract.page import whole_text

    page = _QUOTED.sub("", page) if 'class="quote' in page else page
    return whole_text(_MENTIONED.sub("[user]", page), "markdown")


def _discourse(topic: Row) -> Thread | None:
    rows = [row for row in topic["post_stream"].get("posts") or [] if isinstance(row, dict)]
    if not rows:
        return None
    first, *others = sorted(rows, key=lambda row: _integer(row.get("post_number")) or 0)
    given = topic["post_stream"].get("stream")
    return Thread(
        title=_title(topic),
        first=_numbered(first)._replace(id="", parent=None),
        replies=[_numbered(row) for row in others if _integer(row.get("post_type")) in (None, 1)],
        about={**topic, "score": topic.get("like_count")},
        permalink=f"/t/{topic.get('slug') or '-'}/{topic.get('id')}",
        linear=True,
        missing=max(0, len(given) - len(rows)) if isinstance(given, list) else 0,
    )


def _numbered(row: Row) -> Post:
    answered = _integer(row.get("reply_to_post_number"))
    made = post(row, None if answered is None else str(answered))
    return made._replace(id=str(row.get("post_number")), score=_likes(row))


def _likes(row: Row) -> int | None:
    """How many like a post of Discourse, for which it has the action number 2."""
    actions = row.get("actions_summary")
    if not isinstance(actions, list):
        return None
    return next((_integer(a.get("count")) for a in actions if isinstance(a, dict) and a.get("id") == 2), 0)


def _nested(row: Row) -> Thread | None:
    first = post(row, None)._replace(id="")
    title = _title(row)
    if not (title or first.text or first.skipped):
        return None
    replies: list[Post] = []
    missing = 0
    stack: list[tuple[Any, str]] = [(_first(row, _REPLIES), first.id)]
    while stack:
        listing, parent = stack.pop()
        for child in _listed(listing):
            if "children" in child and "count" in child and "body" not in child:  # Reddit's "load more comments"
                missing += _integer(child.get("count")) or 0
                continue
            made = post(child, as_string(_first(child, _PARENTS)) or parent)
            made = made if made.id else made._replace(id=f"/{len(replies)}")
            replies.append(made)
            stack.append((_first(child, _REPLIES), made.id))
    permalink = as_string(row.get("permalink"))
    return Thread(title, first, replies, row, permalink or as_string(row.get("url")), False, missing)


def _listed(value: Any) -> Sequence[Row]:
    """The rows of a list, or of one of Reddit's listings, which have kinds and data."""
    if isinstance(value, dict):
        value = value.get("data", value)
        value = value.get("children") if isinstance(value, dict) else None
    if not isinstance(value, list):
        return []
    rows = (row["data"] if isinstance(row, dict) and isinstance(row.get("data"), dict) else row for row in value)
    return [row for row in rows if isinstance(row, dict)]


def _title(row: Row) -> str:
    title = as_string(_first(row, _TITLES)) or ""
    return "" if _DELETED.fullmatch(title.strip()) else " ".join(html.unescape(title).split())


def _id(row: Row, parent: str | None) -> str:
    """The id of a post, with the kind before it where what it answers has one: Reddit counts each kind by itself."""
    name = as_string(row.get("name")) or ""
    number = as_string(row.get("id")) or ""
    if _KIND.match(name):
        return name
    return f"t1_{number}" if number and parent is not None and _KIND.match(parent) else number


def _first(row: Row, keys: Sequence[str]) -> Any:
    return next((row[key] for key in keys if row.get(key) not in (None, "")), None)


def _integer(value: Any) -> int | None:
    if isinstance(value, str) and re.fullmatch(r"-?\d{1,18}", value):
        return int(value)
    if isinstance(value, float) and abs(value) < 1e15:
        return int(value)
    return value if isinstance(value, int) and not isinstance(value, bool) and abs(value) < 1 << 62 else None
