"""Likelihood-ratio tests of the random terms.

The smaller models are fitted from cross-products: leaving out a random effect leaves out its
blocks, and no rows are read.
"""

from __future__ import annotations

import itertools
from collections.abc import Iterator
from dataclasses import replace
from typing import NamedTuple

import numpy as np

from mixedfast.crossprod.random_columns import NewColumns, constant_column, selected, with_columns
from mixedfast.crossprod.types import CrossProducts
from mixedfast.design.coding import Coding, FixedTerm
from mixedfast.errors import NotDefinedError
from mixedfast.estimation.fit import Fit, fit_crossproducts
from mixedfast.formula.parser import RandomTerm
from mixedfast.inference.hypotheses.cell_dummies import column_parts
from mixedfast.inference.hypotheses.model_comparison import n_parameters

__all__ = ["RandomTermTest", "Reduction", "random_term_tests", "reductions"]


class RandomTermTest(NamedTuple):
    """The test of a model without one random effect; the whole model, ``<none>``, has no test."""

    term: str
    npar: int
    loglik: float
    aic: float
    chisq: float
    df: float
    p_value: float


def random_term_tests(fit: Fit) -> list[RandomTermTest]:
    """Test the random terms by likelihood ratios, of REML criteria under REML.

    ``(1 | g)`` is left out; ``(x | g)`` becomes ``(1 | g)``; ``(x + z | g)`` becomes ``(z | g)``
    and then ``(x | g)``; ``(0 + f | g)`` with a factor f becomes ``(1 | g)``. Each variance of ``(x
    || g)`` is left out in turn.

    Parameters
    ----------
    fit : Fit

    Returns
    -------
    list of RandomTermTest
        The whole model first.

    Notes
    -----
    p values are from chi-square with as many degrees of freedom as parameters left out, as in
    lmerTest. A variance of zero is on the boundary of the parameter space, where the true
    distribution has more mass near zero (Self and Liang 1987, JASA 82), so the tests are
    conservative; for a single variance divide p by two. A single numeric ``(0 + x | g)`` is left
    out. lmerTest replaces it by ``(1 | g)``, which is not a submodel.

    Examples
    --------
    >>> import mixedfast as mf
    >>> m = mf.lmer("Reaction ~ Days + (Days | Subject)", mf.load_dataset("sleepstudy"))
    >>> [(test.term, test.npar, round(test.chisq, 3)) for test in random_term_tests(m._fit)]
    [('<none>', 6, nan), ('Days in (Days | Subject)', 4, 42.837)]
    """
    from scipy.stats import chi2

    full = n_parameters(fit)
    loglik, aic = -0.5 * fit.deviance, fit.deviance + 2 * full
    out = [RandomTermTest("<none>", full, loglik, aic, np.nan, np.nan, np.nan)]
    for label, columns, _ in reductions(fit.cp):
        deviance, npar = _reduced(fit, columns)
        chisq, df = max(deviance - fit.deviance, 0.0), full - npar
        loglik, aic = -0.5 * deviance, deviance + 2 * npar
        out.append(RandomTermTest(label, npar, loglik, aic, chisq, df, float(chi2.sf(chisq, df))))
    return out


def _reduced(fit: Fit, columns: list[NewColumns]) -> tuple[float, int]:
    """Fit the model with fewer random effects: criterion and number of parameters."""
    if not any(len(own.names) for own in columns):  # no random effects at all: theta = 0
        # X'X is positive definite in every fit
        solution = fit.new_system().solve_again(np.zeros(fit.covariance.n_theta))
        return solution.deviance, fit.cp.p + 1
    smaller = fit_crossproducts(with_columns(fit.cp, columns), fit.reml, engine=fit.engine_wanted)
    return smaller.deviance, n_parameters(smaller)


class Reduction(NamedTuple):
    """A model with fewer random effects.

    Parameters
    ----------
    label : str
    columns : list of NewColumns
        Of each term; a term without columns is left out.
    terms : tuple of RandomTerm
        The terms that remain.
    """

    label: str
    columns: list[NewColumns]
    terms: tuple[RandomTerm, ...]


def reductions(cp: CrossProducts) -> Iterator[Reduction]:
    """Generate the models with one random effect less.

    Raises
    ------
    NotDefinedError
        When the cross-products do not carry the formula of their random terms.
    """
    if cp.meta.recipe is None:
        raise NotDefinedError(
            "ranova needs the formula of the random terms, which these cross-products do not carry"
        )
    whole = [selected(cp, term, list(range(term.k))) for term in cp.terms]
    written = cp.meta.recipe.random_terms
    for i, (term, coding) in enumerate(zip(cp.terms, cp.meta.recipe.random, strict=True)):
        group = cp.groups[term.group].name
        subterms = [part for part in coding.terms if len(part.columns)]
        for part in subterms if not term.correlated else _highest_order(subterms):
            left = [j for j in range(term.k) if j not in part.columns]
            changed, rest = selected(cp, term, left), [own for own in subterms if own is not part]
            if not left and part.factors and (weights := _constant(coding)) is not None:
                changed, remaining = constant_column(cp, term, weights), "1"
            else:
                first = "1" if any(not own.factors for own in rest) else "0"
                remaining = " + ".join([first, *(own.name for own in rest if own.factors)])
            expr = coding.formula if term.correlated else f"0 + {part.name}"
            label = f"{part.name} in ({expr} | {group})" if part.factors else f"(1 | {group})"
            smaller = [replace(written[i], expr=remaining)] if changed.names else []
            terms = (*written[:i], *smaller, *written[i + 1 :])
            yield Reduction(label, [*whole[:i], changed, *whole[i + 1 :]], terms)


def _highest_order(parts: list[FixedTerm]) -> list[FixedTerm]:
    """Return the parts of a random term whose factors are not all in another part."""
    return [a for a in parts if not any(set(b.factors) > set(a.factors) for b in parts)]


def _constant(coding: Coding) -> np.ndarray | None:
    """Return weights with which the columns of a random term sum to 1, if there are any."""
    parts = column_parts(coding)
    if any(part.numeric for part in parts):
        return None
    size = {name: len(table) for part in parts for name, table in part.tables.items()}
    cells = [
        dict(zip(size, cell, strict=True)) for cell in itertools.product(*map(range, size.values()))
    ]
    columns = np.array(
        [[np.prod([t[at[k]] for k, t in part.tables.items()]) for part in parts] for at in cells]
    )
    weights = np.linalg.lstsq(columns, np.ones(len(cells)), rcond=None)[0]
    return weights if np.allclose(columns @ weights, 1.0) else None
