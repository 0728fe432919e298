"""Builds the demo's corpus from the reader's own Python installation: three sources, no download, nothing made up.

    python data/corpus.py FOLDER

- `web`: documentation of the language and its library, written by pydoc as HTML, in a gzip WARC as a crawler makes it;
- `code`: source files of the standard library, JSON Lines;
- `docs`: descriptions and licence texts of the installed distributions, JSON Lines; full of near-duplicates, as the
  same few licences come with most of them.

One Python installation always gives the same bytes: dates and record ids are fixed and everything is in sorted order.
"""

import argparse
import gzip
import hashlib
import importlib.metadata
import importlib.util
import json
import pkgutil
import subprocess
import sys
import sysconfig
import tokenize
import uuid
from collections.abc import Iterable, Iterator
from io import BytesIO
from pathlib import Path

from warcio.statusandheaders import StatusAndHeaders
from warcio.warcwriter import WARCWriter

CODE_BYTES = 6_000_000
"""Of source code, in files taken evenly over the whole library."""

PAGE_BYTES = 120_000
"""Larger pages are long tables of names and constants."""

DATE = "2026-01-01T00:00:00Z"

FILE_BYTES = range(500, 100_000)
"""Sizes of source files and texts that are taken: smaller ones say nothing, larger ones are generated tables."""

LICENCES_EACH = 5
"""Of one distribution; some carry the licences of a hundred parts."""

# Importing these opens a browser, prints a poem, needs a display, or starts the interpreter's own test suite.
UNSAFE = {
    "antigravity",
    "this",
    "idlelib",
    "tkinter",
    "turtle",
    "turtledemo",
    "test",
    "lib2to3",
    "pydoc_data",
    "__main__",
}
NOT_FOR_READERS = {"tests", "test", "__main__", "encodings"}


def build(out: Path) -> dict[str, list[Path]]:
    """Write the corpus into `out`, made if missing, and return the files of each source."""
    out.mkdir(parents=True, exist_ok=True)
    web, code, docs = out / "web.warc.gz", out / "code.jsonl.gz", out / "docs.jsonl.gz"
    _write_warc(web, _pages(list(_modules())))
    _write_jsonl(code, _sources())
    _write_jsonl(docs, _distribution_texts())
    return {"web": [web], "code": [code], "docs": [docs]}


def _modules() -> Iterator[str]:
    """Names of the public modules of the standard library, found without importing them."""
    for name in sorted(sys.stdlib_module_names - UNSAFE):
        if name.startswith("_"):
            continue
        spec = importlib.util.find_spec(name)
        if spec is None:
            continue  # belongs to another operating system
        yield name
        if spec.submodule_search_locations and name not in NOT_FOR_READERS:
            yield from _submodules(name, list(spec.submodule_search_locations))
    yield "pydoc_data.topics"


def _submodules(package: str, folders: list[str]) -> Iterator[str]:
    for module in sorted(pkgutil.iter_modules(folders), key=lambda found: found.name):
        if module.name.startswith("_") or module.name in NOT_FOR_READERS:
            continue
        yield f"{package}.{module.name}"
        if module.ispkg:
            yield from _submodules(f"{package}.{module.name}", [str(Path(folder) / module.name) for folder in folders])


def _pages(modules: list[str]) -> Iterator[tuple[str, str]]:
    """Yield (path, HTML) of each page; a module that cannot be imported here, or hangs, has none."""
    writer = Path(__file__).with_name("pages.py")
    # Empty, so that no page shows the reader's own variables; with a fixed seed, as sets are printed.
    environment = {"PYTHONHASHSEED": "0", "PYTHONIOENCODING": "utf-8", "COLUMNS": "80"}
    while modules:
        command = [sys.executable, "-s", "-P", "-W", "ignore", str(writer), *modules]
        answers = 0
        with subprocess.Popen(
            command, env=environment, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL
        ) as process:
            assert process.stdout is not None
            for line in process.stdout:
                answers += 1
                yield from map(tuple, json.loads(line).get("pages", []))
        modules = modules[answers + 1 :]  # the one after the last answer ended the program


def _write_warc(target: Path, pages: Iterable[tuple[str, str]]) -> None:
    """Write one response record for each page, as a crawler of a small site would have kept it."""
    with target.open("wb") as file:
        writer = WARCWriter(file, gzip=True)
        record = writer.create_warcinfo_record(target.name, {"software": "gristmill", "format": "WARC File Format 1.0"})
        record.rec_headers.replace_header("WARC-Date", DATE)
        record.rec_headers.replace_header("WARC-Record-ID", _record_id(target.name))
        writer.write_record(record)
        for path, page in pages:
            body = page.encode()
            if len(body) > PAGE_BYTES:
                continue
            url = f"https://docs.example/3/{path}.html"
            headers = [("Content-Type", "text/html; charset=utf-8"), ("Content-Length", str(len(body)))]
            record = writer.create_warc_record(
                url,
                "response",
                payload=BytesIO(body),
                length=len(body),
                http_headers=StatusAndHeaders("200 OK", headers, protocol="HTTP/1.1"),
                warc_headers_dict={"WARC-Date": DATE, "WARC-Record-ID": _record_id(url)},
            )
            writer.write_record(record)


def _record_id(name: str) -> str:
    return f"<urn:uuid:{uuid.uuid5(uuid.NAMESPACE_URL, name)}>"


def _sources() -> Iterator[dict[str, str]]:
    """Yield source files, chosen by the hash of their names until there are `CODE_BYTES`, in order of name."""
    library = Path(sysconfig.get_path("stdlib"))
    apart = {"site-packages", "dist-packages", "__pycache__", "test", "tests"}
    names = [path.relative_to(library) for path in library.rglob("*.py")]
    names = [name for name in names if not apart & set(name.parts) and (library / name).stat().st_size in FILE_BYTES]
    chosen, total = [], 0
    for name in sorted(names, key=lambda name: hashlib.sha256(name.as_posix().encode()).digest()):
        total += (library / name).stat().st_size
        if total > CODE_BYTES:
            break
        chosen.append(name)
    for name in sorted(chosen):
        with tokenize.open(library / name) as file:  # in the encoding that its first lines declare
            yield {"id": f"code/{name.as_posix()}", "path": name.as_posix(), "text": file.read()}


def _distribution_texts() -> Iterator[dict[str, str]]:
    """Yield the long description and the licence texts of every installed distribution, in order of name."""
    distributions: dict[str, importlib.metadata.Distribution] = {}
    # not all of sys.path, to which libraries add folders of their own when they are imported
    folders = list(dict.fromkeys((sysconfig.get_path("purelib"), sysconfig.get_path("platlib"))))
    for distribution in importlib.metadata.distributions(path=folders):
        distributions.setdefault(distribution.name.lower(), distribution)
    distributions.pop("gristmill", None)  # or its own README would change the corpus
    for name, distribution in sorted(distributions.items()):
        texts = {"description": distribution.metadata.json.get("description", "")}
        licences = sorted(
            str(file)
            for file in distribution.files or []
            if ".dist-info" in file.parts[0] and file.name.upper().startswith(("LICEN", "COPYING", "NOTICE"))
        )
        for path in licences[:LICENCES_EACH]:
            raw = Path(str(distribution.locate_file(path))).read_bytes()
            texts[path] = raw.decode("utf-8", errors="replace")  # in old licences the name of an author suffers
        for path, text in texts.items():
            if len(text) in FILE_BYTES:
                yield {"id": f"docs/{name}/{path}", "path": f"{name}/{path}", "text": str(text)}


def _write_jsonl(path: Path, rows: Iterable[dict[str, str]]) -> None:
    with path.open("wb") as raw, gzip.GzipFile(filename="", mode="wb", fileobj=raw, mtime=0) as file:
        for row in rows:
            file.write(json.dumps(row, ensure_ascii=False).encode() + b"\n")


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=(__doc__ or "").split("\n")[0])
    parser.add_argument("out", type=Path, help="folder to write into")
    for source, files in build(parser.parse_args().out).items():
        print(source, *files)
