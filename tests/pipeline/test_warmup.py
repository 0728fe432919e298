"""Kernels are compiled by one process of a machine; the others wait for it, and then have all that they call."""

import multiprocessing
import os
import subprocess
import sys
import time
from pathlib import Path

import pytest

from filters import compiled
from pipeline.warmup import key, once


def _compile(cache: str, log: str, key: str) -> None:
    os.environ["XDG_CACHE_HOME"] = cache

    def work() -> None:
        with open(log, "a") as file:
            file.write("began ")
        time.sleep(0.2)
        with open(log, "a") as file:
            file.write("ended\n")

    once(work, key)
    assert "ended" in Path(log).read_text().splitlines()[-1]  # nobody goes on before it is done


def test_processes_that_start_together_compile_once(tmp_path: Path) -> None:
    context = multiprocessing.get_context("spawn")
    log = tmp_path / "log"
    for result, times in (("one", 1), ("one", 1), ("two", 2)):
        processes = [context.Process(target=_compile, args=(str(tmp_path), str(log), result)) for _ in range(3)]
        for process in processes:
            process.start()
        for process in processes:
            process.join()
            assert process.exitcode == 0
        assert log.read_text() == "began ended\n" * times


def test_what_fails_is_tried_again(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    calls = []

    def fails() -> None:
        calls.append("fails")
        raise RuntimeError("no compiler")

    with pytest.raises(RuntimeError, match="no compiler"):
        once(fails, "key")
    once(lambda: calls.append("works"), "key")
    once(fails, "key")
    assert calls == ["fails", "works"]


CALLS = """
import sys
import polars as pl
from pipeline.extract.step import Extract
from pipeline.passage import FRAME, Meter, process
from pipeline.steps import Stages
from pipeline.warmup import warm_up

PAGES = [
    b"<nav>x</nav><h1>T</h1><p>Some text.<ul><li>a<li>b</ul><table><tr><td>1<td>2</table><pre>x\\n y</pre><br>&eacute;",
    b"<svg><title>x</title></svg><math alttext=x></math><ruby>a<rp>(<rt>b</ruby><q>c</q><script>1</script>",
    b"<noscript>" + b"<p>For readers without scripts. " * 200 + b"</noscript>",
    b"",
]

def compiled():
    modules = [module for name, module in sys.modules.items() if name.startswith("pipeline.extract.")]
    kernels = [item for module in modules for item in vars(module).values() if hasattr(item, "signatures")]
    return sorted({(item.__module__, item.__name__, str(item.signatures)) for item in kernels if item.signatures})

steps = {"extract": Extract(**SETTINGS)}
warm_up(Stages.of(steps))
before = compiled()
rows = [{"ordinal": n, "html": page, "broken": []} for n, page in enumerate(PAGES)]
process(pl.DataFrame(rows, schema=FRAME), steps, True, Meter())
assert before and compiled() == before, set(compiled()) ^ set(before)
"""


@pytest.mark.parametrize(
    "settings",
    [{"metadata": True, "format": "markdown"}, {"main_content": False}, {"engine": "resiliparse", "metadata": True}],
)
def test_pages_call_nothing_that_was_not_compiled_before(settings: dict[str, object], tmp_path: Path) -> None:
    """In a fresh process without the mark, but with the results that there are, so that it does not take a minute."""
    environment = os.environ | {"XDG_CACHE_HOME": str(tmp_path), "NUMBA_CACHE_DIR": str(compiled.folder())}
    code = CALLS.replace("SETTINGS", repr(settings))
    done = subprocess.run([sys.executable, "-c", code], env=environment, capture_output=True, text=True)
    assert not done.returncode, done.stderr
    assert (tmp_path / "gristmill/kernels").is_file()


def test_the_key_names_what_is_compiled_and_where(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    known = key(["filters.tokens"], ["a"])
    assert known == key(["filters.tokens"], ["a"])
    others = {key(["filters.kernels"], ["a"]), key(["filters.tokens"], ["b"])}
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    assert len({known, key(["filters.tokens"], ["a"]), *others}) == 4
