"""Logarithms of probabilities: tables of smooth functions, and integrals over a logarithmic scale.

All integrands are positive and are handled as logarithms, so small probabilities keep their
relative accuracy.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

__all__ = ["Table", "log_integral", "piecewise"]

#: Length of the pieces of a table, and degree of their polynomials: logarithms of tails of normal
#: variables to 1e-12.
_PIECE, _DEGREE = 0.5, 11
#: The integrand is negligible where it is below its maximum by this factor, as a logarithm.
_NEGLIGIBLE = 42.0


@dataclass(frozen=True, eq=False)
class Table:
    """A function given by polynomials on pieces of equal length, from 0.

    SciPy's PPoly does the same; its import takes longer than all else here.

    Parameters
    ----------
    coefficients : (degree + 1, pieces) array
        Of the powers of the place in a piece, in units of its length, highest first.
    """

    coefficients: np.ndarray

    def __call__(self, x: np.ndarray) -> np.ndarray:
        """Evaluate at x >= 0; beyond the last piece by its polynomial."""
        scaled = np.asarray(x, dtype=float) / _PIECE
        piece = np.minimum(scaled.astype(int), self.coefficients.shape[1] - 1)
        place = scaled - piece
        value = self.coefficients[0][piece]
        for row in self.coefficients[1:]:
            value = value * place + row[piece]
        return np.asarray(value)


def piecewise(values_at: Callable[[np.ndarray], np.ndarray], longest: float) -> list[Table]:
    """Tabulate smooth functions from 0 to `longest`, piece by piece from Chebyshev points.

    Parameters
    ----------
    values_at : callable
        x (n,) -> values of the functions, (functions, n).
    longest : float

    Examples
    --------
    >>> (table,) = piecewise(lambda x: np.exp(x)[None], 2.0)
    >>> bool(abs(table(1.3) - np.exp(1.3)) < 1e-12)
    True
    """
    nodes = 0.5 * _PIECE * (1.0 - np.cos(np.pi * (np.arange(_DEGREE + 1) + 0.5) / (_DEGREE + 1)))
    breaks = np.arange(0.0, longest + 0.5 * _PIECE, _PIECE)
    values = np.array([values_at(row) for row in breaks[:-1, None] + nodes])
    powers = np.vander(nodes / _PIECE, _DEGREE + 1)
    return [Table(np.linalg.solve(powers, values[:, i].T)) for i in range(values.shape[1])]


def log_integral(
    log_integrand: Callable[[np.ndarray], np.ndarray],
    first: np.ndarray,
    last: np.ndarray,
    look: int,
    nodes: int,
) -> np.ndarray:
    """Integrate exp(log_integrand) by the trapezoidal rule, where it is not negligible.

    Parameters
    ----------
    log_integrand : callable
        Points (n, nodes) -> logarithms.
    first, last : (n,) arrays
        The range of each integral.
    look, nodes : int
        Nodes of a first look, and between the places where the integrand is negligible.

    Returns
    -------
    (n,) array
        Logarithms of the integrals.
    """
    coarse = first[:, None] + (last - first)[:, None] * np.linspace(0.0, 1.0, look)
    log_f = log_integrand(coarse)
    matters = log_f > log_f.max(axis=1, keepdims=True) - _NEGLIGIBLE
    rows = np.arange(len(first))
    begin = np.maximum(matters.argmax(axis=1) - 1, 0)
    end = np.minimum(look - matters[:, ::-1].argmax(axis=1), look - 1)
    left, right = coarse[rows, begin], coarse[rows, end]
    log_f = log_integrand(left[:, None] + (right - left)[:, None] * np.linspace(0.0, 1.0, nodes))
    top = log_f.max(axis=1)
    total = np.exp(log_f - top[:, None]).sum(axis=1)
    return np.asarray(top + np.log(total * (right - left) / (nodes - 1)))
