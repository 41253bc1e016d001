"""Registry of the classes that a saved file may hold.

The decorator `stored` beside a class registers it, with the kinds and shapes of its arrays and the
relations between its fields. Objects of other classes are never made from a file. Kernels do not
check the fields again.
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
    """A class that a file may hold, and the checks of its fields.

    Parameters
    ----------
    name : str
        Name of the class in a file. It stays when the class is renamed in the code.
    made : type
    arrays : mapping of str to str
        For each field that is an array: its kind (see `ARRAY_KINDS`) and the length of each
        dimension, such as ``"finite J p+1"``. A letter stands for the same length in all arrays of
        an object.
    fields : tuple of mappings of str to str
        Names and types of the fields, for each way that the class may be written. Empty for a
        dataclass that is written by its annotated fields.
    renamed : mapping of str to str
        Name in files of each field that has another name in the code. Files keep the first name;
        `arrays`, `fields` and `relations` use the names of the code.
    relations : callable
        Takes an object with the fields as attributes and yields a message for every relation that
        does not hold.
    whole : bool
        Whether a file may hold an object of this class by itself.
    """

    name: str
    made: type
    arrays: Mapping[str, str] = field(default_factory=dict)
    fields: tuple[Mapping[str, str], ...] = ()
    renamed: Mapping[str, str] = field(default_factory=dict)
    relations: Callable[[Any], Iterator[str]] = lambda fields: iter(())
    whole: bool = False


#: Classes by their name in a file. Importing a module registers its classes.
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
        For a class that is not a dataclass, without `fields`.
    ValueError
        When another class has this name.

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
    """Return the name of a class in saved files, or None for a class that is not registered."""
    return _NAMES.get(made)


# --- checks for relations ---------------------------------------------------------------------


def is_plain_value(value: Any) -> bool:
    """Return whether a value is text, a number or a truth value."""
    return isinstance(value, (str, bool, int, float, np.generic))


def is_number(value: Any) -> bool:
    """Return whether a value is a number, not NaN; a whole number must fit into 64 bits."""
    whole = isinstance(value, (int, np.integer)) and int(value) in _INT64
    number = whole or isinstance(value, (float, np.floating))
    return number and not isinstance(value, bool) and not math.isnan(value)


def are_within(places: Any, end: int) -> bool:
    """Return whether all places (whole numbers from 0) are less than `end`."""
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
    """Return whether an array holds distinct labels of levels: numbers, dates or text."""
    if array.ndim != 1 or array.dtype.kind not in "biufUmMO":
        return False
    if array.dtype != object:
        return len(np.unique(array)) == len(array)
    items = array.tolist()
    return all(map(is_plain_value, items)) and len(set(items)) == len(items)


#: By name: the elements of such an array in words, and the check of an array.
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
    "labels": ("distinct labels", _are_labels),
    "bytes": ("bytes", lambda array: array.dtype == np.uint8),
}
