"""Sentinels as they were published: spellings, the order of tokens, and how a run asks for them."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from pydantic import ValidationError
from tokenizers import Tokenizer as Inner

from pipeline.configfile import ConfigError
from training import fim
from training.config import TokenizerSettings, TrainConfig
from training.fim import Mode
from training.store.tokenizer import Tokenizer, convention

TEXT = "def largest(numbers):\n    return max(numbers)\n"


def with_sentinels(byte_pairs: Path, name: str) -> Tokenizer:
    """The small tokenizer with the special tokens of a convention."""
    inner = Inner.from_file(str(byte_pairs / "tokenizer.json"))
    settings = TokenizerSettings(fim=name)
    inner.add_special_tokens([settings.end])
    return Tokenizer(inner, settings).with_fim()[0]


def shown(tokenizer: Tokenizer, ids: list[int]) -> str:
    """Ids as text, special tokens as the vocabulary has them."""
    special = {i: token.content for i, token in tokenizer.inner.get_added_tokens_decoder().items()}
    parts: list[str] = []
    run: list[int] = []
    for i in [*ids, -1]:
        if i in special or i == -1:
            parts.append(tokenizer.decode(run))
            run = []
            parts.append(special.get(i, ""))
        else:
            run.append(i)
    return "".join(parts)


PUBLISHED = {
    # github.com/bigcode-project/starcoder, and bigcode's Megatron-LM for the second mode
    "starcoder": (
        "<fim_prefix>{prefix}<fim_suffix>{suffix}<fim_middle>{middle}<|endoftext|>",
        "<fim_prefix><fim_suffix>{suffix}<fim_middle>{prefix}{middle}<|endoftext|>",
    ),
    # README of DeepSeek-Coder, "Code Insertion"
    "deepseek": (
        "<｜fim▁begin｜>{prefix}<｜fim▁hole｜>{suffix}<｜fim▁end｜>{middle}<｜end▁of▁sentence｜>",
        "<｜fim▁begin｜><｜fim▁hole｜>{suffix}<｜fim▁end｜>{prefix}{middle}<｜end▁of▁sentence｜>",
    ),
    # README of Qwen2.5-Coder, "File-Level Code Completion (Fill-in-the-middle)"
    "qwen": (
        "<|fim_prefix|>{prefix}<|fim_suffix|>{suffix}<|fim_middle|>{middle}<|endoftext|>",
        "<|fim_prefix|><|fim_suffix|>{suffix}<|fim_middle|>{prefix}{middle}<|endoftext|>",
    ),
    # `infilling_prompt_tokens` of Code Llama's generation.py, both values of `suffix_first`
    "codellama": (
        "▁<PRE>{prefix}▁<SUF>{suffix}▁<MID>{middle}▁<EOT></s>",
        "▁<PRE>▁<SUF>{suffix}▁<MID>{prefix}{middle}▁<EOT></s>",
    ),
}


@pytest.mark.parametrize("name", PUBLISHED)
def test_tokens_stand_in_the_published_order(byte_pairs: Path, name: str) -> None:
    tokenizer = with_sentinels(byte_pairs, name)
    ids = tokenizer.encode(TEXT)
    splits = {(TEXT[:i], TEXT[i:j], TEXT[j:]) for i in range(len(TEXT) + 1) for j in range(i, len(TEXT) + 1)}
    for key in range(30):
        for mode, form in zip((Mode.PSM, Mode.SPM), PUBLISHED[name], strict=True):
            made = fim.rearrange(ids, mode, key, tokenizer, ended=True)
            forms = {form.format(prefix=a, middle=b, suffix=c) for a, b, c in splits}
            assert shown(tokenizer, made.tolist()) in forms
            assert tokenizer.decode(fim.restore(made[:-1], tokenizer)) == TEXT
            assert len(made) <= len(ids) + fim.EXTRA


def test_one_text_in_every_convention_token_by_token(byte_pairs: Path) -> None:
    """Beginning and end of what a trainer sees, by id."""
    for name, (first, second, third, last) in {
        "starcoder": ("<fim_prefix>", "<fim_suffix>", "<fim_middle>", ["<|endoftext|>"]),
        "deepseek": ("<｜fim▁begin｜>", "<｜fim▁hole｜>", "<｜fim▁end｜>", ["<｜end▁of▁sentence｜>"]),
        "codellama": ("▁<PRE>", "▁<SUF>", "▁<MID>", ["▁<EOT>", "</s>"]),
    }.items():
        tokenizer = with_sentinels(byte_pairs, name)
        made = fim.rearrange(tokenizer.encode(TEXT), Mode.PSM, 5, tokenizer, ended=True).tolist()
        control = [tokenizer.inner.id_to_token(i) for i in made if i in tokenizer.inner.get_added_tokens_decoder()]
        assert control == [first, second, third, *last]
        assert made[0] == tokenizer.inner.token_to_id(first) and made[-1] == tokenizer.inner.token_to_id(last[-1])


def test_a_saved_tokenizer_tells_its_convention(tmp_path: Path) -> None:
    assert convention(tmp_path) == "qwen"
    for name in PUBLISHED:
        Tokenizer.train([TEXT], TokenizerSettings(fim=name, vocab_size=400)).save(tmp_path)
        assert convention(tmp_path) == name


def test_names_in_the_config_go_before_those_of_the_convention() -> None:
    settings = TokenizerSettings(fim="starcoder", middle="<hole>")
    assert (settings.end, settings.prefix, settings.middle) == ("<|endoftext|>", "<fim_prefix>", "<hole>")
    assert TokenizerSettings.model_validate(settings.model_dump()) == settings
    assert TokenizerSettings(fim="codellama", filled=None).filled is None
    for wrong in ({"fim": "star"}, {"middle": "<|fim_suffix|>"}, {"fim": ["qwen"]}):
        with pytest.raises(ValidationError, match=r"Input should be 'qwen'|two special tokens are called"):
            TokenizerSettings.model_validate(wrong)


def test_a_store_is_made_with_the_sentinels_that_the_config_asks_for(stored: Callable[..., Any]) -> None:
    config, store = stored({"code": [TEXT] * 3}, tokenizer={"fim": "codellama", "vocab_size": 400}, fim={"code": {}})
    tokenizer = store.tokenizer
    assert tokenizer.inner.id_to_token(tokenizer.prefix) == "▁<PRE>" and tokenizer.has_fim
    assert tokenizer.inner.id_to_token(int(tokenizer.filled)) == "▁<EOT>"
    assert int(store.train[0].ids(0)[-1]) == tokenizer.inner.token_to_id("</s>")


def test_parts_that_draw_for_themselves_need_a_packing_that_knows_them() -> None:
    asked = {"data": "run", "steps": 3, "fim": {"code": {"level": "context", "cuts": "lines"}}}
    with pytest.raises(ValidationError, match=r"fim\.code\.level: context needs 'packing: best_fit' or 'buckets'"):
        TrainConfig.model_validate(asked)
    assert TrainConfig.model_validate({**asked, "packing": "buckets"}).fim["code"].level == "context"


def test_a_tokenizer_whose_bytes_are_not_known_is_refused(byte_pairs: Path) -> None:
    from tokenizers import decoders

    inner = Inner.from_file(str(byte_pairs / "tokenizer.json"))
    inner.decoder = decoders.Fuse()
    with pytest.raises(ConfigError, match="bytes of its tokens are not known"):
        Tokenizer(inner, TokenizerSettings()).with_fim()
