"""Kernels are compiled by one process of a machine; the others wait for it."""

import multiprocessing
import os
import time
from pathlib import Path

import pytest

from pipeline.warmup import once


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
    for key, times in (("one", 1), ("one", 1), ("two", 2)):
        processes = [context.Process(target=_compile, args=(str(tmp_path), str(log), key)) for _ in range(3)]
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
