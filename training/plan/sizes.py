"""How many tokens each source has: counted where a run's folder has them already, otherwise estimated from a sample."""

import json
from collections.abc import Mapping, Sequence
from pathlib import Path

from pipeline.configfile import ConfigError
from training.config import TrainConfig
from training.store import selection, shards, views
from training.store.shards import Shard
from training.store.tokenizer import Tokenizer
from training.store.tokens import TokenStore

_SAMPLE = 1 << 20
_BYTES_A_TOKEN = 4.0
"""Of a tokenizer that is still to be trained."""


def stored(out: Path, found: Mapping[str, list[Shard]], config: TrainConfig) -> TokenStore | None:
    """The run's tokens, if they are of these shards (by names and sizes) and of this holdout."""
    folder = out / "tokens"
    try:
        for source, files in found.items():
            made = json.loads((folder / source / "manifest.json").read_text(encoding="utf-8"))
            there = [[shard["name"], shard["size"]] for shard in made["shards"]]
            if there != [[shard["name"], shard["size"]] for shard in files]:
                return None
            if made["holdout"] != config.evaluation.holdout:
                return None
        store = TokenStore.open(folder, Tokenizer.load(out / "tokenizer.json", config.tokenizer))
    except (OSError, ConfigError):
        return None
    made = {name: settings for name, settings in config.sources.items() if settings.of is not None}
    if set(store.sources) != {*found, *made}:
        return None
    manifests = {name: json.loads((folder / name / "manifest.json").read_text(encoding="utf-8")) for name in made}
    same = all(manifests[name].get("definition") == views.definition(settings) for name, settings in made.items())
    return store if same else None


def estimated(config: TrainConfig, found: Mapping[str, list[Shard]], tokenizer: Tokenizer | None) -> dict[str, int]:
    """About how many tokens each source has for training."""
    about = {name: _estimate(files, tokenizer, config.evaluation.holdout) for name, files in found.items()}
    for name, settings in config.sources.items():
        if settings.of is not None:
            about[name] = round(about[settings.of] * selection.share(settings, found[settings.of]))
    return dict(sorted(about.items()))


def _estimate(files: Sequence[Shard], tokenizer: Tokenizer | None, holdout: float) -> int:
    size = sum(shards.text_bytes(shard) for shard in files) * (1 - holdout)
    ratio = _BYTES_A_TOKEN
    if tokenizer is not None:
        texts: list[str] = []
        for _, _, _, more in shards.read(files):
            texts += more
            if sum(map(len, texts)) >= _SAMPLE:
                break
        tokens = sum(len(ids) + 1 for ids in tokenizer.encode_batch(texts))
        ratio = sum(len(text.encode()) for text in texts) / max(tokens, 1) or _BYTES_A_TOKEN
    return round(size / ratio)
