from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float64]
Ints = NDArray[np.int32]
Longs = NDArray[np.int64]

class ColumnPool:
    size: int
    n: int
    def __init__(
        self,
        columns: Sequence[tuple[Sequence[Any], float, float]],
        n: int,
        sqrt_weights: Floats | None = None,
    ) -> None: ...
    def evaluate(self, column: int, rows: Ints | None = None) -> Floats: ...

def crossprod(
    pool: ColumnPool,
    first: int,
    last: int,
    gram: Ints,
    groups: Sequence[tuple[Ints | tuple[Ints, ...], int | tuple[int, ...], Ints, Ints]],
) -> tuple[Floats, list[Floats]]: ...
def sample_moments(values: Floats) -> tuple[float, float, float, float, float, float]: ...
def select_sums(parts: Sequence[Floats], first_row: int, end_row: int, columns: Ints) -> Floats: ...
def pair_products(
    left: Ints, n_left: int, right: Ints, n_right: int, pool: ColumnPool, k_left: int, k_right: int
) -> tuple[Longs, Ints, Floats]: ...
