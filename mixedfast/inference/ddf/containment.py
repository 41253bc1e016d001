"""Containment degrees of freedom (SAS ``DDFM=CONTAIN``), from ranks of [X Z]."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from mixedfast.crossprod.types import CrossProducts
from mixedfast.errors import NotDefinedError
from mixedfast.formula.variables import coded_names
from mixedfast.inference.ddf.column_levels import fixed_terms
from mixedfast.inference.ddf.rank import design_rank

if TYPE_CHECKING:
    from mixedfast.design.coding import FixedTerm

__all__ = ["containment"]


def containment(cp: CrossProducts) -> np.ndarray:
    """Return the smallest rank that a random effect containing the term adds to [X Z].

    ``(1 | g)`` is the effect g, ``(x | g)`` are the effects g and x*g. An effect contains a term
    when it has the same numeric factors, and all of its classification variables and more; so the
    intercept is contained in every effect without a numeric factor. Variables are compared by name:
    a copy of a variable under another name changes the result. A term that no effect contains has
    n - rank [X Z]. Effects enter [X Z] with the coarsest grouping factor first, the order of a
    split-plot analysis (SAS takes the order in which they are written).

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
        When an effect adds no rank, no residual rank is left, or crossed factors need a dense
        matrix of more than `mixedfast.inference.ddf.rank.MEMORY_LIMIT` bytes.

    References
    ----------
    SAS/STAT User's Guide, The GLIMMIX Procedure, "Containment Degrees of Freedom Approximation";
    for which effects contain a term: "The Four Types of Estimable Functions" in the same guide.

    Examples
    --------
    >>> import mixedfast as mf
    >>> hsb = mf.load_dataset("hsb")
    >>> containment(mf.crossproducts("math ~ ses + mean_ses + (ses | school)", hsb))
    array([ 158,  159, 6865])
    """
    effects = _effects(cp)
    ranks = [cp.p, *(design_rank(cp, effect.sizes) for effect in effects)]
    added = np.diff(ranks)
    df = np.zeros(cp.p, dtype=int)
    for term, columns in fixed_terms("containment", cp):
        fixed = _variables(term)
        containing = [
            int(n) for effect, n in zip(effects, added, strict=True) if effect.contains(*fixed)
        ]
        df[columns] = min(containing, default=cp.n - ranks[-1])
    return df


@dataclass(frozen=True)
class _Effect:
    """A random effect in the sense of SAS, and the columns of each group up to and with it."""

    numeric: frozenset[str]
    classes: frozenset[str]
    sizes: tuple[int, ...]

    def contains(self, numeric: frozenset[str], classes: frozenset[str]) -> bool:
        """Check whether the effect contains a term with these numeric and class variables."""
        return numeric == self.numeric and classes < self.classes


def _effects(cp: CrossProducts) -> list[_Effect]:
    """List the random effects by grouping factor, coarsest first, then by column."""
    recipe = cp.meta.recipe
    if recipe is None:
        raise NotDefinedError(
            "containment: the cross-products do not say which variables the random effects use"
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


def _variables(term: FixedTerm) -> tuple[frozenset[str], frozenset[str]]:
    """Return the numeric factors and the classification variables of a term."""
    kinds = list(zip(term.factors, term.kinds, strict=True))
    numeric = (factor for factor, kind in kinds if kind == "numeric")
    classes = (
        name
        for factor, kind in kinds
        if kind == "categorical"
        for name in _class_variables(term, factor)
    )
    return frozenset(numeric), frozenset(classes)


def _class_variables(term: FixedTerm, factor: str) -> tuple[str, ...]:
    """Return the variable of a categorical factor: f for ``C(f)``, another expression itself."""
    return (factor,) if factor in term.variables else coded_names(factor) or (factor,)
