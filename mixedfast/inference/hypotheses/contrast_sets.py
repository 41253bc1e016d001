"""Sets of contrasts of means: pairwise, with a control, consecutive, polynomial, and given ones.

A set is a list of labels and a matrix of weights with one row per contrast and one column per mean.
Labels and weights are those of R's emmeans.
"""

from __future__ import annotations

import itertools
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from fractions import Fraction
from typing import Any

import numpy as np

from mixedfast._validation import check_choice
from mixedfast.errors import ArgumentError

__all__ = ["METHODS", "ContrastSet", "contrast_set"]

METHODS = ("pairwise", "control", "consecutive", "poly", "eff", "interaction")

#: Polynomials up to this degree.
_HIGHEST_DEGREE = 6
_DEGREES = ("linear", "quadratic", "cubic", "quartic")


@dataclass(frozen=True, eq=False)
class ContrastSet:
    """Contrasts of n means.

    Parameters
    ----------
    method : str
        One of METHODS, or "custom".
    labels : tuple of str, length c
    weights : (c, n) array
    """

    method: str
    labels: tuple[str, ...]
    weights: np.ndarray


def contrast_set(
    method: Any,
    levels: Sequence[tuple[Any, ...]],
    ref: Any = None,
    sign: str = "-",
) -> ContrastSet:
    """Make a set of contrasts.

    Parameters
    ----------
    method : str, sequence of str, dict or array
        One of METHODS; one of them for each variable, for their products; label -> weights; or a
        matrix (c, n).
    levels : sequence of n tuples
        The values of the variables at each mean.
    ref : optional
        The control of "control": a value, or a tuple with one value per variable. The first mean by
        default.
    sign : str
        Between the two means of a difference.

    Raises
    ------
    ArgumentError

    Examples
    --------
    >>> found = contrast_set("poly", [("a",), ("b",), ("c",)])
    >>> found.labels, found.weights.tolist()
    (('linear', 'quadratic'), [[-1.0, 0.0, 1.0], [1.0, -2.0, 1.0]])
    """
    if isinstance(method, Mapping):
        return _from_weights(method, levels)
    if isinstance(method, str):
        check_choice("method", method, METHODS)
        if method == "interaction":
            return _product(("pairwise",) * len(levels[0]), levels, sign)
        return _named(method, levels, ref, sign)
    listed = method if isinstance(method, np.ndarray) else list(method)
    if len(listed) and all(isinstance(one, str) for one in listed):
        return _product(tuple(listed), levels, sign)
    weights = _numbers("the contrasts", method)
    weights = np.atleast_2d(weights)
    _require_columns("the contrasts", weights, levels)
    labels = tuple(f"contrast {i + 1}" for i in range(len(weights)))
    _require_weights(labels, weights)
    return ContrastSet("custom", labels, weights)


def _named(
    method: str, levels: Sequence[tuple[Any, ...]], ref: Any, sign: str = "-"
) -> ContrastSet:
    """Make a set by its name."""
    n, names = len(levels), [_label(level) for level in levels]
    one = np.eye(n)
    if method == "pairwise":
        chosen = list(itertools.combinations(range(n), 2))
    elif method == "control":
        control = 0 if ref is None else _place(ref, levels)
        chosen = [(i, control) for i in range(n) if i != control]
    elif method == "consecutive":
        chosen = [(i + 1, i) for i in range(n - 1)]
    elif method == "eff":
        labels = tuple(f"{name} effect" for name in names) if n > 1 else ()
        return ContrastSet(method, labels, (one - 1.0 / n)[: len(labels)])
    else:
        weights = _polynomials(n)
        labels = (*_DEGREES, *(f"degree {d}" for d in range(5, _HIGHEST_DEGREE + 1)))
        return ContrastSet(method, labels[: len(weights)], weights)
    labels = tuple(f"{names[i]} {sign} {names[j]}" for i, j in chosen)
    return ContrastSet(
        method, labels, np.array([one[i] - one[j] for i, j in chosen]).reshape(-1, n)
    )


def _label(level: tuple[Any, ...]) -> str:
    return " ".join(map(str, level)) or "overall"


def _place(ref: Any, levels: Sequence[tuple[Any, ...]]) -> int:
    """Find the mean that a user names by its value or values."""
    names = [_label(level) for level in levels]
    wanted = ref if isinstance(ref, tuple) else (ref,)
    for i, level in enumerate(levels):
        if level == wanted or names[i] == ref:
            return i
    raise ArgumentError(f"ref={ref!r}: there is no such mean; the means are {', '.join(names)}")


def _polynomials(n: int) -> np.ndarray:
    """Compute orthogonal polynomials at n equally spaced points, in the smallest whole numbers."""
    made: list[list[Fraction]] = []
    for degree in range(min(n, _HIGHEST_DEGREE + 1)):
        values = [Fraction(i) ** degree for i in range(n)]
        for other in made:
            share = Fraction(
                sum(a * b for a, b in zip(values, other, strict=True)),
                sum(b * b for b in other),
            )
            values = [a - share * b for a, b in zip(values, other, strict=True)]
        made.append(values)
    out = []
    for values in made[1:]:
        whole = [int(v * math.lcm(*(v.denominator for v in values))) for v in values]
        out.append([w // math.gcd(*whole) for w in whole])
    return np.array(out, dtype=float).reshape(len(out), n)


def _product(methods: tuple[str, ...], levels: Sequence[tuple[Any, ...]], sign: str) -> ContrastSet:
    """Multiply sets of contrasts, one for each variable of the means."""
    if not levels[0]:
        raise ArgumentError("interaction contrasts need variables, and there is one mean")
    if len(methods) != len(levels[0]):
        raise ArgumentError(
            f"interaction contrasts need one method for each variable: {len(methods)} given for "
            f"{len(levels[0])}"
        )
    for method in methods:
        check_choice("method", method, [name for name in METHODS if name != "interaction"])
    values = [list(dict.fromkeys(level[k] for level in levels)) for k in range(len(methods))]
    place = {level: i for i, level in enumerate(levels)}
    if len(place) != math.prod(map(len, values)):
        raise ArgumentError(
            "interaction contrasts need a mean at every combination of levels, and there are "
            f"{len(place)} means for {math.prod(map(len, values))} combinations"
        )
    sets = [
        _named(method, [(v,) for v in own], None, sign)
        for method, own in zip(methods, values, strict=True)
    ]
    order = [place[level[::-1]] for level in itertools.product(*reversed(values))]
    weights, labels = np.ones((1, 1)), [""]
    for one in sets:  # the first variable varies fastest
        weights = np.kron(one.weights, weights)
        labels = [f"{a} : {b}" if a else b for b in one.labels for a in labels]
    out = np.empty_like(weights)
    out[:, order] = weights
    return ContrastSet("interaction", tuple(labels), out)


def _from_weights(given: Mapping[Any, Any], levels: Sequence[tuple[Any, ...]]) -> ContrastSet:
    """Read label -> weights: one number per mean, or level -> number."""
    if not given:
        raise ArgumentError("the contrasts are {}: give label -> weights")
    rows = []
    for label, weights in given.items():
        if isinstance(weights, Mapping):
            row = np.zeros(len(levels))
            for level, weight in weights.items():
                row[_place(level, levels)] += float(_numbers(f"the weight of {level!r}", weight))
        else:
            row = _numbers(f"the contrast {label!r}", weights)
            _require_columns(f"the contrast {label!r}", np.atleast_2d(row), levels)
        rows.append(np.ravel(row))
    labels = tuple(map(str, given))
    _require_weights(labels, np.array(rows))
    return ContrastSet("custom", labels, np.array(rows))


def _numbers(what: str, values: Any) -> np.ndarray:
    try:
        out = np.asarray(values, dtype=float)
    except (TypeError, ValueError) as error:
        raise ArgumentError(f"{what}: numbers are needed, not {values!r}") from error
    if not np.isfinite(out).all() or out.ndim > 2:
        raise ArgumentError(f"{what}: finite numbers are needed, not {values!r}")
    return out


def _require_weights(labels: Sequence[str], weights: np.ndarray) -> None:
    for label, row in zip(labels, weights, strict=True):
        if not row.any():
            raise ArgumentError(f"the contrast {label!r}: all weights are 0")


def _require_columns(what: str, weights: np.ndarray, levels: Sequence[tuple[Any, ...]]) -> None:
    if weights.shape[-1] != len(levels):
        raise ArgumentError(
            f"{what}: {weights.shape[-1]} weights for {len(levels)} means "
            f"({', '.join(map(_label, levels))})"
        )
