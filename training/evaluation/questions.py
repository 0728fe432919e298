"""Files of tasks: JSON Lines and Parquet in the layouts in which evaluation sets are published, and plain text.

Prompts are those of lm-evaluation-harness's tasks of the same name, so that the numbers can be compared. What a row
lacks, or what does not fit, is an error with its file and line: leaving a question out would change the score.
"""

import gzip
import json
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

from pipeline.configfile import ConfigError, nearest

CONTINUATION, WHOLE = "last_word", "text"
Row = Mapping[str, Any]


@dataclass(frozen=True)
class Question:
    """What a model is asked: which of the continuations is likeliest, each after its own context.

    One continuation without a gold answer is a last word to be guessed; no continuation is a text to be scored whole.
    """

    contexts: tuple[str, ...]
    continuations: tuple[str, ...] = ()
    choices: tuple[str, ...] = ()
    """The answers as they are written in the file: their lengths normalise scores."""
    gold: int | None = None


@dataclass(frozen=True)
class Task:
    """A file of questions of one kind."""

    name: str
    kind: str
    questions: tuple[Question, ...]


def read_task(asked: str, limit: int | None = None) -> Task:
    """Read `FILE` or `KIND:FILE`, the first `limit` rows of it. Raises ConfigError with file and line."""
    kind, path = _named(asked)
    rows = list(_rows(path, limit))
    if not rows:
        raise ConfigError([f"{path}: there is no row in it"])
    if kind is None:
        kind = _kind_of(path, rows[0][1])
    questions = []
    for number, row in rows:
        try:
            questions.append(_KINDS[kind](row))
        except KeyError as error:
            raise ConfigError([f"{path}:{number}: a row of '{kind}' has {error}; found {_found(row)}"]) from error
        except (ValueError, TypeError, IndexError) as error:
            raise ConfigError([f"{path}:{number}: no row of '{kind}': {error}"]) from error
    return Task(path.name.split(".")[0], kind, tuple(questions))


def _named(asked: str) -> tuple[str | None, Path]:
    """The kind, if one is named, and the file. Raises ConfigError if there is no such kind or file."""
    kind, separator, rest = asked.partition(":")
    if Path(asked).is_file() or not separator:
        named, path = None, Path(asked)
    elif kind in _KINDS:
        named, path = kind, Path(rest)
    else:
        raise ConfigError([f"--task {asked}: there is no kind '{kind}'; {nearest(kind, list(_KINDS))}"])
    if not path.is_file():
        raise ConfigError([f"--task {asked}: there is no file {path}"])
    return named, path


def _rows(path: Path, limit: int | None) -> Iterator[tuple[int, Row]]:
    """The rows of a file with their numbers; a file that is no table is one row with its text."""
    bare = path.with_suffix("") if path.suffix == ".gz" else path
    try:
        if bare.suffix == ".parquet":
            rows: Iterator[tuple[int, Row]] = enumerate(pq.read_table(path).to_pylist(), 1)
        else:
            data = gzip.decompress(path.read_bytes()) if path.suffix == ".gz" else path.read_bytes()
            text = data.decode("utf-8")
            if bare.suffix not in (".jsonl", ".json", ".ndjson"):
                rows = iter([(1, {"text": text})])
            else:
                rows = _objects(path, text)
        for number, row in rows:
            if limit is not None and number > limit:
                return
            yield number, row
    except (OSError, EOFError, UnicodeDecodeError, pa.ArrowException) as error:
        raise ConfigError([f"{path}: cannot be read: {error}"]) from error


def _objects(path: Path, text: str) -> Iterator[tuple[int, Row]]:
    for number, line in enumerate(text.split("\n"), 1):
        if line.strip():
            try:
                row = json.loads(line)
            except ValueError as error:
                raise ConfigError([f"{path}:{number}: no JSON: {error}"]) from error
            if not isinstance(row, dict):
                raise ConfigError([f"{path}:{number}: a JSON object is expected"])
            yield number, row


def _kind_of(path: Path, row: Row) -> str:
    """The kind whose names the row has."""
    for kind, names in _SIGNS:
        if all(name in row for name in names):
            return kind
    raise ConfigError(
        [f"{path}:1: the layout of this file is not known; found {_found(row)}; name its kind, KIND:FILE"]
    )


def _found(row: Row) -> str:
    return ", ".join(sorted(map(str, row))) or "nothing"


def _choice(context: str, choices: list[str], gold: int) -> Question:
    """A question whose answers follow a blank."""
    if not choices or not all(isinstance(choice, str) and choice for choice in choices):
        raise ValueError(f"the answers are {choices!r}, texts are expected")
    if not 0 <= gold < len(choices):
        raise ValueError(f"the right answer is number {gold} of {len(choices)} from 0")
    return Question((context,) * len(choices), tuple(f" {choice}" for choice in choices), tuple(choices), gold)


def _hellaswag(row: Row) -> Question:
    # as the task of the harness: WikiHow's marks go, and the sentence that is to be ended begins with a capital
    context = f"{row['ctx_a']} {row['ctx_b'].capitalize()}" if "ctx_b" in row else str(row["ctx"])
    label = f"{row['activity_label']}: " if "activity_label" in row else ""
    return _choice(_plain(label + context), [_plain(ending) for ending in row["endings"]], int(row["label"]))


def _plain(text: str) -> str:
    """A text of HellaSwag without the marks of WikiHow."""
    text = re.sub(r"\[.*?\]", "", text.strip().replace(" [title]", ". "))
    return text.replace("  ", " ")


def _arc(row: Row) -> Question:
    inner = row["question"] if isinstance(row.get("question"), Mapping) else row
    stem = inner.get("stem", inner.get("question"))
    texts, labels = _labelled(inner["choices"])
    if stem is None:
        raise KeyError("question")
    return _choice(f"Question: {stem}\nAnswer:", texts, labels.index(str(row["answerKey"])))


def _openbookqa(row: Row) -> Question:
    texts, labels = _labelled(row["choices"])
    return _choice(str(row["question_stem"]), texts, labels.index(str(row["answerKey"]).strip()))


def _labelled(choices: Any) -> tuple[list[str], list[str]]:
    """Texts and labels, of two lists or of a list of pairs."""
    if isinstance(choices, Mapping):
        return list(choices["text"]), [str(label) for label in choices["label"]]
    return [choice["text"] for choice in choices], [str(choice["label"]) for choice in choices]


def _piqa(row: Row) -> Question:
    return _choice(f"Question: {row['goal']}\nAnswer:", [row["sol1"], row["sol2"]], int(row["label"]))


def _boolq(row: Row) -> Question:
    answer = row["answer"] if "answer" in row else row["label"]
    return _choice(f"{row['passage']}\nQuestion: {row['question']}?\nAnswer:", ["no", "yes"], int(answer))


def _winogrande(row: Row) -> Question:
    """Partial scoring (Trinh and Le 2018): the same end after each of the names."""
    if "context_options" in row:
        contexts, end, gold = list(row["context_options"]), str(row["continuation"]), int(row["gold"])
        choices = contexts
    else:
        before, after = str(row["sentence"]).split("_")
        choices, end, gold = [row["option1"], row["option2"]], after.strip(), int(row["answer"]) - 1
        contexts = [before + option for option in choices]
    if not 0 <= gold < len(contexts):
        raise ValueError(f"the right answer is number {gold} of {len(contexts)} from 0")
    return Question(tuple(contexts), (f" {end}",) * len(contexts), tuple(choices), gold)


def _choices(row: Row) -> Question:
    """Rows of their own: a context, choices, and the number, the letter or the text of the right one."""
    context = next((row[name] for name in ("query", "context", "ctx", "question", "prompt") if name in row), None)
    if not isinstance(context, str):
        raise KeyError("query")
    if "Question:" in context and "Answer:" not in context:
        context = f"{context.rstrip()}\nAnswer:"  # a question that the harness would end so
    answer = next((row[name] for name in ("gold", "answer", "label", "answerKey") if name in row), None)
    choices = list(row["choices"])
    if answer is None:
        raise KeyError("gold")
    if isinstance(answer, str) and answer in choices:
        return _choice(context, choices, choices.index(answer))
    if isinstance(answer, str) and len(answer) == 1 and answer.isalpha():
        return _choice(context, choices, ord(answer.upper()) - ord("A"))
    return _choice(context, choices, int(answer))


def _last_word(row: Row) -> Question:
    if "continuation" in row:
        return Question((str(row["context"]),), (f" {str(row['continuation']).strip()}",))
    context, _, word = str(row["text"]).strip().rpartition(" ")
    return Question((context,), (f" {word}",))


def _text(row: Row) -> Question:
    if not isinstance(row["text"], str):
        raise ValueError(f"text: {row['text']!r} is no text")
    return Question((row["text"],))


_KINDS = {
    "hellaswag": _hellaswag,
    "arc": _arc,
    "openbookqa": _openbookqa,
    "piqa": _piqa,
    "boolq": _boolq,
    "winogrande": _winogrande,
    "choices": _choices,
    CONTINUATION: _last_word,
    WHOLE: _text,
}
KINDS = tuple(_KINDS)

_SIGNS = (
    ("hellaswag", ("endings", "label")),
    ("openbookqa", ("question_stem", "choices", "answerKey")),
    ("arc", ("question", "choices", "answerKey")),
    ("arc", ("question", "answerKey")),
    ("piqa", ("goal", "sol1", "sol2")),
    ("boolq", ("passage", "question")),
    ("winogrande", ("sentence", "option1", "option2")),
    ("winogrande", ("context_options", "continuation")),
    ("choices", ("choices",)),
    (CONTINUATION, ("context", "continuation")),
    (WHOLE, ("text",)),
)
"""Names by which a layout is known; the first that fits is taken."""
