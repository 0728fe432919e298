"""The columns of a document, of the ledger and of a shard: the contract between the stages, and with training.

Types are given as Arrow types because Arrow is what is on disk; polars reads them as they are.
"""

import pyarrow as pa

DESCRIPTION = pa.schema(
    [
        pa.field("title", pa.string()),
        pa.field("author", pa.string()),
        pa.field("published", pa.string()),
        pa.field("declared_language", pa.string()),
        pa.field("canonical_url", pa.string()),
        pa.field("license", pa.string()),
        pa.field("site", pa.string()),
        pa.field("page_type", pa.string()),
    ]
)
"""What a document is: what its source says of it, or a web page of itself where the step that extracts it is asked for
that (`metadata: true`).

Names of authors have `; ` between them; `license` is an SPDX expression, or as the source has it, links with a space
between them; `published` is a day, YYYY-MM-DD; a language is in
the form of BCP 47; `page_type` is article, forum, product, listing, documentation, collection or other."""

SHARD = pa.schema(
    [
        pa.field("id", pa.string(), nullable=False),
        pa.field("text", pa.large_string(), nullable=False),
        pa.field("source", pa.string(), nullable=False),
        pa.field("url", pa.string()),
        pa.field("date", pa.string()),
        pa.field("language", pa.string()),
        pa.field("language_score", pa.float64()),
        pa.field("doc_id", pa.string()),
        pa.field("origin", pa.string(), nullable=False),
        *DESCRIPTION,
    ]
)
"""One kept document. `doc_id` is the id that the source itself gave it; `date` is that of the crawl, or what the source
calls so."""

LEDGER = pa.schema(
    [
        pa.field("id", pa.string(), nullable=False),
        pa.field("ordinal", pa.uint64(), nullable=False),
        pa.field("origin", pa.string(), nullable=False),
        pa.field("source", pa.string(), nullable=False),
        pa.field("url", pa.string()),
        pa.field("date", pa.string()),
        pa.field("doc_id", pa.string()),
        pa.field("language", pa.string()),
        pa.field("verdict", pa.string(), nullable=False),
        pa.field("reason", pa.string()),
        pa.field("broken", pa.list_(pa.string())),
        pa.field("chars", pa.uint64(), nullable=False),
        pa.field("bytes", pa.uint64(), nullable=False),
        pa.field("cluster", pa.uint64()),
        pa.field("cluster_size", pa.uint32()),
        pa.field("earlier", pa.string()),
        pa.field("shard", pa.string()),
        pa.field("shard_row", pa.uint32()),
    ]
)
"""One record that entered, without its text; signal columns `<step>.<signal>` follow, in the order of the steps.

`ordinal` is the place in the plan: (number of the split << 32) | row. `origin` is `path#offset`. `chars` and `bytes`
(UTF-8) are of the text at the moment of the verdict. `cluster` is the ordinal of the document that stands for the
duplicates. Where that is one of an earlier run, known by an index, `earlier` is `name of the run there/id`, and
`cluster` is null."""

DROPPED = pa.schema(
    [
        pa.field("id", pa.string(), nullable=False),
        pa.field("source", pa.string(), nullable=False),
        pa.field("url", pa.string()),
        pa.field("reason", pa.string(), nullable=False),
        pa.field("text", pa.large_string()),
    ]
)
"""A dropped document with the text that was judged; null where it was dropped before it had any."""

QUARANTINE = pa.schema(
    [
        pa.field("id", pa.string(), nullable=False),
        pa.field("origin", pa.string(), nullable=False),
        pa.field("source", pa.string(), nullable=False),
        pa.field("url", pa.string()),
        pa.field("reason", pa.string(), nullable=False),
        pa.field("payload", pa.large_binary()),
    ]
)
"""A record that could not be read or handled, with up to 1 MiB of its bytes."""

CUT = pa.schema(
    [
        pa.field("id", pa.string(), nullable=False),
        pa.field("source", pa.string(), nullable=False),
        pa.field("step", pa.string(), nullable=False),
        pa.field("start", pa.uint64(), nullable=False),
        pa.field("end", pa.uint64(), nullable=False),
        pa.field("text", pa.large_string(), nullable=False),
        pa.field("keeper", pa.uint64(), nullable=False),
        pa.field("occurrence", pa.uint64(), nullable=False),
        pa.field("key", pa.uint64(), nullable=False),
    ]
)
"""A piece of a document that was cut, because it occurs before: the first line, sentences or words of it, which have
the key, in the document with the ordinal `keeper`. Places are in characters of the text as it came to the first step;
of the spans in it the one that occurred most often did so for the `occurrence`th time."""

VERDICTS = ("kept", "dropped", "quarantined")

QUARANTINE_BYTES = 1 << 20
