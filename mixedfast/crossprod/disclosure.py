"""Cells of few rows, whose values can be computed from sums by group."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, NamedTuple

import numpy as np

from mixedfast.crossprod.blocks import GroupProducts
from mixedfast.crossprod.combine import in_scaling
from mixedfast.crossprod.sums import Sums
from mixedfast.design.coding import Coding, products_of
from mixedfast.errors import ArgumentError, DataError

__all__ = ["small_cells"]


def small_cells(cp: Sums, k: int) -> dict[str, list[Any]]:
    """Find the cells of fewer than `k` rows, fewest first (see `CrossProducts.small_cells`).

    Returns
    -------
    dict
        Columns of the table: ``what``, ``cell`` and ``rows``.
    """
    if not isinstance(k, (int, np.integer)) or k < 1:
        raise ArgumentError(f"small_cells(k={k!r}): a whole number from 1")
    if cp.meta.weighted:
        raise DataError(
            "these sums hold weights, not numbers of rows: make them without weights to count cells"
        )
    plain = in_scaling(cp, cp.scaling.unshifted())
    found: list[tuple[str, str, int]] = []
    for cells in _counted(plain):
        few = np.flatnonzero((cells.rows > 0) & (cells.rows < k))
        found += [(cells.what, cells.name(int(i)), int(cells.rows[i])) for i in few]
    found.sort(key=lambda cell: cell[2])
    return {name: [cell[i] for cell in found] for i, name in enumerate(("what", "cell", "rows"))}


class _Cells(NamedTuple):
    """Cells of one kind: name, labels of each factor, places of the cells in them, rows each."""

    what: str
    labels: tuple[np.ndarray, ...]
    places: tuple[np.ndarray, ...]
    rows: np.ndarray

    def name(self, i: int) -> str:
        """Name a cell by the labels of its levels."""
        return " & ".join(
            str(labels[places[i]]) for labels, places in zip(self.labels, self.places, strict=True)
        )


def _counted(plain: Sums) -> Iterator[_Cells]:
    """Yield levels, categories within levels, and pairs of levels, with their numbers of rows."""
    for group in plain.groups:
        levels, at = np.asarray(group.levels), np.arange(group.n_levels)
        ones = _by_level(group, plain.scale)
        yield _Cells(group.name, (levels,), (at,), np.rint(ones[:, 0]))
        if plain.meta.recipe is None:
            continue
        for name, (columns, tables) in _main_effects(plain.meta.recipe.fixed).items():
            kept = [plain.kept.tolist().index(c) for c in columns if c in plain.kept]
            counts = _rows_of_categories(
                np.vstack([np.ones(tables.shape[1]), tables]),
                ones[:, [0, *(1 + place for place in kept)]],
            )
            if counts is not None:
                categories = np.asarray(plain.meta.recipe.fixed.levels[name])
                places = (
                    np.repeat(at, len(categories)),
                    np.tile(np.arange(len(categories)), len(at)),
                )
                yield _Cells(f"{group.name} & {name}", (levels, categories), places, counts.ravel())
    for (g, h), pair in plain.pairs.items():
        one, other = plain.groups[g], plain.groups[h]
        a, b = _constant(one), _constant(other)
        if a is None or b is None:
            continue
        counts = np.rint(pair.data[:, a, b] / (one.scale[a] * other.scale[b]))
        labels = (np.asarray(one.levels), np.asarray(other.levels))
        yield _Cells(f"{one.name} & {other.name}", labels, (pair.rows, pair.indices), counts)


def _constant(group: GroupProducts) -> int | None:
    """Find the constant among the columns of Z."""
    return group.names.index("Intercept") if "Intercept" in group.names else None


def _by_level(group: GroupProducts, scale: np.ndarray) -> np.ndarray:
    """Return 1'[1 X] of each level in the user's units, (J, 1+p)."""
    at = _constant(group)
    if at is None:
        if group.sums is None:
            raise DataError(
                f"the numbers of rows of the levels of {group.name!r} are not in these sums: "
                "sum the data again with this version of mixedfast"
            )
        return np.column_stack([group.sums[:, 0], group.sums[:, 1:] / scale[:-1]])
    return np.column_stack(
        [
            group.A[:, at, at] / group.scale[at] ** 2,
            group.B[:, at, :-1] / group.scale[at] / scale[:-1],
        ]
    )


def _main_effects(fixed: Coding) -> dict[str, tuple[list[int], np.ndarray]]:
    """Return for each variable with main effects the places and contrasts (columns, levels)."""
    found: dict[str, tuple[list[int], list[np.ndarray]]] = {}
    for j, pieces in enumerate(products_of(fixed)):
        if len(pieces) == 1 and pieces[0].table is not None:
            columns, tables = found.setdefault(pieces[0].variable, ([], []))
            columns.append(j)
            tables.append(pieces[0].table)
    return {
        name: (columns, np.array(tables))
        for name, (columns, tables) in found.items()
        if name in fixed.levels
    }


def _rows_of_categories(values: np.ndarray, sums: np.ndarray) -> np.ndarray | None:
    """Compute the numbers of rows of each category, (J, levels), from the sums of its columns.

    None where the sums do not determine them.
    """
    if len(values) != sums.shape[1] or np.linalg.matrix_rank(values) < values.shape[1]:
        return None
    return np.rint(np.linalg.lstsq(values, sums.T, rcond=None)[0].T)
