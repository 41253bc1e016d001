"""What a saved file must hold for each class that it may name, looked through before an object is made of it.

Three tables and nothing else: the types are the classes' own annotations (for classes that say themselves what is kept of
them, `STORED`); `ARRAYS` adds of what numbers each array is and how long, a letter being one length within an object;
`RELATIONS` holds what must agree between fields, above all that every index lies within what it points into. Kernels do not
look again.
"""

from __future__ import annotations

import math
import re
import types
from collections.abc import Callable, Iterator, Mapping
from dataclasses import fields, is_dataclass
from functools import cache
from importlib import import_module
from itertools import chain
from types import SimpleNamespace
from typing import Any, Literal, Union, get_args, get_origin, get_type_hints

import numpy as np

__all__ = ["HOMES", "TOP", "complaint_of", "hints_of", "is_plain_type"]

#: The classes a file may name, and where they live. Nothing else is ever made from a file.
HOMES = {
    "Basis": "mixedfast.crossprod.scaling",
    "Categorical": "mixedfast.data.categories",
    "Checkpoint": "mixedfast.crossprod.streaming.checkpoint",
    "Coding": "mixedfast.design.coding",
    "Contrast": "mixedfast.design.contrast_coding",
    "Covariate": "mixedfast.design.covariates",
    "CrossProducts": "mixedfast.crossprod.types",
    "Design": "mixedfast.design.types",
    "Expansion": "mixedfast.crossprod.dummy_columns",
    "Factor": "mixedfast.design.columns",
    "Fit": "mixedfast.estimation.fit",
    "FixedTerm": "mixedfast.design.coding",
    "GroupBasis": "mixedfast.crossprod.scaling",
    "GroupProducts": "mixedfast.crossprod.blocks",
    "GroupRecipe": "mixedfast.design.grouping",
    "LMMResult": "mixedfast.results",
    "LeastSquares": "mixedfast.estimation.least_squares",
    "Meta": "mixedfast.crossprod.types",
    "ModelSpec": "mixedfast.formula.parser",
    "Moments": "mixedfast.crossprod.streaming.column_statistics",
    "Numeric": "mixedfast.data.frames",
    "OLSResult": "mixedfast.results.ols",
    "Optimum": "mixedfast.estimation.newton",
    "PairProducts": "mixedfast.crossprod.blocks",
    "Piece": "mixedfast.design.coding",
    "Plan": "mixedfast.crossprod.streaming.plan",
    "RandomTerm": "mixedfast.formula.parser",
    "ReTerm": "mixedfast.design.types",
    "Recipe": "mixedfast.design.types",
    "Remainder": "mixedfast.crossprod.residual_products",
    "RowSums": "mixedfast.crossprod.row_sums",
    "Rows": "mixedfast.design.model_frame",
    "Shape": "mixedfast.design.coding",
    "Seen": "mixedfast.crossprod.streaming.first_pass",
    "Solution": "mixedfast.estimation.pls",
    "Summed": "mixedfast.crossprod.assemble",
    "TermShape": "mixedfast.covariance.relative",
}
#: What a file as a whole may be.
TOP = ("Checkpoint", "CrossProducts", "LMMResult", "OLSResult")

_RESULT = {"design": "Design | None", "keep_rows": "bool", "library": "str"}
_CODING = {
    "formula": "str",
    "contrasts": "Contrasts",
    "shapes": "tuple[Shape, ...]",
    "typical": "Mapping[str, float]",
    "names": "tuple[str, ...]",
}
#: Fields of the classes with a ``__store__`` of their own, each way there is, and of those whose annotations say Any.
STORED: dict[str, tuple[dict[str, str], ...]] = {
    "Checkpoint": (
        {
            "model": "str",
            "seen": "Seen | None",
            "seen_marks": "tuple[str, ...]",
            "plan": "Plan | None",
            "sums": "Summed | None",
            "summed_marks": "tuple[str, ...]",
        },
    ),
    "Coding": (
        {
            **_CODING,
            "terms": "tuple[FixedTerm, ...]",
            "levels": "Mapping[str, np.ndarray]",
            "products": "tuple[tuple[Piece, ...], ...]",
        },
        {**_CODING, "state": "Mapping[str, Mapping[str, Any]]"},
    ),
    "Contrast": ({"label": "str", "value": "np.ndarray | None"},),
    "LMMResult": ({"fit": "Fit", **_RESULT},),
    "OLSResult": ({"fit": "LeastSquares", **_RESULT},),
    "Seen": (
        {
            "n": "int",
            "n_rows": "int",
            "missing": "Mapping[str, int]",
            "dictionaries": "Mapping[str, tuple[Any, ...]]",
            "distinct": "Mapping[tuple[str, ...], np.ndarray]",
            "moments": "Mapping[str, Moments]",
            "rows": "np.ndarray",
        },
    ),
}

#: Arrays, where there are any: what their numbers are, and a length for each dimension.
ARRAYS: dict[str, dict[str, str]] = {
    "Basis": {
        "shift": "finite p+1",
        "scale": "positive p+1",
        "constant": "finite p",
        "mix": "finite p p",
    },
    "Categorical": {"codes": "codes n", "levels": "labels J"},
    "Contrast": {"value": "numbers J c"},
    "CrossProducts": {
        "xy": "finite p+1 p+1",
        "shift": "finite p+1",
        "scale": "positive p+1",
        "kept": "places p",
        "constant": "finite p",
        "mix": "finite p p",
        "unweighted": "finite c c",
        "alias": "finite p a",
    },
    "Design": {
        "y": "finite n",
        "weights": "finite n",
        "offset": "finite n",
        "kept_rows": "places n",
    },
    "Expansion": {"places": "places m", "table": "finite m c"},
    "Factor": {"values": "numbers n", "table": "finite c"},
    "Fit": {"theta_internal": "finite m"},
    "GroupBasis": {"shift": "finite K", "scale": "positive K", "mix": "finite K K"},
    "GroupProducts": {
        "levels": "labels J",
        "A": "finite J K K",
        "B": "finite J K p+1",
        "shift": "finite K",
        "scale": "positive K",
        "sums": "finite J p+1",
        "mix": "finite K K",
    },
    "GroupRecipe": {"levels": "labels J"},
    "LeastSquares": {"beta": "finite p", "vcov": "real p p"},
    "Numeric": {"values": "numbers n"},
    "Optimum": {"theta": "finite m", "gradient": "real m", "hessian": "real m m"},
    "PairProducts": {"indptr": "places J+1", "indices": "places z", "data": "finite z K k"},
    "Piece": {"table": "finite c"},
    "ReTerm": {"codes": "codes n", "levels": "labels J"},
    "Remainder": {"gamma": "finite p", "ww": "finite p+1 p+1"},
    "RowSums": {"square": "finite c c", "rest": "places c"},
    "Seen": {"rows": "bytes b"},
    "Solution": {"beta": "finite p", "LX": "finite p p"},
}

_INT64 = range(-(1 << 63), 1 << 63)
#: The types of arrays that are data and no more, as NumPy writes them in the head of an array: whatever machine reads them.
_PLAIN = re.compile(
    r"[<>|=](b1|[iu][1248]|f[248]|c8|c16|U[1-9]\d{0,7}|[mM]8(\[([1-9]\d{0,8})?(Y|M|W|D|h|m|s|ms|us|ns|ps|fs|as)\])?)"
)
_NUMBER_NAMES = frozenset(np.dtype(code).name for code in "?bBhHiIqQefd")


def is_plain_type(descr: str) -> bool:
    """Whether a type of NumPy's, as a string such as ``"<f8"``, is one that a file may hold."""
    return _PLAIN.fullmatch(descr) is not None


def complaint_of(name: str, values: Mapping[str, Any]) -> str | None:
    """What is wrong with the fields of an object to be made, in words; None when nothing is.

    Parameters
    ----------
    name : str
        A class of `HOMES`.
    values : dict of str to object
        As the file has them. Objects among them have been through here.

    Examples
    --------
    >>> complaint_of("Numeric", {"values": np.zeros(3), "gaps_in_truth": 7})
    'gaps_in_truth of a Numeric is a whole number and no bool'
    >>> complaint_of("Categorical", {"codes": np.int32([0, 2]), "levels": np.array([1, 2]), "ordered": False, "full": False})
    'codes of a Categorical do not lie from -1 to 1'
    """
    hints = next((ways for ways in hints_of(name) if ways.keys() == values.keys()), None)
    if hints is None:
        return f"a {name} of {', '.join(values) or 'no fields'}: it was written by another version of mixedfast, or by none"
    relations = RELATIONS.get(name, lambda made: iter(()))
    made = SimpleNamespace(**values)
    complaints = chain(
        _wrong_types(name, hints, values), _wrong_arrays(name, values), relations(made)
    )
    return next(complaints, None)  # each looks only at what those before it found good


# --- types -----------------------------------------------------------------------------------------------


@cache
def hints_of(name: str) -> tuple[dict[str, Any], ...]:
    """The types of the fields of a class, each way that it may be stored."""
    home = import_module(HOMES[name])
    made = getattr(home, name)
    known = {other: getattr(import_module(place), other) for other, place in HOMES.items()}
    if name in STORED:
        names = {**vars(home), "Mapping": Mapping, "np": np, "Any": Any}
        return tuple(
            get_type_hints(SimpleNamespace(__annotations__=way), names, known)
            for way in STORED[name]
        )
    if not is_dataclass(made):
        raise TypeError(f"{name} is no dataclass: say in STORED what is kept of it")
    wanted = {field.name for field in fields(made) if not field.name.startswith("_")}
    return (
        {key: hint for key, hint in get_type_hints(made, None, known).items() if key in wanted},
    )


def _wrong_types(name: str, hints: Mapping[str, Any], values: Mapping[str, Any]) -> Iterator[str]:
    for key, value in values.items():
        if not _is(value, hints[key]):
            yield f"{key} of a {name} is {_kind(value)} and no {_words(hints[key])}"


def _is(value: Any, hint: Any) -> bool:
    """Whether a value read from a file is of a type. Whole numbers are counts or places wherever they are asked for; a float is
    not NaN."""
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
        return (
            isinstance(value, (int, np.integer))
            and not isinstance(value, bool)
            and 0 <= int(value) < _INT64.stop
        )
    if hint is float:
        number = isinstance(value, (float, np.floating)) or (
            isinstance(value, (int, np.integer)) and int(value) in _INT64
        )
        return number and not isinstance(value, bool) and not math.isnan(value)
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


# --- arrays ----------------------------------------------------------------------------------------------


def _wrong_arrays(name: str, values: Mapping[str, Any]) -> Iterator[str]:
    lengths: dict[str, int] = {}
    for key, text in ARRAYS.get(name, {}).items():
        array = values[key]
        if array is None:  # `_wrong_types` has seen whether it may be
            continue
        kind, *shape = text.split()
        if not isinstance(array, np.ndarray) or not _NUMBERS[kind](array):
            yield f"{key} of a {name} is no array of {_ARRAYS_OF[kind]}"
            return
        sizes = array.shape
        if len(sizes) != len(shape) or not all(
            _agrees(*both, lengths) for both in zip(shape, sizes, strict=True)
        ):
            agreed = ", ".join(f"{letter} = {size}" for letter, size in lengths.items())
            yield f"{key} of a {name} is of shape {sizes} and not ({', '.join(shape)}) with {agreed or 'any lengths'}"
            return


def _agrees(length: str, size: int, lengths: dict[str, int]) -> bool:
    letter, _, more = length.partition("+")
    size -= int(more or 0)
    return size >= 0 and lengths.setdefault(letter, size) == size


def _is_labels(array: np.ndarray) -> bool:
    """Labels of levels, each once; those of an array of objects are text or plain values."""
    if array.ndim != 1 or array.dtype.kind not in "biufUmMO":
        return False
    if array.dtype != object:
        return len(np.unique(array)) == len(array)
    items = array.tolist()
    plain = all(isinstance(item, (str, bool, int, float, np.generic)) for item in items)
    return plain and len(set(items)) == len(items)


_NUMBERS: dict[str, Callable[[np.ndarray], bool]] = {
    "real": lambda array: array.dtype == np.float64,
    "finite": lambda array: array.dtype == np.float64 and bool(np.isfinite(array).all()),
    "positive": lambda array: (
        array.dtype == np.float64 and bool((np.isfinite(array) & (array > 0.0)).all())
    ),
    "numbers": lambda array: array.dtype.kind in "biuf",
    "codes": lambda array: array.dtype == np.int32,
    "places": lambda array: array.dtype.kind in "iu" and bool((array >= 0).all()),
    "labels": _is_labels,
    "bytes": lambda array: array.dtype == np.uint8,
}
_ARRAYS_OF = {
    "real": "numbers (float64)",
    "finite": "finite numbers (float64)",
    "positive": "positive numbers (float64)",
    "numbers": "numbers",
    "codes": "codes (int32)",
    "places": "places (whole numbers from 0)",
    "labels": "labels, each once",
    "bytes": "bytes",
}


# --- what must agree -------------------------------------------------------------------------------------


def _within(places: Any, end: int) -> bool:
    return bool(np.all(np.asarray(places, dtype=np.int64) < end)) if len(places) else True


def _categorical(made: Any) -> Iterator[str]:
    J = len(made.levels)
    if len(made.codes) and not (made.codes.min() >= -1 and made.codes.max() < J):
        yield f"codes of a Categorical do not lie from -1 to {J - 1}"


def _factor(made: Any) -> Iterator[str]:
    if made.table is None:
        if made.values.dtype.kind not in "biuf" or made.values.dtype.name == "float16":
            yield f"values of a Factor are {made.values.dtype}, which no column is"
    elif made.values.dtype != np.int32:
        yield "values of a Factor with a table are no codes (int32)"
    elif len(made.values) and not (made.values.min() >= 0 and made.values.max() < len(made.table)):
        yield f"codes of a Factor do not lie from 0 to {len(made.table) - 1}"


def _term(made: Any) -> Iterator[str]:
    J = len(made.levels)
    if len(made.codes) and not (made.codes.min() >= 0 and made.codes.max() < J):
        yield f"codes of a ReTerm do not lie from 0 to {J - 1}"
    if len(made.columns) != len(made.names) or not made.columns:
        yield f"a ReTerm has {len(made.columns)} columns and {len(made.names)} names"
    if any(len(factor.values) != len(made.codes) for column in made.columns for factor in column):
        yield "a column of a ReTerm is not as long as its codes"


def _expansion(made: Any) -> Iterator[str]:
    if made.width < 1 or made.table.shape[1] % made.width:
        yield f"the table of an Expansion is not cells of {made.width} columns"


def _row_sums(made: Any) -> Iterator[str]:
    blocks = [block for place in made.levels for block in place]
    if not all(block.ndim == 3 and _NUMBERS["finite"](block) for block in blocks):
        yield "a block of a RowSums is no array (cells, k, r) of finite numbers"
    if not (len(made.left) == len(made.right) == len(made.levels) >= made.n_groups):
        yield f"a RowSums has {len(made.levels)} places, and columns of {len(made.left)} and {len(made.right)}"
    if not all(part.ndim == 1 and _NUMBERS["places"](part) for part in (*made.left, *made.right)):
        yield "left and right of a RowSums are no places"


def _pair(made: Any) -> Iterator[str]:
    ends = made.indptr
    if (
        not len(ends)
        or ends[0] != 0
        or ends[-1] != len(made.indices)
        or bool((np.diff(ends.astype(np.int64)) < 0).any())
    ):
        yield f"indptr of a PairProducts does not lead from 0 to {len(made.indices)}"


def _cross_products(made: Any) -> Iterator[str]:
    p, groups = len(made.shift) - 1, made.groups
    if len(made.x_names) != p or len(set(made.x_names)) != p:
        yield f"a CrossProducts has {p} columns of X and {len(set(made.x_names))} names"
    if bool((np.diff(made.kept.astype(np.int64)) <= 0).any()) or not _within(
        made.kept, len(made.meta.x_names)
    ):
        yield f"kept of a CrossProducts are not among {len(made.meta.x_names)} columns, ascending"
    if made.alias is not None and made.alias.shape[1] != len(made.meta.x_names):
        yield f"alias of a CrossProducts has {made.alias.shape[1]} columns, and there are {len(made.meta.x_names)}"
    if any(group.B.shape[2] != p + 1 for group in groups) or len(
        {group.name for group in groups}
    ) != len(groups):
        yield "the groups of a CrossProducts are of another model, or one is there twice"
    if made.unweighted is not None and len(made.unweighted) != 1 + p + sum(
        group.k for group in groups
    ):
        yield f"unweighted of a CrossProducts has {len(made.unweighted)} columns"
    sizes = [(group.n_levels, group.k) for group in groups]
    yield from _between_groups("CrossProducts", made, sizes)


def _summed(made: Any) -> Iterator[str]:
    p, groups = len(made.x_names), made.groups
    if len(made.basis.shift) != p + 1 or len(set(made.x_names)) != p:
        yield f"a Summed has {len(made.basis.shift) - 1} columns of X and {len(set(made.x_names))} names"
    if not all(isinstance(levels, np.ndarray) and _is_labels(levels) for _, levels, _ in groups):
        yield "levels of a Summed are no labels, each once"
        return
    widths = [len(names) for _, _, names in groups]
    if (
        made.rows.n_groups != len(groups)
        or [len(group.shift) for group in made.basis.groups] != widths
    ):
        yield "the sums of a Summed are of other groups"
    yield from _between_groups(
        "Summed", made, [(len(levels), len(names)) for _, levels, names in groups]
    )


def _between_groups(name: str, made: Any, sizes: list[tuple[int, int]]) -> Iterator[str]:
    """The pairs of groups, and the terms within groups, of so many levels and columns each."""
    if len(made.pairs) != len(sizes) * (len(sizes) - 1) // 2:
        yield f"a {name} has {len(sizes)} groups and {len(made.pairs)} pairs of them"
    for (g, h), pair in made.pairs.items():
        if not g < h < len(sizes) or (len(pair.indptr) - 1, *pair.data.shape[1:]) != (
            *sizes[g],
            sizes[h][1],
        ):
            yield f"the pair {g}, {h} of a {name} is of other groups"
        elif not _within(pair.indices, sizes[h][0]):
            yield f"indices of the pair {g}, {h} of a {name} do not lie from 0 to {sizes[h][0] - 1}"
    for term in made.terms:
        if not (
            term.group < len(sizes) and term.k > 0 and term.start + term.k <= sizes[term.group][1]
        ):
            yield f"a term of a {name} lies outside of its group"


def _group(made: Any) -> Iterator[str]:
    if len(made.names) != len(made.shift):
        yield f"a GroupProducts has {len(made.shift)} columns and {len(made.names)} names"
    yield from _mixed(made)


def _fit(made: Any) -> Iterator[str]:
    m = sum(len(term.elements) for term in made.cp.terms)
    if len(made.theta_internal) != m or (made.optimum is not None and len(made.optimum.theta) != m):
        yield f"theta of a Fit has {len(made.theta_internal)} numbers, and its model {m}"
    if len(made.solution.beta) != made.cp.p:
        yield f"a Fit has {len(made.solution.beta)} coefficients, and its model {made.cp.p}"
    left = made.remainder
    if left is not None and [part.shape for part in left.delta] != [
        group.B.shape for group in made.cp.groups
    ]:
        yield "the remainder of a Fit is of another model"


def _least_squares(made: Any) -> Iterator[str]:
    if len(made.beta) != made.cp.p:
        yield f"a LeastSquares has {len(made.beta)} coefficients, and its model {made.cp.p}"


def _remainder(made: Any) -> Iterator[str]:
    blocks = (*made.delta, *made.zw)
    if len(made.delta) != len(made.zw) or any(
        a.shape != b.shape for a, b in zip(made.delta, made.zw, strict=True)
    ):
        yield "delta and zw of a Remainder are of different shapes"
    elif any(
        block.ndim != 3 or block.shape[2] != len(made.ww) or not _NUMBERS["finite"](block)
        for block in blocks
    ):
        yield "a block of a Remainder is no array (J, K, p+1) of finite numbers"


def _mixed(made: Any) -> Iterator[str]:
    if made.mix is not None and not (
        np.array_equal(made.mix, np.triu(made.mix)) and (np.diag(made.mix) == 1.0).all()
    ):
        yield f"mix of a {type(made).__name__} is no upper triangle with a diagonal of ones"


def _grouping(made: Any) -> Iterator[str]:
    if not (len(made.part_levels) == len(made.factors) == len(made.ids) + 1):
        yield f"a GroupRecipe has {len(made.factors)} factors, {len(made.part_levels)} of levels and {len(made.ids)} of ids"
    elif not all(_is_labels(levels) for levels in made.part_levels):
        yield "part_levels of a GroupRecipe are no labels, each once"
    else:
        left = len(made.part_levels[0])
        for ids, part in zip(made.ids, made.part_levels[1:], strict=True):
            if ids.ndim != 1 or not _NUMBERS["places"](ids) or not _within(ids, left * len(part)):
                yield f"ids of a GroupRecipe do not lie from 0 to {left * len(part) - 1}"
            left = len(ids)
        if left != len(made.levels):
            yield f"a GroupRecipe has {len(made.levels)} levels, and numbers {left}"


def _rows(made: Any) -> Iterator[str]:
    lengths = [
        len(column.codes if hasattr(column, "codes") else column.values)
        for column in made.columns.values()
    ]
    if any(
        length != made.n
        for length in (*lengths, *(len(column.codes) for column in made.coded.values()))
    ):
        yield f"a column of Rows does not have {made.n} values"


def _design(made: Any) -> Iterator[str]:
    n = len(made.y)
    if made.variables.n != n or any(len(term.codes) != n for term in made.terms):
        yield f"a part of a Design does not have its {n} rows"
    if any(len(factor.values) != n for column in made.x for factor in column):
        yield f"a column of a Design does not have its {n} rows"
    if not (len(made.x) == len(made.x_names) == len(made.kept)) or not _within(
        made.kept, len(made.all_x_names)
    ):
        yield f"a Design has {len(made.x)} columns, {len(made.x_names)} names and {len(made.kept)} places"
    if made.weights is not None and bool((made.weights < 0.0).any()):
        yield "weights of a Design are negative"


def _coding(made: Any) -> Iterator[str]:
    terms = getattr(made, "terms", ())
    if any(not _within(term.columns, len(made.names)) for term in terms):
        yield f"a term of a Coding points outside of its {len(made.names)} columns"
    if hasattr(made, "products") and len(made.products) != len(made.names):
        yield f"a Coding has {len(made.products)} columns and {len(made.names)} names"


def _meta(made: Any) -> Iterator[str]:
    if any(not _within(term.columns, len(made.x_names)) for term in made.fixed_terms):
        yield f"a term of a Meta points outside of its {len(made.x_names)} columns"
    if made.library not in ("pandas", "polars", "pyarrow"):
        yield f"library of a Meta is {made.library!r}"


def _shape(made: Any) -> Iterator[str]:
    values = [value for _, value in made.levels]
    numbers = all(_is(value, float | bool) for value in values)
    if not (
        numbers
        or all(
            value is None or isinstance(value, (str, bool, int, float, np.generic))
            for value in values
        )
    ):
        yield "levels of a Shape are no plain values"
    if not made.categorical and not (numbers and made.dtype in _NUMBER_NAMES):
        yield f"a Shape of numbers is of the type {made.dtype!r}"


def _fixed_term(made: Any) -> Iterator[str]:
    if len(made.factors) != len(made.kinds) or not set(made.kinds) <= {"numeric", "categorical"}:
        yield "kinds of a FixedTerm are not one for each factor"


def _moments(made: Any) -> Iterator[str]:
    if made.n and not (
        math.isfinite(made.squares) and made.squares >= 0.0 and made.low <= made.high
    ):
        yield "Moments of no numbers"


def _seen(made: Any) -> Iterator[str]:
    if not all(array.dtype == np.uint8 and array.ndim == 1 for array in made.distinct.values()):
        yield "distinct of a Seen is no array of bytes"


RELATIONS: dict[str, Callable[[Any], Iterator[str]]] = {
    "Basis": _mixed,
    "Categorical": _categorical,
    "Coding": _coding,
    "CrossProducts": _cross_products,
    "Design": _design,
    "Expansion": _expansion,
    "Factor": _factor,
    "Fit": _fit,
    "FixedTerm": _fixed_term,
    "GroupBasis": _mixed,
    "GroupProducts": _group,
    "GroupRecipe": _grouping,
    "LeastSquares": _least_squares,
    "Meta": _meta,
    "Moments": _moments,
    "PairProducts": _pair,
    "ReTerm": _term,
    "Remainder": _remainder,
    "RowSums": _row_sums,
    "Rows": _rows,
    "Seen": _seen,
    "Shape": _shape,
    "Summed": _summed,
}
