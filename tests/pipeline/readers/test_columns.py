"""Tables as they are in the wild: read without settings, whether as JSON Lines or as Parquet, and what settings add."""

import gzip
import json
import warnings

import duckdb
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import ValidationError

from pipeline.readers import JsonlReader, ParquetReader
from pipeline.readers.columns import ABSENT, Columns, Shapes, SignalColumn, reach

FIELDS = ("text", "doc_id", "url", "date", "language", "title", "author", "license")

LAYOUTS = {
    "FineWeb": (
        {
            "text": "T",
            "id": "<urn:uuid:1>",
            "dump": "CC-MAIN-2013-20",
            "url": "http://x.test/",
            "date": "2013-05-18T05:48:54Z",
            "file_path": "s3://x/y.warc.gz",
            "language": "en",
            "language_score": 0.9,
            "token_count": 7,
        },
        {"doc_id": "<urn:uuid:1>", "url": "http://x.test/", "date": "2013-05-18T05:48:54Z", "language": "en"},
    ),
    "datatrove": (
        {"text": "T", "id": "a/0", "media": [], "metadata": {"url": "http://x.test/", "date": "D", "language": "de"}},
        {"doc_id": "a/0", "url": "http://x.test/", "date": "D", "language": "de"},
    ),
    "Dolma": (
        {
            "id": "1",
            "text": "T",
            "source": "s2",
            "added": "2023-04-07",
            "created": "2020-03-29",
            "version": "v0",
            "metadata": {"url": "http://x.test/", "title": "A title", "language": "en"},
        },
        {"doc_id": "1", "url": "http://x.test/", "date": "2020-03-29", "language": "en", "title": "A title"},
    ),
    "Common Pile": (
        {
            "id": "1",
            "text": "T",
            "source": "books",
            "created": "1900",
            "metadata": {"license": "CC0-1.0", "authors": ["A B", "C D"], "url": "http://x.test/"},
        },
        {"doc_id": "1", "url": "http://x.test/", "date": "1900", "author": "A B; C D", "license": "CC0-1.0"},
    ),
    "C4": (
        {"text": "T", "timestamp": "2019-04-25T12:57:54Z", "url": "http://x.test/"},
        {"url": "http://x.test/", "date": "2019-04-25T12:57:54Z"},
    ),
    "RedPajama 1": (
        {"text": "T", "meta": {"title": "A", "url": "http://x.test/", "language": "en", "timestamp": "2023"}},
        {"url": "http://x.test/", "date": "2023", "language": "en", "title": "A"},
    ),
    "RedPajama 1 with its metadata as text": (
        {"text": "T", "meta": '{"url": "http://x.test/", "timestamp": "2023"}', "red_pajama_subset": "arxiv"},
        {"url": "http://x.test/", "date": "2023"},
    ),
    "RedPajama 2": (
        {"raw_content": "T", "url": "http://x.test/", "date_download": "2020", "title": "A", "language": "fr"},
        {"url": "http://x.test/", "date": "2020", "language": "fr", "title": "A"},
    ),
    "OSCAR": (
        {
            "content": "T",
            "warc_headers": {
                "warc-record-id": "<urn:uuid:1>",
                "warc-date": "2022-11-26T09:45:47Z",
                "warc-target-uri": "http://x.test/",
            },
            "metadata": {"identification": {"label": "fr", "prob": 0.8}, "tlsh": None},
        },
        {"doc_id": "<urn:uuid:1>", "url": "http://x.test/", "date": "2022-11-26T09:45:47Z", "language": "fr"},
    ),
    "DCLM": (
        {
            "text": "T",
            "url": "http://x.test/",
            "metadata": {"WARC-Date": "2015", "WARC-Record-ID": "<urn:uuid:1>", "WARC-Target-URI": "http://y.test/"},
            "language_id_whole_page_fasttext": {"en": 0.9},
        },
        {"doc_id": "<urn:uuid:1>", "url": "http://x.test/", "date": "2015"},
    ),
    "The Stack": (
        {"hexsha": "f00", "lang": "C", "max_stars_repo_licenses": ["MIT", "Zlib"], "content": "T", "size": 1},
        {"doc_id": "f00", "language": "C", "license": "MIT AND Zlib"},
    ),
    "Common Corpus": (
        {"identifier": "i1", "license": "PD", "date": "1880", "title": "A", "creator": "B", "text": "T"},
        {"doc_id": "i1", "license": "PD", "date": "1880", "title": "A", "author": "B"},
    ),
}


@pytest.fixture
def both(tmp_path, read_all):
    """Read rows through both readers, which must find the same."""

    def read(rows, columns=None):
        settings = {"columns": columns} if columns else {}
        (tmp_path / "x.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
        pq.write_table(pa.Table.from_pylist(rows), tmp_path / "x.parquet")
        lines, _ = read_all(JsonlReader(**settings), tmp_path / "x.jsonl")
        table, _ = read_all(ParquetReader(**settings), tmp_path / "x.parquet")
        plain = [[record._replace(offset=0, html=None) for record in records] for records in (lines, table)]
        assert plain[0] == plain[1]
        return lines

    return read


def told(record):
    return {field: getattr(record, field) for field in FIELDS if getattr(record, field) is not None}


@pytest.mark.parametrize("layout", LAYOUTS)
def test_layouts_are_read_without_settings(both, layout):
    row, expected = LAYOUTS[layout]
    (record,) = both([row])
    assert told(record) == {"text": "T", **expected}


def test_maps_and_other_types_of_arrow(tmp_path, read_all):
    table = pa.table(
        {
            "text": pa.array(["a", "b"], pa.large_string()),
            "metadata": pa.array([[("url", "u"), ("date", "d")], None], pa.map_(pa.string(), pa.string())),
            "language": pa.array(["en", None]).dictionary_encode(),
            "title": pa.array(["A", "B"], pa.string_view()),
            "author": pa.array([b"\xff", None], pa.binary()),
            "authors": pa.array([["C", None, "D"], ["E"]]),
            "timestamp": pa.array([1, 10**18], pa.timestamp("ns")),
        }
    )
    pq.write_table(table, tmp_path / "x.parquet")
    first, second = read_all(ParquetReader(), tmp_path / "x.parquet")[0]
    assert (first.url, first.date, first.language, first.title) == ("u", "d", "en", "A")
    assert (first.author, second.author) == ("\ufffd", "E")
    assert (second.url, second.date) == (None, "2001-09-09T01:46:40")


def test_texts_in_lists_that_are_not_utf8_are_an_error(tmp_path, read_all):
    authors = pa.ListArray.from_arrays([0, 1, 2], pa.array([b"A", b"\xff"]).view(pa.string()))
    pq.write_table(pa.table({"text": ["a", "b"], "authors": authors}), tmp_path / "x.parquet")
    first, second = read_all(ParquetReader(), tmp_path / "x.parquet")[0]
    assert (first.text, first.author) == ("a", "A")
    assert (second.text, second.error) == (None, "read.utf8")


def test_a_time_beyond_those_of_python(tmp_path, read_all):
    dates = pa.array([400_000_000_000], pa.timestamp("s"))  # in the year 14645
    pq.write_table(pa.table({"text": ["a"], "date": dates}), tmp_path / "x.parquet")
    (record,) = read_all(ParquetReader(), tmp_path / "x.parquet")[0]
    assert record.text == "a" and record.date.startswith("14645-")


# --- names ----------------------------------------------------------------------------------------------------------


def test_a_key_with_the_dot_comes_first(both):
    nested = {"url": "inner"}
    rows = [{"text": "a", "meta.url": "dotted", "meta": nested}]
    assert both(rows)[0].url == "dotted"
    assert both([{"text": "a", "a": {"b.c": {"d": "deep"}}}], {"url": "a.b.c.d"})[0].url == "deep"


def test_names_of_ones_own(both):
    rows = [{"text": "no", "doc": {"body": "yes"}, "by": ["A", "B"], "link": "u", "url": "no"}]
    record = both(rows, {"text": "doc.body", "author": "by", "url": ["href", "link"], "title": []})[0]
    assert told(record) == {"text": "yes", "author": "A; B", "url": "u"}


def test_the_first_name_that_is_there_holds_the_text(both):
    first, second = both([{"text": None, "content": "c"}, {"text": "t", "content": "c"}])
    assert (first.error, second.text) == ("read.missing_text", "t")


def test_empty_values_leave_the_field_to_the_next_name(both):
    rows = [{"text": "a", "url": "", "metadata": {"url": "inner"}}, {"text": "b", "url": "u", "metadata": {"url": "x"}}]
    assert [record.url for record in both(rows)] == ["inner", "u"]


KEYS = st.sampled_from(["a", "b", "a.b", "b.a", "a.b.a"])
TREES = st.recursive(st.integers(), lambda inner: st.dictionaries(KEYS, inner, max_size=4), max_leaves=12)


def paths(tree):
    """Every value with the name that its keys make."""
    for key, value in tree.items() if isinstance(tree, dict) else ():
        yield key, value
        yield from ((f"{key}.{name}", inner) for name, inner in paths(value))


@given(tree=st.dictionaries(KEYS, TREES, max_size=4), name=st.lists(st.sampled_from("ab"), min_size=1, max_size=5))
def test_reach_finds_what_is_there_and_nothing_else(tree, name):
    name = ".".join(name)
    there = [value for path, value in paths(tree) if path == name]
    found = reach(tree, name)
    if name in tree:
        assert found is tree[name]
    assert (found is ABSENT) == (not there)
    assert found is ABSENT or any(found is value for value in there)
    fields = Shapes({"x": (name, "other")}).fields(tree)
    assert (name in fields["x"]) >= bool(there), "no name that is there is left out"


def test_many_keys_are_no_shape():
    row = {f"key{i}": i for i in range(1000)}
    assert Shapes({"x": ("metadata.url",)}).fields(row) == {"x": ("metadata.url",)}


# --- signals --------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("kind", "values", "expected"),
    [
        ("float", [1, 1.5, True, "2.5", None], [1.0, 1.5, 1.0, 2.5, None]),
        ("int", [3, 3.0, True, "-4", None], [3, 3, 1, -4, None]),
        ("bool", [True, 0, 1.0, "true", "False", None], [True, False, True, True, False, None]),
        ("str", ["a", 1, True, 1.5, None], ["a", "1", "true", "1.5", None]),
    ],
)
def test_values_of_signals(kind, values, expected):
    signal = SignalColumn(column="x", type=kind)
    found = [signal.value(value) for value in values]
    assert found == expected
    assert [type(value) for value in found] == [type(value) for value in expected]


@pytest.mark.parametrize(
    ("kind", "value"),
    [
        ("float", "high"),
        ("float", [1]),
        ("float", 10**400),
        ("int", 1.5),
        ("int", 1 << 63),
        ("int", float("nan")),
        ("int", float("inf")),
        ("bool", 2),
        ("bool", "yes"),
        ("str", ["a"]),
        ("str", {"a": 1}),
    ],
)
def test_values_of_other_types_are_refused(kind, value):
    with pytest.raises(ValueError, match="no "):
        SignalColumn(column="x", type=kind).value(value)


def test_signals_of_rows(both):
    columns = {"signals": {"edu": "metadata.edu_score", "tokens": {"column": "token_count", "type": "int"}}}
    rows = [
        {"text": "a", "token_count": 3, "metadata": {"edu_score": 1.25}},
        {"text": "b", "token_count": None, "metadata": {"edu_score": None}},
    ]
    assert [record.signals for record in both(rows, columns)] == [
        {"edu": 1.25, "tokens": 3},
        {"edu": None, "tokens": None},
    ]
    assert JsonlReader(columns=columns).told == ParquetReader(columns=columns).told == {"edu": float, "tokens": int}
    assert JsonlReader().told == {}


def test_a_wrong_value_of_a_signal_costs_its_row(both):
    columns = {"signals": {"edu": "score"}}
    rows = [{"text": "a", "score": "1"}, {"text": "b", "score": "high"}, {"text": "c", "score": "3"}]
    records = both(rows, columns)
    assert [(record.text, record.error) for record in records] == [("a", None), (None, "read.signal_type"), ("c", None)]
    assert b"high" in records[1].html


@pytest.mark.parametrize(
    ("columns", "message"),
    [
        ({"signals": {"edu": "score", "a.b": "x"}}, "should match pattern"),
        ({"signals": {"edu": {"column": "score", "type": "double"}}}, "'int', 'float', 'bool' or 'str'"),
        ({"text": []}, "at least 1 item"),
        ({"url": ""}, "at least 1 character"),
    ],
)
def test_settings_that_make_no_sense(columns, message):
    with pytest.raises(ValidationError, match=message):
        Columns.model_validate(columns)


def test_settings_survive_their_way_to_the_workers():
    reader = JsonlReader(columns={"text": "body", "url": [], "signals": {"edu": "metadata.edu"}})
    assert JsonlReader.model_validate(reader.model_dump(mode="json")) == reader


# --- what is not there ----------------------------------------------------------------------------------------------


def test_a_table_without_text_names_its_columns(tmp_path):
    rows = [{"question": "q", "answer": {"short": "a", "contents": "b"}}] * 12
    (tmp_path / "x.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    pq.write_table(pa.Table.from_pylist(rows), tmp_path / "x.parquet")
    for reader, name in ((JsonlReader, "x.jsonl"), (ParquetReader, "x.parquet")):
        with pytest.raises(ValueError, match="'text', 'content' or 'raw_content' for the text") as caught:
            reader().splits(99, str(tmp_path / name), 1)
        assert str(caught.value).endswith("question, answer, answer.short, answer.contents")
        with pytest.raises(ValueError, match="did you mean 'answer.contents'"):
            reader(columns={"text": "answer.content"}).splits(99, str(tmp_path / name), 1)


def test_a_few_rows_without_text_are_only_quarantined(tmp_path, read_all):
    (tmp_path / "x.jsonl").write_text('{"id": 1}\n' * 9)
    records, _ = read_all(JsonlReader(), tmp_path / "x.jsonl")
    assert [record.error for record in records] == ["read.missing_text"] * 9
    (tmp_path / "x.jsonl").write_text('{"id": 1}\n' * 50 + '{"text": "a"}\n')
    assert len(read_all(JsonlReader(), tmp_path / "x.jsonl")[0]) == 51


@pytest.mark.parametrize(
    ("columns", "message"),
    [
        ({"url": "link"}, "no column 'link' for url; did you mean 'links'"),
        ({"signals": {"edu": "scroe"}}, "no column 'scroe' for edu; did you mean 'score'"),
        ({"signals": {"edu": "links"}}, "column 'links' for edu has the type list<.*>, not float"),
        ({"text": "links"}, "column 'links' for the text has the type list<.*>, not text"),
    ],
)
def test_what_a_table_must_have(tmp_path, columns, message):
    pq.write_table(pa.table({"text": ["a"], "score": [1], "links": [["u"]]}), tmp_path / "x.parquet")
    with pytest.raises(ValueError, match=message):
        ParquetReader(columns=columns).splits(1, str(tmp_path / "x.parquet"), 1)


def test_two_columns_of_one_name(tmp_path):
    table = pa.Table.from_arrays([pa.array(["a"]), pa.array(["b"])], ["text", "text"])
    pq.write_table(table, tmp_path / "x.parquet")
    with pytest.raises(ValueError, match="two columns are called 'text'"):
        ParquetReader().splits(1, str(tmp_path / "x.parquet"), 1)


# --- files of others ------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("expand", [False, True])
def test_what_datatrove_writes(tmp_path, read_all, expand):
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        from datatrove.data import Document
        from datatrove.pipeline.writers import JsonlWriter, ParquetWriter
    kinds = [
        (JsonlWriter(str(tmp_path), "x.jsonl.gz", expand_metadata=expand), "x.jsonl.gz", JsonlReader),
        (JsonlWriter(str(tmp_path), "x.jsonl.zst", "zstd", expand_metadata=expand), "x.jsonl.zst", JsonlReader),
        (ParquetWriter(str(tmp_path), "x.parquet", expand_metadata=expand), "000_x.parquet", ParquetReader),
    ]
    signals = {"score": "language_score" if expand else "metadata.language_score"}
    for writer, name, reader in kinds:
        with writer:
            for i in range(30):
                about = {"url": f"http://x.test/{i}", "date": "2020-01-02", "language": "de", "language_score": i / 30}
                writer.write(Document(text=f"Größe {i}", id=f"id{i}", metadata=about))
        records, _ = read_all(reader(columns={"signals": signals}), tmp_path / name, 200)
        assert [record.text for record in records] == [f"Größe {i}" for i in range(30)]
        assert [(record.doc_id, record.url) for record in records] == [
            (f"id{i}", f"http://x.test/{i}") for i in range(30)
        ]
        assert {(record.date, record.language) for record in records} == {("2020-01-02", "de")}
        assert [record.signals["score"] for record in records] == [i / 30 for i in range(30)]


def test_what_datasets_writes(tmp_path, read_all):
    from datasets import ClassLabel, Dataset, Features, List, Value, disable_progress_bars

    disable_progress_bars()
    features = Features(
        {
            "text": Value("large_string"),
            "metadata": {"url": Value("string"), "license": List(Value("string"))},
            "label": ClassLabel(names=["low", "high"]),
        }
    )
    rows = [
        {"text": f"row {i}", "metadata": {"url": f"u{i}", "license": ["MIT", "Zlib"][: i % 3]}, "label": i % 2}
        for i in range(50)
    ]
    data = Dataset.from_list(rows, features)
    data.to_parquet(tmp_path / "x.parquet")
    data.to_json(tmp_path / "x.jsonl")
    assert b"huggingface" in pq.read_schema(tmp_path / "x.parquet").metadata
    columns = {"signals": {"label": {"column": "label", "type": "int"}}}
    for reader, name in ((JsonlReader, "x.jsonl"), (ParquetReader, "x.parquet")):
        records, _ = read_all(reader(columns=columns), tmp_path / name)
        assert [(record.text, record.url) for record in records] == [(f"row {i}", f"u{i}") for i in range(50)]
        assert [record.license for record in records[:3]] == [None, "MIT", "MIT AND Zlib"]
        assert [record.signals["label"] for record in records] == [i % 2 for i in range(50)]


@pytest.mark.parametrize(
    ("file", "id_", "url", "date", "language", "title", "license_"),
    [
        (
            "D-dolma-cc-samples/multiple_files/cc_en_head-0091.jsonl.gz",
            *("id", "metadata.url", "created", "metadata.language", "metadata.title", "null"),
        ),
        ("D-olmo-fixtures/c4-sample.01.json.gz", "null", "url", "date", "null", "null", "null"),
        ("READY-jsonl/wikipedia_en_dump_excerpt.jsonl.gz", "id", "url", "null", "lang", "null", "licence"),
        ("READY-jsonl/books_en_dev14.jsonl.gz", "id", "null", "null", "lang", "null", "licence"),
        ("I-planted-neardup/docs_10k.parquet", "id", "url", "null", "null", "null", "null"),
    ],
)
def test_real_files(test_data, read_all, file, id_, url, date, language, title, license_):
    path = test_data(file)
    as_they_are = "convert_strings_to_integers=false, timestampformat='never', dateformat='never'"
    lines = f"read_json('{path}', format='newline_delimited', maximum_object_size=100000000, {as_they_are})"
    source = f"read_parquet('{path}')" if file.endswith("parquet") else lines
    rows = duckdb.sql(
        f"select text, {id_}, nullif({url}, ''), {date}, {language}, {title}, {license_} from {source}"
    ).fetchall()
    reader = ParquetReader() if file.endswith("parquet") else JsonlReader()
    records, _ = read_all(reader, path)
    found = [
        (record.text, record.doc_id, record.url, record.date, record.language, record.title, record.license)
        for record in records
    ]
    assert len(found) == len(rows) > 3
    assert found == rows


def test_judgements_of_people_as_signals(test_data, read_all):
    path = test_data("G-dclm-quality/quality_dev.jsonl")
    columns = {
        "signals": {
            "label": {"column": "label", "type": "int"},
            "unanimous": {"column": "unanimous", "type": "bool"},
        }
    }
    records, _ = read_all(JsonlReader(columns=columns), path)
    rows = [json.loads(line) for line in path.read_text().splitlines()]
    assert [record.signals for record in records] == [
        {"label": row["label"], "unanimous": row["unanimous"]} for row in rows
    ]


@pytest.mark.parametrize(
    ("file", "key"),
    [("D-dolma-cc-samples/provided/attributes/toxicity/000.json.gz", "attributes"), ("E-gsm8k/test.jsonl", "question")],
)
def test_real_tables_without_text(test_data, file, key):
    path = test_data(file)
    with pytest.raises(ValueError, match=f"for the text.*{key}"):
        JsonlReader().splits(path.stat().st_size, str(path), 1 << 20)


def test_more_kinds_of_packing(tmp_path, read_all):
    import bz2

    data = b"".join(b'{"text": "row %d"}\n' % i for i in range(100))
    for name, packed in (("x.jsonl.bz2", bz2.compress(data)), ("x.jsonl.gz", gzip.compress(data))):
        (tmp_path / name).write_bytes(packed)
        records, _ = read_all(JsonlReader(), tmp_path / name)
        assert [record.text for record in records] == [f"row {i}" for i in range(100)]
