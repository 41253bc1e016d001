"""The level at which each column of X varies, read off cross-products.

A column x is constant within the groups j of a factor when
``sum_i x_i^2 - sum_j (sum_{i in j} x_i)^2 / n_j`` is zero; no rows are needed.
"""

from __future__ import annotations

from collections.abc import Iterator
from itertools import pairwise
from typing import TYPE_CHECKING

import numpy as np

from mixedfast.crossprod.types import CrossProducts
from mixedfast.errors import NotDefinedError
from mixedfast.inference.ddf.rank import RANK_TOLERANCE, is_nested

if TYPE_CHECKING:
    from mixedfast.design.coding import FixedTerm

__all__ = [
    "fixed_terms",
    "nested_chain",
    "outermost",
    "projection_on_group",
    "spans_ones",
    "varies_within",
]

#: A column whose sum of squares within groups is below this fraction of its whole sum of squares
#: is constant within them. Sums of squares have 16 digits and lose about half of log10(n) of them
#: to rounding; one row in 1e9 that differs by a standard deviation is still detected.
WITHIN_TOLERANCE = 1e-10


# --- nesting ------------------------------------------------------------------------------------


def nested_chain(method: str, cp: CrossProducts) -> list[int]:
    """Return the grouping factors outermost first, each nested in the one before.

    Raises
    ------
    NotDefinedError
        When factors are crossed.
    """
    for fine, coarse in pairwise(range(len(cp.groups))):
        _require_nested(method, cp, fine, coarse)
    return list(range(len(cp.groups)))[::-1]


def outermost(method: str, cp: CrossProducts) -> int:
    """Return the grouping factor in which all others are nested.

    Raises
    ------
    NotDefinedError
        When there is none.
    """
    last = len(cp.groups) - 1
    for fine in range(last):
        _require_nested(method, cp, fine, last)
    return last


def _require_nested(method: str, cp: CrossProducts, g: int, h: int) -> None:
    """Raise NotDefinedError unless factor g is nested in factor h."""
    if not is_nested(cp, g, h):
        raise NotDefinedError(
            f"{method}: not defined for crossed grouping factors, and {cp.groups[g].name} is not "
            f"nested in {cp.groups[h].name}"
        )


# --- columns ------------------------------------------------------------------------------------


def varies_within(method: str, cp: CrossProducts, g: int) -> np.ndarray:
    """Check whether each column of X varies within the levels of factor g, (p,) bool."""
    sums = _level_sums(method, cp, g)
    total = np.diag(cp.xy)[: cp.p]
    within: np.ndarray = total - (sums[:, 1:] ** 2 / sums[:, :1]).sum(axis=0)
    return within > WITHIN_TOLERANCE * total


def _level_sums(method: str, cp: CrossProducts, g: int) -> np.ndarray:
    """Compute 1'W[1 X] of each level of factor g, (J, 1+p)."""
    group = cp.groups[g]
    if group.sums is not None:
        return group.sums
    ones = spans_ones(cp, g)
    if ones is None:
        raise NotDefinedError(
            f"{method}: these cross-products do not show whether a predictor varies within "
            f"{group.name}, because they lack the sums of its levels: make them with "
            f"mixedfast.crossproducts, or add an intercept, (1 + x | {group.name})"
        )
    counts = np.einsum("a,jab,b->j", ones, group.A, ones)
    return np.column_stack([counts, np.einsum("a,jax->jx", ones, group.B[:, :, : cp.p])])


def spans_ones(cp: CrossProducts, g: int) -> np.ndarray | None:
    """Return c (K,) with Z_g c = 1; None when the columns of Z_g do not span the constant."""
    group = cp.groups[g]
    if "Intercept" in group.names:
        return np.array([float(name == "Intercept") for name in group.names]) / group.scale
    if cp.ones is None:
        return None
    c, left = projection_on_group(cp, g, cp.ones)
    return c if left <= RANK_TOLERANCE else None


def projection_on_group(cp: CrossProducts, g: int, column: np.ndarray) -> tuple[np.ndarray, float]:
    """Regress X `column` on the columns of Z_g: coefficients (K,), unexplained share of squares."""
    total = float(column @ cp.xy[:-1, :-1] @ column)
    b = cp.groups[g].B[:, :, : cp.p].sum(axis=0) @ column
    c = np.linalg.pinv(cp.groups[g].A.sum(axis=0), rcond=RANK_TOLERANCE, hermitian=True) @ b
    return c, 1.0 - float(b @ c) / total


def fixed_terms(method: str, cp: CrossProducts) -> Iterator[tuple[FixedTerm, np.ndarray]]:
    """Generate the fixed terms that have identifiable columns, with the positions of these.

    Raises
    ------
    NotDefinedError
        When the cross-products do not say which columns belong to which term.
    """
    if cp.p and not cp.meta.fixed_terms:
        raise NotDefinedError(
            f"{method}: the cross-products do not say which columns of X belong to which term"
        )
    for term in cp.meta.fixed_terms:
        columns = np.flatnonzero(np.isin(cp.kept, term.columns))
        if len(columns):
            yield term, columns
