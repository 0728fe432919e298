"""The files of a repository in an order in which what is used comes before what uses it.

Imports are found by patterns, language by language, and looked up among the files of the repository; the rest is a
topological order. Where files import one another in a circle, the one with fewest imports that are still open goes
first, as in DeepSeek-Coder (Guo et al. 2024, section 2.2). Before all stand the README and the package's metadata, and
files that nothing orders come by path.
"""

import heapq
import posixpath
import re
from collections import defaultdict
from collections.abc import Iterable, Mapping
from pathlib import PurePosixPath

_NAME = r"[\w.]+"
_PATTERNS: dict[str, tuple[re.Pattern[str], ...]] = {
    language: tuple(re.compile(pattern, re.MULTILINE) for pattern in patterns)
    for languages, patterns in (
        (
            ("Python", "Cython", "Starlark"),
            (rf"^\s*from\s+(\.*{_NAME}|\.+)\s+import\s+\(?([\w, \t*]*)", rf"^\s*c?import\s+({_NAME})"),
        ),
        (
            ("JavaScript", "TypeScript", "TSX", "JSX", "Vue", "Svelte", "CoffeeScript"),
            (
                r"\bfrom\s+['\"]([^'\"\n]+)['\"]",
                r"\b(?:require|import)\s*\(\s*['\"]([^'\"\n]+)['\"]",
                r"^\s*import\s+['\"]([^'\"\n]+)['\"]",
            ),
        ),
        (
            ("C", "C++", "Objective-C", "Objective-C++", "Cuda", "OpenCL"),
            (r"^\s*#\s*(?:include|import)\s*[<\"]([^>\"\n]+)[>\"]",),
        ),
        (("Java", "Kotlin", "Scala", "Groovy"), (rf"^\s*import\s+(?:static\s+)?({_NAME})",)),
        (("C#",), (rf"^\s*(?:global\s+)?using\s+(?:static\s+)?({_NAME})\s*;",)),
        (("Go",), (r"^\s*(?:import\s+)?(?:[\w.]+\s+)?\"([\w./~-]+)\"\s*$",)),
        (
            ("Rust",),
            (r"^\s*(?:pub(?:\([^)]*\))?\s+)?mod\s+(\w+)\s*;", r"^\s*(?:pub\s+)?use\s+((?:crate|super|self)(?:::\w+)+)"),
        ),
        (("Ruby",), (r"^\s*(?:require|require_relative|load)\s*\(?\s*['\"]([^'\"\n]+)['\"]",)),
        (("PHP",), (r"\b(?:require|include)(?:_once)?\s*\(?\s*['\"]([^'\"\n]+)['\"]", r"^\s*use\s+([\w\\]+)")),
        (("Perl",), (r"^\s*(?:use|require)\s+([A-Z]\w*(?:::\w+)*)",)),
        (("Lua",), (r"\brequire\s*\(?\s*['\"]([\w./]+)['\"]",)),
        (("Haskell", "Elm", "PureScript", "Idris"), (rf"^\s*import\s+(?:qualified\s+)?({_NAME})",)),
        (("Shell", "Bash"), (r"^\s*(?:source|\.)\s+[\"']?(?:\$\{?\w+\}?/)?([\w./-]+)",)),
        (
            ("Swift", "Dart", "Julia", "R", "Zig", "Solidity", "Protocol Buffer", "Thrift", "Makefile", "CMake"),
            (r"^\s*(?:import|include|export|source|@import)\s*\(?\s*['\"<]?([\w./:-]+)",),
        ),
    )
    for language in languages
}
_ENDINGS = (
    *("", ".py", ".pyx", "/__init__.py", ".js", ".ts", ".tsx", ".jsx", ".mjs", ".vue"),
    *("/index.js", "/index.ts", "/index.tsx", ".rb", ".php", ".lua", ".rs", "/mod.rs", ".hs", ".elm", ".java", ".kt"),
    *(".scala", ".groovy", ".cs", ".pm", ".pl", ".jl", ".dart", ".proto", ".sh", ".go"),
)
_FIRST = re.compile(
    r"(?:readme|pyproject\.toml|setup\.(?:py|cfg)|package\.json|cargo\.toml|go\.mod|pom\.xml|composer\.json"
    r"|[^/]+\.gemspec|[^/]+\.cabal)(?:\.\w+)?",
    re.IGNORECASE,
)
_TESTS = re.compile(
    r"(?:^|/)(?:tests?|specs?|__tests__|testing|benchmarks?|examples?|demos?|samples?)/"
    r"|(?:^|/)(?:test_[^/]*|[^/]*[_.-](?:test|spec|tests))\.\w+$",
    re.IGNORECASE,
)
_SCANNED = 1 << 16
_MOST = 400  # imports of one file


def dependency_order(files: Mapping[str, tuple[str, str]]) -> list[str]:
    """The paths of `files` (language and text by path): what is imported first.

    The same files give the same order. Takes time in proportion to the text and to the imports.
    """
    known = _Known(files)
    uses: dict[str, set[str]] = {path: set(known.imports(path, *files[path])) - {path} for path in files}
    used_by: dict[str, set[str]] = defaultdict(set)
    for path, targets in uses.items():
        for target in targets:
            used_by[target].add(path)
    open_uses = {path: len(targets) for path, targets in uses.items()}
    heap = [(count, _rank(path), path) for path, count in open_uses.items()]
    heapq.heapify(heap)
    order: list[str] = []
    done: set[str] = set()
    while heap:
        count, _, path = heapq.heappop(heap)
        if path in done or count != open_uses[path]:
            continue
        done.add(path)
        order.append(path)
        for user in used_by[path] - done:
            open_uses[user] -= 1
            heapq.heappush(heap, (open_uses[user], _rank(user), user))
    return order


def _rank(path: str) -> int:
    """Files that stand first or last if nothing else orders them."""
    return 0 if _FIRST.fullmatch(path) else 2 if _TESTS.search(path) else 1


class _Known:
    """The files of a repository by the ends of their paths, under which imports may name them."""

    def __init__(self, paths: Iterable[str]) -> None:
        self._paths = set(paths)
        self._by_end: dict[str, list[str]] = defaultdict(list)
        self._by_folder: dict[str, list[str]] = defaultdict(list)
        for path in sorted(self._paths):
            parts = path.split("/")
            for start in range(max(0, len(parts) - 6), len(parts)):
                self._by_end["/".join(parts[start:])].append(path)
            self._by_folder["/".join(parts[:-1])].append(path)

    def imports(self, path: str, language: str, text: str) -> Iterable[str]:
        """The files that a file imports."""
        folder = posixpath.dirname(path)
        # Patterns begin with the white space of a line: a thousand empty lines would be tried a thousand times each.
        text = "\n".join(line for line in text[:_SCANNED].split("\n") if line.strip())
        count = 0
        for pattern in _PATTERNS.get(language, ()):
            for match in pattern.finditer(text):
                count += 1
                if count > _MOST:
                    return
                for name in self._names(language, folder, *match.groups()):
                    yield from self._found(folder, name, language)

    def _names(self, language: str, folder: str, name: str, members: str | None = None) -> Iterable[str]:
        """Paths, without endings, that an import may mean, the most exact first."""
        if language in ("Python", "Cython", "Starlark"):
            dots = len(name) - len(name.lstrip("."))
            base = "/".join([".", *[".."] * (dots - 1)]) if dots else ""
            base = posixpath.join(base, name[dots:].replace(".", "/"))
            for member in (members or "").split(","):
                if member := member.strip().split(" ")[0]:
                    yield posixpath.join(base, member)
            yield base
        elif language == "Rust":
            parts = [part for part in name.split("::") if part not in ("crate", "self", "super")]
            yield from ("/".join(parts[:end]) for end in range(len(parts), 0, -1))
        elif language in ("Perl", "PHP"):
            yield name.replace("::", "/").replace("\\", "/")
        elif language in ("Java", "Kotlin", "Scala", "Groovy", "C#", "Haskell", "Elm", "PureScript", "Idris", "Lua"):
            yield name.replace(".", "/")
        else:
            yield name

    def _found(self, folder: str, name: str, language: str) -> Iterable[str]:
        relative = posixpath.normpath(posixpath.join(folder, name))
        stripped = posixpath.normpath(name).removeprefix("/")
        for ending in _ENDINGS:
            if relative + ending in self._paths:
                return [relative + ending]
        if name.startswith("."):
            return []
        for ending in _ENDINGS:
            if found := self._by_end.get(stripped + ending):
                return [min(found, key=lambda path: (-_shared(path, folder), len(path), path))]
        if language == "Go":  # a package is a folder, and the import ends with its path
            parts = stripped.split("/")
            for start in range(len(parts)):
                if inside := self._by_folder.get("/".join(parts[start:])):
                    return [path for path in inside if PurePosixPath(path).suffix == ".go"]
        return []


def _shared(path: str, folder: str) -> int:
    """How many folders two places have in common."""
    count = 0
    for one, other in zip(path.split("/")[:-1], folder.split("/"), strict=False):
        if one != other:
            break
        count += 1
    return count
