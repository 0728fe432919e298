"""Tokenizers, trained here and real ones: texts come back, text is never control, transformers reads what was saved."""

import json
from collections.abc import Callable
from pathlib import Path

import pytest
import tokenizers
from hypothesis import given
from hypothesis import strategies as st
from tokenizers import decoders, models, normalizers, pre_tokenizers

from pipeline.configfile import ConfigError
from training.config import TokenizerSettings
from training.store.tokenizer import Tokenizer

SETTINGS = TokenizerSettings(vocab_size=600)
SPECIAL = (SETTINGS.end, SETTINGS.prefix, SETTINGS.middle, SETTINGS.suffix)
TEXTS = ["def add(a, b):\n    return a + b\n" * 20, "Zwölf Boxkämpfer jagen Viktor quer über den Sylter Deich. " * 20]
HARD = ["", " ", "\r\n\t\x00", "a\u0301 ｱ 𝔘𝔫𝔦", "👩‍🔬" * 50, "\ufffd", "".join(SPECIAL), "  " * 300, "1234567890" * 9]


def bare() -> tokenizers.Tokenizer:
    """A byte-level tokenizer without any special token."""
    inner = tokenizers.Tokenizer(
        models.BPE({c: i for i, c in enumerate(sorted(pre_tokenizers.ByteLevel.alphabet()))}, [])
    )
    inner.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    inner.decoder = decoders.ByteLevel()
    return inner


def test_training_is_deterministic_and_has_all_special_tokens() -> None:
    first, second = (Tokenizer.train(TEXTS, SETTINGS) for _ in range(2))
    assert first.inner.to_str() == second.inner.to_str()
    assert 260 < first.vocab_size <= 600
    assert first.has_fim and len({first.end, first.prefix, first.middle, first.suffix}) == 4


@given(st.text())
def test_any_text_comes_back_and_is_never_control(byte_pairs: Path, text: str) -> None:
    tokenizer = Tokenizer.load(byte_pairs, SETTINGS)
    for case in (text, text.join(SPECIAL)):
        ids = tokenizer.encode(case)
        assert tokenizer.decode(ids) == case
        assert not {tokenizer.end, tokenizer.prefix, tokenizer.middle, tokenizer.suffix} & set(ids)


def test_a_batch_is_what_its_texts_are_one_by_one(byte_pairs: Path) -> None:
    tokenizer = Tokenizer.load(byte_pairs, SETTINGS)
    assert tokenizer.encode_batch(HARD) == [tokenizer.encode(text) for text in HARD]


@pytest.mark.parametrize("name", ["gpt2", "allenai_dolma2", "allenai_gpt-neox-olmo-dolma-v1_5"])
def test_real_tokenizers_give_texts_back(name: str, test_data: Callable[[str], Path], tmp_path: Path) -> None:
    folder = test_data("H-tokenizers")
    if name == "gpt2":
        inner = tokenizers.Tokenizer(
            models.BPE.from_file(str(folder / "gpt2/encoder.json"), str(folder / "gpt2/vocab.bpe"))
        )
        inner.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
        inner.decoder = decoders.ByteLevel()
        path = tmp_path / "gpt2.json"
        inner.save(str(path))
        assert Tokenizer.load(path, SETTINGS).encode("Hello world") == [15496, 995]  # OpenAI's own example
    else:
        path = folder / "olmo" / f"{name}.json"
    before = Tokenizer.load(path, SETTINGS)
    tokenizer, added = before.with_fim()
    assert added == (0 if before.has_fim else 3)
    assert tokenizer.vocab_size == before.vocab_size + added
    source = Path(__file__).read_text(encoding="utf-8")
    for text in (*TEXTS, *HARD, source):
        ids = tokenizer.encode(text)
        expected = tokenizer.inner.normalizer.normalize_str(text) if tokenizer.inner.normalizer else text
        assert tokenizer.decode(ids) == expected
        assert ids == before.encode(text)  # sentinels that were added change no text
        assert not {tokenizer.end, tokenizer.prefix, tokenizer.middle, tokenizer.suffix} & set(ids)


def test_transformers_reads_what_was_saved(tmp_path: Path) -> None:
    transformers = pytest.importorskip("transformers", reason="the peer of this test")
    tokenizer = Tokenizer.train(TEXTS, SETTINGS)
    tokenizer.save(tmp_path)
    peer = transformers.AutoTokenizer.from_pretrained(tmp_path)
    for text in TEXTS:
        assert peer(text, add_special_tokens=False)["input_ids"] == tokenizer.encode(text)
    assert peer.eos_token_id == tokenizer.end
    assert peer.convert_tokens_to_ids(SETTINGS.prefix) == tokenizer.prefix


def test_keys_of_a_loaded_tokenizer_config_are_kept(tmp_path: Path, byte_pairs: Path) -> None:
    for file in byte_pairs.iterdir():
        (tmp_path / file.name).write_bytes(file.read_bytes())
    (tmp_path / "tokenizer_config.json").write_text(json.dumps({"model_max_length": 8192, "eos_token": "other"}))
    Tokenizer.load(tmp_path, SETTINGS).save(tmp_path / "again")
    config = json.loads((tmp_path / "again" / "tokenizer_config.json").read_text())
    assert (config["model_max_length"], config["eos_token"]) == (8192, SETTINGS.end)


def test_sentinels_that_count_as_text_become_control(tmp_path: Path) -> None:
    inner = bare()
    inner.add_tokens(list(SPECIAL))  # as dolma2 has them
    inner.save(str(tmp_path / "tokenizer.json"))
    tokenizer = Tokenizer.load(tmp_path, SETTINGS)
    assert tokenizer.with_fim() == (tokenizer, 0)
    assert tokenizer.prefix not in tokenizer.encode("x <|fim_prefix|> y")


def test_missing_special_tokens(tmp_path: Path) -> None:
    inner = bare()
    inner.add_special_tokens(["<|endoftexts|>"])
    inner.save(str(tmp_path / "tokenizer.json"))
    with pytest.raises(ConfigError, match=r"tokenizer.end: .* did you mean '<\|endoftexts\|>'"):
        Tokenizer.load(tmp_path, SETTINGS)
    tokenizer = Tokenizer.load(tmp_path, TokenizerSettings(end="<|endoftexts|>"))
    assert not tokenizer.has_fim
    with pytest.raises(ValueError, match="no token '<|fim_suffix|>'"):
        _ = tokenizer.suffix
    wider, added = tokenizer.with_fim()
    assert (added, wider.prefix, wider.vocab_size) == (3, 257, 260)


def test_a_tokenizer_that_loses_text_is_refused(tmp_path: Path) -> None:
    inner = bare()
    inner.normalizer = normalizers.Lowercase()
    inner.pre_tokenizer = pre_tokenizers.Sequence([pre_tokenizers.WhitespaceSplit(), inner.pre_tokenizer])
    inner.add_special_tokens([SETTINGS.end])
    inner.save(str(tmp_path / "tokenizer.json"))
    with pytest.raises(ConfigError, match="does not give texts back"):
        Tokenizer.load(tmp_path, SETTINGS)


@pytest.mark.parametrize("content", ["{", "{}", "[]", "\xff"])
def test_what_is_no_tokenizer_is_said_to_be_none(content: str, tmp_path: Path) -> None:
    (tmp_path / "tokenizer.json").write_bytes(content.encode("latin-1"))
    with pytest.raises(ConfigError, match="not a tokenizer"):
        Tokenizer.load(tmp_path, SETTINGS)
    with pytest.raises(ConfigError, match="No such file"):
        Tokenizer.load(tmp_path / "nowhere", SETTINGS)
