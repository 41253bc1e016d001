"""Sums by cluster, where each cluster holds whole groups of every random term.

Blocks of Z'WZ and Z'W[X y] of a group belong to the cluster of that group, so only [X y]'W[X y] is
summed again.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass

import numpy as np

from mixedfast.crossprod.level_sums import products_by_code
from mixedfast.crossprod.types import CrossProducts
from mixedfast.design.types import Design
from mixedfast.errors import NotDefinedError

__all__ = ["ClusterSums", "sums_of_clusters"]

#: Equilibrated Gram matrices have eigenvalues up to their size; smaller ones than this are columns
#: that others in the cluster determine, such as a constant beside the intercept of a school.
SPAN_TOLERANCE = 1e-10


@dataclass(frozen=True, eq=False)
class ClusterSums:
    """Sums over the rows of each cluster, with the groups that lie in it.

    Parameters
    ----------
    cp : CrossProducts
    xy : (C, p+1, p+1) array
        [X y]'W[X y] of each cluster, in the scaling of `cp`.
    owners : list of (J_g,) int arrays
        The cluster of each level of each grouping factor.
    """

    cp: CrossProducts
    xy: np.ndarray
    owners: list[np.ndarray]

    @property
    def n(self) -> int:
        """Number of clusters."""
        return len(self.xy)

    def batches(self) -> Iterable[tuple[np.ndarray, np.ndarray, np.ndarray]]:
        """Yield clusters with the same numbers of groups together.

        Yields
        ------
        clusters : (b,) int array
        gram : (b, d, d) array
            [Z X y]'W[Z X y]; the columns of Z are those of each group in the cluster.
        factors : (q,) int array
            The grouping factor of each block of columns of Z, level by level.
        """
        counts = np.stack(
            [np.bincount(owner, minlength=self.n) for owner in self.owners]
            or [np.zeros(self.n, dtype=np.int64)]
        )
        members = [np.argsort(owner, kind="stable") for owner in self.owners]
        starts = [np.concatenate([[0], np.cumsum(count)]) for count in counts[: len(self.owners)]]
        shapes, which = np.unique(counts.T, axis=0, return_inverse=True)
        for s, shape in enumerate(shapes):
            chosen = np.flatnonzero(which.ravel() == s)
            levels = [
                members[g][starts[g][chosen][:, None] + np.arange(shape[g])]
                for g in range(len(self.owners))
            ]
            yield (
                chosen,
                self._gram(chosen, levels),
                np.repeat(np.arange(len(self.owners)), shape[: len(self.owners)]),
            )

    def _gram(self, chosen: np.ndarray, levels: list[np.ndarray]) -> np.ndarray:
        """Assemble [Z X y]'W[Z X y] of clusters with levels (b, n_g) of each factor."""
        cp = self.cp
        sizes = [cp.groups[g].k for g, own in enumerate(levels) for _ in range(own.shape[1])]
        starts = np.concatenate([[0], np.cumsum(sizes)]).astype(int)
        blocks = [(g, own[:, i]) for g, own in enumerate(levels) for i in range(own.shape[1])]
        q, width = int(starts[-1]), cp.p + 1
        out = np.zeros((len(chosen), q + width, q + width))
        out[:, q:, q:] = self.xy[chosen]
        for i, (g, level) in enumerate(blocks):
            at = slice(starts[i], starts[i + 1])
            out[:, at, at] = cp.groups[g].A[level]
            out[:, at, q:] = cp.groups[g].B[level]
            out[:, q:, at] = cp.groups[g].B[level].swapaxes(1, 2)
            for j, (h, other) in enumerate(blocks[i + 1 :], i + 1):
                if h == g:
                    continue
                place = slice(starts[j], starts[j + 1])
                found = _pair_blocks(cp, g, h, level, other)
                out[:, at, place] = found
                out[:, place, at] = found.swapaxes(1, 2)
        return out


def _pair_blocks(
    cp: CrossProducts, g: int, h: int, level: np.ndarray, other: np.ndarray
) -> np.ndarray:
    """Return Z_g'WZ_h of pairs of levels, (b, K_g, K_h); zero where they share no row."""
    pair = cp.pairs[g, h]
    width = cp.groups[h].n_levels
    keys = pair.rows.astype(np.int64) * width + pair.indices
    order = np.argsort(keys, kind="stable")
    wanted = level.astype(np.int64) * width + other
    at = np.minimum(np.searchsorted(keys[order], wanted), len(keys) - 1)
    there = keys[order][at] == wanted
    return np.where(there[:, None, None], pair.data[order[at]], 0.0)


def sums_of_clusters(
    cp: CrossProducts,
    designs: Iterable[Design],
    codes_of: Callable[[Design], np.ndarray],
    labels: np.ndarray,
    name: str,
) -> ClusterSums:
    """Sum the rows of each cluster.

    Parameters
    ----------
    cp : CrossProducts
    designs : iterable of Design
        The rows of `cp`, each once.
    codes_of : callable
        Design -> the cluster of each row, (n,); -1 for a missing one.
    labels : (C,) array
    name : str
        Of the clusters.

    Raises
    ------
    NotDefinedError
        When a row has no cluster, or a group of a random term has rows in several clusters.
    """
    xy = np.zeros((len(labels), cp.p + 1, cp.p + 1))
    owners = [np.full(group.n_levels, -1) for group in cp.groups]
    terms = {}
    for design in designs:
        codes = codes_of(design)
        if (codes < 0).any():
            raise NotDefinedError(
                f"cluster={name!r}: {int((codes < 0).sum())} rows used have no value of {name!r}; "
                "give each row a cluster, or fit without these rows"
            )
        terms = {term.group: term for term in design.terms}
        for owner, group in zip(owners, cp.groups, strict=True):
            term = terms[group.name]
            before = owner[term.codes]
            owner[term.codes] = codes
            crossing = (owner[term.codes] != codes) | ((before >= 0) & (before != codes))
            if crossing.any():
                level = group.levels[term.codes[np.flatnonzero(crossing)[0]]]
                raise NotDefinedError(
                    f"cluster={name!r}: {group.name} {level} has rows in several clusters, and "
                    "rows of one group are correlated in this model; take clusters that hold "
                    f"whole groups of {group.name!r}"
                )
        kept = design.keep_columns(cp.kept.tolist())
        xy += products_by_code(cp, kept, codes, len(labels))
    return ClusterSums(cp, xy, owners)
