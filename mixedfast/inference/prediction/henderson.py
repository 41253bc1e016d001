"""The joint uncertainty of beta and b, row by row, from Henderson's mixed model equations.

They give Var([beta^ - beta; b^ - b]) = sigma^2 C^-1, of order p + q. It is never formed:
eliminating b,

    (x, z) C^-1 (x, z)' = (x - C_X'H z)' Phi (x - C_X'H z) + z'Q z,
    Q = Lambda M^-1 Lambda',  C_X = Z'V0^-1 X,

and z has K nonzero elements per grouping factor. So a row needs p x K numbers of each of its
groups, the diagonal block of Q there, and for crossed factors the block of Q between its levels.
The same quadratic form times the weight of the row is the diagonal of the conditional hat matrix
(Bates et al. 2015, JSS 67(1), section 3.6; Henderson 1975, Biometrics 31).
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from mixedfast.engines.interface import Engine
from mixedfast.estimation.fit import Fit
from mixedfast.estimation.linear_fit import GeneralizedFit, LinearFit, is_generalized
from mixedfast.inference.prediction.row_tiles import ModelRows

__all__ = [
    "HendersonBlocks",
    "henderson_blocks",
    "linear_predictor",
    "prior_variance",
    "relative_variance",
]


@dataclass(frozen=True, eq=False)
class HendersonBlocks:
    """The blocks of C^-1 that predictions for rows need; sigma = 1, internal basis.

    Parameters
    ----------
    W : (p, p) array
        The squared length of ``x W`` is x'Phi x, x a row of X.
    P : list of (J, K, p) arrays
        H C_X W by group.
    Q : list of (J, K, K) arrays
        Diagonal blocks of Lambda M^-1 Lambda'.
    H : list of (K, K) arrays
        Relative prior covariance lambda lambda'.
    modes : list of (J, K) arrays
        Conditional modes, in units of the response.
    engine : Engine or None
        Has the factor of M, for blocks between groups; None for a regression without groups.
    """

    W: np.ndarray
    P: list[np.ndarray]
    Q: list[np.ndarray]
    H: list[np.ndarray]
    modes: list[np.ndarray]
    engine: Engine | None


def henderson_blocks(fit: LinearFit) -> HendersonBlocks:
    """Compute the blocks of a fit, memoised."""

    def make() -> HendersonBlocks:
        """Compute the blocks."""
        W = fit.whitening
        if is_generalized(fit):
            return _of_working_model(fit)
        if not isinstance(fit, Fit):
            return HendersonBlocks(W, [], [], [], [], None)
        system = fit.system
        H = [block @ block.T for block in system.lambdas]
        P = [np.matmul(h, d) for h, d in zip(H, system.D, strict=True)]
        modes = [v @ h / fit.cp.scale[-1] for v, h in zip(system.v, H, strict=True)]
        return HendersonBlocks(W, P, system.engine.posterior_blocks(), H, modes, system.engine)

    return fit.memo("henderson blocks", make)


def _of_working_model(fit: GeneralizedFit) -> HendersonBlocks:
    """Compute the blocks of a generalized model, with the weights at its conditional modes."""
    W, engine = fit.whitening, fit.solved
    H = [block @ block.T for block in fit.lambdas]
    C = [c[:, :, :-1] @ W for c in engine.project()]
    P = [np.matmul(h, d) for h, d in zip(H, C, strict=True)]
    return HendersonBlocks(W, P, engine.posterior_blocks(), H, list(fit.modes_internal), engine)


def linear_predictor(fit: LinearFit, rows: ModelRows) -> np.ndarray:
    """Compute X beta + Z b^ + offset, (n,); b = 0 for levels that are not in the fit."""
    blocks = henderson_blocks(fit)
    out = np.full(rows.n, fit.cp.shift[-1])
    if rows.offset is not None:
        out += rows.offset
    beta = fit.beta_internal
    for tile in rows.tiles():
        eta = tile.X @ beta
        for g, Z, codes in zip(rows.groups, tile.Z, tile.codes, strict=True):
            eta += np.einsum("ia,ia->i", Z, _at(blocks.modes[g], codes))
        out[tile.where] += eta
    return out


def relative_variance(fit: LinearFit, rows: ModelRows) -> tuple[np.ndarray, np.ndarray]:
    """Compute (x, z) C^-1 (x, z)' of every row as parts from beta and from b given beta, (n,) each.

    Times sigma^2 their sum is the variance of the error of x'beta^ + z'b^; levels that are not in
    the fit have their prior variance.
    """
    blocks = henderson_blocks(fit)
    of_beta, of_b = np.empty(rows.n), np.empty(rows.n)
    for tile in rows.tiles():
        E = tile.X @ blocks.W
        total = np.zeros(len(E))
        for g, Z, codes in zip(rows.groups, tile.Z, tile.codes, strict=True):
            P, Q = _at(blocks.P[g], codes), _at(blocks.Q[g], codes)
            if codes.min() < 0:
                Q = np.where((codes < 0)[:, None, None], blocks.H[g], Q)
            for a in range(Z.shape[1]):
                E -= Z[:, a, None] * P[:, a]
                for b in range(a + 1):
                    total += (1.0 if a == b else 2.0) * Z[:, a] * Z[:, b] * Q[:, a, b]
        of_beta[tile.where] = np.einsum("is,is->i", E, E)
        of_b[tile.where] = total
    _add_between_groups(blocks, rows, of_b)
    return of_beta, of_b


def prior_variance(fit: LinearFit, rows: ModelRows) -> np.ndarray:
    """Compute z'Lambda Lambda'z of every row, (n,): the prior variance of z'b over sigma^2."""
    blocks = henderson_blocks(fit)
    out = np.zeros(rows.n)
    for tile in rows.tiles():
        for g, Z in zip(rows.groups, tile.Z, strict=True):
            out[tile.where] += np.einsum("ia,ab,ib->i", Z, blocks.H[g], Z, optimize=True)
    return out


def _at(blocks: np.ndarray, codes: np.ndarray) -> np.ndarray:
    """Return the block of the level of each row; zeros where there is none."""
    found = blocks[codes]
    if len(codes) and codes.min() < 0:
        found[codes < 0] = 0.0
    return found


def _add_between_groups(blocks: HendersonBlocks, rows: ModelRows, out: np.ndarray) -> None:
    """Add twice z_g'Q_gh z_h for every two groups of a row.

    The block of each pair of levels is computed once.
    """
    present = list(rows.groups)
    for i, g in enumerate(present):
        for j in range(i + 1, len(present)):
            h = present[j]
            assert blocks.engine is not None  # it is where there are groups
            left, right = rows.groups[g].codes, rows.groups[h].codes
            known = (left >= 0) & (right >= 0)
            width = len(blocks.Q[h])
            keys, place = np.unique(
                left[known] * np.int64(width) + right[known], return_inverse=True
            )
            if not len(keys):
                continue
            Q = blocks.engine.posterior_pairs(g, h, keys // width, keys % width)
            at = np.full(rows.n, -1)
            at[known] = place
            for tile in rows.tiles():
                out[tile.where] += 2.0 * np.einsum(
                    "ia,iab,ib->i", tile.Z[i], _at(Q, at[tile.where]), tile.Z[j]
                )
