"""Whether a design can tell its parameters apart: one small question a function.

The limits on the number of groups are lme4's (Bates et al. 2015, section 2.3 and ``lmerControl``).
Each check looks at a few rows first and at all of them only when those few leave a doubt.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from itertools import combinations

import numpy as np

from mixedfast._warnings import warn
from mixedfast.data.categories import Categorical
from mixedfast.data.frames import ColumnData, Numeric
from mixedfast.design.columns import Column, evaluate, matrix, take
from mixedfast.errors import DataError, NotIdentifiedError

__all__ = [
    "check_aliased_terms",
    "enough_rows",
    "labels",
    "no_infinities",
    "random_sums",
    "random_term",
    "weight_range",
    "weights",
]

_FIRST_LOOK = 512  # rows; a slope that varies shows it here
_SUMS_ROUND = 1e-12  # of a sum of squares: what a sum about a shift loses to rounding, with room
_WIDEST_WEIGHT = 1e100  # beyond, variances do not fit a double
_ROUNDING = 8 * np.finfo(float).eps  # two columns that differ by no more are proportional


def no_infinities(columns: Mapping[str, ColumnData]) -> None:
    """Raise DataError, naming the column, when a numeric column holds an infinity."""
    for name, column in columns.items():
        if isinstance(column, Numeric) and not column.finite:
            finite = np.isfinite(column.values)
            first = int(np.argmin(finite))
            raise DataError(
                f"column {name!r} holds {int((~finite).sum())} infinite values (the first in complete "
                f"row {first}): remove or replace them"
            )


def labels(columns: Mapping[str, ColumnData], n: int) -> None:
    """Raise DataError, naming the column, when a predictor has a label of its own in every row."""
    for name, column in columns.items():
        if isinstance(column, Categorical) and n > 2 and len(column.levels) == n:
            shown = ", ".join(map(repr, column.levels[:3].tolist()))
            raise DataError(
                f"column {name!r} is a predictor and holds a different label in each of {n} rows ({shown}, ...): "
                "convert it to numbers if that is what they are, or leave it out"
            )


def weights(values: np.ndarray) -> None:
    """Raise DataError unless all weights (n,) are positive, and of a size that can be reckoned with."""
    wrong = int((values <= 0).sum())
    if wrong:
        raise DataError(f"weights must be positive; {wrong} are zero or negative: drop those rows")
    if len(values):  # a batch may have no complete row
        weight_range(float(values.min()), float(values.max()))


def weight_range(low: float, high: float) -> None:
    """Raise DataError when the smallest or the largest weight cannot be reckoned with."""
    if low < 1.0 / _WIDEST_WEIGHT or high > _WIDEST_WEIGHT:
        raise DataError(
            f"weights run from {low:.3g} to {high:.3g}, too far from 1 to reckon with: give them in other units"
        )


def enough_rows(group: str, term: str, k: int, n_levels: int, n: int) -> None:
    """Whether there are groups to compare, and rows enough to tell k effects of each from the residuals (see `random_term`)."""
    if n_levels < 2:
        raise DataError(
            f"the grouping factor {group!r} has one level only: a random term needs at least two"
        )
    if n_levels >= n:
        raise NotIdentifiedError(
            f"{group!r} has as many levels ({n_levels}) as there are rows ({n}): the effects of {term} "
            "cannot be told from the residuals; is another column meant?"
        )
    if k * n_levels >= n:
        raise NotIdentifiedError(
            f"{term} has {k * n_levels} random effects for {n} rows: the effects cannot be told "
            "from the residuals; simplify the term"
        )


def random_sums(group: str, names: Sequence[str], A: np.ndarray) -> None:
    """As `random_term`, from the sums Z_j'WZ_j (J,k,k) of a term's columns alone.

    Sums round, so a column counts as zero, proportional or constant within groups when it is so to 1e-12 of its sum of
    squares.
    """
    total = A.sum(axis=0)
    size = np.diag(total)
    term = f"({' + '.join(names)} | {group})"
    for j, name in enumerate(names):
        if size[j] <= 0:
            raise NotIdentifiedError(
                f"in the random term {term}, the column {name!r} is zero or a constant: leave it out"
            )
        for i in range(j):
            if size[i] * size[j] - total[i, j] ** 2 <= _SUMS_ROUND * size[i] * size[j]:
                raise NotIdentifiedError(
                    f"in the random term {term}, the column {name!r} is a multiple of {names[i]!r}: leave it out"
                )
    if len(names) > 1 and names[0] == "Intercept":
        weight = np.where(A[:, 0, 0] > 0, A[:, 0, 0], 1.0)
        for j, name in enumerate(names[1:], 1):
            within = A[:, j, j] - A[:, 0, j] ** 2 / weight
            if (within <= _SUMS_ROUND * A[:, j, j]).all():
                _warn_constant_within(term, name, group)


def random_term(
    group: str,
    term: str,
    names: Sequence[str],
    columns: Sequence[Column],
    codes: np.ndarray,
    n_levels: int,
) -> None:
    """Whether a random term can be estimated at all.

    Raises
    ------
    DataError
        When there is one group only.
    NotIdentifiedError
        When there are as many groups, or as many random effects, as rows; when a column of Z is zero,
        or two columns are multiples of each other.

    Warns
    -----
    UserWarning
        When a slope has a single value in every group.
    """
    n = len(codes)
    enough_rows(group, term, len(columns), n_levels, n)
    alike = _zero_or_proportional(columns, n)
    if alike is not None:
        i, j = alike
        what = (
            f"{names[i]!r} is zero in every row"
            if i == j
            else f"{names[j]!r} is a multiple of {names[i]!r}"
        )
        raise NotIdentifiedError(f"in the random term {term}, the column {what}: leave it out")
    for name, column in zip(names, columns, strict=True):
        if len(columns) > 1 and column and _constant_within(column, codes, n_levels):
            _warn_constant_within(term, name, group)


def _warn_constant_within(term: str, name: str, group: str) -> None:
    warn(
        f"in the random term {term}, {name!r} has a single value in every group of {group!r}: "
        "no slope is seen within a group, and its variance rests on differences between groups only"
    )


def check_aliased_terms(terms: Sequence[tuple[str, Sequence[str], np.ndarray, int]]) -> None:
    """Whether the variances of different random terms can be told apart.

    Parameters
    ----------
    terms : sequence of (group, column names, codes (n,), number of levels)

    Warns
    -----
    UserWarning
        When two terms give the same groups the same effect, under one name of the grouping factor or two.
    """
    for (group, names, codes, n_levels), (
        other,
        other_names,
        other_codes,
        other_levels,
    ) in combinations(terms, 2):
        shared = [name for name in names if name in other_names]
        if not shared or n_levels != other_levels or not _same_groups(codes, other_codes, n_levels):
            continue
        whose = (
            f"two random terms of {group!r}"
            if group == other
            else f"{group!r} and {other!r} group the rows alike and"
        )
        warn(
            f"{whose} both have the effect {shared[0]!r}: the data tell the sum of the two variances only; "
            "leave one of them out"
        )


def _same_groups(codes: np.ndarray, other: np.ndarray, n_levels: int) -> bool:
    """Whether two numberings (n,) of the rows, with as many groups each, make the same groups."""
    if codes is other:
        return True
    stands_for = np.zeros(n_levels, dtype=other.dtype)
    for length in (min(len(codes), _FIRST_LOOK), len(codes)):
        stands_for[codes[:length]] = other[:length]
        if not np.array_equal(stands_for[codes[:length]], other[:length]):
            return False
    return True


def _zero_or_proportional(columns: Sequence[Column], n: int) -> tuple[int, int] | None:
    """A pair of proportional columns, or (i, i) for a column of zeros; None when there is none."""
    suspects = list(range(len(columns)))
    if suspects == [0] and not columns[0]:
        return None
    found: tuple[int, int] | None = None
    for rows in _spread(n):
        length = len(range(n)[rows])
        found = None
        values = matrix([take(columns[j], rows) for j in suspects], length)
        peak = values[np.abs(values).argmax(axis=0), np.arange(len(suspects))]
        zero = np.flatnonzero(peak == 0)
        scaled = values / np.where(peak == 0, 1.0, peak)
        doubtful: set[int] = set()
        for j in range(len(suspects)):
            others = (
                np.abs(scaled[:, :j] - scaled[:, j : j + 1]).max(axis=0, initial=0.0) <= _ROUNDING
            )
            for i in np.flatnonzero(others):
                doubtful |= {int(i), j}
                found = found or (suspects[int(i)], suspects[j])
        if len(zero):
            doubtful |= set(zero.tolist())
            found = (suspects[zero[0]], suspects[zero[0]])
        if found is None:
            return None
        suspects = [suspects[j] for j in sorted(doubtful)]
    return found


def _spread(n: int) -> Iterator[slice]:
    """Ever denser samples of the rows, the last one all of them; slices, so that nothing is copied."""
    step = max(1, n // _FIRST_LOOK)
    while step > 1:
        yield slice(None, None, step)
        step //= 8
    yield slice(None)


def _constant_within(column: Column, codes: np.ndarray, n_levels: int) -> bool:
    """Whether a column has a single value within every group."""
    n = len(codes)
    length = min(n, _FIRST_LOOK)
    while True:
        head = codes[:length]
        values = evaluate(take(column, slice(length)), length)
        last = np.zeros(n_levels)
        last[head] = values  # the last row of each group wins
        if not np.array_equal(last[head], values):
            return False
        if length == n:
            return True
        length = min(n, 16 * length)
