"""The files of a paper: out of an archive or a folder, in whatever encoding, and which of them is the main one.

Which file is the main one is decided in this order: those that arXiv's 00README names as top level; those with
\\documentclass or \\documentstyle that begin a document and that no other file reads in; of several, the one that lies
least deep, then one with a list of references of its own name, then one with a usual name, then one with a title, then
the longest, then the first by name. Without any such file: the longest that begins a document or looks like plain TeX,
or just the longest.
"""

import json
import posixpath
import re
from collections.abc import Mapping
from pathlib import Path

from pipeline.readers import tar
from pipeline.readers.base import open_binary
from pipeline.readers.encoding import decode
from pipeline.readers.runs import Run, codec_of
from pipeline.readers.windows import Window

TEX = (".tex", ".ltx", ".latex")
_KEPT = (*TEX, ".bbl", ".sty", ".cls")
_README = ("00readme.json", "00readme.xxx", "00readme", "00readme.yaml", "00readme.yml")
_UNPACKED = 16
"""Times `max_record_bytes` that an archive may unpack to, figures and all, before it counts as a bomb."""

_CONTROL = re.compile(r"[\x00-\x08\x0b\x0e-\x1f]")
_INPUT_ENCODING = re.compile(
    rb"\\usepackage\s*\[([A-Za-z0-9_-]{2,20})\]\s*\{inputenc\}|\\inputencoding\s*\{([A-Za-z0-9_-]{2,20})\}"
)
_ENCODINGS = {"ansinew": "cp1252", "applemac": "mac_roman", "cp1250": "cp1250", "utf8x": "utf-8", "utf8mb4": "utf-8"}
_CLASS = re.compile(
    rb"^[^%\n]*?\\document(?:class|style)\s*(?:\[[^\]]{0,2000}\])?\s*\{?\s*([A-Za-z0-9_/.-]*)", re.MULTILINE
)
_BEGIN = re.compile(rb"^[^%\n]*?\\begin\s*\{document\}", re.MULTILINE)
_PLAIN = re.compile(
    rb"^[^%\n]*?\\(?:bye\b|magnification|input\s+(?:amstex|harvmac|phyzzx|jnl|lanlmac)|end\s*\Z|beginsection)",
    re.MULTILINE,
)
_READS = re.compile(
    rb"\\(?:input|include|subfile|subfileinclude|(?:sub)?import\s*\{[^{}]{0,200}\})\s*\{?\s*\"?([^\s{}\"\\%]{1,200})"
)
_TITLE = re.compile(rb"\\(?:title|maketitle|icmltitle)\b")
_TOPLEVEL = re.compile(r"^[ \t]*(\S+)[ \t]+toplevelfile", re.MULTILINE | re.IGNORECASE)
_YAML_TOPLEVEL = re.compile(r"filename:[ \t]*[\"']?([^\s\"']+)[\"']?[ \t]*\n[ \t]*usage:[ \t]*[\"']?toplevel")
_USUAL = ("main", "ms", "paper", "article", "manuscript", "root", "arxiv", "thesis", "draft", "final")
_PARENT = re.compile(rb"\\documentclass\s*\[([^\]]{0,300})\]\s*\{subfiles\}")
_PARTS_OF = (b"subfiles", b"standalone")


class Archive:
    """The files of a paper out of an archive."""

    def __init__(self, files: Mapping[str, bytes]) -> None:
        self.files = files

    def text(self, name: str) -> str | None:
        data = self.files.get(name)
        return None if data is None else read_text(data)


class Folder:
    """The files beside and below a main file; nothing outside its folder is read, whatever a link or `..` says."""

    def __init__(self, main: str, limit: int) -> None:
        self.base, _, self.main = main.rpartition("/")
        self._limit = limit
        self._read: dict[str, str | None] = {}

    def text(self, name: str) -> str | None:
        if name not in self._read:
            self._read[name] = self._load(name)
        return self._read[name]

    def _load(self, name: str) -> str | None:
        if tar.inside(name) is None:
            return None
        path = f"{self.base}/{name}"
        if "://" not in path:
            top = Path(self.base or "/").resolve()
            if not Path(path).resolve().is_relative_to(top) or not Path(path).is_file():
                return None
        try:
            with open_binary(path) as file:
                data = file.read(self._limit + 1)
        except OSError:
            return None
        self._limit -= len(data)
        return read_text(data) if self._limit >= 0 else None

    def read_by(self, parent: str) -> bool:
        """Whether another file, wherever `..` leads to it, reads in the main file; that is all that is asked of it."""
        path = f"{self.base}/{parent}"
        try:
            with open_binary(path) as file:
                data = file.read(self._limit + 1)
        except OSError:
            return False
        found = _READS.findall(data) if len(data) <= self._limit else []
        stem = posixpath.splitext(self.main)[0].encode()
        return any(name.rpartition(b"/")[2].partition(b".")[0] == stem for name in found)

    def bibliography(self) -> list[str]:
        """The list of references that BibTeX made for the main file, if it is there."""
        text = self.text(posixpath.splitext(self.main)[0] + ".bbl")
        return [] if text is None else [text]


def read_text(data: bytes) -> str:
    """Bytes of TeX as text, by UTF-8, by the encoding that the file itself declares, or by detection."""
    found = _INPUT_ENCODING.search(data[:20_000])
    declared = (found[1] or found[2]).decode() if found else None
    text = decode(data, _ENCODINGS.get(declared or "", declared))[0]
    return _CONTROL.sub("", text.replace("\r\n", "\n").replace("\r", "\n").replace("\f", "\n\n"))


def files_of(raw: Window, limit: int) -> tuple[dict[str, bytes], str | None]:
    """The texts of one paper's tar archive, and what is wrong with it: damage, or `too_large`."""
    files: dict[str, bytes] = {}
    size = 0
    for entry in tar.entries(raw, limit=_UNPACKED * limit):
        if entry.error is not None:
            return files, entry.error
        name = tar.inside(entry.name)
        if name is None or not entry.file or not _wanted(name):
            continue
        size += entry.size
        if size > limit:
            return files, "too_large"
        data = raw.peek(entry.start, entry.size)
        if len(data) < entry.size:
            return files, "truncated"
        files.setdefault(name, data)
    return files, None


def _wanted(name: str) -> bool:
    base = posixpath.basename(name).lower()
    return not base.startswith(".") and (base.endswith(_KEPT) or base in _README or "." not in base)


def unpack(raw: Window, path: str, limit: int) -> tuple[dict[str, bytes], str | None]:
    """The texts of an e-print as arXiv stores it: a packed archive, or one packed file, which gets the name `main.tex`.

    The second value is what is wrong with it, as in `files_of`.
    """
    codec = codec_of(raw, path)
    run = None if codec is None else Run(raw, codec, 0, lambda head: False)
    inner = raw if run is None else Window(run)
    if tar.is_header(inner.peek(0, tar.BLOCK)):
        files, wrong = files_of(inner, limit)
    else:
        data = inner.peek(0, limit + 1)
        files, wrong = {"main.tex": data[:limit]}, "too_large" if len(data) > limit else None
    return files, run.damage.what if run is not None and run.damage is not None else wrong


def main_files(files: Mapping[str, bytes]) -> list[str]:
    """The main file, or the several that a 00README names, in its order; none if there is no TeX."""
    for name in sorted(files):
        if posixpath.basename(name).lower() in _README and (found := _named(files[name], files)):
            return found
    sources = {name: data for name, data in files.items() if _is_source(name, data)}
    read = {
        posixpath.basename(found.decode("utf-8", "replace"))
        for data in sources.values()
        for found in _READS.findall(data)
    }
    read |= {name + ending for name in read for ending in TEX}
    whole = [
        name
        for name, data in sources.items()
        if (kind := _CLASS.search(data)) and kind[1] not in _PARTS_OF and _BEGIN.search(data)
    ]
    if whole:
        stems = {posixpath.splitext(name)[0] for name in files if name.endswith(".bbl")}

        def rank(name: str) -> tuple[bool, int, bool, bool, bool, int, str]:
            stem = posixpath.splitext(name)[0]
            usual = posixpath.basename(stem).lower().startswith(_USUAL)
            titled = _TITLE.search(sources[name]) is not None
            depth = name.count("/")
            second = posixpath.basename(name) in read
            return (second, depth, stem not in stems, not usual, not titled, -len(sources[name]), name)

        return [min(whole, key=rank)]
    begun = [name for name, data in sources.items() if is_whole(data)]
    return sorted(begun or sources, key=lambda name: (-len(sources[name]), name))[:1]


def _named(readme: bytes, files: Mapping[str, bytes]) -> list[str]:
    """The top-level files of a 00README, in its old and new forms."""
    text = readme.decode("utf-8", "replace")
    try:
        parsed = json.loads(text)
        entries = parsed.get("sources", []) if isinstance(parsed, dict) else []
        entries = [entry for entry in entries if isinstance(entry, dict) and entry.get("usage") == "toplevel"]
        found = [str(entry.get("filename")) for entry in entries]
    except (ValueError, RecursionError):
        found = _TOPLEVEL.findall(text) + _YAML_TOPLEVEL.findall(text)
    return [name for name in dict.fromkeys(found) if name in files]


def _is_source(name: str, data: bytes) -> bool:
    base = posixpath.basename(name).lower()
    return base.endswith(TEX) or ("." not in base and (_BEGIN.search(data) or _PLAIN.search(data)) is not None)


def is_whole(data: bytes) -> bool:
    """Whether a file of a folder is a paper, not a part that another file reads in."""
    kind = _CLASS.search(data)
    if kind is not None and kind[1] in _PARTS_OF:
        return False
    return (kind or _BEGIN.search(data) or _PLAIN.search(data)) is not None


def parent_of(data: bytes) -> str | None:
    """The main file that a subfile names."""
    found = _PARENT.search(data)
    return found[1].decode("utf-8", "replace").strip() if found else None


def is_tex(data: bytes) -> bool:
    """Whether a single file is TeX at all: submissions to arXiv can be PostScript, PDF, HTML or Word."""
    if data.startswith((b"%!PS", b"%PDF", b"\x04%!PS", b"PK\x03\x04", b"\xd0\xcf\x11\xe0")):
        return False
    head = data[: 1 << 16].lstrip().lower()
    return b"\\" in head and not head.startswith((b"<html", b"<!doctype", b"<?xml"))


def is_withdrawn(data: bytes) -> bool:
    """Whether arXiv has put a note in place of the paper."""
    return data[:200].lstrip().startswith(b"%auto-ignore")
