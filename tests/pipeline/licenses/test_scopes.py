"""Which licence a file is under: its own words, licence files near and far, metadata, REUSE; and real packages."""

import importlib.metadata
import re
from pathlib import Path

import pytest
from packaging.licenses import InvalidLicenseExpression, canonicalize_license_expression

from pipeline.licenses import Scopes, license_of, notice_in, parse, tells_license
from pipeline.licenses.expressions import leaves
from pipeline.licenses.files import is_aside, is_license_file
from pipeline.licenses.manifests import declared_in

ROOT = Path(__file__).resolve().parents[3]
APACHE = (ROOT / "LICENSE").read_text()
MIT = """MIT License

Copyright (c) 2020 Somebody

Permission is hereby granted, free of charge, to any person obtaining a copy of this software and associated
documentation files (the "Software"), to deal in the Software without restriction, including without limitation the
rights to use, copy, modify, merge, publish, distribute, sublicense, and/or sell copies of the Software, and to
permit persons to whom the Software is furnished to do so, subject to the following conditions:

The above copyright notice and this permission notice shall be included in all copies or substantial portions of
the Software.

THE SOFTWARE IS PROVIDED "AS IS", WITHOUT WARRANTY OF ANY KIND, EXPRESS OR IMPLIED, INCLUDING BUT NOT LIMITED TO
THE WARRANTIES OF MERCHANTABILITY, FITNESS FOR A PARTICULAR PURPOSE AND NONINFRINGEMENT. IN NO EVENT SHALL THE
AUTHORS OR COPYRIGHT HOLDERS BE LIABLE FOR ANY CLAIM, DAMAGES OR OTHER LIABILITY, WHETHER IN AN ACTION OF CONTRACT,
TORT OR OTHERWISE, ARISING FROM, OUT OF OR IN CONNECTION WITH THE SOFTWARE OR THE USE OR OTHER DEALINGS IN THE
SOFTWARE.
"""
GPL_NOTICE = """/* Frobnicator.
 *
 * This program is free software; you can redistribute it and/or modify
 * it under the terms of the GNU General Public License as published by
 * the Free Software Foundation; either version 2 of the License, or
 * (at your option) any later version.
 *
 * See the GNU General Public License for more details. */
int x;
"""


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("# SPDX-License-Identifier: MIT\nx = 1\n", "MIT"),
        ("/* SPDX-License-Identifier: (GPL-2.0+ OR BSD-3-Clause) */\n", "GPL-2.0-or-later OR BSD-3-Clause"),
        ("<!-- SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception -->", "Apache-2.0 WITH LLVM-exception"),
        ("|* SPDX-License-Identifier: Apache-2.0        *|\n", "Apache-2.0"),
        ("// SPDX-License-Identifier: My-Own\n", "LicenseRef-unknown"),
        ('x = "SPDX-License-Identifier: MIT"\n', None),
        (GPL_NOTICE, "GPL-2.0-or-later"),
        ("".join(f"# {line}\n" for line in MIT.splitlines()) + "x = 1\n", "MIT"),
        (
            '# Licensed under the Apache License, Version 2.0 (the "License");\n# you may not use this file\n',
            "Apache-2.0",
        ),
        ("# This Source Code Form is subject to the terms of the Mozilla Public License, v. 2.0.\n", "MPL-2.0"),
        ("# Released under the MIT License.\n# Copyright X\n", "MIT"),
        ("-- This file is placed in the public domain.\n", "LicenseRef-public-domain"),
        ("// Use of this source code is governed by a BSD-style license in the LICENSE file.\n", None),
        ("/* Copyright ACME. Proprietary and confidential. */", "LicenseRef-proprietary"),
        ("# For academic use only.\n# See licence.\n", "LicenseRef-unknown"),
        ("/* Dual licensed under the MIT license or GPL version 2. */", "GPL-2.0-only OR MIT"),
        ("// under the GNU Lesser General Public License version 2.1\n", "LGPL-2.1-only"),
        ("# GNU Affero General Public License v3 or later\n", "AGPL-3.0-or-later"),
        ("import licenses\n# Licensed under the MIT License\n", None),
        ('#!/usr/bin/env python3\n"""Tools.\n\nLicense: MIT\n"""\nimport os\n', "MIT"),
        ("x = 1\n", None),
        ("", None),
    ],
)
def test_what_a_file_says_of_itself(text, expected):
    found = notice_in(text)
    assert (None if found is None else str(found)) == expected


@pytest.mark.parametrize(
    ("path", "expected"),
    [
        *[
            (name, True)
            for name in ("LICENSE", "LICENSE.txt", "src/COPYING", "COPYING.LESSER", "LICENSE-MIT", "LICENCE.md")
        ],
        *[
            (name, True)
            for name in ("MIT-LICENSE", "UNLICENSE", "NOTICE", "LICENSES/MIT.txt", "COPYING3", "License-GPL-2.0")
        ],
        *[
            (name, False)
            for name in ("license.py", "src/licensing.go", "license_test.c", "LICENSES/x.json", "licensed.rs")
        ],
        *[
            (name, False)
            for name in ("README.md", "licenses/AUTHORS", "notices.py", "committee.txt", "submit", "copying.c")
        ],
    ],
)
def test_names_of_license_files(path, expected):
    assert is_license_file(path) is expected
    assert tells_license(path) or not expected


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        (MIT, "MIT"),
        (f"{MIT}\n\nParts of this software are licensed under the Apache License, Version 2.0.", "MIT AND Apache-2.0"),
        (f"{MIT}\n\nThe Commons Clause applies: you may not sell the Software.", "MIT AND LicenseRef-unknown"),
        (f"{MIT}\n\nFree for non-commercial use.", "MIT AND LicenseRef-unknown"),
        (f"{MIT}\n---\n{APACHE}", "MIT AND Apache-2.0"),
        ("All rights reserved. You get nothing, and you will not be told why; do not ask again.", "LicenseRef-unknown"),
        ("See LICENSE.txt", None),
        ("", None),
    ],
)
def test_license_files(text, expected):
    found = license_of(text)
    assert (None if found is None else str(found)) == expected


def test_a_notice_without_a_license_says_nothing():
    assert is_aside("NOTICE") and not is_aside("LICENSE")
    assert (
        license_of(
            "This product includes software developed by many people, all over the world, for years.", aside=True
        )
        is None
    )


@pytest.mark.parametrize(
    ("path", "text", "expected"),
    [
        ("pyproject.toml", '[project]\nlicense = "MIT OR Apache-2.0"', "MIT OR Apache-2.0"),
        ("pyproject.toml", '[project]\nlicense = {text = "BSD 3-Clause License"}', "BSD-3-Clause"),
        ("pyproject.toml", '[tool.poetry]\nlicense = "Apache-2.0"', "Apache-2.0"),
        ("pyproject.toml", '[project]\nclassifiers = ["License :: OSI Approved :: ISC License (ISCL)"]', "ISC"),
        ("pyproject.toml", "[project]\nlicense = {file = 'LICENSE'}", None),
        ("pyproject.toml", "[project\n", None),
        ("setup.cfg", "[metadata]\nlicense = GPLv3+\n", "GPL-3.0-or-later"),
        ("setup.cfg", "[metadata]\nclassifiers =\n  License :: OSI Approved :: MIT License\n", "MIT"),
        ("setup.py", "setup(\n name='x', license='Apache 2.0')", "Apache-2.0"),
        ("package.json", '{"license": "(MIT OR Apache-2.0)"}', "MIT OR Apache-2.0"),
        ("package.json", '{"licenses": [{"type": "MIT"}, {"type": "GPL-2.0"}]}', "MIT OR GPL-2.0-only"),
        ("package.json", '{"license": "UNLICENSED"}', "LicenseRef-proprietary"),
        ("package.json", '{"license": "SEE LICENSE IN x"}', None),
        ("package.json", '{"license": ' + "[" * 5000, None),
        ("package.json", "[1, 2]", None),
        ("Cargo.toml", '[package]\nlicense = "MIT/Apache-2.0"', "MIT OR Apache-2.0"),
        ("Cargo.toml", "[package]\nlicense.workspace = true", None),
        ("PKG-INFO", "Metadata-Version: 2.4\nName: x\nLicense-Expression: MIT AND Zlib\n\nText", "MIT AND Zlib"),
        (
            "PKG-INFO",
            "Name: x\nLicense: UNKNOWN\nClassifier: License :: OSI Approved :: BSD License\n",
            "LicenseRef-BSD",
        ),
        ("a.gemspec", "Gem::Specification.new do |s|\n s.license = 'MIT'\nend", "MIT"),
        (
            "pom.xml",
            "<licenses><license>\n<name>The Apache License, Version 2.0</name></license></licenses>",
            "Apache-2.0",
        ),
        ("DESCRIPTION", "Package: x\nLicense: GPL (>= 2) | file LICENSE\n", "GPL-2.0-or-later"),
        ("DESCRIPTION", "Package: x\nLicense: MIT + file LICENSE\n", "MIT"),
        ("x.cabal", "name: x\nlicense: BSD-3-Clause\n", "BSD-3-Clause"),
        ("composer.json", '{"license": ["LGPL-2.1-only", "GPL-3.0-or-later"]}', "LGPL-2.1-only OR GPL-3.0-or-later"),
    ],
)
def test_metadata(path, text, expected):
    found = declared_in(path, text)
    assert (None if found is None else str(found.expression)) == expected


def licensed(files, path="src/a.py", text="x = 1\n"):
    scopes = Scopes()
    for name, content in files.items():
        assert tells_license(name)
        scopes.add(name, content)
    found = scopes.of(path, text)
    return None if found is None else (str(found.expression), found.by)


def test_the_nearest_folder_decides_and_a_file_before_it():
    files = {"LICENSE": MIT, "vendored/lib/COPYING": APACHE, "vendored/lib/package.json": '{"license": "ISC"}'}
    assert licensed(files) == ("MIT", "license")
    assert licensed(files, "vendored/x.py") == ("MIT", "license")
    assert licensed(files, "vendored/lib/deep/x.py") == ("Apache-2.0 AND ISC", "license")
    assert licensed(files, "x.c", GPL_NOTICE) == ("GPL-2.0-or-later", "file")
    assert licensed({}) is None


def test_metadata_tells_choice_from_sum():
    both = {"LICENSE-MIT": MIT, "LICENSE-APACHE": APACHE}
    assert licensed(both) == ("Apache-2.0 AND MIT", "license")
    assert licensed({**both, "Cargo.toml": '[package]\nlicense = "MIT OR Apache-2.0"'}) == (
        "MIT OR Apache-2.0",
        "license",
    )


def test_metadata_alone_and_readme_alone():
    assert licensed({"package.json": '{"license": "MIT"}'}) == ("MIT", "metadata")
    assert licensed({"README.md": "# X\n\nText.\n\n## License\n\nMIT License, see there.\n"}) == ("MIT", "readme")
    assert licensed({"README.md": "# X\n\nThe licence of MIT License is in no section.\n"}) is None


def test_metadata_that_speaks_of_another_license_does_not_hide_the_file():
    found = licensed({"LICENSE": APACHE, "package.json": '{"license": "MIT"}'})
    assert found == ("Apache-2.0 AND MIT", "license")


def test_a_license_that_was_too_large_to_read_is_unknown():
    assert licensed({"LICENSE": None}) == ("LicenseRef-unknown", "license")


def test_reuse():
    files = {
        "LICENSES/MIT.txt": MIT,
        "LICENSES/Apache-2.0.txt": APACHE,
        "data.csv.license": "SPDX-License-Identifier: CC0-1.0",
    }
    assert licensed(files, "data.csv", "1,2\n") == ("CC0-1.0", "file")
    assert licensed(files, "a.py") == ("Apache-2.0 AND MIT", "license")


def test_a_file_that_points_to_others_adds_nothing():
    pointer = (
        "This software is made available under the terms of the files LICENSE.APACHE and LICENSE.MIT beside this one."
    )
    assert licensed({"LICENSE": pointer, "LICENSE.APACHE": APACHE, "LICENSE.MIT": MIT}) == (
        "Apache-2.0 AND MIT",
        "license",
    )


def distributions():
    for distribution in importlib.metadata.distributions():
        expression = distribution.metadata.get("License-Expression")
        try:
            expression = canonicalize_license_expression(expression) if expression else None
        except InvalidLicenseExpression:
            expression = None
        if expression is not None:
            yield distribution, expression


def test_installed_packages_have_the_license_that_they_declare():
    """Texts are read without the metadata that says what they are."""
    right, wrong = [], []
    for distribution, expression in distributions():
        texts = [file for file in distribution.files or () if is_license_file(str(file)) and ".dist-info/" in str(file)]
        texts = [file for file in texts if "third_party" not in str(file) and Path(file.locate()).is_file()]
        if not texts or " " in expression:
            continue
        found = set()
        for file in texts:
            named = license_of(file.locate().read_text(encoding="utf-8", errors="replace"), aside=is_aside(str(file)))
            found |= {leaf.id for leaf in leaves(named)} if named is not None else set()
        (right if expression in found else wrong).append((distribution.name, expression, found))
    assert len(right) > 15
    assert len(wrong) <= len(right) / 10, wrong


def test_whole_packages_are_under_what_they_declare():
    agreed = 0
    disagreed = []
    for distribution, expression in distributions():
        scopes = Scopes()
        for file in distribution.files or ():
            if (
                str(file).count("/") < 4
                and ".." not in str(file)
                and tells_license(str(file))
                and file.locate().is_file()
            ):
                scopes.add(str(file), file.locate().read_text(encoding="utf-8", errors="replace"))
        found = scopes.root()
        if found is not None and str(found.expression) == str(parse(expression)):
            agreed += 1
        else:
            disagreed.append((distribution.name, expression, found))
    assert agreed > 15
    assert len(disagreed) <= agreed / 10, disagreed


def test_spdx_tags_in_an_installed_package():
    """attrs has one in each of its files."""
    (distribution,) = [d for d in importlib.metadata.distributions() if d.name == "attrs"]
    tagged = 0
    for file in distribution.files or ():
        if file.suffix == ".py" and (text := file.locate().read_text()) and "SPDX" in text[:500]:
            tag = re.search(r"SPDX-License-Identifier: (\S+)", text)
            assert tag is not None and str(notice_in(text)) == tag[1]
            tagged += 1
    assert tagged > 10
