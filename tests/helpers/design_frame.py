"""One table with columns of every kind, and its design for a formula."""

from __future__ import annotations

from typing import Any

import numpy as np
import pandas as pd

from mixedfast.design.build import build
from mixedfast.design.identifiability import check_design
from mixedfast.design.types import Design
from mixedfast.formula.parser import parse

N = 60

ROUNDING = {
    "rtol": 1e-13,
    "atol": 1e-13,
}  # products of two or three numbers, in another order at most


def make_frame() -> pd.DataFrame:
    rng = np.random.default_rng(20)
    return pd.DataFrame(
        {
            "y": rng.normal(size=N),
            "x": rng.normal(size=N) + 4,
            "z": rng.normal(size=N).astype(np.float32),
            "k": rng.integers(0, 3, N),
            "h": rng.integers(0, 4, N) / 2,
            "b": rng.random(N) < 0.5,
            "f": pd.Categorical(rng.choice(list("abc"), N), categories=["c", "a", "never", "b"]),
            "s": rng.choice(["u", "v"], N),
            "g": np.repeat(np.arange(12), 5)[rng.permutation(N)],
            "my var": rng.normal(size=N),
        }
    )


FRAME = make_frame()

USED = FRAME.assign(  # what formulaic is to see
    f=FRAME["f"].cat.remove_unused_categories(),
    b=pd.Categorical(FRAME["b"], categories=[False, True]),
)


def design(formula: str, data: Any = None, **options: Any) -> Design:
    made = build(parse(formula, require_random=False), FRAME if data is None else data, **options)
    check_design(made)
    return made


# --- refusals -------------------------------------------------------------------------------------


def changed(**columns: Any) -> pd.DataFrame:
    return FRAME.assign(**columns)
