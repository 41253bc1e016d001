"""The four types of estimable functions of SAS, in exact rational arithmetic.

Goodnight (1978), "Tests of Hypotheses in Fixed Effects Linear Models", and SAS/STAT User's Guide,
"The Four Types of Estimable Functions". The model has a column for every cell of every term. A
hypothesis is returned as weights of the expected values of the rows, M: its combinations of
parameters are M X, in whatever coding X is written. No code is shared with the package.
"""

from __future__ import annotations

import itertools
from collections.abc import Sequence
from dataclasses import dataclass
from fractions import Fraction

__all__ = ["Effect", "expected_hypotheses"]

Row = list[Fraction]


@dataclass(frozen=True)
class Effect:
    """A term: the factors and the covariates that are multiplied in it."""

    factors: frozenset[str]
    covariates: frozenset[str] = frozenset()

    def contains(self, other: Effect) -> bool:
        """Check for more factors and the same covariates, the definition of SAS."""
        return self.covariates == other.covariates and self.factors > other.factors


def expected_hypotheses(
    effects: Sequence[Effect], rows: Sequence[dict[str, object]], type: str
) -> list[list[Row]]:
    """Return for each effect the weights M (r, n) of the expected values of the rows.

    Parameters
    ----------
    effects : sequence of Effect
        In the order of the model; the intercept, if there is one, has no factors and covariates.
    rows : sequence of dict
        Values of factors and whole numbers of covariates, by name.
    type : {"I", "II", "III"}
    """
    columns = [_columns(effect, rows) for effect in effects]
    if type == "III":
        return _type_three(effects, columns, len(rows))
    out = []
    for i, effect in enumerate(effects):
        first = [
            j
            for j, other in enumerate(effects)
            if (j < i if type == "I" else j != i and not other.contains(effect))
        ]
        basis = _orthogonal_basis([column for j in first for column in columns[j]])
        out.append([_residual(column, basis) for column in columns[i]])
    return out


def _columns(effect: Effect, rows: Sequence[dict[str, object]]) -> list[Row]:
    """Return the columns of an effect: one for each combination of levels, filled or not."""
    names = sorted(effect.factors)
    levels = [sorted({str(row[name]) for row in rows}) for name in names]
    out = []
    for cell in itertools.product(*levels):
        column = []
        for row in rows:
            value = Fraction(
                all(str(row[name]) == level for name, level in zip(names, cell, strict=True))
            )
            for covariate in effect.covariates:
                value *= Fraction(int(row[covariate]))  # type: ignore[call-overload]
            column.append(value)
        out.append(column)
    return out


def _type_three(effects: Sequence[Effect], columns: list[list[Row]], n: int) -> list[list[Row]]:
    """Return the estimable functions of each effect that are orthogonal to those containing it."""
    owner = [i for i, own in enumerate(columns) for _ in own]
    X = [list(row) for row in zip(*[column for own in columns for column in own], strict=True)]
    involving = [_involving_only(i, effects, owner, X) for i in range(len(effects))]
    out = []
    for i, effect in enumerate(effects):
        above = [
            L
            for other, functions in zip(effects, involving, strict=True)
            if other.contains(effect)
            for _, L in functions
        ]
        weights = _left_null([[_dot(L, other) for other in above] for _, L in involving[i]])
        out.append(
            [
                [
                    sum((w * M[s] for w, (M, _) in zip(own, involving[i], strict=True)), Fraction())
                    for s in range(n)
                ]
                for own in weights
            ]
        )
    return out


def _involving_only(
    i: int, effects: Sequence[Effect], owner: list[int], X: list[Row]
) -> list[tuple[Row, Row]]:
    """Return (M, L = M X), a basis of what involves only an effect and those that contain it.

    Rows of an echelon form of X whose pivots come after the columns of all other effects.
    """
    allowed = [effects[j] == effects[i] or effects[j].contains(effects[i]) for j in owner]
    order = sorted(range(len(owner)), key=lambda k: allowed[k])
    outside = len(owner) - sum(allowed)
    rows = [
        [row[k] for k in order] + [Fraction(int(r == s)) for s in range(len(X))]
        for r, row in enumerate(X)
    ]
    found = []
    for row in _echelon(rows, len(order)):
        L = [row[order.index(k)] for k in range(len(order))]
        if any(L) and not any(row[:outside]):
            found.append((row[len(order) :], L))
    return found


# --- exact linear algebra -----------------------------------------------------------------------


def _dot(a: Row, b: Row) -> Fraction:
    return sum((x * y for x, y in zip(a, b, strict=True) if x and y), Fraction(0))


def _echelon(rows: list[Row], width: int) -> list[Row]:
    """Reduce rows to echelon form on their first `width` columns."""
    rows = [list(row) for row in rows]
    at = 0
    for column in range(width):
        pivot = next((r for r in range(at, len(rows)) if rows[r][column]), None)
        if pivot is None:
            continue
        rows[at], rows[pivot] = rows[pivot], rows[at]
        first = rows[at][column]
        rows[at] = [value / first if value else value for value in rows[at]]
        for r in range(at + 1, len(rows)):
            factor = rows[r][column]
            if factor:
                rows[r] = [
                    a - factor * b if b else a for a, b in zip(rows[r], rows[at], strict=True)
                ]
        at += 1
    return rows


def _left_null(matrix: list[Row]) -> list[Row]:
    """Return independent weights w with w matrix = 0."""
    width = len(matrix[0]) if matrix else 0
    augmented = [
        row + [Fraction(int(r == s)) for s in range(len(matrix))] for r, row in enumerate(matrix)
    ]
    return [row[width:] for row in _echelon(augmented, width) if not any(row[:width])]


def _orthogonal_basis(columns: list[Row]) -> list[Row]:
    """Return an orthogonal basis of the columns (Gram and Schmidt)."""
    basis: list[Row] = []
    for column in columns:
        rest = _residual(column, basis)
        if any(rest):
            basis.append(rest)
    return basis


def _residual(column: Row, basis: list[Row]) -> Row:
    """Return the part of a column that is orthogonal to a basis of orthogonal columns."""
    for other in basis:
        factor = _dot(column, other) / _dot(other, other)
        if factor:
            column = [a - factor * b for a, b in zip(column, other, strict=True)]
    return column
