"""Identification of the language of a text with a fastText model.

The model sees a bounded piece of the text and is asked by compiled code (`fasttext_model.py`), several times faster
than by the library and with the same answers. The price is a reader of its format of our own.
"""

from collections.abc import Mapping, Sequence
from difflib import get_close_matches
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, ClassVar, NamedTuple, Self

import numpy as np
import polars as pl
from numpy.typing import NDArray
from pydantic import AfterValidator, model_validator

from filters import assets
from filters.base import Filter, Range
from filters.memory import Memory, Numbers
from filters.words import buffers

if TYPE_CHECKING:
    from filters.fasttext_model import Model

PIECE = 1000
"""Characters of each part of a text that the model sees."""

LID176_LANGUAGES = (
    "af als am an ar arz as ast av az azb ba bar bcl be bg bh bn bo bpy br bs bxr ca cbk ce ceb ckb co cs cv cy da de "
    "diq dsb dty dv el eml en eo es et eu fa fi fr frr fy ga gd gl gn gom gu gv he hi hif hr hsb ht hu hy ia id ie ilo "
    "io is it ja jbo jv ka kk km kn ko krc ku kv kw ky la lb lez li lmo lo lrc lt lv mai mg mhr min mk ml mn mr mrj ms "
    "mt mwl my myv mzn nah nap nds ne new nl nn no oc or os pa pam pfl pl pms pnb ps pt qu rm ro ru rue sa sah sc scn "
    "sco sd sh si sk sl so sq sr su sv sw ta te tg th tk tl tr tt tyv ug uk ur uz vec vep vi vls vo wa war wuu xal xmf "
    "yi yo yue zh"
).split()
"""Codes that lid.176 knows."""

SOURCE = "Joulin et al. 2016, Bag of Tricks for Efficient Text Classification (lid.176)"


def _known(name: str) -> str:
    if name != assets.LID176 and not Path(name).is_file():
        raise ValueError(f"model: '{name}' is neither a known model ({assets.LID176}) nor a file")
    return name


LanguageModel = Annotated[str, AfterValidator(_known)]
"""The name of an asset, or the path of a fastText model."""


class Answers(NamedTuple):
    """What a model says of a column of texts."""

    labels: NDArray[np.int32]
    """Shape [texts, 2]: the likeliest languages; -1 for a blank text."""
    scores: NDArray[np.float64]
    """Shape [texts, 3]: their probabilities, and that of the likeliest wanted language."""


class Language(Filter):
    """Language by a fastText model (Joulin et al. 2016, lid.176), with the threshold of FineWeb (Penedo et al. 2024,
    section 3.3).

    Signals:
        label: the likeliest language.
        score: the probability of the likeliest of the wanted `languages`, so that one range asks for a wanted language
            and for confidence in it; of the likeliest language if all are wanted. A blank text has 0.
        second, second_score: the next likeliest language, and its probability.

    The model sees up to 3,000 characters: a third each from the start, the middle and the end of the text, without
    words that are cut in two.
    """

    version: ClassVar[int] = 2
    source: ClassVar[str] = f"{SOURCE}; Penedo et al. 2024, The FineWeb Datasets, section 3.3"
    units: ClassVar[Mapping[str, str]] = {
        "label": "label",
        "score": "probability",
        "second": "label",
        "second_score": "probability",
    }

    languages: tuple[str, ...] | None = None
    """Codes as in the labels of the model, such as `en` or `eng_Latn`; null takes every language."""
    model: LanguageModel = assets.LID176
    """`lid.176.ftz`, or the path of any supervised fastText model whose labels are languages: lid.176.bin, GlotLID,
    OpenLID."""
    gate: bool = True

    defaults: ClassVar[Mapping[str, Range]] = {"score": (0.65, None)}

    @model_validator(mode="after")
    def _known_languages(self) -> Self:
        if self.languages is not None and not self.languages:
            raise ValueError("languages: an empty list would keep nothing; leave it out to take every language")
        if self.model == assets.LID176:
            _check(self.languages or (), LID176_LANGUAGES)
        return self

    def identity(self) -> Mapping[str, str]:
        return {"model": assets.sha256(self.model)}

    def signals(self) -> Mapping[str, pl.Expr]:
        return {
            "label": self._label(0),
            "score": self._probability(2),
            "second": self._label(1),
            "second_score": self._probability(1),
        }

    def _answers(self, text: pl.Series) -> Answers:
        return _identify(text, self.model, self.languages)

    def _label(self, place: int) -> pl.Expr:
        def evaluate(text: pl.Series) -> pl.Series:
            answers = _memory.recall(text, self._answers, (self.model, self.languages))
            return label_names(self.model, answers.labels[:, place]).alias(text.name)

        return pl.col("text").map_batches(evaluate, return_dtype=pl.String)

    def _probability(self, place: int) -> pl.Expr:
        def compute(answers: Answers) -> Numbers:
            return np.clip(answers.scores[:, place], 0.0, 1.0)  # fastText's can pass 1 by 0.00001

        return _memory.signal(self._answers, compute, pl.Float64, (self.model, self.languages))


_memory: Memory[Answers] = Memory()


def opened(name: str) -> "Model":
    """Return a model; it is opened once per process and never travels between processes."""
    from filters.fasttext_model import open_model

    return open_model(name)


def _identify(text: pl.Series, name: str, languages: tuple[str, ...] | None) -> Answers:
    from filters.excerpts import excerpts

    model = opened(name)
    wanted = None
    if languages is not None:
        _check(languages, model.labels)
        wanted = np.array([label in languages for label in model.labels], np.uint8)
    data, offsets = buffers(text)
    pieces, bounds = excerpts(data, np.stack([offsets[:-1], offsets[1:]], axis=1), PIECE)
    labels, scores = model.predict(data, pieces, bounds, 2, wanted)
    blank = (text.str.strip_chars().str.len_bytes() == 0).fill_null(True).to_numpy()
    labels[blank], scores[blank] = -1, 0.0  # to the model, white space beyond ASCII is a word
    return Answers(labels, scores)


def label_names(model: str, labels: NDArray[Any]) -> pl.Series:
    """Return the names of labels by their places in a model, null for those that are -1."""
    places = pl.Series(labels)
    return pl.Series(opened(model).labels, dtype=pl.String).gather(places.set(places < 0, None))


def _check(languages: Sequence[str], known: Sequence[str]) -> None:
    for language in languages:
        if language not in known:
            near = get_close_matches(language, known, n=1, cutoff=0.5)
            hint = f"; did you mean '{near[0]}'?" if near else ""
            raise ValueError(f"languages: the model has no '{language}'{hint}")
