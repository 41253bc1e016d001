"""A linear mixed model at one theta in decimal arithmetic of 60 digits.

For random effects so much larger than the residuals that dense algebra in double precision has no
digits left. It takes a `DenseModel` and shares no code with the package.
"""

from __future__ import annotations

from decimal import Decimal, localcontext
from typing import NamedTuple

import numpy as np
from helpers.reference_model import DenseModel

__all__ = ["DecimalSolution", "decimal_solution"]

#: Random effects of 1e8 residual standard deviations leave 60 - 2 * 16 digits.
_DIGITS = 60
#: The constant of the criterion, beyond double precision.
_TWO_PI = Decimal("6.28318530717958647692528676655900576839433879875021164194989")


class DecimalSolution(NamedTuple):
    """Criterion, beta (p,), sigma and standard errors of beta (p,)."""

    deviance: float
    beta: np.ndarray
    sigma: float
    bse: np.ndarray


def decimal_solution(dense: DenseModel, theta: np.ndarray) -> DecimalSolution:
    """Solve a dense model at theta, whose numbers are taken as they are.

    Examples
    --------
    >>> Z = np.repeat(np.eye(2), 2, axis=0)[:, :, None]
    >>> dense = DenseModel(np.arange(4.0), np.ones((4, 1)), (Z,), ((0, 0, 1, True),), np.ones(4), True)
    >>> round(decimal_solution(dense, np.array([1.0])).sigma, 6) == round(dense.solve(np.array([1.0])).sigma, 6)
    True
    """
    with localcontext() as context:
        context.prec = _DIGITS
        V = _exact(np.diag(dense.weights))
        n, p = dense.X.shape
        for i in range(n):
            V[i, i] = 1 / V[i, i]
        for Z, lam in zip(dense.Z, dense.lambdas(theta), strict=True):
            A = np.tensordot(_exact(Z), _exact(lam), axes=1).reshape(n, -1)
            V = V + A @ A.T
        log_det, G = _eliminate(V, _exact(np.column_stack([dense.X, dense.y])))
        # [X'V^-1 X, X'V^-1 y, I] by elimination of the first p columns
        A = np.column_stack([G[:p], _exact(np.eye(p))])
        log_det_x = Decimal(0)
        for i in range(p):
            log_det_x += A[i, i].ln()
            A[i] = A[i] / A[i, i]
            for k in range(p):
                if k != i:
                    A[k] = A[k] - A[k, i] * A[i]
        beta, Phi = A[:, p], A[:, p + 1 :]
        sigma2 = (G[p, p] - G[p, :p] @ beta) / dense.nu
        deviance = log_det + dense.nu * (1 + (_TWO_PI * sigma2).ln())
        if dense.reml:
            deviance += log_det_x
        return DecimalSolution(
            float(deviance),
            beta.astype(float),
            float(sigma2.sqrt()),
            np.array([float((sigma2 * Phi[i, i]).sqrt()) for i in range(p)]),
        )


def _exact(values: np.ndarray) -> np.ndarray:
    """Return numbers as decimals, (same shape) of objects."""
    exact: np.ndarray = np.vectorize(lambda value: Decimal(float(value)), otypes=[object])(values)
    return exact


def _eliminate(V: np.ndarray, B: np.ndarray) -> tuple[Decimal, np.ndarray]:
    """Return log|V| and B'V^-1 B."""
    V, B, log_det = V.copy(), B.copy(), Decimal(0)
    G = _exact(np.zeros((B.shape[1],) * 2))
    for i in range(len(V)):
        pivot = V[i, i]
        log_det += pivot.ln()
        G = G + np.outer(B[i], B[i]) / pivot
        share = V[i + 1 :, i] / pivot
        V[i + 1 :, i + 1 :] -= np.outer(share, V[i, i + 1 :])
        B[i + 1 :] -= np.outer(share, B[i])
    return log_det, G
