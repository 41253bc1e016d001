"""Traces and diagonal blocks of M^-1 from few probes, with the slow directions taken out exactly.

E = I - F is small but for few directions: the constant of each factor, and where the crossing has
structure, a few eigenvectors. With V (m,r) orthonormal, spanning these, and random signs s,

    z = s - V V's,    E[z z'] = I - V V'
    F^-1   = I + E + R,           R  ~ V (R V)' + mean z (R z)'
    log|F| = tr(log F + E),       tr ~ sum_V v'(log F + E)v + mean z'(log F + E)z

The diagonal blocks of E are zero, so that only R is estimated (Hutchinson 1990, Commun. Stat.
Simul. 19; deflation as in Cortinovis and Toni 2026, arXiv 2601.05778). With unit vectors for s, and
sums in place of means, all of this is exact.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from mixedfast.engines.krylov.conjugate_gradients import log_forms, solve
from mixedfast.engines.krylov.system import SchurOperator

__all__ = ["Estimates", "estimate", "ritz_directions", "signs", "slow_directions"]

#: Columns that are solved for at a time.
COLUMNS = 16
#: Norm of the residuals of probes, relative to the probe. Tolerances of 1e-5 moved the estimates of
#: 2.3 million ratings by 2e-4 standard errors, those of 1e-6 did not.
PROBE_TOLERANCE = 1e-8
#: The same for the directions that are taken out.
DIRECTION_TOLERANCE = 1e-10
#: Relative error of approximate eigenvectors that are taken out.
RITZ_TOLERANCE = 1e-2
#: Constants of components of the rest that are taken out; designs with more have small components.
MAX_CONSTANTS = 64
#: Part of a direction outside of the span of the others below which it is left out.
INDEPENDENT = 1e-8


class Estimates(NamedTuple):
    """Estimates from each probe.

    ``sums[g]`` sum_j (M^-1)_jj, (probes,k,k); ``blocks[g]`` their mean over the probes by level,
    (J,k,k); ``log_det`` log|F|, (probes,). One probe where all is exact.
    """

    sums: list[np.ndarray]
    blocks: list[np.ndarray]
    log_det: np.ndarray


def signs(m: int, probes: int, seed: int) -> np.ndarray | None:
    """Draw random signs (m,probes); None where unit vectors cost no more."""
    if m <= probes:
        return None
    return np.random.default_rng(seed).integers(0, 2, (m, probes)) * 2.0 - 1.0


def slow_directions(operator: SchurOperator, more: np.ndarray) -> np.ndarray:
    """Span the directions to take out, (m,r) orthonormal: constants of factors, and others.

    Parameters
    ----------
    operator : SchurOperator
    more : (m,r) array
        Further directions, in the coordinates of F.
    """
    layout, columns = operator.layout, []
    component = layout.component_of_level
    parts = layout.n_components
    if parts * sum(layout.k[g] for g in layout.rest) > MAX_CONSTANTS:
        component, parts = np.zeros_like(component), 1
    sizes = [layout.n_levels[g] for g in layout.rest]
    own = np.split(component, np.cumsum(sizes)[:-1])
    for g, root, part in zip(layout.rest, operator.roots, own, strict=True):
        for number in np.unique(part):
            for a in range(layout.k[g]):
                column = np.zeros(layout.m)
                # C'e_a of each level: row a of C
                column[layout.columns_of(g)] = root[:, a] * (part == number)[:, None]
                columns.append(column)
    V = np.column_stack([*columns, more])
    V /= np.maximum(np.linalg.norm(V, axis=0), INDEPENDENT)
    Q, R = np.linalg.qr(V)
    return np.ascontiguousarray(Q[:, np.abs(np.diag(R)) > INDEPENDENT])


def ritz_directions(operator: SchurOperator, count: int, seed: int) -> np.ndarray:
    """Approximate eigenvectors of E with the largest absolute eigenvalues, (m,count).

    By the implicitly restarted Lanczos method; a relative error of `RITZ_TOLERANCE` suffices,
    because any directions may be taken out.
    """
    from scipy.sparse.linalg import ArpackNoConvergence, LinearOperator, eigsh

    m = operator.layout.m

    def times_e(z: np.ndarray) -> np.ndarray:
        column = np.reshape(z, (m, 1))
        return (column - operator.times(column))[:, 0]

    E = LinearOperator((m, m), matvec=times_e, dtype=np.float64)
    start = np.random.default_rng(seed).normal(size=m)
    try:
        found = eigsh(E, count, which="LM", tol=RITZ_TOLERANCE, v0=start, ncv=2 * count + 8)[1]
    except ArpackNoConvergence as error:  # those that did converge
        found = error.eigenvectors
    return np.asarray(found, dtype=np.float64).reshape(m, -1)


def estimate(operator: SchurOperator, V: np.ndarray, random: np.ndarray | None) -> Estimates:
    """Estimate M^-1 within levels and log|F|.

    Parameters
    ----------
    operator : SchurOperator
    V : (m,r) array
        From `slow_directions`.
    random : (m,probes) array or None
        From `signs`; None for unit vectors.
    """
    layout = operator.layout
    count = layout.m if random is None else random.shape[1]
    known = _Sums(operator)
    for first in range(0, V.shape[1], COLUMNS):
        known.add(V[:, first : first + COLUMNS], DIRECTION_TOLERANCE)
    probed = _Sums(operator)
    for first in range(0, count, COLUMNS):
        last = min(first + COLUMNS, count)
        if random is None:
            z = np.zeros((layout.m, last - first))
            z[np.arange(first, last), np.arange(last - first)] = 1.0
        else:
            z = random[:, first:last]
        probed.add(z - V @ (V.T @ z), PROBE_TOLERANCE if random is not None else 1e-12)
    share = 1.0 if random is None else 1.0 / count
    lead = operator.explained_lead()
    sums, blocks = [], []
    for g in range(len(layout.k)):
        each = np.concatenate(probed.each[g])
        if random is None:
            each = each.sum(axis=0, keepdims=True)
        middle = known.blocks[g] + share * probed.blocks[g] + np.eye(layout.k[g])
        exact = np.concatenate(known.each[g]).sum(axis=0)
        if g == layout.lead:
            outer = operator.inverse_root.transpose(0, 2, 1)  # T^-T
            middle = middle + lead
            fixed = outer @ (lead + np.eye(layout.k[g])) @ outer.transpose(0, 2, 1)
        else:
            outer = operator.scaled[layout.rest.index(g)]
            fixed = outer @ outer.transpose(0, 2, 1)
        blocks.append(outer @ middle @ outer.transpose(0, 2, 1))
        sums.append(fixed.sum(axis=0) + exact + each)
    logs = np.concatenate(probed.logs)
    if random is None:
        logs = logs.sum(keepdims=True)
    return Estimates(sums, blocks, sum(part.sum() for part in known.logs) + logs)


class _Sums:
    """Sums over columns z of z (R z)' within levels, and of z'(log F + E)z."""

    def __init__(self, operator: SchurOperator) -> None:
        self.operator, layout = operator, operator.layout
        self.each: list[list[np.ndarray]] = [[] for _ in layout.k]
        self.blocks = [np.zeros((J, k, k)) for J, k in zip(layout.n_levels, layout.k, strict=True)]
        self.logs: list[np.ndarray] = []

    def add(self, z: np.ndarray, tolerance: float) -> None:
        """Add columns (m,r)."""
        operator, layout = self.operator, self.operator.layout
        solved = solve(operator.times, z, tolerance)
        Ez = z - operator.times(z)
        self.logs.append(log_forms(z, solved) + np.einsum("ij,ij->j", z, Ez))
        beyond = solved.x - z - Ez
        for i, g in enumerate(layout.rest):
            columns = layout.columns_of(g)
            self._add(g, z[columns], beyond[columns], operator.scaled[i])
        first = operator.lead_part(operator.G @ z)
        second = operator.lead_part(operator.G @ (solved.x - z))
        self._add(layout.lead, first, second, operator.inverse_root.transpose(0, 2, 1))

    def _add(self, g: int, left: np.ndarray, right: np.ndarray, outer: np.ndarray) -> None:
        """Add (J,k,r) factors; `outer` (J,k,k) leads to the coordinates of M."""
        product = np.matmul(left, right.transpose(0, 2, 1))
        self.blocks[g] += 0.5 * (product + product.transpose(0, 2, 1))
        left, right = np.matmul(outer, left), np.matmul(outer, right)
        each = np.einsum("jas,jbs->sab", left, right, optimize=True)
        self.each[g].append(0.5 * (each + each.transpose(0, 2, 1)))
