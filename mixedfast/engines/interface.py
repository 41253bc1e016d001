"""Interface of a factorization of M(theta) = Lambda'Z'WZ Lambda + I.

Every factorization is an `Engine`: it solves, projects, returns blocks of the inverse and takes
other cross-products of the same structure. A direct factorization also has `Traces`, which exact
gradients and Hessians need; an engine that solves by iteration has none.

V0 = I + Z Lambda Lambda' Z' and K = Z'V0^-1 Z throughout (sigma = 1).
"""

from __future__ import annotations

from typing import Protocol, runtime_checkable

import numpy as np

from mixedfast.crossprod.types import CrossProducts
from mixedfast.errors import NotDefinedError, NotIdentifiedError

__all__ = [
    "Engine",
    "Traces",
    "check_structure",
    "shares_random_effects",
    "traces_of",
    "unsolvable",
]


class Engine(Protocol):
    """A factorization of M(theta).

    `factor` comes first; the other methods refer to the lambdas it was last called with.
    """

    name: str
    cp: CrossProducts
    #: Whether derivatives cost much more than a factorization, and that more than some
    #: milliseconds.
    is_costly: bool

    def take(self, cp: CrossProducts) -> None:
        """Take other cross-products of the same structure: sizes, random terms and pattern of Z'WZ.

        Symbolic analysis is kept; `factor` must follow. Products with another response only
        (`with_sums`) cost next to nothing.

        Raises
        ------
        ValueError
            When the structure differs.
        """

    def factor(self, lambdas: list[np.ndarray]) -> tuple[float, np.ndarray] | None:
        """Return log|M| and [X y]'V0^-1[X y].

        None when M is not numerically positive definite.
        """

    def solve(self, B: list[np.ndarray]) -> list[np.ndarray]:
        """Solve the penalized least squares of random effects on products with Z.

        Lambda M^-1 Lambda' B; B and the result are one (J,K,r) array per group.
        """

    def project(self, weights: np.ndarray | None = None) -> list[np.ndarray]:
        """Compute C = Z'V0^-1[X y] of each group, (J,K,p+1).

        Or C times weights (p+1,r), at the cost of r columns.
        """

    def posterior_blocks(self) -> list[np.ndarray]:
        """Compute the diagonal blocks of Lambda M^-1 Lambda' of each group, (J,K,K).

        Times sigma^2 they are Var(b | y, beta).
        """

    def posterior_pairs(self, g: int, h: int, i: np.ndarray, j: np.ndarray) -> np.ndarray:
        """Compute blocks of Lambda M^-1 Lambda' between levels of two groups, (m,K_g,K_h).

        Levels i (m,) of group g and levels j (m,) of another group h.
        """

    def describe(self) -> dict[str, object]:
        """Return the name and the sizes of the factorization, for the record of a fit."""


@runtime_checkable
class Traces(Protocol):
    """Products and traces of K = Z'V0^-1 Z, for exact derivatives."""

    def blocks_k(self) -> list[np.ndarray]:
        """Compute the diagonal blocks of K of each group, (J,K,K)."""

    def times_k(self, F: list[np.ndarray]) -> list[np.ndarray]:
        """Multiply by K: K F for one (J,K,r) array F per group."""

    def cross_k(self, v: list[np.ndarray]) -> tuple[np.ndarray, np.ndarray]:
        """Compute F'K F (r,r) and [X y]'V0^-1 Z F (p+1,r).

        F (q,r) holds v (J,K) of each group: v_j[d] at row c of column (c,d) of its group (see
        `mixedfast.engines.layout.spread`).
        """

    def pair_traces(self, K: list[np.ndarray]) -> dict[tuple[int, int], np.ndarray]:
        """Sum K_ij[b,c] K_ij[a,d] over all pairs of levels of groups g <= h, (K_g,K_g,K_h,K_h).

        `K` is the result of `blocks_k`.
        """

    def product_operations(self) -> float:
        """Estimate the operations of `times_k` per column."""

    def trace_operations(self) -> float:
        """Estimate the operations of `pair_traces`."""

    def trace_bytes(self) -> float:
        """Estimate the memory of `pair_traces` beyond that of the engine."""


def traces_of(engine: Engine) -> Traces:
    """Return the engine as `Traces`.

    Raises
    ------
    NotDefinedError
        When the engine solves by iteration and has no exact traces.
    """
    if not isinstance(engine, Traces):
        raise NotDefinedError(
            f"the {engine.name} engine has no exact traces, which derivatives and degrees of "
            "freedom need here: choose engine='block' or engine='cholmod'"
        )
    return engine


def unsolvable() -> NotIdentifiedError:
    """Make the error for a system that must be positive definite and is not.

    Such as the system of a fit at its own estimates.
    """
    return NotIdentifiedError(
        "the equations of the model cannot be solved at its estimates: its sums have lost their "
        "digits, or come from a file that was changed; fit the model again from the rows"
    )


def shares_random_effects(first: CrossProducts, second: CrossProducts) -> bool:
    """Return whether two cross-products hold the same arrays Z'WZ.

    They then differ in X and y at most.
    """
    return (
        len(first.groups) == len(second.groups)
        and first.pairs.keys() == second.pairs.keys()
        and all(a.A is b.A for a, b in zip(first.groups, second.groups, strict=True))
        and all(pair is second.pairs[key] for key, pair in first.pairs.items())
    )


def check_structure(cp: CrossProducts, known: CrossProducts) -> None:
    """Check that cross-products have the structure an engine was made for.

    Raises
    ------
    ValueError
        When the groups differ in number, levels or columns, or levels of two groups occur together
        that did not before.
    """
    sizes, known_sizes = ([(g.n_levels, g.k) for g in some.groups] for some in (cp, known))
    if sizes != known_sizes:
        raise ValueError(
            f"the engine was made for groups of (levels, columns) {known_sizes}, not {sizes}"
        )
    for key, pair in known.pairs.items():
        other = cp.pairs[key]
        if pair is not other and not (
            np.array_equal(pair.indptr, other.indptr)
            and np.array_equal(pair.indices, other.indices)
        ):
            first, second = (known.groups[g].name for g in key)
            raise ValueError(
                f"the levels of {first} and {second} that occur together are not those the engine "
                "was made for"
            )
