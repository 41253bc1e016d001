"""Relative covariance of the random effects: theta <-> lambda <-> Sigma.

A term ``(… | g)`` with k columns has a relative covariance ``H = lambda lambda'`` (``Sigma = sigma^2 H``),
lambda lower triangular, or diagonal for ``||``. ``theta`` lists the free elements of every lambda column by
column, term after term, as lme4 does. Terms that share a grouping factor share one block-diagonal lambda.

Inside a fit the columns of Z are shifted and scaled (`Scaling`), because ``(1 + year | g)`` with years near 2000
is a badly conditioned way to write a well conditioned model. The likelihood does not notice; theta is translated at the doors.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import accumulate, pairwise

import numpy as np

from mixedfast._memo import cached_property
from mixedfast._stored import stored
from mixedfast.covariance._theta import SMALLEST_DIVISOR, theta_gradient, theta_hessian

__all__ = [
    "SINGULAR_TOLERANCE",
    "SMALLEST_DIVISOR",
    "Covariance",
    "TermShape",
    "lower_cholesky",
    "lower_root",
]

#: A relative standard deviation (a diagonal element of lambda, with the column of Z scaled to order one) below this
#: counts as zero: the fit is called singular. lme4 uses the same 1e-4.
SINGULAR_TOLERANCE = 1e-4


@stored("TermShape")
@dataclass(frozen=True)
class TermShape:
    """Where one random term lives: its group, its columns in that group's block, its kind of covariance."""

    group: int
    start: int
    k: int
    correlated: bool

    @property
    def rows_columns(self) -> tuple[np.ndarray, np.ndarray]:
        """Row and column (within the group) of each theta, in theta's order."""
        rows, columns = np.array(self.elements, dtype=np.int64).reshape(-1, 2).T
        return rows, columns

    @property
    def elements(self) -> list[tuple[int, int]]:
        """The same as pairs."""
        first, end = self.start, self.start + self.k
        if not self.correlated:
            return [(a, a) for a in range(first, end)]
        return [(row, column) for column in range(first, end) for row in range(column, end)]


@dataclass(frozen=True, eq=False)
class Covariance:
    """The map from theta to one lambda a group, and derivatives through it.

    Parameters
    ----------
    terms : sequence of TermShape
    sizes : sequence of int
        Columns of Z of each group (all terms together).
    shift, scale : sequences of (K,) arrays
        Basis of each group: the fit's column is ``(z - shift) * scale`` ...
    mix : sequence of (K,K) arrays or None, optional
        ... and all of them times this (see `mixedfast.crossprod.scaling.GroupScaling`).

    Examples
    --------
    >>> cov = Covariance((TermShape(0, 0, 2, True),), (2,), (np.zeros(2),), (np.ones(2),))
    >>> cov.lambdas(np.array([1.0, 0.5, 2.0]))[0]
    array([[1. , 0. ],
           [0.5, 2. ]])
    """

    terms: tuple[TermShape, ...]
    sizes: tuple[int, ...]
    shift: tuple[np.ndarray, ...]
    scale: tuple[np.ndarray, ...]
    mix: tuple[np.ndarray | None, ...] = ()

    @cached_property
    def _index(self) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        places = [(term.group, row, column) for term in self.terms for row, column in term.elements]
        group, row, column = np.array(places, dtype=np.int64).reshape(-1, 3).T.copy()
        return group, row, column

    @property
    def n_theta(self) -> int:
        return self.edges[-1]

    @cached_property
    def diagonal(self) -> np.ndarray:
        """Which thetas are diagonal elements of lambda, bool (n_theta,)."""
        _, row, column = self._index
        return row == column

    @cached_property
    def _members(self) -> tuple[tuple[np.ndarray, np.ndarray, np.ndarray], ...]:
        """For each group: positions in theta, rows, columns."""
        group, row, column = self._index
        return tuple(
            (at := np.flatnonzero(group == g), row[at], column[at]) for g in range(len(self.sizes))
        )

    @cached_property
    def _places(self) -> list[np.ndarray]:
        """For each group: position, row and column of its thetas, (3,m) int64."""
        return [np.array(member, dtype=np.int64) for member in self._members]

    def lambdas(self, theta: np.ndarray) -> list[np.ndarray]:
        """One (..., K, K) lower triangular lambda a group, theta (..., m)."""
        blocks = []
        for size, (at, row, column) in zip(self.sizes, self._members, strict=True):
            block = np.zeros((*theta.shape[:-1], size, size))
            block[..., row, column] = theta[..., at]
            blocks.append(block)
        return blocks

    def theta_of(self, lambdas: Sequence[np.ndarray]) -> np.ndarray:
        """The free elements of some symmetric matrices or lambdas (..., K, K), as theta (..., m)."""
        theta = np.empty((*lambdas[0].shape[:-2], self.n_theta))
        for block, (at, row, column) in zip(lambdas, self._members, strict=True):
            theta[..., at] = block[..., row, column]
        return theta

    @cached_property
    def _times(self) -> np.ndarray:
        """How often each free element stands in a symmetric matrix: 1 on the diagonal, else 2."""
        return np.where(self.diagonal, 1.0, 2.0)

    def pick(self, blocks: Sequence[np.ndarray]) -> np.ndarray:
        """tr(S G) for the symmetric S with a one at each free element in turn, (m,); one symmetric (K,K) G a group."""
        return self._times * self.theta_of(blocks)

    def pick_pairs(self, blocks: dict[tuple[int, int], np.ndarray]) -> np.ndarray:
        """sum S[a,b] G[a,b,c,d] S'[c,d] for every two such S, (m,m); ``blocks[g, h]`` (K_g,K_g,K_h,K_h), g <= h."""
        out = np.empty((self.n_theta, self.n_theta))
        for (g, h), block in blocks.items():
            (at, row, column), (to, c, d) = self._members[g], self._members[h]
            both = block + block.transpose(1, 0, 2, 3)
            both = both + both.transpose(0, 1, 3, 2)
            part = 0.25 * both[row[:, None], column[:, None], c, d]
            out[at[:, None], to], out[to[:, None], at] = part, part.T
        return self._times[:, None] * self._times * out

    @property
    def identity(self) -> np.ndarray:
        """theta with every lambda the identity: lme4's starting value."""
        return self.diagonal.astype(float)

    def term_block(self, term: TermShape, blocks: Sequence[np.ndarray]) -> np.ndarray:
        inside = slice(term.start, term.start + term.k)
        return blocks[term.group][inside, inside]

    def gradient(self, lambdas: Sequence[np.ndarray], G: Sequence[np.ndarray]) -> np.ndarray:
        """d/dtheta of a function whose derivative in H_g is the symmetric matrix G_g: 2 (G lambda)_ij, (..., m)."""
        lead = lambdas[0].shape[:-2]
        out = np.empty((*lead, self.n_theta))
        flat = out.reshape(-1, self.n_theta)
        for block, g, places in zip(lambdas, G, self._places, strict=True):
            theta_gradient(_listed(block, 2), _listed(g, 2), places, flat)
        return out

    def hessian(
        self,
        lambdas: Sequence[np.ndarray],
        G: Sequence[np.ndarray],
        H: dict[tuple[int, int], np.ndarray],
    ) -> np.ndarray:
        """d2/dtheta2 from G and the second derivatives in H: ``H[g, h]`` (..., K_g, K_g, K_h, K_h), g <= h."""
        lead = lambdas[0].shape[:-2]
        out = np.empty((*lead, self.n_theta, self.n_theta))
        flat = out.reshape(-1, *out.shape[-2:])
        blocks = [_listed(block, 2) for block in lambdas]
        for (g, h), second in H.items():
            bend = _listed(G[g], 2) if g == h else None
            theta_hessian(
                blocks[g],
                blocks[h],
                _listed(second, 4),
                bend,
                self._places[g],
                self._places[h],
                flat,
            )
        return out

    def to_user(self, theta: np.ndarray) -> np.ndarray:
        """theta for the columns of Z as the user wrote them, canonical (diagonals >= 0)."""
        return self._translate(theta, [np.linalg.inv(T) for T in self.transforms])

    def to_internal(self, theta: np.ndarray) -> np.ndarray:
        """theta for the shifted and scaled columns of Z."""
        return self._translate(np.asarray(theta, dtype=float), self.transforms)

    def _translate(self, theta: np.ndarray, sides: Sequence[np.ndarray]) -> np.ndarray:
        moved = [side @ block for side, block in zip(sides, self.lambdas(theta), strict=True)]
        out = [np.zeros_like(block) for block in moved]
        for term in self.terms:
            self.term_block(term, out)[...] = lower_cholesky(self.term_block(term, moved))
        return self.theta_of(out)

    @cached_property
    def transforms(self) -> tuple[np.ndarray, ...]:
        """T (K,K) of each group, b_internal = T b_user: z b = (z - c) b + c b, and the c b go to the term's intercept.

        Where columns are mixed, T is then mix^-1 times this.
        """
        out = []
        for scale in self.scale:
            out.append(np.diag(1.0 / scale))
        for term in self.terms:
            inside = slice(term.start, term.start + term.k)
            out[term.group][term.start, inside] += (
                self.shift[term.group][inside] / self.scale[term.group][term.start]
            )
        for g, mix in enumerate(self.mix):
            if mix is not None:
                out[g] = np.linalg.solve(mix, out[g])
        return tuple(out)

    def singular_terms(self, theta: np.ndarray) -> tuple[bool, ...]:
        """Whether each term's lambda (internal basis) has a diagonal element below SINGULAR_TOLERANCE."""
        small = (np.abs(theta) < SINGULAR_TOLERANCE) & self.diagonal
        return tuple(any(part) for part in self._by_term(small.tolist()))

    def _by_term(self, listed: list[bool]) -> list[list[bool]]:
        return [listed[first:end] for first, end in pairwise(self.edges)]

    @cached_property
    def edges(self) -> list[int]:
        """Where each term's elements of theta begin and end."""
        return [
            0,
            *accumulate(
                term.k * (term.k + 1) // 2 if term.correlated else term.k for term in self.terms
            ),
        ]


def _listed(array: np.ndarray, kept: int) -> np.ndarray:
    """All axes but the last few made one, in C order."""
    return np.ascontiguousarray(array).reshape(-1, *array.shape[-kept:])


def lower_root(columns: np.ndarray) -> np.ndarray:
    """Lower triangular (k,k) L with L L' = columns columns', columns (k,r) with r >= k; by QR, nothing is squared."""
    return np.asarray(np.linalg.qr(columns.T, mode="r")).T


def lower_cholesky(root: np.ndarray) -> np.ndarray:
    """Lower triangular L with L L' = root root' and no negative diagonal; a zero pivot leaves a zero column.

    Parameters
    ----------
    root : (k, k) array
        Any square root; not squared, so that small variances keep their digits.

    Examples
    --------
    >>> lower_cholesky(np.array([[0.0, 0.0], [3.0, 4.0]]))
    array([[0., 0.],
           [0., 5.]])
    """
    k = len(root)
    work, L = np.array(root, dtype=float), np.zeros((k, k))
    if k == 1:
        return np.abs(work)
    # rows of root are reduced in turn by Householder-like rotations of its columns (an LQ factorization); a row that
    # has nothing left contributes no column, which keeps the factor of a singular matrix unique
    basis = np.zeros((0, k))
    size = np.linalg.norm(work, axis=1)
    for i in range(k):
        rest = work[i].copy()
        for _ in range(2):  # twice is enough for orthogonality (Kahan and Parlett)
            rest -= basis.T @ (basis @ rest)
        norm = np.linalg.norm(rest)
        direction = rest / norm if norm > 1e-14 * size[i] and norm > 0 else np.zeros(k)
        basis = np.vstack([basis, direction])
        L[i, : i + 1] = basis @ work[i]
    return L
