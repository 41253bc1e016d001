"""Sums over rows of products of columns, in all and by level of grouping factors.

A pass reads numbers and codes of cells (`mixedfast.crossprod.dummy_columns`); sums by cell are
multiplied out to the columns of the model afterwards.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from itertools import combinations
from typing import TYPE_CHECKING, Any

import numpy as np

from mixedfast._stored import is_array_of, stored
from mixedfast._threads import thread_pool
from mixedfast._validation import available_cores
from mixedfast.crossprod import _sums
from mixedfast.crossprod.dummy_columns import Expansion, by_cell, square
from mixedfast.crossprod.pool import Placed
from mixedfast.crossprod.scaling import column_key

if TYPE_CHECKING:
    from collections.abc import Sequence

    from mixedfast.design.columns import Column

__all__ = ["Grouped", "RowSums", "row_sums", "threaded"]

#: A grouping factor, or the cells of several, as the kernel takes it: codes, number of levels, and
#: the columns on either side of the products.
Described = tuple[
    np.ndarray | tuple[np.ndarray, ...], int | tuple[int, ...], np.ndarray, np.ndarray
]
#: A grouping factor: codes, number of levels, columns of Z.
Grouped = tuple[np.ndarray, int, list[Placed]]

#: With fewer rows per thread, starting threads takes longer than it saves.
_ROWS_PER_THREAD = 50_000
#: Sums by cell multiplied out at a time.
_BLOCK = 1 << 18


class _Pool:
    """Distinct (column, shift, scale) triples, each evaluated once per tile."""

    def __init__(self) -> None:
        self.columns: list[tuple[Column, float, float]] = []
        self._seen: dict[Any, int] = {}

    def add(self, column: Column, shift: float, scale: float) -> int:
        key = (column_key(column), shift, scale)
        at = self._seen.get(key)
        if at is None:
            at = self._seen[key] = len(self.columns)
            self.columns.append((column, shift, scale))
        return at

    def add_all(self, columns: Iterable[Placed]) -> np.ndarray:
        return np.array([self.add(*column) for column in columns], dtype=np.int32)


def _check_row_sums(fields: Any) -> Iterator[str]:
    blocks = [block for place in fields.levels for block in place]
    if not all(block.ndim == 3 and is_array_of("finite", block) for block in blocks):
        yield "a block of a RowSums is not an array (cells, k, r) of finite numbers"
    if not (len(fields.left) == len(fields.right) == len(fields.levels) >= fields.n_groups):
        yield (
            f"a RowSums has {len(fields.levels)} places, and columns of {len(fields.left)} and "
            f"{len(fields.right)}"
        )
    if not all(
        part.ndim == 1 and is_array_of("places", part) for part in (*fields.left, *fields.right)
    ):
        yield "left and right of a RowSums are not column indices"


@stored("RowSums", arrays={"square": "finite c c", "rest": "places c"}, relations=_check_row_sums)
@dataclass(frozen=True, eq=False)
class RowSums:
    """Sums over rows as the kernel returns them; those over further rows are added in place.

    Parameters
    ----------
    square : (c, c) array
        [X y]'W[X y] of the columns of [X y] that are not summed by cell, symmetric to the bit.
    levels : tuple of tuple of (cells, k, r) arrays
        Left columns times right ones by level: of each grouping factor, each kind of cells, every
        two kinds, and each grouping factor with each kind. The arrays of one place, one per thread,
        add up to the sums.
    left, right : tuple of int arrays
        Columns of the products.
    rest : (c,) int array
        The places in [X y] of the columns in `square`.
    expansions : tuple of Expansion
        Map from each kind of cells to the other columns of [X y].
    n_groups : int
        Number of grouping factors.
    """

    square: np.ndarray
    levels: tuple[tuple[np.ndarray, ...], ...]
    left: tuple[np.ndarray, ...]
    right: tuple[np.ndarray, ...]
    rest: np.ndarray
    expansions: tuple[Expansion, ...]
    n_groups: int

    def take_up(self, other: RowSums) -> None:
        """Add sums of the same columns over other rows, in place."""
        self.square[...] += other.square
        for mine, theirs in zip(self.levels, other.levels, strict=True):
            for part in theirs:
                mine[0][...] += part

    def products(self) -> tuple[np.ndarray, list[tuple[np.ndarray, np.ndarray]]]:
        """Multiply out the sums by cell.

        Returns
        -------
        (c, c) array
            [X y]'W[X y], symmetric to the bit.
        list of (J, k, k) and (J, k, c) arrays
            Z_j'WZ_j and Z_j'W[X y] of each group.
        """
        out, width = self.expansions, len(self.rest)
        found = iter(zip(self.levels, self.left, self.right, strict=True))
        of_groups = [_split(*next(found), width) for _ in range(self.n_groups)]
        if not out:
            return self.square, of_groups
        of_cells = [_split(*next(found), width) for _ in out]
        between = [_picked(*next(found)) for _ in combinations(out, 2)]
        whole = _whole_square(self.rest, self.square, out, of_cells, between)
        return whole, [
            (A, _whole_products(self.rest, B, out, [next(found)[0] for _ in out]))
            for A, B in of_groups
        ]


def row_sums(
    columns: Sequence[Placed],
    groups: Sequence[Grouped],
    n: int,
    sqrt_weights: np.ndarray | None,
    threads: int | None,
    worth: int | None = None,
) -> RowSums:
    """Sum the products of columns of [X y] with each other and with Z of each factor.

    Parameters
    ----------
    columns : sequence of (column, shift, scale)
        [X y].
    groups : sequence of (codes, number of levels, columns of Z)
    n : int
        Number of rows.
    sqrt_weights : (n,) array or None
    threads : int or None
    worth : int, optional
        Columns are summed by cell where that is faster for so many rows; default: `n`. Sums that
        are to add need the same number.
    """
    most_effects = max((n_levels * len(z) for _, n_levels, z in groups), default=0)
    cells = by_cell(columns, n if worth is None else worth, most_effects)
    by_cells = {j for own in cells for j in own.expansion.places.tolist()}
    rest = np.array([j for j in range(len(columns)) if j not in by_cells], dtype=np.intp)
    pool = _Pool()
    gram = pool.add_all(columns[j] for j in rest)
    z_at = [pool.add_all(z) for _, _, z in groups]
    base_at = [pool.add_all(own.base) for own in cells]
    described: list[Described] = [
        *(
            (codes, n_levels, z, _right(gram, z))
            for (codes, n_levels, _), z in zip(groups, z_at, strict=True)
        ),
        *(
            (own.codes, own.levels, base, _right(gram, base))
            for own, base in zip(cells, base_at, strict=True)
        ),
        *(
            (
                cells[a].codes + cells[b].codes,
                cells[a].levels + cells[b].levels,
                base_at[a],
                base_at[b],
            )
            for a, b in combinations(range(len(cells)), 2)
        ),
        *(
            ((codes, *own.codes), (n_levels, *own.levels), z, base)
            for (codes, n_levels, _), z in zip(groups, z_at, strict=True)
            for own, base in zip(cells, base_at, strict=True)
        ),
    ]
    square, levels = threaded(
        _sums.ColumnPool(pool.columns, n, sqrt_weights), n, gram, described, threads
    )
    return RowSums(
        square,
        tuple(map(tuple, levels)),
        tuple(left for _, _, left, _ in described),
        tuple(right for _, _, _, right in described),
        rest,
        tuple(own.expansion for own in cells),
        len(groups),
    )


def _whole_square(
    rest: np.ndarray,
    plain: np.ndarray,
    out: Sequence[Expansion],
    of_cells: Sequence[tuple[np.ndarray, np.ndarray]],
    of_pairs: Sequence[np.ndarray],
) -> np.ndarray:
    """Compute [X y]'W[X y], with the columns at `rest` as they are and the others by cell.

    Their products come from the sums of their bases with each other and with the rest, and for
    two kinds of cells from the sums in the cells of both.
    """
    size = len(rest) + sum(len(own.places) for own in out)
    whole = np.empty((size, size))
    whole[np.ix_(rest, rest)] = plain
    for own, (of_base, with_rest) in zip(out, of_cells, strict=True):
        whole[np.ix_(own.places, own.places)] = square(own, of_base)
        _set(whole, own.places, rest, own.table @ with_rest.reshape(-1, len(rest)))
    for (left, right), sums in zip(combinations(out, 2), of_pairs, strict=True):
        both = sums.reshape(left.n_cells, right.n_cells, left.width, right.width).swapaxes(1, 2)
        _set(
            whole,
            left.places,
            right.places,
            left.table @ both.reshape(left.table.shape[1], -1) @ right.table.T,
        )
    return whole


def _whole_products(
    rest: np.ndarray,
    of_rest: np.ndarray,
    out: Sequence[Expansion],
    of_cells: Sequence[tuple[np.ndarray, ...]],
) -> np.ndarray:
    """Compute Z_j'W[X y] (J, k, c), the columns that are not at `rest` multiplied out."""
    B = np.empty((*of_rest.shape[:2], len(rest) + sum(len(own.places) for own in out)))
    B[:, :, rest] = of_rest
    for own, parts in zip(out, of_cells, strict=True):
        _multiply_out(own, parts, B)
    return B


def _right(gram: np.ndarray, left: np.ndarray) -> np.ndarray:
    """Return the columns on the right of a group: those of [X y], then the others on its left."""
    known = set(gram.tolist())
    return np.concatenate(
        [
            gram,
            np.array([c for c in dict.fromkeys(left.tolist()) if c not in known], dtype=np.int32),
        ]
    )


def _split(
    parts: tuple[np.ndarray, ...], left: np.ndarray, right: np.ndarray, width: int
) -> tuple[np.ndarray, np.ndarray]:
    """Split sums into those of the left columns with each other and with `width` right ones."""
    where = {c: i for i, c in reversed(list(enumerate(right.tolist())))}
    own = np.array([where[c] for c in left.tolist()], dtype=np.int32)
    return _sums.select_sums(parts, 0, len(left), own), _sums.select_sums(
        parts, 0, len(left), np.arange(width, dtype=np.int32)
    )


def _picked(parts: tuple[np.ndarray, ...], left: np.ndarray, right: np.ndarray) -> np.ndarray:
    return _sums.select_sums(parts, 0, len(left), np.arange(len(right), dtype=np.int32))


def _set(whole: np.ndarray, rows: np.ndarray, columns: np.ndarray, block: np.ndarray) -> None:
    """Set an off-diagonal block of a symmetric matrix, on both sides of the diagonal."""
    whole[np.ix_(rows, columns)] = block
    whole[np.ix_(columns, rows)] = block.T


def _multiply_out(out: Expansion, parts: tuple[np.ndarray, ...], B: np.ndarray) -> None:
    """Fill in the columns of B (J, k, c) that are summed by cell, a block of levels at a time."""
    J, k, _ = B.shape
    step = max(1, _BLOCK // (out.n_cells * k * out.width))
    wanted = np.arange(out.width, dtype=np.int32)
    for start in range(0, J, step):
        end = min(start + step, J)
        sums = _sums.select_sums(
            [part[start * out.n_cells : end * out.n_cells] for part in parts], 0, k, wanted
        )
        by_effect = sums.reshape(end - start, out.n_cells, k, out.width).swapaxes(1, 2)
        B[start:end, :, out.places] = by_effect.reshape(end - start, k, -1) @ out.table.T


def threaded(
    pool: _sums.ColumnPool,
    n: int,
    gram: np.ndarray,
    groups: Sequence[Described],
    threads: int | None,
) -> tuple[np.ndarray, list[list[np.ndarray]]]:
    """Sum chunks of rows in threads: the square, and the sums of each group by thread.

    `_sums.select_sums` adds the threads' sums up.
    """
    most = max(1, n // _ROWS_PER_THREAD)
    count = min(threads or available_cores(), most) if most > 1 else 1
    edges = [n * i // count for i in range(count + 1)]

    def part(i: int) -> tuple[np.ndarray, list[np.ndarray]]:
        return _sums.crossprod(pool, edges[i], edges[i + 1], gram, groups)

    if count == 1:
        done = [part(0)]
    else:
        with thread_pool(count) as workers:
            done = list(workers.map(part, range(count)))
    xy = done[0][0]
    for other, _ in done[1:]:
        xy += other
    return xy, [[sums[g] for _, sums in done] for g in range(len(groups))]
