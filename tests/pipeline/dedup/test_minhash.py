"""MinHash against FineWeb's normalisation, datasketch, the theoretical match curve and true Jaccard similarities."""

import json
from collections.abc import Callable
from pathlib import Path

import numpy as np
import polars as pl
import pytest
from datasketch import MinHash as DatasketchMinHash
from datasketch import MinHashLSH
from datatrove.utils.text import PUNCTUATION, simplify_text
from hypothesis import given
from hypothesis import strategies as st
from pydantic import ValidationError

from pipeline.dedup.base import Documents
from pipeline.dedup.exact import Exact
from pipeline.dedup.minhash import MinHash, words
from pipeline.dedup.same_url import SameUrl

# Where the rules are FineWeb's to the letter: the scripts of Europe, numbers, the punctuation that FineWeb lists.
_LETTERS = "".join(chr(c) for c in range(0xC0, 0x590) if chr(c).isalpha()) + "abcxyzABCXYZ"
_FINEWEB = st.text(
    st.sampled_from(_LETTERS + "0123456789\u0660\u0967.,\u0301\u0308 \n\t\u00a0" + PUNCTUATION), max_size=60
)
_PHRASES = st.lists(st.sampled_from(["one", "two", "Three", "vier", "fünf", "六", "7"]), max_size=30).map(" ".join)


def jaccard(a: list[str], b: list[str]) -> float:
    return len(set(a) & set(b)) / len(set(a) | set(b))


@given(_FINEWEB)
def test_words_are_those_of_fineweb(text: str) -> None:
    assert words(text) == simplify_text(text).replace("ς", "σ").split()


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("It's 3.14, or 1,234 or 1.2.3!", "it s 0 or 0 or 0 0"),
        ("\u0661\u0662\u066b\u0665 and 1\u060c2 and 1 \u060c 2", "0 and 0 and 0 0"),
        ("Ünïcødé ΟΔΟΣ İstanbul", "unicøde οδοσ istanbul"),
        ("soft\u00adhyphen zero\u200bwidth", "softhyphen zerowidth"),
        ("你好 world。タイ", "你 好 world タ イ"),
        ("ไทย", "ไ ท ย"),
        ("100 € & 🎉 — done", "0 done"),
    ],
)
def test_words(text: str, expected: str) -> None:
    assert " ".join(words(text)) == expected


@given(st.text(max_size=80))
def test_any_text_becomes_words_that_stay_as_they_are(text: str) -> None:
    found = words(text)
    assert all(found) and words(" ".join(found)) == found
    assert any(c.isalnum() for c in text) or not any(c.isalnum() for word in found for c in word)


@given(_FINEWEB, st.sampled_from(["NFC", "NFD", "upper"]))
def test_case_and_composition_do_not_matter(text: str, form: str) -> None:
    text = "".join(c for c in text if c.upper().lower() == c.lower())
    column = pl.Series([text])
    changed = column.str.to_uppercase() if form == "upper" else column.str.normalize(form)
    assert words(changed[0]) == words(text)


@given(
    st.lists(st.none() | st.text(max_size=60) | _PHRASES, max_size=6),
    st.integers(1, 7),
    st.integers(0, 2**32 - 1),
    st.sampled_from(["words", "characters"]),
)
def test_signatures_equal_datasketch(texts: list[str | None], shingle: int, seed: int, of: str) -> None:
    settings = {"shingle": shingle, "of": of, "bands": 3, "rows": 5, "seed": seed, "hash": "datasketch"}
    step = MinHash.model_validate(settings)
    signatures = step.signature(pl.Series(texts, dtype=pl.String))
    for text, signature in zip(texts, signatures, strict=True):
        truth = DatasketchMinHash(num_perm=15, seed=seed)
        truth.update_batch([shingle.encode() for shingle in step.shingles(text or "")])
        np.testing.assert_array_equal(signature, truth.hashvalues)


def test_datasketch_hashes_words_of_every_length() -> None:
    step = MinHash(shingle=1, bands=1, rows=4, hash="datasketch")
    lengths = [*range(1, 140), 1000, 100_000]
    for length, signature in zip(lengths, step.signature(pl.Series(["x" * n for n in lengths])), strict=True):
        truth = DatasketchMinHash(num_perm=4)
        truth.update(b"x" * length)
        np.testing.assert_array_equal(signature, truth.hashvalues)


def test_datasketch_finds_our_signatures_in_its_index() -> None:
    step = MinHash(hash="datasketch")
    text = " ".join(f"word{chr(97 + k % 26)}{chr(97 + k // 26)}" for k in range(200))
    index = MinHashLSH(num_perm=112, params=(14, 8))
    for key, row in zip(["same", "other"], step.signature(pl.Series([text, text[::-1]])), strict=True):
        index.insert(key, DatasketchMinHash(hashvalues=row, scheme="affine32"))
    query = DatasketchMinHash(num_perm=112)
    query.update_batch([shingle.encode() for shingle in step.shingles(text)])
    assert index.query(query) == ["same"]


@given(st.text(max_size=60) | _PHRASES, st.integers(1, 30))
def test_shingles_of_characters_are_runs_of_the_normalised_text(text: str, size: int) -> None:
    normalised = " ".join(words(text))
    runs = [normalised[k : k + size] for k in range(max(1, len(normalised) - size + 1))] if normalised else []
    assert MinHash(of="characters", shingle=size).shingles(text) == runs


@given(
    st.lists(st.text(max_size=40) | _PHRASES, max_size=6), st.integers(1, 6), st.sampled_from(["words", "characters"])
)
def test_documents_have_equal_signatures_just_when_their_shingles_are_equal(
    texts: list[str], size: int, of: str
) -> None:
    step = MinHash.model_validate({"shingle": size, "of": of, "bands": 1, "rows": 64})
    signatures = step.signature(pl.Series(texts, dtype=pl.String)).tolist()
    for a, one in zip(texts, signatures, strict=True):
        for b, other in zip(texts, signatures, strict=True):
            assert (one == other) == (set(step.shingles(a)) == set(step.shingles(b)))


@given(_PHRASES, _PHRASES, st.sampled_from(["fast", "datasketch"]))
def test_the_signature_of_a_union_is_the_minimum(a: str, b: str, how: str) -> None:
    step = MinHash.model_validate({"shingle": 1, "bands": 4, "rows": 4, "hash": how})
    of_a, of_b, of_both = step.signature(pl.Series([a, b, f"{b} {a} {b}"]))
    np.testing.assert_array_equal(of_both, np.minimum(of_a, of_b))


def test_keys_depend_on_nothing_but_the_text() -> None:
    texts = ["the quick brown fox jumps over the lazy dog", None, "", "ä b", "x" * 5000, "the quick brown fox"]
    step = MinHash()
    whole, found = step.band_keys(pl.Series(texts))
    assert found.tolist() == [True, False, False, True, True, True]
    chunked = pl.concat([pl.Series(texts[:2]), pl.Series(texts[2:])], rechunk=False)
    for column in (chunked, pl.Series(["before", *texts, "after"])[1:-1]):
        np.testing.assert_array_equal(step.band_keys(column)[0], whole)
    for k, text in enumerate(texts):
        np.testing.assert_array_equal(step.band_keys(pl.Series([text], dtype=pl.String))[0][0], whole[k])


def test_keys_are_those_of_earlier_versions() -> None:
    """If this fails on purpose, raise `version`: signatures made earlier no longer match."""
    keys, _ = MinHash(bands=2, rows=2).band_keys(pl.Series(["The quick brown fox jumps 3.5 times over ein Öltank."]))
    assert [hex(key) for key in keys[0]] == ["0xac53ecd1e946059c", "0xe2d364b6b4100181"]
    key, _ = Exact().band_keys(pl.Series(["The quick brown fox jumps 3.5 times over ein Öltank."]))
    assert hex(key[0, 0]) == "0xae299e6cd18f3cf9"


@pytest.mark.parametrize(
    "settings", [{"hash": "fast"}, {"hash": "datasketch"}, {"preset": "thorough"}, {"of": "characters", "shingle": 14}]
)
def test_short_documents_match_their_copies_and_nothing_else(settings: dict[str, object]) -> None:
    step = MinHash.model_validate({"bands": 14, **settings})
    keys, found = step.band_keys(
        pl.Series(["Hello, World!", "hello world", "hello", "world hello", "hello world 1", "!?"])
    )
    assert found.tolist() == [True] * 5 + [False]
    np.testing.assert_array_equal(keys[0], keys[1])
    assert len(np.unique(keys[1:5])) == 4 * 14


def test_documents_that_share_no_shingle_share_no_key() -> None:
    texts = pl.Series([f"only here {k}x" for k in "abcdefghijklmnopqrstuvwxyz"])
    keys, _ = MinHash().band_keys(texts)
    assert len(np.unique(keys)) == keys.size


@pytest.mark.parametrize(("similarity", "chance"), [(0, 0), (0.7, 0.565), (0.8, 0.924), (0.9, 0.9996), (1, 1)])
def test_probability_is_the_published_curve(similarity: float, chance: float) -> None:
    assert MinHash().probability(similarity) == pytest.approx(chance, abs=5e-4)


@pytest.mark.parametrize(
    ("preset", "threshold", "chances"),
    [
        ("fineweb", 0.72, {0.7: 0.565, 0.8: 0.924, 0.9: 0.9996}),
        ("refinedweb", 0.737, {0.7: 0.302, 0.75: 0.761, 0.8: 0.995}),
        ("nemo", 0.794, {0.8: 0.677}),
        ("bigcode", 0.725, {0.7: 0.512}),
        ("thorough", 0.42, {0.6: 0.988, 0.7: 0.9998}),
    ],
)
def test_presets_are_those_that_were_published(preset: str, threshold: float, chances: dict[float, float]) -> None:
    """Thresholds (1 / bands)^(1 / rows), and chances as the projects state them or as their numbers give."""
    step = MinHash.model_validate({"preset": preset})
    assert (1 / step.bands) ** (1 / step.rows) == pytest.approx(threshold, abs=0.005)
    for similarity, chance in chances.items():
        assert step.probability(similarity) == pytest.approx(chance, abs=6e-4)
    assert step.curve()["0.7"] == round(step.probability(0.7), 4)


def test_bigcode_is_what_datasketch_makes_of_its_threshold() -> None:
    index = MinHashLSH(threshold=0.7, num_perm=256)
    step = MinHash(preset="bigcode")
    assert (step.bands, step.rows) == (index.b, index.r)


def test_settings_beside_a_preset_come_first() -> None:
    step = MinHash(preset="thorough", bands=7, verify=None)
    assert (step.shingle, step.bands, step.rows, step.verify) == (3, 7, 4, None)
    assert MinHash.model_validate(MinHash(preset="nemo", rows=9).model_dump(mode="json")) == MinHash(
        preset="nemo", rows=9
    )
    assert MinHash(preset="fineweb").model_dump(exclude={"preset"}) == MinHash().model_dump(exclude={"preset"})


@pytest.mark.parametrize("how", ["fast", "datasketch"])
@pytest.mark.parametrize("shared", [50, 100, 150])
def test_match_rate_of_random_sets_follows_the_curve(how: str, shared: int) -> None:
    """Pairs of 200 words with `shared` in common, Jaccard shared / (400 - shared): binomial bounds of four sigma."""
    step = MinHash.model_validate({"shingle": 1, "bands": 4, "rows": 3, "hash": how})
    pairs = 1000
    alphabet = np.array(list("bcdfghjklmnpqrst"))
    names = [
        "".join(alphabet[[k >> 16 & 15, k >> 12 & 15, k >> 8 & 15, k >> 4 & 15, k & 15]]) for k in range(400 * pairs)
    ]
    left = [" ".join(names[400 * k : 400 * k + 200]) for k in range(pairs)]
    right = [" ".join(names[400 * k + 200 - shared : 400 * k + 400 - shared]) for k in range(pairs)]
    similarity = shared / (400 - shared)
    a, b = step.signature(pl.Series(left)), step.signature(pl.Series(right))
    agree = (a == b).mean()
    assert agree == pytest.approx(similarity, abs=4 * (similarity * (1 - similarity) / a.size) ** 0.5)
    rate = (step.band_keys(pl.Series(left))[0] == step.band_keys(pl.Series(right))[0]).any(axis=1).mean()
    chance = step.probability(similarity)
    assert rate == pytest.approx(chance, abs=4 * (chance * (1 - chance) / pairs) ** 0.5)


def test_match_rate_of_real_licences_follows_the_curve(test_data: Callable[[str], Path]) -> None:
    folder = test_data("I-spdx-licenses")
    gold = [line.split("\t") for line in (folder / "gold_pairs_word5gram_jaccard.tsv").read_text().splitlines()[1:]]
    names = sorted({name for _, *pair in gold for name in pair})
    place = {name: k for k, name in enumerate(names)}
    texts = [json.loads((folder / "licenses" / f"{name}.json").read_text())["licenseText"] for name in names]
    steps = [MinHash(seed=seed) for seed in range(1, 31)]
    shingles = [steps[0].shingles(text) for text in texts]
    pairs = np.array([[place[a], place[b]] for _, a, b in gold])
    truth = np.array([jaccard(shingles[a], shingles[b]) for a, b in pairs])
    # The gold was made with other words (no folding of numbers or underscores): near, not equal.
    assert np.abs(truth - np.array([float(line[0]) for line in gold])).mean() < 0.02

    keys = [step.band_keys(pl.Series(texts))[0] for step in steps]
    matched = np.array([(k[pairs[:, 0]] == k[pairs[:, 1]]).any(axis=1) for k in keys])
    assert matched[:, truth == 1].all()
    for low in np.arange(0.3, 1, 0.1):
        inside = (truth >= low) & (truth < low + 0.1)
        rates = matched[:, inside].mean(axis=1)
        expected = np.mean([steps[0].probability(s) for s in truth[inside]])
        # Pairs share documents, so they are not independent; seeds are.
        assert rates.mean() == pytest.approx(expected, abs=4 * rates.std(ddof=1) / len(steps) ** 0.5 + 1e-4)


@pytest.mark.parametrize(
    "wrong",
    [
        {"shingle": 0},
        {"bands": 0},
        {"rows": 0},
        {"seed": -1},
        {"seed": 2**32},
        {"hash": "md5"},
        {"band": 14},
        {"preset": "fine"},
        {"verify": {"jaccard": 0}},
        {"of": "letters"},
    ],
)
def test_impossible_settings_are_refused(wrong: dict[str, object]) -> None:
    with pytest.raises(ValidationError, match=next(iter(wrong))):
        MinHash.model_validate(wrong)


def test_what_is_no_text_and_no_similarity_is_refused() -> None:
    with pytest.raises(TypeError, match="strings, not of Int64"):
        MinHash().band_keys(pl.Series([1]))
    with pytest.raises(ValueError, match="between 0 and 1, not 1.5"):
        MinHash().probability(1.5)


def test_exact_keys_are_equal_for_equal_words_or_bytes_only() -> None:
    texts = pl.Series(["Hello, World!", "hello world", "world hello", "helloworld", "", "!", None, "hello world "])
    keys, found = Exact().band_keys(texts)
    assert keys.shape == (8, 1) and found.tolist() == [True] * 4 + [False] * 3 + [True]
    assert keys[0] == keys[1] == keys[7] and len(np.unique(keys[:4])) == 3
    keys, found = Exact(normalize=False).band_keys(texts)
    assert found.tolist() == [True] * 4 + [False, True, False, True]
    assert len(np.unique(keys[found])) == 6


@given(st.lists(st.text(max_size=30), max_size=20))
def test_exact_keys_of_bytes_are_equal_just_when_the_texts_are(texts: list[str]) -> None:
    keys, _ = Exact(normalize=False).band_keys(pl.Series(texts, dtype=pl.String))
    assert len(np.unique(keys)) == len(set(texts))


@pytest.mark.parametrize("step", [Exact(), Exact(normalize=False), MinHash(), MinHash(preset="thorough"), SameUrl()])
def test_of_many_different_documents_all_stay(step: Documents) -> None:
    """A Bloom filter of another library took 299 of 300 different documents for copies (its sizes were masks)."""
    names = ["".join("bcdfghjklm"[int(digit)] for digit in f"{k:06d}") for k in range(0, 1_000_000, 13)]
    if isinstance(step, SameUrl):
        column = pl.Series([f"http://example.com/{name}" for name in names])
    else:
        column = pl.Series([f"{name} {name[::-1]} {name[3:]}" for name in names])
    keys, found = step.band_keys(column)
    assert found.all()
    assert all(len(np.unique(band)) == len(names) for band in keys.T)


@pytest.mark.parametrize("step", [Exact(), MinHash(), MinHash(preset="thorough"), MinHash(preset="nemo")])
@pytest.mark.parametrize("words_each", [1, 2, 4, 5, 6, 50])
def test_copies_are_found_whatever_their_length(step: Documents, words_each: int) -> None:
    """Another library compares nothing at all if a least number of words is asked for; some skip short documents."""
    texts = [" ".join(f"{letter}{chr(97 + k % 26)}x" for k in range(words_each)) for letter in "abcdef"]
    keys, found = step.band_keys(pl.Series([*texts, *(text.upper() for text in texts)]))
    assert found.all() and (keys[:6] == keys[6:]).all()
    assert len(np.unique(keys[:, 0])) == 6
