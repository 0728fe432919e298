"""Steps of a user's own, through the command line: found, run by workers, part of what is redone, explained later."""

import json
import re
import shutil
import subprocess
from collections.abc import Callable
from pathlib import Path
from typing import Any

import polars as pl
import pytest

from pipeline import config, run
from pipeline.configfile import ConfigFile
from pipeline.engines import Engine, make_engine

Run = Callable[..., subprocess.CompletedProcess[str]]
Hashes = Callable[[Path], dict[str, str]]
Write = Callable[..., Path]

README = Path(__file__).resolve().parents[2] / "README.md"

PLUGIN = '''
"""Steps of a user's own."""
from collections.abc import Mapping
from typing import ClassVar
import polars as pl
from datatrove.pipeline.filters.base_filter import BaseFilter
from filters import Filter, Range, Transform


class Vowels(Filter):
    """Share of vowels."""

    vowels: str = "aeiou"
    defaults: ClassVar[Mapping[str, Range]] = {"share": (0.2, None)}

    def signals(self) -> Mapping[str, pl.Expr]:
        return {"share": pl.col("text").str.count_matches(f"[{self.vowels}]") / pl.col("text").str.len_chars()}


class Lower(Transform):
    """Small letters."""

    def apply(self, docs: pl.DataFrame, name: str) -> pl.DataFrame:
        return docs.with_columns(pl.col("text").str.to_lowercase())


class Length(BaseFilter):
    """A block with reasons."""

    name = "length"

    def __init__(self, least: int, most: int):
        super().__init__()
        self.least, self.most = least, most

    def filter(self, doc):
        if "raise" in doc.text:
            raise ValueError("cannot say")
        if len(doc.text) < self.least:
            return False, "too short"
        return (True, None) if len(doc.text) <= self.most else (False, "too long")


STEPS = {"vowels": Vowels, "lower": Lower}
'''

CONFIG = """
plugins: [filters.py]
sources:
  one: {{use: jsonl, paths: ["{folder}/one-*.jsonl"]}}
  two: {{use: jsonl, paths: ["{folder}/two.jsonl"]}}
split_bytes: 30kB
batch_records: 50
steps:
  lower: {{}}
  vowels: {{}}
  length: {{use: datatrove, block: filters.Length, arguments: {{least: 40, most: 400}}}}
  mail: {{use: datatrove, block: datatrove.pipeline.formatters.PIIFormatter}}
  exact: {{}}
"""


def text(i: int) -> str:
    words = [
        "Words",
        "And",
        "MORE",
        "of",
        f"number{i}",
        "bcd" if i % 9 else "Xyz",
        f"me{i}@corp.com" if i % 4 else "it",
    ]
    return " ".join(words * (1 + i % 13)) + (" raise" if i % 17 == 0 else "") + " q" * (90 if i % 7 == 0 else 0)


@pytest.fixture(scope="module")
def written(tmp_path_factory: pytest.TempPathFactory) -> Write:
    """Write a plugin (called like our own package), three files of documents and a config into a new folder."""

    def write(plugin: str = PLUGIN, config: str = CONFIG) -> Path:
        folder = tmp_path_factory.mktemp("own")
        for name, numbers in (("one-a", range(250)), ("one-b", range(200, 400)), ("two", range(350, 600))):
            rows = [json.dumps({"text": text(i)}) for i in numbers]
            (folder / f"{name}.jsonl").write_text("\n".join(rows) + "\n")
        (folder / "filters.py").write_text(plugin)
        (folder / "run.yaml").write_text(config.format(folder=folder))
        return folder

    return write


@pytest.fixture(scope="module")
def done(written: Write, gristmill: Run) -> Path:
    """The folder with its run, by two workers; tests look at it and do not change it."""
    folder = written()
    gristmill("curate", folder / "run.yaml", "--out", folder / "run", "--workers", "2")
    return folder


def fate(doc: str) -> str:
    """What must become of a text, said without any of our code."""
    doc = doc.lower()
    if sum(char in "aeiou" for char in doc) / len(doc) < 0.2:
        return "vowels.share"
    if "raise" in doc:
        return "length.error"
    return "length.too_short" if len(doc) < 40 else "length.too_long" if len(doc) > 400 else "kept"


def test_every_document_meets_the_fate_that_the_plugin_says(done: Path, gristmill: Run) -> None:
    for source, numbers in (("one", [*range(250), *range(200, 400)]), ("two", range(350, 600))):
        expected = sorted(fate(text(i)) for i in numbers)
        ledger = pl.read_parquet(done / f"run/ledger/{source}/*.parquet")
        found = sorted(ledger["reason"].fill_null("kept").replace("dedup.exact", "kept"))
        assert found == expected and len(set(expected)) > 3
    inspected = json.loads(gristmill("inspect", done / "run", "--reason", "length.error", "--json").stdout)
    assert {sample["verdict"] for sample in inspected} == {"quarantined"}
    assert {sample["signals"]["length.error"] for sample in inspected} == {"ValueError: cannot say"}


def test_reasons_of_a_block_stand_under_its_step(done: Path, gristmill: Run) -> None:
    counted = json.loads(gristmill("stats", done / "run", "--json").stdout)
    (stage,) = (stage for stage in counted["total"]["stages"] if stage["name"] == "length")
    assert set(stage["reasons"]) == {"length.too_short", "length.too_long", "length.error"}
    assert stage["dropped"] + stage["quarantined"] == sum(stage["reasons"].values()) == stage["in"] - stage["out"]


def test_one_worker_gives_the_same_bytes(done: Path, gristmill: Run, hashes: Hashes, tmp_path: Path) -> None:
    gristmill("curate", done / "run.yaml", "--out", tmp_path / "run", "--workers", "1")
    assert hashes(tmp_path / "run") == hashes(done / "run")
    texts = " ".join(pl.read_parquet(done / "run/shards/**/*.parquet")["text"])
    assert "email@example.com" in texts and "firstname.lastname@example.org" in texts and "@corp.com" not in texts


@pytest.mark.ray
def test_ray_gives_the_same_bytes(
    done: Path, ray_session: str, hashes: Hashes, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(done)  # where a file lies that is called like our package
    settings = config.load(ConfigFile.read(done / "run.yaml"))
    run.curate(settings, tmp_path / "run", lambda: make_engine("ray", 2), run.Progress())
    assert hashes(tmp_path / "run") == hashes(done / "run")


def test_a_run_explains_itself_without_its_plugin(done: Path, gristmill: Run, tmp_path: Path) -> None:
    run = tmp_path / "run"
    shutil.copytree(done / "run", run)
    meta = json.loads((run / "run.json").read_text())
    (plugin,) = meta["config"]["plugins"]
    assert plugin["path"] == str(done / "filters.py")
    plugin["path"] = str(tmp_path / "gone.py")
    (run / "run.json").write_text(json.dumps(meta))
    for command in (["stats"], ["inspect", "--reason", "vowels"], ["whatif", "--set", "vowels.share=off"], ["report"]):
        name, *options = command
        gristmill(name, run, *options)


def states(gristmill: Run, config: Path, run: Path) -> dict[str, set[str]]:
    plan = json.loads(gristmill("plan", config, "--out", run, "--json").stdout)
    return {stage["name"]: {task["state"] for task in stage["tasks"] or ()} for stage in plan["stages"]}


def test_an_edited_plugin_redoes_what_depends_on_it(written: Write, gristmill: Run, tmp_path: Path) -> None:
    late = CONFIG.replace("  lower: {{}}\n  vowels: {{}}\n", "").replace("filters.Length", "other.Length")
    late = late.replace("[filters.py]", "[filters.py, other.py]") + "  vowels: {{}}\n"
    folder = written(config=late)
    (folder / "other.py").write_text(PLUGIN[: PLUGIN.index("STEPS =")])
    run = folder / "run"
    gristmill("curate", folder / "run.yaml", "--out", run, "--workers", "1")
    done = {stage: {"done"} for stage in ("read", "exact.sort", "exact.clusters", "exact.proof", "shard")}
    assert states(gristmill, folder / "run.yaml", run) == done
    (folder / "filters.py").write_text(PLUGIN.replace('"aeiou"', '"aeiouy"'))
    assert states(gristmill, folder / "run.yaml", run)["read"] == {"done"}
    assert states(gristmill, folder / "run.yaml", run)["shard"] == {"stale"}
    before = pl.read_parquet(run / "ledger/**/*.parquet")["vowels.share"].sum()
    gristmill("curate", folder / "run.yaml", "--out", run, "--workers", "1")
    assert pl.read_parquet(run / "ledger/**/*.parquet")["vowels.share"].sum() > before
    (folder / "other.py").write_text(PLUGIN[: PLUGIN.index("STEPS =")] + "\n# a remark\n")
    assert "done" not in states(gristmill, folder / "run.yaml", run)["read"]


def test_a_plugin_that_changes_while_it_runs_is_an_error(written: Write, caplog: pytest.LogCaptureFixture) -> None:
    folder = written()
    settings = config.load(ConfigFile.read(folder / "run.yaml"))

    def edit_then_start() -> Engine:
        (folder / "filters.py").write_text("# another\n" + PLUGIN)
        return make_engine("local", 2)

    with pytest.raises(run.RunError, match="tasks of stage 'read' failed"):
        run.curate(settings, folder / "run", edit_then_start, run.Progress())
    assert "filters.py has changed since the run began; give the same command again" in caplog.text
    assert not list((folder / "run").glob("receipts/*"))


@pytest.mark.parametrize(
    ("plugin", "config", "message"),
    [
        ("", "", "run.yaml:2:11: plugin: filters: it must say which steps it has"),
        ("import nothing_like_it", "", "{folder}/filters.py: line 1: ModuleNotFoundError: No module named"),
        ("x = (", "", "filters.py: line 1: SyntaxError"),
        ("STEPS = {'gopher': Vowels}", "", "run.yaml:2:11: plugin: filters: there is a step 'gopher' built in"),
        (None, "[filter.py]", "run.yaml:2:11: plugin: {folder}/filter.py: No such file"),
        (None, "[filters.py, no_such.module]", "run.yaml:2:23: plugin: module 'no_such.module': ModuleNotFoundError"),
        ("class Vague(Filter):\n    pass\nSTEPS = {'vague': Vague}", "", "plugin: filters: Vague lacks signals()"),
    ],
)
def test_what_is_wrong_with_a_plugin(
    written: Write, gristmill: Run, plugin: str | None, config: str, message: str
) -> None:
    whole = PLUGIN if plugin is None else PLUGIN + plugin if "STEPS" in plugin else plugin
    folder = written(plugin=whole, config=CONFIG.replace("[filters.py]", config or "[filters.py]"))
    failed = gristmill("curate", folder / "run.yaml", "--out", folder / "run", check=2)
    assert message.format(folder=folder) in failed.stderr
    assert not (folder / "run").exists()


@pytest.mark.parametrize(
    ("old", "new", "message"),
    [
        ("  vowels:", "  vowel:", "run.yaml:10:3: unknown step 'vowel'; did you mean 'vowels'?"),
        ("vowels: {{}}", "vowels: {{vowel: abc}}", "run.yaml:10:12: unknown key 'vowel'; did you mean 'vowels'?"),
        (
            "vowels: {{}}",
            "vowels: {{keep: {{shares: [0, 1]}}}}",
            "unknown signal 'shares' in keep; did you mean 'share'?",
        ),
        ("vowels: {{}}", "vowels: {{vowels: '['}}", "run.yaml:10:3: step 'vowels': {folder}/filters.py"),
        (
            "filters.Length",
            "filters.Lenght",
            "run.yaml:11:28: there is no 'filters.Lenght'; did you mean 'filters.Length'?",
        ),
        ("least: 40", "lest: 40", "run.yaml:11:51: unknown argument 'lest' of Length; did you mean 'least'?"),
        ("least: 40, ", "", "argument 'least' of Length is missing"),
        ("least: 40", "least: forty", "run.yaml:11:3: step 'length' does not work here: TypeError"),
        (
            "filters.Length, arguments: {{least: 40, most: 400}}",
            "datatrove.pipeline.filters.URLFilter",
            "run.yaml:11:28: Please install",
        ),
        ("lower: {{}}", "lower: {{max_drop: 2}}", "run.yaml:9:11: max_drop: a share from 0 to 1, found 2"),
        ("lower: {{}}", "lower: {{max_drop: {{on: 0.5}}}}", "gets nothing of a source 'on'; did you mean 'one'?"),
        (
            "lower: {{}}",
            "lower: {{sources: [two], max_drop: {{one: 0.5}}}}",
            "step 'lower' gets nothing of a source 'one'",
        ),
        (
            "vowels: {{}}",
            "vowels: {{keep: {{share: null}}, max_drop: 0.5}}",
            "step 'vowels' has no ranges and drops nothing",
        ),
    ],
)
def test_what_is_wrong_with_its_steps(written: Write, gristmill: Run, old: str, new: str, message: str) -> None:
    assert old in CONFIG
    folder = written(config=CONFIG.replace(old, new))
    failed = gristmill("curate", folder / "run.yaml", "--out", folder / "run", check=2)
    assert message.format(folder=folder) in failed.stderr
    assert len(failed.stderr.splitlines()) == 1 and not (folder / "run").exists()


def test_the_catalogue_shows_steps_of_plugins(done: Path, gristmill: Run) -> None:
    shown = json.loads(gristmill("filters", "vowels", "--plugin", done / "filters.py", "--json").stdout)
    assert [(entry["name"], entry["kind"], entry["settings"]["vowels"]["default"]) for entry in shown] == [
        ("vowels", "filter", "aeiou")
    ]
    listed = json.loads(gristmill("filters", "--plugin", done / "filters.py", "--json").stdout)
    assert {"vowels", "lower", "gopher", "datatrove"} <= {entry["name"] for entry in listed}
    assert "no step 'vowels'" in gristmill("filters", "vowels", check=2).stderr
    assert "nowhere.py" in gristmill("filters", "--plugin", "nowhere.py", check=2).stderr


def test_installed_packages_offer_steps(
    written: Write, gristmill: Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PYTHONPATH", str(tmp_path))
    (tmp_path / "their_package").mkdir()
    (tmp_path / "their_package/__init__.py").write_text("")
    (tmp_path / "their_package/steps.py").write_text(PLUGIN)
    info = tmp_path / "their_package-1.2.dist-info"
    info.mkdir()
    (info / "METADATA").write_text("Metadata-Version: 2.1\nName: their-package\nVersion: 1.2\n")
    (info / "entry_points.txt").write_text("[gristmill.steps]\nany = their_package.steps\n")
    config = CONFIG.replace("plugins: [filters.py]\n", "").replace("filters.Length", "their_package.steps.Length")
    folder = written(plugin="", config=config)
    assert "vowels" in {entry["name"] for entry in json.loads(gristmill("filters", "--json").stdout)}
    gristmill("curate", folder / "run.yaml", "--out", folder / "run", "--workers", "2")
    meta: dict[str, Any] = json.loads((folder / "run/run.json").read_text())
    assert [(plugin["name"], plugin["path"]) for plugin in meta["config"]["plugins"]] == [("their_package.steps", "")]
    reasons = pl.read_parquet(folder / "run/ledger/**/*.parquet")["reason"].drop_nulls().unique()
    assert {"vowels.share", "length.too_short"} <= set(reasons)
    (info / "entry_points.txt").write_text("[gristmill.steps]\nany = their_package.stepps\n")
    broken = gristmill("plan", folder / "run.yaml", "--out", folder / "run", check=2)
    assert "entry point 'any' of their-package 1.2: module 'their_package.stepps'" in broken.stderr


def test_what_if_never_guesses_what_a_block_says(written: Write, gristmill: Run) -> None:
    """Where a block saw everything, the answer is that of a new run; where it did not, that is said."""
    folder = written(config=CONFIG.replace("  exact: {{}}\n", ""))

    def kept(run: Path) -> dict[str, int]:
        sources = json.loads(gristmill("stats", run, "--json").stdout)["sources"]
        return {
            reason: count for reason, count in {"kept": sources["two"]["kept"], **sources["two"]["dropped"]}.items()
        }

    for name, options in (("all", ["measure=all"]), ("needed", []), ("wider", ["steps.vowels.keep.share=[0.1, null]"])):
        sets = [word for option in options for word in ("--set", option)]
        gristmill("curate", folder / "run.yaml", "--out", folder / name, "--workers", "2", *sets)
    answers = {
        name: json.loads(gristmill("whatif", folder / name, "--set", "vowels.share=0.1:", "--json").stdout)
        for name in ("all", "needed")
    }
    everything, needed = (answers[name]["sources"]["two"]["after"] for name in ("all", "needed"))
    really = kept(folder / "wider")
    assert everything["unmeasured"] == 0
    assert really != kept(folder / "needed"), "the range matters"
    # the block raises at some texts: those that were dropped before were then only measured
    stumbles = sum(fate(text(i)) == "vowels.share" and "raise" in text(i) for i in range(350, 600))
    assert {"kept": everything["kept"] - stumbles, **everything["dropped"]} == really
    assert needed["unmeasured_by"].keys() == {"length"}
    assert needed["kept"] + needed["unmeasured"] >= really["kept"] > needed["kept"]


def test_the_filter_in_the_readme_works(gristmill: Run, tmp_path: Path) -> None:
    section = README.read_text().split("## Your own filter")[1].split("\n## ")[0]
    code, config = (re.findall(rf"```{kind}\n(.*?)```", section, re.DOTALL)[0] for kind in ("python", "yaml"))
    assert len(code.splitlines()) <= 27
    (tmp_path / "my_filters.py").write_text(code)
    texts = {
        "calm": "Some words, said calmly.",
        "loud": "SOME WORDS, SAID LOUDLY.",
        "many": "Words!!!",
        "id": "The number 12345.",
    }
    rows = [json.dumps({"id": name, "text": words}) for name, words in texts.items()]
    (tmp_path / "texts.jsonl").write_text("\n".join(rows))
    (tmp_path / "run.yaml").write_text(f"sources: {{texts: {{use: jsonl, paths: [{tmp_path}/texts.jsonl]}}}}\n{config}")
    command = ["curate", tmp_path / "run.yaml", "--out", tmp_path / "run", "--workers", "1"]
    assert "step 'shouting' lost 50.0% of source 'texts'" in gristmill(*command, check=3).stderr
    gristmill(*command, "--set", "steps.shouting.max_drop=0.5")
    ledger = pl.read_parquet(tmp_path / "run/ledger/**/*.parquet")
    reasons = dict(ledger.select("doc_id", "reason").iter_rows())
    assert reasons == {
        "calm": None,
        "loud": "shouting.capitals",
        "many": "shouting.exclamations",
        "id": "no_numbers.dropped",
    }
