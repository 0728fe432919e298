"""Generation: the cache changes nothing, sampling draws from the distribution that it says."""

from collections import Counter

import pytest
import torch

from training.generate import Completion, Sampling, complete, infill, sample
from training.model import Decoder, Shape, document_mask

SHAPE = Shape(
    vocabulary=64,
    context=48,
    layers=3,
    width=32,
    heads=4,
    kv_heads=2,
    head_dim=8,
    hidden=48,
    rope_theta=10_000.0,
    norm_eps=1e-5,
    tied=True,
)


class Letters:
    """A tokenizer of single characters: a = 0, b = 1, ...; with an end token and sentinels."""

    vocab_size, end, prefix, suffix, middle, filled = 40, 30, 31, 32, 33, None

    def encode(self, text: str) -> list[int]:
        return [ord(letter) - ord("a") for letter in text]

    encode_inside = encode

    def decode(self, ids: list[int]) -> str:
        return "".join(chr(token + ord("a")) for token in ids)


def logits(model: Decoder, tokens: list[int]) -> torch.Tensor:
    inputs = torch.tensor([tokens])
    with torch.no_grad():
        return model.logits(inputs, torch.arange(len(tokens))[None], document_mask(torch.zeros_like(inputs)))[0, -1]


def slow(model: Decoder, prompt: list[int], tokens: int, vocabulary: int = 64) -> list[int]:
    """Greedy, reading everything again for every token."""
    text = list(prompt)
    for _ in range(tokens):
        text.append(int(logits(model, text)[:vocabulary].argmax()))
    return text[len(prompt) :]


@pytest.mark.parametrize("prompt", [[3], [1, 2, 3, 4, 5, 6, 7], list(range(30))], ids=len)
def test_with_cache_equals_without(prompt: list[int]) -> None:
    for seed in range(3):
        model = Decoder.fresh(SHAPE, seed)
        assert list(sample(model, prompt, 18, Sampling())) == slow(model, prompt, 18)


def test_draws_follow_the_softmax_and_top_p_cuts_it() -> None:
    model = Decoder.fresh(SHAPE, 1)
    for temperature, top_p in ((1.0, 1.0), (0.5, 1.0), (1.0, 0.3)):
        expected = torch.softmax(logits(model, [7, 8])[:40] / temperature, 0)
        if top_p < 1:
            values, order = expected.sort(descending=True)
            allowed = order[: int((values.cumsum(0) < top_p).sum()) + 1]
            kept = torch.zeros_like(expected)
            kept[allowed] = expected[allowed]
            expected = kept / kept.sum()
        draws = Counter(
            next(sample(model, [7, 8], 1, Sampling(temperature, top_p, seed), vocabulary=40)) for seed in range(1500)
        )
        observed = torch.tensor([draws[token] / 1500 for token in range(40)])
        assert (observed - expected).abs().max() < 0.04
        assert all(expected[token] > 0 for token in draws)


def test_same_seed_same_text_and_all_tokens_have_a_text() -> None:
    model = Decoder.fresh(SHAPE, 1)
    sampling = Sampling(temperature=2.0, seed=5)
    first, second = (list(sample(model, [1, 2], 40, sampling, vocabulary=40)) for _ in range(2))
    assert first == second and max(first) < 40


@pytest.mark.parametrize(("spm", "prompt"), [(False, [31, 0, 1, 32, 2, 3, 33]), (True, [31, 32, 2, 3, 33, 0, 1])])
def test_a_hole_is_filled_in_the_order_of_training(spm: bool, prompt: list[int]) -> None:
    """`Mode` says how both are laid out."""
    model = Decoder.fresh(SHAPE, 2)
    tokenizer = Letters()
    expected = slow(model, prompt, 5, vocabulary=40)
    ended = expected.index(30) if 30 in expected else 5
    answer = infill(model, tokenizer, "ab", "cd", 5, Sampling(), spm)  # type: ignore[arg-type]
    assert answer == complete(model, tokenizer, "ab<FILL>cd", 5, Sampling(), spm)  # type: ignore[arg-type]
    assert answer.tokens == ended and answer.text == tokenizer.decode(expected[:ended])


def test_generation_says_why_it_ended() -> None:
    tokenizer = Letters()
    model = Decoder.fresh(SHAPE, 2)
    outcomes = set()
    for seed in range(20):
        sampling = Sampling(temperature=1.5, seed=seed)
        answer = complete(model, tokenizer, "abc", 20, sampling)  # type: ignore[arg-type]
        outcomes.add(answer.ended)
        assert answer.tokens == 20 if answer.ended == "length" else answer.tokens < 20
        full = complete(model, tokenizer, "abc", 100, sampling)  # type: ignore[arg-type]
        assert (full.ended, full.tokens) == ("context", 45) or full.ended == "end"
    assert outcomes == {"length", "end"}


def test_generation_ends_where_what_was_filled_in_does() -> None:
    model, tokenizer = Decoder.fresh(SHAPE, 2), Letters()

    def filled(seed: int) -> Completion:
        return complete(model, tokenizer, "ab<FILL>c", 20, Sampling(1.5, seed=seed))  # type: ignore[arg-type]

    seed = next(seed for seed in range(50) if filled(seed).ended == "length")
    whole = filled(seed)
    letter = whole.text[6]
    tokenizer.filled = ord(letter) - ord("a")  # type: ignore[assignment]
    answer = filled(seed)
    assert (answer.text, answer.ended) == (whole.text[: whole.text.index(letter)], "end")


def test_prompts_that_cannot_be_read_are_refused() -> None:
    model, tokenizer = Decoder.fresh(SHAPE, 2), Letters()
    for prompt, said in (("", "1 to 47 tokens"), ("a" * 48, "has 48"), ("a<FILL>b<FILL>", "one <FILL>")):
        with pytest.raises(ValueError, match=said):
            complete(model, tokenizer, prompt, 5, Sampling())  # type: ignore[arg-type]
    with pytest.raises(ValueError, match="top_p"):
        Sampling(top_p=0.0)
