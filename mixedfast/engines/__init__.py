"""Factorizations of M(theta) = Lambda'Z'WZ Lambda + I: one interface, chosen by structure, recorded in the fit.

``block``     one grouping factor, or the largest eliminated level by level and the rest dense, one dense block for each
              connected component. Nested factors make many small components, crossed ones a single large one.
``cholmod``   any crossing or nesting, as one sparse matrix.
"""

from __future__ import annotations

from typing import Protocol

import numpy as np

from mixedfast.crossprod.types import CrossProducts
from mixedfast.engines.choose import choose

__all__ = ["Engine", "choose"]


class Engine(Protocol):
    """What the system asks of a factorization. V0 = I + Z Lambda Lambda' Z' throughout (sigma = 1).

    `factor` must come first; the other methods speak of the lambdas last given to it.
    """

    name: str
    cp: CrossProducts
    #: Whether derivatives cost much more than a factorization, and that more than some milliseconds.
    dear: bool

    def respond(self, cp: CrossProducts) -> None:
        """Take cross-products of the same rows' Z and X with another response; structure and analysis stay. Factor anew."""

    def factor(self, lambdas: list[np.ndarray]) -> tuple[float, np.ndarray] | None:
        """(log|M|, [X y]'V0^-1[X y]), or None when M is not numerically positive definite."""

    def blocks_k(self) -> list[np.ndarray]:
        """Diagonal blocks of K = Z'V0^-1 Z of each group, (J,K,K)."""

    def project(self, weights: np.ndarray | None = None) -> list[np.ndarray]:
        """C = Z'V0^-1[X y] of each group, (J,K,p+1); or C times weights (p+1,r), at the price of r columns."""

    def modes(self, B: list[np.ndarray]) -> list[np.ndarray]:
        """Lambda M^-1 Lambda' B: penalized regressions on Z of what has products B with it; (J,K,r) arrays, one a group."""

    def times_k(self, F: list[np.ndarray]) -> list[np.ndarray]:
        """K F = Z'V0^-1 Z F; F and the answer are one (J,K,r) array a group."""

    def product_operations(self) -> float:
        """About how many operations `times_k` takes for a column."""

    def cross_k(self, v: list[np.ndarray]) -> tuple[np.ndarray, np.ndarray]:
        """F'K F (r,r) and [X y]'V0^-1 Z F (p+1,r) for the F (q,r) that holds v (J,K) of each group: v_j[d] at row c of column
        (c,d) of its group (see `mixedfast.engines.layout.spread`)."""

    def pair_traces(self, K: list[np.ndarray]) -> dict[tuple[int, int], np.ndarray]:
        """sum_ij K_ij[b,c] K_ij[a,d] over all pairs of levels, (K_g,K_g,K_h,K_h) for groups g <= h."""

    def trace_operations(self) -> float:
        """About how many operations `pair_traces` takes."""

    def trace_bytes(self) -> float:
        """What `pair_traces` needs beside the engine itself, roughly."""

    def posterior(self) -> list[np.ndarray]:
        """Diagonal blocks of Lambda M^-1 Lambda' (J,K,K): Var(b | y, beta) / sigma^2."""

    def posterior_pairs(self, g: int, h: int, i: np.ndarray, j: np.ndarray) -> np.ndarray:
        """Blocks of Lambda M^-1 Lambda' between levels i of group g and levels j of another group h, (m,K_g,K_h)."""

    def describe(self) -> dict[str, object]:
        """What was chosen and how large it is, for the fit's record."""
