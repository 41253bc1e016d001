"""Stochastic traces of Z'V0^-1 Z and of its square (Hutchinson 1990, Commun. Stat. Simul. 19).

With independent random signs z on the levels of factor g,

    E z_g'(K z)_g = tr K_gg,   E |(K z)_h|^2 = tr(K_hg K_gh)

A probe z costs a few solves. Its error comes only from products of different levels, which are
small where each level has its own rows: one probe per factor gives the gradient of a million
ratings to a hundredth of a standard error. Factors of few levels take unit vectors instead, which
are exact.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import NamedTuple

import numpy as np

from mixedfast.crossprod.blocks import GroupProducts

__all__ = ["Multiply", "Probed", "probed"]

#: Multiplies one (J,K,r) array per group by K, or by any symmetric matrix over the random effects.
Multiply = Callable[[list[np.ndarray]], list[np.ndarray]]

#: Numbers that the probes hold at a time.
_BATCH_NUMBERS = 8_000_000


class Probed(NamedTuple):
    """Estimated traces: means of batches of probes along the first axis.

    The axis has length one where they are exact.
    ``sums[g]`` sum_j K_jj, (batches,K,K); ``pairs[g,h]``, g <= h, sum_ij K_ij[b,c] K_ij[a,d],
    (batches,K_g,K_g,K_h,K_h).
    """

    sums: list[np.ndarray]
    pairs: dict[tuple[int, int], np.ndarray]

    def mean(self) -> Probed:
        """Average over all batches, to a single one."""
        return Probed(
            [part.mean(axis=0, keepdims=True) for part in self.sums],
            {key: part.mean(axis=0, keepdims=True) for key, part in self.pairs.items()},
        )


def probed(
    multiply: Multiply,
    groups: Sequence[GroupProducts],
    probes: int,
    few: int,
    batches: int,
    seed: int,
) -> Probed:
    """Estimate traces from probes, each pair of factors from the side with fewer levels.

    Parameters
    ----------
    multiply : callable
    groups : sequence of GroupProducts
    probes : int
        Random vectors per factor.
    few : int
        Factors with no more levels take one unit vector per level instead.
    batches : int
        Number of means that the probes are averaged to; at most `probes`.
    seed : int
        The same seed draws the same probes.
    """
    signs = [_signs(group, probes, few, [seed, g]) for g, group in enumerate(groups)]
    sums, pairs = [], {}
    for g, (each, found) in enumerate(from_probes(multiply, groups, signs)):
        exact = groups[g].n_levels <= few

        def means(values: np.ndarray, exact: bool = exact) -> np.ndarray:
            return values.sum(axis=0, keepdims=True) if exact else batch_means(values, batches)

        sums.append(means(each))
        for h, squares in found.items():
            part = means(squares)
            pairs[min(g, h), max(g, h)] = part if g <= h else part.transpose(0, 3, 4, 1, 2)
    return Probed(sums, pairs)


def _signs(group: GroupProducts, probes: int, few: int, seed: list[int]) -> np.ndarray:
    """Draw (J, probes) random signs, or make (J,J) unit vectors for a factor of few levels."""
    if group.n_levels <= few:
        return np.eye(group.n_levels)
    return np.random.default_rng(seed).integers(0, 2, (group.n_levels, probes)) * 2.0 - 1.0


def batch_means(each: np.ndarray, batches: int) -> np.ndarray:
    """Average probes (probes, ...) in batches (batches, ...).

    Probe i is in batch i modulo their number. Batches are weighted so that their mean is the mean
    of all probes.
    """
    counts = np.bincount(np.arange(len(each)) % batches)
    sums = np.array([each[i::batches].sum(axis=0) for i in range(batches)])
    return sums * (batches / counts.sum())


def from_probes(
    multiply: Multiply, groups: Sequence[GroupProducts], signs: Sequence[np.ndarray]
) -> list[tuple[np.ndarray, dict[int, np.ndarray]]]:
    """Estimate traces from each probe z of ``signs[g]`` (J,probes) of each factor g.

    A probe is taken at each component of its factor. One pair of results per factor:

    sum_j z_j (Kz)_j[a]
        (probes, K_g, K_g)
    sum_j (Kz)_j[c] (Kz)_j[d]
        h -> (probes, K_g, K_g, K_h, K_h), for the factors h with as many levels or more.
    """
    q = sum(group.n_levels * group.k for group in groups)
    step = max(1, _BATCH_NUMBERS // (q * sum(group.k for group in groups)))
    parts: list[list[tuple[np.ndarray, dict[int, np.ndarray]]]] = [[] for _ in groups]
    for first in range(0, max(z.shape[1] for z in signs), step):
        batch = [z[:, first : first + step] for z in signs]
        for g, Kz in enumerate(_columns(multiply, groups, batch)):
            own = np.einsum("js,jabs->sab", batch[g], Kz[g], optimize=True)
            targets = [
                h
                for h, other in enumerate(groups)
                if (other.n_levels, h) >= (groups[g].n_levels, g)
            ]
            squares = {
                h: np.einsum("jcbs,jdas->sabcd", Kz[h], Kz[h], optimize=True) for h in targets
            }
            parts[g].append((own, squares))
    return [
        (
            np.concatenate([own for own, _ in each]),
            {h: np.concatenate([found[h] for _, found in each]) for h in each[0][1]},
        )
        for each in parts
    ]


def _columns(
    multiply: Multiply, groups: Sequence[GroupProducts], batch: Sequence[np.ndarray]
) -> list[list[np.ndarray]]:
    """Multiply the probes of all factors by K at once.

    For each factor probed, one (J,K,K_g,probes) array per group.
    """
    edges = np.cumsum([0, *(group.k * z.shape[1] for group, z in zip(groups, batch, strict=True))])
    F = [np.zeros((group.n_levels, group.k, edges[-1])) for group in groups]
    for g, (group, z) in enumerate(zip(groups, batch, strict=True)):
        placed = F[g][:, :, edges[g] : edges[g + 1]].reshape(*F[g].shape[:2], group.k, -1)
        for b in range(group.k):
            placed[:, b, b] = z
        F[g][:, :, edges[g] : edges[g + 1]] = placed.reshape(*F[g].shape[:2], -1)
    KF = multiply(F)
    return [
        [part[:, :, edges[g] : edges[g + 1]].reshape(*part.shape[:2], group.k, -1) for part in KF]
        for g, group in enumerate(groups)
    ]
