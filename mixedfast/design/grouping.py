"""Numbering of the groups of a random term, and the same numbering of new data.

Of ``a:b`` only the combinations that occur are numbered, ``a`` varying slowest, as in R.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from mixedfast._stored import are_within, is_array_of, stored
from mixedfast.data.categories import Categorical, drop_unused, factorize, labels, recode
from mixedfast.errors import DataError

__all__ = ["GroupRecipe", "apply_numbering", "keep_groups", "number_groups", "union"]


def _check_grouping(fields: Any) -> Iterator[str]:
    if not (len(fields.part_levels) == len(fields.factors) == len(fields.ids) + 1):
        yield (
            f"a GroupRecipe has {len(fields.factors)} factors, {len(fields.part_levels)} of "
            f"levels and {len(fields.ids)} of ids"
        )
    elif not all(is_array_of("labels", levels) for levels in fields.part_levels):
        yield "part_levels of a GroupRecipe are not distinct labels"
    else:
        left = len(fields.part_levels[0])
        for ids, part in zip(fields.ids, fields.part_levels[1:], strict=True):
            if (
                ids.ndim != 1
                or not is_array_of("places", ids)
                or not are_within(ids, left * len(part))
            ):
                yield f"ids of a GroupRecipe do not lie from 0 to {left * len(part) - 1}"
            left = len(ids)
        if left != len(fields.levels):
            yield f"a GroupRecipe has {len(fields.levels)} levels, and numbers {left}"


@stored("GroupRecipe", arrays={"levels": "labels J"}, relations=_check_grouping)
@dataclass(frozen=True, eq=False)
class GroupRecipe:
    """The numbering of the groups of a grouping factor.

    Parameters
    ----------
    label : str
        As lme4 labels the factor: ``"cask:batch"``.
    factors : tuple of str
        Its columns.
    part_levels : tuple of arrays
        The levels of each column.
    ids : tuple of int arrays
        For each ``:`` the combinations that occur, ``left code * width + right code``, ascending.
    levels : (J,) array
        The labels of the groups.
    """

    label: str
    factors: tuple[str, ...]
    part_levels: tuple[np.ndarray, ...]
    ids: tuple[np.ndarray, ...]
    levels: np.ndarray


def number_groups(
    label: str, factors: tuple[str, ...], groups: Mapping[str, Categorical]
) -> tuple[np.ndarray, GroupRecipe]:
    """Make the numbering of the groups, and the code of each row, (n,) int32."""
    parts = [drop_unused(groups[name]) for name in factors]
    codes, levels = parts[0].codes, parts[0].levels
    ids = []
    for part in parts[1:]:
        codes, both = _combined(codes, len(levels), part)
        levels = _joined(levels, part.levels, both)
        ids.append(both)
    recipe = GroupRecipe(label, factors, tuple(part.levels for part in parts), tuple(ids), levels)
    return np.ascontiguousarray(codes, dtype=np.int32), recipe


def _combined(codes: np.ndarray, n_left: int, part: Categorical) -> tuple[np.ndarray, np.ndarray]:
    """Code ``left:part``; also return the ids of its levels (see `GroupRecipe`)."""
    width = len(part.levels)
    of_left = _owners(codes, n_left, part.codes)
    if of_left is not None:
        return codes, np.arange(n_left) * np.int64(width) + of_left
    of_part = _owners(part.codes, width, codes)
    if of_part is not None:
        order = np.argsort(of_part, kind="stable")
        place = np.empty(width, dtype=np.int32)
        place[order] = np.arange(width, dtype=np.int32)
        return place[part.codes], of_part[order].astype(np.int64) * width + order
    both = factorize(codes.astype(np.int64) * width + part.codes)
    return both.codes, both.levels


def _owners(fine: np.ndarray, n_levels: int, coarse: np.ndarray) -> np.ndarray | None:
    """Find the coarse code of each fine one, (n_levels,); None when the factors are not nested.

    Nested factors need no hashing.
    """
    owner = np.zeros(n_levels, dtype=np.int32)
    owner[fine] = coarse
    return owner if np.array_equal(owner[fine], coarse) else None


def _joined(left: np.ndarray, right: np.ndarray, ids: np.ndarray) -> np.ndarray:
    """Make the labels ``a:b`` of the combinations ``ids`` of the levels of two parts."""
    first, second = np.divmod(ids, len(right))
    joined = np.empty(len(ids), dtype=object)
    joined[:] = [
        f"{a}:{b}" for a, b in zip(left[first].tolist(), right[second].tolist(), strict=True)
    ]
    return joined


def apply_numbering(group: GroupRecipe, groups: Mapping[str, Categorical]) -> np.ndarray:
    """Find the group of each new row in a numbering, (n,) int32; -1 for a new group."""
    parts = [
        recode(groups[name], levels)
        for name, levels in zip(group.factors, group.part_levels, strict=True)
    ]
    codes = parts[0]
    for part, levels, ids in zip(parts[1:], group.part_levels[1:], group.ids, strict=True):
        both = codes.astype(np.int64) * len(levels) + part
        place = np.minimum(np.searchsorted(ids, both), len(ids) - 1)
        known = (codes >= 0) & (part >= 0) & (ids[place] == both)
        codes = np.where(known, place, -1).astype(np.int32)
    return codes


def keep_groups(group: GroupRecipe, stay: np.ndarray) -> GroupRecipe:
    """Keep the numbering of some groups; `stay` are their codes, ascending."""
    levels = group.levels[stay]
    if not group.ids:
        return replace(group, part_levels=(levels,), levels=levels)
    return replace(group, ids=(*group.ids[:-1], group.ids[-1][stay]), levels=levels)


def union(a: GroupRecipe, b: GroupRecipe) -> tuple[GroupRecipe, np.ndarray, np.ndarray]:
    """Make one numbering for the groups of two tables.

    The levels of each column are sorted when those of both tables are; otherwise those that only b
    has follow those of a.

    Returns
    -------
    GroupRecipe
    (J,) int64 array, (J,) int64 array
        The place in it of each group of a and of b.
    """
    parts, codes_a, codes_b = [], [], []
    for name, mine, theirs in zip(a.factors, a.part_levels, b.part_levels, strict=True):
        levels, at_a, at_b = _merged(name, mine, theirs)
        parts.append(levels)
        codes_a.append(at_a)
        codes_b.append(at_b)
    place_a, place_b, levels = codes_a[0], codes_b[0], parts[0]
    ids = []
    for i, part in enumerate(parts[1:]):
        width = len(part)
        both_a = _renumbered(a.ids[i], len(a.part_levels[i + 1]), width, place_a, codes_a[i + 1])
        both_b = _renumbered(b.ids[i], len(b.part_levels[i + 1]), width, place_b, codes_b[i + 1])
        both = np.union1d(both_a, both_b)
        place_a, place_b = np.searchsorted(both, both_a), np.searchsorted(both, both_b)
        levels = _joined(levels, part, both)
        ids.append(both)
    return GroupRecipe(a.label, a.factors, tuple(parts), tuple(ids), levels), place_a, place_b


def _renumbered(
    ids: np.ndarray, width: int, new_width: int, left: np.ndarray, right: np.ndarray
) -> np.ndarray:
    first, second = np.divmod(ids, width)
    return np.asarray(left[first] * new_width + right[second])


def _merged(name: str, a: np.ndarray, b: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Merge the levels of both; also return the places of those of a and of b."""
    if len(a) == len(b) and a.tolist() == b.tolist():
        same = np.arange(len(a))
        return a, same, same
    mine, theirs = a.tolist(), b.tolist()
    if {type(level) for level in mine} != {type(level) for level in theirs}:
        raise DataError(
            f"the groups of {name!r} are labelled {mine[0]!r} in one table and {theirs[0]!r} in "
            "the other: give both tables one type"
        )
    listed = list(dict.fromkeys([*mine, *theirs]))
    if (
        len({type(level) for level in listed}) == 1
        and mine == sorted(mine)
        and theirs == sorted(theirs)
    ):
        listed.sort()
    place = {level: i for i, level in enumerate(listed)}
    at_a, at_b = (
        np.array([place[level] for level in part], dtype=np.int64) for part in (mine, theirs)
    )
    return labels(listed) if a.dtype.kind == "O" else np.array(listed, dtype=a.dtype), at_a, at_b
