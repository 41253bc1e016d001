"""Choice of the engine for a model, by its structure alone: levels, fill, operations."""

from __future__ import annotations

import numpy as np

from mixedfast._validation import did_you_mean, memory
from mixedfast.crossprod.types import CrossProducts
from mixedfast.engines._levels import MAX_K
from mixedfast.engines.block import BlockEngine
from mixedfast.engines.cholmod import CholmodEngine, Pattern, analyse
from mixedfast.engines.interface import Engine
from mixedfast.engines.layout import Layout, lay_out
from mixedfast.errors import BuildError, DataError

__all__ = ["ENGINES", "choose", "memory"]

ENGINES = ("auto", "block", "cholmod", "krylov")

#: Numbers in a dense rest up to which it is factored in less time than a sparse analysis takes.
_SMALL_REST = 2_000_000
#: Share of the memory of the machine that the dense rest may take.
_MEMORY_SHARE = 0.4
#: Columns of the rest from which its density is estimated, and the share of nonzeros from which no
#: ordering helps, because the other entries fill in. The analysis of a million ratings takes a
#: second, the estimate a hundredth of that.
_SAMPLED_COLUMNS = 64
_DENSE_ALREADY = 0.4
#: Speed of dense arithmetic relative to sparse, operation for operation (benchmarks/NOTES.md).
_DENSE_ADVANTAGE = 8.0


def choose(cp: CrossProducts, requested: str = "auto") -> Engine:
    """Choose the engine for these cross-products.

    Parameters
    ----------
    cp : CrossProducts
    requested : {"auto", "block", "cholmod", "krylov"}
        "krylov" estimates traces from random probes; it is used where it is named.
        With one grouping factor nothing has to be estimated, and the engine is "block".

    Raises
    ------
    DataError
        For an unknown name; for more effects of one factor than the work space of the kernels
        holds.
    BuildError
        When the model needs CHOLMOD and it was not built.
    """
    if requested not in ENGINES:
        close = did_you_mean(requested, ENGINES)
        hint = f"; {close}" if close else ""
        raise DataError(f"engine={requested!r}: choose one of {', '.join(ENGINES)}{hint}")
    for group in cp.groups:
        if group.k > MAX_K:
            raise DataError(
                f"{group.k} random effects for each level of {group.name}, but at most {MAX_K} "
                "can be fitted: remove some; a factor with many levels can stand after the bar, as "
                f"in (1 | {group.name}:factor)"
            )
    if requested == "cholmod":
        return CholmodEngine(cp)
    if requested == "krylov" and len(cp.groups) > 1:
        # imports parts of SciPy that other models do not need
        from mixedfast.engines.krylov.engine import KrylovEngine

        return KrylovEngine(cp)
    layout = lay_out(cp)
    if requested == "block" or not layout.rest:
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
    """Estimate the operations of one factorization and inverse in the block engine.

    The Schur update and K each take every pair of columns that occur with a level of the eliminated
    factor. These are scattered, so they count as sparse.
    """
    columns = np.diff(layout.border[0]).astype(float)
    scattered = 2.0 * layout.k[layout.lead] * float((columns**2).sum())
    return layout.cubes + _DENSE_ADVANTAGE * scattered


def _density(layout: Layout) -> float:
    """Estimate the share of nonzeros in the rest once the largest factor is eliminated.

    From evenly spread columns.
    """
    from scipy.sparse import csr_array

    ptr, cols = layout.border
    pattern = csr_array(
        (np.ones(len(cols), dtype=np.float32), cols, ptr), shape=(len(ptr) - 1, layout.m)
    )
    sampled = np.unique(np.linspace(0, layout.m - 1, _SAMPLED_COLUMNS).astype(np.int64))
    return float((pattern[:, sampled].T @ pattern).nnz) / (len(sampled) * layout.m)
