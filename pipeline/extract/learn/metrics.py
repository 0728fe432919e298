"""How good extracted texts are: WCXB's word scores, trafilatura's segment scores, and how sure these numbers are.

Pages are the unit of chance: intervals come from drawing as many pages again, with replacement. Two extractors that
are compared are drawn with the same pages, which tells much smaller differences apart than their two intervals do.
"""

import re
import unicodedata
from collections import Counter
from collections.abc import Callable, Sequence
from functools import lru_cache
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float64]
Scores = Callable[[Floats], Floats]
"""From sums over pages, shape [draws, columns], to precision, recall and F1, shape [draws, 3]."""

_UNSPACED = (
    "\u0e01-\u0eff\u1000-\u109f\u1780-\u17ff\u3041-\u30ff\u31f0-\u31ff\u3400-\u4dbf\u4e00-\u9fff\uf900-\ufaff"
    "\uff66-\uff9f\U00020000-\U0003ffff"
)
_WORD = re.compile(rf"(?=\w)[{_UNSPACED}]|[^\W{_UNSPACED}]+")
_SPACE = re.compile(r"\s+")
_FOREIGN_SHARE = 0.25
_KANA_SHARE = 0.05


def words(text: str) -> list[str]:
    r"""Return the words of a text in small letters: runs of `\w`, but of Han, kana, Thai, Lao, Khmer and Burmese every
    letter, since a run of those is a sentence."""
    return _WORD.findall(text.lower())


class WordScores(NamedTuple):
    """Of one page; all 1 if both texts have no words, all 0 if only one of them has some."""

    precision: float
    recall: float
    f1: float


def word_scores(text: str, truth: str) -> WordScores:
    """Compare the words of two texts, without regard to order but with that to number.

    It is WCXB's measure (Foley 2026, arXiv:2605.21097, section "Evaluation"), but for scripts without spaces: of
    these WCXB takes a whole sentence for a word.
    """
    found, expected = Counter(words(text)), Counter(words(truth))
    if not found or not expected:
        return WordScores(*[float(found == expected)] * 3)
    common = (found & expected).total()
    precision, recall = common / found.total(), common / expected.total()
    return WordScores(precision, recall, 2 * precision * recall / (precision + recall) if common else 0.0)


class SegmentCounts(NamedTuple):
    """Of one page: segments by whether they should be in the text, and are."""

    true_positive: int
    false_positive: int
    false_negative: int


def segment_counts(text: str, wanted: Sequence[str], unwanted: Sequence[str]) -> SegmentCounts:
    """Count the segments found in a text, taking any white space for one space.

    It is the measure of trafilatura's own evaluation (Barbaresi 2021, section 4).
    """
    flat = _flat(text)
    hits = sum(_flat(segment) in flat for segment in wanted)
    return SegmentCounts(hits, sum(_flat(segment) in flat for segment in unwanted), len(wanted) - hits)


def _flat(text: str) -> str:
    return _SPACE.sub(" ", text).strip()


def mean_scores(sums: Floats) -> Floats:
    """Scores of sums of `word_scores` with a column of ones behind them: the means over pages."""
    scores: Floats = sums[:, :3] / sums[:, 3:]
    return scores


def pooled_scores(sums: Floats) -> Floats:
    """Scores of sums of `segment_counts`: precision, recall and F1 over the segments of all pages."""
    hits, wrong, missed = sums.T
    parts = ((hits, hits + wrong), (hits, hits + missed), (2 * hits, 2 * hits + wrong + missed))
    return np.stack([np.divide(a, b, out=np.zeros_like(a), where=b > 0) for a, b in parts], axis=1)


class Interval(NamedTuple):
    value: float
    low: float
    high: float
    """Ends of the range that holds 95 of 100 draws."""

    def __str__(self) -> str:
        return f"{self.value:.3f} [{self.low:.3f}, {self.high:.3f}]"


def intervals(pages: Floats, scores: Scores, draws: int = 2000, seed: int = 0) -> list[Interval]:
    """Return precision, recall and F1 of pages, shape [pages, columns], with their bootstrap intervals."""
    drawn = _drawn(len(pages), draws, seed)
    return _percentiles(scores(pages.sum(axis=0, keepdims=True))[0], scores(drawn @ pages))


def differences(pages: Floats, others: Floats, scores: Scores, draws: int = 2000, seed: int = 0) -> list[Interval]:
    """Return how far the scores of pages lie above those of the same pages treated otherwise, drawn in pairs."""
    if len(pages) != len(others):
        raise ValueError(f"{len(pages)} pages cannot be paired with {len(others)}")
    drawn = _drawn(len(pages), draws, seed)
    value = scores(pages.sum(axis=0, keepdims=True)) - scores(others.sum(axis=0, keepdims=True))
    return _percentiles(value[0], scores(drawn @ pages) - scores(drawn @ others))


def _drawn(pages: int, draws: int, seed: int) -> Floats:
    """Return how often each page is drawn, shape [draws, pages]."""
    if not pages:
        raise ValueError("there are no pages to draw from")
    generator = np.random.Generator(np.random.PCG64(seed))
    return generator.multinomial(pages, np.full(pages, 1 / pages), size=draws).astype(np.float64)


def _percentiles(values: Floats, drawn: Floats) -> list[Interval]:
    low, high = np.percentile(drawn, [2.5, 97.5], axis=0)
    return [Interval(*map(float, numbers)) for numbers in zip(values, low, high, strict=True)]


def script(text: str) -> str:
    """Return the script of a text by Unicode's names of its letters, such as `latin`, `cyrillic` or `arabic`.

    A text is in the commonest script other than Latin if a quarter of its letters is, since names and commands are
    written in Latin everywhere; it is `japanese` with one kana in twenty letters of Chinese, `han` with fewer; `none`
    without letters.
    """
    counts = Counter[str]()
    for letter, number in Counter(text).items():
        if letter.isalpha():
            counts[_script(letter)] += number
    foreign = Counter({name: number for name, number in counts.items() if name != "latin"})
    if foreign.total() < _FOREIGN_SHARE * counts.total():
        return "latin" if counts else "none"
    chinese, kana = foreign.pop("han", 0), foreign.pop("kana", 0)
    if chinese + kana:
        foreign["japanese" if kana > _KANA_SHARE * (chinese + kana) else "han"] = chinese + kana
    return min(foreign, key=lambda name: (-foreign[name], name)) if foreign else "none"


@lru_cache(maxsize=1 << 16)
def _script(letter: str) -> str:
    first = unicodedata.name(letter, "unknown").split()[0].lower()
    return {"cjk": "han", "hiragana": "kana", "katakana": "kana", "ideographic": "han"}.get(first, first)
