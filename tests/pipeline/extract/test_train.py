"""Training on toy pages: what is learned, that it repeats, and that the exported trees decide as LightGBM's do."""

import hashlib
import json
from collections import Counter

import lightgbm
import numpy as np
import pytest

from pipeline.extract.learn import ensemble
from pipeline.extract.learn.gold import Page
from pipeline.extract.learn.train import Settings, fitted, out_of_fold, tabulated
from pipeline.extract.trees import probabilities, words

SETTINGS = Settings(trees=12, leaves=5, rate=0.3, least_blocks=5, feature_share=1.0)


def features(html):
    """Toy features: length, place, and whether a block's line begins with `>`."""
    lines = html.decode().split("\n")
    blocks = [line.lstrip(">") for line in lines]
    columns = [[len(line), place, line.startswith(">")] for place, line in enumerate(lines)]
    return blocks, np.array(columns, np.float32).reshape(len(blocks), 3)


def site(number):
    """A page whose text is what has no mark."""
    draw = np.random.default_rng(number)
    lines = [(bool(draw.integers(2)), f"w{number}x{line} " * int(draw.integers(1, 9))) for line in range(20)]
    html = "\n".join((">" if menu else "") + text for menu, text in lines)
    return Page(f"p/{number}", f"https://s{number}/", html.encode(), text="\n".join(t for menu, t in lines if not menu))


PAGES = [(site(number), 1.0) for number in range(40)]


def table(pages=PAGES, settings=SETTINGS, ignored=None):
    return tabulated(
        pages, features, lambda page: int(page.name[2:]) % 4, settings, Counter() if ignored is None else ignored
    )


def test_a_simple_rule_is_learned_and_predicted_out_of_fold():
    known = table()
    assert known.features.shape == (800, 3) and sorted(set(known.label.tolist())) == [0, 1]
    probability = out_of_fold(known, SETTINGS)
    assert ((probability > 0.5) == (known.label > 0.5)).all()
    for number, page in enumerate(known.pages):
        assert known.chosen(number, probability, 0.5) == page.text


def test_no_page_is_predicted_by_trees_that_saw_its_fold():
    """The labels of one fold are turned round: its own predictions do not change, those of the others do."""
    known = table()
    inside = known.fold[known.page] == 2
    turned = np.where(inside, 1 - known.label, known.label).astype(np.float32)
    before, after = (out_of_fold(one, SETTINGS) for one in (known, type(known)(**{**known.__dict__, "label": turned})))
    assert (before[inside] == after[inside]).all() and (before[~inside] != after[~inside]).any()


def test_a_page_weighs_by_its_words_and_importance():
    short, long = (Page(name, "", b"a b", text="a b") for name in ("p/1", "p/2"))
    long = long._replace(html=b"a b c d e f g h", text="a b c d e f g h")
    for power, expected in ((0, [1, 3]), (0.5, [2**0.5, 3 * 8**0.5]), (1, [2, 24])):
        known = table([(short, 1.0), (long, 3.0)], Settings(page_power=power))
        assert known.weight == pytest.approx(np.array(expected, np.float32))


def test_pages_that_teach_nothing_are_counted():
    ignored = Counter()
    strange = Page("p/90", "", b"one two three four", text="five six seven eight")
    wordless = Page("p/91", "", b"...", text="")
    segments = Page("p/92", "", b">menu\nThe text of it", wanted=("text of",), unwanted=("menu",))
    unheard = segments._replace(name="p/93", wanted=("never said",))
    known = table([(one, 1.0) for one in (strange, wordless, segments, unheard)], ignored=ignored)
    assert ignored == {"the truth is not in the page": 2, "nothing known": 1}
    assert known.label.tolist() == [0, 1] and [page.name for page in known.pages] == ["p/92"]
    with pytest.raises(ValueError, match="no page to learn from"):
        table([(strange, 1.0)])
    with pytest.raises(ValueError, match="p/92: a feature is no finite number"):
        tabulated([(segments, 1.0)], lambda html: (["a"], np.array([[np.nan]])), lambda page: 0, SETTINGS, ignored)


def test_the_same_data_give_the_same_bytes(tmp_path):
    digests = []
    for name in ("a", "b"):
        known = table()
        ensemble.write(tmp_path / name, fitted(known, SETTINGS), ("x", "y", "z"), 7, known.digest())
        digests.append(hashlib.sha256((tmp_path / name).read_bytes()).hexdigest())
    assert digests[0] == digests[1]
    other = table([(page, 2.0 if page.name == "p/3" else 1.0) for page, _ in PAGES])
    assert other.digest() != table().digest()
    with np.load(tmp_path / "a", allow_pickle=False) as stored:
        parts = dict(stored)
    assert (parts.pop("features").tolist(), int(parts.pop("version"))) == (["x", "y", "z"], 7)
    assert str(parts.pop("data")) == table().digest()
    for name, made in fitted(table(), SETTINGS)._asdict().items():
        assert parts[name].dtype == made.dtype and (parts.pop(name) == made).all()
    assert not parts


def test_exported_trees_decide_as_lightgbm_does():
    """Also where a feature is on a threshold, which only an exact rounding of thresholds gets right."""
    draw = np.random.default_rng(5)
    rows = draw.normal(size=(3000, 6)).astype(np.float32)
    rows[:, 3] = np.round(rows[:, 3], 1)
    target = (rows[:, 0] * rows[:, 1] > rows[:, 3]).astype(np.float32) * draw.uniform(0.5, 1, 3000)
    parameters = {
        "objective": "cross_entropy",
        "num_leaves": 15,
        "use_missing": False,
        "verbosity": -1,
        "num_threads": 1,
    }
    booster = lightgbm.train(parameters, lightgbm.Dataset(rows, target), num_boost_round=30)
    trees = ensemble.exported(booster.dump_model())
    assert trees.threshold.dtype == np.float32 and len(trees.roots) == 30
    assert probabilities(words(trees), rows) == pytest.approx(booster.predict(rows), abs=1e-6)
    # LightGBM takes what is nearer to zero than 1e-35 for zero, and puts thresholds there.
    places = np.flatnonzero((np.abs(trees.threshold) > 1e-30) & (trees.feature >= 0))
    on = rows[: len(places)].copy()
    columns = np.arange(len(on)), trees.feature[places]
    on[columns] = trees.threshold[places]
    above = on.copy()
    above[columns] = np.nextafter(on[columns], np.float32(np.inf))
    assert len(places) > 200
    for tried in (on, above):
        assert probabilities(words(trees), tried) == pytest.approx(booster.predict(tried), abs=1e-6)


def test_trees_that_are_only_a_leaf_and_splits_that_are_none():
    leaf = {"tree_info": [{"tree_structure": {"leaf_value": 0.25}}] * 2}
    found = probabilities(words(ensemble.exported(leaf)), np.zeros((3, 1), np.float32))
    assert found == pytest.approx([1 / (1 + np.exp(-0.5))] * 3)
    split = {"split_feature": 0, "threshold": "1||2", "decision_type": "==", "missing_type": "None"}
    with pytest.raises(ValueError, match="=="):
        ensemble.exported(json.loads(json.dumps({"tree_info": [{"tree_structure": split}]})))
