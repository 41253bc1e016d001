"""Likelihood-ratio tests of the random terms.

The smaller models are fitted from cross-products: leaving out a random effect leaves out its
blocks, and no rows are read.
"""

from __future__ import annotations

import itertools
from collections.abc import Iterator
from dataclasses import dataclass, replace
from typing import NamedTuple

import numpy as np

from mixedfast.covariance.relative import TermShape
from mixedfast.crossprod.blocks import GroupProducts, PairProducts
from mixedfast.crossprod.types import CrossProducts
from mixedfast.design.coding import Coding, FixedTerm
from mixedfast.errors import NotDefinedError
from mixedfast.estimation.fit import Fit, fit_crossproducts
from mixedfast.inference.hypotheses.cell_dummies import column_parts
from mixedfast.inference.hypotheses.model_comparison import n_parameters

__all__ = ["RandomTermTest", "random_term_tests"]


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
    for label, columns in _reductions(fit.cp):
        deviance, npar = _reduced(fit, columns)
        chisq, df = max(deviance - fit.deviance, 0.0), full - npar
        loglik, aic = -0.5 * deviance, deviance + 2 * npar
        out.append(RandomTermTest(label, npar, loglik, aic, chisq, df, float(chi2.sf(chisq, df))))
    return out


@dataclass(frozen=True, eq=False)
class _NewColumns:
    """New columns of a random term in the smaller model: the old ones times ``matrix`` (k, k')."""

    matrix: np.ndarray
    names: tuple[str, ...]
    shift: np.ndarray
    scale: np.ndarray


def _reduced(fit: Fit, columns: list[_NewColumns]) -> tuple[float, int]:
    """Fit the model with fewer random effects: criterion and number of parameters."""
    if not any(len(own.names) for own in columns):  # no random effects at all: theta = 0
        solution = fit.new_system().solve(np.zeros(fit.covariance.n_theta))
        assert solution is not None  # X'X is positive definite in every fit
        return solution.deviance, fit.cp.p + 1
    smaller = fit_crossproducts(_with_columns(fit.cp, columns), fit.reml, engine=fit.engine_wanted)
    return smaller.deviance, n_parameters(smaller)


def _reductions(cp: CrossProducts) -> Iterator[tuple[str, list[_NewColumns]]]:
    """Generate the smaller models: label, new columns of each term."""
    if cp.meta.recipe is None:
        raise NotDefinedError(
            "ranova needs the formula of the random terms, which these cross-products do not carry"
        )
    whole = [_selection(cp, term, list(range(term.k))) for term in cp.terms]
    for i, (term, coding) in enumerate(zip(cp.terms, cp.meta.recipe.random, strict=True)):
        group = cp.groups[term.group].name
        subterms = [part for part in coding.terms if len(part.columns)]
        for part in subterms if not term.correlated else _highest_order(subterms):
            left = [j for j in range(term.k) if j not in part.columns]
            changed = _selection(cp, term, left)
            if not left and part.factors and (weights := _constant(coding)) is not None:
                changed = _constant_column(cp, term, weights)
            expr = coding.formula if term.correlated else f"0 + {part.name}"
            label = f"{part.name} in ({expr} | {group})" if part.factors else f"(1 | {group})"
            yield label, [*whole[:i], changed, *whole[i + 1 :]]


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


def _selection(cp: CrossProducts, term: TermShape, columns: list[int]) -> _NewColumns:
    """Keep some columns of a random term."""
    group, places = cp.groups[term.group], [term.start + j for j in columns]
    return _NewColumns(
        _unmixed(group, term)[:, columns],
        tuple(group.names[j] for j in places),
        group.shift[places],
        group.scale[places],
    )


def _constant_column(cp: CrossProducts, term: TermShape, weights: np.ndarray) -> _NewColumns:
    """Replace the columns of a factor by the constant.

    They are scaled but not shifted, because they span the intercept.
    """
    group = cp.groups[term.group]
    unscaled = weights / group.scale[term.start : term.start + term.k]
    return _NewColumns(
        (_unmixed(group, term) @ unscaled)[:, None], ("Intercept",), np.zeros(1), np.ones(1)
    )


def _unmixed(group: GroupProducts, term: TermShape) -> np.ndarray:
    """Return U (k,k): the columns of the term times U are those before they were mixed."""
    if group.mix is None:
        return np.eye(term.k)
    own = slice(term.start, term.start + term.k)
    return np.asarray(np.linalg.inv(group.mix[own, own]))


def _with_columns(cp: CrossProducts, columns: list[_NewColumns]) -> CrossProducts:
    """Return the cross-products with new columns in the random terms.

    Terms and groups without a column are left out.
    """
    members = {
        g: sorted(
            (i for i, t in enumerate(cp.terms) if t.group == g), key=lambda i: cp.terms[i].start
        )
        for g in range(len(cp.groups))
    }
    kept = [g for g, own in members.items() if any(columns[i].names for i in own)]
    place = {g: new for new, g in enumerate(kept)}
    maps = {g: _block_diagonal([columns[i].matrix for i in members[g]]) for g in kept}
    starts = {
        i: sum(len(columns[j].names) for j in own[: own.index(i)])
        for own in members.values()
        for i in own
    }
    terms = tuple(
        replace(t, group=place[t.group], start=starts[i], k=len(columns[i].names))
        for i, t in enumerate(cp.terms)
        if columns[i].names
    )
    groups = tuple(_mapped(cp.groups[g], maps[g], [columns[i] for i in members[g]]) for g in kept)
    pairs = {
        (place[g], place[h]): PairProducts(
            pair.indptr, pair.indices, np.ascontiguousarray(maps[g].T @ pair.data @ maps[h])
        )
        for (g, h), pair in cp.pairs.items()
        if g in place and h in place
    }
    unweighted = cp.unweighted
    if unweighted is not None:
        M = _block_diagonal(
            [
                np.eye(1 + cp.p),
                *(maps[g] if g in place else np.empty((cp.groups[g].k, 0)) for g in members),
            ]
        )
        unweighted = M.T @ unweighted @ M
    return replace(cp, groups=groups, pairs=pairs, terms=terms, unweighted=unweighted)


def _mapped(group: GroupProducts, C: np.ndarray, columns: list[_NewColumns]) -> GroupProducts:
    """Return the products of a group for its columns times C."""
    return replace(
        group,
        names=tuple(name for own in columns for name in own.names),
        A=np.ascontiguousarray(C.T @ group.A @ C),
        B=np.ascontiguousarray(C.T @ group.B),
        shift=np.concatenate([own.shift for own in columns]),
        scale=np.concatenate([own.scale for own in columns]),
        mix=None,
    )


def _block_diagonal(blocks: list[np.ndarray]) -> np.ndarray:
    """Place matrices along the diagonal of one."""
    rows, columns = np.cumsum([block.shape for block in blocks], axis=0).T
    out = np.zeros((rows[-1], columns[-1]))
    for block, row, column in zip(blocks, rows, columns, strict=True):
        out[row - len(block) : row, column - block.shape[1] : column] = block
    return out
