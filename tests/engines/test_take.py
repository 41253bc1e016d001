"""An engine that takes other cross-products of the same structure is a new engine on them."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from mixedfast.crossprod.assemble import assemble
from mixedfast.crossprod.new_response import with_sums
from mixedfast.design.build import build
from mixedfast.engines.choose import choose
from mixedfast.engines.interface import Engine, Traces, traces_of
from mixedfast.errors import NotDefinedError
from mixedfast.formula.parser import parse

#: Relative to the largest number of an array: rounding of a factorization, whatever the order of
#: its sums.
SAME = 1e-12

FORMULAS = {
    "one factor": "y ~ x + (1 | a)",
    "a slope": "y ~ x + (x | a)",
    "no correlation": "y ~ x + (x || a)",
    "nested": "y ~ x + (1 | a) + (x | a:b)",
    "crossed": "y ~ x + (1 | a) + (1 | b)",
    "crossed slopes": "y ~ x + (x | b) + (1 + z | a)",
    "three": "y ~ x + (1 | c) + (z | a) + (1 | b)",
}


def random_design(formula, seed, n=400):
    """Return a design with unequal groups; c has few levels.

    So any factor may be the first in the formula and the largest.
    """
    rng = np.random.default_rng(seed)
    data = {
        "x": rng.normal(size=n),
        "z": rng.normal(size=n),
        "a": np.sort(rng.choice(40, size=n, p=np.arange(1, 41) / 820)),
        "b": rng.integers(0, 12, n),
        "c": rng.integers(0, 5, n),
        "y": rng.normal(size=n),
    }
    return build(parse(formula), data)


def reweighted(design, seed):
    """Return the same rows with random weights and another response; one weight is nearly zero."""
    rng = np.random.default_rng(seed)
    weights = np.exp(rng.normal(size=design.n))
    weights[0] = 1e-12
    return replace(design, y=rng.normal(size=design.n), weights=weights)


def everything(engine, lambdas, generator):
    """Return all arrays that an engine computes at some lambdas, one after the other."""
    groups = engine.cp.groups
    logdet, S = engine.factor(lambdas)
    F = [generator.normal(size=(group.n_levels, group.k, 3)) for group in groups]
    yield from (np.array(logdet), S, *engine.project(), *engine.solve(F))
    K = engine.blocks_k()
    yield from (*K, *engine.times_k(F))
    yield from engine.cross_k([f[:, :, 0].copy() for f in F])
    yield from engine.pair_traces(K).values()
    yield from engine.posterior_blocks()
    for g, group in enumerate(groups):
        for h, other in enumerate(groups):
            if g != h:
                i, j = generator.integers(0, (group.n_levels, other.n_levels), (20, 2)).T
                yield engine.posterior_pairs(g, h, i, j)


def some_lambdas(cp, generator, singular=False):
    theta = cp.covariance.identity + 0.3 * generator.normal(size=cp.covariance.n_theta)
    if singular:
        theta[0] = 0.0
    return cp.covariance.lambdas(theta)


def assert_same(taken, fresh, lambdas, seed):
    pairs = zip(
        everything(taken, lambdas, np.random.default_rng(seed)),
        everything(fresh, lambdas, np.random.default_rng(seed)),
        strict=True,
    )
    for ours, theirs in pairs:
        assert ours.shape == theirs.shape
        np.testing.assert_allclose(ours, theirs, rtol=0, atol=SAME * np.abs(theirs).max(initial=0))


@pytest.fixture(params=["block", "cholmod"])
def kind(request):
    if request.param == "cholmod":
        pytest.importorskip("mixedfast.engines._cholmod")
    return request.param


@pytest.mark.parametrize("singular", [False, True])
@pytest.mark.parametrize("formula", FORMULAS.values(), ids=FORMULAS)
def test_other_weights(kind, formula, singular):
    design = random_design(formula, 1)
    cp = assemble(design)
    generator = np.random.default_rng(2)
    engine = choose(cp, kind)
    list(everything(engine, some_lambdas(cp, generator), generator))  # it has been used
    for seed in range(3):
        other = assemble(reweighted(design, seed))
        assert not np.allclose(other.groups[0].A, cp.groups[0].A)
        engine.take(other)
        assert engine.cp is other
        lambdas = some_lambdas(other, generator, singular)
        assert_same(engine, choose(other, kind), lambdas, seed)
    engine.take(cp)
    assert_same(engine, choose(cp, kind), some_lambdas(cp, generator), 9)


@pytest.mark.parametrize("formula", FORMULAS.values(), ids=FORMULAS)
def test_another_response_keeps_the_blocks(kind, formula):
    cp = assemble(random_design(formula, 3))
    generator = np.random.default_rng(4)
    zy = [generator.normal(size=group.A.shape[:2]) for group in cp.groups]
    other = with_sums(cp, zy, generator.normal(size=cp.p), 1e6)
    engine = choose(cp, kind)
    lambdas = some_lambdas(cp, generator)
    list(everything(engine, lambdas, generator))
    engine.take(other)
    assert_same(engine, choose(other, kind), lambdas, 5)


def test_the_symbolic_analysis_is_kept(monkeypatch):
    pytest.importorskip("mixedfast.engines._cholmod")
    design = random_design(FORMULAS["three"], 5)
    engine = choose(assemble(design), "cholmod")
    monkeypatch.setattr("mixedfast.engines.cholmod.analyse", None)
    monkeypatch.setattr("mixedfast.engines.cholmod.Pattern", None)
    other = assemble(reweighted(design, 6))
    engine.take(other)
    assert engine.factor(some_lambdas(other, np.random.default_rng(7))) is not None


@pytest.mark.parametrize(
    ("formula", "message"),
    [
        ("y ~ x + (1 | a) + (1 | c)", "groups of .levels, columns."),
        ("y ~ x + (x | a) + (1 | b)", "groups of .levels, columns."),
        ("y ~ x + (1 | a)", "groups of .levels, columns."),
    ],
)
def test_another_structure_is_refused(kind, formula, message):
    engine = choose(assemble(random_design(FORMULAS["crossed"], 8)), kind)
    with pytest.raises(ValueError, match=message):
        engine.take(assemble(random_design(formula, 8)))


def test_other_pairs_of_levels_are_refused(kind):
    design = random_design(FORMULAS["crossed"], 9)
    engine = choose(assemble(design), kind)
    before = engine.cp
    moved = replace(design.terms[1], codes=np.roll(design.terms[1].codes, 1))
    with pytest.raises(ValueError, match="levels of a and b that occur together"):
        engine.take(assemble(replace(design, terms=(design.terms[0], moved))))
    assert engine.cp is before


def test_an_engine_without_traces_says_which_have_them():
    class Iterative:
        name = "iterative"

    engines = [choose(assemble(random_design(FORMULAS["crossed"], 1)), "block")]
    assert isinstance(engines[0], Traces)
    assert traces_of(engines[0]) is engines[0]
    iterative: Engine = Iterative()
    with pytest.raises(NotDefinedError, match="iterative engine has no exact traces"):
        traces_of(iterative)
