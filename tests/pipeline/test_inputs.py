"""The files of a source: lists of them, what folders give to which reader, and what is wrong with paths."""

import gzip
import io
import json
import re
from collections import Counter
from functools import partial
from pathlib import Path

import polars as pl
import pytest
from file_server import Server
from fsspec.implementations.memory import MemoryFileSystem
from rich.console import Console

from pipeline import resources
from pipeline import run as pipeline_run
from pipeline.config import CurateConfig, load
from pipeline.configfile import ConfigError, ConfigFile
from pipeline.engines import make_engine
from pipeline.inputs import InputFile, find_files
from pipeline.plan import make_plan
from pipeline.planview import as_json, render


def config_of(text: str, folder: Path) -> CurateConfig:
    (folder / "run.yaml").write_text(text)
    return load(ConfigFile.read(folder / "run.yaml"))


def files_of(sources: str, folder: Path) -> list[InputFile]:
    (source,) = config_of(f"sources:\n  a: {sources}\n", folder).sources.values()
    found = find_files("a", source)
    assert found.problems == []
    return found.files


def problem_of(sources: str, folder: Path) -> str:
    config = config_of(f"sources:\n  a: {sources}\n", folder)
    with pytest.raises(ConfigError) as caught:
        make_plan(config)
    return str(caught.value)


def test_a_list_from_elsewhere_end_to_end(server: Server, tmp_path: Path) -> None:
    names = [f"crawl-data/segments/{i}/text-{i}.jsonl" for i in range(6)]
    for number, name in enumerate(names):
        rows = "".join(json.dumps({"text": f"Row {row} of file {number}. " * 9}) + "\n" for row in range(100))
        server.files[f"/{name}"] = rows.encode()
        (tmp_path / name).parent.mkdir(parents=True)
        (tmp_path / name).write_text(rows)
        server.faults[f"/{name}"] = [None, 503, None, ("cut", 100), 503]
    server.files["/crawl-data/text.paths.gz"] = gzip.compress("\n".join([*names, ""]).encode())
    server.faults["/crawl-data/text.paths.gz"] = [503, 503]
    (tmp_path / "list").write_text("\n".join(names))
    lists = {"there": (f"{server.url}/crawl-data/text.paths.gz", server.url), "here": (f"{tmp_path}/list", tmp_path)}
    outputs = []
    for place, (listed, base) in lists.items():
        paths = f"{{listed: '{listed}', base: '{base}', take: 3}}"
        config = config_of(f"sources:\n  a: {{use: jsonl, paths: {paths}}}\nsplit_bytes: 9000\n", tmp_path)
        run = tmp_path / place

        curate = partial(pipeline_run.curate, config, run, lambda: make_engine("local", 1), pipeline_run.Progress())
        if place == "there":
            server.faults[f"/{names[2]}"] += [None] * 3 + [503] * 1000
            with pytest.raises(pipeline_run.RunError, match="tasks of stage 'read' failed, the others are done"):
                curate()
            told = "".join(path.read_text() for path in (run / "logs").glob("*.txt"))
            assert f"{names[2]}: HTTP 503 Service Unavailable (10 tries" in told and names[0] not in told
            server.faults.clear()
        curate()
        files = [path for part in ("shards", "ledger") for path in (run / part).rglob("*.parquet")]
        outputs.append({path.relative_to(run): path.read_bytes() for path in files})
    assert len(outputs[0]) == 2 and outputs[0] == outputs[1]
    ledger = pl.read_parquet(tmp_path / "there/ledger/**/*.parquet")
    assert Counter(origin.partition("#")[0] for origin in ledger["origin"]) == dict.fromkeys(names[::2], 100)
    assert set(ledger["verdict"]) == {"kept"}
    assert not any(server.asked[f"/{name}"] for name in names[1::2]), "what is not taken is not asked about"
    described = json.loads((tmp_path / "there/run.json").read_text())["config"]["sources"]["a"]["paths"]
    assert described == {"listed": f"{server.url}/crawl-data/text.paths.gz", "base": server.url, "take": 3}


@pytest.mark.parametrize("scheme", ["http", "memory"])
def test_the_recipe_for_common_crawl_plans_a_task_a_file(server: Server, small_warc: bytes, scheme: str) -> None:
    names = [f"crawl-data/CC-MAIN-2024-10/segments/{i:02}/warc/CC-MAIN-{i:02}.warc.gz" for i in range(30)]
    for name in names:
        server.files[f"/{name}"] = small_warc
        MemoryFileSystem().pipe_file(f"/commoncrawl/{name}", small_warc)
    server.files["/crawl-data/warc.paths.gz"] = gzip.compress("\n".join(names).encode())
    base = f"{server.url}/" if scheme == "http" else "memory://commoncrawl/"
    listed = f"{server.url}/crawl-data/warc.paths.gz"
    places = [f"sources.web.paths.listed={listed}", f"sources.web.paths.base={base}"]
    # Larger than a task may be together, as the files of a crawl are.
    places.append(f"split_bytes={len(small_warc) * 3 // 2}")
    plan = make_plan(load(ConfigFile.read(resources.folder("configs") / "curate" / "commoncrawl.yaml", places)))
    assert [file.name for file in plan.inputs["web"]] == names[::3]
    tasks = plan.tasks("read", {})
    assert [task.payload["splits"] for task in tasks] == [[[n, base + n, 0, len(small_warc)]] for n in names[::3]]
    for task, file in zip(tasks, plan.inputs["web"], strict=True):
        assert task.payload["expected"] == {file.path: [file.size, file.stamp]} and file.stamp


def test_files_of_a_list_are_looked_up_at_the_same_time(server: Server, tmp_path: Path) -> None:
    names = [f"x-{i}.jsonl" for i in range(300)]
    server.files.update({f"/{name}": b"{}" * i for i, name in enumerate(names)})
    server.files["/all"] = "\n".join(names).encode()
    files = files_of(f"{{use: jsonl, paths: {{listed: '{server.url}/all'}}}}", tmp_path)
    assert [(file.name, file.size) for file in files] == [(name, 2 * i) for i, name in enumerate(names)]
    assert {server.asked[f"/{name}"] for name in names} == {1}
    assert 2 <= server.most_at_once <= 16 and server.connections <= 20
    assert len({file.stamp for file in files}) == 300


def test_files_of_a_store_are_looked_up_by_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    store = MemoryFileSystem()
    names = [f"many/{i}.jsonl" for i in range(20)] + ["few/a.jsonl"]
    for i, name in enumerate(names):
        store.pipe_file(f"/listed/{name}", b"x" * i)
    (tmp_path / "list").write_text("\n".join(names))
    asked: list[str] = []
    info = MemoryFileSystem.info
    monkeypatch.setattr(MemoryFileSystem, "info", lambda self, path: asked.append(path) or info(self, path))
    files = files_of(f"{{use: jsonl, paths: {{listed: {tmp_path}/list, base: 'memory://listed'}}}}", tmp_path)
    assert [(file.name, file.size) for file in files] == [(name, i) for i, name in enumerate(names)]
    assert [path for path in asked if path.endswith(".jsonl")] == ["/listed/few/a.jsonl"]


def test_a_crawl_that_refuses_everybody_is_not_asked_for_every_file(server: Server, tmp_path: Path) -> None:
    names = [f"x-{i}" for i in range(500)]
    server.files.update({f"/{name}": b"x" for name in names})
    server.always.update({f"/{name}": 403 for name in names})
    server.files["/all"] = "\n".join(names).encode()
    message = problem_of(f"{{use: jsonl, paths: {{listed: '{server.url}/all'}}}}", tmp_path)
    assert "x-0: HTTP 403 Forbidden (4 tries" in message and re.search(r"4[6-9]\d more were not looked up", message)
    assert sum(server.asked.values()) < 200


@pytest.mark.parametrize(
    ("entry", "message"),
    [
        ("{listed: list, tale: 3}", "run.yaml:2:{column}: unknown key 'tale'; did you mean 'take'?"),
        ("{base: list}", "'listed' is missing"),
        ("{listed: list, take: 0}", "take: Input should be greater than or equal to 1"),
        ("{listed: list, take: 9}", "take: 9, but {folder}/list lists 2 files"),
        ("{listed: lisst}", "no file {folder}/lisst"),
        ("{listed: blank}", "{folder}/blank lists no files"),
        ("{listed: bad.gz}", "bad.gz is no list of files"),
        ("{listed: list, base: nowhere}", "no file {folder}/nowhere/a.jsonl"),
        ("{listed: out}", "'../../etc/passwd' leads out of {folder}"),
        ("{listed: there}", "which no list from elsewhere names"),
        ("[]", "needs paths: a list of files, patterns or URLs, or listed"),
        ("['https://me:secret@host/x']", "run.yaml:2:27: source 'a': an address with a password"),
        ("['https://host/x?X-Amz-Signature=secret']", "an address with a password or signature"),
        ("['https://host/*.gz']", "HTTP has no folders that could be listed"),
        ("['nonsense://host/x']", "Protocol not known"),
    ],
)
def test_errors(tmp_path: Path, entry: str, message: str, server: Server) -> None:
    for name, text in {
        "list": "a.jsonl\n\nb.jsonl\n",
        "a.jsonl": "",
        "b.jsonl": "",
        "blank": "\n",
        "bad.gz": "\x1f\x8b",
        "out": "a.jsonl\n../../etc/passwd\n",
    }.items():
        (tmp_path / name).write_text(text, encoding="latin-1")
    server.files["/there"] = b"/etc/passwd"
    entry = re.sub(r"(listed|base): (\w\S*?)([,}])", rf"\1: {tmp_path}/\2\3", entry)
    entry = entry.replace(f"{tmp_path}/there", f"{server.url}/there")
    with pytest.raises(ConfigError) as caught:
        make_plan(config_of(f"sources:\n  a: {{use: jsonl, paths: {entry}}}\n", tmp_path))
    column = len("  a: {use: jsonl, paths: ") + entry.find("tale") + 1
    found = str(caught.value)
    assert message.format(folder=tmp_path, column=column) in found and "secret" not in found


@pytest.mark.parametrize(
    ("settings", "taken", "left"),
    [
        ("use: books", {"a.txt", "b.TXT.gz", "c.epub"}, 9),
        ("use: latex", {"d.tar.gz", "e.tex", "f.tar", "b.TXT.gz", "i.jsonl.gz"}, 7),
        ("use: jsonl", {"h.jsonl", "i.jsonl.gz"}, 10),
        ("use: pdf", {"j.pdf"}, 11),
        ("use: parallel, source: de, target: en", {"k.de"}, 11),
        ("use: wikipedia", {"l.xml"}, 11),
    ],
)
def test_a_reader_takes_from_a_folder_what_it_reads(tmp_path: Path, settings: str, taken: set[str], left: int) -> None:
    everything = "a.txt b.TXT.gz c.epub d.tar.gz sub/e.tex f.tar g.png h.jsonl i.jsonl.gz j.pdf k.de k.en l.xml".split()
    everything.remove("k.en")
    for name in everything:
        path = tmp_path / "data" / name
        path.parent.mkdir(exist_ok=True, parents=True)
        path.write_bytes(b"x")
    (source,) = config_of(f"sources:\n  a: {{{settings}, paths: ['{tmp_path}/data']}}\n", tmp_path).sources.values()
    found = find_files("a", source)
    assert {file.name.removeprefix("sub/") for file in found.files} == taken
    assert found.left_out == left == len(everything) - len(taken)


def test_a_plan_says_how_many_files_a_reader_leaves_out(tmp_path: Path) -> None:
    folder = tmp_path / "data"
    folder.mkdir()
    for name in ("a.jsonl", "b.csv", "c.csv"):
        (folder / name).write_text('{"text": "x"}\n')
    config = config_of(f"sources:\n  a: {{use: jsonl, paths: ['{folder}']}}\n", tmp_path)
    plan = make_plan(config)
    shown = as_json(plan, [])["sources"]["a"]
    assert shown["left_out"] == 2 and [Path(file["path"]).name for file in shown["files"]] == ["a.jsonl"]
    console = Console(file=io.StringIO(), width=200)
    console.print(render(plan, []))
    assert re.search(r"left out.*\n.*\n? *a +jsonl +1 +2 ", console.file.getvalue())
    (folder / "a.jsonl").unlink()
    with pytest.raises(ConfigError, match="none of the 2 files in"):
        make_plan(config)
