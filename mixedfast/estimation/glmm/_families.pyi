from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float64]

FAMILIES: tuple[str, ...]
LINKS: tuple[str, ...]

def has_link(family: str, link: str) -> bool: ...
def family_rows(
    family: str, link: str, eta: Floats, y: Floats, a: Floats, extra: float, third: bool
) -> Floats: ...
def negative_binomial_slopes(
    link: str, eta: Floats, y: Floats, a: Floats, kappa: float
) -> Floats: ...
def inverse_link(link: str, eta: Floats) -> Floats: ...
