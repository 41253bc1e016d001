"""Fixed factors that are nested in one another: sites in regions, doses in control and treated.

Factor a is nested in b when each level of a occurs with one level of b. The indicators of b are
then sums of indicators of a, an exact linear relation among the columns of X. Cross-products carry
such relations (their `alias`), so neither rows nor weights are needed, and a model whose columns
are independent has no nested factors that matter here.
"""

from __future__ import annotations

import itertools
import math
from collections.abc import Mapping

import numpy as np

from mixedfast.crossprod.types import CrossProducts
from mixedfast.design.coding import Coding, FixedTerm
from mixedfast.errors import NotDefinedError
from mixedfast.inference.hypotheses.cell_dummies import ColumnParts, column_parts
from mixedfast.inference.hypotheses.estimable import alias_matrix

__all__ = ["Nesting", "nesting"]

#: Factor -> the factors it is nested in, each with the level of it (a position) at every level of
#: the nested factor.
Nesting = Mapping[str, Mapping[str, np.ndarray]]

#: Coefficients of one indicator in others are 0 or 1 up to this number; the alias matrix is
#: accurate to about 1e-10, its products with contrasts of a hundred levels to 1e-8.
_WHOLE = 1e-6
#: Interactions without main effects are searched up to this number of cells: the indicators of a
#: factor are found by least squares over all cells of its term, in cubic time.
_MOST_CELLS = 1024


def nesting(cp: CrossProducts) -> Nesting:
    """Find the fixed factors that are nested in one another.

    Parameters
    ----------
    cp : CrossProducts

    Returns
    -------
    dict of str to dict
        Nested factor -> {outer factor: position of its level at each level of the nested one}. Of
        two factors that divide the rows alike, the first is nested in the second, as in the R
        package emmeans.

    Examples
    --------
    >>> import mixedfast as mf
    >>> data = {
    ...     "y": [1.0, 2, 4, 3, 5, 4, 6, 8, 7, 9, 9, 8],
    ...     "region": list("NNNNNNSSSSSS"),
    ...     "site": list("aabbaaccddcc"),
    ...     "g": list("uvwuvwuvwuvw"),
    ... }
    >>> nesting(mf.lmer("y ~ region + site + (1 | g)", data)._fit.cp)
    {'site': {'region': array([0, 0, 1, 1])}}
    """
    if cp.alias is None or cp.meta.recipe is None:
        return {}
    indicators = _indicators(cp, cp.meta.recipe.fixed)
    out: dict[str, dict[str, np.ndarray]] = {}
    names = list(indicators)
    for inner, outer in itertools.permutations(names, 2):
        equal = inner in out.get(outer, {})
        level = None if equal else _level_of_outer(indicators[inner], indicators[outer])
        if level is not None:
            out.setdefault(inner, {})[outer] = level
    return out


def _level_of_outer(inner: np.ndarray, outer: np.ndarray) -> np.ndarray | None:
    """Return the level of the outer factor at each level of the inner one; None if not nested.

    Parameters
    ----------
    inner, outer : (p, levels) arrays
        The indicators as combinations of the columns kept.
    """
    if inner.shape[1] < outer.shape[1]:
        return None
    share = np.linalg.lstsq(inner, outer, rcond=None)[0]
    if np.abs(inner @ share - outer).max() > _WHOLE:
        return None
    whole = np.round(share)
    of_levels = np.abs(share - whole).max() <= _WHOLE and set(np.unique(whole)) <= {0.0, 1.0}
    if not of_levels or (whole.sum(axis=1) != 1.0).any():
        return None
    return np.asarray(whole.argmax(axis=1))


def _indicators(cp: CrossProducts, coding: Coding) -> dict[str, np.ndarray]:
    """Express the indicators of each categorical factor in the columns kept, (p, levels) each.

    A factor is left out when its indicators are not combinations of the columns of categorical
    terms.
    """
    try:
        parts = column_parts(coding)
    except NotDefinedError:  # columns whose factors cannot be read have no indicators either
        return {}
    alias = alias_matrix(cp)
    out = {}
    for name in coding.levels:
        holding = [term for term in cp.meta.fixed_terms if _is_crossing(term, name, parts)]
        for term in sorted(holding, key=lambda term: len(term.variables)):
            sizes = {variable: len(coding.levels[variable]) for variable in term.variables}
            found = _in_term(cp, alias, sizes, name, parts)
            if found is not None:
                out[name] = found
                break
    return out


def _is_crossing(term: FixedTerm, name: str, parts: list[ColumnParts]) -> bool:
    """Check whether a term of a factor has categorical factors only."""
    return name in term.variables and all(
        not parts[j].numeric and set(parts[j].tables) <= set(term.variables) for j in term.columns
    )


def _in_term(
    cp: CrossProducts,
    alias: np.ndarray,
    sizes: Mapping[str, int],
    name: str,
    parts: list[ColumnParts],
) -> np.ndarray | None:
    """Express the indicators of a factor by the columns of a term and of those within it.

    `sizes` are the numbers of levels of the variables of the term.
    """
    if len(sizes) > 1 and math.prod(sizes.values()) > _MOST_CELLS:
        return None
    columns = [
        j
        for other in cp.meta.fixed_terms
        if other.factors and set(other.variables) <= set(sizes)
        for j in other.columns
        if not parts[j].numeric
    ]
    cells = np.indices(tuple(sizes.values())).reshape(len(sizes), -1)
    at = dict(zip(sizes, cells, strict=True))
    values = np.ones((cells.shape[1], len(columns) + 1))
    for i, j in enumerate(columns):
        for variable, table in parts[j].tables.items():
            values[:, i] *= table[at[variable]]
    basis = alias[:, columns]
    if cp.constant is not None:
        basis = np.column_stack([basis, cp.constant])
    else:
        values = values[:, :-1]
    wanted = np.eye(sizes[name])[at[name]]
    weights = np.linalg.lstsq(values, wanted, rcond=None)[0]
    if np.abs(values @ weights - wanted).max() > _WHOLE:
        return None
    return np.asarray(basis @ weights)
