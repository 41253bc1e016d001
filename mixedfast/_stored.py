"""Registry of the classes that a saved file may hold.

A class enters it by the decorator `stored`, which stands beside the class and says what its arrays are and which of its
fields must agree. Nothing else is ever made from a file, and kernels do not check again.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field, is_dataclass
from typing import Any, TypeVar

import numpy as np

__all__ = [
    "ARRAY_KINDS",
    "REGISTRY",
    "StoredClass",
    "are_within",
    "is_array_of",
    "is_number",
    "is_plain_value",
    "name_of",
    "stored",
]

T = TypeVar("T")

_INT64 = range(-(1 << 63), 1 << 63)


@dataclass(frozen=True)
class StoredClass:
    """A class that a file may hold, and the checks of its fields before an object is made of them.

    Parameters
    ----------
    name : str
        The class in a file, whatever it is called in the code.
    made : type
    arrays : mapping of str to str
        For each field that is an array its kind (see `ARRAY_KINDS`) and a length for each dimension. A letter is one length
        within an object: ``"finite J p+1"``.
    fields : tuple of mappings of str to str
        Names and types of the fields, each way the class may be written; empty for a dataclass, whose annotations say it.
    renamed : mapping of str to str
        The name in files of each field that has another name in the code. Files keep the name a field was first written
        with; all checks here are in the names of the code.
    relations : callable
        Yields a message for every disagreement between fields, given an object with the fields as attributes.
    whole : bool
        Whether a file as a whole may be one.
    """

    name: str
    made: type
    arrays: Mapping[str, str] = field(default_factory=dict)
    fields: tuple[Mapping[str, str], ...] = ()
    renamed: Mapping[str, str] = field(default_factory=dict)
    relations: Callable[[Any], Iterator[str]] = lambda fields: iter(())
    whole: bool = False


#: By the name in a file. The classes of a module are in it once the module is imported.
REGISTRY: dict[str, StoredClass] = {}
_NAMES: dict[type, str] = {}


def stored(name: str, **checks: Any) -> Callable[[type[T]], type[T]]:
    """Register a class under its name in saved files.

    Parameters
    ----------
    name : str
    checks
        `arrays`, `fields`, `renamed`, `relations` and `whole` of `StoredClass`.

    Raises
    ------
    TypeError
        For a class that is no dataclass, without `fields`.
    ValueError
        For a name that another class has.

    Examples
    --------
    >>> @stored("Example", arrays={"x": "finite n"})
    ... @dataclass
    ... class Example:
    ...     x: np.ndarray
    >>> name_of(Example), REGISTRY.pop("Example").arrays
    ('Example', {'x': 'finite n'})
    """

    def register(made: type[T]) -> type[T]:
        if not is_dataclass(made) and not checks.get("fields"):
            raise TypeError(f"{made.__name__} is not a dataclass: give the fields that are saved")
        if name in REGISTRY:
            raise ValueError(f"two classes are stored as {name!r}")
        REGISTRY[name] = StoredClass(name, made, **checks)
        _NAMES[made] = name
        return made

    return register


def name_of(made: type) -> str | None:
    """Return the name of a class in saved files; None where it is not stored."""
    return _NAMES.get(made)


# --- checks that relations are written with ----------------------------------------------------------------


def is_plain_value(value: Any) -> bool:
    """Return whether a value is text, a number or a truth value."""
    return isinstance(value, (str, bool, int, float, np.generic))


def is_number(value: Any) -> bool:
    """Return whether a value is a number but not NaN; a whole number must fit 64 bits, a truth value is none."""
    whole = isinstance(value, (int, np.integer)) and int(value) in _INT64
    number = whole or isinstance(value, (float, np.floating))
    return number and not isinstance(value, bool) and not math.isnan(value)


def are_within(places: Any, end: int) -> bool:
    """Return whether all places, whole numbers from 0, lie before an end."""
    return bool(np.all(np.asarray(places, dtype=np.int64) < end)) if len(places) else True


def is_array_of(kind: str, value: Any) -> bool:
    """Return whether a value is an array of one of `ARRAY_KINDS`.

    Examples
    --------
    >>> is_array_of("places", np.array([0, 2])), is_array_of("finite", np.array([0.0, np.nan]))
    (True, False)
    """
    return isinstance(value, np.ndarray) and ARRAY_KINDS[kind][1](value)


def _is_finite(array: np.ndarray) -> bool:
    return array.dtype == np.float64 and bool(np.isfinite(array).all())


def _are_labels(array: np.ndarray) -> bool:
    """Return whether an array holds labels of levels, each once; in an array of objects they are plain values."""
    if array.ndim != 1 or array.dtype.kind not in "biufUmMO":
        return False
    if array.dtype != object:
        return len(np.unique(array)) == len(array)
    items = array.tolist()
    return all(map(is_plain_value, items)) and len(set(items)) == len(items)


#: What the elements of an array are, in words, and whether those of an array are such.
ARRAY_KINDS: dict[str, tuple[str, Callable[[np.ndarray], bool]]] = {
    "real": ("numbers (float64)", lambda array: array.dtype == np.float64),
    "finite": ("finite numbers (float64)", _is_finite),
    "positive": (
        "positive numbers (float64)",
        lambda array: _is_finite(array) and bool((array > 0.0).all()),
    ),
    "numbers": ("numbers", lambda array: array.dtype.kind in "biuf"),
    "codes": ("codes (int32)", lambda array: array.dtype == np.int32),
    "places": (
        "places (whole numbers from 0)",
        lambda array: array.dtype.kind in "iu" and bool((array >= 0).all()),
    ),
    "labels": ("labels, each once", _are_labels),
    "bytes": ("bytes", lambda array: array.dtype == np.uint8),
}
