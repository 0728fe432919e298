"""The process in which pages are parsed: only the kernel can end a page on which C code is stuck or runs out of memory.

Run as a file of its own, not as a module, so that it starts with nothing imported but the extractor. The first process
imports it once and forks workers; a worker handles some hundred pages, then gives way to a fresh fork, because the
heap that lxml leaves behind only grows. A worker that dies on a page costs that page; the first process answers for it.

A request is the length of the URL (4 bytes), the URL and the page, both UTF-8. An answer is the number of pages that
the worker has handled (4 bytes) and the text, UTF-8.
"""

import gc
import json
import logging
import mmap
import os
import resource
import signal
import sys
import traceback
import warnings
from collections.abc import Callable
from typing import Any

from pipeline.child import (
    BROKEN,
    CRASH,
    ERROR,
    FINE,
    LENGTH,
    MEMORY,
    READY,
    TIMEOUT,
    answer,
    die_with_parent,
    own_pipes,
    read_exactly,
    write_all,
)

_IDLE, _AT_WORK, _TALKING = range(3)
_RECYCLED, _DONE, _LOST = range(3)

_ALMOST = 0.85  # of the limit: what fails is an allocation, so that the limit itself is not reached

Engine = Callable[[str, str | None], str | None]


def trafilatura_engine(options: dict[str, Any]) -> Engine:
    """Barbaresi, "Trafilatura: A Web Scraping Library and Command-Line Tool" (ACL 2021)."""
    from trafilatura import extract, html2txt

    from pipeline.extract.shortcuts import ask_less, plain_elements

    modules = [module for name, module in sys.modules.items() if name.partition(".")[0] == "trafilatura"]
    ask_less(modules)
    plain_elements(modules)
    favor = options["favor"]
    if not options["main_content"]:
        return lambda page, url: html2txt(page)

    def main_text(page: str, url: str | None) -> str | None:
        return extract(
            page,
            url=url,
            favor_precision=favor == "precision",
            favor_recall=favor == "recall",
            fast=options["fast"],
            include_comments=options["comments"],
            include_tables=options["tables"],
            output_format="markdown" if options["format"] == "markdown" else "txt",
            # Its cache of what was seen would make the text of a page depend on the pages before it.
            deduplicate=False,
        )

    return main_text


def resiliparse_engine(options: dict[str, Any]) -> Engine:
    """Bevendorff et al., "Elastic ChatNoir" (ECIR 2018): main content by rules on the parsed tree."""
    from resiliparse.extract.html2text import extract_plain_text

    def main_text(page: str, url: str | None) -> str | None:
        return str(
            extract_plain_text(
                page, main_content=options["main_content"], alt_texts=False, comments=options["comments"]
            )
        )

    return main_text


def htmldate_engine(options: dict[str, Any]) -> Engine:
    """Barbaresi, "htmldate: A Python package to extract publication dates from web pages" (JOSS 2020)."""
    from pipeline.extract.dates import searched

    return lambda page, url: searched(page.encode("utf-8"), url)


def datatrove_engine(options: dict[str, Any]) -> Engine:
    """An extractor of datatrove, or one of the user's derived from it."""
    from pipeline.blocks.classes import create

    extractor = create(options["block"], options["arguments"], options["plugins"])
    # Each page gets a fork of its own: what is loaded for pages without main text must be there before, not each time.
    extractor.extract("<html><body><p>Little.</p></body></html>")
    return lambda page, url: extractor.extract(page)


ENGINES: dict[str, Callable[[dict[str, Any]], Engine]] = {
    "trafilatura": trafilatura_engine,
    "resiliparse": resiliparse_engine,
    "htmldate": htmldate_engine,
    "datatrove": datatrove_engine,
}


class _Server:
    def __init__(self, settings: dict[str, Any], requests: int, answers: int) -> None:
        self._requests, self._answers = requests, answers
        self._seconds: float = settings["seconds"]
        self._memory: int = settings["memory"]
        self._pages: int = settings["pages"]
        self._engine = ENGINES[settings["engine"]](settings)
        self._engine(
            "<html><body><p>" + "A first page that loads what is loaded late. " * 20 + "</p></body></html>", None
        )
        self._shared = mmap.mmap(-1, 8)  # what the worker is doing, and its number of pages

    def _answer(self, status: int, text: bytes) -> None:
        write_all(self._answers, answer(status, self._shared[4:8] + text))

    def _work(self) -> int:
        """One worker: pages until it has had its number of them."""
        die_with_parent()
        resource.setrlimit(resource.RLIMIT_AS, (self._memory, self._memory))
        for page in range(1, self._pages + 1):
            try:
                size = LENGTH.unpack(read_exactly(self._requests, LENGTH.size))[0]
            except EOFError:
                return _DONE
            self._shared[0] = _TALKING
            self._shared[4:8] = LENGTH.pack(page)
            request = read_exactly(self._requests, size)
            url_size = LENGTH.unpack_from(request)[0] + LENGTH.size
            self._shared[0] = _AT_WORK
            status, text = self._extract(request[url_size:], request[LENGTH.size : url_size])
            self._shared[0] = _TALKING
            self._answer(status, text)
            self._shared[0] = _IDLE
            if status == MEMORY:
                break
        return _RECYCLED

    def _extract(self, page: bytes, url: bytes) -> tuple[int, bytes]:
        # The processor time of this process, not the time on the clock: a busy machine must not change the result.
        # Nobody handles the signal, so it ends the process wherever it is.
        signal.setitimer(signal.ITIMER_PROF, self._seconds)
        try:
            text = self._engine(page.decode("utf-8"), url.decode("utf-8") or None)
            if not text and self._short_of_memory():
                return MEMORY, b""
            return FINE, (text or "").encode("utf-8", "replace")
        except MemoryError:
            return MEMORY, b""
        except Exception as error:  # whatever the extractor stumbles over is the page's fate, not the run's
            return MEMORY if self._short_of_memory() else ERROR, repr(error)[:1000].encode("utf-8", "replace")
        finally:
            signal.setitimer(signal.ITIMER_PROF, 0)

    def _short_of_memory(self) -> bool:
        """Whether memory has run out: extractors swallow that error like any other, or call it by another name."""
        return _peak_memory() > _ALMOST * self._memory

    def serve(self) -> None:
        """Fork workers one after another, and answer for those that died on a page."""
        self._answer(READY, b"")
        gc.freeze()
        while True:
            self._shared[:] = bytes(8)
            worker = os.fork()
            if worker == 0:
                code = _LOST
                try:
                    code = self._work()
                finally:
                    os._exit(code)
            status = os.waitpid(worker, 0)[1]
            code = os.waitstatus_to_exitcode(status)
            if code == _RECYCLED:
                continue
            if code == _DONE or self._shared[0] == _TALKING:
                return  # at the end, or in the middle of a message: the other side sees the pipe end
            if self._shared[0] == _AT_WORK:
                self._answer(TIMEOUT if code == -signal.SIGPROF else CRASH, str(code).encode())


def _peak_memory() -> int:
    """The most address space that this process has had; 0 where the system neither tells nor limits it."""
    if sys.platform != "linux":
        return 0
    with open("/proc/self/status", encoding="ascii", errors="replace") as status:
        return next((int(line.split()[1]) << 10 for line in status if line.startswith("VmPeak:")), 0)


def main(settings: dict[str, Any]) -> None:
    """Serve the pages that come through standard input."""
    die_with_parent()
    if os.getppid() != settings["parent"]:
        return  # it ended before it could be watched
    requests, answers = own_pipes()
    logging.disable(logging.CRITICAL)
    warnings.simplefilter("ignore")
    try:
        server = _Server(settings, requests, answers)
    except Exception:  # told on the other side, where somebody reads it
        write_all(answers, answer(BROKEN, traceback.format_exc().encode("utf-8", "replace")))
        return
    server.serve()


if __name__ == "__main__":
    main(json.loads(sys.argv[1]))
