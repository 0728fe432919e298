"""Rearranged texts: nothing is lost, lengths keep to what the order allots, and cuts fall on characters."""

from collections import Counter
from math import exp, lgamma, log
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from training import fim, kernels
from training.config import TokenizerSettings
from training.fim import Mode
from training.fim.cuts import Cuts
from training.store.tokenizer import Tokenizer

CODE = st.sampled_from(
    ["def f(a):", "\n", "\n    ", "return", " x", "}", "{", "(", ")", "_1", "\u0301", "👩‍🔬", "日本", "'", "\t"]
)
TEXTS = st.one_of(st.text(max_size=400), st.lists(CODE, max_size=60).map("".join))
CUTS = st.sampled_from(["characters", "lines", "syntax"])
KEYS = st.integers(0, 2**64 - 1)
MODES = st.sampled_from([Mode.PSM, Mode.SPM])
MIXED = "def größer(a, b):\n    return a > b  # 日本語 👩‍🔬 <|fim_middle|>\n" * 8


@pytest.fixture(scope="module")
def tokenizer(byte_pairs: Path) -> Tokenizer:
    return Tokenizer.load(byte_pairs, TokenizerSettings())


def divided(made: np.ndarray, tokenizer: Tokenizer) -> tuple[list[int], list[int], list[int]]:
    """What stands behind each sentinel, in the order prefix, suffix, middle."""
    ids = made.tolist()
    suffix, middle = ids.index(tokenizer.suffix), ids.index(tokenizer.middle)
    assert ids[0] == tokenizer.prefix and suffix < middle
    return ids[1:suffix], ids[suffix + 1 : middle], ids[middle + 1 :]


@given(TEXTS, KEYS, MODES, CUTS)
def test_any_text_comes_back_and_fits(tokenizer: Tokenizer, text: str, key: int, mode: Mode, cuts: Cuts) -> None:
    ids = tokenizer.encode(text)
    if len(ids) < fim.LEAST:
        with pytest.raises(ValueError, match="is the least"):
            fim.rearrange(ids, mode, key, tokenizer, cuts)
        return
    made = fim.rearrange(ids, mode, key, tokenizer, cuts)
    assert tokenizer.decode(fim.restore(made, tokenizer)) == text
    assert len(made) <= len(ids) + fim.SENTINELS + fim.SLACK
    again = fim.rearrange(np.array(ids, np.uint16), mode, key, tokenizer, cuts, ended=True)
    assert again.tolist() == [*made.tolist(), tokenizer.end]


@given(TEXTS, KEYS, CUTS)
def test_each_part_has_the_tokens_that_it_has_alone(tokenizer: Tokenizer, text: str, key: int, cuts: Cuts) -> None:
    ids = tokenizer.encode(text * 3)
    if len(ids) < fim.LEAST:
        return
    made = fim.rearrange(ids, Mode.PSM, key, tokenizer, cuts)
    for part in divided(made, tokenizer):
        if len(made) < len(ids) + fim.SENTINELS + fim.SLACK and "\ufffd" not in tokenizer.decode(part):
            assert part == tokenizer.encode(tokenizer.decode(part))


@given(st.text(min_size=40, max_size=400), KEYS, MODES)
def test_cuts_at_token_boundaries_are_the_last_resort_and_lose_nothing(
    tokenizer: Tokenizer, text: str, key: int, mode: Mode
) -> None:
    ids = tokenizer.encode(text)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("training.fim.parts._ATTEMPTS", 0)
        made = fim.rearrange(ids, mode, key, tokenizer)
    assert fim.restore(made, tokenizer) == ids
    assert len(made) == len(ids) + fim.SENTINELS
    for part in divided(made, tokenizer):
        assert "\ufffd" not in tokenizer.decode(part) or "\ufffd" in text


@given(KEYS, MODES, CUTS, st.data())
def test_a_stretch_that_begins_and_ends_inside_of_characters_comes_back(
    tokenizer: Tokenizer, key: int, mode: Mode, cuts: Cuts, data: st.DataObject
) -> None:
    ids = tokenizer.encode("👩‍🔬日本語" * 20)
    begin = data.draw(st.integers(0, len(ids) - 2 * fim.LEAST))
    end = data.draw(st.integers(begin + fim.LEAST, len(ids)))
    back = fim.restore(fim.rearrange(ids[begin:end], mode, key, tokenizer, cuts), tokenizer)
    assert tokenizer.decode([*ids[:begin], *back, *ids[end:]]) == "👩‍🔬日本語" * 20


def test_sentinels_stand_as_in_the_starcoder_family(tokenizer: Tokenizer) -> None:
    ids = tokenizer.encode(MIXED)
    for key in range(40):
        first, last, middle = divided(fim.rearrange(ids, Mode.PSM, key, tokenizer), tokenizer)
        assert tokenizer.decode(first) + tokenizer.decode(middle) + tokenizer.decode(last) == MIXED
        before, other_last, joined = divided(fim.rearrange(ids, Mode.SPM, key, tokenizer), tokenizer)
        assert (before, other_last, joined) == ([], last, first + middle)  # the same cuts in either mode


def test_cuts_are_even_over_characters_and_fall_inside_of_tokens(tokenizer: Tokenizer) -> None:
    ids = tokenizer.encode(MIXED)
    boundaries = {len(tokenizer.decode(ids[:n])) for n in range(len(ids))}
    lengths, inside = [], 0
    for key in range(2000):
        first, last, middle = (
            len(tokenizer.decode(part)) for part in divided(fim.rearrange(ids, Mode.PSM, key, tokenizer), tokenizer)
        )
        lengths.append((first, middle, last))
        inside += first not in boundaries
    for part in zip(*lengths, strict=True):  # order statistics of two uniform cuts: each part has a third on average
        assert abs(sum(part) / len(part) / len(MIXED) - 1 / 3) < 0.03
    assert inside > 500


@pytest.mark.parametrize("rate, spm", [(0.5, 0.5), (0.9, 0.25), (0.02, 1.0), (1.0, 0.0), (0.0, 0.5)])
def test_modes_come_as_often_as_binomial_draws(rate: float, spm: float) -> None:
    def modes(draw: int) -> list[int]:
        return [
            kernels.drawn_mode(99, np.uint64(kernels.scramble(np.uint64(i))), np.uint64(draw), rate, spm, fim.LEAST)
            for i in range(4000)
        ]

    drawn, other = modes(3), modes(4)
    counts = Counter(drawn)
    rearranged = counts[Mode.PSM] + counts[Mode.SPM]
    assert likely(rearranged, len(drawn), rate) and likely(counts[Mode.SPM], rearranged, spm)
    same = sum(a == b for a, b in zip(drawn, other, strict=True))  # another epoch draws by itself
    assert likely(same, len(drawn), (1 - rate) ** 2 + (rate * (1 - spm)) ** 2 + (rate * spm) ** 2)


def likely(count: int, draws: int, chance: float) -> bool:
    """Whether a binomial count lies within the bounds that are left once in a million times, by the exact sum."""
    if chance in (0, 1):
        return count == draws * chance
    logs = [lgamma(draws + 1) - lgamma(k + 1) - lgamma(draws - k + 1) for k in range(draws + 1)]
    terms = [exp(logs[k] + k * log(chance) + (draws - k) * log(1 - chance)) for k in range(draws + 1)]
    return min(sum(terms[: count + 1]), sum(terms[count:])) > 5e-7


def test_what_was_not_rearranged_is_not_restored(tokenizer: Tokenizer) -> None:
    with pytest.raises(ValueError, match="all three sentinels"):
        fim.restore(tokenizer.encode("<|fim_prefix|><|fim_suffix|><|fim_middle|>"), tokenizer)
    with pytest.raises(ValueError, match="another order"):
        fim.restore([tokenizer.middle, tokenizer.suffix, tokenizer.prefix], tokenizer)
