"""From pages with truth to a model file: features and labels of blocks, gradient boosting, predictions out of fold.

    python -m pipeline.extract.learn.train DATA --cache FOLDER --out pipeline/extract/model.npz

The same data, settings and version of LightGBM give the same file: one thread, fixed seeds, no sampling that depends on
the machine. LightGBM is needed here only; at run time `trees.py` reads the file.
"""

import argparse
import hashlib
from collections import Counter
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from pipeline.extract.learn import gold, manuals
from pipeline.extract.learn.ensemble import exported, write
from pipeline.extract.learn.gold import Page
from pipeline.extract.learn.labels import Labels, segment_labels, text_labels
from pipeline.extract.learn.teacher import taught
from pipeline.extract.trees import Trees, probabilities, words

Floats = NDArray[np.float32]
Features = Callable[[bytes], tuple[list[str], Floats]]
"""From a page to the texts of its blocks and their features, shape [blocks, features]."""


@dataclass(frozen=True)
class Settings:
    """How the trees are grown."""

    trees: int = 300
    leaves: int = 31
    levels: int = 7
    """The most decisions on the way to a leaf."""
    rate: float = 0.06
    least_blocks: int = 40
    """The fewest blocks in a leaf."""
    feature_share: float = 0.3
    """Of the features, how many each tree may look at; drawn with a fixed seed."""
    page_power: float = 0.5
    """A page weighs as much as this power of its words: with 1 long pages decide, with 0 all count the same."""
    least_coverage: float = 0.5
    """Pages of whose truth less than this was found among their blocks are left out."""
    seed: int = 1


@dataclass(frozen=True)
class Table:
    """The blocks of many pages, one row each."""

    features: Floats
    label: Floats
    weight: Floats
    page: NDArray[np.int64]
    """Of each row, the number of its page."""
    fold: NDArray[np.int64]
    """Of each page, its fold."""
    pages: tuple[Page, ...]
    blocks: tuple[tuple[str, ...], ...]
    """Of each page, the texts of its blocks."""

    def digest(self) -> str:
        """Return the SHA-256 of what is learned from, in hexadecimal."""
        digest = hashlib.sha256()
        for array in (self.features, self.label, self.weight):
            digest.update(repr(array.shape).encode() + np.ascontiguousarray(array).tobytes())
        return digest.hexdigest()

    def chosen(self, page: int, probability: Floats, cutoff: float) -> str:
        """Return the blocks of a page whose rows have at least a probability, a line each."""
        rows = np.flatnonzero(self.page == page)
        kept = zip(self.blocks[page], probability[rows] >= cutoff, strict=True)
        return "\n".join(block for block, keep in kept if keep)


def tabulated(
    pages: Iterable[tuple[Page, float]],
    features: Features,
    fold: Callable[[Page], int],
    settings: Settings,
    ignored: Counter[str],
) -> Table:
    """Measure and label the blocks of pages.

    Args:
        pages: with what each counts in comparison to others.
        fold: which fold a page is in.
        ignored: counts the pages that are left out, by reason.

    Raises ValueError if a feature is no finite number.
    """
    matrices: list[Floats] = []
    labels: list[Floats] = []
    weights: list[Floats] = []
    kept: list[Page] = []
    blocks: list[tuple[str, ...]] = []
    for page, importance in pages:
        texts, matrix = features(page.html)
        if not np.isfinite(matrix).all():
            raise ValueError(f"{page.name}: a feature is no finite number")
        known = _known(texts, page)
        total = float(known.weight.sum())
        if known.coverage < settings.least_coverage or total == 0:
            ignored["the truth is not in the page" if total else "nothing known"] += 1
            continue
        matrices.append(matrix.astype(np.float32))
        labels.append(known.label)
        weights.append((known.weight * (importance * total ** (settings.page_power - 1))).astype(np.float32))
        kept.append(page)
        blocks.append(tuple(texts))
    if not kept:
        raise ValueError(f"no page to learn from: {dict(ignored)}")
    sizes = [len(label) for label in labels]
    return Table(
        np.concatenate(matrices),
        np.concatenate(labels),
        np.concatenate(weights),
        np.repeat(np.arange(len(kept), dtype=np.int64), sizes),
        np.array([fold(page) for page in kept], np.int64),
        tuple(kept),
        tuple(blocks),
    )


_SURE = 10.0
"""What a word in a segment that a person chose counts, against one that a teacher did."""


def _known(texts: Sequence[str], page: Page) -> Labels:
    """Return the labels of a page by its text, its segments, or both: then segments decide where they say something."""
    if page.text is None:
        return segment_labels(texts, page.wanted, page.unwanted)
    by_text = text_labels(texts, page.text)
    if not page.wanted and not page.unwanted:
        return by_text
    sure = segment_labels(texts, page.wanted, page.unwanted)
    said = sure.weight > 0
    weight = np.where(said, np.float32(_SURE) * sure.weight, by_text.weight)
    return Labels(np.where(said, sure.label, by_text.label), weight, by_text.coverage)


def fitted(table: Table, settings: Settings, rows: NDArray[np.bool_] | None = None) -> Trees:
    """Return the trees for the rows of a table, or for some of them; rows of no weight are left out."""
    import lightgbm

    used = table.weight > 0 if rows is None else rows & (table.weight > 0)
    parameters = {
        "objective": "cross_entropy",
        "num_leaves": settings.leaves,
        "max_depth": settings.levels,
        "learning_rate": settings.rate,
        "min_data_in_leaf": settings.least_blocks,
        "feature_fraction": settings.feature_share,
        "seed": settings.seed,
        "num_threads": 1,
        "deterministic": True,
        "force_row_wise": True,
        "use_missing": False,
        "verbosity": -1,
    }
    weight = table.weight[used] / table.weight[used].mean(dtype=np.float64)
    data = lightgbm.Dataset(table.features[used], table.label[used], weight=weight, params=parameters)
    return exported(lightgbm.train(parameters, data, num_boost_round=settings.trees).dump_model())


def out_of_fold(table: Table, settings: Settings) -> Floats:
    """Return the probability of each row by trees that saw no page of its fold."""
    answer = np.zeros(len(table.label), np.float32)
    folds = table.fold[table.page]
    for fold in np.unique(folds):
        inside = folds == fold
        answer[inside] = probabilities(words(fitted(table, settings, ~inside)), table.features[inside])
    return answer


FOLDS = 5
"""Groups of pages by domain, so that each page can be measured by trees that saw none of its domain."""


def sources(root: Path, cache: Path, unpacked: Path | None, untaught: Sequence[Path]) -> dict[str, list[Page]]:
    """Return the pages that may be learned from, by what their truth is.

    Args:
        unpacked: a folder with manuals, see `manuals.py`.
        untaught: WARC files with pages that get their text from the teacher.
    """
    splits, ignored = gold.splits(root), Counter[str]()
    found = {"gold": [page for page in gold.wcxb(root) if splits.part(page) == "train"]}
    segments = list(gold.trafilatura_dev(root))
    texts = {page.name: page.text for page in taught(segments, cache, ignored)}
    found["segments"] = [page._replace(text=texts.get(page.name)) for page in segments]
    if unpacked:
        found["manuals"] = [page for page in manuals.unpacked(unpacked, 60) if splits.part(page) == "train"]
    if untaught:
        pages = (page for page in gold.archived(untaught, ignored) if splits.part(page) == "train")
        found["teacher"] = list(taught(pages, cache, ignored))
    print({name: len(pages) for name, pages in found.items()}, dict(ignored))
    return found


IMPORTANCE: Mapping[str, float] = {"gold": 1.0, "segments": 1.0, "manuals": 0.3, "teacher": 0.5}
"""What a page counts, by what its truth is: manuals are many pages of few templates, and teachers err."""


def main() -> None:
    from pipeline.extract.features import NAMES, VERSION, page_features

    parser = argparse.ArgumentParser(description=(__doc__ or "").split("\n")[0])
    parser.add_argument("data", type=Path, help="the folder that GRISTMILL_TEST_DATA names")
    parser.add_argument("--cache", type=Path, required=True, help="where texts of the teacher are kept")
    parser.add_argument("--manuals", type=Path, help="a folder with unpacked manuals")
    parser.add_argument("--teach", type=Path, nargs="*", default=[], metavar="WARC", help="pages for the teacher")
    parser.add_argument("--without-fold", type=int, choices=range(FOLDS), help="leave out the pages of a fold")
    parser.add_argument("--trees", type=int, default=Settings.trees)
    parser.add_argument("--leaves", type=int, default=Settings.leaves)
    parser.add_argument("--out", type=Path, required=True, help="the model file")
    options = parser.parse_args()
    settings, ignored = Settings(trees=options.trees, leaves=options.leaves), Counter[str]()
    found = sources(options.data, options.cache, options.manuals, options.teach)
    splits, without = gold.splits(options.data), options.without_fold
    pages = (
        (page, IMPORTANCE[name])
        for name, group in found.items()
        for page in group
        if splits.fold(page, FOLDS) != without
    )
    table = tabulated(pages, page_features, lambda page: 0, settings, ignored)
    write(options.out, fitted(table, settings), NAMES, VERSION, table.digest())
    size = options.out.stat().st_size
    print(f"{len(table.pages)} pages, {len(table.label)} blocks, left out {dict(ignored)}; {options.out}: {size} bytes")


if __name__ == "__main__":
    main()
