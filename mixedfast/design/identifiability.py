"""Whether the rows of a design identify its random part.

The limits on the number of groups are those of lme4 (Bates et al. 2015, section 2.3 and
``lmerControl``). Each check looks at a few rows first, and at all rows only when those few leave
a doubt. `mixedfast.crossprod.identifiability` makes the same checks from cross-products.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from itertools import combinations

import numpy as np

from mixedfast.design.build import formulas
from mixedfast.design.checks import check_labels
from mixedfast.design.columns import Column, evaluate, matrix, take
from mixedfast.design.doubtful_values import check_codes_for_missing, check_restarted_numbers
from mixedfast.design.types import Design
from mixedfast.errors import DataError, DataWarning, NotIdentifiedError, warn
from mixedfast.formula.variables import used_names

__all__ = [
    "aliased_column",
    "check_design",
    "check_term_size",
    "warn_constant_within",
]

#: Rows looked at first: a slope that varies shows it there.
_FIRST_ROWS = 512
#: Rows that show most columns to be different.
_GLANCE = 16
#: Two columns that differ by no more, relative to their largest values, are proportional.
_ROUNDING = 8 * np.finfo(float).eps


def check_design(design: Design, residual: bool = True) -> None:
    """Refuse a design whose rows, all of them, do not identify the random part.

    A part of the rows need not identify it, so batches are not checked.

    Parameters
    ----------
    design : Design
    residual : bool
        Whether the model has a residual variance. Without one, as of counts, there may be as many
        random effects as rows.

    Raises
    ------
    DataError
        When a predictor has a different label in each row, or a grouping factor has one level.
    NotIdentifiedError
        When there are as many groups, or as many random effects, as rows; when a column of Z is
        zero, or two columns are multiples of each other.

    Warns
    -----
    DataWarning
        When a random slope has a single value in every group, a column may hold numbers as text or
        a code for missing values, or numbers of groups may start anew in each group of another
        factor.
    """
    spec, variables = design.spec, design.variables
    predictors = [name for formula in formulas(spec) for name in used_names(formula)]
    check_labels({name: variables.columns[name] for name in predictors}, variables.n)
    for term, written in zip(design.terms, design.recipe.random_terms, strict=True):
        _check_term(
            str(written),
            term.group,
            term.names,
            term.columns,
            term.codes,
            len(term.levels),
            residual,
        )
    check_codes_for_missing(variables.columns.items())
    if len(design.terms) > 1:
        check_restarted_numbers(design.terms, design.recipe.groups)


def check_term_size(group: str, term: str, k: int, n_levels: int, n: int) -> None:
    """Refuse a term of one group, or one with as many effects (k per level) as rows (n)."""
    if n_levels < 2:
        raise DataError(
            f"the grouping factor {group!r} has one level only: a random term needs at least two"
        )
    if n_levels >= n:
        raise NotIdentifiedError(
            f"{group!r} has as many levels ({n_levels}) as there are rows ({n}): the effects of "
            f"{term} cannot be separated from the residual error; did you mean another column?"
        )
    if k * n_levels >= n:
        raise NotIdentifiedError(
            f"{term} has {k * n_levels} random effects for {n} rows: the effects cannot be "
            "separated from the residual error; simplify the term"
        )


def aliased_column(term: str, name: str, fault: str) -> NotIdentifiedError:
    """Make the error for a column of Z that is zero or a multiple of another one."""
    return NotIdentifiedError(
        f"in the random term {term}, the column {name!r} is {fault}: leave it out"
    )


def warn_constant_within(term: str, name: str, group: str) -> None:
    """Warn that a random slope has a single value in every group."""
    warn(
        f"in the random term {term}, {name!r} has a single value in every group of {group!r}: no "
        "slope can be seen within a group, and its variance is estimated from differences between "
        "groups only",
        DataWarning,
    )


def _check_term(
    term: str,
    group: str,
    names: Sequence[str],
    columns: Sequence[Column],
    codes: np.ndarray,
    n_levels: int,
    residual: bool,
) -> None:
    n = len(codes)
    check_term_size(group, term, len(columns), n_levels, n if residual else n * len(columns) + 1)
    alike = _zero_or_proportional(columns, n)
    if alike is not None:
        i, j = alike
        fault = "zero in every row" if i == j else f"a multiple of {names[i]!r}"
        raise aliased_column(term, names[j], fault)
    for name, column in zip(names, columns, strict=True):
        if len(columns) > 1 and column and _constant_within(column, codes, n_levels):
            warn_constant_within(term, name, group)


def _zero_or_proportional(columns: Sequence[Column], n: int) -> tuple[int, int] | None:
    """Find a pair of proportional columns, or (i, i) for a column of zeros; None without any."""
    suspects = list(range(len(columns)))
    if (suspects == [0] and not columns[0]) or _differ_at_once(columns, n):
        return None
    found: tuple[int, int] | None = None
    for rows in _denser_samples(n):
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


def _differ_at_once(columns: Sequence[Column], n: int) -> bool:
    """Return whether a few rows show already that no column is zero or a multiple of another."""
    rows = slice(None, None, max(1, n // _GLANCE))
    values = [evaluate(take(column, rows), len(range(n)[rows])).tolist() for column in columns]
    peaks = [max(own, key=abs) for own in values]
    if 0.0 in peaks:
        return False
    scaled = [[value / peak for value in own] for own, peak in zip(values, peaks, strict=True)]
    return all(
        any(abs(a - b) > _ROUNDING for a, b in zip(one, other, strict=True))
        for one, other in combinations(scaled, 2)
    )


def _denser_samples(n: int) -> Iterator[slice]:
    """Yield samples of the rows, each denser than the one before, the last one all rows.

    Slices, so that nothing is copied.
    """
    step = max(1, n // _FIRST_ROWS)
    while step > 1:
        yield slice(None, None, step)
        step //= 8
    yield slice(None)


def _constant_within(column: Column, codes: np.ndarray, n_levels: int) -> bool:
    """Return whether a column has a single value within every group."""
    n = len(codes)
    length = min(n, _GLANCE)
    values = evaluate(take(column, slice(length)), length).tolist()
    known: dict[int, float] = {}
    for code, value in zip(codes[:length].tolist(), values, strict=True):
        if known.setdefault(code, value) != value:
            return False
    length = min(n, _FIRST_ROWS)
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
