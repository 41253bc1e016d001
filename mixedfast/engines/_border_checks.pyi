from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float64]
Ints = NDArray[np.int32]
Longs = NDArray[np.int64]

def check_border(
    most: int,
    ptr: Longs,
    cols: Ints,
    vals: Floats,
    component: Ints,
    start: Longs,
    level_start: Longs,
    first: Longs,
    k_level: Ints,
    lambda_at: Longs,
    base_at: Longs,
    base: Floats,
) -> None: ...
