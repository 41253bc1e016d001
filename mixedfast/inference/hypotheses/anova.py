"""Tables of tests: terms of the fixed part (F), nested models and random terms (likelihood ratio).

Everything is refitted from cross-products. Leaving out a random term leaves out its blocks; no rows are read again.
"""

from __future__ import annotations

import itertools
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

import numpy as np

from mixedfast._validation import check_flag
from mixedfast.covariance.relative import TermShape
from mixedfast.crossprod.blocks import GroupProducts, PairProducts
from mixedfast.crossprod.types import CrossProducts
from mixedfast.design.coding import Coding, FixedTerm
from mixedfast.errors import DataError, NotDefinedError
from mixedfast.estimation.fit import Fit, fit_crossproducts
from mixedfast.estimation.linear_fit import LinearFit
from mixedfast.inference.ddf.methods import DDF, f_test, method_for
from mixedfast.inference.hypotheses.anova_types import (
    Hypotheses,
    column_parts,
    deletions,
    hypotheses,
)

if TYPE_CHECKING:
    import pandas as pd

__all__ = ["anova_table", "compare", "drop1", "ranova"]

#: Responses are taken for the same when their sums of squares agree to this: two ways to add the same numbers.
SAME_RESPONSE = 1e-9


# --- terms of the fixed part --------------------------------------------------------------------------------


def anova_table(
    fit: LinearFit,
    type: str | int = "III",
    ddf: DDF = "satterthwaite",
    alias: np.ndarray | None = None,
) -> pd.DataFrame:
    """F tests of the terms of the fixed part.

    Parameters
    ----------
    fit : LinearFit
    type : {"III", "II", "I", "marginal"}
        What is tested (`hypotheses`); 1, 2 and 3 are understood.
    ddf : str or TraceMethod
        How the denominator degrees of freedom are found.
    alias : (p, p_all) array, optional
        From `alias_matrix`; needed for type III when only part of a term could be identified.

    Returns
    -------
    DataFrame
        Index ``term``; ``sum_sq, mean_sq, num_df, den_df, f_value, p_value``. The mean square is the Wald statistic over its
        df, times sigma^2: F sigma^2, but for Kenward and Roger's, who also scale F. Terms that left no column are NaN.

    Raises
    ------
    NotDefinedError
        For an unknown type or method.

    References
    ----------
    Kuznetsova, Brockhoff and Christensen (2017), JSS 82(13).

    Examples
    --------
    >>> import mixedfast as mf
    >>> m = mf.lmer("math ~ ses + sex + (1 | school)", mf.load_dataset("hsb"))
    >>> anova_table(m._fit)[["num_df", "f_value"]].round(2)
          num_df  f_value
    term
    ses      1.0   499.46
    sex      1.0    51.53
    """
    wanted = {"1": "I", "2": "II", "3": "III"}.get(str(type), str(type))
    return _f_table(fit, hypotheses(fit.cp, wanted, alias), ddf)


def drop1(
    fit: LinearFit, ddf: DDF = "satterthwaite", alias: np.ndarray | None = None
) -> pd.DataFrame:
    """F tests of the terms that can be deleted one at a time: those no other term is built on.

    Parameters
    ----------
    fit : LinearFit
    ddf : str or TraceMethod
    alias : (p, p_all) array, optional
        As for `anova_table`. Without it columns that could not be identified count as not in the model.

    Returns
    -------
    DataFrame
        As `anova_table`.

    Examples
    --------
    >>> import mixedfast as mf
    >>> m = mf.lmer("math ~ ses * sex + (1 | school)", mf.load_dataset("hsb"))
    >>> drop1(m._fit).index.tolist()
    ['ses:sex']
    """
    return _f_table(fit, deletions(fit.cp, alias), ddf)


def _f_table(fit: LinearFit, tests: Hypotheses, ddf: DDF) -> pd.DataFrame:
    import pandas as pd

    chosen = method_for(fit, ddf)
    source = chosen.fit(fit)
    vcov = chosen.vcov(source)
    rows = []
    for L in tests.values():
        F, num_df, den_df, p_value = f_test(fit, L, ddf=ddf) if len(L) else (np.nan,) * 4
        beta = L @ source.beta
        sum_sq = (
            source.sigma**2 * float(beta @ np.linalg.lstsq(L @ vcov @ L.T, beta, rcond=None)[0])
            if len(L)
            else np.nan
        )
        rows.append((sum_sq, sum_sq / num_df, num_df, den_df, F, p_value))
    columns = ["sum_sq", "mean_sq", "num_df", "den_df", "f_value", "p_value"]
    return pd.DataFrame(
        rows, index=pd.Index(list(tests), name="term"), columns=columns, dtype=float
    )


# --- nested models ------------------------------------------------------------------------------------------


def compare(
    fits: Sequence[LinearFit], names: Sequence[str] | None = None, refit: bool = True
) -> pd.DataFrame:
    """Likelihood-ratio tests of nested models, each against the next smaller one.

    Parameters
    ----------
    fits : sequence of LinearFit
        Two or more, in any order.
    names : sequence of str, optional
        The formulas if not given.
    refit : bool
        Refit by maximum likelihood those fitted by REML; restricted likelihoods of models with different fixed
        effects cannot be compared. False keeps them, when the fixed effects are the same.

    Returns
    -------
    DataFrame
        One row a model, fewest parameters first: ``npar, aic, bic, loglik, deviance, chisq, df, p_value``. That the models
        are nested is not checked. A chi-square of a variance at zero is conservative (Self and Liang 1987).

    Raises
    ------
    DataError
        When the models were not fitted to the same response, rows and weights.
    NotDefinedError
        When ``refit=False`` would compare likelihoods that cannot be compared.

    Examples
    --------
    >>> import mixedfast as mf
    >>> data = mf.load_dataset("sleepstudy")
    >>> small = mf.lmer("Reaction ~ Days + (1 | Subject)", data)
    >>> large = mf.lmer("Reaction ~ Days + (Days | Subject)", data)
    >>> compare([large._fit, small._fit], ["large", "small"])[["npar", "chisq", "df"]].round(3)
           npar   chisq   df
    small     4     NaN  NaN
    large     6  42.139  2.0
    """
    import pandas as pd
    from scipy.stats import chi2

    check_flag("refit", refit)
    if len(fits) < 2:
        raise DataError("a comparison takes two models or more")
    for other in fits[1:]:
        _check_same_data(fits[0].cp, other.cp)
    if refit:
        fits = [_by_ml(fit) for fit in fits]
    else:
        _check_comparable(fits)
    labels = _distinct([fit.cp.meta.formula for fit in fits] if names is None else names)
    order = sorted(range(len(fits)), key=lambda i: _npar(fits[i]))
    npar = np.array([_npar(fits[i]) for i in order])
    deviance = np.array([fits[i].deviance for i in order])
    chisq = np.append(np.nan, np.maximum(-np.diff(deviance), 0.0))
    df = np.append(np.nan, np.diff(npar))
    table = {
        "npar": npar,
        "aic": deviance + 2 * npar,
        "bic": deviance + np.log(fits[0].cp.n) * npar,
        "loglik": -0.5 * deviance,
        "deviance": deviance,
        "chisq": chisq,
        "df": df,
        "p_value": np.where(df > 0, chi2.sf(chisq, np.maximum(df, 1)), np.nan),
    }
    return pd.DataFrame(table, index=[labels[i] for i in order])


def _npar(fit: LinearFit) -> int:
    return fit.cp.p + len(fit.theta) + 1


def _by_ml(fit: LinearFit) -> LinearFit:
    if not isinstance(fit, Fit) or not fit.reml:
        return fit
    return fit_crossproducts(fit.cp, False, fit.theta, fit.engine_wanted, remainder=fit.remainder)


def _distinct(names: Sequence[str]) -> list[str]:
    """The names, repeated ones numbered."""
    return [
        f"{name} [{i + 1}]" if list(names).count(name) > 1 else name for i, name in enumerate(names)
    ]


def _sum_of_squares(cp: CrossProducts) -> float:
    """y'Wy of the response as the user gave it."""
    shift, scale = float(cp.shift[-1]), float(cp.scale[-1])
    total = float(cp.xy[-1, -1]) / scale**2
    ones = cp.ones
    if ones is None:
        return total
    return (
        total
        + 2.0 * shift * float(ones @ cp.xy[:-1, -1]) / scale
        + shift**2 * float(ones @ cp.xy[:-1, :-1] @ ones)
    )


def _check_same_data(a: CrossProducts, b: CrossProducts) -> None:
    if a.n != b.n:
        raise DataError(
            f"{a.meta.formula} was fitted to {a.n} rows and {b.meta.formula} to {b.n}: fit them to the rows that are complete "
            "for all variables"
        )
    if not np.isclose(_sum_of_squares(a), _sum_of_squares(b), rtol=SAME_RESPONSE, atol=0.0):
        raise DataError(
            f"{a.meta.formula} and {b.meta.formula} do not have the same response ({a.meta.response} and {b.meta.response}), "
            "offset and weights"
        )
    if not np.isclose(a.sum_log_weights, b.sum_log_weights, rtol=SAME_RESPONSE, atol=SAME_RESPONSE):
        raise DataError(f"{a.meta.formula} and {b.meta.formula} do not have the same weights")


def _check_comparable(fits: Sequence[LinearFit]) -> None:
    if len({fit.reml for fit in fits}) > 1:
        raise NotDefinedError("a REML criterion and a deviance cannot be compared: use refit=True")
    if fits[0].reml and len({tuple(sorted(fit.cp.x_names)) for fit in fits}) > 1:
        raise NotDefinedError(
            "REML criteria of models with different fixed effects cannot be compared: use refit=True"
        )


# --- random terms -------------------------------------------------------------------------------------------


def ranova(fit: Fit) -> pd.DataFrame:
    """Likelihood-ratio tests of the random terms, by REML when the model was fitted by REML.

    ``(1 | g)`` is left out; ``(x | g)`` becomes ``(1 | g)``, ``(x + z | g)`` becomes ``(z | g)`` and ``(x | g)`` in turn;
    ``(0 + f | g)`` with a factor f becomes ``(1 | g)``. Of ``(x || g)`` each variance is left out in turn.

    Parameters
    ----------
    fit : Fit

    Returns
    -------
    DataFrame
        Index ``term``, first the model itself as ``<none>``; ``npar, loglik, aic, chisq, df, p_value``.

    Notes
    -----
    p values are those of chi-square with as many degrees of freedom as parameters left out, as lmerTest's. A variance of zero
    is the edge of what is possible, where the true distribution has more mass near zero (Self and Liang 1987, JASA 82),
    so the tests are conservative; for one variance halve p.
    A lone numeric ``(0 + x | g)`` is left out: ``(1 | g)``, which lmerTest puts in its place, is no submodel of it.

    Examples
    --------
    >>> import mixedfast as mf
    >>> m = mf.lmer("Reaction ~ Days + (Days | Subject)", mf.load_dataset("sleepstudy"))
    >>> ranova(m._fit)[["npar", "chisq", "df"]].round(3)
                              npar   chisq   df
    term
    <none>                       6     NaN  NaN
    Days in (Days | Subject)     4  42.837  2.0
    """
    import pandas as pd
    from scipy.stats import chi2

    full = _npar(fit)
    rows = [("<none>", full, -0.5 * fit.deviance, fit.deviance + 2 * full, np.nan, np.nan, np.nan)]
    for label, bases in _reductions(fit.cp):
        deviance, npar = _reduced(fit, bases)
        chisq, df = max(deviance - fit.deviance, 0.0), full - npar
        rows.append(
            (
                label,
                npar,
                -0.5 * deviance,
                deviance + 2 * npar,
                chisq,
                df,
                float(chi2.sf(chisq, df)),
            )
        )
    columns = ["term", "npar", "loglik", "aic", "chisq", "df", "p_value"]
    return pd.DataFrame(rows, columns=columns).set_index("term")


@dataclass(frozen=True, eq=False)
class _Basis:
    """What becomes of the columns of one random term: new = old ``matrix`` (k, k'), with their names, shifts, scales."""

    matrix: np.ndarray
    names: tuple[str, ...]
    shift: np.ndarray
    scale: np.ndarray


def _reduced(fit: Fit, bases: list[_Basis]) -> tuple[float, int]:
    """(criterion, number of parameters) of the model with fewer random effects."""
    if not any(len(basis.names) for basis in bases):  # no random effects at all: theta = 0
        solution = fit.new_system().solve(np.zeros(fit.covariance.n_theta))
        assert solution is not None  # X'X is positive definite, or there were no fit
        return solution.deviance, fit.cp.p + 1
    smaller = fit_crossproducts(_with_bases(fit.cp, bases), fit.reml, engine=fit.engine_wanted)
    return smaller.deviance, _npar(smaller)


def _reductions(cp: CrossProducts) -> Iterator[tuple[str, list[_Basis]]]:
    """Every way to take one thing out of the random part: (label, new columns of each term)."""
    if cp.meta.recipe is None:
        raise NotDefinedError(
            "ranova needs the formula of the random terms, which these cross-products do not carry"
        )
    whole = [_selection(cp, term, list(range(term.k))) for term in cp.terms]
    for i, (term, coding) in enumerate(zip(cp.terms, cp.meta.recipe.random, strict=True)):
        group = cp.groups[term.group].name
        subterms = [part for part in coding.terms if len(part.columns)]
        for part in subterms if not term.correlated else _on_top(subterms):
            left = [j for j in range(term.k) if j not in part.columns]
            changed = _selection(cp, term, left)
            if not left and part.factors and (weights := _constant(coding)) is not None:
                changed = _constant_column(cp, term, weights)
            expr = coding.formula if term.correlated else f"0 + {part.name}"
            label = f"{part.name} in ({expr} | {group})" if part.factors else f"(1 | {group})"
            yield label, [*whole[:i], changed, *whole[i + 1 :]]


def _on_top(parts: list[FixedTerm]) -> list[FixedTerm]:
    """The parts of a random term that no other is built on; the intercept only when it is alone."""
    return [a for a in parts if not any(set(b.factors) > set(a.factors) for b in parts)]


def _constant(coding: Coding) -> np.ndarray | None:
    """Weights that add the columns of a random term up to the constant 1, if some do."""
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


def _selection(cp: CrossProducts, term: TermShape, columns: list[int]) -> _Basis:
    group, places = cp.groups[term.group], [term.start + j for j in columns]
    return _Basis(
        _unmixed(group, term)[:, columns],
        tuple(group.names[j] for j in places),
        group.shift[places],
        group.scale[places],
    )


def _constant_column(cp: CrossProducts, term: TermShape, weights: np.ndarray) -> _Basis:
    """The constant in place of a factor's columns, which are scaled but not shifted (they hold no intercept)."""
    group = cp.groups[term.group]
    unscaled = weights / group.scale[term.start : term.start + term.k]
    return _Basis(
        (_unmixed(group, term) @ unscaled)[:, None], ("Intercept",), np.zeros(1), np.ones(1)
    )


def _unmixed(group: GroupProducts, term: TermShape) -> np.ndarray:
    """U (k,k): the term's columns times this are the shifted and scaled ones before they were mixed."""
    if group.mix is None:
        return np.eye(term.k)
    own = slice(term.start, term.start + term.k)
    return np.asarray(np.linalg.inv(group.mix[own, own]))


def _with_bases(cp: CrossProducts, bases: list[_Basis]) -> CrossProducts:
    """The cross-products with new columns in the random terms; terms and groups left without any are gone."""
    members = {
        g: sorted(
            (i for i, t in enumerate(cp.terms) if t.group == g), key=lambda i: cp.terms[i].start
        )
        for g in range(len(cp.groups))
    }
    kept = [g for g, own in members.items() if any(bases[i].names for i in own)]
    place = {g: new for new, g in enumerate(kept)}
    maps = {g: _block_diagonal([bases[i].matrix for i in members[g]]) for g in kept}
    starts = {
        i: sum(len(bases[j].names) for j in own[: own.index(i)])
        for own in members.values()
        for i in own
    }
    terms = tuple(
        replace(t, group=place[t.group], start=starts[i], k=len(bases[i].names))
        for i, t in enumerate(cp.terms)
        if bases[i].names
    )
    groups = tuple(_mapped(cp.groups[g], maps[g], [bases[i] for i in members[g]]) for g in kept)
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


def _mapped(group: GroupProducts, C: np.ndarray, bases: list[_Basis]) -> GroupProducts:
    return replace(
        group,
        names=tuple(name for basis in bases for name in basis.names),
        A=np.ascontiguousarray(C.T @ group.A @ C),
        B=np.ascontiguousarray(C.T @ group.B),
        shift=np.concatenate([basis.shift for basis in bases]),
        scale=np.concatenate([basis.scale for basis in bases]),
        mix=None,
    )


def _block_diagonal(blocks: list[np.ndarray]) -> np.ndarray:
    rows, columns = np.cumsum([block.shape for block in blocks], axis=0).T
    out = np.zeros((rows[-1], columns[-1]))
    for block, row, column in zip(blocks, rows, columns, strict=True):
        out[row - len(block) : row, column - block.shape[1] : column] = block
    return out
