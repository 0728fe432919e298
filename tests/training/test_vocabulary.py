"""Texts are divided only where a tokenizer divides words whatever else there is: against tokenising all anew."""

import gzip
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import tokenizers
from hypothesis import given
from hypothesis import strategies as st
from tokenizers import AddedToken, Regex, decoders, models, normalizers, pre_tokenizers, trainers

from training import fim
from training.config import TokenizerSettings
from training.fim import Mode
from training.store.tokenizer import Tokenizer
from training.store.vocabulary import Vocabulary

O200K = (  # the split of GPT-4o's o200k_base (OpenAI tiktoken)
    r"[^\r\n\p{L}\p{N}]?[\p{Lu}\p{Lt}\p{Lm}\p{Lo}\p{M}]*[\p{Ll}\p{Lm}\p{Lo}\p{M}]+(?i:'s|'t|'re|'ve|'m|'ll|'d)?"
    r"|[^\r\n\p{L}\p{N}]?[\p{Lu}\p{Lt}\p{Lm}\p{Lo}\p{M}]+[\p{Ll}\p{Lm}\p{Lo}\p{M}]*(?i:'s|'t|'re|'ve|'m|'ll|'d)?"
    r"|\p{N}{1,3}| ?[^\s\p{L}\p{N}]+[\r\n/]*|\s*[\r\n]+|\s+(?!\S)|\s+"
)
SPLITS: dict[str, Any] = {
    "none": None,
    "gpt2": pre_tokenizers.ByteLevel(add_prefix_space=False),
    "starcoder": pre_tokenizers.Sequence(
        [pre_tokenizers.Digits(individual_digits=True), pre_tokenizers.ByteLevel(add_prefix_space=False)]
    ),
    "o200k": pre_tokenizers.Sequence(
        [pre_tokenizers.Split(Regex(O200K), "isolated"), pre_tokenizers.ByteLevel(False, use_regex=False)]
    ),
    "deepseek": pre_tokenizers.Sequence(
        [
            *(
                pre_tokenizers.Split(Regex(split), "isolated")
                for split in (r"[\r\n]", r"\s?\p{L}+", r"\s?\p{P}+", r"[一-龥ࠀ-一가-퟿]+")
            ),
            pre_tokenizers.Digits(individual_digits=True),
            pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=False),
        ]
    ),
    "lines": pre_tokenizers.Sequence(  # words that go over spaces
        [pre_tokenizers.Split("\n", "isolated"), pre_tokenizers.ByteLevel(False, use_regex=False)]
    ),
}
SAMPLES = st.sampled_from(
    ["def f(a):", "\n", "\n\n", "  ", " ", "\t", "return x", "12", "3456", "'s", "don't", "don", "A", "bC", "==", " =",
     ").", "]", "日本", "中", "é", "\u0301", "🙂", "_", "/", "\r\n", "。", " ,", "=\" \""]
)  # fmt: skip


def trained(split: Any) -> Tokenizer:
    """A vocabulary with the longest merges that its words allow."""
    inner = tokenizers.Tokenizer(models.BPE())
    if split is not None:
        inner.pre_tokenizer = split
    inner.decoder = decoders.ByteLevel()
    if split is None:
        inner.normalizer = normalizers.ByteLevel()
    special = list(TokenizerSettings().model_dump(include={"end", "prefix", "middle", "suffix"}).values())
    trainer = trainers.BpeTrainer(
        vocab_size=900,
        special_tokens=special,
        initial_alphabet=pre_tokenizers.ByteLevel.alphabet(),
        show_progress=False,
    )
    text = Path(__file__).read_text(encoding="utf-8")
    inner.train_from_iterator([text, "don't 12 3456 == 日本。中 " * 50], trainer)
    return Tokenizer(inner, TokenizerSettings())


@pytest.fixture(scope="module")
def made() -> dict[str, Tokenizer]:
    return {name: trained(split) for name, split in SPLITS.items()}


def parts_of(ids: np.ndarray, tokenizer: Tokenizer) -> list[list[int]]:
    made = ids.tolist()
    suffix, middle = made.index(tokenizer.suffix), made.index(tokenizer.middle)
    return [made[1:suffix], made[middle + 1 :], made[suffix + 1 : middle]]


@given(st.lists(SAMPLES, min_size=12, max_size=50).map("".join), st.integers(0, 2**64 - 1), st.sampled_from([*SPLITS]))
def test_parts_have_the_tokens_that_they_have_alone(made: dict[str, Tokenizer], text: str, key: int, name: str) -> None:
    tokenizer = made[name]
    ids = tokenizer.encode(text)
    found = fim.rearrange(ids, Mode.PSM, key, tokenizer)
    parts = parts_of(found, tokenizer)
    assert tokenizer.decode(fim.restore(found, tokenizer)) == text
    alone = tokenizer.encode_batch([tokenizer.decode(part) for part in parts])
    assert parts == alone or fim.restore(found, tokenizer) == ids  # the last resort: cuts between tokens


def test_where_words_are_not_divided_nothing_is_taken_over(made: dict[str, Tokenizer]) -> None:
    opens = {name: int(np.count_nonzero(tokenizer.vocabulary.opens)) for name, tokenizer in made.items()}
    assert opens["none"] == 0
    assert opens["lines"] > 0  # before a line's end
    spaced = {name: tokenizer.vocabulary.opens[tokenizer.inner.token_to_id("Ġ")] for name, tokenizer in made.items()}
    assert spaced["lines"] == 0 and spaced["gpt2"] == spaced["starcoder"] == spaced["o200k"] == 7
    assert spaced["deepseek"] & 1  # letters before a space; signs only if they are punctuation


def test_tokens_that_were_added_can_span_what_else_divides(made: dict[str, Tokenizer]) -> None:
    inner = tokenizers.Tokenizer.from_str(made["gpt2"].inner.to_str())
    inner.add_tokens([AddedToken(text, special=False, normalized=False) for text in ("return x", "x from y")])
    tokenizer = Tokenizer(inner, TokenizerSettings())
    text = "    return x from y  # return x\n" * 4  # cut behind the first `return`, it has the other token
    for key in range(80):
        found = fim.rearrange(tokenizer.encode(text), Mode.PSM, key, tokenizer)
        parts = parts_of(found, tokenizer)
        alone = tokenizer.encode_batch([tokenizer.decode(part) for part in parts])
        assert parts == alone or fim.restore(found, tokenizer) == tokenizer.encode(text)


def test_bytes_of_tokens_are_those_of_texts(made: dict[str, Tokenizer]) -> None:
    vocabulary = made["gpt2"].vocabulary
    for token in range(made["gpt2"].vocab_size):
        spelled = vocabulary.spelling[vocabulary.starts[token] : vocabulary.starts[token + 1]].tobytes()
        assert spelled.decode("utf-8", "replace") == made["gpt2"].decode([token])


def sentence_piece() -> Tokenizer:
    """A tokenizer as Llama 2 and Code Llama have: no words, a space before every text, single bytes."""
    base = tokenizers.Tokenizer(models.BPE())
    ahead = normalizers.Sequence([normalizers.Prepend("▁"), normalizers.Replace(" ", "▁")])
    base.normalizer = ahead
    trainer = trainers.BpeTrainer(vocab_size=400, show_progress=False, special_tokens=["<unk>"])
    base.train_from_iterator(["def f(a):\n    return a\n", "the cat sat on the mat " * 9, "☺"], trainer)
    model = json.loads(base.to_str())["model"]
    vocabulary = dict(model["vocab"])
    for byte in range(256):
        vocabulary[f"<0x{byte:02X}>"] = len(vocabulary)
    merges = [tuple(merge) for merge in model["merges"]]
    inner = tokenizers.Tokenizer(models.BPE(vocabulary, merges, unk_token="<unk>", byte_fallback=True, fuse_unk=True))
    inner.normalizer = ahead
    inner.decoder = decoders.Sequence(
        [decoders.Replace("▁", " "), decoders.ByteFallback(), decoders.Fuse(), decoders.Strip(" ", 1, 0)]
    )
    settings = TokenizerSettings(fim="codellama")
    inner.add_special_tokens([settings.end])
    return Tokenizer(inner, settings).with_fim()[0]


def test_vocabularies_of_sentence_piece_get_no_space_within_a_text() -> None:
    tokenizer = sentence_piece()
    text = "def f(the):\n    return the cat 🙂 sat\n" * 2
    ids = tokenizer.encode(text)
    inside = 0
    for key in range(60):
        for mode in (Mode.PSM, Mode.SPM):
            found = fim.rearrange(ids, mode, key, tokenizer)
            assert tokenizer.decode(fim.restore(found, tokenizer)) == text
            inside += fim.restore(found, tokenizer) != ids
    assert inside > 60  # cut within tokens, and yet with the same bytes
    assert tokenizer.encode_inside("the cat") == tokenizer.encode("☺the cat")[len(tokenizer.encode("☺")) :]
    assert tokenizer.decode(tokenizer.encode("☺") + tokenizer.encode_inside("sat on")) == "☺sat on"


@pytest.mark.parametrize("name", ["gpt2", "allenai_dolma2", "allenai_gpt-neox-olmo-dolma-v1_5"])
def test_real_tokenizers_on_real_texts(name: str, test_data: Callable[[str], Path]) -> None:
    folder = test_data("H-tokenizers")
    if name == "gpt2":
        inner = tokenizers.Tokenizer(
            models.BPE.from_file(str(folder / "gpt2/encoder.json"), str(folder / "gpt2/vocab.bpe"))
        )
        inner.pre_tokenizer, inner.decoder = SPLITS["gpt2"], decoders.ByteLevel()
    else:
        inner = tokenizers.Tokenizer.from_file(str(folder / "olmo" / f"{name}.json"))
    tokenizer, _ = Tokenizer(inner, TokenizerSettings()).with_fim()
    exact = cuts = 0
    for file in sorted(test_data("READY-jsonl").glob("*.jsonl.gz")):
        with gzip.open(file) as lines:
            texts = [json.loads(next(lines))["text"][:5000] for _ in range(6)]
        for i, text in enumerate(texts):
            ids = np.array(tokenizer.encode(text), np.uint32)
            found = fim.rearrange(ids, Mode.PSM, i, tokenizer)
            parts = parts_of(found, tokenizer)
            exact += parts == tokenizer.encode_batch([tokenizer.decode(part) for part in parts])
            cuts += 1
            whole = tokenizer.decode(ids.tolist())
            assert tokenizer.decode(fim.restore(found, tokenizer)) == whole
    assert exact == cuts == 30


def test_a_vocabulary_forgets_what_it_tokenised() -> None:
    vocabulary = Vocabulary(trained(SPLITS["gpt2"]).inner)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("training.store.vocabulary._MEMORY", 3)
        for number in range(20):
            assert vocabulary.ids(str(number).encode()) is not None
            assert len(vocabulary._memory) <= 3
