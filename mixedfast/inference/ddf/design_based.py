"""Degrees of freedom from the design: the groups, and the level at which a predictor varies.

A rule takes the cross-products of the identifiable columns of X and returns one number per column;
no estimate enters. A rule that does not apply to a design raises `NotDefinedError`.

    residual          n - p
    group             groups - p, the conservative count of a regression on group means
    hlm               groups - coefficients of the same level-2 equation, as the HLM program prints
    inner-outer       one count per level of nesting, as nlme's ``lme`` prints
    between-within    n - p split between and within subjects (SAS ``DDFM=BETWITHIN``)
    containment       the rank a random effect adds to [X Z] (SAS ``DDFM=CONTAIN``)
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from mixedfast.crossprod.types import CrossProducts
from mixedfast.errors import NotDefinedError
from mixedfast.inference.ddf.column_levels import (
    fixed_terms,
    nested_chain,
    outermost,
    varies_within,
)
from mixedfast.inference.ddf.containment import containment
from mixedfast.inference.ddf.hlm import hlm

__all__ = ["RULES", "between_within", "design_df", "group", "inner_outer", "residual"]


def residual(cp: CrossProducts) -> np.ndarray:
    """Return n - p for every coefficient: the df of independent rows.

    Parameters
    ----------
    cp : CrossProducts
        Of the identifiable columns of X.

    Returns
    -------
    (p,) array

    Examples
    --------
    >>> import mixedfast as mf
    >>> hsb = mf.load_dataset("hsb")
    >>> residual(mf.crossproducts("math ~ ses + (ses | school)", hsb))
    array([7183, 7183])
    """
    return np.full(cp.p, cp.n - cp.p)


def group(cp: CrossProducts) -> np.ndarray:
    """Return J - q - 1 for every coefficient: the df of one row per group.

    J counts the groups of the outermost factor, q the predictors; 1 is for the intercept, if there
    is one.

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
        When the grouping factors have no outermost one.

    Examples
    --------
    >>> import mixedfast as mf
    >>> hsb = mf.load_dataset("hsb")
    >>> group(mf.crossproducts("math ~ ses + (ses | school)", hsb))
    array([158, 158])
    """
    return np.full(cp.p, cp.groups[outermost("group", cp)].n_levels - cp.p)


def inner_outer(cp: CrossProducts) -> np.ndarray:
    """Count each column at the innermost level at which it varies, as nlme does.

    With m_i groups at level i (outermost first, rows last, m_0 = 1) and p_i columns at level i,
    df = m_i - (m_{i-1} + p_i). A column that varies within any one group of a level belongs to an
    inner level. The intercept is not counted in p_i and gets the largest df of all levels. Without
    an intercept m_0 = 0 and every level but the outermost gets one more, as in the code of nlme
    (the book does not say so).

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
        For crossed grouping factors.

    References
    ----------
    Pinheiro & Bates (2000), *Mixed-Effects Models in S and S-PLUS*, section 2.4.2.

    Examples
    --------
    >>> import mixedfast as mf
    >>> hsb = mf.load_dataset("hsb")
    >>> inner_outer(mf.crossproducts("math ~ ses + mean_ses + (ses | school)", hsb))
    array([7024, 7024,  158])
    """
    chain = nested_chain("inner-outer", cp)
    varies = np.array([varies_within("inner-outer", cp, g) for g in chain])
    place = varies.sum(axis=0)  # the number of factors within whose groups a column varies
    is_intercept = np.arange(cp.p) == cp.intercept
    has_intercept = cp.intercept is not None
    sizes = np.array([int(has_intercept), *(cp.groups[g].n_levels for g in chain), cp.n])
    levels = np.diff(sizes) - np.bincount(place[~is_intercept], minlength=len(chain) + 1)
    if not has_intercept:
        levels[1:] += 1
    return np.where(is_intercept, levels.max(), levels[place])


def between_within(cp: CrossProducts) -> np.ndarray:
    """Split n - p into a between-subject and a within-subject portion.

    Subjects are the groups of the outermost factor, in which all others must be nested. A term that
    changes within any subject has the within portion. Every other term, including the intercept,
    has the between portion: subjects - coefficients of the terms constant within subjects. A term
    counts as a whole.

    SAS divides the within portion further when several within-subject terms have classification
    variables. Its documentation does not say how for unbalanced data, so every within-subject term
    has the whole portion here, as in Schluchter and Elashoff.

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
        When the grouping factors have no outermost one.

    References
    ----------
    Schluchter & Elashoff (1990), *Journal of Statistical Computation and Simulation* 37, 69-87;
    SAS/STAT User's Guide, The GLIMMIX Procedure, "Between-Within Degrees of Freedom Approximation".

    Examples
    --------
    >>> import mixedfast as mf
    >>> hsb = mf.load_dataset("hsb")
    >>> between_within(mf.crossproducts("math ~ ses + mean_ses + (ses | school)", hsb))
    array([ 158, 7024,  158])
    """
    outer = outermost("between-within", cp)
    varies = varies_within("between-within", cp, outer)
    within = varies.copy()
    for _, columns in fixed_terms("between-within", cp):
        within[columns] = varies[columns].any()
    between_df = cp.groups[outer].n_levels - int((~within).sum())
    return np.where(within, cp.n - cp.p - between_df, between_df)


RULES: dict[str, Callable[[CrossProducts], np.ndarray]] = {
    "residual": residual,
    "group": group,
    "hlm": hlm,
    "inner-outer": inner_outer,
    "between-within": between_within,
    "containment": containment,
}
"""Method -> rule."""


def design_df(method: str, cp: CrossProducts) -> np.ndarray:
    """Return the df of every coefficient by a rule, (p,) float.

    Raises
    ------
    NotDefinedError
        When the rule is not defined for the design, or leaves no degrees of freedom.

    Examples
    --------
    >>> import mixedfast as mf
    >>> design_df("residual", mf.crossproducts("Yield ~ (1 | Batch)", mf.load_dataset("dyestuff")))
    array([29.])
    """
    df = RULES[method](cp)
    short = [name for name, value in zip(cp.x_names, df, strict=True) if value < 1]
    if short:
        raise NotDefinedError(
            f"{method}: no degrees of freedom are left for {', '.join(short)} "
            f"({_counts(method, cp)})"
        )
    return df.astype(float)


def _counts(method: str, cp: CrossProducts) -> str:
    """Name the counts that leave a method without degrees of freedom."""
    if method == "residual":
        return f"{cp.n} rows for {cp.p} coefficients"
    outer = cp.groups[-1]
    return {
        "group": f"{outer.name} has {outer.n_levels} groups for {cp.p} coefficients",
        "hlm": f"{outer.name} has {outer.n_levels} groups",
        "inner-outer": "its level has no more groups than columns",
        "between-within": f"{outer.n_levels} levels of {outer.name} in {cp.n} rows",
        "containment": "X and the random effects before it leave no rank",
    }[method]
