"""Settings of what the model sees: the tokenizer, sources, phases and their mixtures."""

from collections.abc import Iterator, Mapping
from itertools import pairwise
from typing import Annotated, Any, Literal, Self

from pydantic import Discriminator, Field, Tag, model_validator

from training.config.base import Settings
from training.config.fim import CONVENTIONS, Convention, spelled
from training.config.rope import Rope
from training.config.weights import Leaf, Weights, gap, leaves

Allowed = Annotated[
    Annotated[tuple[float | None, float | None], Tag("range")]
    | Annotated[tuple[str, ...], Field(min_length=1), Tag("words")],
    Discriminator(lambda given: "words" if _has_words(given) else "range"),
]
"""A range, both ends included and None open; or words."""


def _has_words(given: Any) -> bool:
    return isinstance(given, list | tuple) and any(isinstance(item, str) for item in given)


class TokenizerSettings(Settings):
    """A `tokenizer.json` of the tokenizers library, or a byte-level BPE trained on the shards."""

    path: str | None = None
    """A file, or a folder that holds `tokenizer.json`; None trains one."""
    vocab_size: Annotated[int, Field(ge=320)] = 8192
    """Of the one that is trained, special tokens included."""
    sample_bytes: Annotated[int, Field(ge=1)] = 50_000_000
    """Text that it is trained on, taken evenly over all sources' documents."""
    fim: Convention = "qwen"
    """Whose special tokens: those of Qwen2.5-Coder, StarCoder, Code Llama or DeepSeek-Coder. Each can also be named."""
    end: str = CONVENTIONS["qwen"]["end"]
    """What ends a document."""
    prefix: str = CONVENTIONS["qwen"]["prefix"]
    middle: str = CONVENTIONS["qwen"]["middle"]
    suffix: str = CONVENTIONS["qwen"]["suffix"]
    filled: str | None = None
    """What follows a text that was filled in, before the end of the document; Code Llama has such a token."""

    repository: str | None = None
    """What stands before the name of a repository, in sources that join the files of one; None if nothing does."""
    file: str | None = None
    """What stands before the path of each of its files; None joins them by lines with their paths."""

    @model_validator(mode="before")
    @classmethod
    def _spelled(cls, values: Any) -> Any:
        return spelled(values) if isinstance(values, dict) else values

    @model_validator(mode="after")
    def _differ(self) -> Self:
        special = (self.end, self.prefix, self.middle, self.suffix, self.filled, self.repository, self.file)
        names = [name for name in special if name is not None]
        if twice := next((name for name in names if names.count(name) > 1), None):
            raise ValueError(f"two special tokens are called '{twice}'")
        return self


class RepeatSettings(Settings):
    """Documents that come several times in an epoch, as they did on the web before duplicates were taken out.

    FineWeb-2 calls it rehydration (Penedo et al. 2025): clusters of a few copies are worth more, those of thousands are
    spam. So `times` says from which value of the signal on a document comes how often.
    """

    by: str = "cluster_size"
    """The signal, or `tokens`, the length of the document; one that has no cluster is alone in it."""
    times: Annotated[tuple[tuple[float, Annotated[int, Field(ge=0)]], ...], Field(min_length=1)]
    """`[[1, 1], [2, 2], [6, 3], [100, 1]]`: from 1 on once, from 2 on twice ...; 0 leaves it out. Below the first, and
    where the signal was not measured: once."""

    @model_validator(mode="after")
    def _rising(self) -> Self:
        if any(later <= earlier for (earlier, _), (later, _) in pairwise(self.times)):
            raise ValueError(f"times: values must rise, found {', '.join(f'{at:g}' for at, _ in self.times)}")
        return self


class OrderSettings(Settings):
    """Documents in the order of a signal instead of a random one, the same in every epoch."""

    by: str
    """The signal; `tokens` is the length of the document. Documents without it come last, equal ones by the hash of
    their ids."""
    descending: bool = False


class GroupSettings(Settings):
    """Documents that have a signal in common joined into one, such as the files of a repository.

    Models of code learn from whole repositories to use what other files define (Guo et al. 2024, section 2.2). Each
    file stands behind its path, in the order of paths; files without the signal stay documents by themselves.
    """

    by: str
    """The signal, or column of the shard, with the name of the repository: `read.repository`, say."""
    path: str | None = None
    """The one with the path of the file; None takes the id of the document."""
    most: Annotated[int, Field(ge=1)] = 1_000_000
    """Tokens of a document: larger repositories become several, divided between files."""


class SourceSettings(Settings):
    """A source beyond its shards: how often it may be read, and sources that are made of the documents of another one.

    A document keeps its place in the source that it is taken from, and is held out in both or in none.
    """

    of: str | None = None
    """The curated source whose documents it has; None if it is a curated source itself."""
    where: Mapping[str, Allowed] = {}
    """Only documents whose signals, or columns of the shard, lie in these ranges: `{"edu.score": [2, null]}`. Both ends
    belong to it; a list of words has those that are allowed: `{language: [de, fr]}`. `tokens` is the length of the
    document. What was not measured is left out."""
    repeat: RepeatSettings | None = None
    """How many times a document comes in an epoch; None is once."""
    order: OrderSettings | None = None
    """None draws an order anew for each epoch."""
    group: GroupSettings | None = None
    """None leaves each document by itself. Joined ones have tokens of their own on the disk."""
    max_epochs: Annotated[float, Field(gt=0)] | None = None
    """Most passes over it; None is that of its groups in `weights`, or of the run."""

    @model_validator(mode="after")
    def _possible(self) -> Self:
        if self.of is None:
            for name in ("where", "repeat", "order", "group"):
                if getattr(self, name):
                    raise ValueError(f"{name}: belongs to a source that is made 'of' another one; name that")
        if self.repeat is not None and self.order is not None:
            raise ValueError("order: copies would stand side by side; take either 'repeat' or 'order'")
        if self.group is not None and (self.repeat is not None or self.order is not None):
            raise ValueError(
                "group: joined documents come once, in an order of their own; leave out 'repeat' and 'order'"
            )
        for signal, allowed in self.where.items():
            low, high = (allowed[0], allowed[-1]) if len(allowed) == 2 else (None, None)
            if isinstance(low, float) and isinstance(high, float) and low > high:
                raise ValueError(f"where.{signal}: the lower end {low:g} is above the upper end {high:g}")
        return self


class Phase(Settings):
    """A stretch of the run with its mixture."""

    share: Annotated[float, Field(gt=0)] | None = None
    """Length relative to the other phases, 1 if nothing is said; what budgets of tokens leave is divided by it."""
    tokens: Annotated[float, Field(gt=0)] | None = None
    """Length in tokens, instead of a share."""
    weights: Annotated[
        Annotated[Literal["auto"], Tag("auto")] | Annotated[Weights, Tag("given")],
        Discriminator(lambda given: "auto" if isinstance(given, str) else "given"),
    ] = "auto"
    """Token share of each source, normalised at every moment; `auto` follows the sizes of the curated sources."""
    temperature: Annotated[float, Field(gt=0)] = 1.0
    """Of `auto`: shares are as tokens^(1 / temperature)."""
    context: Annotated[int, Field(ge=8)] | None = None
    """Tokens of a sequence from this phase on; None goes on as before. A step keeps its tokens, so it has fewer
    sequences where they are longer."""
    rope: Rope | None = None
    """Rotary frequencies from here on, for a phase that begins another `context`; None goes on as before. By a word,
    the factor is this context over the one that the model knew first (that of the run's first phase, or of the model of
    `init_from`): `linear`, `llama3` and `yarn` as in `model.rope_scaling`; `ntk` raises theta to theta x
    factor^(d / (d - 2)), heads having d dimensions ("NTK-aware", bloc97 2023). All else by its numbers: `{theta: 5e5}`,
    `{scaling: {rope_type: yarn, ...}}`."""

    def leaves(self) -> Iterator[Leaf]:
        """Every source that the weights name, with its place in the phase; none for `auto`."""
        if self.weights != "auto":
            yield from leaves(self.weights, ("weights",))

    @model_validator(mode="after")
    def _something_to_read(self) -> Self:
        if self.share is not None and self.tokens is not None:
            raise ValueError("tokens: a phase has a share or a budget of tokens, not both")
        if self.weights == "auto":
            return self
        if self.temperature != 1.0:
            raise ValueError("temperature: is for weights that are auto; for some of the sources, make a group")
        problem = gap(self.weights)
        if problem is not None:
            raise ValueError(f"weights: {problem}")
        seen: set[str] = set()
        for leaf in self.leaves():
            if leaf.name in seen:
                raise ValueError(f"{'.'.join(map(str, leaf.place))}: '{leaf.name}' has a weight twice in this phase")
            seen.add(leaf.name)
        return self
