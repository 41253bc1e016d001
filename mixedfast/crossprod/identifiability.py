"""What sums over all rows tell of a random part: whether it can be estimated. Parts of the rows need not."""

from __future__ import annotations

from itertools import combinations

import numpy as np

from mixedfast.crossprod.types import CrossProducts
from mixedfast.design import checks

__all__ = ["check_sums"]


def check_sums(cp: CrossProducts) -> None:
    """Whether sums over all rows tell the random terms' parameters apart.

    Parameters
    ----------
    cp : CrossProducts
        Without levels that no row has.

    Raises
    ------
    DataError, NotIdentifiedError
        When a factor has one level, or as many effects as there are rows; when a column of Z is zero, or a multiple of another.

    Warns
    -----
    UserWarning
        When a slope has a single value in every group, or two terms give the same groups the same effect.
    """
    told = []
    for term in cp.terms:
        group = cp.groups[term.group]
        inside = slice(term.start, term.start + term.k)
        names = group.names[inside]
        checks.enough_rows(
            group.name, f"({' + '.join(names)} | {group.name})", term.k, group.n_levels, cp.n
        )
        checks.random_sums(group.name, names, group.A[:, inside, inside])
        told.append((term.group, names))
    for (g, names), (h, other) in combinations(told, 2):
        codes = _levels_together(cp, g, h)
        checks.check_aliased_terms(
            [
                (cp.groups[g].name, names, codes[0], cp.groups[g].n_levels),
                (cp.groups[h].name, other, codes[1], cp.groups[h].n_levels),
            ]
        )


def _levels_together(cp: CrossProducts, g: int, h: int) -> tuple[np.ndarray, np.ndarray]:
    """Every pair of levels of two factors that occurs, once: all that telling the factors apart needs of the rows."""
    if g == h:
        own = np.arange(cp.groups[g].n_levels)
        return own, own
    pair = cp.pairs[min(g, h), max(g, h)]
    return (pair.rows, pair.indices) if g < h else (pair.indices, pair.rows)
