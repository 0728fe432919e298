"""Blocks of datatrove as steps against the same blocks run by datatrove itself over the same documents."""

import json
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from importlib.util import find_spec
from itertools import islice
from pathlib import Path
from typing import Any

import polars as pl
import pytest
from datatrove.data import Document
from datatrove.pipeline.extractors import Trafilatura
from datatrove.pipeline.filters import C4ParagraphFilter, C4QualityFilter, RegexFilter, SamplerFilter
from datatrove.pipeline.formatters import PIIFormatter, SymbolLinesFormatter
from hypothesis import given
from hypothesis import strategies as st
from pydantic import ValidationError

from pipeline import plugins
from pipeline.blocks.step import Datatrove
from pipeline.passage import FRAME, Meter, process
from pipeline.readers import READERS
from pipeline.readers.base import Split
from pipeline.steps import depends_on

OWN = '''
"""Blocks of a user's own."""
import os
from datatrove.pipeline.extractors.base import BaseExtractor
from datatrove.pipeline.filters.base_filter import BaseFilter
from datatrove.pipeline.formatters.base import BaseFormatter

LOG = []


class Judge(BaseFilter):
    """Does what the text says."""

    name = "judge"

    def __init__(self, words: tuple[str, ...] = ("drop",), batch_size: int = 1):
        super().__init__(None, batch_size)
        self.words = words
        self.sizes = []

    def filter(self, doc):
        LOG.append((doc.id, dict(doc.metadata)))
        word, _, rest = doc.text.partition(" ")
        match word:
            case "drop":
                doc.text = "edited and dropped"
                return False, rest if rest else None
            case "no":
                return False
            case "edit":
                doc.text = rest
            case "none":
                doc.text = None
            case "half":
                doc.text = "\\ud800"
            case "raise":
                doc.text = "half done"
                raise ValueError(rest)
            case "import":
                raise ImportError("no module")
        return True

    def filter_batch(self, batch):
        self.sizes.append(len(batch))
        return super().filter_batch(batch)


class Upper(BaseFormatter):
    """Capitals."""

    name = "upper"

    def format(self, text):
        return text.upper()


class Page(BaseExtractor):
    """Does what the page says."""

    name = "page"

    def __init__(self, timeout: float = 1):
        super().__init__(timeout)
        self.seen = 0

    def extract(self, text):
        self.seen += 1
        if "loop" in text:
            while True:
                pass
        if "raise" in text:
            raise ValueError("no page")
        if "die" in text:
            os._exit(3)
        return "" if "nothing" in text else f"{self.seen}: {text.strip()}"


class Whole(BaseFilter):
    """Replaces what runs it."""

    name = "whole"

    def filter(self, doc):
        return True

    def run(self, data, rank=0, world_size=1):
        yield from data
'''


@pytest.fixture(scope="module")
def own(tmp_path_factory: pytest.TempPathFactory) -> plugins.Plugin:
    folder = tmp_path_factory.mktemp("plugins")
    (folder / "own.py").write_text(OWN)
    return plugins.load("own.py", folder)


@pytest.fixture(scope="module")
def make(own: plugins.Plugin) -> Callable[..., Datatrove]:
    """A step of a block and its arguments; `own.` is the plugin."""

    def of(block: str, **arguments: Any) -> Datatrove:
        settings = {"block": block, "arguments": arguments}
        return Datatrove.model_validate(settings, context={"own": own})

    return of


def frame(texts: Sequence[str | None], **columns: Any) -> pl.DataFrame:
    rows = [
        {"id": f"d{i}", "ordinal": i, "origin": "here", "source": "s", "text": text, "broken": [], **columns}
        for i, text in enumerate(texts)
    ]
    return pl.DataFrame(rows, schema=FRAME)


def through(step: Datatrove, docs: pl.DataFrame, measure_all: bool = False) -> pl.DataFrame:
    return process(docs, {"dt": step}, measure_all, Meter())


def by_datatrove(block: Any, texts: Sequence[str]) -> dict[str, str]:
    """The documents that a block lets through, when datatrove runs it."""
    documents = [Document(text, f"d{i}") for i, text in enumerate(texts)]
    return {document.id: document.text for document in block.run(iter(documents))}


def ours(step: Datatrove, texts: Sequence[str]) -> dict[str, str]:
    out = through(step, frame(texts)).filter(pl.col("error").is_null() & pl.col("reason").is_null())
    return dict(out.select("id", "text").iter_rows())


PATH = "datatrove.pipeline"
REAL: list[tuple[str, dict[str, Any], Callable[[], Any]]] = [
    (f"{PATH}.filters.RegexFilter", {"regex_exp": "[a-m]{4}"}, lambda: RegexFilter("[a-m]{4}")),
    (f"{PATH}.filters.C4ParagraphFilter", {}, C4ParagraphFilter),
    (
        f"{PATH}.filters.c4_filters.C4QualityFilter",
        {"min_num_sentences": -1},
        lambda: C4QualityFilter(min_num_sentences=-1),
    ),
    (f"{PATH}.filters.SamplerFilter", {"rate": 0.4, "seed": 7}, lambda: SamplerFilter(0.4, seed=7)),
    (
        f"{PATH}.formatters.PIIFormatter",
        {"email_replacement": ["a@b.c", "d@e.f"]},
        lambda: PIIFormatter(email_replacement=("a@b.c", "d@e.f")),
    ),
    (
        f"{PATH}.formatters.SymbolLinesFormatter",
        {"replace_char": "\n"},
        lambda: SymbolLinesFormatter(replace_char="\n"),
    ),
]
LINES = [
    "A line that ends as a sentence does.",
    "no end",
    "----",
    "== * ==",
    "write to me@example.com or 9.9.9.9",
    "javascript",
    "{",
    "x" * 210,
    "lorem ipsum dolor sit.",
]
TEXTS = st.lists(
    st.lists(st.sampled_from(LINES) | st.text(min_size=1, max_size=20), min_size=1, max_size=8).map("\n".join),
    max_size=12,
)


@pytest.mark.parametrize(("path", "arguments", "block"), REAL, ids=[path.rpartition(".")[2] for path, _, _ in REAL])
@given(texts=TEXTS)
def test_what_comes_through_is_what_datatrove_lets_through(
    path: str, arguments: Mapping[str, Any], block: Callable[[], Any], texts: list[str]
) -> None:
    found = ours(Datatrove(block=path, arguments=dict(arguments)), texts)
    expected = by_datatrove(block(), texts)
    # a document that a block leaves without text is dropped by name
    assert found == {name: text for name, text in expected.items() if text}


@pytest.mark.parametrize(("path", "arguments", "block"), REAL, ids=[path.rpartition(".")[2] for path, _, _ in REAL])
def test_real_pages_come_through_as_from_datatrove(
    path: str, arguments: Mapping[str, Any], block: Callable[[], Any], test_data: Callable[[str], Path]
) -> None:
    judged = test_data("G-dclm-quality") / "quality_dev.jsonl"
    texts = [json.loads(line)["text"] for line in judged.read_text(encoding="utf-8").splitlines()]
    expected = {name: text for name, text in by_datatrove(block(), texts).items() if text}
    assert ours(Datatrove(block=path, arguments=dict(arguments)), texts) == expected
    assert len(texts) > 100 and expected


def test_the_reasons_are_theirs_in_plain_letters(make: Callable[..., Datatrove]) -> None:
    out = through(
        make("own.Judge"), frame(["keep it", "drop < 3 paragraphs!", "drop", "no", "drop " + "é" * 5, "edit me"])
    )
    assert out["reason"].to_list() == [None, "dt.3_paragraphs", "dt.dropped", "dt.dropped", "dt.dropped", None]
    assert out["dt.dropped"].to_list() == out["reason"].to_list()
    assert out["text"].to_list() == ["keep it", "drop < 3 paragraphs!", "drop", "no", "drop " + "é" * 5, "me"]
    assert out["dt.changed"].to_list() == [False, False, False, False, False, True]
    assert out["error"].null_count() == out.height


@pytest.mark.parametrize("size", [1, 4])
def test_a_document_at_which_a_block_stumbles_is_alone(make: Callable[..., Datatrove], size: int) -> None:
    texts = ["keep", "raise two\nlines", "none", "half", "edit on", "drop a"]
    out = through(make("own.Judge", batch_size=size), frame(texts))
    assert out["error"].to_list() == [None, "dt.error", "dt.error", "dt.error", None, None]
    assert out["reason"].to_list() == [None, None, None, None, None, "dt.a"]
    assert out["text"].to_list() == ["keep", "raise two\nlines", "none", "half", "on", "drop a"]
    messages = out["dt.error"].to_list()
    assert messages[1] == "ValueError: two lines" and messages[2] == "the text became NoneType"
    assert messages[3].startswith("UnicodeEncodeError") and messages[0] is None


def test_a_missing_package_is_no_fault_of_a_document(make: Callable[..., Datatrove]) -> None:
    with pytest.raises(ImportError, match="no module"):
        through(make("own.Judge"), frame(["keep", "import"]))


def test_documents_come_with_what_is_known_of_them(make: Callable[..., Datatrove], own: plugins.Plugin) -> None:
    docs = frame(["keep"], url="http://a.b/c", language="de").with_columns(
        pl.lit("de").alias("first.label"), pl.lit(0.9).alias("first.score"), pl.lit("x").alias("topic.label")
    )
    own.module.LOG.clear()
    through(make("own.Judge"), docs)
    known = {"url": "http://a.b/c", "source": "s", "language": "de", "language_score": 0.9}
    assert own.module.LOG == [("d0", known)]


def test_a_verdict_that_stands_is_not_changed_but_noted(make: Callable[..., Datatrove]) -> None:
    docs = frame(["drop this", "raise it", "edit away", "edit "]).with_columns(reason=pl.lit("gopher.words"))
    out = through(make("own.Judge"), docs, measure_all=True)
    assert out["reason"].to_list() == ["gopher.words"] * 4 and out["error"].null_count() == 4
    assert out["dt.dropped"].to_list() == ["dt.this", None, None, None]


def test_a_page_whose_text_is_still_to_come_is_not_empty(make: Callable[..., Datatrove]) -> None:
    docs = frame([None, None]).with_columns(html=pl.Series([b"<p>a page</p>", None], dtype=pl.Binary))
    steps = {"before": make("own.Judge"), "dt": make("own.Page")}
    out = process(docs, steps, False, Meter())
    assert out["reason"].to_list() == [None, "before.empty"]
    assert out["text"].to_list() == ["3: <p>a page</p>", None]


def test_what_a_block_remembers_ends_with_its_part(make: Callable[..., Datatrove]) -> None:
    """PIIFormatter takes its replacements in turn: who had which must not depend on the worker."""
    texts = ["a@corp.com"] * 3
    replaced = ["email@example.com", "firstname.lastname@example.org", "email@example.com"]
    step = make(f"{PATH}.formatters.PIIFormatter")
    one, two = frame(texts), frame(texts).with_columns(pl.col("ordinal") + (1 << 32))
    again = one.with_columns(pl.col("ordinal") + 3)
    assert through(step, one)["text"].to_list() == replaced
    assert through(step, again)["text"].to_list() == [replaced[1], replaced[0], replaced[1]], "the part goes on"
    assert through(step, two)["text"].to_list() == replaced
    assert through(step, two)["text"].to_list() == replaced, "the part is done once more"


def test_an_extractor_answers_for_each_page_alone(make: Callable[..., Datatrove]) -> None:
    step = make("own.Page", timeout=0.5)
    assert step.reads == "html" and make("own.Upper").reads == "text"
    pages = [b"<p>one</p>", b"loop", b"raise", b"die", b"nothing", None, b"<p>t\xe9xt</p>"]
    docs = frame(["text already"] * 7).with_columns(
        html=pl.Series(pages, dtype=pl.Binary), text=pl.Series([None] * 5 + ["text already", None], dtype=pl.String)
    )
    out = through(step, docs)
    assert out["error"].to_list() == [None, "dt.timeout", "dt.error", "dt.crash", None, None, None]
    assert out["reason"].to_list() == [None, None, None, None, "dt.empty", None, None]
    # every page is the third of its process, after those that load what is loaded late
    assert out["text"].to_list() == ["3: <p>one</p>", None, None, None, "", "text already", "3: <p>téxt</p>"]
    assert "no page" in out["dt.error"][2]


def test_trafilatura_by_datatrove(make: Callable[..., Datatrove], demo_corpus: dict[str, list[Path]]) -> None:
    path = demo_corpus["web"][0]
    records = READERS["warc"].model_validate({"use": "warc"}).read(Split(str(path), 0, path.stat().st_size), Counter())
    pages = [record.html.decode() for record in islice(records, 15) if record.html]
    step = make(f"{PATH}.extractors.Trafilatura", deduplicate=False, timeout=20)
    out = through(step, frame([None] * len(pages)).with_columns(html=pl.Series([page.encode() for page in pages])))
    expected = by_datatrove(Trafilatura(deduplicate=False, timeout=20), pages)
    assert dict(out.filter(pl.col("reason").is_null()).select("id", "text").iter_rows()) == expected
    assert len(expected) > 8


@pytest.mark.parametrize(
    ("settings", "place", "message"),
    [
        ({"block": f"{PATH}.filters.RegxFilter"}, "block", "did you mean 'datatrove.pipeline.filters.RegexFilter'?"),
        ({"block": f"{PATH}.fliters.RegexFilter"}, "block", "did you mean 'datatrove.pipeline.filters.RegexFilter'?"),
        ({"block": "own.Jugde"}, "block", "there is no 'own.Jugde'; did you mean 'own.Judge'?"),
        ({"block": "os.path.join"}, "block", "begins with datatrove. or own."),
        ({"block": f"{PATH}.readers.JsonlReader"}, "block", "is no filter, formatter or extractor"),
        ({"block": f"{PATH}.filters.base_filter.BaseFilter"}, "block", "lacks filter"),
        ({"block": "own.Whole"}, "block", "has a run() of its own"),
        ({"block": f"{PATH}.filters.LanguageFilter"}, "block", "Please install"),
        ({"block": f"{PATH}.filters.RegexFilter"}, "arguments", "argument 'regex_exp' of RegexFilter is missing"),
        (
            {"block": "own.Judge", "arguments": {"batchsize": 2}},
            "arguments",
            "unknown argument 'batchsize' of Judge; did you mean 'batch_size'?",
        ),
        ({"block": f"{PATH}.filters.LambdaFilter"}, "arguments", "LambdaFilter takes a function"),
        (
            {"block": f"{PATH}.filters.LambdaFilter", "arguments": {"filter_function": "f"}},
            "arguments",
            "a config cannot hold a function",
        ),
        ({"block": f"{PATH}.filters.SamplerFilter"}, "arguments", "give SamplerFilter a seed"),
        (
            {"block": f"{PATH}.filters.C4ParagraphFilter", "arguments": {"exclusion_writer": "x"}},
            "arguments",
            "what is dropped is in the folder dropped/",
        ),
    ],
)
def test_what_can_be_no_step(own: plugins.Plugin, settings: Mapping[str, Any], place: str, message: str) -> None:
    with pytest.raises(ValidationError) as caught:
        Datatrove.model_validate(settings, context={"own": own})
    (detail,) = caught.value.errors()
    assert detail["loc"] == (place,) and message in detail["msg"]


def test_a_list_is_a_tuple_where_one_is_wanted(make: Callable[..., Datatrove], own: plugins.Plugin) -> None:
    own.module.LOG.clear()
    step = make("own.Judge", words=["a", "b"])
    again = Datatrove.model_validate(json.loads(step.model_dump_json()), context={"own": own})
    assert again == step and again._new().words == ("a", "b")


def test_what_is_missing_shows_before_a_run(make: Callable[..., Datatrove]) -> None:
    make("own.Judge").try_out()
    make("own.Page").try_out()
    if find_spec("spacy") is None:  # no dependency of ours; the filter asks for it at its first document
        with pytest.raises(ImportError, match="spacy"):
            make(f"{PATH}.filters.GopherQualityFilter").try_out()
    with pytest.raises(TypeError):
        make(f"{PATH}.filters.RegexFilter", regex_exp=7).try_out()
    with pytest.raises(RuntimeError, match="got an unexpected keyword argument 'favour'"):
        make(f"{PATH}.extractors.Trafilatura", favour=True).try_out()


def test_a_plugin_is_part_of_what_a_block_depends_on(make: Callable[..., Datatrove], own: plugins.Plugin) -> None:
    assert depends_on(make("own.Judge"))["plugin"] == own.sha256
    assert set(depends_on(make(f"{PATH}.extractors.Trafilatura"))) == {"datatrove", "trafilatura"}
