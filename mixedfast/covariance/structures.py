"""Structures of the relative covariance of one random term.

A structure maps m parameters theta to a lower triangular root lambda of the relative covariance of
the k columns of a term, ``H = lambda lambda'``, by way of the E elements of lambda that can differ
from zero. `Unstructured` and `Diagonal` are the two of ``|`` and ``||``; their parameters are these
elements themselves, as in lme4.
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import cache
from typing import Protocol

import numpy as np

__all__ = ["Diagonal", "FreeElements", "Structure", "Unstructured", "structure_of"]


class Structure(Protocol):
    """The covariance structure of one random term.

    Attributes
    ----------
    k : int
        Columns of the term.
    size : int
        Number of parameters, m.
    places : (2, E) int64 array
        Row and column of each element of lambda that can differ from zero, column by column.
    is_elementary : bool
        Whether theta lists these elements themselves (m = E).
    start : (m,) array
        theta of lambda = I.
    lower : (m,) array
        Lower bounds of a canonical theta; a search may pass them where the sign of a column of
        lambda does not matter.
    natural : sequence of (a, b)
        Natural parameters in the order of tables: the standard deviation of column a for a = b, the
        correlation of columns a > b.
    """

    k: int
    size: int
    places: np.ndarray
    is_elementary: bool
    start: np.ndarray
    lower: np.ndarray
    natural: Sequence[tuple[int, int]]

    def names(self, columns: Sequence[str]) -> list[str]:
        """Name the natural parameters of columns with these names."""

    def elements(self, theta: np.ndarray) -> np.ndarray:
        """Compute the elements (..., E) of lambda from theta (..., m)."""

    def theta_of(self, elements: np.ndarray) -> np.ndarray:
        """Compute theta (..., m) from the elements (..., E) of a lambda of this structure."""

    def jacobian(self, theta: np.ndarray) -> np.ndarray:
        """Compute the derivatives of the elements in theta (..., m), (..., E, m)."""

    def curvature(self, theta: np.ndarray, weights: np.ndarray) -> np.ndarray:
        """Sum weights times the second derivatives of the elements.

        Weights (..., E) and theta (..., m) to (..., m, m).
        """

    def descent_directions(self, slopes: np.ndarray, scale: np.ndarray) -> list[np.ndarray]:
        """Find directions v (k,) in which a criterion falls when variance vv' is added to H.

        Parameters
        ----------
        slopes : (k, k) array
            Derivative of the criterion in H.
        scale : (k,) array
            Scales of the columns: eigenvectors are those of slopes scaled by them.
        """


class FreeElements:
    """A structure whose parameters are elements of lambda.

    Parameters
    ----------
    k : int
    rows, columns : sequences of int
        Places of the elements in lambda, column by column, each diagonal element among them.
    """

    is_elementary = True

    def __init__(self, k: int, rows: Sequence[int], columns: Sequence[int]) -> None:
        self.k, self.size = k, len(rows)
        self.places = np.array([rows, columns], dtype=np.int64)
        self.natural: Sequence[tuple[int, int]] = tuple(zip(rows, columns, strict=True))
        self.start = np.array([float(a == b) for a, b in self.natural])
        self.lower = np.where(self.start > 0.0, 0.0, -np.inf)

    def names(self, columns: Sequence[str]) -> list[str]:
        return [
            f"sd_{columns[a]}" if a == b else f"cor_{columns[a]}.{columns[b]}"
            for a, b in self.natural
        ]

    def elements(self, theta: np.ndarray) -> np.ndarray:
        return theta

    def theta_of(self, elements: np.ndarray) -> np.ndarray:
        return elements

    def jacobian(self, theta: np.ndarray) -> np.ndarray:
        return np.broadcast_to(np.eye(self.size), (*theta.shape, self.size))

    def curvature(self, theta: np.ndarray, weights: np.ndarray) -> np.ndarray:
        return np.zeros((*theta.shape, self.size))


class Unstructured(FreeElements):
    """Any covariance of k columns: lambda is lower triangular."""

    def __init__(self, k: int) -> None:
        places = [(row, column) for column in range(k) for row in range(column, k)]
        super().__init__(k, *zip(*places, strict=True))

    def descent_directions(self, slopes: np.ndarray, scale: np.ndarray) -> list[np.ndarray]:
        values, vectors = np.linalg.eigh(slopes * np.outer(scale, scale))
        return [scale * vectors[:, 0]] if values[0] < 0 else []


class Diagonal(FreeElements):
    """Uncorrelated columns: lambda is diagonal."""

    def __init__(self, k: int) -> None:
        super().__init__(k, range(k), range(k))

    def descent_directions(self, slopes: np.ndarray, scale: np.ndarray) -> list[np.ndarray]:
        return [scale[a] * np.eye(self.k)[a] for a in range(self.k) if slopes[a, a] < 0]


@cache
def structure_of(k: int, correlated: bool) -> Structure:
    """Return the structure of ``|`` (correlated) or ``||`` for k columns."""
    return Unstructured(k) if correlated else Diagonal(k)
