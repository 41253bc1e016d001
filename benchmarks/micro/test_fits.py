"""Whole fits, from a data frame to the standard errors: `make bench-kernels`."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest

import mixedfast as mf

MODELS = {
    "hsb": ("hsb", "math ~ 1 + ses + (1 + ses | school)"),
    "sleepstudy": ("sleepstudy", "Reaction ~ Days + (Days | Subject)"),
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


def test_lmer_with_tests(benchmark):
    data, formula = MODELS["hsb"]
    table = mf.load_dataset(data)
    benchmark.pedantic(
        lambda: mf.lmer(formula, table).coef_table("satterthwaite"), rounds=50, warmup_rounds=1
    )


def test_lmer_by(benchmark):
    """500 subsets."""
    rng = np.random.default_rng(1)
    sleep = mf.load_dataset("sleepstudy")
    table = pd.concat(
        [
            sleep.assign(item=i, Reaction=sleep.Reaction + 20.0 * rng.normal(size=len(sleep)))
            for i in range(500)
        ],
        ignore_index=True,
    )
    formula = MODELS["sleepstudy"][1]
    benchmark.pedantic(lambda: mf.lmer_by(formula, table, by="item"), rounds=3, warmup_rounds=1)
