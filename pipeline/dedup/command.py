"""The commands `gristmill dedup ...`: indexes of runs, against which new runs are deduplicated, and what is in them.

Whatever is heavy is imported inside the command that needs it.
"""

import json
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

if TYPE_CHECKING:
    from pipeline.dedup.index.query import Match

app = typer.Typer(
    help="Indexes of earlier runs: make them, look into them, and see whether documents are in them.",
    no_args_is_help=True,
    rich_markup_mode=None,
)

_AT_ONCE = 1000
"""Documents that are looked for at once."""

IndexArgument = Annotated[Path, typer.Argument(metavar="INDEX", help="The folder of an index.")]
JsonOption = Annotated[bool, typer.Option("--json", help="Print JSON.")]


@app.command("index")
def index_(
    runs: Annotated[
        list[Path], typer.Argument(metavar="RUN...", help="Folders of finished runs, the first one first.")
    ],
    to: Annotated[Path, typer.Option("--to", metavar="INDEX", help="The folder of the index; made if needed.")],
    name: Annotated[
        str | None, typer.Option(help="What a single run is called in the index; as its folder if not given.")
    ] = None,
) -> None:
    """Put runs into an index: later runs that name it (`against:` of a step) drop what is in it already.

    Example: gristmill dedup index runs/crawl-1 --to indexes/web
    """
    from pipeline.dedup.index.add import add

    if name is not None and len(runs) > 1:
        raise typer.BadParameter("a name is for one run", param_hint="--name")
    for run in runs:
        added = add(to, run, name)
        print(
            f"{run}: in {to} already" if added is None else f"{run}: {added.documents:,} documents, as '{added.name}'"
        )


@app.command()
def compact(index: IndexArgument) -> None:
    """Make the sorted keys of all runs in an index one file a step: searches take less time, and nothing else changes.

    Example: gristmill dedup compact indexes/web
    """
    from pipeline.dedup.index.merge import compact

    pieces = compact(index)
    print(f"{index}: {pieces} pieces to 1" if pieces > 1 else f"{index}: in one piece already")


@app.command()
def show(
    index: IndexArgument,
    check: Annotated[bool, typer.Option("--check", help="Read everything, and see whether it is as written.")] = False,
    json_: JsonOption = False,
) -> None:
    """What an index holds: its steps, its runs in their order, and its size.

    Example: gristmill dedup show indexes/web --check
    """
    from pipeline.dedup.index.manifest import Index

    opened = Index(index)
    known = opened.manifest
    files = known.files()
    for name in files:
        opened.file(name)
    if check:
        opened.check(files)
    size = sum(file.size for file in files.values())
    if json_:
        steps = [table.model_dump(mode="json", exclude={"keys"}) for table in known.tables]
        runs = [{"name": run.name, "documents": run.documents} for run in known.additions]
        found = {"steps": steps, "runs": runs, "documents": opened.documents, "pieces": len(known.segments)}
        print(json.dumps({**found, "bytes": size, "checked": check}, indent=1, ensure_ascii=False))
        return
    for table in known.tables:
        settings = ", ".join(f"{key} {value}" for key, value in table.keys.items() if key not in ("use", "alphabet"))
        print(f"step {table.name} ({table.use}): {settings}")
    for number, run in enumerate(known.additions, 1):
        print(f"{number}. {run.name}: {run.documents:,} documents")
    print(f"{opened.documents:,} documents, {size:,} bytes, keys in {len(known.segments)} pieces{', whole' * check}")


@app.command()
def query(
    files: Annotated[
        list[str], typer.Argument(metavar="FILE...", help="JSON Lines, Parquet or a text; - for standard input.")
    ],
    index: Annotated[Path, typer.Option("--index", metavar="INDEX", help="The folder of an index.")],
    n: Annotated[int, typer.Option("-n", min=1, help="Show at most so many for each document and step.")] = 10,
    json_: Annotated[bool, typer.Option("--json", help="Print JSON, a line a document.")] = False,
) -> None:
    """Say of each document whether it, or one like it, is in an index, and which one that is.

    Example: gristmill dedup query page.txt --index indexes/web
    """
    import polars as pl

    from pipeline.accounting.escape import json_line
    from pipeline.dedup.index.manifest import Index
    from pipeline.dedup.index.query import matches, read

    opened = Index(index)

    def look(rows: list[tuple[str, str | None, str]]) -> None:
        docs = pl.DataFrame(rows, schema={"origin": pl.String, "url": pl.String, "text": pl.String}, orient="row")
        for (origin, _, _), found in zip(rows, matches(opened, docs, n), strict=True):
            if json_:
                row = {"origin": origin, "known": bool(found), "matches": [match.to_dict() for match in found]}
                print(json_line(row))
            else:
                print(_told(origin, found))

    waiting: list[tuple[str, str | None, str]] = []
    for row in read(files, sys.stdin.buffer.read() if "-" in files else None):
        waiting.append(row)
        if len(waiting) == _AT_ONCE:
            look(waiting)
            waiting = []
    look(waiting)


def _told(origin: str, found: "list[Match]") -> str:
    """A document and what is like it, ready to print."""
    from pipeline.accounting.escape import line

    if not found:
        return f"{line(origin)}: not in the index"
    lines = [f"{line(origin)}: {len({(match.run, match.id) for match in found})} in the index"]
    for match in found:
        parts: list[Any] = [f"{match.run}/{match.id}", match.verdict, match.doc_id, match.url, match.source, match.date]
        likeness = f"similarity {match.similarity:.2f}, {match.keys} of {match.of} keys"
        lines.append(f"  {match.step}: {likeness}: {line('  '.join(str(part) for part in parts if part))}")
    return "\n".join(lines)
