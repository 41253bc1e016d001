from __future__ import annotations

from collections.abc import Callable

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float64]
Ints = NDArray[np.int32]
Longs = NDArray[np.int64]
Part = Callable[[int, int], object]
Share = Callable[[Part, Floats], object]
Large = tuple[int, Callable[[Floats, int, int], int]]

def at_once(part: Part, work: Floats) -> None: ...
def check_border(
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

class Border:
    dense: Floats
    diagonal: Floats
    m: int
    n_components: int
    TV: Floats
    @property
    def has_factor(self) -> bool: ...
    @property
    def has_inverse(self) -> bool: ...
    def __init__(
        self,
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
    def take(self, vals: Floats, base: Floats) -> None: ...
    def factor(
        self, T: Floats, lambdas: Floats, share: Share = ..., large: Large | None = None
    ) -> tuple[float, int]: ...
    def large_components(self, large: Large | None) -> list[int]: ...
    def eliminate(self, U: Floats, rest: Floats) -> None: ...
    def forward_solve(self, rows: Floats) -> Floats: ...
    def solve(self, rows: Floats) -> Floats: ...
    def invert(self, blocks: Floats, share: Share = ..., large: Large | None = None) -> None: ...
    def blocks_k(self, inverses: Floats, blocks: Floats) -> None: ...
    def blocks_q(self) -> Floats: ...
    def blocks_k_singular(self, wanted: NDArray[np.uint8], blocks: Floats) -> None: ...
    def multiply(self, X: Floats, upper: bool) -> Floats: ...
    def back_substitute(self, B: Floats, W: Floats) -> Floats: ...
    def project(self, A: Floats, T: Floats) -> Floats: ...
    def cross(
        self, A: Floats, T: Floats, B: Floats, U: Floats, v: Floats, F: Floats, own: int
    ) -> tuple[Floats, Floats, Floats]: ...
    def subtract_k(self, H: Floats, K: Floats, share: Share = ...) -> None: ...
