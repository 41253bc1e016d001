"""Joint hypotheses L beta = rhs: independent rows, standard errors, and the Wald statistic.

Neither may depend on the units of the coefficients or of the rows. So the rank of L is judged with
each coefficient in units of its standard error and each row scaled to length one, and the Wald
statistic comes from a QR factorization, which is not affected by the scale of a row.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from mixedfast.errors import FormulaError
from mixedfast.estimation.linear_fit import LinearFit
from mixedfast.inference.ddf.information import covariance_root

__all__ = ["JointHypothesis", "eigen_contrasts", "independent_rows", "std_errors", "wald"]

#: A row is a combination of others when the part of it that is independent of them is below this
#: fraction of its length (both scaled as above). Rows of the same combination differ by 1e-16 of
#: their length; means of a covariate at two times that are 1 s apart in 1.6e9 s differ by 1e-9.
RANK_TOLERANCE = 1e-10
#: Right-hand sides of dependent rows may differ by this fraction of the largest, as numbers that
#: users round.
RHS_TOLERANCE = 1e-4


@dataclass(frozen=True, eq=False)
class JointHypothesis:
    """Independent rows of a hypothesis.

    Parameters
    ----------
    L : (q, p) array
        Some of the rows given, user's basis.
    rhs : (q,) array
    weights : (r, q) array
        All rows are ``weights @ L``.
    """

    L: np.ndarray
    rhs: np.ndarray
    weights: np.ndarray


def independent_rows(fit: LinearFit, L: np.ndarray, rhs: np.ndarray) -> JointHypothesis:
    """Select independent rows that span a hypothesis.

    Parameters
    ----------
    fit : LinearFit
    L : (r, p) array
        Over the identifiable coefficients, user's basis.
    rhs : (r,) array

    Raises
    ------
    FormulaError
        When dependent rows have contradictory right-hand sides.
    """
    from scipy.linalg import qr

    scaled = L * np.sqrt(np.diag(fit.vcov))
    length = np.sqrt((scaled**2).sum(axis=1))
    length = np.where(length > 0.0, length, 1.0)
    unit = scaled / length[:, None]
    R, order = qr(unit.T, mode="r", pivoting=True)
    size = np.abs(np.diag(R))
    rank = int((size > RANK_TOLERANCE * max(size.max(initial=0.0), RANK_TOLERANCE)).sum())
    if rank == len(L):
        return JointHypothesis(L, rhs, np.eye(len(L)))
    kept = np.sort(order[:rank])
    weights = np.linalg.lstsq(unit[kept].T, unit.T, rcond=None)[0].T
    weights *= length[:, None] / length[kept]
    difference = np.abs(rhs - weights @ rhs[kept]) / length
    if (difference > RHS_TOLERANCE * np.abs(rhs / length).max(initial=0.0)).any():
        raise FormulaError(
            "the combinations contradict one another: no coefficients have all these values"
        )
    return JointHypothesis(L[kept], rhs[kept], weights)


def std_errors(fit: LinearFit, L: np.ndarray, adjusted: np.ndarray | None = None) -> np.ndarray:
    """Compute sqrt(diag(L V L')) of rows L (r, p), V as for `wald`.

    By way of W, for L V L' would lose all digits in means at a covariate far from zero.
    """
    rows = L @ covariance_root(fit)
    return fit.sigma * np.sqrt(((rows if adjusted is None else rows @ adjusted) * rows).sum(axis=1))


def wald(
    fit: LinearFit, L: np.ndarray, difference: np.ndarray, adjusted: np.ndarray | None = None
) -> float:
    """Compute d' (L V L')^-1 d for d = `difference` and independent rows L (q, p).

    V = sigma^2 W `adjusted` W' with W from `covariance_root`; without `adjusted` the covariance of
    the coefficients.
    """
    Q, R = np.linalg.qr(covariance_root(fit).T @ L.T)
    z = np.linalg.solve(R.T, difference) / fit.sigma
    return float(z @ (z if adjusted is None else np.linalg.solve(Q.T @ adjusted @ Q, z)))


def eigen_contrasts(fit: LinearFit, hypothesis: JointHypothesis) -> np.ndarray:
    """Return the contrasts (q, p) along the eigenvectors of the covariance of all rows of L beta.

    They are uncorrelated. With ``L V L' = R'R`` for the independent rows, the covariance of all
    rows is M M', M = weights R', and an eigenvector u of it is M v for a right singular vector v of
    M. So u' weights L is proportional to v' R^-T L.
    """
    R = np.asarray(np.linalg.qr(covariance_root(fit).T @ hypothesis.L.T, mode="r"))
    right = np.linalg.svd(hypothesis.weights @ R.T, full_matrices=False)[2]
    return np.asarray(right @ np.linalg.solve(R.T, hypothesis.L))
