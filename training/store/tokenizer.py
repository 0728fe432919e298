"""The tokenizer: a wrapper of the tokenizers library that knows the special tokens of training."""

import hashlib
import json
import unicodedata
from collections.abc import Iterable, Sequence
from functools import cached_property
from pathlib import Path
from typing import Any, Self

import numpy as np
import numpy.typing as npt
import tokenizers
from tokenizers import AddedToken, Regex, decoders, models, pre_tokenizers, trainers

from pipeline.configfile import ConfigError, nearest
from training.config import TokenizerSettings
from training.config.fim import CONVENTIONS, Convention
from training.store.vocabulary import Vocabulary, inside, lead

# Words, numbers of up to three digits, punctuation, white space: the split of GPT-4's cl100k_base (OpenAI tiktoken).
_WORDS = (
    r"(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}{1,3}"
    r"| ?[^\s\p{L}\p{N}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+"
)

_PROBES = (
    "  two  spaces,\n\n\ttabs\r\n",
    "na\u00efve caf\u00e9 \u65e5\u672c\u8a9e \u05e9\u05dc\u05d5\u05dd",
    "\U0001f469\u200d\U0001f52c \U0001f642 1234567",
)


def convention(folder: Path) -> Convention:
    """Whose sentinels a folder's tokenizer.json has; the default's if they are not known or there is no such file."""
    try:
        values = json.loads((folder / "tokenizer.json").read_text(encoding="utf-8"))
        known = {token["content"] for token in values.get("added_tokens") or ()} | {*values["model"]["vocab"]}
    except (OSError, ValueError, KeyError, TypeError):  # what is wrong with it, `load` says
        return "qwen"
    for name, spelled in CONVENTIONS.items():
        if known.issuperset(text for what, text in spelled.items() if what in ("prefix", "middle", "suffix")):
            return name
    return "qwen"


def _special(settings: TokenizerSettings) -> list[str]:
    """The special tokens that the settings name, the end token first."""
    names = [settings.end, settings.prefix, settings.middle, settings.suffix]
    return names if settings.filled is None else [*names, settings.filled]


def _joining(settings: TokenizerSettings) -> list[str]:
    """The special tokens between files of a repository."""
    return [name for name in (settings.repository, settings.file) if name is not None]


class Tokenizer:
    """Text to ids and back.

    A special token that is written out in a text is read as text, never as the token: no document can end itself or
    open a gap. `decode(encode(text)) == text`, up to the Unicode normalisation of a tokenizer that has one.
    """

    def __init__(self, inner: Any, settings: TokenizerSettings, extra: dict[str, Any] | None = None) -> None:
        """Wrap a `tokenizers.Tokenizer`; `extra` are keys for tokenizer_config.json."""
        inner.encode_special_tokens = True
        inner.no_truncation()
        inner.no_padding()
        self.inner = inner
        self.settings = settings
        self._extra = extra or {}
        self._ids = {name: inner.token_to_id(name) for name in [*_special(settings), *_joining(settings)]}
        self.vocab_size: int = max(inner.get_vocab().values()) + 1
        """Ids are below it; a vocabulary with gaps counts them."""

    @classmethod
    def load(cls, path: str | Path, settings: TokenizerSettings) -> Self:
        """Read a tokenizer.json, or a folder that has one. Raises ConfigError if it cannot serve for training."""
        file = Path(path)
        if file.is_dir():
            file = file / "tokenizer.json"
        try:
            values = json.loads(file.read_text(encoding="utf-8"))
            for token in values.get("added_tokens") or []:
                if token["content"] in (*_special(settings), *_joining(settings)):
                    token["special"] = True  # some vocabularies mark theirs as text, and text must not be read as them
            inner = tokenizers.Tokenizer.from_str(json.dumps(values))
        except OSError as error:
            raise ConfigError([f"tokenizer {file}: {error.strerror or error}"]) from error
        except Exception as error:  # the library raises plain Exception for whatever is wrong with a file
            raise ConfigError([f"tokenizer {file}: not a tokenizer of the tokenizers library ({error})"]) from error
        extra: dict[str, Any] = {}
        beside = file.with_name("tokenizer_config.json")
        if beside.is_file():
            extra = json.loads(beside.read_text(encoding="utf-8"))
        tokenizer = cls(inner, settings, extra)
        tokenizer._check(file)
        return tokenizer

    @classmethod
    def train(cls, texts: Iterable[str | Sequence[str]], settings: TokenizerSettings) -> Self:
        """Train a byte-level BPE (Sennrich et al. 2016; Radford et al. 2019) that has all special tokens.

        The same texts in the same order give the same tokenizer. Too few texts for the vocabulary give a smaller one.
        """
        inner = tokenizers.Tokenizer(models.BPE())
        inner.pre_tokenizer = pre_tokenizers.Sequence(
            [
                pre_tokenizers.Split(Regex(_WORDS), behavior="isolated"),
                pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=False),
            ]
        )
        inner.decoder = decoders.ByteLevel()
        trainer = trainers.BpeTrainer(
            vocab_size=settings.vocab_size,
            special_tokens=_special(settings),
            initial_alphabet=pre_tokenizers.ByteLevel.alphabet(),
            show_progress=False,
        )
        inner.train_from_iterator(texts, trainer)
        return cls(inner, settings)

    def _check(self, file: Path) -> None:
        """Refuse a tokenizer without an end token, or one that does not give texts back."""
        if self._ids[self.settings.end] is None:
            known = [token.content for token in self.inner.get_added_tokens_decoder().values()]
            raise ConfigError(
                [f"tokenizer.end: {file} has no token '{self.settings.end}'; {nearest(self.settings.end, known)}"]
            )
        for probe in _PROBES:
            back = self.decode(self.encode(probe))
            if unicodedata.normalize("NFC", back) != probe:
                raise ConfigError(
                    [
                        f"tokenizer {file}: it does not give texts back ({probe!r} becomes {back!r}); "
                        "use a byte-level one"
                    ]
                )

    def with_fim(self) -> tuple[Self, int]:
        """Return it with the sentinels that were missing, and how many ids that added (at the vocabulary's end).

        Raises ConfigError if texts cannot be rearranged in its tokens.
        """
        try:
            _ = self.vocabulary
        except ValueError as error:
            raise ConfigError([f"tokenizer: {error}, or leave out fill-in-the-middle"]) from error
        return self._with(_special(self.settings)[1:])

    def with_files(self) -> tuple[Self, int]:
        """Return it with the tokens that join files where they were missing, as far as its settings name any."""
        return self._with(_joining(self.settings))

    def _with(self, names: Sequence[str]) -> tuple[Self, int]:
        missing = [name for name in names if self._ids[name] is None]
        if not missing:
            return self, 0
        inner = tokenizers.Tokenizer.from_str(self.inner.to_str())
        inner.add_special_tokens([AddedToken(name, special=True, normalized=False) for name in missing])
        wider = type(self)(inner, self.settings, self._extra)
        return wider, wider.vocab_size - self.vocab_size

    def save(self, folder: str | Path) -> None:
        """Write tokenizer.json and the tokenizer_config.json that transformers reads beside it."""
        target = Path(folder)
        target.mkdir(parents=True, exist_ok=True)
        config = {"tokenizer_class": "PreTrainedTokenizerFast", "clean_up_tokenization_spaces": False} | self._extra
        config |= {"eos_token": self.settings.end}
        config.setdefault("pad_token", self.settings.end)
        for name, text in (
            ("tokenizer.json", self.inner.to_str()),
            ("tokenizer_config.json", json.dumps(config, indent=2, ensure_ascii=False) + "\n"),
        ):
            part = target / f".{name}.part"
            part.write_text(text, encoding="utf-8")
            part.replace(target / name)

    def encode(self, text: str) -> list[int]:
        """Ids of a text, without special tokens."""
        ids: list[int] = self.inner.encode(text, add_special_tokens=False).ids
        return ids

    def encode_inside(self, text: str) -> list[int]:
        """Ids of a text that stands behind another one: without the space that some tokenizers set before a text."""
        found = inside(self.inner, text, lead(self.inner))
        return self.encode(text) if found is None else found

    def encode_batch(self, texts: Sequence[str]) -> list[list[int]]:
        """Ids of each text, on all cores."""
        return [encoding.ids for encoding in self.inner.encode_batch_fast(texts, add_special_tokens=False)]

    def decode(self, ids: Sequence[int]) -> str:
        """The text of ids; special tokens are written out, and bytes that are no UTF-8 become U+FFFD."""
        text: str = self.inner.decode(ids, skip_special_tokens=False)
        return text

    @property
    def has_fim(self) -> bool:
        """Whether it has all sentinels."""
        return None not in (self._ids[name] for name in _special(self.settings))

    @property
    def end(self) -> int:
        """Id of the token that ends a document."""
        return self._id(self.settings.end)

    @property
    def prefix(self) -> int:
        """Id of the sentinel before the text that comes first. Raises ValueError if there is none."""
        return self._id(self.settings.prefix)

    @property
    def middle(self) -> int:
        """Id of the sentinel before the text that is to be filled in."""
        return self._id(self.settings.middle)

    @property
    def suffix(self) -> int:
        """Id of the sentinel before the text that comes last."""
        return self._id(self.settings.suffix)

    @property
    def filled(self) -> int | None:
        """Id of the token that ends what was filled in; None if its settings name none."""
        return None if self.settings.filled is None else self._id(self.settings.filled)

    @property
    def repository(self) -> int | None:
        """Id of the token before the name of a repository; None if there is none."""
        return None if self.settings.repository is None else self._ids[self.settings.repository]

    @property
    def file(self) -> int | None:
        """Id of the token before the path of each file of a repository; None if there is none."""
        return None if self.settings.file is None else self._ids[self.settings.file]

    @cached_property
    def sentinels(self) -> tuple[npt.NDArray[np.int64], npt.NDArray[np.int64], npt.NDArray[np.int64]]:
        """Prefix, suffix and middle, each as an array of one id."""
        prefix, suffix, middle = (np.array([name], np.int64) for name in (self.prefix, self.suffix, self.middle))
        return prefix, suffix, middle

    @cached_property
    def vocabulary(self) -> Vocabulary:
        """The bytes of its tokens. Raises ValueError if they are not known."""
        return Vocabulary(self.inner)

    @cached_property
    def identity(self) -> str:
        """SHA-256 of everything that it is."""
        return hashlib.sha256(self.inner.to_str().encode()).hexdigest()

    def _id(self, name: str) -> int:
        found = self._ids[name]
        if found is None:
            raise ValueError(f"the tokenizer has no token '{name}'")
        return int(found)
