"""The commands that train and use a model: tokenize, train, trace, generate, evaluate, export.

Results go to stdout, progress and errors to stderr. Heavy libraries are imported by the command that needs them.
"""

import json
import logging
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import asdict
from pathlib import Path
from typing import Annotated, Literal

import typer

from pipeline.configfile import ConfigError, ConfigFile

FAILED, USAGE, INTERRUPTED = 1, 2, 130

Config = Annotated[Path, typer.Argument(help="A recipe such as configs/train/tiny.yaml.", show_default=False)]
Out = Annotated[Path, typer.Option("--out", help="Folder of the training run; made if needed.", show_default=False)]
Run = Annotated[Path, typer.Argument(help="Folder of a training run.", show_default=False)]
Set = Annotated[list[str] | None, typer.Option("--set", metavar="KEY=VALUE", help="Override a setting: a.b.c=value.")]
Json = Annotated[bool, typer.Option("--json", help="Print JSON.")]


def register(app: typer.Typer) -> None:
    """Add the commands to the command line."""
    for command in (tokenize, train, trace, generate, evaluate, export):
        app.command()(command)


def tokenize(config: Config, out: Out, set_: Set = None, json_: Json = False) -> None:
    """Train or load the tokenizer and store every source's tokens, as `train` does first.

    Example: gristmill tokenize configs/train/tiny.yaml --out runs/tiny --set data=runs/demo
    """
    with _errors():
        from training.config import TrainConfig
        from training.store.tokens import missing, prepare

        file = ConfigFile.read(config, set_ or ())
        settings = file.load(TrainConfig)
        if problems := missing(settings):
            raise file.error(problems)
        tokenizer, store = prepare(settings, out)
        rows = {
            source: {
                "documents": len(documents),
                "tokens": documents.count_tokens,
                "bytes": documents.count_bytes,
                "held_out_documents": len(held),
                "held_out_tokens": held.count_tokens,
            }
            for source, documents, held in zip(store.sources, store.train, store.held, strict=True)
        }
        if json_:
            typer.echo(json.dumps({"vocabulary": tokenizer.vocab_size, "sources": rows}, indent=1))
            return
        typer.echo(f"{tokenizer.vocab_size:,} tokens in the vocabulary")
        typer.echo(f"{'source':<20}{'documents':>12}{'tokens':>16}{'bytes/token':>13}{'held out':>12}")
        for source, row in rows.items():
            ratio = row["bytes"] / row["tokens"] if row["tokens"] else 0.0
            typer.echo(
                f"{source:<20}{row['documents']:>12,}{row['tokens']:>16,}{ratio:>13.2f}{row['held_out_tokens']:>12,}"
            )


def train(
    config: Config,
    out: Out,
    set_: Set = None,
    stop_after: Annotated[
        int | None, typer.Option(min=0, help="Save and stop after this many steps in all.", show_default=False)
    ] = None,
    resume_anyway: Annotated[
        bool, typer.Option("--resume-anyway", help="Go on although settings or data were changed.")
    ] = False,
    json_: Json = False,
) -> None:
    """Train a model; the same command again goes on where it stopped.

    Example: gristmill train configs/train/tiny.yaml --out runs/tiny --set data=runs/demo --set steps=20
    """
    with _errors():
        from training.evaluation import ForgettingError, table
        from training.loop import train as run
        from training.metrics import read_journal

        try:
            outcome = run(ConfigFile.read(config, set_ or ()), out, stop_after, resume_anyway)
        except ForgettingError:
            typer.echo("\n".join(table(list(read_journal(out / "evaluations.jsonl")))), err=True)
            raise
        evaluations = list(read_journal(out / "evaluations.jsonl"))
        if json_:
            typer.echo(json.dumps({**asdict(outcome), "evaluations": evaluations}, indent=1))
        else:
            typer.echo(f"{outcome.step} of {outcome.steps} steps, in {out}")
            if rows := table(evaluations):
                typer.echo("\n".join(rows))
        if outcome.interrupted:
            raise typer.Exit(INTERRUPTED)


def trace(
    run: Run,
    step: Annotated[
        int | None, typer.Option(min=1, help="List the documents of this step.", show_default=False)
    ] = None,
    doc: Annotated[
        str | None,
        typer.Option(help="List the steps and checkpoints that saw this document (id).", show_default=False),
    ] = None,
    steps: Annotated[
        str | None,
        typer.Option(
            metavar="A:B",
            help="Every piece of these steps as rows, with --ledger or --json; `:` is all that were taken.",
            show_default=False,
        ),
    ] = None,
    ledger: Annotated[
        Path | None, typer.Option(help="Write the rows of --steps to this Parquet file.", show_default=False)
    ] = None,
    signals: Annotated[bool, typer.Option("--signals", help="With what filters measured of each document.")] = False,
    whole: Annotated[bool, typer.Option("--text", help="With whole texts of a step, not beginnings.")] = False,
    json_: Json = False,
) -> None:
    """Say which documents made a step, or which steps and checkpoints saw a document; or write the training ledger.

    Example: gristmill trace runs/tiny --step 7
    """
    if sum(asked is not None for asked in (step, doc, steps)) != 1:
        raise typer.BadParameter("give --step, --doc or --steps, one of them")
    if (steps is None and ledger is not None) or (steps is not None and (ledger is None) != json_):
        raise typer.BadParameter("--steps goes with either --ledger FILE or --json")
    with _errors():
        from training.provenance.trace import Trace, render_document, render_step, trace_document, trace_step

        if steps is not None:
            from training.provenance import ledger as rows

            run_ = Trace(run)
            stretch = rows.stretch(run_, steps)
            if ledger is not None:
                typer.echo(f"{rows.write(run_, stretch, ledger):,} rows in {ledger}", err=True)
            for _, table in rows.tables(run_, stretch) if ledger is None else ():
                for row in table.to_pylist():
                    typer.echo(json.dumps(row, ensure_ascii=False))
        elif step is not None:
            pieces = trace_step(run, step, whole, signals)
            typer.echo(json.dumps([asdict(piece) for piece in pieces], indent=1) if json_ else render_step(pieces))
        elif doc is not None:
            try:
                found = trace_document(run, doc, signals)
            except LookupError as error:
                if type(error) is not LookupError:
                    raise
                raise typer.BadParameter(str(error)) from error
            shown = [asdict(document) for document in found]
            typer.echo(json.dumps(shown, indent=1) if json_ else "\n".join(map(render_document, found)))


def generate(
    run: Run,
    prompt: Annotated[
        str | None, typer.Option(help="Text to go on from; <FILL> in it marks a hole to fill.", show_default=False)
    ] = None,
    prefix: Annotated[str | None, typer.Option(help="Text before the hole.", show_default=False)] = None,
    suffix: Annotated[str | None, typer.Option(help="Text after the hole.", show_default=False)] = None,
    spm: Annotated[bool, typer.Option("--spm", help="Show the suffix before the prefix, as half of training.")] = False,
    tokens: Annotated[int, typer.Option(min=1, help="Most tokens to write.")] = 64,
    temperature: Annotated[float, typer.Option(min=0, help="0 takes the likeliest token.")] = 0.0,
    top_p: Annotated[float, typer.Option(min=0, max=1, help="Draw only from the likeliest of this share.")] = 1.0,
    seed: Annotated[int, typer.Option(help="Of the draws.")] = 1,
    json_: Json = False,
) -> None:
    """Print what the model writes after a prompt, or between a prefix and a suffix.

    Example: gristmill generate runs/tiny --prefix "def add(a, b):" --suffix "return total"
    """
    filling = prefix is not None or suffix is not None
    if (prompt is not None) == filling:
        raise typer.BadParameter("give --prompt, or --prefix and --suffix")
    with _errors():
        from training import generate as model_text

        try:
            sampling = model_text.Sampling(temperature, top_p, seed)
            model, tokenizer = model_text.load(run)
            if prompt is not None:
                completion = model_text.complete(model, tokenizer, prompt, tokens, sampling, spm)
            else:
                completion = model_text.infill(model, tokenizer, prefix or "", suffix or "", tokens, sampling, spm)
        except ValueError as error:
            raise typer.BadParameter(str(error)) from error
        typer.echo(json.dumps(asdict(completion), ensure_ascii=False) if json_ else completion.text)


def evaluate(
    model: Annotated[
        Path, typer.Argument(help="Folder of a training run, a checkpoint or a Hugging Face model.", show_default=False)
    ],
    task: Annotated[
        list[str],
        typer.Option(
            "--task",
            metavar="[KIND:]FILE",
            help="A file of tasks (.jsonl, .parquet; .gz too), or a text whose perplexity is measured.",
            show_default=False,
        ),
    ],
    limit: Annotated[int | None, typer.Option(min=1, help="Only the first rows of each file.")] = None,
    device: Annotated[str, typer.Option(help="`auto` takes a GPU if there is one; cpu, cuda, cuda:1, mps.")] = "auto",
    dtype: Annotated[
        Literal["auto", "float32", "bfloat16"], typer.Option(help="`auto` is bfloat16 on a GPU, else float32.")
    ] = "auto",
    json_: Json = False,
) -> None:
    """Score a model on local files of tasks by likelihood: multiple choice, last words, perplexity.

    The layouts of HellaSwag, ARC, PIQA, OpenBookQA, BoolQ, WinoGrande and LAMBADA are known by their names; otherwise
    rows have `query`, `choices` and `gold`. KIND names one where names do not tell (last_word:lambada.jsonl).

    Example: gristmill evaluate runs/tiny --task hellaswag.jsonl --task last_word:lambada.jsonl --task notes.txt
    """
    with _errors():
        from training.evaluation import command

        found = []
        for result in command.results(model, task, device, dtype, limit):
            found.append(result)
            if not json_:
                typer.echo("\n".join([command.HEAD] * (len(found) == 1) + command.render(result)))
        if json_:
            typer.echo(json.dumps([command.as_json(result) for result in found], indent=1))


def export(
    run: Run,
    folder: Annotated[Path, typer.Argument(help="Folder to write; must not be there yet.", show_default=False)],
) -> None:
    """Write the newest model of a run as a Hugging Face folder that transformers opens.

    Example: gristmill export runs/tiny exported/tiny
    """
    with _errors():
        from training import generate as model_text
        from training import hf

        typer.echo(str(hf.export(*model_text.load(run), folder, hf.origin_of(run))), err=True)
        typer.echo(str(folder))


def is_training(values: Mapping[str, object]) -> bool:
    """Whether the values of a config are those of a training run, not of a curation."""
    return "data" in values


def plan(file: ConfigFile, out: Path | None, json_: bool, picture: Path | None) -> None:
    """Print what a training run would do, and draw it; exit code 2 if `train` would refuse it."""
    with _errors():
        from rich.console import Console

        from training.plan import SUFFIXES, draw, make_plan, show

        if picture is not None and picture.suffix not in SUFFIXES:
            raise typer.BadParameter(f"'{picture}' ends with none of {', '.join(SUFFIXES)}", param_hint="--draw")
        made = make_plan(file, out)
        if json_:
            typer.echo(json.dumps(made.to_dict(), indent=1))
        else:
            show(made, Console())
        if picture is not None:
            draw(made, picture)
            typer.echo(f"drawn: {picture}", err=True)
        if made.problems:
            typer.echo("\n".join(made.problems), err=True)
            raise typer.Exit(USAGE)


@contextmanager
def _errors() -> Iterator[None]:
    """Turn the errors that a user can mend into a message on stderr and the exit code that belongs to them."""
    logging.basicConfig(format="%(levelname)s: %(message)s")
    try:
        yield
    except ConfigError as error:
        typer.echo(str(error), err=True)
        raise typer.Exit(USAGE) from error
    except KeyboardInterrupt as error:
        raise typer.Exit(INTERRUPTED) from error
    except ImportError as error:
        typer.echo(f"{error}; training needs the extra: pip install 'gristmill[train]'", err=True)
        raise typer.Exit(USAGE) from error
    except OSError as error:
        typer.echo(str(error), err=True)
        raise typer.Exit(FAILED) from error
    except Exception as error:
        if type(error).__module__.partition(".")[0] != "training":
            raise
        typer.echo(str(error), err=True)
        raise typer.Exit(getattr(error, "exit_code", FAILED)) from error
