"""A config file: YAML read with the place of every value, so that each error can say file:line:column.

Both halves of Gristmill read their settings through here. Two habits of YAML 1.1 that surprise people are off: only
`true` and `false` are booleans (`languages: [no]` is Norwegian) and `1e-4` is a number. A key that appears twice is an
error, because the first one would be lost without a word.
"""

import re
import sys
import types
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from difflib import get_close_matches
from pathlib import Path
from typing import Annotated, Any, TypeVar, Union, get_args, get_origin

import yaml
from pydantic import BaseModel, ValidationError

Place = tuple[str | int, ...]
Model = TypeVar("Model", bound=BaseModel)


@dataclass(frozen=True)
class Problem:
    """One thing that is wrong in a config: where it stands (keys and indices from the root), and what to do."""

    place: Place
    message: str


class ConfigError(Exception):
    """Everything that is wrong with a config, at once; `str()` is one line a problem, ready to print."""

    def __init__(self, lines: Sequence[str]) -> None:
        super().__init__("\n".join(lines))
        self.lines = tuple(lines)


class _Loader(yaml.SafeLoader):
    """SafeLoader with YAML 1.2's idea of booleans and floats."""


_Loader.yaml_implicit_resolvers = {
    first: [
        (tag, pattern) for tag, pattern in resolvers if tag not in ("tag:yaml.org,2002:bool", "tag:yaml.org,2002:float")
    ]
    for first, resolvers in yaml.SafeLoader.yaml_implicit_resolvers.items()
}
_Loader.add_implicit_resolver(
    "tag:yaml.org,2002:bool", re.compile(r"^(?:true|True|TRUE|false|False|FALSE)$"), list("tTfF")
)
_Loader.add_implicit_resolver(
    "tag:yaml.org,2002:float",
    re.compile(
        r"^[-+]?(?:(?:[0-9]+\.[0-9]*|\.[0-9]+)(?:[eE][-+]?[0-9]+)?|[0-9]+[eE][-+]?[0-9]+|\.inf|\.nan)$", re.IGNORECASE
    ),
    list("-+0123456789."),
)


@dataclass
class ConfigFile:
    """The values of a YAML file with overrides applied, and where each of them was written."""

    name: str
    values: dict[str, Any]
    places: dict[Place, str] = field(repr=False)

    @classmethod
    def read(cls, path: str | Path, overrides: Sequence[str] = ()) -> "ConfigFile":
        """Read a file and lay `a.b.c=value` overrides over it (the value is YAML); raises ConfigError."""
        name = str(path)
        try:
            text = Path(path).read_text(encoding="utf-8")
        except OSError as error:
            raise ConfigError([f"{name}: {error.strerror or error}"]) from error
        except UnicodeDecodeError as error:
            raise ConfigError([f"{name}: not UTF-8 text ({error.reason} at byte {error.start})"]) from error
        places: dict[Place, str] = {}
        problems: list[str] = []
        values = _parse(text, name, places, problems)
        if values is None:
            values = {}
        if not isinstance(values, dict):
            raise ConfigError([f"{name}:1:1: a config is a mapping of keys to values, found {type(values).__name__}"])
        for override in overrides:
            _override(values, override, places, problems)
        if problems:
            raise ConfigError(problems)
        return cls(name, values, places)

    def where(self, place: Place) -> str:
        """`file:line:column` of a value, or of the nearest thing around it that was written down."""
        known: Place = ()
        for (
            part
        ) in place:  # pydantic puts names of union members into its paths; what was never written is stepped over
            if (*known, part) in self.places:
                known = (*known, part)
        return self.places.get(known, f"{self.name}:1:1")

    def error(self, problems: Sequence[Problem]) -> ConfigError:
        """The error that reports these problems, in the order in which they stand in the file."""
        lines = [(self.where(problem.place), problem.message) for problem in problems]
        return ConfigError(
            [f"{where}: {message}" for where, message in sorted(lines, key=lambda line: _order(line[0]))]
        )

    def parse(
        self, model: type[Model], values: Any, place: Place = (), context: Any = None
    ) -> tuple[Model | None, list[Problem]]:
        """Validate `values` (found at `place`) as `model`: the model, or every problem that it has.

        Args:
            context: what the model's validators may look at.
        """
        try:
            return model.model_validate(values, context=context), []
        except ValidationError as error:
            return None, [_problem(model, place, detail) for detail in error.errors()]

    def load(self, model: type[Model]) -> Model:
        """Validate the whole file; raises ConfigError with all problems."""
        settings, problems = self.parse(model, self.values)
        if settings is None:
            raise self.error(problems)
        return settings


def nearest(word: str, choices: Sequence[str]) -> str:
    """A hint for a misspelled word: the nearest choice, or all of them."""
    near = get_close_matches(word, choices, n=1, cutoff=0.5)
    if near:
        return f"did you mean '{near[0]}'?"
    return f"choose from: {', '.join(sorted(choices))}" if choices else "there is nothing to choose from"


def _order(where: str) -> tuple[int, int]:
    """Lines of the file from top to bottom, then overrides."""
    end = re.search(r":(\d+):(\d+)$", where)
    return (int(end[1]), int(end[2])) if end else (sys.maxsize, 0)


def _parse(text: str, name: str, places: dict[Place, str], problems: list[str]) -> Any:
    """The value of a YAML document, with the position of every key and item in `places`."""
    loader = _Loader(text)
    try:
        node = loader.get_single_node()
        return None if node is None else _value(loader, node, (), name, places, problems)
    except yaml.MarkedYAMLError as error:
        mark = error.problem_mark or error.context_mark
        at = f"{name}:{mark.line + 1}:{mark.column + 1}" if mark else name
        raise ConfigError([f"{at}: {error.problem or error.context}"]) from error
    except yaml.YAMLError as error:
        raise ConfigError([f"{name}: {error}"]) from error
    finally:
        loader.dispose()


def _value(
    loader: _Loader, node: yaml.Node, at: Place, name: str, places: dict[Place, str], problems: list[str]
) -> Any:
    here = f"{name}:{node.start_mark.line + 1}:{node.start_mark.column + 1}"
    places.setdefault(at, here)
    if isinstance(node, yaml.CollectionNode) and node.tag not in ("tag:yaml.org,2002:map", "tag:yaml.org,2002:seq"):
        problems.append(f"{here}: the tag {node.tag} means nothing here")
    if isinstance(node, yaml.MappingNode):
        loader.flatten_mapping(node)
        mapping: dict[Any, Any] = {}
        for key_node, value_node in node.value:
            key = loader.construct_object(key_node, deep=True)
            mark = f"{name}:{key_node.start_mark.line + 1}:{key_node.start_mark.column + 1}"
            if isinstance(key, bool) or not isinstance(key, (str, int)):
                problems.append(f"{mark}: a key is a word, found {key!r}")
                continue
            key = str(key)
            if key in mapping:
                problems.append(f"{mark}: '{key}' is set twice, first at {places[(*at, key)]}")
                continue
            places[(*at, key)] = mark
            mapping[key] = _value(loader, value_node, (*at, key), name, places, problems)
        return mapping
    if isinstance(node, yaml.SequenceNode):
        return [_value(loader, item, (*at, i), name, places, problems) for i, item in enumerate(node.value)]
    return loader.construct_object(node, deep=True)


def _override(values: dict[str, Any], override: str, places: dict[Place, str], problems: list[str]) -> None:
    """Apply one `a.b.c=value` in place."""
    path, equals, text = override.partition("=")
    keys = path.split(".")
    name = f"--set {path}"
    if not equals or not all(keys):
        problems.append(f"--set {override}: write it as key.key=value")
        return
    value_places: dict[Place, str] = {}
    try:
        value = _parse(text, name, value_places, problems)
    except ConfigError as error:
        problems.append(f"--set {override}: the value is not YAML: {error.lines[0].removeprefix(name + ':')}")
        return
    target: Any = values
    place: Place = ()
    for i, key in enumerate(keys):
        step: str | int = key
        if isinstance(target, list):
            if not key.isdecimal() or int(key) >= len(target):
                problems.append(
                    f"{name}: '{'.'.join(keys[:i])}' is a list of {len(target)} items, not one with '{key}'"
                )
                return
            step = int(key)
        elif not isinstance(target, dict):
            problems.append(f"{name}: '{'.'.join(keys[:i])}' is {target!r}, which has no '{key}'")
            return
        place = (*place, step)
        places[place] = places.get(place, name)
        if i == len(keys) - 1:
            for old in [p for p in places if p[: len(place)] == place]:
                del places[old]
            places.update({place + inner: name for inner in value_places})
            places[place] = name
            target[step] = value
        else:
            if isinstance(target, dict) and target.get(str(step)) is None:
                target[str(step)] = {}
            target = target[step]


def _problem(model: type[BaseModel], place: Place, detail: Any) -> Problem:
    """One pydantic error in the words of this project, with the nearest valid key where a key is unknown."""
    inner = tuple(detail["loc"])
    at = place + inner
    match detail["type"]:
        case "extra_forbidden":
            return Problem(at, f"unknown key '{inner[-1]}'; {nearest(str(inner[-1]), _keys_at(model, inner[:-1]))}")
        case "missing":
            return Problem(at[:-1], f"'{inner[-1]}' is missing")
        case "value_error":
            return Problem(at, detail["msg"].removeprefix("Value error, "))
        case "literal_error" | "enum":
            expected = [word.strip(" '") for word in detail["ctx"]["expected"].replace(" or ", ",").split(",")]
            return Problem(at, f"'{detail['input']}' is not allowed; {nearest(str(detail['input']), expected)}")
        case "union_tag_invalid":
            tag = detail["ctx"]["tag"]
            tags = [word.strip(" '") for word in detail["ctx"]["expected_tags"].split(",")]
            return Problem((*at, "use"), f"'{tag}' is not allowed; {nearest(tag, tags)}")
        case "too_short":
            return Problem(at, f"{inner[-1]}: name at least {detail['ctx']['min_length']}")
        case _:
            key = ".".join(str(part) for part in inner) or "the value"
            return Problem(at, f"{key}: {detail['msg']}, found {detail['input']!r}")


def _keys_at(model: type[BaseModel], place: Place) -> list[str]:
    """The keys that the model at `place` inside `model` knows."""
    found: list[type[BaseModel]] = [model]
    for part in place:
        if meant := [candidate for candidate in found if len(found) > 1 and part in _tags(candidate)]:
            found = meant
            continue
        deeper: list[type[BaseModel]] = []
        for candidate in found:
            info = candidate.model_fields.get(str(part))
            deeper += list(_models_in(info.annotation)) if info is not None else [candidate]
        found = deeper
    return [key for candidate in found for key in candidate.model_fields]


def _tags(model: type[BaseModel]) -> tuple[Any, ...]:
    """The values of `use` that choose this model out of a union."""
    info = model.model_fields.get("use")
    return () if info is None else get_args(info.annotation)


def _models_in(annotation: Any) -> Iterator[type[BaseModel]]:
    """The pydantic models that an annotation such as `dict[str, A | None]` is made of."""
    if isinstance(annotation, type) and issubclass(annotation, BaseModel):
        yield annotation
    elif get_origin(annotation) in (
        Union,
        types.UnionType,
        Annotated,
        list,
        tuple,
        dict,
        Mapping,
        Sequence,
    ) or get_args(annotation):
        for argument in get_args(annotation):
            yield from _models_in(argument)
