"""Denominator degrees of freedom: the methods by name, and the t and F tests that use them.

Sources: docs/which_df.md, and beside each rule. A method that is not defined for a design raises
`NotDefinedError`; no other method takes its place.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np

from mixedfast._validation import check_level, did_you_mean
from mixedfast.errors import NotDefinedError
from mixedfast.estimation.fit import Fit
from mixedfast.estimation.linear_fit import LinearFit
from mixedfast.inference.ddf.cluster_robust import ClusterRobust
from mixedfast.inference.ddf.design_based import design_df
from mixedfast.inference.ddf.flat_directions import rest_on_flat
from mixedfast.inference.ddf.joint_hypothesis import (
    JointHypothesis,
    eigen_contrasts,
    independent_rows,
    std_errors,
    wald,
)
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
    "joint_df",
    "method",
    "method_for",
    "t_test",
    "without_groups",
]


@dataclass(frozen=True)
class Method:
    """A method for denominator degrees of freedom.

    Parameters
    ----------
    name : str
    label : str
        For printed tables.
    fit : callable
        Fit -> the fit whose estimates are tested: itself, or its REML refit.
    std_errors : callable
        (fit, L (r, p)) -> standard errors of L beta, (r,).
    df : callable
        (fit, l (p,)) -> df of one contrast.
    wald : callable
        (fit, independent rows L (q, p), difference (q,)) -> Wald statistic.
    joint : callable
        (fit, JointHypothesis) -> (factor of F, df); F is the factor times the Wald statistic over
        q, and the factor is 1 but for the method of Kenward and Roger.
    df_error : callable or None
        (fit, l (p,)) -> standard error of the df, for methods that estimate them with random
        probes.
    """

    name: str
    label: str
    fit: Callable[[LinearFit], LinearFit]
    std_errors: Callable[[LinearFit, np.ndarray], np.ndarray]
    df: Callable[[LinearFit, np.ndarray], float]
    wald: Callable[[LinearFit, np.ndarray, np.ndarray], float]
    joint: Callable[[LinearFit, JointHypothesis], tuple[float, float]]
    df_error: Callable[[LinearFit, np.ndarray], float] | None = None


def _mixed(fit: LinearFit) -> Fit:
    """Return the fit as a `Fit`: `method_for` gives no other one to methods that need groups."""
    assert isinstance(fit, Fit)
    return fit


def _satterthwaite_joint(fit: Fit, hypothesis: JointHypothesis, how: Satterthwaite) -> float:
    """Compute Satterthwaite's df of a joint test."""
    terms = satterthwaite(fit, how)
    if how.joint == "invariant":
        return terms.joint_df(hypothesis.L)
    return joint_df(np.array([terms.df(row) for row in eigen_contrasts(fit, hypothesis)]))


def joint_df(nu: np.ndarray) -> float:
    """Combine the df of q uncorrelated contrasts, (q,), into those of their joint F test.

    Fai and Cornelius (1996) match the mean of F to that of the squared t statistics: nu = 2 E / (E
    - q) with E = sum nu_i / (nu_i - 2). With the rules of lmerTest: df that agree to 1e-8 are the
    df of F, and df of which any is at most 2 give 2 (Kuznetsova et al. 2017, section 3.2).

    Examples
    --------
    >>> joint_df(np.array([10.0, 10.0])), round(joint_df(np.array([8.0, 20.0])), 2)
    (10.0, 11.0)
    """
    q = len(nu)
    if q == 1 or (nu == nu[0]).all() or nu.max() - nu.min() < 1e-8:
        return float(nu.mean())
    if (nu <= 2.0).any():
        return 2.0
    excess = float((2.0 / (nu - 2.0)).sum())  # E - q, without cancellation for large nu
    return 2.0 + 2.0 * q / excess


def _structural(name: str, label: str) -> Method:
    """Make a method with df from the design.

    A contrast has the smallest df of the coefficients in it.
    """

    def df(fit: LinearFit, contrast: np.ndarray) -> float:
        """Return the smallest df of the coefficients in a contrast."""
        each = fit.memo(f"df {name}", lambda: design_df(name, fit.cp))
        size = np.abs(contrast) * np.sqrt(np.diag(fit.vcov))  # in any units of the coefficients
        used = size > 1e-10 * size.max()
        return float(each[used].min()) if used.any() else float(each.min())

    return Method(
        name,
        label,
        lambda fit: fit,
        std_errors,
        df,
        wald,
        lambda fit, hypothesis: (1.0, df(fit, np.abs(hypothesis.L).max(axis=0))),
    )


def _satterthwaite_method(how: Satterthwaite) -> Method:
    """Make Satterthwaite's method with its settings."""
    return Method(
        str(how),
        "Satterthwaite's method",
        lambda fit: fit,
        std_errors,
        lambda fit, contrast: satterthwaite(_mixed(fit), how).df(contrast),
        wald,
        lambda fit, hypothesis: (1.0, _satterthwaite_joint(_mixed(fit), hypothesis, how)),
        None
        if how.traces == "exact"
        else lambda fit, contrast: satterthwaite(_mixed(fit), how).df_error(contrast),
    )


def _kenward_roger_method(how: KenwardRoger) -> Method:
    """Make the method of Kenward and Roger with its settings."""
    return Method(
        str(how),
        "Kenward and Roger's method",
        lambda fit: reml_fit(_mixed(fit)),
        lambda fit, L: kenward_roger(_mixed(fit), how).std_errors(L),
        lambda fit, contrast: kenward_roger(_mixed(fit), how).factor_and_df(contrast[None])[1],
        lambda fit, L, difference: kenward_roger(_mixed(fit), how).wald(L, difference),
        lambda fit, hypothesis: kenward_roger(_mixed(fit), how).factor_and_df(hypothesis.L),
        None
        if how.traces == "exact"
        else lambda fit, contrast: kenward_roger(_mixed(fit), how).df_error(contrast[None]),
    )


def _cluster_robust_method(how: ClusterRobust) -> Method:
    """Make the tests with a cluster-robust covariance: Satterthwaite's df, and HTZ for joint tests.

    Its p values are of the fit from which it was computed.
    """
    return Method(
        str(how),
        f"cluster-robust covariance {how}",
        lambda fit: fit,
        how.std_errors,
        how.df,
        how.wald,
        lambda fit, hypothesis: how.factor_and_df(fit, hypothesis.L),
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
            std_errors,
            lambda fit, contrast: np.inf,
            wald,
            lambda fit, hypothesis: (1.0, np.inf),
        ),
    )
}

METHODS: tuple[str, ...] = tuple(_METHODS)


DDF = str | TraceMethod | ClusterRobust
"""A value of ``ddf=``: a name, or `mixedfast.Satterthwaite` or `mixedfast.KenwardRoger`.

Inside the package also a cluster-robust covariance, which users give as ``vcov=``.
"""


def method(ddf: DDF) -> Method:
    """Return the method of this name, or with these settings.

    Raises
    ------
    NotDefinedError
        For an unknown name; the message lists the known ones.
    """
    if isinstance(ddf, ClusterRobust):
        return _cluster_robust_method(ddf)
    if isinstance(ddf, Satterthwaite):
        return _satterthwaite_method(ddf)
    if isinstance(ddf, KenwardRoger):
        return _kenward_roger_method(ddf)
    if not isinstance(ddf, str) or ddf not in _METHODS:
        hint = did_you_mean(ddf, METHODS, most=1)
        raise NotDefinedError(
            f"ddf={ddf!r} is not a method: {hint + ' C' if hint else 'c'}hoose from "
            f"{', '.join(METHODS)}"
        )
    return _METHODS[ddf]


#: Methods that are exact for a regression without groups, where sigma^2 is the only variance: all
#: give n - p.
_EXACT = ("residual", "containment", "satterthwaite", "kenward-roger")


def without_groups(ddf: DDF) -> DDF:
    """Return the method for a regression: "residual" (n - p), "asymptotic" or cluster-robust.

    Raises
    ------
    NotDefinedError
        For an unknown method, and for those that count groups.
    """
    if isinstance(ddf, ClusterRobust):
        return ddf
    name = method(ddf).name
    if name == "asymptotic":
        return name
    if not name.startswith(_EXACT):
        raise NotDefinedError(
            f"ddf={ddf!r} counts groups, and a linear model has none: take 'residual' (n - p)"
        )
    return "residual"


def method_for(fit: LinearFit, ddf: DDF) -> Method:
    """Return the method for this fit; see `method`, and `without_groups` for a regression."""
    return method(ddf if isinstance(fit, Fit) else without_groups(ddf))


def boundary_note(fit: LinearFit, ddf: DDF) -> str:
    """Describe how a method treats a singular fit; empty when the fit is not singular."""
    if not any(fit.singular_terms):
        return ""
    if method(ddf).name.startswith("satterthwaite"):
        return "singular fit: a variance estimated as zero is treated as known, as in lmerTest"
    if method(ddf).name.startswith("kenward-roger"):
        return "singular fit: a variance estimated as zero is treated as estimated, as in pbkrtest"
    return ""


def t_test(
    fit: LinearFit,
    L: np.ndarray,
    rhs: np.ndarray | float = 0.0,
    ddf: DDF = "satterthwaite",
    level: float = 0.95,
) -> dict[str, np.ndarray]:
    """Test each row of L beta = rhs by a t test.

    Parameters
    ----------
    fit : LinearFit
    L : (r, p) array
        Over the identifiable coefficients, user's basis.
    rhs : float or (r,) array
        Values under the null hypothesis.
    ddf : str or TraceMethod
    level : float
        Of the confidence intervals.

    Returns
    -------
    dict of str to (r,) array
        ``estimate, std_error, df, statistic, p_value, conf_low, conf_high``; with df from random
        probes also ``df_std_error``. All but the estimate are NaN where they rest on a variance
        that is not identified.
    """
    check_level(level)
    chosen = method_for(fit, ddf)
    source = chosen.fit(fit)
    L = np.atleast_2d(np.asarray(L, dtype=float))
    estimate = L @ source.beta
    std_error = chosen.std_errors(source, L)
    df = np.array([chosen.df(source, row) for row in L])
    unknown = np.diag(rest_on_flat(source, L))
    std_error, df = np.where(unknown, np.nan, std_error), np.where(unknown, np.nan, df)
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


class FTest(NamedTuple):
    """An F test; all but `num_df` are NaN where the hypothesis cannot be tested.

    `wald` is the Wald statistic, `num_df` times F but for the method of Kenward and Roger.
    """

    f_value: float
    num_df: float
    den_df: float
    p_value: float
    wald: float


def f_test(
    fit: LinearFit, L: np.ndarray, rhs: np.ndarray | float = 0.0, ddf: DDF = "satterthwaite"
) -> FTest:
    """Test L beta = rhs jointly.

    F does not depend on the units of the coefficients and of the rows. It is NaN where it rests on
    a variance that is not identified.

    Parameters
    ----------
    fit : LinearFit
    L : (r, p) array
        Over the identifiable coefficients, user's basis; rows may be combinations of others.
    rhs : float or (r,) array
    ddf : str or TraceMethod

    Raises
    ------
    FormulaError
        When dependent rows have contradictory right-hand sides.
    """
    chosen = method_for(fit, ddf)
    source = chosen.fit(fit)
    L = np.atleast_2d(np.asarray(L, dtype=float))
    right = np.broadcast_to(np.asarray(rhs, dtype=float), (len(L),))
    hypothesis = independent_rows(source, L, right)
    q = len(hypothesis.L)
    if q == 0:
        return FTest(np.nan, 0, np.nan, np.nan, np.nan)
    if rest_on_flat(source, hypothesis.L).any():
        return FTest(np.nan, q, np.nan, np.nan, np.nan)
    statistic = chosen.wald(source, hypothesis.L, hypothesis.L @ source.beta - hypothesis.rhs)
    factor, df = chosen.joint(source, hypothesis)
    F = factor * statistic / q
    return FTest(F, q, df, f_tail(F, q, df), statistic)
