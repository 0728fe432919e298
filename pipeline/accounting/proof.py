"""What the proofs of a run's steps of deduplication say, and when it is something that nobody can have wanted.

The numbers are in the receipts: `pipeline/dedup/proof/` has compared documents. Here they become a table, and words
where duplicates were missed, where what was dropped is none, and where nearly all was dropped.
"""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from rich.table import Table

from pipeline.accounting.escape import line
from pipeline.accounting.folder import RunFolder
from pipeline.accounting.funnel import Funnel
from pipeline.accounting.tables import number, table

_MOST = 0.9
"""The share of the documents that reach a step which it may drop without a word about it."""

_FAR = 0.9
"""The part of an expected share that the upper end of an interval has to reach."""

COLUMNS = ("documents compared", "compared", "in all", "share", "95 % interval", "expected")


@dataclass(frozen=True)
class Proof:
    """What the proof of one step found, as its receipt has it."""

    step: str
    found: Mapping[str, Any]

    def rows(self) -> list[tuple[str, ...]]:
        """A table of COLUMNS: pairs that are alike and which share of them is in one cluster, and dropped documents."""
        least, drawn, dropped = self.found["threshold"], self.found["drawn"], self.found["dropped"]
        head = (f"recall: pairs at least {least:.2f} alike", drawn["alike"], drawn["pairs"])
        rows = [_row(*head, drawn["recall"], drawn["expected"])]
        for level in drawn["levels"]:
            head = (f"  {_alike(level['from'])}", level["compared"], level["pairs"])
            rows.append(_row(*head, level["recall"], level["expected"]))
        compared, total, expected = dropped["compared"], dropped["documents"], drawn["expected_precision"]
        name = f"precision: dropped, at least {least:.2f} like what stays"
        rows.append(_row(name, compared, total, dropped["precision"], expected))
        if dropped["met"] != dropped["precision"]:
            rows.append(_row("  like that or another one that shares a key", compared, total, dropped["met"], None))
        if dropped["earlier"]:
            rows.append(_row("  for documents of earlier runs, not compared", 0, dropped["earlier"], None, None))
        return rows

    def warnings(self) -> list[str]:
        """What is wrong with the step, if anything is."""
        drawn, dropped, keys = self.found["drawn"], self.found["dropped"], self.found["keys"]
        least, said = f"{self.found['threshold']:.2f}", []
        if keys["different"]:
            said.append(
                f"{number(keys['different'])} of {number(keys['checked'])} documents have other keys when these are "
                "computed once more: the run mixes code or machines that do not agree; run it anew"
            )
        said += self._missed()
        stays, met = dropped["precision"], dropped["met"]
        if stays and self.found["threshold"] == 1 and stays["share"] < 1:
            said.append(
                f"it dropped documents that are not the same as what stays: {_percent(1 - stays['share'])} of them"
            )
        elif met and met["high"] < min(0.5, _FAR * (drawn["expected_precision"] or 1)):
            said.append(
                f"it drops what is no duplicate: {_percent(met['share'])} of the dropped documents are at least "
                f"{least} like anything that they share a key with"
            )
        elif met and stays["high"] < _FAR * met["low"]:
            said.append(
                f"its clusters are chains: {_percent(stays['share'])} of the dropped documents are at least {least} "
                f"like what stays, {_percent(met['share'])} like that or another one; `verify` makes them shorter"
            )
        return [f"{self.step}: {words}" for words in said]

    def _missed(self) -> Iterator[str]:
        """Where fewer duplicates were found than should be: in all, or else in the first tenth of which that is true,
        since a few clusters of copies may be nearly all pairs that there are."""
        drawn = self.found["drawn"]
        above = [level for level in drawn["levels"] if level["from"] >= self.found["threshold"]]
        names = [f"at least {self.found['threshold']:.2f} alike", *(_alike(level["from"]) for level in above)]
        for name, level in zip(names, [drawn, *above], strict=True):
            recall = level["recall"]
            if recall and recall["high"] < _FAR * level["expected"]:
                yield (
                    f"it misses duplicates: of the pairs {name} {_percent(recall['share'])} are in one cluster, and "
                    f"its settings should find {_percent(level['expected'])}"
                )
                return


def _alike(low: float) -> str:
    return "the same" if low == 1 else f"{low:.1f} to {low + 0.1:.1f} alike"


def _row(
    name: str, compared: int, total: float, share: Mapping[str, float] | None, expected: float | None
) -> tuple[str, ...]:
    return (
        name,
        number(compared),
        number(round(total)),
        "-" if share is None else _percent(share["share"]),
        "-" if share is None else f"{100 * share['low']:.1f} to {_percent(share['high'])}",
        "" if expected is None else _percent(expected),
    )


def _percent(share: float) -> str:
    return f"{100 * share:.1f} %"


def proofs(folder: RunFolder) -> list[Proof]:
    """The proofs of a run, in the order of its steps."""
    found = {
        receipt["stage"].rpartition(".")[0]: receipt["proof"] for receipt in folder.receipts() if "proof" in receipt
    }
    return [Proof(step.name, found[step.name]) for step in folder.steps if step.name in found]


def warnings(folder: RunFolder, found: Sequence[Proof], total: Funnel) -> list[str]:
    """What is wrong with deduplication in a run, given its proofs and the funnel of all sources."""
    said = [words for proof in found for words in proof.warnings()]
    for stage in total.stages:
        if stage.kind == "dedup" and stage.dropped > _MOST * stage.entered:
            said.append(
                f"{stage.name}: it dropped {number(stage.dropped)} of {number(stage.entered)} documents; look at some "
                f"with gristmill inspect {line(str(folder.path))} --reason dedup.{stage.name}"
            )
    for receipt in folder.receipts():
        joined = receipt.get("known", {}).get("joined", 0)
        if joined:
            said.append(
                f"{receipt['stage'].rpartition('.')[0]}: by what is new, {number(joined)} documents that earlier runs "
                "kept turn out to be like others that they kept; they stay"
            )
    return said


def proof_table(proof: Proof) -> Table:
    """A proof for the terminal."""
    return table(f"proof of {proof.step}, by comparing texts", COLUMNS, proof.rows())
