from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

Ints = NDArray[np.int32]
Longs = NDArray[np.int64]

def all_finite(values: NDArray[Any]) -> bool: ...
def number(values: NDArray[Any], low: int, size: int) -> tuple[Ints, Longs]: ...
def occurring(values: NDArray[Any], low: int, size: int) -> Longs: ...
