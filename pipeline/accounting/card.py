"""The dataset card of a run: a README.md by which `datasets` finds the shards and a reader what they are.

It depends on the config and the data alone: no times, no paths of this machine, so that equal runs have equal cards.
"""

import glob
import re
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

import polars as pl
import yaml

from pipeline.accounting.escape import markdown
from pipeline.accounting.folder import RunFolder, tokens
from pipeline.accounting.funnel import Funnel
from pipeline.accounting.proof import COLUMNS
from pipeline.accounting.stats import Stats, stats
from pipeline.accounting.tables import intervals, number, share

_SIZES = {
    10**3: "n<1K",
    10**4: "1K<n<10K",
    10**5: "10K<n<100K",
    10**6: "100K<n<1M",
    10**7: "1M<n<10M",
    10**8: "10M<n<100M",
    10**9: "100M<n<1B",
    10**10: "1B<n<10B",
    10**11: "10B<n<100B",
    10**12: "100B<n<1T",
}

_OPEN = """\
## Open it

`RUN` is the folder of this file.

```python
import datasets, polars
documents = datasets.load_dataset("RUN", split="train")
documents = polars.scan_parquet("RUN/shards/**/*.parquet")
```

```sql
-- DuckDB: documents of each source, and why the others are not here
select source, count(*) from 'RUN/shards/**/*.parquet' group by source;
select source, verdict, reason, count(*) from 'RUN/ledger/**/*.parquet' group by all order by all;
```

Columns: `id`, `text`, `source`, `url`, `date`, `language`, `language_score`, `doc_id` (the source's own id) and
`origin` (file and place); then what sources say of documents, and web pages, true or not, of themselves if the run
asked for it: `title`, `author`, `published`, `declared_language`, `canonical_url`, `license`, `site` and `page_type`.
`ledger/` has a row for every record that was read, with its verdict, everything that was measured of it, and what else
its source told (`read.*`); `dropped/` has the texts that are not here.
"""


def write_card(run: Path | RunFolder) -> str:
    """The text of the card; the caller puts it into the run."""
    folder = run if isinstance(run, RunFolder) else RunFolder(run)
    counted = stats(folder)
    languages = _languages(folder)
    parts = [
        f"---\n{_front_matter(folder, counted, languages)}---\n",
        "# Curated corpus\n",
        _summary(folder, counted, languages),
        "## Sources\n",
        _sources(folder, counted),
        "## What was dropped, and where\n",
        *(_funnel(name, funnel) for name, funnel in counted.sources.items()),
        *(f"**{markdown(words)}**\n" for words in counted.warnings),
        *(
            f"### Proof of {markdown(p.step)}, by comparing texts\n\n{_table(COLUMNS, p.rows())}"
            for p in counted.proofs
        ),
        "## Steps\n",
        _steps(folder),
        _OPEN,
        "## Made with\n",
        _table(("package", "version"), [(str(k), str(v)) for k, v in folder.meta.get("versions", {}).items()]),
    ]
    return "\n".join(parts)


def _front_matter(folder: RunFolder, counted: Stats, languages: Sequence[tuple[str, int]]) -> str:
    """The YAML by which Hugging Face tools know licence, languages, size, and which files belong to which source."""
    licenses = [str(name) for name in folder.licenses.values() if name]
    known = [name.lower() if re.fullmatch(r"[A-Za-z0-9][A-Za-z0-9.+-]*", name) else "other" for name in licenses]
    filled = [name for name in folder.sources if folder.files("shards", name)]
    configs: list[dict[str, Any]] = []
    if filled:
        configs.append({"config_name": "default", "data_files": "shards/**/*.parquet"})
    for name in filled:
        config = f"source-{name}" if name == "default" else name
        configs.append({"config_name": config, "data_files": f"shards/{glob.escape(name)}/*.parquet"})
    codes = [code for code, _ in languages if re.fullmatch(r"[a-z]{2,3}", code)]
    kept = counted.total.kept
    facts: dict[str, Any] = {
        "license": sorted(set(known)) or None,
        "language": codes or None,
        "size_categories": [next((size for limit, size in _SIZES.items() if kept < limit), "n>1T")],
        "tags": ["gristmill"],
        "configs": configs or None,
    }
    stated = {key: value for key, value in facts.items() if value}
    return yaml.safe_dump(stated, sort_keys=False, width=1000)


def _languages(folder: RunFolder) -> list[tuple[str, int]]:
    """Kept documents by language, the most frequent first; a document without one counts for none."""
    frame = folder.scan("ledger")
    if frame is None:
        return []
    kept = frame.filter(pl.col("verdict") == "kept", pl.col("language").is_not_null()).group_by("language").len()
    return list(kept.sort("len", "language", descending=[True, False]).collect(engine="streaming").iter_rows())


def _summary(folder: RunFolder, counted: Stats, languages: Sequence[tuple[str, int]]) -> str:
    total = counted.total
    lines = [
        f"{number(total.kept)} documents ({share(total.kept, total.read)} of {number(total.read)} records read), "
        f"{number(total.chars)} characters, ≈ {number(total.tokens)} tokens (UTF-8 bytes / 4)."
    ]
    if languages:
        lines.append("Languages: " + ", ".join(f"{markdown(code)} {number(n)}" for code, n in languages[:20]) + ".")
    if (limit := folder.setting("limit")) is not None:
        lines.append(f"**Partial:** made with a limit of {limit:,} records of each source.")
    if not counted.complete:
        lines.append("**Unfinished:** some tasks of this run are not done.")
    return "\n\n".join(lines) + "\n"


def _sources(folder: RunFolder, counted: Stats) -> str:
    files: dict[str, list[int]] = {}
    for entry in folder.meta.get("inputs", ()):
        files.setdefault(str(entry.get("source")), []).append(int(entry["size"]))
    rows = [
        (
            name,
            folder.licenses.get(name) or "not stated",
            number(len(files[name])) if name in files else "-",
            number(sum(files[name])) if name in files else "-",
            number(funnel.read),
            number(funnel.kept),
            number(funnel.quarantined),
            number(funnel.tokens),
        )
        for name, funnel in counted.sources.items()
    ]
    columns = ("source", "licence", "files", "input bytes", "records read", "kept", "quarantined", "≈ tokens kept")
    return _table(columns, rows)


def _funnel(name: str, funnel: Funnel) -> str:
    rows = [
        (
            stage.name,
            number(stage.entered),
            number(stage.dropped),
            share(stage.dropped, stage.entered),
            share(stage.dropped, funnel.read),
            number(stage.quarantined),
            number(None if stage.bytes is None else tokens(stage.bytes)),
            ", ".join(
                [
                    *(f"{reason} {number(count)}" for reason, count in stage.reasons.items()),
                    *(f"{number(stage.cut)} characters cut" for _ in range(stage.cut is not None)),
                ]
            ),
        )
        for stage in funnel.stages
        if stage.kind != "task"
    ]
    rows.append(("kept", number(funnel.kept), "", "", share(funnel.kept, funnel.read), "", number(funnel.tokens), ""))
    columns = ("step", "in", "dropped", "of remaining", "of all", "quarantined", "≈ tokens", "reasons")
    return f"### {markdown(name)}\n\n{_table(columns, rows)}"


def _steps(folder: RunFolder) -> str:
    rows = [
        (
            step.name,
            step.use,
            step.kind,
            intervals(step.keep),
            "all" if step.sources is None else ", ".join(step.sources),
        )
        for step in folder.steps
    ]
    return _table(("step", "use", "kind", "kept ranges (both ends included)", "sources"), rows)


def _table(columns: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    lines = [columns, ["---"] * len(columns), *([markdown(value) for value in row] for row in rows)]
    return "\n".join(f"| {' | '.join(line)} |" for line in lines) + "\n"
