"""Relative covariance of the random effects: theta <-> lambda <-> Sigma.

A term ``(… | g)`` with k columns has a covariance ``Sigma = sigma^2 H`` and a relative covariance
``H = lambda lambda'`` with a structure (`mixedfast.covariance.structures`): lambda is lower
triangular, or diagonal for ``||``. ``theta`` lists the parameters of all structures, term after
term; for these two they are the free elements of lambda column by column, as in lme4. Terms that
share a grouping factor share one block-diagonal lambda.

Inside a fit the columns of Z are shifted and scaled (`Scaling`), because ``(1 + year | g)`` with
years near 2000 is a badly conditioned form of a well conditioned model. The likelihood is the same;
theta is translated on the way in and out.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, fields
from functools import lru_cache
from itertools import accumulate, pairwise
from typing import Any, NamedTuple

import numpy as np

from mixedfast._memo import cached_property
from mixedfast._stored import stored
from mixedfast.covariance._theta import (
    SMALLEST_DIVISOR,
    lower_roots,
    theta_gradient,
    theta_hessian,
)
from mixedfast.covariance.structures import Structure, structure_of

__all__ = [
    "SINGULAR_TOLERANCE",
    "SMALLEST_DIVISOR",
    "Covariance",
    "TermShape",
    "lower_cholesky",
    "lower_root",
]

#: A relative standard deviation (a diagonal element of lambda, with the column of Z scaled to order
#: one) below this counts as zero: the fit is called singular. lme4 uses the same 1e-4.
SINGULAR_TOLERANCE = 1e-4


@stored("TermShape")
@dataclass(frozen=True)
class TermShape:
    """The place of one random term in its group, and its structure."""

    group: int
    start: int
    k: int
    correlated: bool

    @property
    def structure(self) -> Structure:
        """The structure of its covariance."""
        return structure_of(self.k, self.correlated)

    @property
    def rows_columns(self) -> tuple[np.ndarray, np.ndarray]:
        """Row and column (within the group) of each element of lambda that can differ from zero."""
        rows, columns = self.structure.places + self.start
        return rows, columns


@dataclass(frozen=True, eq=False)
class Covariance:
    """The map from theta to one lambda per group, and derivatives through it.

    Parameters
    ----------
    terms : sequence of TermShape
    sizes : sequence of int
        Columns of Z of each group (all terms together).
    shift, scale : sequences of (K,) arrays
        Basis of each group: the columns of the fit are ``(z - shift) * scale`` ...
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

    def __getstate__(self) -> dict[str, Any]:
        """Return the fields without what is computed from them."""
        return {field.name: getattr(self, field.name) for field in fields(self)}

    @cached_property
    def edges(self) -> list[int]:
        """Edges of the parameters of each term in theta."""
        return [0, *accumulate(term.structure.size for term in self.terms)]

    @property
    def n_theta(self) -> int:
        """Number of parameters."""
        return self.edges[-1]

    @property
    def n_elements(self) -> int:
        """Number of elements of the lambdas that can differ from zero, E."""
        return len(self.diagonal)

    @cached_property
    def _is_elementary(self) -> bool:
        """Whether theta lists elements of lambda."""
        return all(term.structure.is_elementary for term in self.terms)

    @cached_property
    def _layout(self) -> _Layout:
        """The places of the elements, which models of the same terms share."""
        return _layout(tuple(self.terms), len(self.sizes))

    @property
    def _members(self) -> tuple[tuple[np.ndarray, np.ndarray, np.ndarray], ...]:
        """For each group: positions among the elements, rows, columns."""
        return self._layout.members

    @property
    def _places(self) -> tuple[np.ndarray, ...]:
        """For each group: position, row and column of its elements, (3,E) int64."""
        return self._layout.places

    @property
    def diagonal(self) -> np.ndarray:
        """Whether each element is on the diagonal of lambda, bool (E,)."""
        return self._layout.diagonal

    @cached_property
    def _element_edges(self) -> list[int]:
        """Edges of the elements of each term."""
        return [0, *accumulate(term.structure.places.shape[1] for term in self.terms)]

    def _by_term(self, listed: np.ndarray) -> Iterator[tuple[Structure, np.ndarray]]:
        """Split elements (..., E) by term, each with its structure."""
        for term, (first, end) in zip(self.terms, pairwise(self._element_edges), strict=True):
            yield term.structure, listed[..., first:end]

    def _theta_by_term(self, theta: np.ndarray) -> list[np.ndarray]:
        """Split theta (..., m) by term."""
        return [theta[..., first:end] for first, end in pairwise(self.edges)]

    def elements(self, theta: np.ndarray) -> np.ndarray:
        """Compute the elements of the lambdas that can differ from zero.

        (..., E) from theta (..., m).
        """
        if self._is_elementary:
            return theta
        parts = zip(self.terms, self._theta_by_term(theta), strict=True)
        return np.concatenate([term.structure.elements(own) for term, own in parts], axis=-1)

    def lambdas(self, theta: np.ndarray) -> list[np.ndarray]:
        """Compute one (..., K, K) lower triangular lambda per group, theta (..., m)."""
        return self.blocks(self.elements(theta))

    def blocks(self, elements: np.ndarray) -> list[np.ndarray]:
        """Place elements (..., E) in one lower triangular (..., K, K) block per group."""
        blocks = []
        for size, (at, row, column) in zip(self.sizes, self._members, strict=True):
            block = np.zeros((*elements.shape[:-1], size, size))
            block[..., row, column] = elements[..., at]
            blocks.append(block)
        return blocks

    def elements_of(self, blocks: Sequence[np.ndarray]) -> np.ndarray:
        """Read the elements (..., E) of lambdas or symmetric matrices.

        One (..., K, K) per group.
        """
        elements = np.empty((*blocks[0].shape[:-2], self.n_elements))
        for block, (at, row, column) in zip(blocks, self._members, strict=True):
            elements[..., at] = block[..., row, column]
        return elements

    def theta_of(self, lambdas: Sequence[np.ndarray]) -> np.ndarray:
        """Compute theta (..., m) from lambdas of these structures, one (..., K, K) per group."""
        elements = self.elements_of(lambdas)
        if self._is_elementary:
            return elements
        parts = [structure.theta_of(own) for structure, own in self._by_term(elements)]
        return np.concatenate(parts, axis=-1)

    @property
    def _times(self) -> np.ndarray:
        """Number of places of each element in a symmetric matrix: 1 on the diagonal, else 2."""
        return self._layout.times

    def pick(self, blocks: Sequence[np.ndarray]) -> np.ndarray:
        """Compute tr(S G) for the symmetric S with a one at each element in turn, (E,).

        One symmetric G (K,K) per group.
        """
        return self._times * self.elements_of(blocks)

    def pick_pairs(self, blocks: dict[tuple[int, int], np.ndarray]) -> np.ndarray:
        """Sum S[a,b] G[a,b,c,d] S'[c,d] for every two such S, (E,E).

        ``blocks[g, h]`` (K_g,K_g,K_h,K_h), g <= h.
        """
        out = np.empty((self.n_elements, self.n_elements))
        for (g, h), block in blocks.items():
            (at, row, column), (to, c, d) = self._members[g], self._members[h]
            both = block + block.transpose(1, 0, 2, 3)
            both = both + both.transpose(0, 1, 3, 2)
            part = 0.25 * both[row[:, None], column[:, None], c, d]
            out[at[:, None], to], out[to[:, None], at] = part, part.T
        return self._times[:, None] * self._times * out

    @cached_property
    def identity(self) -> np.ndarray:
        """theta with every lambda the identity, the starting value of lme4."""
        return np.concatenate([term.structure.start for term in self.terms])

    def term_block(self, term: TermShape, blocks: Sequence[np.ndarray]) -> np.ndarray:
        """Return the block (..., k, k) of one term in that of its group, as a view."""
        inside = slice(term.start, term.start + term.k)
        return blocks[term.group][..., inside, inside]

    def gradient(self, lambdas: Sequence[np.ndarray], G: Sequence[np.ndarray]) -> np.ndarray:
        """Compute d/dtheta (..., m) of a function with derivatives G_g in H_g.

        The G_g are symmetric; the derivative in an element of lambda is 2 (G lambda)_ij.
        """
        out = np.empty((*lambdas[0].shape[:-2], self.n_elements))
        flat = out.reshape(-1, out.shape[-1])
        for block, g, places in zip(lambdas, G, self._places, strict=True):
            theta_gradient(_listed(block, 2), _listed(g, 2), places, flat)
        if self._is_elementary:
            return out
        return np.einsum("...e,...em->...m", out, self._jacobian(self.theta_of(lambdas)))

    def hessian(
        self,
        lambdas: Sequence[np.ndarray],
        G: Sequence[np.ndarray],
        H: dict[tuple[int, int], np.ndarray],
    ) -> np.ndarray:
        """Compute d2/dtheta2 (..., m, m) from G and the second derivatives in H.

        ``H[g, h]`` (..., K_g, K_g, K_h, K_h), g <= h.
        """
        out = np.empty((*lambdas[0].shape[:-2], self.n_elements, self.n_elements))
        flat = out.reshape(-1, *out.shape[-2:])
        blocks = [_listed(block, 2) for block in lambdas]
        for (g, h), second in H.items():
            theta_hessian(
                blocks[g],
                blocks[h],
                _listed(second, 4),
                _listed(G[g], 2) if g == h else None,
                self._places[g],
                self._places[h],
                flat,
            )
        return out if self._is_elementary else self._hessian_of_structures(lambdas, G, out)

    def _hessian_of_structures(
        self, lambdas: Sequence[np.ndarray], G: Sequence[np.ndarray], H: np.ndarray
    ) -> np.ndarray:
        """Transform a Hessian in the elements (..., E, E) to one in theta.

        J'H J + sum_e g_e d2 lambda_e/dtheta2
        """
        theta = self.theta_of(lambdas)
        J = self._jacobian(theta)
        out = np.einsum("...em,...ef,...fn->...mn", J, H, J)
        # 2 (G lambda)_ij again
        g = self.elements_of(
            [2.0 * np.matmul(own, lam) for own, lam in zip(G, lambdas, strict=True)]
        )
        own_theta = self._theta_by_term(theta)
        for i, (structure, weights) in enumerate(self._by_term(g)):
            own = slice(self.edges[i], self.edges[i + 1])
            out[..., own, own] += structure.curvature(own_theta[i], weights)
        return out

    def _jacobian(self, theta: np.ndarray) -> np.ndarray:
        """Compute the derivatives of the elements in theta, (..., E, m), block diagonal by term."""
        out = np.zeros((*theta.shape[:-1], self.n_elements, self.n_theta))
        rows, columns = pairwise(self._element_edges), pairwise(self.edges)
        parts = zip(self.terms, self._theta_by_term(theta), rows, columns, strict=True)
        for term, own, (first, end), (left, right) in parts:
            out[..., first:end, left:right] = term.structure.jacobian(own)
        return out

    def to_user(self, theta: np.ndarray) -> np.ndarray:
        """Translate theta to the columns of Z in the data; canonical (diagonals >= 0)."""
        return self._translate(theta, [np.linalg.inv(T) for T in self.transforms])

    def to_internal(self, theta: np.ndarray) -> np.ndarray:
        """Translate theta to the shifted and scaled columns of Z."""
        return self._translate(np.asarray(theta, dtype=float), self.transforms)

    def _translate(self, theta: np.ndarray, sides: Sequence[np.ndarray]) -> np.ndarray:
        """Compute theta of side H side' for one side (K,K) per group."""
        moved = [side @ block for side, block in zip(sides, self.lambdas(theta), strict=True)]
        out = [np.zeros_like(block) for block in moved]
        for term in self.terms:
            self.term_block(term, out)[...] = lower_cholesky(self.term_block(term, moved))
        return self.theta_of(out)

    @cached_property
    def transforms(self) -> tuple[np.ndarray, ...]:
        """T (K,K) of each group, b_internal = T b_user.

        z b = (z - c) b + c b, and the c b go to the intercept of the term. Where columns are mixed,
        T is mix^-1 times this.
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
        """Return whether each term is singular.

        Its lambda (internal basis) then has a diagonal element below SINGULAR_TOLERANCE.
        """
        small = ((np.abs(self.elements(theta)) < SINGULAR_TOLERANCE) & self.diagonal).tolist()
        return tuple(any(small[first:end]) for first, end in pairwise(self._element_edges))


class _Layout(NamedTuple):
    """See the properties of `Covariance`; the arrays are not written to."""

    members: tuple[tuple[np.ndarray, np.ndarray, np.ndarray], ...]
    places: tuple[np.ndarray, ...]
    diagonal: np.ndarray
    times: np.ndarray


@lru_cache(maxsize=256)
def _layout(terms: tuple[TermShape, ...], n_groups: int) -> _Layout:
    """Find group, row and column of each element of the lambdas that can differ from zero."""
    row, column = np.hstack([term.structure.places + term.start for term in terms])
    group = np.concatenate([np.full(term.structure.places.shape[1], term.group) for term in terms])
    members = tuple(
        (at := np.flatnonzero(group == g), row[at], column[at]) for g in range(n_groups)
    )
    places = tuple(np.array(member, dtype=np.int64) for member in members)
    diagonal = row == column
    made = _Layout(members, places, diagonal, np.where(diagonal, 1.0, 2.0))
    for array in (*(a for m in members for a in m), *places, diagonal, made.times):
        array.flags.writeable = False
    return made


def _listed(array: np.ndarray, kept: int) -> np.ndarray:
    """Merge all axes but the last few into one, in C order."""
    return np.ascontiguousarray(array).reshape(-1, *array.shape[-kept:])


def lower_root(columns: np.ndarray) -> np.ndarray:
    """Compute a lower triangular L (k,k) with L L' = columns columns'.

    Columns (k,r) with r >= k. By QR, so that nothing is squared.
    """
    return np.asarray(np.linalg.qr(columns.T, mode="r")).T


def lower_cholesky(root: np.ndarray) -> np.ndarray:
    """Compute a lower triangular L with L L' = root root' and no negative diagonal.

    A zero pivot leaves a zero column.

    Parameters
    ----------
    root : (..., k, k) array
        Any square root; not squared, so that small variances keep their digits.

    Examples
    --------
    >>> lower_cholesky(np.array([[0.0, 0.0], [3.0, 4.0]]))
    array([[0., 0.],
           [0., 5.]])
    """
    k = root.shape[-1]
    if k == 1:
        return np.abs(np.asarray(root, dtype=float))
    return lower_roots(np.ascontiguousarray(root, dtype=float).reshape(-1, k, k)).reshape(
        root.shape
    )
