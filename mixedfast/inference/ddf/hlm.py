"""The degrees of freedom of the HLM program: each coefficient counted in its level-2 equation."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

import numpy as np

from mixedfast.crossprod.types import CrossProducts
from mixedfast.errors import NotDefinedError
from mixedfast.inference.ddf.column_levels import (
    fixed_terms,
    projection_on_group,
    spans_ones,
    varies_within,
)
from mixedfast.inference.ddf.rank import RANK_TOLERANCE

if TYPE_CHECKING:
    from mixedfast.design.coding import FixedTerm

__all__ = ["hlm"]

#: The equation of the intercept; every other equation has the position of the column of its slope.
_INTERCEPT = -1


def hlm(cp: CrossProducts) -> np.ndarray:
    """Count df within the level-2 equation of each coefficient, as the HLM program does.

    A model of two levels consists of one equation for the intercept and one for every level-1
    slope. Predictors that are constant within groups belong to the equation of the intercept, their
    products with a level-1 column to the equation of that slope. In the equation of a random
    coefficient df = J - S - 1 with S level-2 predictors; in the equation of a coefficient that does
    not vary between groups df = n - p (HLM up to version 6). The intercept varies when the random
    effects include one.

    The rule of HLM's three-level module is documented only for coefficients that vary at the third
    level (its units - S - 1), so three levels are refused.

    The level of a predictor is determined from the data, so a variable of groups is never counted
    as a level-1 predictor, which a user of HLM can do by mistake.

    Parameters
    ----------
    cp : CrossProducts
        Of the identifiable columns of X.

    Returns
    -------
    (p,) array

    Raises
    ------
    NotDefinedError
        For more than one grouping factor, for an interaction whose parts are not in the model
        themselves, or when no degrees of freedom are left.

    References
    ----------
    Raudenbush & Bryk (2002), *Hierarchical Linear Models*, 2nd ed., chapter 3.

    Examples
    --------
    >>> import mixedfast as mf
    >>> hsb = mf.load_dataset("hsb")
    >>> hlm(mf.crossproducts("math ~ ses * sector + mean_ses + (ses | school)", hsb))
    array([157, 158, 157, 157, 158])
    """
    if len(cp.groups) != 1:
        raise NotDefinedError(
            "hlm: defined for two levels, and this model groups rows by "
            f"{', '.join(g.name for g in cp.groups)}. For coefficients that do not vary at the "
            "third level the rule of HLM3 is not documented: use inner-outer or satterthwaite"
        )
    slopes = _slopes(cp, varies_within("hlm", cp, 0))
    df = np.full(cp.p, cp.n - cp.p)
    for slope, size in zip(*np.unique(slopes, return_counts=True), strict=True):
        if _is_random(cp, int(slope)):
            df[slopes == slope] = cp.groups[0].n_levels - size
    return df


def _is_random(cp: CrossProducts, column: int) -> bool:
    """Check whether a column of X (or the intercept) is in the span of the random effects."""
    shifted = spans_ones(cp, 0) is not None  # then shifts of the columns make no difference
    if column == _INTERCEPT:
        return shifted
    basis = np.eye(cp.p) if shifted else np.linalg.inv(cp.scaling.beta_transform())
    return projection_on_group(cp, 0, basis[:, column])[1] <= RANK_TOLERANCE


def _slopes(cp: CrossProducts, varies: np.ndarray) -> np.ndarray:
    """Return the slope whose equation each column of X is in: its column, or `_INTERCEPT`, (p,)."""
    terms = list(fixed_terms("hlm", cp))
    inner = {
        term.factors[0]: varies[columns].any() for term, columns in terms if len(term.factors) == 1
    }
    parts = {c: _parts(term, cp.x_names[c]) for term, columns in terms for c in columns.tolist()}
    place = {frozenset(own): column for column, own in parts.items()}
    out = np.full(cp.p, _INTERCEPT)
    for term, columns in terms:
        if not varies[columns].any():
            continue
        missing = [factor for factor in term.factors if factor not in inner]
        if missing:
            raise NotDefinedError(
                f"hlm: the interaction {term.name} alone does not show the level of "
                f"{' and '.join(missing)}: add {' + '.join(missing)} to the formula"
            )
        for column in columns.tolist():
            own = zip(term.factors, parts[column], strict=True)
            slope = frozenset(part for factor, part in own if inner[factor])
            if slope not in place:
                raise NotDefinedError(
                    f"hlm: {cp.x_names[column]} belongs to the slope {':'.join(sorted(slope))}, "
                    "which is not in the model by itself"
                )
            out[column] = place[slope]
    return out


def _parts(term: FixedTerm, name: str) -> tuple[str, ...]:
    """Split the name of a column by factor: ``"sex[T.b]:ses"`` -> ``("sex[T.b]", "ses")``."""
    if len(term.factors) < 2:
        return (name,)
    found = re.fullmatch(
        ":".join(rf"({re.escape(factor)}(?:\[.*\])?)" for factor in term.factors), name
    )
    if found is None:
        raise NotDefinedError(f"hlm: the name {name} cannot be split by the factors of {term.name}")
    return found.groups()
