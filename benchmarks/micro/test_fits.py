"""Whole fits, from a data frame to the standard errors: `make bench-kernels`."""

from __future__ import annotations

import pytest

import mixedfast as mf

MODELS = {
    "hsb": ("hsb", "math ~ 1 + ses + (1 + ses | school)"),
    "penicillin": ("penicillin", "diameter ~ 1 + (1 | plate) + (1 | sample)"),
    "insteval": ("insteval", "y ~ service + (1 | s) + (1 | d) + (1 | dept)"),
}


@pytest.mark.parametrize("name", MODELS)
def test_lmer(benchmark, name):
    data, formula = MODELS[name]
    table = mf.load_dataset(data)
    benchmark.pedantic(
        lambda: mf.lmer(formula, table).bse,
        rounds=5 if name == "insteval" else 50,
        warmup_rounds=1,
    )
