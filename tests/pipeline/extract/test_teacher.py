"""A teacher's texts: asked for once, kept by page and settings, and failures told."""

import json
from collections import Counter

from pipeline.extract.learn.gold import Page
from pipeline.extract.learn.teacher import TEACHER, taught
from pipeline.extract.step import Extract

ARTICLE = "".join(f"<p>This is sentence {i} of the article, long enough to count as content.</p>" for i in range(12))
PAGES = [
    Page("a/0", "https://a.example/", f"<body><nav><a>Home</a></nav><article>{ARTICLE}</article></body>".encode()),
    Page("a/1", "https://a.example/empty", b"<html><body></body></html>"),
]


def test_texts_are_found_once_and_then_read(tmp_path):
    ignored = Counter()
    (found,) = taught(PAGES, tmp_path / "cache", ignored)
    assert found.text.count("long enough") == 12 and "Home" not in found.text and found[:3] == PAGES[0][:3]
    assert ignored == {"empty": 1}
    files = sorted((tmp_path / "cache").rglob("*.json"))
    assert len(files) == 2
    for file in files:
        file.write_text(json.dumps({"text": "kept", "error": None}))
    assert [one.text for one in taught(PAGES, tmp_path / "cache", ignored)] == ["kept", "kept"]
    assert ignored == {"empty": 1}
    other = Extract(engine="resiliparse")
    assert [one.text for one in taught(PAGES[:1], tmp_path / "cache", ignored, other)] != ["kept"]


def test_failures_are_counted_and_not_asked_for_again(tmp_path):
    stuck = Page("b", "https://b/", ("<table>" + "<tr><td>a</td><td>b</td></tr>" * 60_000).encode())
    hasty, ignored = TEACHER.model_copy(update={"seconds": 0.5}), Counter()
    assert [*taught([stuck], tmp_path, ignored, hasty), *taught([stuck], tmp_path, ignored, hasty)] == []
    assert ignored == {"timeout": 2} and len(list(tmp_path.rglob("*.json"))) == 1
