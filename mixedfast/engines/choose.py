"""Which engine factors a model, by its structure alone: levels, fill, operations."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from mixedfast._validation import did_you_mean, memory
from mixedfast.crossprod.types import CrossProducts
from mixedfast.engines._levels import MAX_K
from mixedfast.engines.block import BlockEngine
from mixedfast.engines.cholmod import CholmodEngine, Pattern, analyse
from mixedfast.engines.layout import Layout, lay_out
from mixedfast.errors import BuildError, DataError

if TYPE_CHECKING:
    from mixedfast.engines import Engine

__all__ = ["ENGINES", "choose", "memory"]

ENGINES = ("auto", "block", "cholmod")

#: A dense rest of so few numbers is factored in less time than a sparse analysis takes.
_SMALL_REST = 2_000_000
#: The dense rest may take this share of the machine's memory.
_MEMORY_SHARE = 0.4
#: Columns of the rest looked at to tell how dense it is, and the share of nonzeros from which no ordering will help: what
#: is not there yet will fill in. The analysis of a million ratings takes a second, a look a hundredth of that.
_COLUMNS_SEEN = 64
_DENSE_ALREADY = 0.4
#: Dense arithmetic runs about this many times faster, operation for operation, than sparse (benchmarks/NOTES.md).
_DENSE_ADVANTAGE = 8.0


def choose(cp: CrossProducts, wanted: str = "auto") -> Engine:
    """The engine for these cross-products.

    Parameters
    ----------
    cp : CrossProducts
    wanted : {"auto", "block", "cholmod"}

    Raises
    ------
    DataError
        For an unknown name; for more effects on one factor than the kernels' work space holds.
    BuildError
        When the model needs CHOLMOD and it was not built.
    """
    if wanted not in ENGINES:
        close = did_you_mean(wanted, ENGINES)
        hint = f"; {close}" if close else ""
        raise DataError(f"engine={wanted!r}: choose one of {', '.join(ENGINES)}{hint}")
    for group in cp.groups:
        if group.k > MAX_K:
            raise DataError(
                f"{group.k} random effects for each level of {group.name}, and at most {MAX_K} can be fitted: take some out; "
                f"a factor of many levels can stand after the bar, as in (1 | {group.name}:factor)"
            )
    if wanted == "cholmod":
        return CholmodEngine(cp)
    layout = lay_out(cp)
    if wanted == "block" or not layout.rest:
        return BlockEngine(cp, layout)
    size = np.diff(layout.start).astype(float)
    dense_numbers = float((size**2).sum())
    if dense_numbers <= _SMALL_REST:
        return BlockEngine(cp, layout)
    too_large = 8.0 * dense_numbers > _MEMORY_SHARE * memory()
    if not too_large and _density(layout) > _DENSE_ALREADY:
        return BlockEngine(cp, layout)
    try:
        pattern = Pattern(cp)
        factor = analyse(pattern)
    except BuildError:
        if too_large:
            raise
        return BlockEngine(cp, layout)
    if not too_large and block_operations(layout) < _DENSE_ADVANTAGE * 3.0 * factor.flops:
        return BlockEngine(cp, layout)
    return CholmodEngine(cp, pattern, factor)


def block_operations(layout: Layout) -> float:
    """Operations of one factorization and inverse in the block engine.

    The Schur update and the read-out of K each touch every pair of columns a level of the eliminated factor meets; they are
    scattered, so they count at the sparse rate.
    """
    met = np.diff(layout.border[0]).astype(float)
    k = layout.cp.groups[layout.lead].k
    scattered = 2.0 * k * float((met**2).sum())
    return layout.cubes + _DENSE_ADVANTAGE * scattered


def _density(layout: Layout) -> float:
    """Share of nonzeros in the rest once the largest factor is eliminated, from a few of its columns, evenly spread."""
    from scipy.sparse import csr_array

    ptr, cols, _ = layout.border
    pattern = csr_array(
        (np.ones(len(cols), dtype=np.float32), cols, ptr), shape=(len(ptr) - 1, layout.m)
    )
    seen = np.unique(np.linspace(0, layout.m - 1, _COLUMNS_SEEN).astype(np.int64))
    return float((pattern[:, seen].T @ pattern).nnz) / (len(seen) * layout.m)
