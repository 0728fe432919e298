"""The classes of datatrove by their dotted paths, and the arguments of their constructors, checked before a run.

Three kinds can be a step: a filter says yes or no to a document and may edit it, a formatter edits its text, an
extractor makes text of a page. A block that replaces `run` does more than that, and is refused.
"""

import importlib
import inspect
import sys
import types
from collections.abc import Callable, Mapping
from functools import cache
from typing import Any, Union, get_args, get_origin, get_type_hints

from pipeline.configfile import nearest
from pipeline.plugins import Plugin, load_again


@cache
def bases() -> dict[str, type[Any]]:
    """Kinds of block and what they are derived from. Loading datatrove takes half a second: only who needs it waits."""
    from datatrove.pipeline.extractors.base import BaseExtractor
    from datatrove.pipeline.filters.base_filter import BaseFilter
    from datatrove.pipeline.formatters.base import BaseFormatter

    return {"filter": BaseFilter, "formatter": BaseFormatter, "extractor": BaseExtractor}


def kind(block: type[Any]) -> str:
    """`filter`, `formatter` or `extractor`."""
    return next(word for word, base in bases().items() if issubclass(block, base))


def find(path: str, plugins: Mapping[str, Plugin]) -> tuple[type[Any], Plugin | None]:
    """The class at `datatrove...Class` or `<plugin>.Class`, and the plugin; raises ValueError if it can be no step."""
    module, _, name = path.rpartition(".")
    plugin = plugins.get(module)
    if plugin is not None:
        found, choices = vars(plugin.module).get(name), [f"{module}.{word}" for word in _names(plugin.module)]
    elif path.startswith("datatrove."):
        found, choices = _in_datatrove(module, name), _all_of_datatrove()
    else:
        known = "".join(f" or {word}." for word in plugins)
        raise ValueError(f"'{path}': the path of a block begins with datatrove.{known}")
    if found is None:
        raise ValueError(f"there is no '{path}'; {nearest(path, choices)}")
    if not isinstance(found, type) or not issubclass(found, tuple(bases().values())):
        raise ValueError(f"'{path}' is no filter, formatter or extractor of datatrove")
    block: Any = found
    if inspect.isabstract(block):
        raise ValueError(f"'{path}' lacks {', '.join(sorted(block.__abstractmethods__))}")
    if block.run is not bases()[kind(block)].run:
        raise ValueError(f"'{path}' has a run() of its own, which cannot be a step")
    try:
        block.__new__(block)  # datatrove's own check of what must be installed for the block
    except ImportError as error:
        raise ValueError(str(error)) from error
    return block, plugin


def _in_datatrove(module: str, name: str) -> Any:
    try:
        return getattr(importlib.import_module(module), name, None)
    except ModuleNotFoundError as error:
        if error.name is not None and f"{module}.".startswith(f"{error.name}."):
            return None
        raise ValueError(f"{module} needs '{error.name}', which is not installed") from error


def _all_of_datatrove() -> list[str]:
    modules = [importlib.import_module(f"datatrove.pipeline.{word}s") for word in bases()]
    return [f"{module.__name__}.{name}" for module in modules for name in _names(module)]


def _names(module: types.ModuleType) -> list[str]:
    """The blocks that a module has."""
    return [
        name
        for name, value in vars(module).items()
        if isinstance(value, type) and issubclass(value, tuple(bases().values())) and not inspect.isabstract(value)
    ]


def has_blocks(module: types.ModuleType) -> bool:
    """Whether a module defines a block."""
    if "datatrove" not in sys.modules:
        return False
    return any(vars(module)[name].__module__ == module.__name__ for name in _names(module))


def arguments(block: type[Any], given: Mapping[str, Any]) -> dict[str, Any]:
    """The arguments as a constructor wants them; raises ValueError for unknown, missing and impossible ones.

    A list becomes a tuple where a tuple is wanted. The types that datatrove states are not enforced beyond that: they
    are not what it accepts everywhere.
    """
    parameters = dict(list(inspect.signature(block.__init__).parameters.items())[1:])
    rest = any(parameter.kind is parameter.VAR_KEYWORD for parameter in parameters.values())
    named = {
        name: entry for name, entry in parameters.items() if entry.kind not in (entry.VAR_KEYWORD, entry.VAR_POSITIONAL)
    }
    try:
        hints = get_type_hints(block.__init__)
    except NameError:
        hints = {}  # names that are there for type checkers only
    functions = [name for name in named if _mentions(hints.get(name), Callable)]
    possible = [name for name in named if name not in functions and name != "exclusion_writer"]
    values: dict[str, Any] = {}
    for name, value in given.items():
        if name == "exclusion_writer":
            raise ValueError("exclusion_writer: what is dropped is in the folder dropped/ of the run")
        if name in functions:
            raise ValueError(f"{name}: a config cannot hold a function; derive a class of your own in a plugin")
        if name not in named and not rest:
            raise ValueError(f"unknown argument '{name}' of {block.__name__}; {nearest(name, possible)}")
        hint = hints.get(name)
        default = named[name].default if name in named else None
        wants_tuple = isinstance(default, tuple) or (_mentions(hint, tuple) and not _mentions(hint, list))
        values[name] = _tuple(value) if wants_tuple else value
    for name, parameter in named.items():
        if name not in values and name in functions and parameter.default is parameter.empty:
            raise ValueError(f"{block.__name__} takes a function; derive a class of your own in a plugin")
        if name not in values and parameter.default is parameter.empty:
            raise ValueError(f"argument '{name}' of {block.__name__} is missing")
    if "seed" in named and values.get("seed", named["seed"].default) is None:
        raise ValueError(f"give {block.__name__} a seed, or every run will give something else")
    return values


def _mentions(hint: Any, wanted: Any) -> bool:
    """Whether a type is another one, or one of several types of which the other is one."""
    parts = get_args(hint) if get_origin(hint) in (Union, types.UnionType) else (hint,)
    return any(part is wanted or get_origin(part) is wanted for part in parts)


def _tuple(value: Any) -> Any:
    return tuple(_tuple(item) for item in value) if isinstance(value, list) else value


def create(path: str, given: Mapping[str, Any], plugins: Mapping[str, Mapping[str, str]]) -> Any:
    """A block, in whatever process: of its path, its arguments and the records of the plugins that it may be in."""
    block, _ = find(path, {name: load_again(record) for name, record in plugins.items()})
    return block(**arguments(block, given))
