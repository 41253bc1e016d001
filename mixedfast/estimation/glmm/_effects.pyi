from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float64]
Ints = NDArray[np.int32]

class Cells:
    codes: Ints
    count: int
    def __init__(self, codes: Ints, count: int) -> None: ...

def effects_add(cells: Cells, z: Floats | None, b: Floats, out: Floats) -> None: ...
def effects_sum(cells: Cells, z: Floats | None, r: Floats) -> Floats: ...
def effects_cross(cells: Cells, z: Floats | None, y: Floats | None, w: Floats) -> Floats: ...
def effects_quadratic(
    cells: Cells, z: Floats | None, y: Floats | None, Q: Floats, scale: float, out: Floats
) -> None: ...
