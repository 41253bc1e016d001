"""Denominator degrees of freedom: a registry from a method's name to what it does, and the tests built on it.

Sources: docs/which_df.md, and beside each rule. A method that is not defined for a design says so (`NotDefinedError`); none
falls back to another.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np

from mixedfast._validation import check_level, did_you_mean
from mixedfast.errors import FormulaError, NotDefinedError
from mixedfast.estimation.fit import Fit
from mixedfast.estimation.linear_fit import LinearFit
from mixedfast.inference.ddf import design_based
from mixedfast.inference.ddf.kenward_roger import kenward_roger, reml_fit
from mixedfast.inference.ddf.satterthwaite import satterthwaite
from mixedfast.inference.ddf.trace_methods import KenwardRoger, Satterthwaite, TraceMethod
from mixedfast.inference.distributions import f_tail, t_quantile, t_tails

__all__ = [
    "DDF",
    "METHODS",
    "FTest",
    "Method",
    "boundary_note",
    "f_test",
    "method",
    "method_for",
    "rank_reduced",
    "t_test",
    "without_groups",
]

#: Eigenvalues of L Phi L' below this fraction of the largest mean that a row of L repeats others (lmerTest's rule).
RANK_TOLERANCE = float(np.sqrt(np.finfo(float).eps))


@dataclass(frozen=True)
class Method:
    """One way to find denominator degrees of freedom.

    Parameters
    ----------
    name : str
    label : str
        As a page prints it.
    fit : callable
        The fit whose estimates are tested: the fit itself, or its REML refit.
    vcov : callable
        Fit -> covariance of beta used in the tests, (p,p).
    df : callable
        (fit, l (p,)) -> df of one contrast.
    joint : callable
        (fit, L (q,p) of full row rank, difference (q,)) -> (F, df).
    df_error : callable or None
        (fit, l (p,)) -> standard error of the df, for methods that estimate them by random probes.
    """

    name: str
    label: str
    fit: Callable[[LinearFit], LinearFit]
    vcov: Callable[[LinearFit], np.ndarray]
    df: Callable[[LinearFit, np.ndarray], float]
    joint: Callable[[LinearFit, np.ndarray, np.ndarray], tuple[float, float]]
    df_error: Callable[[LinearFit, np.ndarray], float] | None = None


def _mixed(fit: LinearFit) -> Fit:
    """Return the fit as that of a mixed model; `method_for` gives no other to methods that count on groups."""
    assert isinstance(fit, Fit)
    return fit


def _wald_f(fit: LinearFit, L: np.ndarray, difference: np.ndarray) -> float:
    return float(difference @ np.linalg.solve(L @ fit.vcov @ L.T, difference)) / len(L)


def _satterthwaite_joint(
    fit: LinearFit, L: np.ndarray, difference: np.ndarray, how: Satterthwaite | None = None
) -> tuple[float, float]:
    """Fai and Cornelius (1996), with lmerTest's rules (Kuznetsova et al. 2017, section 3.2).

    The df of the eigen-contrasts: their mean when they agree to 1e-8, 2 when any is at most 2.
    """
    values, vectors = np.linalg.eigh(L @ fit.vcov @ L.T)
    rows = vectors.T @ L
    F = float(((vectors.T @ difference) ** 2 / values).mean())
    nu = np.array([satterthwaite(_mixed(fit), how).df(row) for row in rows])
    q = len(nu)
    if q == 1 or np.abs(nu - nu[0]).max() < 1e-8:
        return F, float(nu.mean())
    if (nu <= 2.0).any():
        return F, 2.0
    expectation = float((nu / (nu - 2.0)).sum())
    return F, 2.0 * expectation / (expectation - q)


def _structural(name: str, label: str) -> Method:
    """A method that gives every coefficient its df by the design; a contrast takes the least of those it touches."""

    def df(fit: LinearFit, contrast: np.ndarray) -> float:
        each = fit.memo(f"df {name}", lambda: design_based.RULES[name](fit.cp))
        used = np.abs(contrast) > 1e-10 * max(np.abs(contrast).max(), 1e-300)
        return float(each[used].min()) if used.any() else float(each.min())

    def joint(fit: LinearFit, L: np.ndarray, difference: np.ndarray) -> tuple[float, float]:
        return _wald_f(fit, L, difference), df(fit, np.abs(L).max(axis=0))

    return Method(name, label, lambda fit: fit, lambda fit: fit.vcov, df, joint)


def _satterthwaite_method(how: Satterthwaite) -> Method:
    return Method(
        str(how),
        "Satterthwaite's method",
        lambda fit: fit,
        lambda fit: fit.vcov,
        lambda fit, contrast: satterthwaite(_mixed(fit), how).df(contrast),
        lambda fit, L, difference: _satterthwaite_joint(fit, L, difference, how),
        None
        if how.traces == "exact"
        else lambda fit, contrast: satterthwaite(_mixed(fit), how).df_error(contrast),
    )


def _kenward_roger_method(how: KenwardRoger) -> Method:
    return Method(
        str(how),
        "Kenward and Roger's method",
        lambda fit: reml_fit(_mixed(fit)),
        lambda fit: kenward_roger(_mixed(fit), how).vcov,
        lambda fit, contrast: kenward_roger(_mixed(fit), how).f_test(contrast[None], np.zeros(1))[
            1
        ],
        lambda fit, L, difference: kenward_roger(_mixed(fit), how).f_test(L, difference),
        None
        if how.traces == "exact"
        else lambda fit, contrast: kenward_roger(_mixed(fit), how).df_error(contrast[None]),
    )


_METHODS: dict[str, Method] = {
    m.name: m
    for m in (
        _satterthwaite_method(Satterthwaite()),
        _kenward_roger_method(KenwardRoger()),
        _structural("residual", "residual degrees of freedom"),
        _structural("group", "the group count (J - q - 1)"),
        _structural("hlm", "the HLM program's rule"),
        _structural("inner-outer", "nlme's inner-outer rule"),
        _structural("between-within", "the between-within rule"),
        _structural("containment", "the containment rule"),
        Method(
            "asymptotic",
            "the normal distribution",
            lambda fit: fit,
            lambda fit: fit.vcov,
            lambda fit, contrast: np.inf,
            lambda fit, L, difference: (_wald_f(fit, L, difference), np.inf),
        ),
    )
}

METHODS: tuple[str, ...] = tuple(_METHODS)


DDF = str | TraceMethod
"""What ``ddf=`` takes: the name of a method, or `mixedfast.Satterthwaite` or `mixedfast.KenwardRoger` with settings."""


def method(ddf: DDF) -> Method:
    """The method of that name, or with those settings.

    Raises
    ------
    NotDefinedError
        For an unknown name, with the list of known ones.
    """
    if isinstance(ddf, Satterthwaite):
        return _satterthwaite_method(ddf)
    if isinstance(ddf, KenwardRoger):
        return _kenward_roger_method(ddf)
    if not isinstance(ddf, str) or ddf not in _METHODS:
        hint = did_you_mean(ddf, METHODS, most=1)
        raise NotDefinedError(
            f"ddf={ddf!r} is not a method: {hint + ' C' if hint else 'c'}hoose from {', '.join(METHODS)}"
        )
    return _METHODS[ddf]


#: Methods that are exact for a regression without groups, where sigma^2 is the only variance: all give n - p.
_EXACT = ("residual", "containment", "satterthwaite", "kenward-roger")


def without_groups(ddf: DDF) -> str:
    """Return the name of the method that a regression without groups uses: "residual" (n - p) or "asymptotic".

    Raises
    ------
    NotDefinedError
        For an unknown method, and for those that count groups.
    """
    name = method(ddf).name
    if name == "asymptotic":
        return name
    if not name.startswith(_EXACT):
        raise NotDefinedError(
            f"ddf={ddf!r} counts groups, and a linear model has none: take 'residual' (n - p)"
        )
    return "residual"


def method_for(fit: LinearFit, ddf: DDF) -> Method:
    """Return the method that tests this fit; see `method`, and `without_groups` for a regression."""
    return method(ddf if isinstance(fit, Fit) else without_groups(ddf))


def boundary_note(fit: LinearFit, ddf: DDF) -> str:
    """What a method takes a variance at zero (or a correlation at one) for; empty when none is there."""
    if not any(fit.singular_terms):
        return ""
    if method(ddf).name.startswith("satterthwaite"):
        return "singular fit: what is estimated as zero counts as known, as in lmerTest"
    if method(ddf).name.startswith("kenward-roger"):
        return "singular fit: what is estimated as zero counts as estimated, as in pbkrtest"
    return ""


def t_test(
    fit: LinearFit,
    L: np.ndarray,
    rhs: np.ndarray | float = 0.0,
    ddf: DDF = "satterthwaite",
    level: float = 0.95,
) -> dict[str, np.ndarray]:
    """One t test for each row of L: estimate, std_error, df, statistic, p_value, conf_low, conf_high, each (r,).

    A method that estimates its df by random probes adds ``df_std_error``.

    Parameters
    ----------
    fit : LinearFit
    L : (r, p) array
        Over the identifiable coefficients, user's basis.
    rhs : float or (r,) array
        Values under the null hypothesis.
    ddf : str or TraceMethod
        One of METHODS, or one with settings of its own.
    level : float
        Of the confidence intervals.
    """
    check_level(level)
    chosen = method_for(fit, ddf)
    source = chosen.fit(fit)
    L = np.atleast_2d(np.asarray(L, dtype=float))
    estimate = L @ source.beta
    std_error = np.sqrt(np.einsum("ij,jk,ik->i", L, chosen.vcov(source), L))
    df = np.array([chosen.df(source, row) for row in L])
    statistic = np.divide(
        estimate - rhs, std_error, out=np.full(len(L), np.nan), where=std_error > 0
    )
    margin = t_quantile(0.5 + 0.5 * level, df) * std_error
    found = {
        "estimate": estimate,
        "std_error": std_error,
        "df": df,
        "statistic": statistic,
        "p_value": t_tails(statistic, df),
        "conf_low": estimate - margin,
        "conf_high": estimate + margin,
    }
    if chosen.df_error is not None:
        found["df_std_error"] = np.array([chosen.df_error(source, row) for row in L])
    return found


def rank_reduced(fit: LinearFit, L: np.ndarray, rhs: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Independent rows that span the same hypothesis: (q,p) and (q,), q = rank of L Phi L'.

    Raises
    ------
    FormulaError
        When rows that say the same of the coefficients ask for different values.
    """
    values, vectors = np.linalg.eigh(L @ fit.vcov @ L.T)
    keep = values > RANK_TOLERANCE * max(values.max(), 0.0)
    left = np.abs(
        vectors[:, ~keep].T @ rhs
    )  # zero but for rounding: these sums of rows say nothing of the coefficients
    if (left > np.sqrt(RANK_TOLERANCE) * np.abs(rhs).max()).any():
        raise FormulaError(
            "the combinations contradict one another: no coefficients have all these values"
        )
    return vectors[:, keep].T @ L, vectors[:, keep].T @ rhs


class FTest(NamedTuple):
    """An F test; `num_df` is a whole number, or NaN where the hypothesis cannot be tested."""

    f_value: float
    num_df: float
    den_df: float
    p_value: float


def f_test(
    fit: LinearFit, L: np.ndarray, rhs: np.ndarray | float = 0.0, ddf: DDF = "satterthwaite"
) -> FTest:
    """Test L beta = rhs jointly.

    Parameters
    ----------
    fit : LinearFit
    L : (r, p) array
        Over the identifiable coefficients, user's basis; rows may repeat one another.
    rhs : float or (r,) array
    ddf : str or TraceMethod
        One of METHODS, or one with settings of its own.
    """
    chosen = method_for(fit, ddf)
    source = chosen.fit(fit)
    L = np.atleast_2d(np.asarray(L, dtype=float))
    rows, right = rank_reduced(source, L, np.broadcast_to(np.asarray(rhs, dtype=float), (len(L),)))
    q = len(rows)
    if q == 0:
        return FTest(np.nan, 0, np.nan, np.nan)
    F, df = chosen.joint(source, rows, rows @ source.beta - right)
    return FTest(F, q, df, f_tail(F, q, df))
