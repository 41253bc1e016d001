"""Scaling of cross-products: a shift and a scale for every column.

Raw sums of squares of a response near 1e7 lose half the digits of the residual sum of squares, so
columns are brought near mean zero and spread one before they are multiplied:
``(column - shift) * scale``. A model with shifted columns is the same model only if the columns of
X can represent the shift, that is if some combination of them is the constant 1: an intercept, the
dummies of a factor, or any columns that add up to 1.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import partial, reduce
from typing import TYPE_CHECKING, Any

import numpy as np

from mixedfast._stored import stored
from mixedfast.crossprod import _sums
from mixedfast.design.columns import ColumnFactor, evaluate, take
from mixedfast.errors import DataError

if TYPE_CHECKING:
    from mixedfast.design.columns import Column
    from mixedfast.design.types import Design

__all__ = [
    "GroupScaling",
    "Scaling",
    "adds_to_one",
    "check_size",
    "check_unit_upper",
    "choose_scaling",
    "response_column",
    "scale_of_response",
]

#: Rows in the sample from which shifts and scales are chosen. They need only be near the mean and
#: the spread.
_SAMPLE = 1024
#: Fourth powers of larger numbers, or of the inverse of this one, do not fit a double, and
#: variances of variances are fourth powers.
_WIDEST = 1e75
#: Columns that add up to 1 do so within this in every row. The error of a shift of a million
#: spreads is then no larger than its rounding.
_CONSTANT_TOLERANCE = 1e-12
#: A spread of less than this share of the mean is rounding of the mean: whole numbers near 2**53
#: spread by more.
_CONSTANT_SPREAD = 2e-15
#: Where the quartiles are closer than this share of the standard deviation, a few outliers (a code
#: such as 99999999) make the deviation, and the quartiles give shift and scale.
_WITHOUT_OUTLIERS = 1e-3
#: Largest number of cells of an interaction times its columns that are searched for a sum of 1;
#: above it the rows are read instead.
_MAX_CELLS = 1e7
#: Rows read at a time to check that columns add up to 1.
_BLOCK = 1 << 16


def check_unit_upper(name: str, fields: Any) -> Iterator[str]:
    """Yield a fault unless ``mix`` is upper triangular with a diagonal of ones."""
    mix = fields.mix
    if mix is not None and not (np.array_equal(mix, np.triu(mix)) and (np.diag(mix) == 1.0).all()):
        yield f"mix of a {name} is not upper triangular with ones on its diagonal"


@stored(
    "GroupBasis",
    arrays={"shift": "finite K", "scale": "positive K", "mix": "finite K K"},
    relations=partial(check_unit_upper, "GroupBasis"),
)
@dataclass(frozen=True, eq=False)
class GroupScaling:
    """Shifts and scales of the columns of Z of one grouping factor, all terms on it side by side.

    Parameters
    ----------
    shift, scale : (K,) arrays
    mix : (K, K) array or None
        As `Scaling.mix`, unit upper triangular within each term. Intercepts and the columns of
        uncorrelated terms are not mixed; None where no column is.
    """

    shift: np.ndarray
    scale: np.ndarray
    mix: np.ndarray | None = None

    @property
    def parts(self) -> list[np.ndarray]:
        """The arrays that are there, for comparison."""
        return [self.shift, self.scale] if self.mix is None else [self.shift, self.scale, self.mix]


@stored(
    "Basis",
    arrays={
        "shift": "finite p+1",
        "scale": "positive p+1",
        "constant": "finite p",
        "mix": "finite p p",
    },
    relations=partial(check_unit_upper, "Basis"),
)
@dataclass(frozen=True, eq=False)
class Scaling:
    """Shifts and scales of [X y] and of Z.

    Parameters
    ----------
    shift, scale : (p+1,) arrays
        The last ones are those of y. Scales are powers of two, so scaling is exact. With weights
        all scales include the root of a power of four that brings the weights near 1.
    groups : tuple of GroupScaling
        Columns of Z by grouping factor, in the order of
        `mixedfast.design.types.Recipe.terms_by_group`. The columns of a term are shifted only if
        its first column is the constant.
    constant : (p,) array or None
        c with Xc = 1, in the user's columns. Columns with a nonzero element of c are not shifted;
        without c none is.
    mix : (p, p) array or None
        The shifted and scaled columns of X are multiplied by this matrix, of unit diagonal, before
        they are summed (`mixedfast.crossprod.collinearity`). Columns with a nonzero element of c
        are not mixed.
    """

    shift: np.ndarray
    scale: np.ndarray
    groups: tuple[GroupScaling, ...]
    constant: np.ndarray | None = None
    mix: np.ndarray | None = None

    def unshifted(self) -> Scaling:
        """Return the same scales without shifts of X and y and without mixing."""
        return Scaling(np.zeros_like(self.shift), self.scale, self.groups)

    @property
    def ones(self) -> np.ndarray | None:
        """The constant 1 in the internal columns of X, (p,); None without a constant."""
        if self.constant is None:
            return None
        c: np.ndarray = self.constant / self.scale[:-1] / (1.0 - self.shift[:-1] @ self.constant)
        return c

    def same(self, other: Scaling) -> bool:
        """Return whether sums in both scalings add as they are."""
        mine, theirs = (
            (
                one.shift,
                one.scale,
                *(part for group in one.groups for part in group.parts),
                *(part for part in (one.constant, one.mix) if part is not None),
            )
            for one in (self, other)
        )
        return len(mine) == len(theirs) and all(map(np.array_equal, mine, theirs))

    def beta_transform(self) -> np.ndarray:
        """Compute T (p, p) with beta_user = T beta_internal, before the shift and scale of y."""
        T = np.diag(self.scale[:-1])
        if self.constant is not None:
            T -= np.outer(self.constant, self.shift[:-1] * self.scale[:-1])
        return T if self.mix is None else T @ self.mix

    def to_user_beta(self, beta: np.ndarray) -> np.ndarray:
        """Transform internal coefficients (..., p) to those of the user's columns and response.

        Examples
        --------
        >>> import mixedfast as mf
        >>> data = mf.load_dataset("sleepstudy")
        >>> cp = mf.crossproducts("Reaction ~ Days + (Days | Subject)", data)
        >>> cp.scaling.to_user_beta(mf.fit(cp)._fit.solution.beta).round(4)
        array([251.4051,  10.4673])
        """
        out: np.ndarray = beta @ self.beta_transform().T / self.scale[-1]
        return out if self.constant is None else out + self.shift[-1] * self.constant

    def to_internal_beta(self, beta: np.ndarray) -> np.ndarray:
        """Transform coefficients (p,) of the user's columns and response to internal ones."""
        own = beta if self.constant is None else beta - self.shift[-1] * self.constant
        out: np.ndarray = np.linalg.solve(self.beta_transform(), own) * self.scale[-1]
        return out


def response_column(design: Design) -> Column:
    """Return y less the offset as a column."""
    y = design.y if design.offset is None else design.y - design.offset
    return (ColumnFactor(y),)


def choose_scaling(design: Design, look_at_rows: bool = True) -> Scaling:
    """Choose shifts and scales from a sample of the rows.

    Parameters
    ----------
    design : Design
    look_at_rows : bool
        Whether to search the rows for a combination of the columns of X that is 1, where their
        structure shows none. Batches that share a scaling do not: such a combination may hold in
        the rows of one batch only.

    Returns
    -------
    Scaling

    Raises
    ------
    DataError
        When squares of a column overflow or vanish; the message names it.
    """
    n = design.n
    columns = [*design.x, response_column(design)]
    sample = [_sampled(column, n) if column else None for column in columns]
    constant = structural_constant(design.x)
    if constant is None and look_at_rows:
        constant = _sampled_constant(design, [s for s in sample[:-1] if s is not None])
    free = (
        np.ones(len(columns), dtype=bool) if constant is None else np.append(constant != 0.0, False)
    )
    unit = _unit(design.weights)
    names = (*design.x_names, design.response_name)
    xy = [
        (0.0, 1.0) if s is None else _scale_of(name, s, not fixed)
        for name, s, fixed in zip(names, sample, free, strict=True)
    ]
    known = {column_key(c): own for c, own in zip(columns, xy, strict=True)}
    groups = []
    for members in design.recipe.terms_by_group:
        own: list[tuple[float, float]] = []
        for term in (design.terms[t] for t in members):
            centred = term.correlated and len(term.columns) > 1 and not term.columns[0]
            for name, column in zip(term.names, term.columns, strict=True):
                shared = known.get(column_key(column))
                # as in X when the column is in X too, so that its products are shared
                if not column:
                    own.append((0.0, 1.0))
                elif shared is not None and centred == (shared[0] != 0.0):
                    own.append(shared)
                else:
                    own.append(_scale_of(name, _sampled(column, n), centred))
        groups.append(GroupScaling(*_arrays(own, unit)))
    shift, scale = _arrays(xy, unit)
    return Scaling(shift, scale, tuple(groups), constant)


def scale_of_response(design: Design, scaling: Scaling) -> tuple[float, float]:
    """Choose shift and scale of the response of a design whose other columns have a scaling.

    Raises
    ------
    DataError
        When squares of the response overflow.
    """
    values = _sampled(response_column(design), design.n)
    shift, scale = _scale_of(design.response_name, values, scaling.constant is not None)
    return shift, scale * _unit(design.weights)


def _sampled(column: Column, n: int) -> np.ndarray:
    """Evaluate a column in a sample of the rows."""
    rows = slice(None, None, max(1, n // _SAMPLE))
    with np.errstate(over="ignore", invalid="ignore"):  # the caller names the column
        return evaluate(take(column, rows), len(range(n)[rows]))


def column_key(column: Column) -> tuple[int, ...]:
    """Return a dictionary key that identifies the arrays of a column."""
    return tuple(id(part) for f in column for part in (f.values, f.table))


def _arrays(pairs: Sequence[tuple[float, float]], unit: float) -> tuple[np.ndarray, np.ndarray]:
    shift, scale = np.array(pairs, dtype=float).reshape(-1, 2).T.copy()
    return shift, scale * unit


def _scale_of(name: str, values: np.ndarray, shifted: bool) -> tuple[float, float]:
    """Choose shift and scale of a column from a sample of it."""
    if values.size == 0:
        return 0.0, 1.0
    widest, mean, variance, low, middle, high = _sums.sample_moments(values)
    if widest > _WIDEST or 0.0 < widest < 1.0 / _WIDEST:
        what = (
            "large that their squares overflow"
            if widest > 1.0
            else "small that their squares vanish"
        )
        raise DataError(f"the values of {name!r} are so {what}: give the variable in other units")
    if 0.0 < high - low < _WITHOUT_OUTLIERS * variance**0.5:
        mean, variance = middle, (high - low) ** 2
    return _scale_from(mean, variance, shifted)


def check_size(names: Sequence[str], squares: np.ndarray) -> None:
    """Raise DataError where the scaled sum of squares of a column is too large.

    The column then has values far beyond those of the sample from which its scale was chosen.

    Parameters
    ----------
    names : sequence of str
    squares : (c,) array
    """
    for name, square in zip(names, squares.tolist(), strict=True):
        if not square <= _WIDEST**2:
            raise DataError(
                f"the values of {name!r} are so large that their squares overflow: "
                "give the variable in other units"
            )


def _scale_from(mean: float, variance: float, shifted: bool) -> tuple[float, float]:
    """Choose shift and scale of a column from its mean and the mean square about it."""
    shift = mean if shifted else 0.0
    away = float(mean - shift)
    spread = math.sqrt(max(float(variance) + away * away, 0.0))
    if not math.isfinite(spread):
        raise DataError("values are so large that their squares overflow: rescale the variable")
    if spread <= _CONSTANT_SPREAD * abs(shift):  # constant as far as the sample shows
        spread = abs(shift)
    return shift, 2.0 ** min(-round(math.log2(spread)), 1000) if spread > 0 else 1.0


#: Mean of a column and mean square about it; None for the constant.
Spread = tuple[float, float] | None


def scaling_from_moments(
    xy: Sequence[Spread],
    constant: np.ndarray | None,
    groups: Sequence[tuple[Sequence[Spread], Sequence[bool]]],
    unit: float,
) -> Scaling:
    """Choose shifts and scales from means and spreads of whole columns.

    Parameters
    ----------
    xy : sequence of (mean, mean square about it) or None
        Of the columns of X and of y.
    constant : (p,) array or None
        From `structural_constant`.
    groups : sequence of (spreads, flags)
        Of the columns of Z by grouping factor; a column with a flag is shifted.
    unit : float
        Root of the power of four that brings the weights near 1.
    """
    free = np.ones(len(xy), dtype=bool) if constant is None else np.append(constant != 0.0, False)
    own = [
        (0.0, 1.0) if m is None else _scale_from(*m, not fixed)
        for m, fixed in zip(xy, free, strict=True)
    ]
    shift, scale = _arrays(own, unit)
    z = []
    for spreads, centred in groups:
        own = [
            (0.0, 1.0) if m is None else _scale_from(*m, moves)
            for m, moves in zip(spreads, centred, strict=True)
        ]
        z.append(GroupScaling(*_arrays(own, unit)))
    return Scaling(shift, scale, tuple(z), constant)


def _unit(weights: np.ndarray | None) -> float:
    """Compute the root of the power of four that brings the weights near 1."""
    if weights is None:
        return 1.0
    sample = weights[:: max(1, len(weights) // _SAMPLE)]
    return float(2.0 ** -np.round(0.5 * np.log2(sample).mean()))


# --- columns that add up to 1 -----------------------------------------------------------------


def adds_to_one(design: Design, constant: np.ndarray) -> bool:
    """Return whether X constant = 1 in every row.

    Rows are read only if the structure of X leaves it open.
    """
    structural = structural_constant(design.x)
    return (structural is not None and np.array_equal(structural, constant)) or _holds(
        design, constant
    )


def structural_constant(x: Sequence[Column]) -> np.ndarray | None:
    """Find c (p,) with Xc = 1 for any rows: the intercept, or dummies of all cells of factors."""
    p = len(x)
    cells: dict[tuple[int, ...], list[int]] = {}
    for j, column in enumerate(x):
        if not column:
            return (np.arange(p) == j).astype(float)
        if all(f.table is not None for f in column):
            cells.setdefault(tuple(sorted(id(f.values) for f in column)), []).append(j)
    for key, members in cells.items():
        size = float(np.prod([len(table) for table in _tables(x[members[0]], key)]))
        if len(set(key)) < len(key) or (len(key) > 1 and size * len(members) > _MAX_CELLS):
            continue
        total = sum(reduce(np.multiply.outer, _tables(x[j], key)) for j in members)
        if np.all(total == 1.0):
            return np.isin(np.arange(p), members).astype(float)
    return None


def _tables(column: Column, order: tuple[int, ...]) -> list[Any]:
    by_codes = {id(f.values): f.table for f in column}
    return [by_codes[key] for key in order]


def _sampled_constant(design: Design, sample: Sequence[np.ndarray]) -> np.ndarray | None:
    """Find c (p,) with Xc = 1 in every row: proportions that add up to 1, dummies made by hand.

    A guess from a sample of the rows, checked on all of them.
    """
    if not sample:
        return None
    X = np.column_stack(sample)
    size = np.sqrt(np.mean(X**2, axis=0))
    if not (np.isfinite(size).all() and size.any()):
        return None
    size[size == 0.0] = np.inf
    c = np.linalg.lstsq(X / size, np.ones(len(X)), rcond=1e-10)[0]
    c = np.where(np.abs(c) < 1e-10, 0.0, c) / size
    near = np.abs(X @ c - 1.0).max(initial=0.0) <= _CONSTANT_TOLERANCE * (
        1.0 + np.abs(X) @ np.abs(c)
    ).max(initial=1.0)
    return c if near and _holds(design, c) else None


def _holds(design: Design, c: np.ndarray) -> bool:
    used = np.flatnonzero(c)
    if not len(used):
        return False
    pool = _sums.ColumnPool([(design.x[j], 0.0, 1.0) for j in used], design.n)
    for start in range(0, design.n, _BLOCK):
        rows = np.arange(start, min(start + _BLOCK, design.n), dtype=np.int32)
        total, size = np.zeros(len(rows)), np.ones(len(rows))
        for i, j in enumerate(used):
            part = c[j] * pool.evaluate(i, rows)
            total += part
            size += np.abs(part)
        if not (np.abs(total - 1.0) <= _CONSTANT_TOLERANCE * size).all():
            return False
    return True
