"""Which keys can be compared: those of steps for which everything is equal that a key depends on."""

import hashlib
from collections.abc import Iterator, Mapping
from functools import cache
from typing import Any

from pipeline.dedup.alphabet import alphabet
from pipeline.dedup.base import Documents

NOT_FOR_KEYS = ("against", "prefer", "preset", "proof", "verify")
"""Settings that say what is done with keys, or where others come from."""


def described(step: Documents) -> dict[str, Any]:
    """All that a step's keys depend on, as JSON-able values."""
    from pipeline.steps import depends_on, use_of

    return {
        "use": use_of(step),
        **{key: value for key, value in step.model_dump(mode="json").items() if key not in NOT_FOR_KEYS},
        "version": step.version,
        **depends_on(step),
        "alphabet": _letters(),
    }


@cache
def _letters() -> str:
    """What is a letter, and what it becomes, follows from the version of Unicode in the libraries used."""
    digest = hashlib.sha256()
    for table in alphabet()[:4]:
        digest.update(table.tobytes())
    return digest.hexdigest()[:16]


def differences(a: Mapping[str, Any], b: Mapping[str, Any], of_a: str, of_b: str) -> Iterator[str]:
    """In words, what is not equal in two descriptions."""
    for key in dict.fromkeys((*a, *b)):
        if a.get(key) != b.get(key):
            yield f"{key} is {a.get(key)!r} in the {of_a} and {b.get(key)!r} in the {of_b}"
