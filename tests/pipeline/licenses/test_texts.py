"""Licence texts are named, as SPDX has them and as people change them; what is no licence is not."""

import json
import random
import re
import sysconfig
import textwrap
from collections import defaultdict
from pathlib import Path

import pytest

from pipeline.licenses import licenses_in
from pipeline.licenses.table import SUCCESSORS
from pipeline.licenses.words import words_of

ROOT = Path(__file__).resolve().parents[3]

MIT = """Permission is hereby granted, free of charge, to any person obtaining a copy
of this software and associated documentation files (the "Software"), to deal
in the Software without restriction, including without limitation the rights
to use, copy, modify, merge, publish, distribute, sublicense, and/or sell
copies of the Software, and to permit persons to whom the Software is
furnished to do so, subject to the following conditions:

The above copyright notice and this permission notice shall be included in all
copies or substantial portions of the Software.

THE SOFTWARE IS PROVIDED "AS IS", WITHOUT WARRANTY OF ANY KIND, EXPRESS OR
IMPLIED, INCLUDING BUT NOT LIMITED TO THE WARRANTIES OF MERCHANTABILITY,
FITNESS FOR A PARTICULAR PURPOSE AND NONINFRINGEMENT. IN NO EVENT SHALL THE
AUTHORS OR COPYRIGHT HOLDERS BE LIABLE FOR ANY CLAIM, DAMAGES OR OTHER
LIABILITY, WHETHER IN AN ACTION OF CONTRACT, TORT OR OTHERWISE, ARISING FROM,
OUT OF OR IN CONNECTION WITH THE SOFTWARE OR THE USE OR OTHER DEALINGS IN THE
SOFTWARE.
"""

HOLDERS = ("Jane Q. Developer <jane@example.com>", "The Foo Authors", "ACME Software GmbH & Co. KG", "University of X")
README = """# FooBar

FooBar is a fast and small library to parse configuration files of many kinds. Import the module and call `load`; the
function returns a dictionary with all values. See the documentation for how sections and includes are handled.

## Installation

    pip install foobar

## License

"""
AFTER = """

## Contributing

Please open a pull request with tests. We review each of them within a week, and thank everybody who helps.
"""


def filled(text, chance):
    holder = chance.choice(HOLDERS)
    text = re.sub(r"<year>|\[yyyy\]|\[year\]|<yyyy(?:, yyyy)?>|\bYEAR\b|\byyyy\b", "2019-2023", text)
    names = r"<copyright holders?>|<name of author>|<owner>|\[name of copyright owner\]|\[fullname\]|<organization>"
    text = re.sub(names, holder, text, flags=re.IGNORECASE)
    return f"Copyright (c) 2019-2023 {holder}\nCopyright (c) 2021 Others\n\n{text}"


def wrapped(text, chance):
    """As a comment in a source file, with other line ends."""
    width, sign = chance.choice([50, 66, 100]), chance.choice(["# ", " * ", "// ", "  ", "-- "])
    paragraphs = re.split(r"\n\s*\n", filled(text, chance))
    return "\n\n".join("\n".join(sign + line for line in textwrap.wrap(paragraph, width)) for paragraph in paragraphs)


def in_readme(text, chance):
    return README + filled(text, chance) + AFTER


def misspelt(text, chance):
    """Every hundredth word is another one."""
    words = text.split()
    return " ".join(chance.choice(words) if chance.random() < 0.01 else word for word in words)


def without_title(text, chance):
    lines = text.split("\n")
    return "\n".join(lines[2:]) if len(lines) > 6 else text


def cut_off(text, chance):
    words = text.split()
    return " ".join(words[: len(words) * 7 // 10])


@pytest.fixture(scope="module")
def spdx(test_data):
    """Identifiers by the text that they share, of those that differ in words."""
    groups = defaultdict(list)
    texts = {}
    for path in sorted(test_data("I-spdx-licenses/licenses").iterdir()):
        text = json.loads(path.read_text())["licenseText"]
        key = words_of(text).tobytes()
        groups[key].append(path.stem)
        texts[key] = text
    return [(set(ids), texts[key]) for key, ids in groups.items()]


def is_named(ids, match):
    """Whether a match has one of the names. Deprecated names of the GPL with an exception have the exception's text."""
    meant = {SUCCESSORS.get(name, name) for name in ids}
    meant |= {
        f"{name.split('-with-')[1]}-{suffix}"
        for name in ids
        if "-with-" in name
        for suffix in ("2.0", "2.2", "3.0", "3.1")
    }
    meant |= {f"{name}-exception" for name in ids if name == "eCos-2.0"}
    lower = {name.lower() for name in meant}
    return match is not None and any(found.lower() in lower for found in match.ids)


@pytest.mark.parametrize(
    ("change", "least", "every"),
    [
        (lambda text, chance: text, 0.99, 1),
        (filled, 0.98, 4),
        (wrapped, 0.98, 4),
        (in_readme, 0.98, 4),
        (misspelt, 0.95, 4),
        (without_title, 0.94, 4),
        (cut_off, 0.8, 4),
    ],
)
def test_the_texts_of_spdx_are_named(spdx, change, least, every):
    chance = random.Random(7)
    sample = spdx[::every]
    right = wrong = 0
    for ids, text in sample:
        found = licenses_in(change(text, chance)).matches
        longest = max(found, key=lambda match: match.end - match.start, default=None)
        named = is_named(ids, longest)
        right += named
        wrong += longest is not None and not named
    assert right / len(sample) >= least
    assert wrong / len(sample) <= 0.04, "where a text cannot be told, it has no name rather than a wrong one"


def test_near_identical_texts_are_reported_as_a_family(spdx, test_data):
    """By the exact Jaccard of word 5-grams, which was computed for every pair of texts by brute force."""
    texts = {name: text for ids, text in spdx for name in ids}
    pairs = [
        line.split("\t")
        for line in test_data("I-spdx-licenses/gold_pairs_word5gram_jaccard.tsv").read_text().splitlines()[1:]
    ]
    near = [(one, other) for score, one, other in pairs if float(score) >= 0.98 and one in texts and other in texts]
    assert len(near) > 50
    together = 0
    for one, other in near:
        family = {name for match in licenses_in(texts[one]).matches for name in match.family}
        together += SUCCESSORS.get(other, other) in family
    assert together / len(near) > 0.95


def test_the_license_of_this_repository():
    (match,) = licenses_in((ROOT / "LICENSE").read_text()).matches
    assert match.ids == ("Apache-2.0",) and match.whole and match.similarity > 0.95


def test_several_licenses_in_one_file_keep_their_order():
    apache = (ROOT / "LICENSE").read_text()
    found = licenses_in(f"{MIT}\n\nParts are under another licence:\n\n{apache}\n\nAnd again:\n{MIT}")
    assert [match.ids for match in found.matches] == [("MIT",), ("Apache-2.0",), ("MIT",)]
    assert all(match.start < match.end for match in found.matches)
    assert sum(end - start for start, end in found.others) < 30


def test_a_clause_more_is_another_license():
    good = MIT.replace(
        "copies or substantial portions of the Software.\n",
        "copies or substantial portions of the Software.\n\nThe Software shall be used for Good, not Evil.\n",
    )
    (plain,), (json_license,) = licenses_in(MIT).matches, licenses_in(good).matches
    assert plain.ids == ("MIT",) and json_license.ids == ("JSON",)
    assert "MIT" in json_license.family or json_license.similarity > plain.similarity - 0.05


def test_html_and_parted_words_do_not_matter():
    page = (
        "<html><body><p>"
        + MIT.replace("\n\n", "</p>\n<p>").replace("documentation", "docu-\nmentation")
        + "</p></body>"
    )
    (match,) = licenses_in(page).matches
    assert match.ids == ("MIT",) and match.similarity > 0.95


@pytest.mark.parametrize("text", ["", "x", "license", "MIT", "é" * 50, "\0\0\0\0", "the " * 500, " \n" * 1000])
def test_what_is_no_license(text):
    assert licenses_in(text).matches == ()


def test_code_is_no_license():
    files = sorted(Path(sysconfig.get_paths()["stdlib"]).glob("*.py"))
    texts = [path.read_text(encoding="utf-8") for path in files]
    innocent = [text for text in texts if not re.search("licen[cs]e|permission|redistribution", text, re.IGNORECASE)]
    assert len(innocent) > 50
    assert [licenses_in(text).matches for text in innocent] == [()] * len(innocent)


def test_a_text_made_of_licenses_ends():
    assert len(licenses_in(f"{MIT}\nand\n" * 300).matches) > 10
