"""Samples against the simulated documents they come from."""

import json
from collections.abc import Callable
from io import StringIO
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from rich.console import Console

from pipeline.accounting.folder import RunFolderError
from pipeline.accounting.inspect import hash_ids, render, samples

MakeRun = Callable[..., tuple[Path, list[Any]]]


def test_samples_are_what_the_run_decided(make_run: MakeRun, simulation: Any) -> None:
    run, docs = make_run(seed=31)
    by_id = {(doc.source, doc.id): doc for doc in docs}
    found = samples(run, n=1000)
    assert len(found) == sum(doc.verdict == "dropped" for doc in docs)
    for sample in found:
        doc = by_id[sample.source, sample.id]
        assert (sample.verdict, sample.reason) == (doc.verdict, doc.reason)
        assert sample.text == (doc.text if doc.has_text else None)
        assert sample.origin == f"file#{doc.ordinal}" and str(doc.ordinal) in sample.url
        assert list(sample.broken) == doc.broken
        if doc.reason in simulation.RANGES:
            assert sample.range == simulation.applies(simulation.RANGES, doc.reason, doc.values["language.label"])
            assert repr(sample.value) == repr(doc.values[doc.reason])  # NaN is equal to itself here
        survivor = f"doc-{doc.cluster:06d}" if str(doc.reason).startswith("dedup.") else None
        assert sample.survivor == survivor
        expected = {c for c, v in doc.values.items() if c.split(".")[0] in doc.seen and v is not None}
        assert set(sample.signals) == expected
        json.dumps(sample.to_dict())


@pytest.mark.parametrize("reason", ["gopher.words", "dedup.minhash", "read.content_type"])
def test_a_reason_and_a_source_choose(make_run: MakeRun, reason: str) -> None:
    run, docs = make_run(seed=32)
    meant = {doc.id for doc in docs if doc.reason == reason and doc.source == "web"}
    found = samples(run, reason=reason, source="web", n=3)
    assert len(found) == min(3, len(meant)) and {sample.id for sample in found} <= meant


def test_a_step_stands_for_its_reasons_and_quarantine_is_open_too(make_run: MakeRun) -> None:
    run, docs = make_run(seed=33)
    found = samples(run, reason="gopher", n=1000)
    assert {sample.reason for sample in found} == {"gopher.words", "gopher.mean_word"}
    broken = samples(run, reason="read.truncated", n=1000)
    assert {sample.id for sample in broken} == {doc.id for doc in docs if doc.reason == "read.truncated"}
    assert all(sample.verdict == "quarantined" and sample.text.startswith("\ufffd") for sample in broken)


def test_kept_documents_come_from_the_shards(make_run: MakeRun) -> None:
    run, docs = make_run(seed=34)
    texts = {doc.id: doc.text for doc in docs if doc.verdict == "kept"}
    found = samples(run, n=7, kept=True)
    assert len(found) == 7 and all(texts[sample.id] == sample.text for sample in found)


def test_the_same_seed_gives_the_same_sample_however_the_files_are_cut(make_run: MakeRun) -> None:
    run, _ = make_run(seed=35)
    first = [sample.id for sample in samples(run, n=9, seed=4)]
    assert len(set(first)) == 9
    assert [sample.id for sample in samples(run, n=20, seed=4)][:9] == first
    assert [sample.id for sample in samples(run, n=9, seed=5)] != first
    for folder in (run / "dropped").iterdir():
        table = pa.concat_tables(pq.read_table(file, partitioning=None) for file in sorted(folder.iterdir()))
        for file in folder.iterdir():
            file.unlink()
        pq.write_table(table, folder / "all.parquet", row_group_size=1000)
    assert [sample.id for sample in samples(run, n=9, seed=4)] == first


def test_hashes_do_not_depend_on_where_a_string_lies() -> None:
    ids = ["", "a", "b", "ab", "ba", "aa", "a" * 1000, "é\U0001f600", *map(str, range(5000))]
    whole = hash_ids(pa.array(ids), 7).tolist()
    assert len(set(whole)) == len(set(ids))
    assert hash_ids(pa.array(ids).slice(3, 10), 7).tolist() == whole[3:13]
    assert hash_ids(pa.array(ids, pa.large_string()), 7).tolist() == whole
    assert hash_ids(pa.array([], pa.string()), 7).tolist() == []
    # every bit is set about as often as not
    assert all(0.45 < sum(value >> bit & 1 for value in whole) / len(whole) < 0.55 for bit in range(64))


def test_before_there_is_a_ledger_texts_can_be_seen(make_run: MakeRun) -> None:
    run, _ = make_run(seed=36)
    for file in run.glob("ledger/*/*.parquet"):
        file.unlink()
    found = samples(run, reason="gopher.words", n=2)
    assert [sample.value for sample in found] == [None, None] and found[0].range == (50, 1000)


def test_unknown_reasons_and_sources_name_the_nearest(make_run: MakeRun) -> None:
    run, _ = make_run(seed=37)
    with pytest.raises(RunFolderError, match=r"'gopher\.wrds'; did you mean 'gopher\.words'.*dedup\.minhash"):
        samples(run, reason="gopher.wrds")
    with pytest.raises(RunFolderError, match=r"no source 'wbe'.*did you mean 'web'"):
        samples(run, source="wbe")
    with pytest.raises(RunFolderError, match="have no reason"):
        samples(run, reason="gopher.words", kept=True)


def test_texts_are_shown_and_not_obeyed(make_run: MakeRun) -> None:
    run, _ = make_run(seed=38)
    found = samples(run, n=1000)
    out = StringIO()
    Console(file=out, width=300, force_terminal=True, color_system=None).print(render(found))
    text = out.getvalue()
    assert "[red]a|b[/red] \\x1b[31mC\\u202e <script>" in text
    assert "\x1b[31m" not in text and "\u202e" not in text
    assert "kept are 50:1000" in text and "duplicate of doc-" in text
    assert any("\x1b[31m" in (sample.to_dict()["text"] or "") for sample in found)  # JSON has the text as it is
