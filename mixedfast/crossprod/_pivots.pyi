from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

HIDDEN: int
COLLINEAR: int
CLEAR: int
NOT_COUNTED: int

def classify_columns(
    products: NDArray[np.float64],
    low: NDArray[np.float64],
    high: NDArray[np.float64],
    counted: NDArray[np.bool_] | None = None,
) -> NDArray[np.int64]: ...
def column_sizes(
    products: NDArray[np.float64],
    ones: NDArray[np.float64],
    shift: NDArray[np.float64],
    intercept: int,
    tolerance: float,
) -> tuple[NDArray[np.float64], NDArray[np.float64]]: ...
