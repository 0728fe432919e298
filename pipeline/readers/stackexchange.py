"""Stack Exchange dumps: each question with its answers as one document."""

import re
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack
from typing import ClassVar, Literal, NamedTuple

import numpy as np
from pydantic import Field

from pipeline.readers.attribution import authors_of, license_of, site_of
from pipeline.readers.base import Reader, Record, Split, byte_splits, open_binary
from pipeline.readers.elements import Element
from pipeline.readers.joins import Spool
from pipeline.readers.pieces import head_of, is_plain
from pipeline.readers.posts import (
    COMMENTED,
    PARENT,
    QUESTION,
    Key,
    PackedTable,
    PlainTable,
    Table,
    attributes,
)
from pipeline.readers.records import PAYLOAD

_ROWS, _BYTES = 4000, 8 << 20
"""After so many rows, or bytes of questions, the answers of all of these questions are looked up at once."""
_HEADING = re.compile(r"<(/?)h([1-6])\b", re.IGNORECASE)
_LANGUAGE = re.compile(r"<!-- language(?:-all)?: (?:lang-)?([\w+#-]+) -->\s*<pre>\s*<code>")
Post = Mapping[str, str]


class _Question(NamedTuple):
    offset: int
    number: int
    post: Post
    data: bytes


class StackExchangeReader(Reader):
    """The Posts.xml of a Stack Exchange dump, plain or packed with gzip, bzip2 or zstd: questions with their answers.

    A document has the title as its heading, the question, and the answers under headings of their own; HTML becomes
    Markdown. Answers that lie in other parts of the file are looked up: a plain file is indexed once by each process
    that reads from it, and can then be cut at any question; a packed one is one split, and is unpacked to a temporary
    file. Answers whose question is not there are dropped with a reason; other posts (descriptions of tags and the like)
    are counted, and so are the answers that are part of a document.

    The names of authors are not part of the text. The licence wants them named: `url` leads to the page that does, and
    `author` has their addresses on the site, in the order of their posts, or their names if they have left it.

    The offset of a record is that of its row in a plain file; in a packed one it is the offset of the member in which
    the row begins, times 2**20, and the number of the row among those that begin there.
    """

    use: Literal["stackexchange"] = "stackexchange"
    version: ClassVar[int] = 2
    renders_html: ClassVar[bool] = True
    signals: ClassVar[Mapping[str, type]] = {
        "score": int,
        "views": int,
        "answers": int,
        "answer_count": int,
        "accepted": bool,
        "accepted_score": int,
        "best_score": int,
        "comments": int,
        "closed": bool,
        "tags": str,
    }
    units: ClassVar[Mapping[str, str]] = {
        "score": "votes for the question",
        "views": "views of the question",
        "answers": "answers in the text",
        "answer_count": "answers that the question has",
        "accepted": "whether the text has an answer that the asker accepted",
        "accepted_score": "votes for that answer",
        "best_score": "votes for the answer with the most of them",
        "comments": "comments on the question and the answers in the text",
        "closed": "whether the question was closed",
        "tags": "names, with spaces between them",
    }

    site: str | None = Field(default=None, pattern=r"^(?:[\w-]+\.)+[a-z]{2,}$")
    """Such as cooking.stackexchange.com; by default what the name of the file's folder or of the file begins with, if
    that is the name of a site. Without it there are no addresses."""
    order: Literal["accepted", "score", "date"] = "accepted"
    """The order of answers: the accepted one first and then by score, by score alone, or by date."""
    max_answers: int | None = Field(default=None, ge=0)
    min_answer_score: int | None = None
    comments: bool = False
    """Put the comments on each post under it; they are read from Comments.xml in the same folder, packed alike."""

    def splits(self, size: int, path: str, split_bytes: int) -> list[Split]:
        if not size:
            return []
        head = head_of(path)
        if head and b"<posts" not in head and b"<row " not in head:
            raise ValueError(
                "no Posts.xml of a Stack Exchange dump (unpack .7z first): it has no <posts> at its beginning"
            )
        if self.comments:
            try:
                open_binary(_comments_path(path)).close()
            except OSError as error:
                raise ValueError(f"comments: no {_comments_path(path)} ({error})") from None
        return byte_splits(path, size, split_bytes) if is_plain(path) else [Split(path, 0, size)]

    def read(self, split: Split, ignored: Counter[str]) -> Iterator[Record]:
        with ExitStack() as stack:
            posts = self._table(split, (PARENT, QUESTION), stack)
            comments = None
            if self.comments:
                whole = Split(_comments_path(split.path), 0, _size(_comments_path(split.path)))
                comments = self._table(whole, (COMMENTED,), stack)
            threads = _Threads(self, site_of(self.site, split.path), posts, comments)
            for row in posts.rows():
                if threads.add(row, ignored):
                    yield from threads.flush(ignored)
            yield from threads.flush(ignored)

    def _table(self, split: Split, keys: tuple[Key, ...], stack: ExitStack) -> Table:
        limit = int(self.max_record_bytes)
        if is_plain(split.path):
            return PlainTable(split, keys, limit, stack.enter_context(open_binary(split.path)))
        return PackedTable(split, keys, limit, stack.enter_context(Spool(split.end)))


class _Threads:
    """Questions collected until there are enough of them to look up their answers."""

    def __init__(self, reader: StackExchangeReader, site: str | None, posts: Table, comments: Table | None) -> None:
        self._reader, self._site, self._posts, self._comments = reader, site, posts, comments
        self._questions: list[_Question] = []
        self._answers: list[tuple[int, int]] = []
        """Question and offset of answers that were passed."""
        self._refused: list[Record] = []
        self._bytes = 0

    def add(self, row: Element, ignored: Counter[str]) -> bool:
        """Take a row; returns whether it is time to flush."""
        if row.error is not None:
            self._refused.append(Record(row.offset, html=row.data, error=f"read.{row.error}"))
            self._bytes += len(row.data)
            return self._bytes >= _BYTES
        post = attributes(row.data)
        if post is None:
            self._refused.append(Record(row.offset, html=row.data[:PAYLOAD], error="read.xml"))
        elif post.get("PostTypeId") == "1" and (number := _integer(post.get("Id"))) is not None:
            self._questions.append(_Question(row.offset, number, post, row.data))
            self._bytes += len(row.data)
        elif post.get("PostTypeId") == "2" and (parent := _integer(post.get("ParentId"))) is not None:
            self._answers.append((parent, row.offset))
        elif post.get("PostTypeId") in ("1", "2", None):
            self._refused.append(Record(row.offset, html=row.data[:PAYLOAD], error="read.post"))
        else:
            ignored["post_type"] += 1
        waiting = len(self._questions) + len(self._answers) + len(self._refused)
        return waiting >= _ROWS or self._bytes >= _BYTES

    def flush(self, ignored: Counter[str]) -> Iterator[Record]:
        """Yield what has been collected, in the order of the file."""
        rest = iter(sorted([*self._refused, *self._orphans(ignored)], key=_offset))
        following = next(rest, None)
        places = self._places(PARENT, self._posts, [question.number for question in self._questions])
        for question in self._questions:
            while following is not None and following.offset < question.offset:
                yield following
                following = next(rest, None)
            yield self._document(question, places.get(question.number, []))
        if following is not None:
            yield following
            yield from rest
        self._questions, self._answers, self._refused, self._bytes = [], [], [], 0

    def _orphans(self, ignored: Counter[str]) -> list[Record]:
        """The answers without a question; the others are counted, since they are in the documents."""
        if not self._answers:
            return []
        parents = np.unique([parent for parent, _ in self._answers])
        there = set(parents[self._posts.has(QUESTION, parents)].tolist())
        orphans = [Record(offset, drop="read.orphan") for parent, offset in self._answers if parent not in there]
        ignored["answer"] += len(self._answers) - len(orphans)
        return orphans

    def _places(self, key: Key, table: Table, numbers: Sequence[int]) -> dict[int, list[tuple[int, int]]]:
        """Position and length of the rows that have one of these numbers, by it."""
        found = table.find(key, np.unique(np.array(numbers, np.int64)))
        places: dict[int, list[tuple[int, int]]] = {}
        for number, position, length in zip(*(values.tolist() for values in found), strict=True):
            places.setdefault(number, []).append((position, length))
        return places

    def _document(self, question: _Question, places: Sequence[tuple[int, int]]) -> Record:
        reader, post = self._reader, question.post
        title = " ".join(post.get("Title", "").split())
        record = Record(
            question.offset,
            url=f"https://{self._site}/questions/{question.number}" if self._site else None,
            date=post.get("CreationDate"),
            doc_id=str(question.number),
            title=title or None,
        )
        places = [place for place in places if place[1] <= reader.max_record_bytes]  # others are errors where they lie
        if sum(length for _, length in places) > reader.max_record_bytes:
            return record._replace(html=question.data[:PAYLOAD], error="read.too_large")
        answers = self._ranked(post, self._read(self._posts, places, "ParentId", question.number))
        comments = self._commented([post, *answers])
        try:
            bodies = [_text(body.get("Body", "")) for body in (post, *answers)]
        except MemoryError:
            return record._replace(html=question.data[:PAYLOAD], error="read.too_large")
        parts = [f"# {title}" if title else "", bodies[0], comments.get(question.number, "")]
        for answer, body in zip(answers, bodies[1:], strict=True):
            accepted = "Accepted answer" if answer.get("Id") == post.get("AcceptedAnswerId") else "Answer"
            parts += [f"## {accepted}", body, comments.get(_integer(answer.get("Id")) or 0, "")]
        text = "\n\n".join(part for part in parts if part)
        record = record._replace(
            author=authors_of([post, *answers], self._site) or None,
            license=license_of([post, *answers]),
            signals=self._signals(post, answers),
        )
        if text == f"# {title}" or not text:
            return record._replace(drop="read.empty")
        return record._replace(text=text)

    def _read(self, table: Table, places: Sequence[tuple[int, int]], attribute: str, number: int) -> list[Post]:
        """Rows that were looked up; those that are damaged are reported where they lie."""
        posts = (attributes(table.read(position, length)) for position, length in places)
        return [post for post in posts if post is not None and _integer(post.get(attribute)) == number]

    def _ranked(self, question: Post, answers: Sequence[Post]) -> list[Post]:
        reader, least = self._reader, self._reader.min_answer_score
        answers = [
            answer
            for answer in answers
            if answer.get("PostTypeId") == "2" and (least is None or (_integer(answer.get("Score")) or 0) >= least)
        ]

        def rank(answer: Post) -> tuple[bool, int, int]:
            score = _integer(answer.get("Score")) or 0
            number = _integer(answer.get("Id")) or 0
            if reader.order == "date":
                return False, 0, number
            return reader.order == "accepted" and not _is_accepted(question, answer), -score, number

        return sorted(answers, key=rank)[: reader.max_answers]

    def _commented(self, posts: Sequence[Post]) -> dict[int, str]:
        """The comments on posts by their numbers, as lists."""
        if self._comments is None:
            return {}
        numbers = [number for post in posts if (number := _integer(post.get("Id"))) is not None]
        lists = {}
        for number, places in self._places(COMMENTED, self._comments, numbers).items():
            if sum(length for _, length in places) <= self._reader.max_record_bytes:
                texts = (comment.get("Text", "") for comment in self._read(self._comments, places, "PostId", number))
                lists[number] = "\n".join(f"- {' '.join(text.split())}" for text in texts if text.strip())
        return lists

    def _signals(self, question: Post, answers: Sequence[Post]) -> dict[str, int | float | bool | str | None]:
        accepted = [answer for answer in answers if _is_accepted(question, answer)]
        scores = [score for answer in answers if (score := _integer(answer.get("Score"))) is not None]
        return {
            "score": _integer(question.get("Score")),
            "views": _integer(question.get("ViewCount")),
            "answers": len(answers),
            "answer_count": _integer(question.get("AnswerCount")),
            "accepted": bool(accepted),
            "accepted_score": _integer(accepted[0].get("Score")) if accepted else None,
            "best_score": max(scores, default=None),
            "comments": sum(_integer(post.get("CommentCount")) or 0 for post in (question, *answers)),
            "closed": "ClosedDate" in question,
            "tags": " ".join(re.split(r"[<>|\s]+", question.get("Tags", "").strip("<>| "))),
        }


def _offset(record: Record) -> int:
    return record.offset


def _is_accepted(question: Post, answer: Post) -> bool:
    return "Id" in answer and answer["Id"] == question.get("AcceptedAnswerId")


def _text(body: str) -> str:
    """The HTML of a post as Markdown, its headings below those of the document."""
    from pipeline.extract.page import whole_text

    if "<!-- language" in body:
        body = _LANGUAGE.sub(lambda found: f'<pre class="lang-{found[1]}"><code>', body)
    body = _HEADING.sub(lambda found: f"<{found[1]}h{min(6, int(found[2]) + 2)}", body)
    return whole_text(body, "markdown")


def _integer(value: str | None) -> int | None:
    return int(value) if value is not None and re.fullmatch(r"-?\d{1,18}", value) else None


def _comments_path(path: str) -> str:
    folder, slash, name = path.rpartition("/")
    return folder + slash + name.replace("Posts", "Comments")


def _size(path: str) -> int:
    with open_binary(path) as file:
        return file.seek(0, 2)
