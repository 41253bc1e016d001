"""Numbering the groups of a random term, and numbering them the same way again in new data.

For ``a:b`` only the combinations that occur are numbered, ``a`` varying slowest, as R's ``:`` does.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np

from mixedfast.frames import Categorical, drop_unused, factorize, recode

__all__ = ["GroupRecipe", "number_again", "number_groups"]


@dataclass(frozen=True, eq=False)
class GroupRecipe:
    """How a grouping factor numbers its groups; ``ids`` undo one ``:`` each."""

    label: str
    factors: tuple[str, ...]
    part_levels: tuple[np.ndarray, ...]
    ids: tuple[np.ndarray, ...]
    levels: np.ndarray


def number_groups(
    label: str, factors: tuple[str, ...], groups: Mapping[str, Categorical]
) -> tuple[np.ndarray, GroupRecipe]:
    """The code of each row, shape (n,) int32, and the numbering: only combinations that occur."""
    parts = [drop_unused(groups[name]) for name in factors]
    codes, levels = parts[0].codes, parts[0].levels
    ids = []
    for part in parts[1:]:
        width = len(part.levels)
        both = factorize(codes.astype(np.int64) * width + part.codes)
        left, right = np.divmod(both.levels, width)
        codes, levels = both.codes, _joined(levels[left], part.levels[right])
        ids.append(both.levels)
    recipe = GroupRecipe(label, factors, tuple(part.levels for part in parts), tuple(ids), levels)
    return np.ascontiguousarray(codes, dtype=np.int32), recipe


def _joined(left: np.ndarray, right: np.ndarray) -> np.ndarray:
    labels = np.empty(len(left), dtype=object)
    labels[:] = [f"{a}:{b}" for a, b in zip(left.tolist(), right.tolist(), strict=True)]
    return labels


def number_again(group: GroupRecipe, groups: Mapping[str, Categorical]) -> np.ndarray:
    """The group of each new row under the old numbering, shape (n,) int32; -1 for a new group."""
    parts = [
        recode(groups[name], levels) for name, levels in zip(group.factors, group.part_levels, strict=True)
    ]
    codes = parts[0]
    for part, levels, ids in zip(parts[1:], group.part_levels[1:], group.ids, strict=True):
        both = codes.astype(np.int64) * len(levels) + part
        place = np.minimum(np.searchsorted(ids, both), len(ids) - 1)
        known = (codes >= 0) & (part >= 0) & (ids[place] == both)
        codes = np.where(known, place, -1).astype(np.int32)
    return codes
