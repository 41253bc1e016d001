"""Likelihood-ratio tests of nested models."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np

from mixedfast._validation import check_flag
from mixedfast.crossprod.types import CrossProducts
from mixedfast.errors import DataError, NotDefinedError
from mixedfast.estimation.fit import Fit, fit_crossproducts
from mixedfast.estimation.linear_fit import LinearFit, is_generalized

__all__ = ["ComparedModel", "by_ml", "compare", "n_parameters"]

#: Relative difference of sums of squares up to which responses count as the same: rounding of sums
#: in another order.
_SAME_RESPONSE = 1e-9


class ComparedModel(NamedTuple):
    """One model of a comparison; the test is against the next smaller model."""

    model: str
    npar: int
    aic: float
    bic: float
    loglik: float
    deviance: float
    chisq: float
    df: float
    p_value: float


def compare(
    fits: Sequence[LinearFit], names: Sequence[str] | None = None, refit: bool = True
) -> list[ComparedModel]:
    """Compare nested models by likelihood-ratio tests, each against the next smaller one.

    That the models are nested is not checked. A test of a variance at zero is conservative (Self
    and Liang 1987, JASA 82).

    Parameters
    ----------
    fits : sequence of LinearFit
        Two or more, in any order.
    names : sequence of str, optional
        The formulas by default.
    refit : bool
        Refit models fitted by REML by maximum likelihood: restricted likelihoods of models with
        different fixed effects cannot be compared. With False they are kept, if the fixed effects
        are the same.

    Returns
    -------
    list of ComparedModel
        The model with the fewest parameters first.

    Raises
    ------
    DataError
        When the models were not fitted to the same response, rows and weights.
    NotDefinedError
        When ``refit=False`` would compare likelihoods that are not comparable.

    Examples
    --------
    >>> import mixedfast as mf
    >>> data = mf.load_dataset("sleepstudy")
    >>> small = mf.lmer("Reaction ~ Days + (1 | Subject)", data)
    >>> large = mf.lmer("Reaction ~ Days + (Days | Subject)", data)
    >>> [(row.npar, round(row.chisq, 3)) for row in compare([large._fit, small._fit])]
    [(4, nan), (6, 42.139)]
    """
    from scipy.stats import chi2

    check_flag("refit", refit)
    if len(fits) < 2:
        raise DataError("a comparison needs at least two models")
    for other in fits[1:]:
        _check_same_family(fits[0], other)
        _check_same_data(fits[0].cp, other.cp)
    if refit:
        fits = [by_ml(fit) for fit in fits]
    else:
        _check_comparable(fits)
    labels = _distinct([fit.cp.meta.formula for fit in fits] if names is None else names)
    out: list[ComparedModel] = []
    for label, fit in sorted(zip(labels, fits, strict=True), key=lambda one: n_parameters(one[1])):
        npar, deviance = n_parameters(fit), fit.deviance
        chisq = max(out[-1].deviance - deviance, 0.0) if out else np.nan
        df = float(npar - out[-1].npar) if out else np.nan
        out.append(
            ComparedModel(
                label,
                npar,
                deviance + 2 * npar,
                deviance + float(np.log(fit.cp.n)) * npar,
                -0.5 * deviance,
                deviance,
                chisq,
                df,
                float(chi2.sf(chisq, df)) if df > 0 else np.nan,
            )
        )
    return out


def _check_same_family(one: LinearFit, other: LinearFit) -> None:
    """Raise DataError unless both are linear, or both are generalized, of one family and data."""
    if not is_generalized(one) and not is_generalized(other):
        return
    if not (is_generalized(one) and is_generalized(other)):
        raise DataError("a generalized linear mixed model is not comparable with a linear one")
    if one.family.name != other.family.name:
        raise DataError(
            f"the models have different families, {one.family.name} and {other.family.name}"
        )
    if not np.allclose(one.response_sums, other.response_sums, rtol=1e-9):
        raise DataError("the models were not fitted to the same response, trials and weights")
    if (one.curvature, one.n_agq) != (other.curvature, other.n_agq):
        raise DataError("the models have different approximations: use one curvature= and n_agq=")


def n_parameters(fit: LinearFit) -> int:
    """Count the parameters of a model: coefficients, theta, and sigma or those of the family."""
    own = len(fit.extra) if is_generalized(fit) else 1
    return fit.cp.p + len(fit.theta) + own


def by_ml(fit: LinearFit) -> LinearFit:
    """Return the fit by maximum likelihood."""
    if not isinstance(fit, Fit) or not fit.reml:
        return fit
    return fit_crossproducts(fit.cp, False, fit.theta, fit.engine_wanted, remainder=fit.remainder)


def _distinct(names: Sequence[str]) -> list[str]:
    """Add numbers to names that occur more than once."""
    return [
        f"{name} [{i + 1}]" if list(names).count(name) > 1 else name for i, name in enumerate(names)
    ]


def _sum_of_squares(cp: CrossProducts) -> float:
    """Compute y'Wy of the response in the user's units."""
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
    """Raise DataError unless two models have the same rows, response, offset and weights."""
    if a.n != b.n:
        raise DataError(
            f"{a.meta.formula} was fitted to {a.n} rows and {b.meta.formula} to {b.n}: fit both to "
            "the rows that are complete for all variables"
        )
    if not np.isclose(_sum_of_squares(a), _sum_of_squares(b), rtol=_SAME_RESPONSE, atol=0.0):
        raise DataError(
            f"{a.meta.formula} and {b.meta.formula} do not have the same response "
            f"({a.meta.response} and {b.meta.response}), offset and weights"
        )
    if not np.isclose(
        a.sum_log_weights, b.sum_log_weights, rtol=_SAME_RESPONSE, atol=_SAME_RESPONSE
    ):
        raise DataError(f"{a.meta.formula} and {b.meta.formula} do not have the same weights")


def _check_comparable(fits: Sequence[LinearFit]) -> None:
    """Raise NotDefinedError for a mix of REML and ML, and for REML with different fixed effects."""
    if len({fit.reml for fit in fits}) > 1:
        raise NotDefinedError("a REML criterion and a deviance cannot be compared: use refit=True")
    if fits[0].reml and len({tuple(sorted(fit.cp.x_names)) for fit in fits}) > 1:
        raise NotDefinedError(
            "REML criteria of models with different fixed effects cannot be compared: use "
            "refit=True"
        )
