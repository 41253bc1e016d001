from __future__ import annotations

from collections.abc import Sequence
from typing import Literal, TypedDict

import numpy as np
from numpy.typing import ArrayLike, NDArray

from mixedfast.errors import CholmodError as CholmodError

SUPERNODAL_SWITCH: float

class Candidate(TypedDict):
    ordering: str
    nnz: int
    flops: float

def version() -> str: ...
def has_metis() -> bool: ...
def has_supernodal() -> bool: ...

class Factor:
    n: int
    ordering: str
    nnz_L: int
    flops: float
    is_supernodal: bool
    candidates: list[Candidate]
    def __init__(
        self,
        n: int,
        indptr: ArrayLike,
        indices: ArrayLike,
        orderings: Sequence[str] | None = None,
        kind: Literal["auto", "simplicial", "supernodal"] = "auto",
        perm: ArrayLike | None = None,
    ) -> None: ...
    @property
    def perm(self) -> NDArray[np.int64]: ...
    def factorize(self, data: ArrayLike) -> int: ...
    def logdet(self) -> float: ...
    def solve(
        self,
        B: ArrayLike,
        system: Literal["A", "L", "Lt", "P", "Pt"] = "A",
        out: NDArray[np.float64] | None = None,
    ) -> NDArray[np.float64]: ...
    def half_solve(
        self, B: ArrayLike, out: NDArray[np.float64] | None = None
    ) -> NDArray[np.float64]: ...
    def half_solve_t(
        self, B: ArrayLike, out: NDArray[np.float64] | None = None
    ) -> NDArray[np.float64]: ...
    def factor_csc(self) -> tuple[NDArray[np.int64], NDArray[np.int64], NDArray[np.float64]]: ...
    def selected_inverse(self, out: NDArray[np.float64] | None = None) -> NDArray[np.float64]: ...
