"""Main texts of pages that nobody annotated, as another extractor finds them; kept in a cache of the caller's.

A teacher's mistakes become the pupil's, so that its texts are a supplement to gold and never what anything is measured
against. What it gives depends on the page, its settings and its version alone, and these three name the file.
"""

import hashlib
import json
from collections import Counter
from collections.abc import Iterable, Iterator
from pathlib import Path
from uuid import uuid4

from pipeline.extract.learn.gold import Page
from pipeline.extract.step import Extract

TEACHER = Extract(engine="trafilatura", favor="balanced")


def taught(pages: Iterable[Page], cache: Path, ignored: Counter[str], teacher: Extract = TEACHER) -> Iterator[Page]:
    """Yield pages with the text that the teacher finds.

    Args:
        cache: a folder, made if it is not there.
        ignored: counts the pages that are not given, because the teacher found no text or failed, by reason.
    """
    settings = json.dumps([teacher.model_dump(mode="json"), dict(teacher.identity())], sort_keys=True)
    folder = cache / hashlib.sha256(settings.encode()).hexdigest()[:16]
    folder.mkdir(parents=True, exist_ok=True)
    for page in pages:
        file = folder / f"{hashlib.sha256(page.html).hexdigest()}.json"
        if not file.exists():
            text, error, _ = teacher.main_text(page.html.decode("utf-8", "replace"), page.url)
            part = file.with_suffix(f".{uuid4().hex}")
            part.write_text(json.dumps({"text": text, "error": error}), encoding="utf-8")
            part.replace(file)
        answer = json.loads(file.read_text(encoding="utf-8"))
        if answer["error"] or not answer["text"].strip():
            ignored[answer["error"] or "empty"] += 1
        else:
            yield page._replace(text=answer["text"])
