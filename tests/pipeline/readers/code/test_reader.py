"""Source code from folders: every file with its fate, whatever the splits; settings; repositories as one document."""

import os
from collections import Counter

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from pydantic import ValidationError

from pipeline.config import load
from pipeline.configfile import ConfigFile
from pipeline.plan import make_plan
from pipeline.readers import READERS, CodeReader


def test_every_file_has_its_fate(demo, read_all, kept, dropped, files):
    records, ignored = read_all(CodeReader(), demo)
    by_path = {record.signals["path"]: record for record in records}
    assert set(by_path) == set(files)
    assert {path for path, record in by_path.items() if record.text is not None} == set(kept)
    for reason, group in dropped.items():
        assert {path for path, record in by_path.items() if record.drop == f"read.{reason}"} == set(group)
    assert not ignored and not [record for record in records if record.error]
    assert [record.offset for record in records] == list(range(len(files)))


def test_what_is_told_of_a_file(demo, read_all, kept):
    by_path = {record.signals["path"]: record for record in read_all(CodeReader(), demo)[0]}
    core = by_path["demo/core.py"]
    assert core.text == kept["demo/core.py"].decode()
    assert (core.license, core.doc_id, core.charset) == ("Apache-2.0", "demo/demo/core.py", "utf-8")
    assert core.signals == {
        "repository": "demo",
        "revision": None,
        "path": "demo/core.py",
        "language": "Python",
        "kind": "programming",
        "license_by": "license",
    }
    assert set(core.signals) < set(CodeReader.signals)
    assert by_path["demo/latin.py"].text.endswith("'Jürgen'\n")
    assert by_path["gpl.c"].license == "GPL-2.0-only" and by_path["gpl.c"].signals["license_by"] == "file"
    languages = {path: record.signals["language"] for path, record in by_path.items()}
    assert [languages[name] for name in ("src/a.h", "src/b.h", "tool", "web/app.ts")] == [
        "C",
        "C++",
        "Python",
        "TypeScript",
    ]


@pytest.fixture(scope="module")
def whole(tmp_path_factory, write, files, read_all):
    """The repository in one place for many examples, and what is read of it in one piece."""
    folder = write(tmp_path_factory.mktemp("splits") / "demo", files)
    return folder, read_all(CodeReader(), folder)


@settings(max_examples=20)
@given(split_bytes=st.integers(1, 2_000_000))
def test_splits_do_not_matter(whole, read_all, split_bytes):
    folder, expected = whole
    assert read_all(CodeReader(), folder, split_bytes) == expected


def test_a_large_folder_is_cut(demo, files):
    reader = CodeReader()
    size, _ = reader.takes_folder(str(demo))
    assert size == sum(map(len, files.values()))
    splits = reader.splits(size, str(demo), 4096)
    assert len(splits) > 2 and splits[0].start == 0 and splits[-1].end == len(files)
    assert all(one.end == other.start for one, other in zip(splits, splits[1:], strict=False))


def test_links_and_what_tools_keep_are_not_read(demo, read_all, tmp_path, files):
    secret = tmp_path / "secret.py"
    secret.write_text("password = 1\n")
    (demo / "link.py").symlink_to(secret)
    (demo / "loop").symlink_to(demo)
    os.mkfifo(demo / "pipe.py")
    (demo / "__pycache__").mkdir()
    (demo / "__pycache__/x.pyc").write_bytes(b"\0")
    records, ignored = read_all(CodeReader(), demo)
    assert ignored == {"link": 2, "device": 1, "hidden": 1}
    assert len(records) == len(files) and not any("password" in (record.text or "") for record in records)


def test_a_folder_that_cannot_be_read_is_counted(demo, read_all, files, monkeypatch):
    scandir = os.scandir

    def refusing(path):
        if str(path).endswith("third_party"):
            raise PermissionError(path)
        return scandir(path)

    monkeypatch.setattr(os, "scandir", refusing)
    records, ignored = read_all(CodeReader(), demo)
    assert ignored == {"unreadable": 1} and len(records) == len(files) - 1


def test_the_stamp_changes_when_a_file_does(demo):
    before = CodeReader().takes_folder(str(demo))
    assert CodeReader().takes_folder(str(demo)) == before
    (demo / "demo/core.py").write_text("changed = 1\n")
    assert CodeReader().takes_folder(str(demo)) != before


@pytest.mark.parametrize(
    ("settings", "reasons"),
    [
        ({"drop": {"vendored": False}}, ["vendored"]),
        ({"drop": {"generated": False}}, ["generated"]),
        ({"drop": {"minified": False}}, ["minified"]),
        ({"drop": {"unknown": False}}, ["language"]),
        ({"drop": {"data_lines": None}}, ["data"]),
        ({"drop": {"larger": "4MiB"}}, ["large"]),
        ({"licenses": ["any"]}, ["license"]),
        ({"licenses": ["permissive", "GPL-2.0-only"]}, ["license"]),
    ],
)
def test_each_rule_can_be_switched_off(demo, read_all, settings, reasons, kept, dropped):
    found = {record.signals["path"] for record in read_all(CodeReader(**settings), demo)[0] if record.text is not None}
    assert found == set(kept) | {path for reason in reasons for path in dropped[reason]}


def test_without_a_license_nothing_is_kept_unless_asked_for(tmp_path, write, read_all):
    folder = write(tmp_path / "x", {"a.py": b"x = 1\n", "b.py": b"# SPDX-License-Identifier: MIT\ny = 1\n"})
    a, b = read_all(CodeReader(), folder)[0]
    assert a.drop == "read.unlicensed" and b.license == "MIT"
    a, b = read_all(CodeReader(unlicensed=True), folder)[0]
    assert a.text == "x = 1\n" and a.license is None and b.license == "MIT"


def test_languages_and_kinds(demo, read_all):
    records = read_all(CodeReader(languages=["py", "c++"]), demo)[0]
    assert {record.signals["language"] for record in records if record.text} == {"Python", "C++"}
    records = read_all(CodeReader(kinds=["data", "prose"]), demo)[0]
    assert {record.signals["path"] for record in records if record.text} == {
        *("README.md", "LICENSE", "pyproject.toml", "conf/a.yaml")
    }


@pytest.mark.parametrize(
    ("settings", "words"),
    [
        ({"languages": ["Pyhton"]}, "unknown language 'Pyhton'; did you mean 'Python'"),
        ({"licenses": ["permissve"]}, "unknown licence 'permissve'; did you mean 'permissive'"),
        ({"header": "no place"}, r"write \{path\} into it"),
        ({"revision": "--upload-pack=x"}, "revision"),
        ({"drop": {"vendord": False}}, "vendord"),
    ],
)
def test_wrong_settings(settings, words):
    with pytest.raises(ValidationError, match=words):
        CodeReader(**settings)


def test_notebooks_become_markdown(tmp_path, write, read_all, kept):
    notebook = (
        b'{"cells": [{"cell_type": "markdown", "source": ["# T\\n", "text"]},'
        b'{"cell_type": "code", "source": "x = 1", "outputs": [{"text": "SECRET"}]}], "nbformat": 4}'
    )
    folder = write(tmp_path / "n", {"a.ipynb": notebook, "b.ipynb": b"{", "LICENSE": kept["LICENSE"]})
    by_path = {record.signals["path"]: record for record in read_all(CodeReader(), folder)[0]}
    assert by_path["a.ipynb"].text == "# T\ntext\n\n```python\nx = 1\n```\n"
    assert by_path["b.ipynb"].error == "read.notebook"


def test_a_repository_as_one_document(demo, read_all, kept, dropped, files):
    (record,), ignored = read_all(CodeReader(context="repository"), demo)
    assert ignored == {reason: len(files) for reason, files in dropped.items()}
    assert record.signals["files"] == len(kept) and record.signals["repository"] == "demo"
    assert (record.license, record.signals["language"], record.doc_id) == ("Apache-2.0", "Text", "demo")
    for path, data in kept.items():
        if path != "demo/latin.py":
            assert f"=== {path} ===\n{data.decode()}" in record.text
    order = [line[4:-4] for line in record.text.splitlines() if line.startswith("=== ")]
    assert order[0] in ("README.md", "pyproject.toml")
    assert order.index("demo/core.py") < order.index("demo/__init__.py")


def test_a_large_repository_is_cut_between_files(demo, read_all, kept):
    records, _ = read_all(CodeReader(context="repository", document_bytes=11_500, header="<file>{path}\n"), demo)
    assert len(records) > 1 and sum(record.signals["files"] for record in records) == len(kept)
    paths = [line[6:] for record in records for line in record.text.splitlines() if line.startswith("<file>")]
    assert sorted(paths) == sorted(kept)
    assert all(len(record.text.encode()) <= 11_500 for record in records if record.signals["files"] > 1)


def test_folders_are_inputs_of_a_run(tmp_path, write, kept):
    write(tmp_path / "repos/one", kept)
    write(tmp_path / "repos/two", {"a.py": b"x = 1\n"})
    config = tmp_path / "x.yaml"
    config.write_text(f"sources: {{code: {{use: code, paths: ['{tmp_path}/repos/*']}}}}\nsteps: {{}}\n")
    plan = make_plan(load(ConfigFile.read(config)))
    assert [file.name for file in plan.inputs["code"]] == ["one", "two"]
    assert [file.size for file in plan.inputs["code"]] == [sum(map(len, kept.values())), 6]


def test_what_is_neither_folder_nor_archive(tmp_path):
    path = tmp_path / "a.txt"
    path.write_text("x")
    with pytest.raises(ValueError, match="no folder and no archive"):
        CodeReader().splits(1, str(path), 1)


def test_an_empty_folder(tmp_path, read_all):
    (tmp_path / "x").mkdir()
    assert read_all(CodeReader(), tmp_path / "x") == ([], Counter())


def test_it_is_registered():
    assert READERS["code"] is CodeReader
