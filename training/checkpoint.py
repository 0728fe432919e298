"""Checkpoints that are whole or not there: safetensors and JSON, hashed in a manifest, renamed into place at the end.

    checkpoints/step-00000020/  model.safetensors  optimizer.safetensors  state.json  manifest.json

A save writes into a hidden folder beside them, syncs every file, and renames the folder as its last act. Whatever kills
it, the checkpoints before are untouched. Reading starts with the manifest: a file that is missing, short or altered
makes that checkpoint void, and the one before is taken. Nothing that is read can run code.

`Writer` does so in a thread, from copies on the host, while training goes on: the price is memory for the copies, for
as long as the writing takes (on a GPU, pinned memory that is used again for the next).
"""

import hashlib
import json
import logging
import os
import re
import shutil
from collections.abc import Mapping
from concurrent.futures import Future, ThreadPoolExecutor
from pathlib import Path
from types import TracebackType
from typing import Any, Self

import torch
from safetensors import SafetensorError
from safetensors.torch import load_file, save_file
from torch import Tensor

from training.metrics import read_journal

MANIFEST = "manifest.json"
STATE = "state.json"
_NAME = re.compile(r"step-(\d{8,})")

log = logging.getLogger(__name__)


class CheckpointError(Exception):
    """A checkpoint cannot be used; the message says which file and why."""


Files = Mapping[str, Mapping[str, Tensor]]
"""Tensors by file and name: {"model": ...} becomes model.safetensors."""


class Writer:
    """Saves checkpoints in a thread, one at a time; use it as a context manager.

    An error of the thread comes up at the next save, or at the end.
    """

    def __init__(self, folder: Path, keep: int, keep_every: int | None = None) -> None:
        self._folder, self._keep, self._keep_every = folder, keep, keep_every
        self._thread = ThreadPoolExecutor(1, thread_name_prefix="checkpoint")
        self._under_way: Future[Path] | None = None
        self._buffers: dict[tuple[str, str], Tensor] = {}

    def save(self, step: int, tensors: Files, state: Mapping[str, Any], last: bool = False) -> None:
        """Begin to save, as `save` does, what the tensors hold now; waits for the save before.

        Where it is the last of the run, nothing changes the tensors any more: they are written without a copy.
        """
        self.wait()
        if last:
            save(self._folder, step, tensors, state, self._keep, self._keep_every)
            return
        copies, copied = self._copies(tensors)

        def write() -> Path:
            if copied is not None:
                copied.synchronize()
            return save(self._folder, step, copies, state, self._keep, self._keep_every)

        self._under_way = self._thread.submit(write)

    def wait(self) -> None:
        """Wait until what was begun is on disk; raises what its writing raised."""
        under_way, self._under_way = self._under_way, None
        if under_way is not None:
            under_way.result()

    def _copies(self, tensors: Files) -> tuple[Files, torch.cuda.Event | None]:
        """Copies on the host, and the event after which they are complete, if that is still to come."""
        copied: torch.cuda.Event | None = None
        copies: dict[str, dict[str, Tensor]] = {}
        for file, named in tensors.items():
            copies[file] = {}
            for name, tensor in named.items():
                if tensor.is_cuda:
                    copied = copied or torch.cuda.Event()  # type: ignore[no-untyped-call]
                    if (file, name) not in self._buffers:
                        self._buffers[file, name] = torch.empty_like(tensor, device="cpu", pin_memory=True)
                    copies[file][name] = self._buffers[file, name].copy_(tensor.detach(), non_blocking=True)
                else:
                    copies[file][name] = tensor.detach().to("cpu", copy=True)
        if copied is not None:
            copied.record()
        return copies, copied

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        self._thread.shutdown()
        if error is None:
            self.wait()
        elif self._under_way is not None and (lost := self._under_way.exception()) is not None:
            log.warning("the checkpoint that was being written is lost: %s", lost)


def save(
    folder: Path, step: int, tensors: Files, state: Mapping[str, Any], keep: int, keep_every: int | None = None
) -> Path:
    """Write the checkpoint of a step into `folder`, and remove those that are not to be kept.

    The newest `keep` stay, and beside them those of steps that are multiples of `keep_every`. `state` is JSON. A
    checkpoint of the same step is replaced. Raises OSError where the disk does; what was there is then still there.
    Beside the folder, checkpoints.jsonl has the step of each that was ever made, so that it is known what they saw.
    """
    folder.mkdir(parents=True, exist_ok=True)
    for leftover in folder.glob(".*"):  # of a save or a removal that was killed
        shutil.rmtree(leftover)
    final = folder / f"step-{step:08d}"
    part = folder / f".{final.name}"
    part.mkdir()
    for name, named in tensors.items():
        save_file(
            {key: value.detach().cpu().contiguous() for key, value in named.items()}, part / f"{name}.safetensors"
        )
        _sync(part / f"{name}.safetensors")
    _write(part / STATE, state)
    files = {path.name: {"bytes": path.stat().st_size, "sha256": _sha256(path)} for path in sorted(part.iterdir())}
    _write(part / MANIFEST, {"step": step, "files": files})
    _sync(part)
    if final.exists():
        _remove(final)
    part.rename(final)
    _sync(folder)
    _list(folder)
    passing = [path for path in all_of(folder) if keep_every is None or int(path.name[5:]) % keep_every]
    for old in passing[:-keep]:
        _remove(old)
    return final


def _list(folder: Path) -> None:
    """Add the checkpoints of a folder to the list of all that were ever made; also one whose save was then killed."""
    path = folder.with_suffix(".jsonl")
    steps = {row["step"] for row in read_journal(path)} if path.exists() else set()
    steps |= {int(made.name[5:]) for made in all_of(folder)}
    part = path.with_name(f".{path.name}")
    part.write_text("".join(json.dumps({"step": step}) + "\n" for step in sorted(steps)), encoding="utf-8")
    _sync(part)
    part.replace(path)


def all_of(folder: Path) -> list[Path]:
    """The checkpoints in a folder, oldest first, verified or not."""
    if not folder.is_dir():
        return []
    found = [(int(match[1]), path) for path in folder.iterdir() if (match := _NAME.fullmatch(path.name))]
    return [path for _, path in sorted(found)]


def latest(folder: Path) -> Path | None:
    """The newest checkpoint that verifies, or None; each newer one that does not is named in a warning."""
    for path in reversed(all_of(folder)):
        try:
            verify(path)
        except CheckpointError as error:
            log.warning("%s; taking the checkpoint before it", error)
        else:
            return path
    return None


def verify(path: Path) -> None:
    """Compare every file of a checkpoint with the manifest; raises CheckpointError at the first difference."""
    manifest = _read(path / MANIFEST)
    files = manifest.get("files") if isinstance(manifest, dict) else None
    if not isinstance(files, dict) or STATE not in files:
        raise CheckpointError(f"{path / MANIFEST} is no manifest")
    for name, expected in files.items():
        file = path / name
        match expected:
            case {"bytes": int(size), "sha256": str(digest)}:
                pass
            case _:
                raise CheckpointError(f"{path / MANIFEST} is no manifest")
        if not file.is_file():
            raise CheckpointError(f"{file} is missing")
        if file.stat().st_size != size:
            raise CheckpointError(f"{file} has {file.stat().st_size} bytes, not {size}")
        if _sha256(file) != digest:
            raise CheckpointError(f"{file} was altered: its SHA-256 is not the manifest's")


def read_state(path: Path) -> dict[str, Any]:
    """The `state` of a checkpoint; raises CheckpointError."""
    state = _read(path / STATE)
    if not isinstance(state, dict):
        raise CheckpointError(f"{path / STATE} is not a JSON object")
    return state


def read_tensors(path: Path, name: str) -> dict[str, Tensor]:
    """The tensors of one file of a checkpoint, on the CPU; raises CheckpointError."""
    file = path / f"{name}.safetensors"
    try:
        return load_file(file)
    except (OSError, SafetensorError) as error:
        raise CheckpointError(f"{file}: {error}") from error


def _read(path: Path) -> Any:
    try:
        return json.loads(path.read_bytes())
    except (OSError, ValueError) as error:
        raise CheckpointError(f"{path}: {error}") from error


def _write(path: Path, value: Mapping[str, Any]) -> None:
    path.write_text(json.dumps(value, indent=1, allow_nan=False) + "\n", encoding="utf-8")
    _sync(path)


def _sync(path: Path) -> None:
    """Wait until a file, or the names in a folder, are on disk."""
    handle = os.open(path, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)


def _remove(path: Path) -> None:
    """Take a checkpoint away; renamed first, so that half of it is never found."""
    hidden = path.with_name(f".old-{path.name}")
    path.rename(hidden)
    shutil.rmtree(hidden)


def _sha256(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()
