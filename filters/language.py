"""Identification of the language of a text with a fastText model."""

from collections.abc import Mapping, Sequence
from difflib import get_close_matches
from functools import cache
from pathlib import Path
from typing import Any, ClassVar, Self

import numpy as np
import polars as pl
from pydantic import model_validator

from filters import assets
from filters.base import Filter, Range
from filters.memory import Memory

_PREFIX = "__label__"
_PIECE = 1000

Answer = tuple[list[str], Sequence[float]]
"""Labels and their probabilities, the likeliest first; none for a blank text."""

LID176_LANGUAGES = (
    "af als am an ar arz as ast av az azb ba bar bcl be bg bh bn bo bpy br bs bxr ca cbk ce ceb ckb co cs cv cy da de "
    "diq dsb dty dv el eml en eo es et eu fa fi fr frr fy ga gd gl gn gom gu gv he hi hif hr hsb ht hu hy ia id ie ilo "
    "io is it ja jbo jv ka kk km kn ko krc ku kv kw ky la lb lez li lmo lo lrc lt lv mai mg mhr min mk ml mn mr mrj ms "
    "mt mwl my myv mzn nah nap nds ne new nl nn no oc or os pa pam pfl pl pms pnb ps pt qu rm ro ru rue sa sah sc scn "
    "sco sd sh si sk sl so sq sr su sv sw ta te tg th tk tl tr tt tyv ug uk ur uz vec vep vi vls vo wa war wuu xal xmf "
    "yi yo yue zh"
).split()
"""Codes that lid.176 knows."""


class Language(Filter):
    """Language by a fastText model (Joulin et al. 2016, lid.176), with the threshold of FineWeb (Penedo et al. 2024,
    section 3.3).

    Signals:
        label: the likeliest language.
        score: the probability of the likeliest of the wanted `languages`, so that one range asks for a wanted language
            and for confidence in it; of the likeliest language if all are wanted. A blank text has 0.
        second, second_score: the next likeliest language, and its probability.

    The model sees up to 3,000 characters: a third each from the start, the middle and the end of the text.
    """

    languages: tuple[str, ...] | None = None
    """Codes as in the labels of the model, such as `en`; null takes every language."""
    model: str = assets.LID176
    """`lid.176.ftz`, or the path of any supervised fastText model whose labels are languages."""
    gate: bool = True

    defaults: ClassVar[Mapping[str, Range]] = {"score": (0.65, None)}

    @model_validator(mode="after")
    def _known_languages(self) -> Self:
        if self.languages is not None and not self.languages:
            raise ValueError("languages: an empty list would keep nothing; leave it out to take every language")
        if self.model == assets.LID176:
            _check(self.languages or (), LID176_LANGUAGES)
        elif not Path(self.model).is_file():
            raise ValueError(f"model: '{self.model}' is neither a known model ({assets.LID176}) nor a file")
        return self

    def identity(self) -> Mapping[str, str]:
        return {"model": assets.sha256(self.model)}

    def signals(self) -> Mapping[str, pl.Expr]:
        text = pl.col("text")
        return {
            "label": text.map_batches(lambda column: self._label(column, 0), return_dtype=pl.String),
            "score": text.map_batches(self._score, return_dtype=pl.Float64),
            "second": text.map_batches(lambda column: self._label(column, 1), return_dtype=pl.String),
            "second_score": text.map_batches(self._second_score, return_dtype=pl.Float64),
        }

    def _answers(self, text: pl.Series) -> list[Answer]:
        everything = self.languages is not None
        return _memory.recall(text, lambda column: _identify(column, self.model, everything), (self.model, everything))

    def _label(self, text: pl.Series, place: int) -> pl.Series:
        labels = [labels[place] if len(labels) > place else None for labels, _ in self._answers(text)]
        return pl.Series(text.name, [label and label.removeprefix(_PREFIX) for label in labels], pl.String)

    def _score(self, text: pl.Series) -> pl.Series:
        wanted = None
        if self.languages is not None:
            wanted = {_PREFIX + language for language in self.languages}
            _check(self.languages, [label.removeprefix(_PREFIX) for label in _labels(self.model)])
        best = [
            next((score for label, score in zip(*answer, strict=True) if wanted is None or label in wanted), 0.0)
            for answer in self._answers(text)
        ]
        return _probabilities(text, best)

    def _second_score(self, text: pl.Series) -> pl.Series:
        return _probabilities(text, [scores[1] if len(scores) > 1 else 0.0 for _, scores in self._answers(text)])


_memory: Memory[list[Answer]] = Memory()


@cache
def _model(name: str) -> Any:
    """Open a model, once per process; it never travels between processes, each opens its own."""
    import fasttext

    return fasttext.load_model(str(assets.path(name)))


@cache
def _labels(name: str) -> list[str]:
    labels: list[str] = _model(name).get_labels()
    return labels


def _identify(text: pl.Series, name: str, everything: bool) -> list[Answer]:
    """Return the two likeliest languages of each text, or all of them; none for a blank text."""
    pieces = [_piece(value) for value in text.fill_null("")]
    answers: list[Answer] = [([], [])] * len(pieces)
    places = [place for place, piece in enumerate(pieces) if piece]
    labels, scores = _model(name).predict([pieces[place] for place in places], k=-1 if everything else 2)
    for place, *answer in zip(places, labels, scores, strict=True):
        answers[place] = answer[0], answer[1]
    return answers


def _piece(text: str) -> str:
    """Return a bounded piece that stands for the text, on one line as the model wants it."""
    if len(text) > 3 * _PIECE:
        middle = (len(text) - _PIECE) // 2
        text = f"{text[:_PIECE]} {text[middle : middle + _PIECE]} {text[-_PIECE:]}"
    return text.replace("\n", " ").strip()


def _probabilities(text: pl.Series, scores: Sequence[float]) -> pl.Series:
    """Return a column with null where the text is null; the model's sums of floats can pass 1 by a rounding error."""
    column = pl.Series(text.name, np.clip(np.asarray(scores, np.float64), 0.0, 1.0), pl.Float64)
    return column.set(text.is_null(), None) if text.null_count() else column


def _check(languages: Sequence[str], known: Sequence[str]) -> None:
    for language in languages:
        if language not in known:
            near = get_close_matches(language, known, n=1, cutoff=0.5)
            hint = f"; did you mean '{near[0]}'?" if near else ""
            raise ValueError(f"languages: the model has no '{language}'{hint}")
