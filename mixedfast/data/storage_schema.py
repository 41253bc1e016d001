"""Checks of the fields in a saved file, before an object is made of them.

The types of fields are the annotations of the classes. Kinds and shapes of arrays, and relations
between fields, are registered beside each class (`mixedfast._stored`). Above all every index lies
within the array that it points into: kernels do not check again.
"""

from __future__ import annotations

import re
import sys
import types
from collections.abc import Iterator, Mapping
from dataclasses import fields
from functools import cache
from itertools import chain
from types import SimpleNamespace
from typing import Any, Literal, Union, get_args, get_origin, get_type_hints

import numpy as np

from mixedfast._stored import ARRAY_KINDS, REGISTRY, is_array_of, is_number

__all__ = ["first_fault", "hints_of", "is_plain_type"]

#: Types of arrays that a file may hold, as NumPy writes them in the header of an array. They mean
#: the same on every machine, and their values are numbers, truth values, text or dates.
_PLAIN = re.compile(
    r"[<>|=](b1|[iu][1248]|f[248]|c8|c16|U[1-9]\d{0,7}"
    r"|[mM]8(\[([1-9]\d{0,8})?(Y|M|W|D|h|m|s|ms|us|ns|ps|fs|as)\])?)"
)


def is_plain_type(descr: str) -> bool:
    """Return whether a file may hold arrays of a NumPy type, such as ``"<f8"``."""
    return _PLAIN.fullmatch(descr) is not None


def first_fault(name: str, values: Mapping[str, Any]) -> str | None:
    """Check the fields of an object to be made.

    Parameters
    ----------
    name : str
        Of a class in the registry.
    values : dict of str to object
        The fields in the file. Objects among them have been checked.

    Returns
    -------
    str or None
        The first fault, in words; None when there is none.

    Examples
    --------
    >>> first_fault("Numeric", {"values": np.zeros(3), "gaps_in_truth": 7})
    'gaps_in_truth of a Numeric is a whole number, not bool'
    >>> fields = {"codes": np.int32([0, 2]), "levels": np.array([1, 2])}
    >>> first_fault("Categorical", {**fields, "ordered": False, "full": False})
    'codes of a Categorical do not lie from -1 to 1'
    """
    hints = next((way for way in hints_of(name) if way.keys() == values.keys()), None)
    if hints is None:
        return (
            f"a {name} has the fields {', '.join(values) or '(none)'}, "
            "which this version of mixedfast does not write"
        )
    faults = chain(
        _wrong_types(name, hints, values),
        _wrong_arrays(name, values),
        REGISTRY[name].relations(SimpleNamespace(**values)),
    )
    return next(faults, None)  # each check relies on those before it


# --- types ----------------------------------------------------------------------------------------


@cache
def hints_of(name: str) -> tuple[dict[str, Any], ...]:
    """Return the types of the fields of a class, for each way that it may be stored."""
    stored = REGISTRY[name]
    known = {one.made.__name__: one.made for one in REGISTRY.values()}
    if stored.fields:
        names = {
            **vars(sys.modules[stored.made.__module__]),
            "Mapping": Mapping,
            "np": np,
            "Any": Any,
        }
        return tuple(
            get_type_hints(SimpleNamespace(__annotations__=dict(way)), names, known)
            for way in stored.fields
        )
    wanted = {field.name for field in fields(stored.made) if not field.name.startswith("_")}
    hints = get_type_hints(stored.made, None, known)
    return ({key: hint for key, hint in hints.items() if key in wanted},)


def _wrong_types(name: str, hints: Mapping[str, Any], values: Mapping[str, Any]) -> Iterator[str]:
    for key, value in values.items():
        if not _is(value, hints[key]):
            yield f"{key} of a {name} is {_kind(value)}, not {_words(hints[key])}"


def _is(value: Any, hint: Any) -> bool:
    """Return whether a value from a file is of a type.

    A whole number must not be negative, since all are counts or indices; a float must not be NaN.
    """
    origin, parts = get_origin(hint), get_args(hint)
    if hint is Any or hint is object:
        return True
    if origin in (Union, types.UnionType):
        return any(_is(value, part) for part in parts)
    if origin is Literal:
        return isinstance(value, str) and value in parts
    if origin is tuple:
        return isinstance(value, tuple) and _is_tuple(value, parts)
    if origin is frozenset:
        return isinstance(value, frozenset) and all(_is(item, parts[0]) for item in value)
    if origin is not None:  # Mapping, dict
        return isinstance(value, dict) and all(
            _is(key, parts[0]) and _is(item, parts[1]) for key, item in value.items()
        )
    if hint is int:
        return is_number(value) and isinstance(value, (int, np.integer)) and int(value) >= 0
    if hint is float:
        return is_number(value)
    if hint is bool:
        return isinstance(value, (bool, np.bool_))
    return isinstance(value, hint)


def _is_tuple(value: tuple[Any, ...], parts: tuple[Any, ...]) -> bool:
    if len(parts) == 2 and parts[1] is Ellipsis:
        return all(_is(item, parts[0]) for item in value)
    return len(value) == len(parts) and all(
        _is(item, part) for item, part in zip(value, parts, strict=True)
    )


def _kind(value: Any) -> str:
    if isinstance(value, np.ndarray):
        return "an array"
    if isinstance(value, bool):
        return "True or False"
    if isinstance(value, int):
        return "a whole number" if value in range(1 << 63) else "a whole number out of range"
    names = {
        str: "text",
        tuple: "a list",
        dict: "a mapping",
        float: "a number",
        type(None): "nothing",
    }
    return names.get(type(value), f"a {type(value).__name__}")


def _words(hint: Any) -> str:
    words = str(hint) if get_origin(hint) is not None else getattr(hint, "__name__", str(hint))
    return re.sub(r"\b(numpy|typing|collections\.abc|mixedfast(\.\w+)+)\.", "", words)


# --- arrays ---------------------------------------------------------------------------------------


def _wrong_arrays(name: str, values: Mapping[str, Any]) -> Iterator[str]:
    lengths: dict[str, int] = {}
    for key, text in REGISTRY[name].arrays.items():
        array = values[key]
        if array is None:  # `_wrong_types` has checked that it may be
            continue
        kind, *shape = text.split()
        if not is_array_of(kind, array):
            yield f"{key} of a {name} is not an array of {ARRAY_KINDS[kind][0]}"
            return
        sizes = array.shape
        if len(sizes) != len(shape) or not all(
            _agrees(*both, lengths) for both in zip(shape, sizes, strict=True)
        ):
            agreed = ", ".join(f"{letter} = {size}" for letter, size in lengths.items())
            expected = f"({', '.join(shape)}){f' with {agreed}' if agreed else ''}"
            yield f"{key} of a {name} has shape {sizes}, not {expected}"
            return


def _agrees(length: str, size: int, lengths: dict[str, int]) -> bool:
    letter, _, more = length.partition("+")
    size -= int(more or 0)
    return size >= 0 and lengths.setdefault(letter, size) == size
