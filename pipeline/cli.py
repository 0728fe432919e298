"""The command line `gristmill`: commands only. stdout is data, stderr is progress and what went wrong.

Whatever is heavy is imported inside the command that needs it, so that `--help` answers at once. This module is where
the two halves are put together, hence the one that may import `training.cli`.

Exit codes: 0 done, 1 failed tasks remain, 2 the command or the config is wrong, 3 a guard tripped, 130 interrupted.
"""

import json
import logging
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer
from rich.console import Console

import pipeline.dedup.command
import training.cli

if TYPE_CHECKING:
    from pipeline.configfile import ConfigFile

app = typer.Typer(
    name="gristmill",
    help="Raw sources in, a trained language model out, and every document accounted for in between.",
    no_args_is_help=True,
    add_completion=True,
    pretty_exceptions_enable=False,
    rich_markup_mode=None,
    context_settings={"help_option_names": ["-h", "--help"]},
)
assets_app = typer.Typer(help="Models and lists that filters need.", no_args_is_help=True, rich_markup_mode=None)
app.add_typer(assets_app, name="assets")
app.add_typer(pipeline.dedup.command.app, name="dedup")

INTERRUPTED = 130

ConfigArgument = Annotated[Path, typer.Argument(help="A YAML file, such as configs/curate/web.yaml.")]
SetOption = Annotated[
    list[str] | None,
    typer.Option("--set", metavar="KEY=VALUE", help="Override a setting: a.b.c=value, the value is YAML."),
]
RunArgument = Annotated[Path, typer.Argument(metavar="RUN", help="The folder of a run.")]
JsonOption = Annotated[bool, typer.Option("--json", help="Print JSON.")]
LimitOption = Annotated[int | None, typer.Option(min=1, help="Read at most this many records of each source.")]


def main() -> None:
    """Entry point of the command `gristmill`."""
    with errors():
        app()


@contextmanager
def errors() -> Iterator[None]:
    """Turn the errors that people cause into messages and exit codes; bugs keep their traceback."""
    console = Console(stderr=True)
    try:
        yield
    except SystemExit as ended:
        if ended.code == INTERRUPTED:  # what typer makes of Ctrl-C
            console.print("interrupted; the same command goes on from here", markup=False)
        raise
    except Exception as error:
        code = _exit_code(error)
        if code is None:
            raise
        console.print(str(error), markup=False, highlight=False, soft_wrap=True)
        sys.exit(code)


def _exit_code(error: Exception) -> int | None:
    # Only modules that are loaded can have raised, and loading them here would be slow.
    for module, name, code in (
        ("pipeline.run", "GuardError", 3),
        ("pipeline.run", "RunError", 1),
        ("pipeline.configfile", "ConfigError", 2),
        ("pipeline.accounting.folder", "RunFolderError", 2),
        ("pipeline.accounting.stats", "ConservationError", 1),
        ("filters.assets", "AssetError", 1),
        ("pipeline.extract.command", "InputError", 2),
        ("pipeline.dedup.index.manifest", "DedupIndexError", 2),
        ("training.interruption", "TrainingError", 1),
    ):
        kind = getattr(sys.modules.get(module), name, None)
        if kind is not None and isinstance(error, kind):
            return code
    return None


def out(value: Any) -> None:
    """Print data to stdout: JSON values as JSON, anything else by rich."""
    if isinstance(value, (dict, list)):
        print(json.dumps(value, indent=1, ensure_ascii=False))
    else:
        # what is piped somewhere is not folded at the width of a terminal that is not there
        console = Console(highlight=False)
        (console if console.is_terminal else Console(highlight=False, width=200)).print(value)


def _load(config: Path, overrides: list[str] | None, limit: int | None) -> Any:
    from pipeline.config import load
    from pipeline.configfile import ConfigFile

    extra = [f"limit={limit}"] if limit else []
    return load(ConfigFile.read(config, [*(overrides or []), *extra]))


def _run_folder(config: Any, option: Path | None) -> Path:
    folder = option or (Path(config.out) if config.out else None)
    if folder is None:
        raise typer.BadParameter("say where the run goes: --out RUN, or out: in the config", param_hint="--out")
    return folder


@app.command()
def plan(
    config: ConfigArgument,
    out_: Annotated[Path | None, typer.Option("--out", help="The folder of the run.")] = None,
    set_: SetOption = None,
    limit: LimitOption = None,
    draw: Annotated[
        Path | None,
        typer.Option(metavar="FILE", help="Draw the schedule of a training config into this .svg or .html too."),
    ] = None,
    json_: JsonOption = False,
) -> None:
    """Show what `curate` would do (files, tasks, what is done or stale), or `train`: schedule, tokens, advice.

    Changes nothing.

    Example: gristmill plan configs/curate/web.yaml --out runs/web --set sources.web.paths='["crawl/*.warc.gz"]'

    Example: gristmill plan configs/train/tiny.yaml --set data=runs/web --draw plan.html
    """
    from pipeline.configfile import ConfigFile

    file = ConfigFile.read(config, set_ or ())
    if training.cli.is_training(file.values):
        if limit is not None:
            raise typer.BadParameter("records are read by curation; a training run has steps", param_hint="--limit")
        training.cli.plan(file, out_, json_, draw)
        return
    if draw is not None:
        raise typer.BadParameter("what is drawn is a schedule; curation has none", param_hint="--draw")

    from pipeline.plan import make_plan
    from pipeline.planview import as_json, render
    from pipeline.run import examine

    settings = _load(config, set_, limit)
    made = make_plan(settings)
    states = examine(made, _run_folder(settings, out_))
    out(as_json(made, states) if json_ else render(made, states))


@app.command()
def curate(
    config: ConfigArgument,
    out_: Annotated[
        Path | None, typer.Option("--out", help="The folder of the run; given again, the run goes on.")
    ] = None,
    set_: SetOption = None,
    engine: Annotated[str, typer.Option(help="`local` processes or `ray`.")] = "local",
    ray_address: Annotated[
        str | None, typer.Option(help="A Ray cluster, such as auto or ray://head:10001; implies --engine ray.")
    ] = None,
    workers: Annotated[int | None, typer.Option(min=1, help="Workers; one a core if not given.")] = None,
    limit: LimitOption = None,
    json_: JsonOption = False,
) -> None:
    """Turn raw sources into Parquet shards with a verdict for every record.

    Example: gristmill curate configs/curate/web.yaml --out runs/web --set sources.web.paths='["crawl/*.warc.gz"]'
    """
    from pipeline import run
    from pipeline.accounting.stats import render, stats
    from pipeline.display import Display
    from pipeline.engines import make_engine

    if engine not in ("local", "ray"):
        raise typer.BadParameter(f"'{engine}' is no engine; choose local or ray", param_hint="--engine")
    logging.basicConfig(format="%(message)s", stream=sys.stderr)
    settings = _load(config, set_, limit)
    folder = _run_folder(settings, out_)
    display = Display(Console(stderr=True))
    try:
        run.curate(
            settings, folder, lambda: make_engine("ray" if ray_address else engine, workers, ray_address), display
        )
    finally:
        display.close()
    numbers = stats(folder)
    out(numbers.to_dict() if json_ else render(numbers))
    if not json_:
        print(
            f"shards: {folder}/shards   next: gristmill inspect {folder}   gristmill train CONFIG --set data={folder}"
        )


@app.command()
def stats(
    run: RunArgument,
    other: Annotated[Path | None, typer.Argument(metavar="[RUN2]", help="A second run to compare with.")] = None,
    json_: JsonOption = False,
) -> None:
    """The funnel of a run, by source and step; with a second run, the difference.

    Example: gristmill stats runs/web
    """
    from pipeline.accounting.stats import compare, render, stats

    numbers = stats(run)
    if other is not None:
        difference = compare(numbers, stats(other))
        out(difference.to_dict() if json_ else render(difference))
    else:
        out(numbers.to_dict() if json_ else render(numbers))


@app.command()
def inspect(
    run: RunArgument,
    reason: Annotated[str | None, typer.Option(help="Only this reason, such as gopher.words or dedup.minhash.")] = None,
    source: Annotated[str | None, typer.Option(help="Only this source.")] = None,
    n: Annotated[int, typer.Option("-n", min=1, help="How many.")] = 5,
    seed: Annotated[int, typer.Option(help="Another seed shows others.")] = 0,
    kept: Annotated[bool, typer.Option("--kept", help="Kept documents instead of dropped ones.")] = False,
    cut: Annotated[bool, typer.Option("--cut", help="The pieces that were cut most often, with their counts.")] = False,
    cluster: Annotated[
        str | None,
        typer.Option(
            metavar="ID", help="The duplicates of a document, and where they differ; its id, or the cluster's."
        ),
    ] = None,
    json_: JsonOption = False,
) -> None:
    """Look at real documents: why each was dropped, with the signal, its value and the range.

    Example: gristmill inspect runs/web --reason gopher.words -n 3

    Example: gristmill inspect runs/web --cluster af7b4028efdab82c25caa2de
    """
    from pipeline.accounting import clusters, cuts
    from pipeline.accounting.inspect import render, samples

    if cluster is not None:
        if reason or source or kept or cut:
            raise typer.BadParameter("it shows all members, whatever became of them", param_hint="--cluster")
        members = clusters.find_cluster(run, cluster, n, seed)
        out(members.to_dict() if json_ else clusters.render(members))
        return
    if cut:
        if reason or kept:
            raise typer.BadParameter("it shows pieces of documents, whatever became of these", param_hint="--cut")
        pieces = cuts.frequent(run, source=source, n=n)
        out([piece.to_dict() for piece in pieces] if json_ else cuts.render(pieces))
        return
    found = samples(run, reason=reason, source=source, n=n, seed=seed, kept=kept)
    out([sample.to_dict() for sample in found] if json_ else render(found))


@app.command()
def whatif(
    run: RunArgument,
    set_: Annotated[
        list[str],
        typer.Option("--set", metavar="STEP.SIGNAL=LOW:HIGH", help="A new range; either end may be left out; `off`."),
    ],
    json_: JsonOption = False,
) -> None:
    """What other thresholds would keep, from the ledger: nothing is run again.

    Example: gristmill whatif runs/web --set gopher.words=200: --set language.score=0.8:
    """
    from pipeline.accounting.whatif import render, whatif

    result = whatif(run, set_)
    out(result.to_dict() if json_ else render(result))


@app.command()
def report(
    run: RunArgument,
    out_: Annotated[Path | None, typer.Option("--out", help="Where to write; RUN/report.html if not given.")] = None,
) -> None:
    """Write a page that opens without a server: funnel, histograms, samples; of a training run its curves and samples.

    Example: gristmill report runs/web

    Example: gristmill report runs/tiny
    """
    import training.report
    from pipeline.write import write_text

    if training.report.is_training_run(run):
        page = training.report.write_report(run)
    else:
        from pipeline.accounting.report import write_report

        page = write_report(run)
    path = out_ or run / "report.html"
    write_text(path, page)
    print(path)


@app.command()
def takedown(
    run: Annotated[Path, typer.Option("--run", metavar="RUN", help="The folder of a finished run of curation.")],
    ids: Annotated[list[str] | None, typer.Argument(metavar="ID", help="Ids of documents.")] = None,
    file: Annotated[
        Path | None,
        typer.Option(help="A file with ids: one a line, or a column of Parquet or JSON Lines.", show_default=False),
    ] = None,
    column: Annotated[str, typer.Option(help="The column of ids in that file.")] = "id",
    training_: Annotated[
        list[Path] | None,
        typer.Option("--training", metavar="TRAINRUN", help="A training run that may have learned from them."),
    ] = None,
    yes: Annotated[bool, typer.Option("--yes", help="Do it; otherwise only say what would be done.")] = False,
    json_: JsonOption = False,
) -> None:
    """Take documents out of a run's shards, its other files, and token stores; say which checkpoints have seen them.

    Their duplicates go with them, and the same curation does not bring them back. Killed in the middle, the same
    command finishes it. Ids that the run does not have are named, and the exit code is then 1.

    Example: gristmill takedown --run runs/web --training runs/tiny af7b4028efdab82c25caa2de
    """
    from dataclasses import asdict

    from pipeline.run import take_down
    from pipeline.takedown import find
    from pipeline.takedownview import as_json, read_ids, render

    asked = [*(ids or ()), *(read_ids(file, column) if file is not None else ())]
    if not asked:
        raise typer.BadParameter("name documents, or a file of ids: --file")
    found = find(run, asked)
    consumed: dict[Path, list[Any]] = {}
    if training_:
        from training.provenance.takedown import consumed as consumed_by
        from training.provenance.takedown import erase

        consumed = {folder: consumed_by(folder, {document.id for document in found.documents}) for folder in training_}
    if yes and found.documents:
        for folder, documents in consumed.items():  # first what a training run remembers, which tells what it saw
            erase(folder, documents)
        take_down(run, found)
    told = {folder: [asdict(document) for document in documents] for folder, documents in consumed.items()}
    if json_:
        out(as_json(run, found, told, yes))
    else:
        print("\n".join(render(run, found, told, yes)))
    if found.missing:
        print(f"{run} has no document {', '.join(map(repr, found.missing))}", file=sys.stderr)
        raise typer.Exit(1)


@app.command()
def filters(
    name: Annotated[str | None, typer.Argument(help="One step, with its signals, ranges and settings.")] = None,
    plugin: Annotated[
        list[str] | None,
        typer.Option(metavar="FILE|MODULE", help="Steps of your own, as under `plugins:` of a config."),
    ] = None,
    json_: JsonOption = False,
) -> None:
    """Every step that a config can use; with a name, its signals, ranges and sources.

    Example: gristmill filters gopher
    """
    from pipeline.catalogue import catalogue, render

    found = catalogue(name, plugin or ())
    out([entry.to_dict() for entry in found] if json_ else render(found, detail=name is not None))


@app.command()
def extract(
    files: Annotated[
        list[str],
        typer.Argument(metavar="FILE...", help="An HTML file, or - for standard input; with json, web archives too."),
    ],
    preset: Annotated[str, typer.Option(help="`fast`, `balanced` or `quality`.")] = "balanced",
    favor: Annotated[str, typer.Option(help="`precision`, `balanced` or `recall`.")] = "balanced",
    format_: Annotated[
        str, typer.Option("--format", help="`text`, `markdown`, or `json`: a line a page, with its metadata.")
    ] = "text",
    encoding: Annotated[str | None, typer.Option(help="The encoding of the page; found out if not given.")] = None,
    url: Annotated[str | None, typer.Option(help="The address of the page, which its metadata depend on.")] = None,
) -> None:
    """Print the main text of a web page.

    Example: gristmill extract page.html --format markdown
    """
    from pipeline.extract.command import Extraction, compile_once

    extraction = Extraction(files, preset, favor, format_, encoding, url)
    compile_once(lambda message: print(message, file=sys.stderr))
    for text in extraction.outputs(sys.stdout.isatty()):
        print(text)
    for reason, count in extraction.skipped.items():
        print(f"{count} records are no pages: {reason}", file=sys.stderr)


@app.command()
def demo(
    out_: Annotated[Path, typer.Option("--out", help="Where everything goes.")] = Path("runs/demo"),
    workers: Annotated[int | None, typer.Option(min=1, help="Workers; one a core if not given.")] = None,
    steps: Annotated[int | None, typer.Option(min=1, help="Training steps; as the recipe says if not given.")] = None,
) -> None:
    """The whole way on a corpus made from your own Python installation: curate it, train a small model, infill code.

    Example: gristmill demo
    """
    from pipeline import demo as the_whole_way

    logging.basicConfig(format="%(message)s", stream=sys.stderr)
    the_whole_way.demo(out_, workers, steps, the_whole_way.Trainer(_train, _infill), Console(stderr=True))


def _train(file: "ConfigFile", folder: Path) -> None:
    from training.loop import train

    if train(file, folder).interrupted:
        raise KeyboardInterrupt


def _infill(folder: Path, prefix: str, suffix: str) -> str:
    from training import generate

    model, tokenizer = generate.load(folder)
    return generate.infill(model, tokenizer, prefix, suffix, 48, generate.Sampling()).text


@app.command()
def doctor(json_: JsonOption = False) -> None:
    """Check this installation: Python, packages, models, disk, memory, Ray, GPU, shadowed packages.

    Example: gristmill doctor
    """
    from pipeline.doctor import checks, render

    found = checks()
    out([check.to_dict() for check in found] if json_ else render(found))
    if any(check.state == "fail" for check in found):
        raise typer.Exit(1)


@assets_app.command("fetch")
def assets_fetch() -> None:
    """Fetch models and lists into the cache, so that workers never need the network.

    Example: gristmill assets fetch
    """
    from filters import assets, blocklist

    for name in assets.SOURCES:
        print(f"{name}\t{assets.path(name)}")
    print(f"url-blocklist\t{blocklist.path()}")


training.cli.register(app)

if __name__ == "__main__":
    main()
