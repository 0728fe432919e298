"""The commands that train and use a model: tokenize, train, trace, generate, export.

Results go to stdout, progress and errors to stderr. Heavy libraries are imported by the command that needs them.
"""

import json
import logging
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict
from pathlib import Path
from typing import Annotated

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
    for command in (tokenize, train, trace, generate, export):
        app.command()(command)


def tokenize(config: Config, out: Out, set_: Set = None, json_: Json = False) -> None:
    """Train or load the tokenizer and store every source's tokens, as `train` does first.

    Example: gristmill tokenize configs/train/tiny.yaml --out runs/tiny --set data=runs/demo
    """
    with _errors():
        from training.config import TrainConfig
        from training.tokens import missing, prepare

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
        from training.loop import train as run
        from training.metrics import read_journal

        outcome = run(ConfigFile.read(config, set_ or ()), out, stop_after, resume_anyway)
        evaluations = list(read_journal(out / "evaluations.jsonl"))
        if json_:
            typer.echo(json.dumps({**asdict(outcome), "evaluations": evaluations}, indent=1))
        else:
            typer.echo(f"{outcome.step} of {outcome.steps} steps, in {out}")
            first, last = evaluations[0], evaluations[-1]
            if last["step"] > first["step"]:
                typer.echo(f"{'held-out loss':<20}{'step ' + str(first['step']):>12}{'step ' + str(last['step']):>12}")
                for source, loss in last["loss"].items():
                    before = first["loss"].get(source)
                    typer.echo(f"{source:<20}{before:>12.3f}{loss:>12.3f}{loss / before - 1:>+9.1%}")
        if outcome.interrupted:
            raise typer.Exit(INTERRUPTED)


def trace(
    run: Run,
    step: Annotated[
        int | None, typer.Option(min=1, help="List the documents of this step.", show_default=False)
    ] = None,
    doc: Annotated[
        str | None, typer.Option(help="List the steps that saw this document (id).", show_default=False)
    ] = None,
    json_: Json = False,
) -> None:
    """Say which documents made a step, or which steps saw a document.

    Example: gristmill trace runs/tiny --step 7
    """
    if (step is None) == (doc is None):
        raise typer.BadParameter("give --step or --doc, one of the two")
    with _errors():
        from training.trace import trace_document, trace_step

        if step is not None:
            pieces = trace_step(run, step)
            if json_:
                typer.echo(json.dumps([asdict(piece) for piece in pieces], indent=1))
                return
            typer.echo("row  source  epoch  tokens  mode  id  origin  text")
            for piece in pieces:
                span = f"{piece.start}+{piece.length}"
                typer.echo(
                    f"{piece.row:>3}  {piece.source}  {piece.epoch}  {span}  {piece.mode}  {piece.id}  "
                    f"{piece.origin or '-'}  {json.dumps(piece.preview, ensure_ascii=False)}"
                )
        elif doc is not None:
            try:
                found = trace_document(run, doc)
            except LookupError as error:
                if type(error) is not LookupError:
                    raise
                raise typer.BadParameter(str(error)) from error
            if json_:
                typer.echo(json.dumps([asdict(document) for document in found], indent=1))
                return
            for document in found:
                held = "; held out, never trained on" if document.held_out else ""
                typer.echo(
                    f"{document.id}: {document.source}, {document.tokens} tokens, {document.origin or '-'}{held}"
                )
                for visit in document.visits:
                    typer.echo(
                        f"  step {visit.step}, row {visit.row}, epoch {visit.epoch}, "
                        f"tokens {visit.start}+{visit.length}, {visit.mode}"
                    )


def generate(
    run: Run,
    prompt: Annotated[
        str | None, typer.Option(help="Text to go on from; <FILL> in it marks a hole to fill.", show_default=False)
    ] = None,
    prefix: Annotated[str | None, typer.Option(help="Text before the hole.", show_default=False)] = None,
    suffix: Annotated[str | None, typer.Option(help="Text after the hole.", show_default=False)] = None,
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
                completion = model_text.complete(model, tokenizer, prompt, tokens, sampling)
            else:
                completion = model_text.infill(model, tokenizer, prefix or "", suffix or "", tokens, sampling)
        except ValueError as error:
            raise typer.BadParameter(str(error)) from error
        typer.echo(json.dumps(asdict(completion), ensure_ascii=False) if json_ else completion.text)


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

        hf.export(*model_text.load(run), folder)
        typer.echo(str(folder))


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
        raise typer.Exit(FAILED) from error
