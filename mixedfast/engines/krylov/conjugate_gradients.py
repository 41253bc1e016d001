"""Conjugate gradients for several right-hand sides, with their Lanczos coefficients.

The coefficients of a solve that starts at zero determine the Lanczos matrix of its right-hand side
(Golub and Meurant 2010, Matrices, Moments and Quadrature, chapter 4), from which

    b'f(F)b = |b|^2 e1'f(T)e1

follows for any function f, without another product.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import NamedTuple

import numpy as np

from mixedfast.errors import NotIdentifiedError

__all__ = ["Solved", "log_forms", "solve"]

#: Multiplies (m,r) columns by a symmetric positive definite matrix.
Multiply = Callable[[np.ndarray], np.ndarray]

#: Steps after which a solve is given up. Communities that share 0.2 % of their rows take 300.
MAX_STEPS = 5_000


class Solved(NamedTuple):
    """Solutions (m,r), and the coefficients of their steps.

    ``alpha`` and ``beta`` (steps,r); ``steps`` (r,) that each column took; ``residual`` the largest
    norm of a residual relative to its right-hand side, by recursion.
    """

    x: np.ndarray
    alpha: np.ndarray
    beta: np.ndarray
    steps: np.ndarray
    residual: float


def solve(multiply: Multiply, B: np.ndarray, tolerance: float) -> Solved:
    """Solve F x = b for the columns b of B (m,r).

    Parameters
    ----------
    multiply : callable
        Product with F, whose diagonal is near one (see `mixedfast.engines.krylov.system`).
    B : (m, r) array
    tolerance : float
        Norm of each residual relative to its right-hand side.

    Raises
    ------
    NotIdentifiedError
        When F is not positive definite, or the tolerance is not reached.
    """
    x, residual = np.zeros_like(B), B.copy()
    direction = residual.copy()
    square = _dots(residual, residual)
    aim = tolerance**2 * square
    alphas, betas = [], []
    steps = np.zeros(B.shape[1], dtype=np.int64)
    for _ in range(MAX_STEPS):
        active = square > aim
        if not active.any():
            break
        product = multiply(direction)
        curvature = _dots(direction, product)
        if (curvature[active] <= 0.0).any() or not np.isfinite(curvature[active]).all():
            raise NotIdentifiedError(
                "the equations of the model are not positive definite: use engine='block' or "
                "engine='cholmod'"
            )
        alpha = np.where(active, square / np.where(active, curvature, 1.0), 0.0)
        x += alpha * direction
        residual -= alpha * product
        after = np.where(active, _dots(residual, residual), square)
        beta = np.where(active, after / np.where(active, square, 1.0), 0.0)
        direction = residual + beta * direction
        steps[active] += 1
        square = after
        alphas.append(alpha)
        betas.append(beta)
    else:
        raise NotIdentifiedError(
            f"conjugate gradients did not solve the equations of the model in {MAX_STEPS} steps: "
            "use engine='block' or engine='cholmod'"
        )
    size = _dots(B, B)
    left = np.sqrt(np.max(square / np.where(size > 0.0, size, 1.0), initial=0.0))
    shape = (len(alphas), B.shape[1])
    return Solved(x, np.reshape(alphas, shape), np.reshape(betas, shape), steps, float(left))


def log_forms(B: np.ndarray, solved: Solved) -> np.ndarray:
    """Compute b'log(F)b for each column b (m,r) that was solved from zero, (r,).

    T[i,i] = 1/alpha_i + beta_{i-1}/alpha_{i-1}, T[i,i+1] = sqrt(beta_i)/alpha_i
    """
    from scipy.linalg import eigh_tridiagonal

    out = np.zeros(B.shape[1])
    for c, steps in enumerate(solved.steps):
        if not steps:
            continue
        alpha, beta = solved.alpha[:steps, c], solved.beta[: steps - 1, c]
        diagonal = 1.0 / alpha
        diagonal[1:] += beta / alpha[:-1]
        values, vectors = eigh_tridiagonal(diagonal, np.sqrt(beta) / alpha[:-1])
        out[c] = float(B[:, c] @ B[:, c]) * float(vectors[0] ** 2 @ np.log(values))
    return out


def _dots(X: np.ndarray, Y: np.ndarray) -> np.ndarray:
    """Compute the inner product of each pair of columns, (r,)."""
    return np.einsum("ij,ij->j", X, Y)
