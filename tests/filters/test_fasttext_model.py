"""Compiled inference against the fastText library, over models of every kind that it trains, and over damaged files."""

import random
import re
import struct
import threading
import tracemalloc
from collections.abc import Callable, Sequence
from functools import cache
from pathlib import Path
from typing import Any, NamedTuple

import fasttext
import numpy as np
import polars as pl
import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from filters.assets import AssetError
from filters.fasttext_model import Model, open_model
from filters.words import buffers

CLOSE = 1e-4
STEP = 1 / 128
"""How far apart neighbours in fastText's table of the sigmoid can be."""

SYLLABLES = ("ba be bi bo do du fa", "ka ke kl kn os ra", "да де ди ж щи ой", "日 本 語 中 文 あ", "é ñ ßa 𝒳 öl")


class Kind(NamedTuple):
    """How a model is trained, and then quantised, if it is."""

    loss: str
    word_ngrams: int = 1
    minn: int = 0
    maxn: int = 0
    dim: int = 8
    labels: int = 5
    quantised: tuple[tuple[str, Any], ...] | None = None
    """Options of `quantize`."""

    @property
    def name(self) -> str:
        more = "".join(f"-{key}{value}" for key, value in self.quantised or ())
        shape = f"{self.loss}-words{self.word_ngrams}-chars{self.minn}{self.maxn}-dim{self.dim}-labels{self.labels}"
        return f"{shape}{'' if self.quantised is None else '-quantised'}{more}"


def options(**given: Any) -> tuple[tuple[str, Any], ...]:
    return tuple(given.items())


DENSE = Kind("softmax", 2, 2, 4)
TREE = Kind("hs", 2, 2, 4)
PRUNED = Kind("hs", 2, 2, 4, quantised=options(qnorm=True, cutoff=600, retrain=True))
SMALLEST = Kind("hs", 1, 2, 3, dim=9, labels=300, quantised=options(qout=True, dsub=4, cutoff=900))

KINDS = [
    *(
        Kind(loss, word_ngrams, *chars)
        for loss in ("hs", "softmax", "ns", "ova")
        for word_ngrams in (1, 2)
        for chars in ((0, 0), (2, 4))
    ),
    Kind("softmax", 3, 1, 3, dim=1),
    Kind("hs", 4, 3, 9, dim=33, labels=2),
    Kind("softmax", labels=1),
    Kind("hs", minn=2, maxn=3, labels=1),
    *(
        Kind(loss, 2, 2, 4, quantised=options(qnorm=qnorm, cutoff=cutoff, retrain=retrain))
        for loss, qnorm, cutoff, retrain in (
            ("hs", False, 0, False),
            ("softmax", True, 0, False),
            ("softmax", False, 600, False),
            ("ns", True, 600, True),
            ("ova", False, 600, False),
        )
    ),
    Kind("softmax", 1, 2, 3, dim=7, quantised=options(dsub=2, qnorm=True)),
    Kind("hs", 1, 2, 3, dim=10, quantised=options(dsub=3, cutoff=500)),
    Kind("hs", 2, 0, 0, quantised=options(cutoff=300)),
    Kind("softmax", 1, 2, 3, labels=300, quantised=options(qout=True, qnorm=True)),
    PRUNED,
    SMALLEST,
]


def sentence(chance: random.Random, label: int) -> str:
    syllables = SYLLABLES[label % 5].split()
    words = ["".join(chance.choices(syllables, k=chance.randint(1, 4))) for _ in range(chance.randint(1, 12))]
    return " ".join([*words, *([f"only{label}"] if chance.random() < 0.5 else [])])


@pytest.fixture(scope="session")
def trained(tmp_path_factory: pytest.TempPathFactory) -> Callable[[Kind], Path]:
    """Train a model of a kind, once."""
    folder = tmp_path_factory.mktemp("models")

    @cache
    def train(kind: Kind) -> Path:
        chance = random.Random(kind.labels)
        text = folder / f"{kind.labels}.txt"
        rows = [label for label in range(kind.labels) for _ in range(2000 // kind.labels + label % 7)]
        chance.shuffle(rows)
        text.write_text("".join(f"__label__{label} {sentence(chance, label)}\n" for label in rows), encoding="utf-8")
        model = fasttext.train_supervised(
            str(text),
            loss=kind.loss,
            wordNgrams=kind.word_ngrams,
            minn=kind.minn,
            maxn=kind.maxn,
            dim=kind.dim,
            bucket=3001,
            epoch=3,
            lr=0.5,
            thread=1,
            verbose=0,
        )
        if kind.quantised is not None:
            chosen = dict(kind.quantised)
            if chosen.get("retrain"):
                chosen |= {"input": str(text), "epoch": 1, "thread": 1, "verbose": 0}
            model.quantize(**chosen)
        path = folder / f"{kind.name}.bin"
        model.save_model(str(path))
        return path

    return train


def ask(model: Model, texts: Sequence[str], k: int) -> tuple[Any, Any]:
    data, offsets = buffers(pl.Series(texts, dtype=pl.String))
    spans = np.stack([offsets[:-1], offsets[1:]], axis=1)
    return model.predict(data, spans, np.arange(len(offsets)), k)


def wordless(text: str, labels: Sequence[str]) -> bool:
    """Whether fastText would judge by the end of the text alone."""
    tokens = [token for token in re.split("[\0\t\n\x0b\x0c\r ]+", text) if token]
    tokens = tokens[: tokens.index("</s>")] if "</s>" in tokens else tokens
    return all(token.startswith("__label__") for token in tokens)


def disagreements(model: Model, library: Any, texts: Sequence[str]) -> list[float]:
    """Differences of all probabilities; that the likeliest labels are the same is asserted."""
    lines = [text.replace("\n", " ") for text in texts]
    expected = [dict(zip(*answer, strict=True)) for answer in zip(*library.predict(lines, k=-1), strict=True)]
    best, scores = ask(model, texts, len(model.labels))
    fewer = min(2, len(model.labels))
    assert ask(model, texts, fewer)[0].tolist() == best[:, :fewer].tolist()
    found = []
    for text, theirs, labels, probabilities in zip(texts, expected, best.tolist(), scores.tolist(), strict=True):
        if wordless(text, model.labels):
            assert set(labels) == {-1} and set(probabilities) == {0.0}
            continue
        if not theirs:  # no row at all
            assert set(labels) == {-1}
            continue
        assert sorted(labels) == list(range(len(labels)))
        order = [(-probability, label) for probability, label in zip(probabilities, labels, strict=False)]
        assert order == sorted(order)  # of equally likely labels the first in the file comes first
        assert probabilities[-1] == probabilities[0]  # every label is wanted
        ours = {f"__label__{model.labels[label]}": probabilities[i] for i, label in enumerate(labels)}
        first, likeliest = f"__label__{model.labels[labels[0]]}", max(theirs, key=lambda label: theirs[label])
        assert first == likeliest or theirs.get(first, 0) >= theirs[likeliest] - 1e-6
        found += [abs(probability - theirs.get(label, 0.0)) for label, probability in ours.items()]
    return found


def texts_for(kind: Kind) -> list[str]:
    chance = random.Random(1)
    known = [sentence(chance, label) for label in range(kind.labels) for _ in range(300 // kind.labels + 1)]
    mixed = [" ".join(chance.sample(known, 3)) for _ in range(30)]
    return [
        *known,
        *mixed,
        "",
        " \t\0",
        "unknown words alone",
        "ba\tbe\x0bbi\x0cbo\rdo\0du\nfa",
        "__label__1 ba be __label__2 __label__none bi",
        "__label__1",
        "ba be </s> да де",
        "</s> да де",
        "<ba> ba< >ba ba> <",
        "\u2028 \u00a0ba\u3000be \x85",
        "x",
        "日",
        "ba" * 3000,
        "日本𝒳" * 3000,
        " ".join(known),
    ]


@pytest.mark.parametrize("kind", KINDS, ids=lambda kind: kind.name)
def test_every_kind_of_model_gives_the_librarys_answers(trained: Callable[[Kind], Path], kind: Kind) -> None:
    path = trained(kind)
    library = fasttext.load_model(str(path))
    model = Model(path)
    assert [f"__label__{label}" for label in model.labels] == library.get_labels()
    assert library.is_quantized() == (kind.quantised is not None)
    differences = disagreements(model, library, texts_for(kind))
    assert len(differences) > 300
    if kind.loss in ("ns", "ova"):  # a sum near the border of two entries of a table may fall to either side
        assert max(differences) <= STEP
        assert sum(difference > CLOSE for difference in differences) <= 0.001 * len(differences)
    else:
        assert max(differences) <= CLOSE


WORDS = [
    "</s>",
    "__label__1",
    "__label__",
    "__label__new",
    "<",
    ">",
    "\0",
    "\x0b",
    "\x85",
    "ba",
    "kake",
    "日本",
    "𝒳",
    "only1",
]


@given(
    st.lists(
        st.one_of(st.text(max_size=40), st.lists(st.one_of(st.sampled_from(WORDS), st.text(max_size=5))).map(" ".join)),
        max_size=3,
    )
)
@example(["ba </s>", "</s>", "__label__1", "\n", "ba\nka", "\x00\x00ba\x00"])
def test_any_text_gets_the_librarys_answers(trained: Callable[[Kind], Path], texts: list[str]) -> None:
    for kind in (DENSE, Kind("hs", 4, 3, 9, dim=33, labels=2), PRUNED, SMALLEST):
        path = trained(kind)
        assert max(disagreements(open_model(str(path)), _library(path), texts), default=0.0) <= CLOSE


@cache
def _library(path: Path) -> Any:
    return fasttext.load_model(str(path))


def test_sentences_of_all_languages(lid_model: Path, test_data: Callable[[str], Path]) -> None:
    library, model = _library(lid_model), open_model(str(lid_model))
    for file in sorted((test_data("C-lingua-testdata") / "sentences").glob("*.txt")):
        texts = [line for line in file.read_text(encoding="utf-8").splitlines() if line.strip()]
        labels, scores = ask(model, texts, 2)
        expected, probabilities = library.predict(texts, k=2)
        assert [model.labels[label] for label in labels[:, 0]] == [found[0][len("__label__") :] for found in expected]
        for got, wanted in zip(scores.tolist(), probabilities, strict=True):
            assert got[: len(wanted)] == pytest.approx(wanted, abs=CLOSE)


@given(st.lists(st.text(max_size=200), max_size=4))
def test_any_text_gets_the_language_that_the_library_says(lid_model: Path, texts: list[str]) -> None:
    differences = disagreements(open_model(str(lid_model)), _library(lid_model), texts)
    assert max(differences, default=0.0) <= CLOSE


def test_every_machine_finds_the_same_bits(lid_model: Path) -> None:
    texts = ["This is an English sentence.", "Dies ist ein deutscher Satz.", "日本語の文です。", "x y z"]
    _, scores = ask(open_model(str(lid_model)), texts, 1)
    bits = ["0x1.da561b8c129f6p-1", "0x1.00021d1629df1p+0", "0x1.fff0c13663b27p-1", "0x1.cdbe224d6a788p-1"]
    assert [score.hex() for score in scores[:, 0].tolist()] == bits


def test_answers_do_not_depend_on_what_was_asked_before(trained: Callable[[Kind], Path]) -> None:
    chance = random.Random(2)
    texts = [sentence(chance, label) for label in range(5) for _ in range(50)]
    texts += [" ".join(f"w{chance.randrange(10**6)}" for _ in range(500)) for _ in range(100)]  # more than is kept
    for kind in (DENSE, PRUNED):
        path = trained(kind)
        one = ask(Model(path), texts, 3)
        model = Model(path)
        order = chance.sample(range(len(texts)), len(texts))
        for i in order:
            labels, scores = ask(model, [texts[i]], 3)
            assert labels[0].tolist() == one[0][i].tolist() and scores[0].tolist() == one[1][i].tolist()


def test_threads_share_a_model(trained: Callable[[Kind], Path]) -> None:
    path = trained(Kind("hs", 1, 2, 4))
    chance = random.Random(3)
    batches = [[" ".join("".join(chance.choices("abdeko", k=900)) for _ in range(5))] * 4 for _ in range(100)]
    expected = [ask(Model(path), batch, 2)[1].tolist() for batch in batches]
    model = Model(path)
    start = threading.Barrier(4)
    wrong: list[int] = []

    def work() -> None:
        start.wait()
        for number, batch in enumerate(batches):
            if ask(model, batch, 2)[1].tolist() != expected[number]:
                wrong.append(number)

    threads = [threading.Thread(target=work) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert not wrong


def test_pieces_are_one_text_and_wanted_labels_have_their_probability(trained: Callable[[Kind], Path]) -> None:
    model = Model(trained(DENSE))
    data = np.frombuffer(b"ba be kake kl?? do du ra os", np.uint8)
    whole = np.array([[0, 13], [16, 27]])
    together = model.predict(data, whole, np.array([0, 2]), 5)
    assert together[1].tolist() == ask(model, ["ba be kake kl do du ra os"], 5)[1].tolist()
    places = {label: place for place, label in enumerate(together[0][0].tolist())}
    for label in range(5):
        wanted = np.zeros(5, np.uint8)
        wanted[label] = 1
        _, scores = model.predict(data, whole, np.array([0, 2]), 1, wanted)
        assert scores.tolist() == [[together[1][0, 0], together[1][0, places[label]]]]
    labels, scores = model.predict(data, whole, np.array([0, 2]), 7)  # more than there are
    assert labels[0, 5:].tolist() == [-1, -1] and scores[0, 5:7].tolist() == [0, 0]


def test_a_large_model_stays_in_its_file(tmp_path: Path) -> None:
    text = tmp_path / "text.txt"
    text.write_text("__label__a some words\n__label__b other words\n" * 10)
    model = fasttext.train_supervised(str(text), dim=64, bucket=200_000, minn=2, maxn=3, epoch=1, thread=1, verbose=0)
    model.save_model(str(tmp_path / "large.bin"))
    assert (tmp_path / "large.bin").stat().st_size > 50e6
    Model(tmp_path / "large.bin")  # what is compiled, or loaded as such, is there from now on
    tracemalloc.start()
    ours = Model(tmp_path / "large.bin")
    ask(ours, ["some words"], 1)
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert peak < 25e6


def test_models_of_the_former_format_have_no_character_ngrams(trained: Callable[[Kind], Path], tmp_path: Path) -> None:
    kind = DENSE
    data = bytearray(trained(kind).read_bytes())
    data[4:8] = struct.pack("<i", 11)
    path = tmp_path / "former.bin"
    path.write_bytes(data)
    assert max(disagreements(Model(path), fasttext.load_model(str(path)), texts_for(kind))) <= CLOSE


HEADER = {"version": 4, "dim": 8, "word_ngrams": 28, "loss": 32, "model": 36, "bucket": 40}


@pytest.mark.parametrize(
    ("field", "value", "reason"),
    [
        ("version", 13, "format 13 is not known"),
        ("dim", -1, "out of range"),
        ("dim", 9, "instead of 9"),
        ("word_ngrams", 10**6, "out of range"),
        ("loss", 5, "unknown loss 5"),
        ("loss", 0, "unknown loss 0"),
        ("model", 2, "without labels"),
        ("bucket", 0, "no room"),
        ("bucket", 3002, "needs"),
    ],
)
def test_a_header_that_says_what_cannot_be(
    trained: Callable[[Kind], Path], tmp_path: Path, field: str, value: int, reason: str
) -> None:
    data = bytearray(trained(DENSE).read_bytes())
    data[HEADER[field] : HEADER[field] + 4] = struct.pack("<i", value)
    path = tmp_path / "wrong.bin"
    path.write_bytes(data)
    with pytest.raises(AssetError, match=rf"wrong\.bin is not a sound supervised fastText model: .*{reason}"):
        Model(path)


def test_files_that_are_no_supervised_models(tmp_path: Path) -> None:
    text = tmp_path / "text.txt"
    text.write_text("some words and other words\n" * 50)
    fasttext.train_unsupervised(str(text), dim=4, minCount=1, epoch=1, thread=1, verbose=0, bucket=100).save_model(
        str(tmp_path / "vectors.bin")
    )
    (tmp_path / "empty.bin").write_bytes(b"")
    for name, reason in (
        ("vectors.bin", "without labels"),
        ("text.txt", "does not begin like one"),
        ("empty.bin", "empty"),
        ("missing.bin", "No such file"),
        (".", "directory"),
    ):
        with pytest.raises(AssetError, match=reason) as raised:
            Model(tmp_path / name)
        assert str(tmp_path / name) in str(raised.value)


@pytest.mark.parametrize("kind", [TREE, PRUNED, SMALLEST], ids=lambda kind: kind.name)
def test_truncated_files(trained: Callable[[Kind], Path], tmp_path: Path, kind: Kind) -> None:
    data = trained(kind).read_bytes()
    path = tmp_path / "cut.bin"
    for size in sorted({*range(200), *range(200, len(data), len(data) // 150), *range(len(data) - 50, len(data))}):
        path.write_bytes(data[:size])
        with pytest.raises(AssetError, match=r"cut\.bin"):
            Model(path)


@given(st.sampled_from([TREE, DENSE, PRUNED, SMALLEST]), st.data())
def test_damaged_files_are_errors_or_models(
    trained: Callable[[Kind], Path], tmp_path_factory: pytest.TempPathFactory, kind: Kind, data: st.DataObject
) -> None:
    content = bytearray(trained(kind).read_bytes())
    near = st.one_of(st.integers(0, 400), st.integers(0, len(content) - 1))
    for place, value in data.draw(st.lists(st.tuples(near, st.integers(0, 255)), min_size=1, max_size=4)):
        content[place] = value
    path = tmp_path_factory.getbasetemp() / "damaged.bin"
    path.unlink(missing_ok=True)
    path.write_bytes(content)
    try:
        model = Model(path)
        labels, scores = ask(model, ["ba be kake да 日本語 only1", "", "x" * 50], 3)
    except AssetError as error:
        assert "damaged.bin" in str(error)
        return
    assert labels.max() < len(model.labels) and 0 <= scores.min() and scores.max() < 1.01


def test_weights_that_are_no_numbers(trained: Callable[[Kind], Path], tmp_path: Path) -> None:
    kind = Kind("softmax", 1, 2, 4)
    data = trained(kind).read_bytes()
    library = fasttext.load_model(str(trained(kind)))
    matrices = (library.get_input_matrix(), library.get_output_matrix())
    for matrix in matrices:
        at = data.index(matrix.tobytes())
        path = tmp_path / "nan.bin"
        path.unlink(missing_ok=True)
        path.write_bytes(data[:at] + np.full_like(matrix, np.nan).tobytes() + data[at + matrix.nbytes :])
        with pytest.raises(AssetError, match=r"nan\.bin.*no finite numbers"):
            ask(Model(path), ["ba be"], 1)


def test_labels_of_every_kind(tmp_path: Path) -> None:
    names = ["eng_Latn", "__label__x", "zh-Hans", "日本", "__label"]
    text = tmp_path / "text.txt"
    text.write_text(
        "".join(f"__label__{name} word{i} and more\n" for i, name in enumerate(names)) * 30, encoding="utf-8"
    )
    model = fasttext.train_supervised(str(text), epoch=20, dim=10, lr=1.0, thread=1, verbose=0)
    model.save_model(str(tmp_path / "m.bin"))
    ours = Model(tmp_path / "m.bin")
    assert sorted(ours.labels) == sorted(names)
    best, _ = ask(ours, [f"word{i}" for i in range(5)], 1)
    assert [ours.labels[label] for label in best[:, 0]] == names
