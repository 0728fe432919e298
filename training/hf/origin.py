"""What a run keeps of the folder that its model came from, so that an export has it again.

Weights and tokenizer have their own ways; this is the rest: keys of config.json, settings of generation, the template
of chats.
"""

import json
import shutil
from pathlib import Path
from typing import Any

from training.hf.error import HuggingFaceError

ORIGIN = "origin"
"""Folder of it in a run."""
_CONFIG, _GENERATION = "config.json", "generation_config.json"
_TEMPLATES = ("chat_template.jinja", "chat_template.json")


def keep(folder: Path, out: Path) -> None:
    """Copy from a Hugging Face folder into a run."""
    target = out / ORIGIN
    target.mkdir(parents=True, exist_ok=True)
    for name in (_CONFIG, _GENERATION, *_TEMPLATES):
        if (folder / name).is_file():
            shutil.copyfile(folder / name, target / name)


def origin_of(run: Path) -> Path | None:
    """What a run, or one of its checkpoints, has kept; None if its model began at random."""
    places = (run / ORIGIN, run.resolve().parent.parent / ORIGIN)
    return next((place for place in places if (place / _CONFIG).is_file()), None)


def config(origin: Path | None) -> dict[str, Any]:
    """config.json as it was; empty if there is none. Raises HuggingFaceError."""
    return _read(origin, _CONFIG)


def generation(origin: Path | None) -> dict[str, Any]:
    """generation_config.json as it was; empty if there is none. Raises HuggingFaceError."""
    return _read(origin, _GENERATION)


def templates(origin: Path | None) -> list[Path]:
    """Files that go into an export as they are."""
    return [] if origin is None else [origin / name for name in _TEMPLATES if (origin / name).is_file()]


def _read(origin: Path | None, name: str) -> dict[str, Any]:
    if origin is None or not (origin / name).is_file():
        return {}
    try:
        values = json.loads((origin / name).read_bytes())
    except (OSError, ValueError) as error:
        raise HuggingFaceError(f"{origin / name}: {error}") from error
    if not isinstance(values, dict):
        raise HuggingFaceError(f"{origin / name} is not a JSON object")
    return values
