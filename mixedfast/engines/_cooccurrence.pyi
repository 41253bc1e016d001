from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float64]
Ints = NDArray[np.int32]
Longs = NDArray[np.int64]

def pairs_multiply(
    indptr: Longs,
    indices: Ints,
    data: Floats,
    F_left: Floats,
    F_right: Floats,
    left_out: Floats,
    right_out: Floats,
) -> None: ...
def pairs_moments(
    indptr: Longs, indices: Ints, data: Floats, D_left: Floats, D_right: Floats
) -> tuple[Floats, Floats]: ...
def connected_components(
    sizes: Sequence[int], pairs: Sequence[tuple[int, int, Longs, Ints]]
) -> tuple[Longs, int]: ...
