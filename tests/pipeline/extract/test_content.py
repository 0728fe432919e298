"""The extractor as its users call it: what it takes and leaves, its settings, and the model that it comes with."""

from importlib.resources import files

import numpy as np
import pytest

from pipeline.extract import main_text
from pipeline.extract.content import PRESETS, content
from pipeline.extract.features import NAMES, VERSION
from pipeline.extract.learn import gold, metrics
from pipeline.extract.trees import FILE, model

from .test_choice import PAGE


def test_the_article_is_taken_and_the_frame_left():
    text = main_text(PAGE)
    assert text.splitlines()[0] == "A day at the mill"
    assert text.splitlines()[-1] == "- Wheat, which is ground once and sifted twice."
    assert "the miller's daughter brings bread and beer." in text
    assert "Imprint" not in text and "About" not in text


def test_markdown_marks_what_plain_text_does_not():
    assert content(PAGE, format="markdown").text.startswith("# A day at the mill\n\n")


@pytest.mark.parametrize("preset", PRESETS)
def test_pages_without_main_text_have_none(preset):
    assert content("", preset=preset) == ("", 0.0)
    assert content(b"<html><body><script>x</script>", preset=preset) == ("", 0.0)
    menu = "<ul>" + "<li><a href=/x>Imprint</a>" * 9 + "</ul>"
    assert content(PAGE).confidence > content(menu).confidence


def test_bytes_are_read_in_the_encoding_that_the_page_says():
    text = "Die Mühle läuft über Nacht, und niemand hört sein eigenes Wort, solange das Wasser fällt. " * 3
    html = f"<meta charset=iso-8859-1><body><main><p>{text}</p></main>"
    assert main_text(html.encode("latin-1")) == main_text(html.encode()) == main_text(html) == text.strip()


def test_unknown_presets_are_refused():
    with pytest.raises(ValueError, match="'best': choose fast, balanced, quality"):
        main_text(PAGE, "best")


def test_favouring_recall_takes_no_less_than_precision():
    shorter, middle, longer = (content(PAGE, favor=favor).text for favor in ("precision", "balanced", "recall"))
    assert len(shorter) <= len(middle) <= len(longer)


def test_the_model_is_small_and_knows_these_features():
    assert len((files("pipeline.extract") / FILE).read_bytes()) < 300_000
    found = model()
    assert (found.features, found.version) == (NAMES, VERSION)
    assert all(effort.first <= effort.last <= len(found.trees.roots) for effort in PRESETS.values())


def test_texts_are_near_to_those_of_annotators(test_data):
    """Pages that the model never saw; the benchmark measures how near, and how near others come."""
    data = test_data("B-wcxb-train").parent
    splits = gold.splits(data)
    pages = gold.sample((page for page in gold.wcxb(data) if splits.part(page) == "test"), 60)
    answers = [content(page.html) for page in pages]
    scores = np.array(
        [metrics.word_scores(answer.text, page.text or "").f1 for answer, page in zip(answers, pages, strict=True)]
    )
    assert scores.mean() > 0.8
    sure = np.array([answer.confidence for answer in answers]) > 0.9
    assert scores[sure].mean() > scores[~sure].mean()


def test_pages_of_too_many_blocks_are_refused(monkeypatch):
    from pipeline.extract import page

    monkeypatch.setattr(page, "MOST_BLOCKS", 1000)
    assert content("<p>word" * 900).text
    for part in ("<p>word", "<div>", "<table>"):
        with pytest.raises(MemoryError, match="more than 1,000 blocks"):
            content(part * 5000)
