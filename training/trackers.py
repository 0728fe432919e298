"""Trackers: the numbers of a run for TensorBoard, Weights & Biases and trackio, by the names that the journals have.

metrics.jsonl is the truth and always there; what is here is a copy for people who look at many runs at once. A tracker
that fails is told once and left out, and the run goes on. After a resume no step is there twice: TensorBoard is told
from where on earlier numbers are void, and to the others, which cannot take back, steps are not sent that they had.
"""

import contextlib
import json
import logging
import math
import os
import secrets
import sys
from collections.abc import Callable, Iterator, Mapping
from importlib import import_module
from importlib.util import find_spec
from pathlib import Path
from types import TracebackType
from typing import Any, Protocol, Self

from pipeline.configfile import Problem
from training.config.tracking import TrackingSettings
from training.eventfile import EventFile

TENSORBOARD = "tensorboard"
"""Folder of the event files in that of the run."""
SENT = ".tracked.json"
_PACKAGES = {"wandb": "wandb", "trackio": "trackio"}
_LOG = logging.getLogger(__name__)


class Tracker(Protocol):
    """Something that takes numbers by step."""

    def log(self, step: int, values: Mapping[str, float]) -> None:
        """Take numbers; never called twice for one name and step."""

    def close(self, failed: bool) -> None:
        """All numbers are there; `failed` is whether an error ended the run."""


def missing(settings: TrackingSettings) -> list[Problem]:
    """Name the trackers whose package is not installed."""
    return [
        Problem(
            ("tracking", "use", number),
            f"'{name}' needs the package {_PACKAGES[name]}: pip install 'gristmill[track]'",
        )
        for number, name in enumerate(settings.use)
        if name in _PACKAGES and find_spec(_PACKAGES[name]) is None
    ]


def numbers(row: Mapping[str, Any], under: str = "") -> Iterator[tuple[str, float]]:
    """The finite numbers of a journal's row by name; those of an inner object are `outer/inner`."""
    for key, value in row.items():
        if isinstance(value, Mapping):
            yield from numbers(value, f"{under}{key}/")
        elif isinstance(value, int | float) and not isinstance(value, bool) and key != "step" and math.isfinite(value):
            yield f"{under}{key}", value


class Trackers:
    """All trackers of a run, used as one; use it as a context manager."""

    def __init__(
        self,
        settings: TrackingSettings,
        out: Path,
        description: Mapping[str, Any],
        start: int = 0,
        say: Callable[[str], None] = _LOG.warning,
    ) -> None:
        """`description` is what run.json has, `start` the step that the run goes on from, `say` is told of failures."""
        self._say, self._sent = say, out / SENT
        self._state: dict[str, Any] = {"id": secrets.token_hex(4), "sent": {}}
        if start and self._sent.exists():
            self._state = json.loads(self._sent.read_text(encoding="utf-8"))
        self._trackers: dict[str, Tracker] = {}
        make: dict[str, Callable[[], Tracker]] = {
            "tensorboard": lambda: _TensorBoard(out / TENSORBOARD, description, start),
            "wandb": lambda: _Wandb(settings, out, description, self._state["id"]),
            "trackio": lambda: _Trackio(settings, out, description, self._state["id"]),
        }
        for name in settings.use:
            with self._failures(name):
                self._trackers[name] = make[name]()

    def log(self, step: int, row: Mapping[str, Any], under: str = "") -> None:
        """Send the numbers of a row of metrics.jsonl, or, with `under="evaluation/"`, of another journal."""
        values = dict(numbers(row, under))
        remembers = False
        for name, tracker in list(self._trackers.items()):
            sent = self._state["sent"].setdefault(name, {})
            if name != "tensorboard" and step <= sent.get(under, -1):
                continue
            with self._failures(name):
                tracker.log(step, values)
            sent[under] = step
            remembers |= name != "tensorboard"
        if remembers:
            with self._failures("the note of what was sent"):
                part = self._sent.with_suffix(".part")
                part.write_text(json.dumps(self._state), encoding="utf-8")
                part.replace(self._sent)

    def close(self, failed: bool = False) -> None:
        """Wait until all trackers have what they were sent; `failed` is whether an error ended the run."""
        for name, tracker in list(self._trackers.items()):
            with self._failures(name):
                tracker.close(failed)

    @contextlib.contextmanager
    def _failures(self, name: str) -> Iterator[None]:
        """What a tracker raises is told, and that tracker is left out from then on; its words go to stderr."""
        try:
            with contextlib.redirect_stdout(sys.stderr):
                yield
        except Exception as error:
            self._trackers.pop(name, None)
            self._say(f"tracking: {name} failed and is left out; the run goes on: {type(error).__name__}: {error}")

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        self.close(failed=error is not None)


class _TensorBoard:
    """Event files in the folder of the run: `tensorboard --logdir OUT`."""

    def __init__(self, folder: Path, description: Mapping[str, Any], start: int) -> None:
        self._file = EventFile(folder, start + 1 if start else 0)
        if not start:
            text = json.dumps(description, indent=1, ensure_ascii=False)
            self._file.text(0, "run", "\n".join(f"    {line}" for line in text.splitlines()))  # as code

    def log(self, step: int, values: Mapping[str, float]) -> None:
        """One event with all numbers."""
        self._file.numbers(step, values)

    def close(self, failed: bool) -> None:
        """Close the file."""
        self._file.close()


class _Wandb:
    """Weights & Biases; offline its files are in OUT/wandb."""

    def __init__(self, settings: TrackingSettings, out: Path, description: Mapping[str, Any], id_: str) -> None:
        wandb: Any = import_module("wandb")
        mode = "online" if settings.online else os.environ.get("WANDB_MODE", "offline")
        self._run = wandb.init(
            project=settings.project,
            name=settings.name or out.resolve().name,
            id=id_,
            dir=str(out),
            config=dict(description),
            mode=mode,
            resume="allow" if mode == "online" else None,
            settings=wandb.Settings(console="off", silent=True, disable_git=True, save_code=False),
        )

    def log(self, step: int, values: Mapping[str, float]) -> None:
        """Add to the history of the run."""
        self._run.log(dict(values), step=step)

    def close(self, failed: bool) -> None:
        """Wait until everything is on disk, and online on the server."""
        self._run.finish(exit_code=int(failed))


class _Trackio:
    """trackio: a database on this machine, in TRACKIO_DIR where that is set; `trackio show` opens it."""

    def __init__(self, settings: TrackingSettings, out: Path, description: Mapping[str, Any], id_: str) -> None:
        self._trackio: Any = import_module("trackio")
        name = settings.name or out.resolve().name
        self._run = self._trackio.init(
            project=settings.project,
            name=f"{name}-{id_}",  # trackio knows runs by their names alone
            config=dict(description),
            resume="allow",
            embed=False,
        )

    def log(self, step: int, values: Mapping[str, float]) -> None:
        """Add to the run."""
        self._run.log(dict(values), step=step)

    def close(self, failed: bool) -> None:
        """Wait until everything is in the database."""
        self._trackio.finish()
