"""Degrees of freedom read off the design: who is in which group, and at which level a predictor varies.

A rule takes the cross-products of the identifiable columns of X and returns one number a column; no estimate
enters. A rule that does not apply to a design raises `NotDefinedError`; none turns into another.

    residual          n - p
    group             groups - p, the cautious count of a regression on group means
    hlm               groups - coefficients of the same level-2 equation, as the HLM program prints
    inner-outer       one pool a level of nesting, as nlme's ``lme`` prints
    between-within    n - p split between and within subjects (SAS ``DDFM=BETWITHIN``)
    containment       the rank a random effect adds to [X Z] (SAS ``DDFM=CONTAIN``)

Rows are not needed. A column x is constant within the groups j of a factor when
``sum_i x_i^2 - sum_j (sum_{i in j} x_i)^2 / n_j`` is zero; the ranks come from `mixedfast.inference.ddf.rank`.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from itertools import pairwise
from typing import TYPE_CHECKING

import numpy as np

from mixedfast.crossprod.types import CrossProducts
from mixedfast.errors import NotDefinedError
from mixedfast.formula.variables import coded_names
from mixedfast.inference.ddf.rank import RANK_TOLERANCE, design_rank, is_nested

if TYPE_CHECKING:
    from mixedfast.design.coding import FixedTerm

__all__ = [
    "RULES",
    "Rule",
    "between_within",
    "containment",
    "group",
    "hlm",
    "inner_outer",
    "residual",
]

#: A column whose sum of squares within groups is below this fraction of its whole sum of squares is constant
#: there. Sums of squares carry 16 digits and lose about half of log10(n) of them to rounding; one row in 1e9
#: that differs by a standard deviation still shows.
WITHIN_TOLERANCE = 1e-10

#: Stands for the intercept's equation where a column's place stands for the equation of its slope.
_INTERCEPT = -1

Rule = Callable[[CrossProducts], np.ndarray]


# --- rules --------------------------------------------------------------------------------------------------


def residual(cp: CrossProducts) -> np.ndarray:
    """n - p for every coefficient: as if all rows were independent.

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
        When no row is left.

    Examples
    --------
    >>> import mixedfast as mf
    >>> hsb = mf.load_dataset("hsb")
    >>> residual(mf.crossproducts("math ~ ses + (ses | school)", hsb))
    array([7183., 7183.])
    """
    return _positive("residual", cp, np.full(cp.p, cp.n - cp.p), "as many coefficients as rows")


def group(cp: CrossProducts) -> np.ndarray:
    """J - q - 1 for every coefficient: as if each group gave one row.

    J counts the groups of the outermost factor, q the predictors; 1 is for the intercept, if there is one.

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
        When the grouping factors have no outermost one, or there are too few groups.

    Examples
    --------
    >>> import mixedfast as mf
    >>> hsb = mf.load_dataset("hsb")
    >>> group(mf.crossproducts("math ~ ses + (ses | school)", hsb))
    array([158., 158.])
    """
    outer = cp.groups[_outermost("group", cp)]
    df = np.full(cp.p, outer.n_levels - cp.p)
    return _positive(
        "group", cp, df, f"{outer.name} has {outer.n_levels} groups for {cp.p} coefficients"
    )


def hlm(cp: CrossProducts) -> np.ndarray:
    """What the HLM program prints: every coefficient counted within its own level-2 equation.

    A model of two levels is read as one equation for the intercept and one for every level-1 slope.
    Predictors constant within groups belong to the intercept's equation, their products with a level-1 column
    to the equation of that slope. In the equation of a random coefficient df = J - S - 1, S its level-2
    predictors; in the equation of a coefficient that does not vary between groups df = n - p (HLM up to
    version 6). The intercept varies when the random effects include one.

    The rule of HLM's three-level module is known for coefficients that vary at the third level only (its units - S - 1);
    for the others its documentation gives none, so three levels are refused rather than guessed at.

    A predictor's level is read off the data, so a group's own variable is never taken for a level-1 one, as a
    user of HLM can do by mistake.

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
        For more than one grouping factor; for an interaction whose parts are not in the model by themselves.

    References
    ----------
    Raudenbush & Bryk (2002), *Hierarchical Linear Models*, 2nd ed., chapter 3.

    Examples
    --------
    >>> import mixedfast as mf
    >>> hsb = mf.load_dataset("hsb")
    >>> hlm(mf.crossproducts("math ~ ses * sector + mean_ses + (ses | school)", hsb))
    array([157., 158., 157., 157., 158.])
    """
    if len(cp.groups) != 1:
        raise NotDefinedError(
            f"hlm: defined for two levels; this model groups rows by {', '.join(g.name for g in cp.groups)}, and what HLM3 "
            "prints for coefficients that do not vary at its third level is not documented: use inner-outer or satterthwaite"
        )
    outer = cp.groups[0]
    slopes = _slopes(cp, _varies("hlm", cp, 0))
    df = np.full(cp.p, cp.n - cp.p)
    for slope, size in zip(*np.unique(slopes, return_counts=True), strict=True):
        if _is_random(cp, int(slope)):
            df[slopes == slope] = outer.n_levels - size
    return _positive("hlm", cp, df, f"{outer.name} has {outer.n_levels} groups")


def inner_outer(cp: CrossProducts) -> np.ndarray:
    """nlme's rule: a column is counted at the innermost level at which it varies.

    With m_i groups at level i (outermost first, rows last, m_0 = 1) and p_i columns at level i,
    df = m_i - (m_{i-1} + p_i). A column that varies within any one group of a level belongs further in. The
    intercept is not counted in p_i and gets the largest df of all levels. Without an intercept m_0 = 0 and
    every level but the outermost gets one more: so nlme's ``lme`` has it, though the book does not.

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
        For crossed grouping factors; when a level has too few groups for its columns.

    References
    ----------
    Pinheiro & Bates (2000), *Mixed-Effects Models in S and S-PLUS*, section 2.4.2.

    Examples
    --------
    >>> import mixedfast as mf
    >>> hsb = mf.load_dataset("hsb")
    >>> inner_outer(mf.crossproducts("math ~ ses + mean_ses + (ses | school)", hsb))
    array([7024., 7024.,  158.])
    """
    chain = _nested_chain("inner-outer", cp)
    varies = np.array([_varies("inner-outer", cp, g) for g in chain])
    place = varies.sum(axis=0)  # of how many factors it varies within the groups
    is_intercept = np.arange(cp.p) == cp.intercept
    has_intercept = cp.intercept is not None
    sizes = np.array([int(has_intercept), *(cp.groups[g].n_levels for g in chain), cp.n])
    levels = np.diff(sizes) - np.bincount(place[~is_intercept], minlength=len(chain) + 1)
    if not has_intercept:
        levels[1:] += 1
    df = np.where(is_intercept, levels.max(), levels[place])
    return _positive("inner-outer", cp, df, "its level has no more groups than columns")


def between_within(cp: CrossProducts) -> np.ndarray:
    """n - p in two portions: between subjects and within them.

    Subjects are the groups of the outermost factor, in which all others must be nested. A term that changes
    within any subject has the within portion, every other term, the intercept among them, the between
    portion: subjects - coefficients of the terms constant within subjects. A term counts as a whole.

    SAS divides the within portion further when several within-subject terms hold classification variables.
    Its documentation does not say how for unbalanced data, so that is not done here: every within-subject
    term has the whole portion, as Schluchter and Elashoff have it.

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
        When the grouping factors have no outermost one; when a portion is empty.

    References
    ----------
    Schluchter & Elashoff (1990), *Journal of Statistical Computation and Simulation* 37, 69-87;
    SAS/STAT User's Guide, The GLIMMIX Procedure, "Between-Within Degrees of Freedom Approximation".

    Examples
    --------
    >>> import mixedfast as mf
    >>> hsb = mf.load_dataset("hsb")
    >>> between_within(mf.crossproducts("math ~ ses + mean_ses + (ses | school)", hsb))
    array([ 158., 7024.,  158.])
    """
    outer = _outermost("between-within", cp)
    varies = _varies("between-within", cp, outer)
    within = varies.copy()
    for _, columns in _terms("between-within", cp):
        within[columns] = varies[columns].any()
    subjects = cp.groups[outer].n_levels
    between_df = subjects - int((~within).sum())
    df = np.where(within, cp.n - cp.p - between_df, between_df)
    return _positive(
        "between-within", cp, df, f"{subjects} levels of {cp.groups[outer].name} in {cp.n} rows"
    )


def containment(cp: CrossProducts) -> np.ndarray:
    """SAS's default: the smallest rank that a random effect containing the term adds to [X Z].

    ``(1 | g)`` is the effect g, ``(x | g)`` the effects g and x*g. An effect contains a term when it has the
    same numeric factors, and all its classification variables and more; so the intercept is contained in
    every effect without a numeric factor. It goes by names: a copy of a variable under another name changes
    the result. A term that no effect contains has n - rank [X Z]. Effects enter [X Z] coarsest grouping
    factor first, the order of a split-plot analysis (SAS takes the order in which they are written).

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
        When an effect adds no rank, no residual rank is left, or crossed factors need a dense matrix of more
        than `mixedfast.inference.ddf.rank.MEMORY_LIMIT` bytes.

    References
    ----------
    SAS/STAT User's Guide, The GLIMMIX Procedure, "Containment Degrees of Freedom Approximation"; what
    contains what: "The Four Types of Estimable Functions" in the same guide.

    Examples
    --------
    >>> import mixedfast as mf
    >>> hsb = mf.load_dataset("hsb")
    >>> containment(mf.crossproducts("math ~ ses + mean_ses + (ses | school)", hsb))
    array([ 158.,  159., 6865.])
    """
    effects = _effects(cp)
    ranks = [cp.p, *(design_rank(cp, effect.sizes) for effect in effects)]
    added = np.diff(ranks)
    df = np.zeros(cp.p)
    for term, columns in _terms("containment", cp):
        fixed = _variables(term)
        holding = [
            int(n) for effect, n in zip(effects, added, strict=True) if effect.contains(*fixed)
        ]
        df[columns] = min(holding, default=cp.n - ranks[-1])
    return _positive("containment", cp, df, "X and the random effects before it leave no rank")


RULES: dict[str, Rule] = {
    "residual": residual,
    "group": group,
    "hlm": hlm,
    "inner-outer": inner_outer,
    "between-within": between_within,
    "containment": containment,
}
"""Method name -> rule."""


def _positive(method: str, cp: CrossProducts, df: np.ndarray, why: str) -> np.ndarray:
    """The df as floats, unless one of them is zero or less: no distribution has such."""
    short = [name for name, value in zip(cp.x_names, df, strict=True) if value < 1]
    if short:
        raise NotDefinedError(
            f"{method}: no degrees of freedom are left for {', '.join(short)} ({why})"
        )
    return df.astype(float)


# --- nesting ------------------------------------------------------------------------------------------------


def _crossed(method: str, cp: CrossProducts, g: int, h: int) -> NotDefinedError:
    return NotDefinedError(
        f"{method}: not defined for crossed grouping factors, and {cp.groups[g].name} is not nested in {cp.groups[h].name}"
    )


def _nested_chain(method: str, cp: CrossProducts) -> list[int]:
    """The grouping factors outermost first, each nested in the one before."""
    for fine, coarse in pairwise(range(len(cp.groups))):
        if not is_nested(cp, fine, coarse):
            raise _crossed(method, cp, fine, coarse)
    return list(range(len(cp.groups)))[::-1]


def _outermost(method: str, cp: CrossProducts) -> int:
    """The grouping factor that all others are nested in."""
    last = len(cp.groups) - 1
    for fine in range(last):
        if not is_nested(cp, fine, last):
            raise _crossed(method, cp, fine, last)
    return last


# --- at which level a column varies -------------------------------------------------------------------------


def _varies(method: str, cp: CrossProducts, g: int) -> np.ndarray:
    """Whether each column of X varies within the levels of factor g, (p,) bool."""
    sums = _level_sums(method, cp, g)
    total = np.diag(cp.xy)[: cp.p]
    within: np.ndarray = total - (sums[:, 1:] ** 2 / sums[:, :1]).sum(axis=0)
    return within > WITHIN_TOLERANCE * total


def _level_sums(method: str, cp: CrossProducts, g: int) -> np.ndarray:
    """1'W[1 X] of each level of factor g, (J, 1+p)."""
    group = cp.groups[g]
    if group.sums is not None:
        return group.sums
    ones = _ones(cp, g)
    if ones is None:
        raise NotDefinedError(
            f"{method}: whether a predictor varies within {group.name} does not show in these cross-products, made without "
            f"the sums of its levels: make them with mixedfast.crossproducts, or add an intercept, (1 + x | {group.name})"
        )
    counts = np.einsum("a,jab,b->j", ones, group.A, ones)
    return np.column_stack([counts, np.einsum("a,jax->jx", ones, group.B[:, :, : cp.p])])


def _ones(cp: CrossProducts, g: int) -> np.ndarray | None:
    """c (K,) with Z_g c = 1: the intercept's place, or what adds up to it; None when Z_g does not span 1."""
    group = cp.groups[g]
    if "Intercept" in group.names:
        return np.array([float(name == "Intercept") for name in group.names]) / group.scale
    if cp.ones is None:
        return None
    c, left = _projection(cp, g, cp.ones)
    return c if left <= RANK_TOLERANCE else None


def _projection(cp: CrossProducts, g: int, column: np.ndarray) -> tuple[np.ndarray, float]:
    """Coefficients (K,) of X `column` on Z_g, and the share of its sum of squares they leave."""
    total = float(column @ cp.xy[:-1, :-1] @ column)
    b = cp.groups[g].B[:, :, : cp.p].sum(axis=0) @ column
    c = np.linalg.pinv(cp.groups[g].A.sum(axis=0), rcond=RANK_TOLERANCE, hermitian=True) @ b
    return c, 1.0 - float(b @ c) / total


def _is_random(cp: CrossProducts, column: int) -> bool:
    """Whether a column of X (or the intercept) is a combination of the random effects' columns, whatever their coding."""
    shifted = (
        _ones(cp, 0) is not None
    )  # then the shift that the cross-products carry does not matter
    if column == _INTERCEPT:
        return shifted
    basis = np.eye(cp.p) if shifted else np.linalg.inv(cp.scaling.beta_transform())
    return _projection(cp, 0, basis[:, column])[1] <= RANK_TOLERANCE


# --- terms --------------------------------------------------------------------------------------------------


def _terms(method: str, cp: CrossProducts) -> Iterator[tuple[FixedTerm, np.ndarray]]:
    """The fixed terms with the places of their identifiable columns, terms without any left out."""
    if cp.p and not cp.meta.fixed_terms:
        raise NotDefinedError(
            f"{method}: the cross-products do not say which terms the columns of X belong to"
        )
    for term in cp.meta.fixed_terms:
        columns = np.flatnonzero(np.isin(cp.kept, term.columns))
        if len(columns):
            yield term, columns


def _slopes(cp: CrossProducts, varies: np.ndarray) -> np.ndarray:
    """The level-1 column whose equation each column of X is in, (p,) int, or `_INTERCEPT`."""
    terms = list(_terms("hlm", cp))
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
                f"hlm: the interaction {term.name} alone does not tell the level of {' and '.join(missing)}: "
                f"add {' + '.join(missing)} to the formula"
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
    """A column's name cut at its factors: ``"sex[T.b]:ses"`` -> ``("sex[T.b]", "ses")``."""
    if len(term.factors) < 2:
        return (name,)
    found = re.fullmatch(
        ":".join(rf"({re.escape(factor)}(?:\[.*\])?)" for factor in term.factors), name
    )
    if found is None:
        raise NotDefinedError(
            f"hlm: the column {name} cannot be told into the factors of {term.name}"
        )
    return found.groups()


def _variables(term: FixedTerm) -> tuple[frozenset[str], frozenset[str]]:
    """The numeric factors and the classification variables of a term."""
    kinds = list(zip(term.factors, term.kinds, strict=True))
    numeric = (factor for factor, kind in kinds if kind == "numeric")
    classes = (
        name
        for factor, kind in kinds
        if kind == "categorical"
        for name in _classified(term, factor)
    )
    return frozenset(numeric), frozenset(classes)


def _classified(term: FixedTerm, factor: str) -> tuple[str, ...]:
    """The variable behind a categorical factor: ``f`` of ``C(f)``; an expression stands for itself."""
    return (factor,) if factor in term.variables else coded_names(factor) or (factor,)


# --- random effects and the ranks they add ------------------------------------------------------------------


@dataclass(frozen=True)
class _Effect:
    """A random effect in SAS's sense, and the columns of each group up to and with it."""

    numeric: frozenset[str]
    classes: frozenset[str]
    sizes: tuple[int, ...]

    def contains(self, numeric: frozenset[str], classes: frozenset[str]) -> bool:
        return numeric == self.numeric and classes < self.classes


def _effects(cp: CrossProducts) -> list[_Effect]:
    """The random effects, coarsest grouping factor first, within a factor in the order of its columns."""
    recipe = cp.meta.recipe
    if recipe is None:
        raise NotDefinedError(
            "containment: the cross-products do not say what the random effects are made of"
        )
    placed = []
    for shape, coding, grouping in zip(cp.terms, recipe.random, recipe.groups, strict=True):
        for term in coding.terms:
            numeric, classes = _variables(term)
            stop = shape.start + term.columns[-1] + 1
            placed.append((shape.group, stop, numeric, classes.union(grouping.factors)))
    placed.sort(key=lambda effect: (-effect[0], effect[1]))
    sizes = [0] * len(cp.groups)
    out = []
    for g, stop, numeric, classes in placed:
        sizes[g] = stop
        out.append(_Effect(numeric, classes, tuple(sizes)))
    return out
