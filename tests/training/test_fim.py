"""Rearranged texts: nothing is lost, lengths keep to what the order allots, and cuts fall on characters."""

from collections.abc import Sequence
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from training import fim
from training.config import TokenizerSettings
from training.fim import Mode
from training.tokenizer import Tokenizer

TEXTS = st.text(min_size=0, max_size=400)
KEYS = st.integers(0, 2**64 - 1)
MODES = st.sampled_from([Mode.PSM, Mode.SPM])
MIXED = "def größer(a, b):\n    return a > b  # 日本語 👩‍🔬 <|fim_middle|>\n" * 8


@pytest.fixture(scope="module")
def tokenizer(byte_pairs: Path) -> Tokenizer:
    return Tokenizer.load(byte_pairs, TokenizerSettings())


def divided(ids: Sequence[int], tokenizer: Tokenizer) -> tuple[list[int], list[int], list[int]]:
    """What stands behind each sentinel, in the order prefix, suffix, middle."""
    suffix, middle = ids.index(tokenizer.suffix), ids.index(tokenizer.middle)
    assert ids[0] == tokenizer.prefix and suffix < middle
    return list(ids[1:suffix]), list(ids[suffix + 1 : middle]), list(ids[middle + 1 :])


@given(TEXTS, KEYS, MODES)
def test_any_text_comes_back_and_fits(tokenizer: Tokenizer, text: str, key: int, mode: Mode) -> None:
    ids = tokenizer.encode(text)
    if len(ids) < fim.LEAST:
        with pytest.raises(ValueError, match="is the least"):
            fim.rearrange(ids, mode, key, tokenizer)
        return
    made = fim.rearrange(ids, mode, key, tokenizer)
    assert tokenizer.decode(fim.restore(made, tokenizer)) == text
    assert len(made) <= len(ids) + fim.SENTINELS + fim.SLACK
    assert made == fim.rearrange(ids, mode, key, tokenizer)


@given(st.text(min_size=40, max_size=400), KEYS, MODES)
def test_cuts_at_token_boundaries_are_the_last_resort_and_lose_nothing(
    tokenizer: Tokenizer, text: str, key: int, mode: Mode
) -> None:
    ids = tokenizer.encode(text)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(fim, "_ATTEMPTS", 0)
        made = fim.rearrange(ids, mode, key, tokenizer)
    assert fim.restore(made, tokenizer) == ids
    assert len(made) == len(ids) + fim.SENTINELS
    for part in divided(made, tokenizer):
        assert "\ufffd" not in tokenizer.decode(part) or "\ufffd" in text


@given(KEYS, MODES, st.data())
def test_a_stretch_that_begins_and_ends_inside_of_characters_comes_back(
    tokenizer: Tokenizer, key: int, mode: Mode, data: st.DataObject
) -> None:
    ids = tokenizer.encode("👩‍🔬日本語" * 20)
    begin = data.draw(st.integers(0, len(ids) - 2 * fim.LEAST))
    end = data.draw(st.integers(begin + fim.LEAST, len(ids)))
    back = fim.restore(fim.rearrange(ids[begin:end], mode, key, tokenizer), tokenizer)
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


def test_what_was_not_rearranged_is_not_restored(tokenizer: Tokenizer) -> None:
    with pytest.raises(ValueError, match="all three sentinels"):
        fim.restore(tokenizer.encode("<|fim_prefix|><|fim_suffix|><|fim_middle|>"), tokenizer)
    with pytest.raises(ValueError, match="another order"):
        fim.restore([tokenizer.middle, tokenizer.suffix, tokenizer.prefix], tokenizer)
