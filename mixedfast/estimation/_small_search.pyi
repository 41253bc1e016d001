from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

from mixedfast.estimation._small_system import SmallSystem, Solved

Floats = NDArray[np.float64]

def set_tolerances(values: Mapping[str, float]) -> None: ...
def minimize(
    system: SmallSystem, theta: Floats, tolerance: float, remaining: float
) -> tuple[
    Floats, Floats, Floats, Solved, float, float, bool, int, int, int, int, NDArray[Any]
]: ...
def refit(
    system: SmallSystem,
    Zy: Floats,
    Xy: Floats,
    yy: Floats,
    theta: Floats,
    tolerance: float,
    remaining: float,
) -> tuple[Floats, Floats, Floats, Floats, Floats, Floats, NDArray[np.int32]]: ...
