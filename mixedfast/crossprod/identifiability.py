"""Whether cross-products of all rows identify the parameters of a model.

The checks of a design's rows are in `mixedfast.design.identifiability`. Sums round where rows do
not, so a column counts as zero, proportional or constant within groups when it is so to a share
of its sum of squares.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np

from mixedfast.crossprod.types import CrossProducts
from mixedfast.design.identifiability import (
    aliased_column,
    check_term_size,
    warn_constant_within,
)
from mixedfast.errors import NotIdentifiedError

__all__ = ["check_fixed_part", "check_random_part"]

#: Share of a sum of squares that a sum about a shift may lose to rounding, with room.
_ROUNDING = 1e-12
#: A residual sum of squares below this share of the total is rounding: X reproduces y exactly.
_EXACT_FIT = 1e-13


def check_fixed_part(cp: CrossProducts) -> None:
    """Refuse fixed effects that leave no residual variance or no degrees of freedom.

    Parameters
    ----------
    cp : CrossProducts
        Of linearly independent columns of X.

    Raises
    ------
    NotIdentifiedError
    """
    if cp.n <= cp.p:
        raise NotIdentifiedError(
            f"{cp.n} rows cannot determine {cp.p} fixed effects and a residual variance"
        )
    xx, xy = cp.xy[:-1, :-1], cp.xy[:-1, -1]
    residual = cp.xy[-1, -1] - (xy @ np.linalg.solve(xx, xy) if cp.p else 0.0)
    if not residual > _EXACT_FIT * cp.xy[-1, -1]:
        raise NotIdentifiedError(
            "the fixed effects reproduce the response exactly (or it is constant): no variance is "
            "left to estimate"
        )


class _Term(NamedTuple):
    group: str
    names: Sequence[str]


def check_random_part(cp: CrossProducts) -> None:
    """Refuse random terms whose parameters the sums do not identify.

    Parameters
    ----------
    cp : CrossProducts
        Without levels that no row has.

    Raises
    ------
    DataError
        When a grouping factor has one level.
    NotIdentifiedError
        When a term has as many effects as there are rows; when a column of Z is zero, or a
        multiple of another one.

    Warns
    -----
    DataWarning
        When a slope has a single value in every group.
    """
    for shape in cp.terms:
        group = cp.groups[shape.group]
        inside = slice(shape.start, shape.start + shape.k)
        term = _Term(group.name, group.names[inside])
        written = f"({' + '.join(term.names)} | {group.name})"
        check_term_size(group.name, written, shape.k, group.n_levels, cp.n)
        _check_columns(term, written, group.A[:, inside, inside])


def _check_columns(term: _Term, written: str, A: np.ndarray) -> None:
    """Check the columns of one term from its sums Z_j'WZ_j, (J,k,k)."""
    total = A.sum(axis=0)
    size = np.diag(total)
    for j, name in enumerate(term.names):
        if size[j] <= 0:
            raise aliased_column(written, name, "zero or a constant")
        for i in range(j):
            if size[i] * size[j] - total[i, j] ** 2 <= _ROUNDING * size[i] * size[j]:
                raise aliased_column(written, name, f"a multiple of {term.names[i]!r}")
    if len(term.names) > 1 and term.names[0] == "Intercept":
        weight = np.where(A[:, 0, 0] > 0, A[:, 0, 0], 1.0)
        for j, name in enumerate(term.names[1:], 1):
            within = A[:, j, j] - A[:, 0, j] ** 2 / weight
            if (within <= _ROUNDING * A[:, j, j]).all():
                warn_constant_within(written, name, term.group)
