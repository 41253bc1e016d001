"""Random models against dense algebra: fits, df, types I to III, marginal means and their pairs."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from helpers.random_models import FIXED, RANDOM, TOLERANCES, compare, draw, fitted, worst

#: Seeds of an ordinary run, in parts; ``make test-all`` takes the others too, ``make torture``
#: thousands (tests/torture/test_dense_torture.py).
PARTS = [range(start, start + 20) for start in range(0, 120, 20)]


@pytest.mark.parametrize(
    "seeds", [*PARTS[:2], *(pytest.param(part, marks=pytest.mark.exhaustive) for part in PARTS[2:])]
)
def test_random_models_agree_with_dense_algebra(seeds):
    compared, found = worst(seeds)
    wrong = {name: each for name, each in found.items() if not each[1] <= TOLERANCES[name]}
    assert not wrong, "quantity -> (models, largest difference, seed)"
    assert compared >= 0.8 * len(seeds)


def test_the_seeds_have_what_is_hard():
    cases = [draw(seed) for part in PARTS for seed in part]
    fits = [fitted(case) for case in cases]
    assert sum(m is not None and m.is_singular for m in fits) >= 20
    assert sum(case.weighted for case in cases) >= 20
    assert sum(not case.reml for case in cases) >= 20
    assert sum(m is not None and len(m.dropped_columns) > 0 for m in fits) >= 10  # empty cells
    for name in ("x", "y"):
        assert {case.units[name] for case in cases} == {1e-6, 1e-3, 1.0, 1e3, 1e6}
    for formula in FIXED:
        assert any(case.formula.startswith(f"y ~ {formula} + (") for case in cases)
    for formula in RANDOM:
        assert any(case.formula.endswith(f" + {formula}") for case in cases)


def test_the_comparison_sees_a_change_of_a_millionth():
    """The fit is of other responses than those compared."""
    case = draw(0)
    rng = np.random.default_rng(0)
    y = case.data["y"] * (1.0 + 1e-5 * rng.normal(size=len(case.data)))
    found = compare(case, fitted(replace(case, data=case.data.assign(y=y))))
    for name in ("criterion", "sigma", "fixed effects", "random effects", "F"):
        assert found[name] > TOLERANCES[name]
