from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float64]
Longs = NDArray[np.int64]

SMALLEST_DIVISOR: float

def solve_normal_equations(S: Floats) -> tuple[Floats, Floats, Floats, float] | None: ...
def lower_inverse(L: Floats) -> Floats: ...
def solve_moment_equations(equations: Floats, right: Floats, rcond: float) -> Floats: ...
def root_inside(block: Floats, low: float, high: float) -> Floats: ...
def newton_steps(gradient: Floats, hessian: Floats, floor: float) -> tuple[Floats, Floats]: ...
def theta_gradient(lambda_: Floats, G: Floats, places: Longs, out: Floats) -> None: ...
def theta_hessian(
    lambda_g: Floats,
    lambda_h: Floats,
    H: Floats,
    G: Floats | None,
    places_g: Longs,
    places_h: Longs,
    out: Floats,
) -> None: ...
def second_derivative(
    Q: Floats, vv_g: Floats, vv_h: Floats, traces: Floats | None, nu: float, r2: float
) -> Floats: ...
