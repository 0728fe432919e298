"""WARC and ARC archives, plain or packed: which records are documents, and what of each is kept."""

from collections import Counter
from collections.abc import Iterator, Mapping
from typing import ClassVar, Literal

from pipeline.readers import http
from pipeline.readers.base import Reader, Record, Split, byte_splits, open_binary
from pipeline.readers.encoding import decode, is_blank
from pipeline.readers.members import Codec
from pipeline.readers.records import PAYLOAD, Framed, begins_record, frame
from pipeline.readers.runs import Run, codec_of, runs
from pipeline.readers.windows import CHUNK, Window, window

_FIRST_MEMBER = 8 << 20
_PLACE = 48


class WarcReader(Reader):
    """Archives of web crawls: .warc, .arc and Common Crawl's .wet, plain or packed with gzip, zstd or LZ4.

    Documents are responses with status 200 and resources in HTML, XHTML or plain text, and conversions (text that
    someone else extracted). Other responses are dropped with a reason; records about the crawl itself are counted.

    A revisit (ISO 28500:2017, 6.7) stands for a page that was as at an earlier visit: its text is that of another
    record, and it is dropped. Its row in the ledger says of which: the record whose `doc_id` is `refers_to`, else the
    one with `refers_to_url` and `refers_to_date`, else one with the same `payload_digest`.

    The offset of a record is that of the member which holds its start; of a later record of the same member, with its
    place in the unpacked member added as `place << 48`. In a plain file it is the record's own. A packed file is cut
    at any byte; plain files, and files packed as one member, are one split.
    """

    use: Literal["warc"] = "warc"
    version: ClassVar[int] = 2
    signals: ClassVar[Mapping[str, type]] = {
        "cut": bool,
        "cut_by": str,
        "payload_digest": str,
        "refers_to": str,
        "refers_to_url": str,
        "refers_to_date": str,
    }
    units: ClassVar[Mapping[str, str]] = {
        "cut": "whether the crawler stored less than was sent; not known of ARC",
        "cut_by": "why: length, time, disconnect or unspecified",
        "payload_digest": "algorithm and digest as declared, not checked",
        "refers_to": "id of the record of which this one is a revisit or a conversion",
        "refers_to_url": "address of the record of which this one is a revisit",
        "refers_to_date": "time of the record of which this one is a revisit",
    }

    def splits(self, size: int, path: str, split_bytes: int) -> list[Split]:
        if size == 0:
            return []
        if size > split_bytes:
            with open_binary(path) as file:
                raw = window(file)
                codec = codec_of(raw, path)
                if codec is not None and _packed_by_record(raw, codec):
                    return byte_splits(path, size, split_bytes)
        return [Split(path, 0, size)]

    def read(self, split: Split, ignored: Counter[str]) -> Iterator[Record]:
        with open_binary(split.path) as file:
            raw = window(file)
            codec = codec_of(raw, split.path)
            if codec is None:
                for framed in frame(raw, None, self.max_record_bytes):
                    yield from self._record(framed.position, framed, ignored)
                return
            for run in runs(raw, codec, split.start, split.end, begins_record):
                for framed in frame(Window(run), run, self.max_record_bytes):
                    if framed.position < 0 and run.damage is not None:
                        following = run.following()
                        size = PAYLOAD if following is None else following.start - run.damage.at
                        bytes_hit = raw.peek(run.damage.at, min(size, PAYLOAD))
                        yield Record(run.damage.at, html=bytes_hit, error=f"read.{framed.error}")
                    else:
                        yield from self._record(run.start + (framed.position << _PLACE), framed, ignored)

    def _record(self, offset: int, framed: Framed, ignored: Counter[str]) -> Iterator[Record]:
        headers = framed.headers
        url: str | None
        date: str | None
        doc_id: str | None
        if "arc" in headers:
            kind = "filedesc" if headers["url"].startswith("filedesc:") else "response"
            url, date, doc_id = headers["url"], _arc_date(headers["date"]), None
        else:
            kind = headers.get("warc-type", "").lower()
            url, doc_id = _bare(headers, "warc-target-uri"), _bare(headers, "warc-record-id")
            date = headers.get("warc-date")
        record = Record(offset, url=url, date=date, doc_id=doc_id, signals=_signals(headers))
        if framed.error is not None:
            yield record._replace(html=framed.block, error=f"read.{framed.error}")
        elif kind == "revisit":
            yield record._replace(drop="read.revisit")
        elif kind in ("response", "resource", "conversion"):
            yield self._document(kind, headers, framed.block, record)
        else:
            ignored[kind] += 1

    def _document(self, kind: str, headers: dict[str, str], block: bytes, record: Record) -> Record:
        declared: str | None = headers.get("content-type")
        body = block
        is_http = (declared or "").lower().startswith("application/http") or "arc" in headers
        if kind == "response" and (is_http or block.startswith(b"HTTP/")):
            message = http.parse(block)
            if message is not None:
                if message.status != 200:
                    return record._replace(drop="read.status")
                try:
                    body = http.decode_body(message, self.max_record_bytes, truncated="warc-truncated" in headers)
                except http.BodyError as error:
                    return record._replace(html=block[:PAYLOAD], error=f"read.{error.what}")
                declared = message.headers.get("content-type")
            elif "arc" not in headers:
                return record._replace(html=block[:PAYLOAD], error="read.http")
        content_type, charset = http.media_type(declared, body)
        record = record._replace(content_type=content_type, charset=charset)
        if content_type not in ("text/html", "application/xhtml+xml", "text/plain"):
            return record._replace(drop="read.content_type")
        if is_blank(body):
            return record._replace(drop="read.empty")
        if content_type == "text/plain":
            return record._replace(text=decode(body, charset)[0])
        return record._replace(html=body)


def _bare(headers: dict[str, str], name: str) -> str | None:
    """An address, which WARC 1.0 has in angle brackets and WARC 1.1 has not."""
    return headers.get(name, "").removeprefix("<").removesuffix(">") or None


def _signals(headers: dict[str, str]) -> dict[str, str | bool | None]:
    if "arc" in headers:
        return {}
    return {
        "cut": "warc-truncated" in headers,
        "cut_by": headers.get("warc-truncated") or None,
        "payload_digest": headers.get("warc-payload-digest") or None,
        "refers_to": _bare(headers, "warc-refers-to"),
        "refers_to_url": _bare(headers, "warc-refers-to-target-uri"),
        "refers_to_date": headers.get("warc-refers-to-date") or None,
    }


def _packed_by_record(raw: Window, codec: Codec) -> bool:
    """Whether the first member ends soon enough for the file to be a chain of records."""
    run = Run(raw, codec, 0, begins_record)
    position = 0
    while position < _FIRST_MEMBER:
        if not (data := run.read(CHUNK)):
            return run.damage is not None or run.following() is not None
        position += len(data)
    return False


def _arc_date(date: str) -> str:
    """YYYYMMDDhhmmss as ISO 8601; anything else as it is."""
    if len(date) != 14:
        return date
    return f"{date[:4]}-{date[4:6]}-{date[6:8]}T{date[8:10]}:{date[10:12]}:{date[12:]}Z"
