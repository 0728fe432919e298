"""The process in which PDF files are parsed: PDFium is C++, and what a hostile file does to it must not reach the run.

Run as a file of its own. The first process loads the library once and forks a child for every file, which takes a few
milliseconds; so nothing of a file outlives it, and a child that crashes or runs out of time or memory answers by its
end. A request is a length (4 bytes, little-endian) and the file; an answer is a status (1 byte), a length and JSON.
"""

import json
import os
import resource
import signal
import struct
import sys
import traceback
from typing import Any

READY, TEXT, ERROR, TIMEOUT, MEMORY, CRASH, BROKEN = range(7)
HEADER = struct.Struct("<BI")
LENGTH = struct.Struct("<I")

_OUT_OF_MEMORY = 3


def read_exactly(file: int, size: int) -> bytes:
    """Read from a pipe; raises EOFError where it ends first."""
    data = bytearray()
    while len(data) < size:
        part = os.read(file, min(size - len(data), 1 << 20))
        if not part:
            raise EOFError
        data += part
    return bytes(data)


def write_all(file: int, data: bytes) -> None:
    view = memoryview(data)
    while view:
        view = view[os.write(file, view) :]


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
    write_all(pipe, body)
    return 0


def _serve(requests: int, answers: int, settings: dict[str, Any]) -> None:
    while True:
        try:
            data = read_exactly(requests, LENGTH.unpack(read_exactly(requests, LENGTH.size))[0])
        except EOFError:
            return
        reader, writer = os.pipe()
        child = os.fork()
        if child == 0:
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
        code = os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])
        status = {0: TEXT, 1: ERROR, _OUT_OF_MEMORY: MEMORY, -signal.SIGPROF: TIMEOUT}.get(code, CRASH)
        answer = bytes(body) if status == TEXT else b"{}"
        write_all(answers, HEADER.pack(status, len(answer)) + answer)


def main(settings: dict[str, Any]) -> None:
    """Serve the files that come through standard input."""
    requests, answers = os.dup(0), os.dup(1)
    nothing = os.open(os.devnull, os.O_RDWR)
    for standard in (0, 1, 2):  # a library that prints must not speak into the pipe
        os.dup2(nothing, standard)
    try:
        import pypdfium2  # noqa: F401  # loaded before any child is forked
    except ImportError:
        body = json.dumps(traceback.format_exc()).encode()
        write_all(answers, HEADER.pack(BROKEN, len(body)) + body)
        return
    write_all(answers, HEADER.pack(READY, 2) + b"{}")
    _serve(requests, answers, settings)


if __name__ == "__main__":
    main(json.loads(sys.argv[1]))
