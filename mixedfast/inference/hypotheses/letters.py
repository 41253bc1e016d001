"""Compact letters: means that share a letter do not differ significantly.

Insert and absorb (Piepho 2004, Journal of Computational and Graphical Statistics 13).
"""

from __future__ import annotations

import string
from collections.abc import Iterable

import numpy as np

__all__ = ["compact_letters"]


def compact_letters(order: Iterable[int], differ: np.ndarray) -> list[str]:
    """Assign letters to means.

    Parameters
    ----------
    order : iterable of int
        The means that get letters; the first letters go to the first means.
    differ : (m, m) bool array
        Whether two means differ significantly.

    Returns
    -------
    list of str, length m
        Empty for means that are not in `order`.

    Examples
    --------
    >>> differ = np.zeros((3, 3), dtype=bool)
    >>> differ[0, 2] = differ[2, 0] = True
    >>> compact_letters([0, 1, 2], differ)
    ['a', 'ab', 'b']
    """
    ranked = list(order)
    groups = [frozenset(ranked)] if ranked else []
    for place, i in enumerate(ranked):
        for j in ranked[place + 1 :]:
            if differ[i, j]:
                split = [part for group in groups for part in _without(group, i, j)]
                groups = _absorbed(split)
    rank = {mean: place for place, mean in enumerate(ranked)}
    groups.sort(key=lambda group: sorted(rank[mean] for mean in group))
    out = [""] * len(differ)
    for number, group in enumerate(groups):
        for mean in group:
            out[mean] += _letter(number)
    return out


def _without(group: frozenset[int], i: int, j: int) -> list[frozenset[int]]:
    """Split a group that has two means which differ."""
    return [group - {i}, group - {j}] if {i, j} <= group else [group]


def _absorbed(groups: list[frozenset[int]]) -> list[frozenset[int]]:
    """Leave out groups that lie within others."""
    distinct = list(dict.fromkeys(groups))
    return [one for one in distinct if not any(one < other for other in distinct)]


def _letter(number: int) -> str:
    """Return the letter of a group; after z come A to Z, then a1, b1 and so on."""
    turn, place = divmod(number, len(string.ascii_letters))
    return string.ascii_letters[place] + (str(turn) if turn else "")
