"""The rules of decontamination in plain Python over lists of words: no hashes, no index, no sampling."""

import math
from collections.abc import Sequence
from dataclasses import dataclass

Words = Sequence[str]


def ngrams(words: Words, n: int) -> list[tuple[str, ...]]:
    return [tuple(words[k : k + n]) for k in range(len(words) - n + 1)]


def run(doc: Words, question: Words, answer: Words) -> int:
    """The most words in a row that both have, if they are 5 and more."""
    item, best = [*question, *answer], 0
    for i in range(len(doc)):
        for j in range(len(item)):
            k = 0
            while i + k < len(doc) and j + k < len(item) and doc[i + k] == item[j + k]:
                k += 1
            best = max(best, k)
    return best if best >= 5 else 0


def share(doc: Words, part: Words, n: int) -> float:
    """The share of a part's n-grams that the document has."""
    mine, found = ngrams(part, n), set(ngrams(doc, n))
    return sum(gram in found for gram in mine) / len(mine) if mine else 0.0


@dataclass(frozen=True)
class Idf:
    """The score in the manner of decon over all items."""

    items: Sequence[tuple[Words, Words]]
    misses: int = 10
    shortest: int = 15
    low: int = 20
    high: int = 50

    def weight(self, gram: tuple[str, ...], part: int) -> float:
        having = sum(gram in ngrams(item[part], len(gram)) for item in self.items)
        return math.log((len(self.items) + 1) / having)

    def overlap(self, found: set[tuple[str, ...]], part: int, words: Words, n: int) -> float:
        mine = set(ngrams(words, n))
        if mine <= found:
            return 1.0
        return sum(self.weight(gram, part) for gram in mine & found) / sum(self.weight(gram, part) for gram in mine)

    def score(self, doc: Words, item: int) -> float:
        question, answer = self.items[item]
        mine = set(ngrams(question, 5))
        if not mine or len(question) + len(answer) < self.shortest:
            return 0.0
        grams = ngrams(doc, 5)
        places = [k for k, gram in enumerate(grams) if gram in mine]
        clusters: list[list[int]] = []
        for place in places:
            if clusters and place - clusters[-1][-1] - 1 <= self.misses:
                clusters[-1].append(place)
            else:
                clusters.append([place])
        return max((self._cluster(doc, cluster, question, answer) for cluster in clusters), default=0.0)

    def _cluster(self, doc: Words, places: list[int], question: Words, answer: Words) -> float:
        grams = ngrams(doc, 5)
        found = self.overlap({grams[k] for k in places}, 0, question, 5)
        end = min(places[-1] + 5, places[0] + len(question))
        told = self._answer(doc, end, answer) if answer and found >= 0.5 else 0.0
        if found == 1 and (told == 1 or not answer):
            return 1.0
        score = found
        if answer:
            weight = 0.75 * (0.5 + 0.5 * min(1, len(set(ngrams(question, 5))) / 20))
            score = weight * found + (1 - weight) * told
        score *= 0.8 / self._needed(len(question) + len(answer), 0.8)
        floor = self._needed(len(question), (0.8 - 0.25) / 0.75)
        return min(score, 0.8 * found / floor) if found < floor else score

    def _answer(self, doc: Words, at: int, answer: Words) -> float:
        if len(answer) <= 3:
            return float(tuple(answer) in ngrams(doc[at : at + 50], len(answer)))
        window = doc[at : at + max(100, 2 * len(answer))]
        return self.overlap(set(ngrams(window, 3)), 1, answer, 3)

    def _needed(self, words: int, target: float) -> float:
        """1 up to `low` words, the target from `high` words on, a straight line between."""
        place = min(1.0, max(0.0, (words - self.low) / (self.high - self.low)))
        return 1 - place + target * place
