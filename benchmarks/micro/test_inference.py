"""Degrees of freedom and the bootstrap of well-known models, each after the fit.

`make bench-kernels`.
"""

from __future__ import annotations

import warnings

import pytest

import mixedfast as mf

MODELS = {
    "hsb": ("hsb", "math ~ 1 + ses + (1 + ses | school)"),
    "penicillin": ("penicillin", "diameter ~ 1 + (1 | plate) + (1 | sample)"),
    "pastes": ("pastes", "strength ~ 1 + (1 | sample) + (1 | batch)"),
    "insteval": ("insteval", "y ~ service + (1 | s) + (1 | d) + (1 | dept)"),
}


@pytest.fixture(params=MODELS)
def model(request):
    name, formula = MODELS[request.param]
    return formula, mf.load_dataset(name)


@pytest.mark.parametrize("ddf", ["satterthwaite", "kenward-roger"])
def test_degrees_of_freedom(benchmark, model, ddf):
    cp = mf.crossproducts(*model)
    benchmark.pedantic(lambda m: m.coef_table(ddf), setup=lambda: ((mf.fit(cp),), {}), rounds=5)


def test_bootstrap(benchmark):
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        m = mf.lmer("math ~ 1 + ses + (1 + ses | school)", mf.load_dataset("hsb"))
    benchmark.pedantic(lambda: m.bootstrap(1000, seed=1), rounds=3)
