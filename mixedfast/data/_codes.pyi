from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

Ints = NDArray[np.int32]
Longs = NDArray[np.int64]

def all_finite(values: NDArray[Any]) -> bool: ...
def factorize_integers(values: NDArray[Any], low: int, size: int) -> tuple[Ints, Longs]: ...
def unique_integers(values: NDArray[Any], low: int, size: int) -> Longs: ...
