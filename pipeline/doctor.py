"""`gristmill doctor`: does this installation, on this machine, in this folder, work?

Every check does the thing it speaks of: libraries are imported, the language model is asked, a compiled function is
cached. That happens in fresh interpreters, so that a library that crashes or hangs is a finding and not the end.
"""

import importlib.metadata
import importlib.util
import json
import os
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal, NamedTuple

from packaging.requirements import Requirement
from packaging.specifiers import SpecifierSet

if TYPE_CHECKING:
    from rich.table import Table

State = Literal["ok", "warn", "fail"]

SECONDS = 120
"""For one check in a fresh interpreter: a first import from a slow disk takes its time."""

WORKER_MEMORY = 1 << 30
"""What a worker of curation may need, in bytes; one runs on each core."""

FREE_DISK = {"warn": 10 << 30, "fail": 1 << 30}
"""Below this many bytes. A run needs about twice the size of the text it reads."""

OPTIONAL = {"ray": "--engine ray", "train": "tokenize, train, generate and export", "icu": "segmenter: icu"}
"""Extras, and the commands and settings that need them."""


class Check(NamedTuple):
    """One finding; `remedy` is empty where nothing is to be done."""

    name: str
    state: State
    detail: str
    remedy: str = ""

    def to_dict(self) -> dict[str, str]:
        """The finding as `doctor --json` prints it."""
        return self._asdict()


class Trouble(Exception):
    """What a fresh interpreter said when it could not do what it was asked."""


def checks() -> list[Check]:
    """Carry out all checks, in the order in which their remedies are best applied."""
    return [
        python(),
        *packages(),
        imports(),
        language_model(),
        blocklist(),
        shadowed(),
        compiled_cache(),
        disk(),
        memory(),
        ray(),
        torch(),
    ]


def render(found: list[Check]) -> "Table":
    """Lay findings out for a terminal."""
    from rich.table import Table
    from rich.text import Text

    colours = {"ok": "green", "warn": "yellow", "fail": "red"}
    rows = Table(box=None, header_style="dim")
    for heading in ("check", "", "finding", "remedy"):
        rows.add_column(heading, overflow="fold")
    for check in found:
        rows.add_row(Text(check.name), Text(check.state, colours[check.state]), Text(check.detail), Text(check.remedy))
    return rows


def python() -> Check:
    """Compare this interpreter with the versions that the distribution asks for."""
    wanted = SpecifierSet(importlib.metadata.metadata("gristmill")["Requires-Python"])
    version = ".".join(map(str, sys.version_info[:3]))
    if version in wanted:
        return Check("python", "ok", f"{version} at {sys.executable}")
    return Check("python", "fail", f"{version} at {sys.executable}; needed: {wanted}", "make .venv with a newer Python")


def packages() -> Iterator[Check]:
    """Versions of the packages that this distribution asks for, one finding for the core and one for each extra."""
    wanted = [Requirement(line) for line in importlib.metadata.requires("gristmill") or []]
    core = [wish for wish in wanted if wish.marker is None or wish.marker.evaluate({"extra": ""})]
    yield _versions("packages", core, "fail", "pip install --upgrade gristmill")
    for extra, commands in OPTIONAL.items():
        asked = [wish for wish in wanted if wish.marker and wish.marker.evaluate({"extra": extra})]
        wishes = [wish for wish in asked if wish not in core]
        remedy = f"for {commands}: pip install 'gristmill[{extra}]'"
        yield _versions(f"packages of [{extra}]", wishes, "warn", remedy)


def _versions(name: str, wanted: list[Requirement], state: State, remedy: str) -> Check:
    wrong = []
    for wish in wanted:
        try:
            version = importlib.metadata.version(wish.name)
        except importlib.metadata.PackageNotFoundError:
            wrong.append(f"{wish.name} is missing")
            continue
        if not wish.specifier.contains(version, prereleases=True):
            wrong.append(f"{wish.name} is {version}, needed: {wish.specifier}")
    if wrong:
        return Check(name, state, "; ".join(wrong), remedy)
    return Check(name, "ok", f"{len(wanted)} of {len(wanted)} have versions in range")


def imports() -> Check:
    """Import every compiled library of the core, each in its own interpreter: one that crashes must be told by name."""
    modules = ["polars", "pyarrow.parquet", "numba", "fastwarc", "resiliparse.parse", "trafilatura", "fasttext"]
    failures = []
    for module in modules:
        try:
            _ask(f"import {module}")
        except Trouble as trouble:
            failures.append(f"{module}: {trouble}")
    if failures:
        return Check("imports", "fail", "; ".join(failures), "pip install --force-reinstall the ones named")
    return Check("imports", "ok", ", ".join(modules))


def language_model() -> Check:
    """Ask the model for the language of a sentence; it is not fetched here."""
    name, remedy = "language model", "gristmill assets fetch"
    try:
        path = _ask(
            "from filters import assets\n"
            "answer = assets.cached(assets.LID176)\n"
            "if answer:\n"
            "    import fasttext\n"
            "    labels, _ = fasttext.load_model(answer).predict(['This is an English sentence about the weather.'])\n"
            "    assert labels[0][0] == '__label__en', labels"
        )
    except Trouble as trouble:
        return Check(name, "fail", str(trouble), remedy)
    if path is None:
        return Check(name, "warn", "not fetched yet; `use: language` needs it", remedy)
    return Check(name, "ok", f"answers; at {path}")


def blocklist() -> Check:
    """Open the URL blocklist; it is unpacked on the first call on a machine."""
    try:
        entries = _ask("from filters import blocklist; answer = len(blocklist.hashes())")
    except Trouble as trouble:
        return Check("URL blocklist", "fail", str(trouble), "pip install --force-reinstall --no-deps datatrove")
    return Check("URL blocklist", "ok", f"{entries:,} hosts and URLs")


def shadowed() -> Check:
    """See whether a process started in this folder would import a stranger's `pipeline`, `filters` or `training`."""
    name, remedy = "module names", "run from another folder, or rename yours"
    ours = Path(__file__).resolve().parent.parent
    try:
        origins = _ask(
            "import importlib.util as util\n"
            "answer = {name: util.find_spec(name).origin for name in ('pipeline', 'filters', 'training')}",
            here_first=True,
        )
    except Trouble as trouble:
        return Check(name, "fail", str(trouble), remedy)
    strangers = [
        f"{module} is {origin}"
        for module, origin in origins.items()
        if origin is None or Path(origin).resolve().parent.parent != ours
    ]
    if strangers:
        return Check(name, "fail", f"{'; '.join(strangers)} instead of the one in {ours}", remedy)
    return Check(name, "ok", f"pipeline, filters and training come from {ours}")


def compiled_cache() -> Check:
    """Write where compiled kernels are kept; without that, every worker compiles them again."""
    name, remedy = "cache of compiled kernels", "set NUMBA_CACHE_DIR to a folder that can be written"
    try:
        folder = _ask(
            "from filters import compiled\n"
            "import tempfile\n"
            "compiled.folder().mkdir(parents=True, exist_ok=True)\n"
            "tempfile.TemporaryFile(dir=compiled.folder()).close()\n"
            "answer = str(compiled.folder())"
        )
    except Trouble as trouble:
        return Check(name, "warn", str(trouble), remedy)
    return Check(name, "ok", f"can be written: {folder}")


def disk() -> Check:
    """Measure the disks of this folder and of temporary files, and write to both."""
    found = []
    state: State = "ok"
    for folder in dict.fromkeys((Path.cwd(), Path(tempfile.gettempdir()))):
        try:
            tempfile.TemporaryFile(dir=folder).close()
        except OSError as error:
            return Check("disk", "fail", f"{folder} cannot be written: {error.strerror}", "run in another folder")
        free = shutil.disk_usage(folder).free
        found.append(f"{free / 2**30:.1f} GiB free at {folder}")
        if free < FREE_DISK["fail"]:
            state = "fail"
        elif free < FREE_DISK["warn"] and state == "ok":
            state = "warn"
    remedy = "" if state == "ok" else "free some, or give --out on a larger disk"
    return Check("disk", state, ", ".join(found), remedy)


def memory() -> Check:
    """See whether every core's worker has the memory that it may need."""
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    available = _available_memory()
    if available is None:
        return Check("cores and memory", "warn", f"{cores} cores; this system does not tell its free memory")
    detail = f"{cores} cores, {available / 2**30:.1f} GiB available"
    workers = available // WORKER_MEMORY
    if workers == 0:
        return Check("cores and memory", "fail", detail, "a worker of curation needs up to 1 GiB")
    if workers < cores:
        return Check("cores and memory", "warn", detail, f"run with --workers {workers}: each may need up to 1 GiB")
    return Check("cores and memory", "ok", detail)


def _available_memory() -> int | None:
    """Bytes that processes can still get: of the machine, or of the container where its limit is lower."""
    meminfo = Path("/proc/meminfo")
    if not meminfo.is_file():
        return None
    fields = dict(line.split(":", 1) for line in meminfo.read_text().splitlines())
    available = int(fields["MemAvailable"].split()[0]) * 1024
    limit, used = Path("/sys/fs/cgroup/memory.max"), Path("/sys/fs/cgroup/memory.current")
    if limit.is_file() and used.is_file() and (text := limit.read_text().strip()) != "max":
        available = min(available, max(0, int(text) - int(used.read_text())))
    return available


def ray() -> Check:
    """Import Ray, if it is installed; no instance is started."""
    if importlib.util.find_spec("ray") is None:
        return Check("ray", "ok", "not installed; the engine is local processes")
    try:
        version = _ask("import ray; answer = ray.__version__")
    except Trouble as trouble:
        return Check("ray", "fail", str(trouble), "pip install --force-reinstall ray")
    return Check("ray", "ok", f"{version} can be imported")


def torch() -> Check:
    """Multiply on the device that training would use."""
    if importlib.util.find_spec("torch") is None:
        return Check("torch", "warn", "not installed; nothing can be trained", "pip install 'gristmill[train]'")
    try:
        version, cuda, devices = _ask(
            "import torch\n"
            "gpu = torch.cuda.is_available()\n"
            "kind = torch.bfloat16 if gpu else torch.float32\n"
            "ones = torch.ones(64, 64, dtype=kind, device='cuda' if gpu else 'cpu')\n"
            "assert (ones @ ones).sum().item() == 64 ** 3\n"
            "names = [torch.cuda.get_device_name(i) for i in range(torch.cuda.device_count())] if gpu else []\n"
            "answer = [torch.__version__, torch.version.cuda, names]"
        )
    except Trouble as trouble:
        return Check("torch", "fail", str(trouble), "reinstall torch in a build that fits this machine")
    if devices:
        return Check("torch", "ok", f"{version} on {', '.join(devices)}")
    if shutil.which("nvidia-smi") or Path("/proc/driver/nvidia/version").exists():
        build = f"is built for CUDA {cuda} and sees no GPU" if cuda else "is a build without CUDA"
        detail = f"there is an NVIDIA driver, but torch {version} {build}"
        return Check("torch", "warn", detail, "install a build of torch for the CUDA of this driver")
    return Check("torch", "ok", f"{version} on the CPU")


def _ask(code: str, here_first: bool = False) -> Any:
    """Run `code` in a fresh interpreter and return what it assigned to `answer`; raises Trouble with what went wrong.

    `here_first` puts the current folder before all others on the module path, as `python -m` and Ray workers have it.
    """
    isolation = [] if here_first else ["-P"]
    report = f"{code}\nimport json as _json; print('\\n' + _json.dumps(globals().get('answer')))"
    try:
        result = subprocess.run(
            [sys.executable, *isolation, "-W", "ignore", "-c", report],
            capture_output=True,
            text=True,
            timeout=SECONDS,
            stdin=subprocess.DEVNULL,
        )
    except subprocess.TimeoutExpired:
        raise Trouble(f"no answer within {SECONDS} s") from None
    if result.returncode < 0:
        raise Trouble(f"ended by signal {-result.returncode}")
    if result.returncode:
        raise Trouble((result.stderr.strip().splitlines() or [f"exit code {result.returncode}"])[-1])
    return json.loads(result.stdout.splitlines()[-1])
