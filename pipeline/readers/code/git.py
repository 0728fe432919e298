"""Git repositories, with a working tree or bare: the files of one commit, by the git command.

Nothing in a repository is run: no hook, filter, pager, editor or transport that its config may name. Only plumbing is
used that reads objects, and it may not fetch what a partial clone lacks. Files come as they were committed.
"""

import hashlib
import os
import re
import shutil
import subprocess
from collections.abc import Generator, Iterable, Iterator
from contextlib import closing
from datetime import datetime, timedelta, timezone
from pathlib import Path
from typing import IO, NamedTuple

from pipeline.readers.code.trees import File, Unreadable, Wanted, printable

_SETTINGS = {
    "core.fsmonitor": "false",
    "core.hooksPath": os.devnull,
    "core.attributesFile": os.devnull,
    "core.excludesFile": os.devnull,
    "protocol.allow": "never",
    "log.showSignature": "false",
    "gc.auto": "0",
}
_AT_ONCE = 512  # files that one process is asked for: the requests fit into a pipe, so that none waits for the other
_ADDRESS = re.compile(r"(?:^|[/:@])([\w.-]+/[\w.-]+?)(?:\.git)?/?$")


class _Entry(NamedTuple):
    path: str
    id: str
    size: int
    other: str | None
    error: str | None


def git_folder(path: str) -> Path | None:
    """The folder with the objects of a repository at `path`, bare or not; None if there is none."""
    for folder in (Path(path) / ".git", Path(path)):
        if folder.is_dir() and (folder / "objects").is_dir() and (folder / "HEAD").is_file():
            return folder
    return None


class GitTree:
    """The files of a commit. Raises ValueError if git is not installed, and Unreadable."""

    def __init__(self, path: str, early: Wanted, folder: Path, revision: str) -> None:
        self._early = early
        self._folder = folder
        found = self._asked("rev-parse", "--verify", "--end-of-options", f"{revision}^{{commit}}")
        if found is None:
            raise Unreadable("revision")
        self.revision: str | None = found.strip()
        self.name = self._origin() or Path(path).absolute().name.removesuffix(".git")
        self.date = self._committed()
        self._entries = self._list()

    def _environment(self) -> dict[str, str]:
        given = {name: os.environ[name] for name in ("PATH", "TMPDIR") if name in os.environ}
        settings = {
            key: value
            for number, (name, setting) in enumerate(_SETTINGS.items())
            for key, value in ((f"GIT_CONFIG_KEY_{number}", name), (f"GIT_CONFIG_VALUE_{number}", setting))
        }
        return {
            **given,
            **settings,
            "GIT_CONFIG_COUNT": str(len(_SETTINGS)),
            "GIT_DIR": str(self._folder.absolute()),
            "GIT_CONFIG_NOSYSTEM": "1",
            "GIT_CONFIG_GLOBAL": os.devnull,
            "GIT_ATTR_NOSYSTEM": "1",
            "GIT_NO_LAZY_FETCH": "1",
            "GIT_NO_REPLACE_OBJECTS": "1",
            "GIT_ALLOW_PROTOCOL": "none",
            "GIT_OPTIONAL_LOCKS": "0",
            "GIT_TERMINAL_PROMPT": "0",
            "LC_ALL": "C",
        }

    def _command(self, *words: str) -> list[str]:
        program = shutil.which("git")
        if program is None:
            raise ValueError("git repositories are read by the git command, which is not installed")
        return [program, *words]

    def _asked(self, *words: str) -> str | None:
        """What git answers; None if it fails."""
        done = subprocess.run(
            self._command(*words),
            env=self._environment(),
            cwd=self._folder,
            stdin=subprocess.DEVNULL,
            capture_output=True,
        )
        return None if done.returncode else done.stdout.decode("utf-8", "surrogateescape")

    def _origin(self) -> str | None:
        """`owner/name` from the address that the repository was cloned from; no password that may stand there."""
        address = printable(self._asked("config", "--local", "--get", "remote.origin.url") or "").strip()
        match = _ADDRESS.search(address) if "://" in address or "@" in address else None
        return match[1] if match else None

    def _committed(self) -> str | None:
        header = (self._asked("cat-file", "commit", self.revision or "") or "").split("\n\n", 1)[0]
        match = re.search(r"^committer .* (\d{1,12}) ([+-])(\d{2})(\d{2})$", header, re.MULTILINE)
        if match is None:
            return None
        offset = timedelta(hours=int(match[3]), minutes=int(match[4])) * (1 if match[2] == "+" else -1)
        try:
            return datetime.fromtimestamp(int(match[1]), timezone(offset)).isoformat()
        except (ValueError, OverflowError):
            return None

    def _list(self) -> list[_Entry]:
        listed = self._asked("ls-tree", "-r", "-z", "--long", "--full-tree", self.revision or "")
        if listed is None:
            raise Unreadable("corrupt")
        entries = []
        for line in listed.split("\0"):
            about, _, path = line.partition("\t")
            if path:
                mode, _, name, size = about.split()
                other = {"120000": "link", "160000": "submodule"}.get(mode)
                error = None if other or size.isdigit() else "corrupt"  # or not there at all
                entries.append(_Entry(printable(path), name, int(size) if size.isdigit() else 0, other, error))
        return entries

    def sizes(self) -> list[int]:
        return [0 if entry.other else entry.size for entry in self._entries]

    def stamp(self) -> str:
        """The commit."""
        return self.revision or ""

    def early(self) -> Iterable[File]:
        return (file for file in self.walk(self._early) if file.data is not None)

    def walk(self, wanted: Wanted, start: int = 0, end: int | None = None) -> Iterator[File]:
        entries = list(enumerate(self._entries[start:end], start))
        for first in range(0, len(entries), _AT_ONCE):
            group = entries[first : first + _AT_ONCE]
            whole = [(number, entry) for number, entry in group if entry.other is None and entry.error is None]
            limits = {number: wanted(entry.path, entry.size) for number, entry in whole}
            asked = {number for number, entry in whole if 0 < entry.size <= limits[number]}
            with closing(self._read([entry.id for number, entry in group if number in asked])) as answers:
                for number, entry in group:
                    file = File(number, entry.path, entry.size, other=entry.other, error=entry.error)
                    if number in asked:
                        answer = next(answers)
                        file = file._replace(data=answer, error="corrupt" if answer is None else None)
                    yield file

    def _read(self, names: list[str]) -> Generator[bytes | None]:
        """The bytes of blobs, in order; None for one that is damaged or missing.

        After a damaged one, git gives up or its answers are out of step: what comes after it is asked for again.
        """
        while names:
            process = subprocess.Popen(
                self._command("cat-file", "--batch"),
                env=self._environment(),
                cwd=self._folder,
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=subprocess.DEVNULL,
            )
            assert process.stdin is not None and process.stdout is not None
            try:
                process.stdin.write("".join(f"{name}\n" for name in names).encode())
                process.stdin.close()  # so that it ends, and no answer that is too short is waited for
                while names:
                    name, names = names[0], names[1:]
                    answer = _answer(process.stdout, name)
                    yield answer
                    if answer is None:
                        break
            finally:
                process.kill()
                process.stdout.close()
                process.wait()

    def close(self) -> None:
        pass


def _answer(stream: IO[bytes], name: str) -> bytes | None:
    """One blob as git sends it; None unless it has the hash that it is named by."""
    words = stream.readline().split()
    if len(words) != 3 or words[1] != b"blob":
        return None
    data = stream.read(int(words[2]) + 1)
    algorithm = hashlib.sha1 if len(name) == 40 else hashlib.sha256
    blob = data[:-1]
    same = algorithm(b"blob %d\0" % len(blob) + blob, usedforsecurity=False).hexdigest() == name
    return blob if same and data.endswith(b"\n") else None
