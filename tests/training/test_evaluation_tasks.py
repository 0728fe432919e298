"""Scores on files of tasks: log-probabilities against transformers read naively, metrics against hand counts."""

import gzip
import json
import math
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import torch
import typer
from hypothesis import given, settings
from hypothesis import strategies as st
from typer.testing import CliRunner

from pipeline.configfile import ConfigError
from training import cli, hf
from training.config import TokenizerSettings
from training.evaluation.likelihood import Score, Scorer
from training.evaluation.questions import Question, read_task
from training.evaluation.tasks import measure
from training.model import Decoder, Shape
from training.store.tokenizer import Tokenizer

CONTEXT = 48
CPU = torch.device("cpu")


@pytest.fixture
def pair(llama: Callable[..., Any], byte_pairs: Path) -> Any:
    """A random model of transformers, our scorer of the same weights, and the tokenizer of both."""
    theirs, folder = llama(vocab_size=704, max_position_embeddings=CONTEXT)
    tokenizer = Tokenizer.load(byte_pairs, TokenizerSettings())
    return theirs, Scorer(hf.load(folder), tokenizer, CPU, torch.float32), tokenizer


def naive(theirs: Any, ids: list[int], scored: int) -> tuple[float, bool]:
    """Log-probability of the last `scored` ids, of which each is predicted from those before it; and if all lead."""
    with torch.no_grad():
        logits = theirs(torch.tensor([ids[:-1]])).logits[0].double()
    values = torch.log_softmax(logits, -1)[-scored:]
    targets = torch.tensor(ids[-scored:])
    return float(values[torch.arange(scored), targets].sum()), bool((values.argmax(-1) == targets).all())


def expected(theirs: Any, tokenizer: Any, context: str, continuation: str) -> tuple[float, int, bool]:
    """By lm-evaluation-harness's rules: blanks go to the continuation, the left is cut, nothing is the end token."""
    blanks = len(context) - len(context.rstrip())
    if blanks:
        context, continuation = context[:-blanks], context[-blanks:] + continuation
    first = tokenizer.encode(context)
    second = tokenizer.encode(context + continuation)[len(first) :]
    ids = ((first or [tokenizer.end]) + second)[-(CONTEXT + 1) :]
    return (*naive(theirs, ids, len(second))[:1], len(second), naive(theirs, ids, len(second))[1])


def test_continuations_score_as_transformers_does_one_by_one(pair: Any) -> None:
    theirs, scorer, tokenizer = pair
    long = "def f(a, b): " * 30
    pairs = [
        ("import os", " as a name"),
        ("import os", " and more of it"),
        ("import os", ", sys"),
        ("ends with blanks  ", "and goes on"),
        ("", "nothing before"),
        ("größer als", " Zahl ✓"),
        (long, "short"),
        (long, " another one"),
        ("x" * 30, "=" * 3),
        ("import os", " as a name"),
    ]
    found = scorer.continuations(pairs)
    for (context, continuation), score in zip(pairs, found, strict=True):
        value, tokens, greedy = expected(theirs, tokenizer, context, continuation)
        assert score.tokens == tokens
        assert score.log_probability == pytest.approx(value, abs=1e-4)
        assert score.greedy == greedy
    assert found[0].log_probability == pytest.approx(found[-1].log_probability, abs=1e-5)


def test_the_greedy_continuation_is_seen_as_such(pair: Any) -> None:
    theirs, scorer, tokenizer = pair
    seen = 0
    for word in ("return", "import", "class", "for", "the", "0", "None", "self"):
        first = tokenizer.encode(word)
        likeliest = int(theirs(torch.tensor([first])).logits[0, -1].argmax())
        text = tokenizer.decode([likeliest])
        if tokenizer.encode(word + text) == [*first, likeliest]:  # where text leads to that token again
            seen += 1
            other = "!" if text != "!" else "?"
            assert [score.greedy for score in scorer.continuations([(word, text), (word, other)])] == [True, False]
    assert seen


@pytest.mark.parametrize("tokens", [0, 1, 5, CONTEXT - 1, CONTEXT, CONTEXT + 1, 2 * CONTEXT, 3 * CONTEXT + 7])
def test_texts_are_scored_in_windows_every_token_once(pair: Any, tokens: int) -> None:
    theirs, scorer, tokenizer = pair
    text = tokenizer.decode(tokenizer.encode("for i in range(10): print(i, 'größer') # and so on\n" * 20)[:tokens])
    ids = [tokenizer.end, *tokenizer.encode(text)]
    total, at = 0.0, 1
    while at < len(ids):  # as many as the context has at a time; the last window is filled up with what was read
        end = min(at + CONTEXT, len(ids))
        total += naive(theirs, ids[max(end - CONTEXT - 1, 0) : end], end - at)[0]
        at = end
    (score,) = scorer.texts([text])
    assert score.tokens == len(ids) - 1
    assert score.log_probability == pytest.approx(total, abs=1e-3)


def test_a_window_of_attention_is_kept(byte_pairs: Path, foreign: Callable[..., Any]) -> None:
    theirs, folder = foreign("mistral", vocab_size=704, sliding_window=6, max_position_embeddings=CONTEXT)
    tokenizer = Tokenizer.load(byte_pairs, TokenizerSettings())
    scorer = Scorer(hf.load(folder), tokenizer, CPU, torch.float32)
    pairs = [("import os and then something more", tail) for tail in (" that is read", " by nobody at all", "!")]
    for (context, continuation), score in zip(pairs, scorer.continuations(pairs), strict=True):
        value, tokens, _ = expected(theirs, tokenizer, context, continuation)
        assert (score.tokens, score.log_probability) == (tokens, pytest.approx(value, abs=1e-4))


class Fixed:
    """Scores that are known."""

    def __init__(self, *values: float, greedy: tuple[bool, ...] = ()) -> None:
        self.scores = [Score(v, 2, g) for v, g in zip(values, greedy or (False,) * len(values), strict=True)]

    def continuations(self, pairs: Any) -> list[Score]:
        assert len(pairs) == len(self.scores)
        return self.scores

    texts = continuations


def task(tmp_path: Path, *rows: Any, name: str = "rows.jsonl", kind: str = "") -> Any:
    path = tmp_path / name
    path.write_text("".join(json.dumps(row) + "\n" for row in rows), encoding="utf-8")
    return read_task(f"{kind}{path}")


def test_accuracies_are_those_counted_by_hand(tmp_path: Path) -> None:
    rows = [
        {"query": "a", "choices": ["no", "yes"], "gold": 1},  # -3 / 2 and -4 / 3: right only when normalised
        {"query": "b", "choices": ["größer", "kleiner"], "gold": "A"},  # -6 / 6 or / 8 bytes, -6.9 / 7
        {"query": "c", "choices": ["x", "y", "z"], "answer": "z"},
    ]
    result = measure(task(tmp_path, *rows), Fixed(-3, -4, -6, -6.5, -1, -2, -3))  # type: ignore[arg-type]
    # b: -6 / 6 = -1 is below -6.5 / 7 = -0.93, but by bytes -6 / 8 = -0.75 is above it
    assert result.metrics == pytest.approx({"acc": 1 / 3, "acc_norm": 1 / 3, "acc_bytes": 2 / 3})
    deviation = np.std([0, 0, 1], ddof=1) / math.sqrt(3)
    assert result.errors == pytest.approx(dict.fromkeys(("acc", "acc_norm", "acc_bytes"), deviation))


def test_last_words_have_accuracy_and_perplexity(tmp_path: Path) -> None:
    rows = [{"context": "a b", "continuation": "c"}, {"context": "d e", "continuation": " f"}]
    read = task(tmp_path, *rows)
    assert [question.continuations for question in read.questions] == [(" c",), (" f",)]
    result = measure(read, Fixed(-1.0, -3.0, greedy=(True, False)))  # type: ignore[arg-type]
    assert result.metrics == pytest.approx({"acc": 0.5, "perplexity": math.exp(2)})
    assert result.errors == pytest.approx({"acc": 0.5, "perplexity": math.exp(2) * 1.0})


def test_perplexities_are_over_all_texts(tmp_path: Path) -> None:
    result = measure(task(tmp_path, {"text": "größer als"}, {"text": "a"}), Fixed(-8.0, -2.0))  # type: ignore[arg-type]
    assert result.kind == "text"
    assert result.metrics == pytest.approx(
        {
            "word_perplexity": math.exp(10 / 3),
            "byte_perplexity": math.exp(10 / 13),
            "bits_per_byte": 10 / 13 / math.log(2),
            "token_perplexity": math.exp(10 / 4),
        }
    )
    endless = measure(task(tmp_path, {"text": "a"}), Fixed(-1000.0))  # type: ignore[arg-type]
    assert endless.metrics["word_perplexity"] == math.inf


ARC = {"question": "Why?", "choices": {"text": ["a", "b", "c"], "label": ["A", "B", "C"]}, "answerKey": "B"}
LAYOUTS: list[tuple[str, Any, tuple[str, ...], tuple[str, ...], int]] = [
    ("arc", ARC, ("Question: Why?\nAnswer:",), (" a", " b", " c"), 1),
    (
        "arc",
        {
            "question": {"stem": "Why?", "choices": [{"text": "a", "label": "1"}, {"text": "b", "label": "2"}]},
            "answerKey": "2",
        },
        ("Question: Why?\nAnswer:",),
        (" a", " b"),
        1,
    ),
    (
        "openbookqa",
        {"question_stem": "The sun is", "choices": ARC["choices"], "answerKey": "C"},
        ("The sun is",),
        (" a", " b", " c"),
        2,
    ),
    (
        "piqa",
        {"goal": "Open it", "sol1": "pull", "sol2": "push", "label": 1},
        ("Question: Open it\nAnswer:",),
        (" pull", " push"),
        1,
    ),
    (
        "hellaswag",
        {
            "activity_label": "Baking",
            "ctx_a": "[header] A man  bakes.",
            "ctx_b": "he [substeps] then",
            "endings": ["eats [title] it.", "sleeps."],
            "label": "0",
        },
        ("Baking: A man bakes. He then",),
        (" eats. it.", " sleeps."),
        0,
    ),
    (
        "boolq",
        {"passage": "It is.", "question": "is it", "answer": True},
        ("It is.\nQuestion: is it?\nAnswer:",),
        (" no", " yes"),
        1,
    ),
    (
        "winogrande",
        {"sentence": "He saw _ because it was big.", "option1": "the dog", "option2": "the ant", "answer": "1"},
        ("He saw the dog", "He saw the ant"),
        (" because it was big.",) * 2,
        0,
    ),
    ("choices", {"question": "Two", "choices": ["1", "2"], "answer": 1}, ("Two",), (" 1", " 2"), 1),
    (
        "choices",
        {"query": "Question: Two?\n", "choices": ["one", "2"], "gold": 0},
        ("Question: Two?\nAnswer:",),
        (" one", " 2"),
        0,
    ),
]


@pytest.mark.parametrize(
    ("kind", "row", "contexts", "continuations", "gold"),
    LAYOUTS,
    ids=[f"{i}-{layout[0]}" for i, layout in enumerate(LAYOUTS)],
)
def test_layouts_are_known_by_their_names_and_asked_as_the_harness_does(
    tmp_path: Path, kind: str, row: Any, contexts: tuple[str, ...], continuations: tuple[str, ...], gold: int
) -> None:
    read = task(tmp_path, row)
    assert read.kind == kind
    (question,) = read.questions
    assert set(question.contexts) == set(contexts) and len(question.contexts) == len(continuations)
    assert (question.continuations, question.gold) == (continuations, gold)
    if len(contexts) > 1:
        assert question.contexts == contexts
    packed = tmp_path / "rows.jsonl.gz"
    packed.write_bytes(gzip.compress((tmp_path / "rows.jsonl").read_bytes()))
    pq.write_table(pa.Table.from_pylist([row]), tmp_path / "rows.parquet")
    assert read_task(str(packed)) == read_task(str(tmp_path / "rows.parquet")) == read


def test_lambada_as_texts_is_read_when_asked(tmp_path: Path) -> None:
    read = task(tmp_path, {"text": "one two three"}, kind="last_word:")
    assert read.questions == (Question(("one two",), (" three",)),)
    assert task(tmp_path, {"text": "one two three"}).kind == "text"
    plain = tmp_path / "notes.txt"
    plain.write_text("one\ntwo")
    assert read_task(str(plain)).questions == (Question(("one\ntwo",)),)


@pytest.mark.parametrize(
    ("row", "said"),
    [
        ({"query": "a", "choices": ["b"], "gold": 1}, "number 1 of 1"),
        ({"query": "a", "choices": ["b", ""], "gold": 0}, "texts are expected"),
        ({"query": "a", "choices": ["b", "c"]}, "'gold'"),
        ({"goal": "a", "sol1": "b", "sol2": "c"}, "'label'"),
        ({**ARC, "answerKey": "D"}, "'D'"),
        ({"sentence": "no gap", "option1": "a", "option2": "b", "answer": "1"}, "winogrande"),
        ({"something": 1}, "found something"),
    ],
    ids=lambda value: str(value)[:30],
)
def test_a_row_that_does_not_fit_is_an_error_with_its_line(tmp_path: Path, row: Any, said: str) -> None:
    with pytest.raises(ConfigError, match=said) as caught:
        task(tmp_path, row)
    assert f"{tmp_path / 'rows.jsonl'}:1" in str(caught.value)


@settings(max_examples=50)
@given(st.binary(max_size=200))
def test_whatever_a_file_has_is_read_or_refused(tmp_path_factory: pytest.TempPathFactory, data: bytes) -> None:
    path = tmp_path_factory.mktemp("any") / "rows.jsonl"
    path.write_bytes(data)
    with pytest.raises(ConfigError):
        read_task(str(path))


@pytest.fixture(scope="module")
def app() -> typer.Typer:
    app = typer.Typer()
    cli.register(app)
    return app


@pytest.fixture
def exported(tmp_path: Path, byte_pairs: Path) -> Path:
    tokenizer = Tokenizer.load(byte_pairs, TokenizerSettings())
    shape = Shape(
        vocabulary=704,
        context=CONTEXT,
        layers=1,
        width=16,
        heads=2,
        kv_heads=1,
        head_dim=8,
        hidden=32,
        rope_theta=10_000.0,
        norm_eps=1e-5,
        tied=True,
    )
    hf.export(Decoder.fresh(shape, 1), tokenizer, tmp_path / "model")
    return tmp_path / "model"


def test_the_command_scores_a_hugging_face_folder(app: typer.Typer, exported: Path, tmp_path: Path) -> None:
    task(tmp_path, ARC, ARC, {**ARC, "answerKey": "A"}, name="arc.jsonl")
    (tmp_path / "notes.txt").write_text("some text that is scored")
    asked = [
        "evaluate",
        str(exported),
        "--task",
        str(tmp_path / "arc.jsonl"),
        "--task",
        f"text:{tmp_path / 'notes.txt'}",
    ]
    result = CliRunner().invoke(app, [*asked, "--json"])
    assert result.exit_code == 0, result.output
    arc, notes = json.loads(result.stdout)
    assert (arc["task"], arc["kind"], arc["questions"], notes["kind"]) == ("arc", "arc", 3, "text")
    assert round(arc["acc"]["value"] * 3) in (0, 1, 2) and arc["acc"]["error"] is not None
    # a new model finds all tokens about as likely: 704 of them
    assert notes["token_perplexity"]["value"] == pytest.approx(704, rel=0.1)
    printed = CliRunner().invoke(app, [*asked, "--limit", "1"]).stdout
    assert "acc_norm" in printed and "bits_per_byte" in printed and f"{1:>8}" in printed


@pytest.mark.parametrize(
    ("arguments", "code", "said"),
    [
        (["{model}", "--task", "{tmp}/none.jsonl"], 2, "no file"),
        (["{model}", "--task", "helaswag:{tmp}/x.jsonl"], 2, "did you mean 'hellaswag'?"),
        (["{model}", "--task", "{tmp}/x.jsonl", "--device", "tpu"], 2, "--device tpu"),
        (["{tmp}", "--task", "{tmp}/x.jsonl"], 1, "no checkpoint"),
        (["{model}"], 2, "--task"),
    ],
    ids=lambda value: " ".join(value)[:30] if isinstance(value, list) else "",
)
def test_the_command_says_what_is_wrong(
    app: typer.Typer, exported: Path, tmp_path: Path, arguments: list[str], code: int, said: str
) -> None:
    task(tmp_path, ARC, name="x.jsonl")
    filled = [part.format(model=exported, tmp=tmp_path) for part in arguments]
    result = CliRunner().invoke(app, ["evaluate", *filled], env={"COLUMNS": "400", "TERM": "dumb"})
    assert result.exit_code == code, result.output
    assert said in result.stderr and not result.stdout


def test_the_files_of_the_test_data_are_read(test_data: Callable[[str], Path]) -> None:
    folder = test_data("E-llmfoundry-evals")
    kinds = {}
    for path in sorted(folder.glob("*/*.jsonl")):
        read = read_task(str(path))
        kinds[read.name] = read.kind
        assert len(read.questions) == len(path.read_text(encoding="utf-8").strip().split("\n"))
    assert kinds == {
        "arc_challenge": "choices",
        "arc_easy": "choices",
        "boolq": "choices",
        "lambada_openai": "last_word",
        "openbook_qa": "choices",
        "piqa": "choices",
        "winogrande": "winogrande",
    }
