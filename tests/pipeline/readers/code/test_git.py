"""Git repositories: the files of a commit, from a working tree or a bare repository, and nothing in it is ever run."""

import os
import shutil
import zlib

import pytest

from pipeline.readers import CodeReader

pytestmark = pytest.mark.skipif(shutil.which("git") is None, reason="needs the git command")


@pytest.fixture
def repository(demo, git):
    """The demo repository with one commit, of an earlier version another, and a tag."""
    git(demo, "init", "-q", "-b", "main")
    git(demo, "add", "-A", "-f")
    git(demo, "commit", "-q", "-m", "one")
    git(demo, "tag", "v1")
    return demo


def fates(records):
    return {record.signals["path"]: (record.text, record.drop, record.license) for record in records}


def test_a_commit_has_the_files_of_the_folder(repository, read_all, tmp_path, write, files, git):
    records, ignored = read_all(CodeReader(), repository)
    plain = write(tmp_path / "plain", files)
    assert fates(records) == fates(read_all(CodeReader(), plain)[0]) and not ignored
    commit = git(repository, "rev-parse", "HEAD").strip()
    assert {(record.signals["revision"], record.date) for record in records} == {(commit, "2024-05-06T07:08:09+02:00")}
    listed = git(repository, "ls-tree", "-r", "--name-only", "HEAD").splitlines()
    assert [record.signals["path"] for record in records] == listed


def test_a_bare_repository_and_any_splits(repository, read_all, tmp_path, git):
    git(tmp_path, "clone", "-q", "--bare", str(repository), "bare.git")
    records, _ = read_all(CodeReader(), tmp_path / "bare.git")
    assert fates(records) == fates(read_all(CodeReader(), repository)[0])
    for split_bytes in (1, 5000, 100_000):
        assert read_all(CodeReader(), tmp_path / "bare.git", split_bytes)[0] == records


def test_only_what_is_committed_counts(repository, read_all):
    before = read_all(CodeReader(), repository)
    (repository / "untracked.py").write_text("x = 1\n")
    (repository / "demo/core.py").write_text("changed\n")
    assert read_all(CodeReader(), repository) == before


def test_other_revisions(repository, read_all, git):
    (repository / "new.py").write_text("y = 2\n")
    git(repository, "add", "new.py")
    git(repository, "commit", "-q", "-m", "two")
    paths = {record.signals["path"] for record in read_all(CodeReader(), repository)[0]}
    old = {record.signals["path"] for record in read_all(CodeReader(revision="v1"), repository)[0]}
    assert paths - old == {"new.py"}
    assert CodeReader().takes_folder(str(repository)) != CodeReader(revision="v1").takes_folder(str(repository))


@pytest.mark.parametrize("revision", ["HEAD", "nonesuch"])
def test_a_commit_that_is_not_there(revision, tmp_path, git, read_all):
    git(tmp_path, "init", "-q", "empty")
    (record,), _ = read_all(CodeReader(revision=revision), tmp_path / "empty")
    assert record.error == "read.revision"


@pytest.mark.parametrize(
    ("address", "name"),
    [
        ("https://user:secret@github.com/owner/thing.git", "owner/thing"),
        ("git@github.com:owner/thing.git", "owner/thing"),
        ("ssh://host:22/owner/thing", "owner/thing"),
        ("/some/folder/thing", "demo"),
    ],
)
def test_the_name_is_that_of_the_origin(address, name, repository, git, read_all):
    git(repository, "remote", "add", "origin", address)
    records, _ = read_all(CodeReader(), repository)
    assert {record.signals["repository"] for record in records} == {name}
    assert not any("secret" in str(record) for record in records)


def test_links_and_submodules_are_counted(repository, git, read_all):
    (repository / "link.py").symlink_to("/etc/passwd")
    git(repository, "add", "link.py")
    git(repository, "update-index", "--add", "--cacheinfo", f"160000,{'1' * 40},sub")
    git(repository, "commit", "-q", "-m", "odd")
    records, ignored = read_all(CodeReader(), repository)
    assert ignored == {"link": 1, "submodule": 1}
    assert not {"link.py", "sub"} & {record.signals["path"] for record in records}


def test_nothing_in_a_repository_is_run(repository, git, read_all, tmp_path):
    """Every setting by which git runs a program, and a blob that only a remote has."""
    canary = tmp_path / "canary"
    program = tmp_path / "program"
    program.write_text(f"#!/bin/sh\ntouch {canary}\n")
    program.chmod(0o755)
    (repository / ".gitattributes").write_text("* filter=evil diff=evil\n")
    git(repository, "add", ".gitattributes")
    git(repository, "commit", "-q", "-m", "attributes")
    for hook in ("post-checkout", "post-index-change", "fsmonitor-watchman", "reference-transaction"):
        shutil.copy(program, repository / ".git/hooks" / hook)
    for key in ("core.fsmonitor", "core.pager", "core.editor", "core.sshCommand", "core.gitProxy", "gpg.program"):
        git(repository, "config", key, str(program))
    for key in (
        "filter.evil.smudge",
        "filter.evil.process",
        "diff.evil.textconv",
        "diff.evil.command",
        "diff.external",
    ):
        git(repository, "config", key, str(program))
    for key, value in (
        ("core.alternateRefsCommand", str(program)),
        ("credential.helper", f"!{program}"),
        ("log.showSignature", "true"),
        ("core.repositoryFormatVersion", "1"),
        ("extensions.partialClone", "origin"),
        ("remote.origin.url", f"ext::{program}"),
        ("remote.origin.promisor", "true"),
        ("remote.origin.uploadpack", str(program)),
        ("protocol.ext.allow", "always"),
        ("protocol.allow", "always"),
    ):
        git(repository, "config", key, value)
    blob = git(repository, "rev-parse", "HEAD:demo/core.py").strip()
    os.remove(repository / ".git/objects" / blob[:2] / blob[2:])
    by_path = {record.signals["path"]: record for record in read_all(CodeReader(), repository)[0]}
    assert not canary.exists()
    assert by_path["demo/core.py"].error is not None
    assert by_path["demo/__init__.py"].text is not None


@pytest.mark.parametrize("damage", ["bits", "size"])
def test_a_damaged_object_costs_itself(damage, repository, git, read_all, kept):
    blob = git(repository, "rev-parse", "HEAD:demo/core.py").strip()
    path = repository / ".git/objects" / blob[:2] / blob[2:]
    os.chmod(path, 0o644)
    path.write_bytes(b"no object" if damage == "bits" else zlib.compress(b"blob 9\0x"))
    records, _ = read_all(CodeReader(), repository)
    assert {record.signals["path"]: record.error for record in records if record.error}.keys() == {"demo/core.py"}
    assert sum(record.text is not None for record in records) == len(kept) - 1


def test_a_damaged_tree_is_an_error(repository, git, read_all):
    tree = git(repository, "rev-parse", "HEAD^{tree}").strip()
    path = repository / ".git/objects" / tree[:2] / tree[2:]
    os.chmod(path, 0o644)
    path.write_bytes(b"no object")
    (record,), _ = read_all(CodeReader(), repository)
    assert record.error == "read.corrupt"


def test_without_git_it_says_what_is_missing(repository, monkeypatch):
    monkeypatch.setenv("PATH", "")
    with pytest.raises(ValueError, match="by the git command, which is not installed"):
        CodeReader().takes_folder(str(repository))
