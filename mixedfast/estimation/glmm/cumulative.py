"""Cumulative (proportional odds) models, row by row.

    P(Y <= c) = F(alpha_c - eta)
    l = log{F(b) - F(a)} with b = alpha_c - eta, a = alpha_(c-1) - eta

McCullagh (1980, *J. R. Stat. Soc.* B 42). The parameters are the first threshold and the logarithms
of the increments, so that thresholds ascend whatever their values.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

__all__ = [
    "CUMULATIVE_LINKS",
    "CumulativeRows",
    "category_probabilities",
    "cumulative_rows",
    "first_parameters",
    "parameter_slopes",
    "thresholds_of",
    "thresholds_to",
]

#: Links whose distribution has a log concave density: the observed weights are positive.
CUMULATIVE_LINKS = ("logit", "probit", "cloglog")


class CumulativeRows(NamedTuple):
    """Log likelihoods, their derivatives in eta, and those of l, s and h in both ends, (n,) each.

    ``s`` = dl/deta, ``h`` = -d2l/deta2, ``dh`` = dh/deta; ``l_b``, ``l_a``, ``s_b``, ... are the
    derivatives in the upper end b and in the lower end a at fixed other end.
    """

    l: np.ndarray  # noqa: E741
    s: np.ndarray
    h: np.ndarray
    dh: np.ndarray
    l_b: np.ndarray
    l_a: np.ndarray
    s_b: np.ndarray
    s_a: np.ndarray
    h_b: np.ndarray
    h_a: np.ndarray


def thresholds_of(parameters: np.ndarray) -> np.ndarray:
    """Compute thresholds (C-1,) from the first one and the logarithms of the increments.

    Examples
    --------
    >>> thresholds_of(np.array([-1.0, 0.0, np.log(2.0)]))
    array([-1.,  0.,  2.])
    """
    return np.cumsum(np.concatenate([parameters[:1], np.exp(parameters[1:])]))


def thresholds_to(thresholds: np.ndarray) -> np.ndarray:
    """Compute the parameters of ascending thresholds."""
    return np.concatenate([thresholds[:1], np.log(np.diff(thresholds))])


def parameter_slopes(parameters: np.ndarray) -> np.ndarray:
    """Compute d(thresholds)/d(parameters), (C-1, C-1)."""
    r = len(parameters)
    steps = np.concatenate([[1.0], np.exp(parameters[1:])])
    return np.tril(np.ones((r, r))) * steps


def category_probabilities(link: str, eta: np.ndarray, parameters: np.ndarray) -> np.ndarray:
    """Compute the probabilities of the categories, (n, C).

    Examples
    --------
    >>> category_probabilities("logit", np.zeros(1), np.array([0.0, 1.0])).round(3)
    array([[0.5  , 0.438, 0.062]])
    """
    C = len(parameters) + 1
    n = len(eta)
    one = np.ones(n)
    return np.exp(
        np.column_stack(
            [cumulative_rows(link, eta, np.full(n, float(c)), one, parameters).l for c in range(C)]
        )
    )


def first_parameters(link: str, y: np.ndarray, size: np.ndarray) -> np.ndarray:
    """Compute the parameters of a model without predictors, from the shares of the categories."""
    share = np.bincount(y.astype(np.int64), size)
    below = np.cumsum(share)[:-1] / share.sum()
    return thresholds_to(_quantile(link, below))


def _quantile(link: str, p: np.ndarray) -> np.ndarray:
    from scipy.special import logit, ndtri

    if link == "logit":
        return np.asarray(logit(p))
    return np.asarray(ndtri(p)) if link == "probit" else np.log(-np.log1p(-p))


def cumulative_rows(
    link: str, eta: np.ndarray, y: np.ndarray, size: np.ndarray, parameters: np.ndarray
) -> CumulativeRows:
    """Evaluate a cumulative model at linear predictors.

    Parameters
    ----------
    link : str
        One of `CUMULATIVE_LINKS`.
    eta : (n,) array
    y : (n,) array
        Categories 0, 1, ..., C-1.
    size : (n,) array
        Weights.
    parameters : (C-1,) array

    Examples
    --------
    >>> rows = cumulative_rows("logit", np.zeros(2), np.array([0.0, 1.0]), np.ones(2), np.zeros(1))
    >>> np.exp(rows.l)
    array([0.5, 0.5])
    """
    ends = np.concatenate([[-np.inf], thresholds_of(parameters), [np.inf]])
    at = y.astype(np.int64)
    low, high = ends[at] - eta, ends[at + 1] - eta
    width = np.diff(ends)[at]
    of = {"logit": _logit_rows, "probit": _probit_rows, "cloglog": _cloglog_rows}[link]
    return CumulativeRows(*(size * part for part in of(low, high, width)))


def _logit_rows(a: np.ndarray, b: np.ndarray, width: np.ndarray) -> tuple[np.ndarray, ...]:
    """Evaluate rows with the logistic distribution: F(b) - F(a) = F(b) (1 - F(a)) (1 - e^(a-b)).

    Only the first two factors depend on eta.
    """
    from scipy.special import expit, log_expit

    upper, lower = expit(-b), expit(a)  # 1 - F(b), F(a)
    with np.errstate(over="ignore", divide="ignore"):
        l = log_expit(b) + log_expit(-a) + np.log(-np.expm1(-width))  # noqa: E741
        apart = 1.0 / np.expm1(width)
    v_b, v_a = upper * expit(b), lower * expit(-a)
    h_b, h_a = v_b * (2.0 * upper - 1.0), v_a * (1.0 - 2.0 * lower)
    return (
        l,
        lower - upper,
        v_a + v_b,
        -h_a - h_b,
        upper + apart,
        -lower - apart,
        v_b,
        v_a,
        h_b,
        h_a,
    )


def _from_ratios(
    log_p: np.ndarray,
    f_b: np.ndarray,
    f_a: np.ndarray,
    of_b: tuple[np.ndarray, np.ndarray],
    of_a: tuple[np.ndarray, np.ndarray],
) -> tuple[np.ndarray, ...]:
    """Evaluate rows from the densities at both ends over P, and f'/f and f''/f there."""
    g_b, g_a = f_b * of_b[0], f_a * of_a[0]
    k_b, k_a = f_b * of_b[1], f_a * of_a[1]
    A, B, C = f_b - f_a, g_b - g_a, k_b - k_a
    s_b, s_a = A * f_b - g_b, g_a - A * f_a
    return (
        log_p,
        -A,
        A * A - B,
        C - 3.0 * A * B + 2.0 * A**3,
        f_b,
        -f_a,
        s_b,
        s_a,
        -2.0 * A * s_b - (k_b - B * f_b),
        -2.0 * A * s_a - (B * f_a - k_a),
    )


def _probit_rows(a: np.ndarray, b: np.ndarray, width: np.ndarray) -> tuple[np.ndarray, ...]:
    """Evaluate rows with the normal distribution, in the tail that keeps the digits."""
    from scipy.special import log_ndtr

    flip = a > -b  # nearer to the upper tail: 1 - F(a) less 1 - F(b)
    near, far = np.where(flip, -a, b), np.where(flip, -b, a)
    top = log_ndtr(near)
    with np.errstate(divide="ignore"):
        log_p = top + np.log(-np.expm1(log_ndtr(far) - top))

    def ratio(x: np.ndarray) -> np.ndarray:
        return np.exp(-0.5 * x * x - 0.5 * np.log(2.0 * np.pi) - log_p)

    fin_b, fin_a = (np.where(np.isfinite(x), x, 0.0) for x in (b, a))
    return _from_ratios(
        log_p, ratio(b), ratio(a), (-fin_b, fin_b**2 - 1.0), (-fin_a, fin_a**2 - 1.0)
    )


def _cloglog_rows(a: np.ndarray, b: np.ndarray, width: np.ndarray) -> tuple[np.ndarray, ...]:
    """Evaluate rows with F(x) = 1 - exp(-e^x)."""
    with np.errstate(over="ignore", divide="ignore", invalid="ignore"):
        x_b, x_a = np.exp(b), np.exp(a)
        log_p = -x_a + np.log(-np.expm1(x_a - x_b))
        f_b = np.where(np.isfinite(x_b), np.exp(b - x_b - log_p), 0.0)
        f_a = np.where(x_a > 0.0, np.exp(a - x_a - log_p), 0.0)
        fin_b = np.where(np.isfinite(x_b), x_b, 0.0)
    return _from_ratios(
        log_p,
        f_b,
        f_a,
        (1.0 - fin_b, (1.0 - fin_b) ** 2 - fin_b),
        (1.0 - x_a, (1.0 - x_a) ** 2 - x_a),
    )
