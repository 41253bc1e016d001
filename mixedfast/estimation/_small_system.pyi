from __future__ import annotations

from collections.abc import Sequence
from typing import TypeAlias

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float64]
Solved: TypeAlias = tuple[float, float, float, float, Floats, Floats]

LIMITS: dict[str, int]

class SmallSystem:
    def __init__(
        self,
        A: Floats,
        B: Floats,
        S: Floats,
        levels: Sequence[int],
        k: Sequence[int],
        elements: NDArray[np.int64],
        terms: NDArray[np.int64],
        nu: float,
        constant: float,
        reml: bool,
    ) -> None: ...
    def solve(self, theta: Floats) -> Solved | None: ...
    def derivatives(self, theta: Floats) -> tuple[Floats, Floats]: ...
