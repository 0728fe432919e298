"""The process in which PDF files are parsed: PDFium is C++, and what a hostile file does to it must not reach the run.

Run as a file of its own. The first process loads the library once and forks a child for every file, which takes a few
milliseconds; so nothing of a file outlives it, and a child that crashes or runs out of time or memory answers by its
end. A request is the file, an answer its pages in JSON.
"""

import json
import os
import resource
import signal
import sys
import traceback
from typing import Any

from pipeline import child

_OUT_OF_MEMORY = 3
_STATUS = {0: child.FINE, 1: child.ERROR, _OUT_OF_MEMORY: child.MEMORY, -signal.SIGPROF: child.TIMEOUT}
"""By how a child ends."""


def pages_of(data: bytes, most_pages: int, most_chars: int) -> dict[str, Any]:
    """The text of each page and what the file says of itself, or `error`: what is wrong."""
    import pypdfium2

    try:
        document = pypdfium2.PdfDocument(data)
    except pypdfium2.PdfiumError as error:
        code = getattr(error, "err_code", None)
        locked = code == pypdfium2.raw.FPDF_ERR_PASSWORD or code == pypdfium2.raw.FPDF_ERR_SECURITY
        return {"error": "encrypted" if locked else "pdf"}
    count = len(document)
    pages: list[str] = []
    left = most_chars
    failed = 0
    for number in range(min(count, most_pages)):
        try:
            page = document[number]
            text = page.get_textpage().get_text_bounded()
            page.close()
        except pypdfium2.PdfiumError:
            failed += 1
            text = ""
        pages.append(text)
        left -= len(text)
        if left < 0:
            return {"error": "too_large"}
    about = document.get_metadata_dict(skip_empty=True)
    return {"pages": pages, "count": count, "failed": failed, "about": about}


def _child(data: bytes, pipe: int, settings: dict[str, Any]) -> int:
    resource.setrlimit(resource.RLIMIT_AS, (settings["memory"], settings["memory"]))
    signal.setitimer(signal.ITIMER_PROF, settings["seconds"])  # processor time; nobody handles it, so it ends the child
    try:
        found = pages_of(data, settings["pages"], settings["chars"])
        body = json.dumps(found).encode()
    except MemoryError:
        return _OUT_OF_MEMORY
    child.write_all(pipe, body)
    return 0


def _serve(requests: int, answers: int, settings: dict[str, Any]) -> None:
    while True:
        try:
            size = child.LENGTH.unpack(child.read_exactly(requests, child.LENGTH.size))[0]
            data = child.read_exactly(requests, size)
        except EOFError:
            return
        reader, writer = os.pipe()
        forked = os.fork()
        if forked == 0:
            code = 1
            try:
                os.close(reader)
                code = _child(data, writer, settings)
            finally:
                os._exit(code)
        os.close(writer)
        body = bytearray()
        while part := os.read(reader, 1 << 20):
            body += part
        os.close(reader)
        code = os.waitstatus_to_exitcode(os.waitpid(forked, 0)[1])
        status = _STATUS.get(code, child.CRASH)
        child.write_all(answers, child.answer(status, bytes(body) if status == child.FINE else b""))


def main(settings: dict[str, Any]) -> None:
    """Serve the files that come through standard input."""
    requests, answers = child.own_pipes()
    try:
        import pypdfium2  # noqa: F401  # loaded before any child is forked
    except ImportError:
        child.write_all(answers, child.answer(child.BROKEN, traceback.format_exc().encode()))
        return
    child.write_all(answers, child.answer(child.READY, b""))
    _serve(requests, answers, settings)


if __name__ == "__main__":
    main(json.loads(sys.argv[1]))
