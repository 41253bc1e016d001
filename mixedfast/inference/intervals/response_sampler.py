"""Random responses from a fitted model, drawn as cross-products without rows.

With D = [Z X] and ``y* = X beta + Z b* + e``, e ~ N(0, sigma^2 I) (rows times sqrt(weight), as
everywhere), a refit needs only

    Z'y* = Z'X beta + Z'Z b* + Z'e,   X'y* = X'X beta + X'Z b* + X'e,   y*'y*

and ``D'e ~ N(0, sigma^2 D'D)``. A factor ``D'D = F F'``, its columns standing for orthonormal
directions in the space D spans, turns independent normals z into ``D'e = sigma F z``. The same z
give the squared length of the projection of e, ``sigma^2 z'z``; the rest of e has squared length
``sigma^2 chi^2`` with n - rank(D) degrees of freedom. F is built by eliminating blocks: levels of
the largest factor, then the connected components of the rest, then X. Every block is factored by
its eigenvalues, so that columns may be dependent (an intercept in both Z and X).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from mixedfast.crossprod.new_response import Responses
from mixedfast.engines.layout import Layout, lay_out, times_a
from mixedfast.errors import NotDefinedError

if TYPE_CHECKING:
    from mixedfast.crossprod.types import CrossProducts
    from mixedfast.estimation.fit import Fit

__all__ = ["ResponseSampler", "semidefinite_root"]

#: Eigenvalue, as a fraction of the sums of squares of the columns, below which a direction is
#: dependent. Cross-products have 16 digits; each elimination may lose a few.
_RANK_TOLERANCE = 1e-9
#: Scalar columns of a dense component beyond which its factor does not fit in ordinary memory: 8
#: m^2 bytes, three times.
_MAX_DENSE = 12_000


def semidefinite_root(A: np.ndarray, size: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Compute F and H with F F' = A and H A H' = diag(kept), a batch at a time.

    Parameters
    ----------
    A : (..., k, k) array
        Positive semidefinite up to rounding.
    size : (..., k) array
        Squared lengths of the columns before elimination, which rounding is relative to.

    Returns
    -------
    F, H : (..., k, k) arrays
        Columns of F and rows of H are zero for directions in which A is zero.
    kept : (..., k) bool array
        The other directions.

    Examples
    --------
    >>> F, H, kept = semidefinite_root(np.ones((2, 2)), np.ones(2))
    >>> np.allclose(F @ F.T, 1.0), kept.tolist()
    (True, [False, True])
    """
    unit = np.sqrt(np.where(size > 0, size, 1.0))
    values, vectors = np.linalg.eigh(A / (unit[..., :, None] * unit[..., None, :]))
    kept = values > _RANK_TOLERANCE
    root = np.sqrt(np.where(kept, values, 0.0))
    inverse = np.divide(1.0, root, out=np.zeros_like(root), where=kept)
    F = unit[..., :, None] * vectors * root[..., None, :]
    H = (vectors * inverse[..., None, :]).swapaxes(-1, -2) / unit[..., None, :]
    return F, H, kept


@dataclass(frozen=True, eq=False)
class _Block:
    """Components of one size: columns (c,s) of the rest, their F and H (c,s,s)."""

    columns: np.ndarray
    F: np.ndarray
    H: np.ndarray

    def times(self, block: np.ndarray, rows: np.ndarray, out: np.ndarray) -> None:
        """Multiply the rows of these components by one block (s,s) each, into out."""
        out[self.columns] = block @ rows[self.columns]


class ResponseSampler:
    """A sampler of responses from a fitted model.

    Parameters
    ----------
    fit : Fit

    Raises
    ------
    NotDefinedError
        When crossed factors leave a dense component too large to factor.

    Examples
    --------
    >>> import mixedfast as mf
    >>> m = mf.lmer("Yield ~ 1 + (1 | Batch)", mf.load_dataset("dyestuff"))
    >>> sampler = ResponseSampler(m._fit)
    >>> sampler.draw([np.random.default_rng(1), np.random.default_rng(2)]).yy.shape
    (2,)
    """

    def __init__(self, fit: Fit) -> None:
        cp = self.cp = fit.cp
        self.beta = fit.solution.beta
        self.sigma = float(np.sqrt(fit.solution.r2 / fit.nu))
        self.roots = [self.sigma * block for block in fit.covariance.lambdas(fit.theta_internal)]
        layout = self._layout = lay_out(cp)
        lead = cp.groups[layout.lead]
        A, p = lead.A, cp.p
        self._F, H, kept = semidefinite_root(A, np.einsum("jaa->ja", A))
        self._kept = [kept.ravel(), np.ones(layout.m, dtype=bool)]
        self._X_lead = np.matmul(H, lead.B[:, :, :p])
        left = cp.xy[:p, :p] - np.einsum("jas,jat->st", self._X_lead, self._X_lead)
        self._blocks: list[_Block] = []
        if layout.rest:
            self._border, self._blocks, self._kept[1] = _eliminate(cp, layout, H)
            flat = self._X_lead.reshape(-1, p)
            X_rest = (
                layout.stack([cp.groups[g].B[:, :, :p] for g in layout.rest])
                - self._border.T @ flat
            )
            self._X_rest = np.empty_like(X_rest)
            for block in self._blocks:
                block.times(block.H, X_rest, self._X_rest)
            left = left - self._X_rest.T @ self._X_rest
        self._F_x, _, kept = semidefinite_root(left, np.diag(cp.xy)[:p])
        self._kept.append(kept)
        self.rank = int(sum(part.sum() for part in self._kept))
        self._sizes = [
            lead.A.shape[0] * lead.k,
            layout.m,
            p,
            *(g.n_levels * g.k for g in cp.groups),
        ]

    @property
    def numbers_per_draw(self) -> int:
        """Number of normal variates that one response takes."""
        return int(sum(self._sizes))

    def draw(self, generators: Sequence[np.random.Generator]) -> Responses:
        """Draw one response from each generator; it depends on its own generator only.

        Parameters
        ----------
        generators : sequence of numpy.random.Generator

        Returns
        -------
        Responses
        """
        cp, layout, p, R = self.cp, self._layout, self.cp.p, len(generators)
        lead = cp.groups[layout.lead]
        normals = np.array([rng.standard_normal(self.numbers_per_draw) for rng in generators])
        spare = cp.n - self.rank
        beyond = np.array([rng.chisquare(spare) if spare > 0 else 0.0 for rng in generators])
        z_lead, z_rest, z_x, *z_b = np.split(
            self.sigma * normals, np.cumsum(self._sizes)[:-1], axis=1
        )

        # D'e, from the orthonormal directions of each block, and e'e
        first = z_lead.T.reshape(lead.n_levels, lead.k, R)
        e_parts = [np.empty(0)] * len(cp.groups)
        e_parts[layout.lead] = self._F @ first
        e_x = self._F_x @ z_x.T + np.tensordot(self._X_lead, first, ((0, 1), (0, 1)))
        if layout.rest:
            rest = np.ascontiguousarray(z_rest.T)
            own = np.empty_like(rest)
            for block in self._blocks:
                block.times(block.F, rest, own)
            own += self._border.T @ first.reshape(-1, R)
            e_x += self._X_rest.T @ rest
            for g, part in zip(layout.rest, layout.unstack(own), strict=True):
                e_parts[g] = part
        parts = zip((z_lead, z_rest, z_x), self._kept, strict=True)
        ee = sum((z[:, kept] ** 2).sum(axis=1) for z, kept in parts) + self.sigma**2 * beyond

        # b* and its products
        b = [
            (root / self.sigma) @ z.T.reshape(group.n_levels, group.k, R)
            for root, z, group in zip(self.roots, z_b, cp.groups, strict=True)
        ]
        Ab = times_a(cp, b)
        xx = cp.xy[:p, :p]
        Xzb = sum(
            np.tensordot(group.B[:, :, :p], part, ((0, 1), (0, 1)))
            for group, part in zip(cp.groups, b, strict=True)
        )
        yy = self.beta @ xx @ self.beta + 2.0 * self.beta @ (Xzb + e_x) + ee
        zy = []
        for group, part, a, e in zip(cp.groups, b, Ab, e_parts, strict=True):
            yy = yy + np.einsum("jar,jar->r", part, a + 2.0 * e)
            whole = a + e + (group.B[:, :, :p] @ self.beta)[:, :, None]
            zy.append(np.ascontiguousarray(np.moveaxis(whole, 2, 0)))
        return Responses(zy, (xx @ self.beta)[None] + (Xzb + e_x).T, yy)


def _eliminate(
    cp: CrossProducts, layout: Layout, H: np.ndarray
) -> tuple[Any, list[_Block], np.ndarray]:
    """Eliminate the largest factor and factor the components of the rest.

    H A_1r (sparse, (q_1, m)), the factored components of the Schur complement of the rest, and its
    directions (m,).
    """
    from scipy.sparse import csr_array

    largest = int(np.diff(layout.start).max())
    if largest > _MAX_DENSE:
        raise NotDefinedError(
            f"the crossed factors leave a connected component of {largest} random effects; drawing "
            f"responses without rows factors it densely, up to {_MAX_DENSE}. Use "
            "row_space_bootstrap, which simulates rows."
        )
    ptr, cols = layout.border
    k = H.shape[1]
    rows = (layout.border_rows[:, None] * k + np.arange(k)).ravel()
    border = csr_array(
        (layout.border_times(H, layout.border_values(cp)).ravel(), (rows, np.repeat(cols, k))),
        shape=(k * (len(ptr) - 1), layout.m),
    )
    A_rr = layout.rest_matrix(cp)
    schur = (A_rr - border.T @ border).tocoo()
    original = A_rr.diagonal()
    sizes = np.diff(layout.start)
    component = np.repeat(np.arange(layout.n_components), sizes)
    row, col, data = schur.row, schur.col, schur.data
    blocks, kept = [], np.zeros(layout.m, dtype=bool)
    for s in np.unique(sizes[sizes > 0]):
        members = np.flatnonzero(sizes == s)
        place = np.full(layout.n_components, -1)
        place[members] = np.arange(len(members))
        mine = place[component[row]] >= 0
        dense = np.zeros((len(members), s, s))
        at = component[row[mine]]
        dense[place[at], row[mine] - layout.start[at], col[mine] - layout.start[at]] = data[mine]
        columns = layout.start[members][:, None] + np.arange(s)
        F, H_rest, kept[columns] = semidefinite_root(dense, original[columns])
        blocks.append(_Block(columns, F, H_rest))
    return border, blocks, kept
