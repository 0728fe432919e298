"""SPDX expressions: read as another library reads them, and judged as a brute-force evaluation judges them."""

import pytest
from hypothesis import given
from hypothesis import strategies as st
from packaging.licenses import InvalidLicenseExpression, canonicalize_license_expression

from pipeline.licenses import Allowed, parse
from pipeline.licenses.expressions import leaves
from pipeline.licenses.table import table

IDS = ["MIT", "Apache-2.0", "BSD-3-Clause", "0BSD", "ISC", "Zlib", "MPL-2.0", "LGPL-2.1-or-later", "GPL-3.0-only"]
PERMISSIVE = {"MIT", "Apache-2.0", "BSD-3-Clause", "0BSD", "ISC", "Zlib"}

trees = st.recursive(
    st.sampled_from(IDS),
    lambda inner: st.tuples(st.sampled_from(["AND", "OR"]), st.lists(inner, min_size=2, max_size=3)),
    max_leaves=8,
)


def written(tree, random):
    """An expression, with capitals and brackets as somebody may write them."""
    if isinstance(tree, str):
        return random.choice([tree, tree.lower(), f"({tree})"])
    operator, parts = tree
    return "(" + f" {operator} ".join(written(part, random) for part in parts) + ")"


def true_of(tree, allowed):
    if isinstance(tree, str):
        return tree in allowed
    operator, parts = tree
    return (all if operator == "AND" else any)(true_of(part, allowed) for part in parts)


@given(trees, st.randoms(), st.sets(st.sampled_from(IDS), min_size=1))
def test_judged_as_by_hand(tree, random, allowed):
    expression = parse(written(tree, random))
    assert Allowed(sorted(allowed))(expression) == true_of(tree, allowed)
    assert Allowed(["permissive"])(expression) == true_of(tree, PERMISSIVE)
    assert parse(str(expression)) == expression, "what is written reads the same"
    assert {leaf.id for leaf in leaves(expression)} <= set(IDS)


@given(trees, st.randoms())
def test_every_expression_is_one_for_another_library_too(tree, random):
    assert canonicalize_license_expression(str(parse(written(tree, random))))


@pytest.mark.parametrize(
    "text",
    [
        "",
        "MIT OR",
        "AND MIT",
        "(MIT",
        "MIT)",
        "MIT Apache-2.0",
        "MIT AND OR ISC",
        "GPL-2.0-only WITH MIT",
        "Nonesuch-1.0",
    ]
    + ["MIT WITH", "(MIT OR ISC) WITH LLVM-exception", "MIT & ISC", "LLVM-exception", "MIT OR ()", "(" * 200 + "MIT"],
)
def test_what_is_no_expression(text):
    with pytest.raises(ValueError):
        parse(text)
    with pytest.raises(InvalidLicenseExpression):
        canonicalize_license_expression(text)


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("mit or apache-2.0", "MIT OR Apache-2.0"),
        ("MIT AND (ISC OR Zlib)", "MIT AND (ISC OR Zlib)"),
        ("MIT OR ISC AND Zlib", "MIT OR ISC AND Zlib"),
        ("MIT OR (ISC OR MIT)", "MIT OR ISC"),
        ("GPL-2.0", "GPL-2.0-only"),
        ("GPL-2.0+", "GPL-2.0-or-later"),
        ("GPL-2.0-with-classpath-exception", "GPL-2.0-only WITH Classpath-exception-2.0"),
        ("Apache-2.0 with llvm-exception", "Apache-2.0 WITH LLVM-exception"),
        ("Apache-2.0+", "Apache-2.0+"),
        ("LicenseRef-mine AND MIT", "LicenseRef-mine AND MIT"),
    ],
)
def test_one_form(text, expected):
    assert str(parse(text)) == expected


@pytest.mark.parametrize(
    ("wanted", "text", "expected"),
    [
        (["permissive"], "Apache-2.0 WITH LLVM-exception", True),
        (["permissive"], "GPL-2.0-only WITH Classpath-exception-2.0", False),
        (["GPL-2.0-only WITH Classpath-exception-2.0"], "GPL-2.0-only WITH Classpath-exception-2.0", True),
        (["GPL-2.0-only WITH Classpath-exception-2.0"], "GPL-2.0-only", False),
        (["GPL-2.0"], "GPL-2.0-only", True),
        (["BSD-*"], "BSD-2-Clause-Patent", True),
        (["BSD-*"], "MIT", False),
        (["any"], "LicenseRef-unknown", True),
        (["permissive"], "LicenseRef-unknown", False),
        (["permissive"], "LicenseRef-BSD", True),
        (["permissive", "MPL-2.0"], "MPL-2.0 AND MIT", True),
        (["blue_oak"], "CC-BY-4.0", False),
        (["permissive"], "CC-BY-4.0", True),
        (["permissive"], "CC-BY-SA-4.0", False),
        (["permissive"], "Apache-2.0+", True),
    ],
)
def test_lists(wanted, text, expected):
    assert Allowed(wanted)(parse(text)) is expected


@pytest.mark.parametrize(
    ("wanted", "words"),
    [
        ("MTI", "unknown licence 'MTI'; did you mean 'MIT'"),
        ("BSD*Foo", "no licence is called"),
        ("MIT OR ISC", "one by one"),
    ],
)
def test_a_wrong_list_is_an_error(wanted, words):
    with pytest.raises(ValueError, match=words):
        Allowed([wanted])


def test_the_permissive_ones_are_what_the_field_calls_so():
    """By a list that nobody of the two sources wrote: the licences that The Stack and GitHub's chooser name."""
    permissive, blue_oak = Allowed(["permissive"]), Allowed(["blue_oak"])
    for name in "MIT Apache-2.0 BSD-2-Clause BSD-3-Clause ISC 0BSD Zlib BSL-1.0 Unlicense CC0-1.0 MIT-0 WTFPL".split():
        assert permissive(parse(name)), name
    for name in "GPL-2.0-only LGPL-3.0-or-later AGPL-3.0-only MPL-2.0 EPL-2.0 EUPL-1.2 SSPL-1.0 BUSL-1.1".split():
        assert not permissive(parse(name)) and not blue_oak(parse(name)), name
    for name in "CC-BY-NC-4.0 CC-BY-SA-4.0 CC-BY-ND-4.0 Elastic-2.0".split():
        assert not permissive(parse(name)), name
    listed = table().licenses.values()
    assert 200 < sum(entry.blue_oak for entry in listed) < sum(entry.permissive for entry in listed) < 500
