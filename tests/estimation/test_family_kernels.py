"""Kernels of families and of random effects row by row, against their NumPy twins."""

from __future__ import annotations

import numpy as np
import pytest
from helpers import reference_families as _reference
from helpers.kernels import ROWS, SEEDS, close
from hypothesis import given
from hypothesis import strategies as st
from scipy import special, stats

from mixedfast.estimation.glmm import _families
from mixedfast.estimation.glmm._effects import (
    Cells,
    effects_add,
    effects_cross,
    effects_quadratic,
    effects_sum,
)

PAIRS = [
    (family, link)
    for family in _families.FAMILIES
    for link in _families.LINKS
    if _families.has_link(family, link)
]

#: Linear predictors near zero, where the textbook formulas have their digits: thirteen agree.
TEXTBOOK = 1e-11


def drawn(family, link, n, rng):
    """Draw eta, y and a of a family, with means inside its range."""
    eta = rng.uniform(-1.2, 1.2, n)
    if family == "binomial":
        if link == "log":
            eta = -np.abs(eta) - 0.1
        if link == "identity":
            eta = rng.uniform(0.05, 0.95, n)
        a = rng.integers(1, 6, n) * 1.0
        return eta, rng.binomial(a.astype(int), 0.4) * 1.0, a
    if link != "log":
        eta = np.abs(eta) + 0.3
    a = rng.uniform(0.3, 3.0, n)
    counts = rng.poisson(2.0, n) * 1.0
    return eta, counts if family in ("poisson", "nbinom2") else counts + 0.5, a


@pytest.mark.parametrize(("family", "link"), PAIRS)
@given(n=ROWS, seed=SEEDS, third=st.booleans())
def test_family_rows(family, link, n, seed, third):
    rng = np.random.default_rng(seed)
    eta, y, a = drawn(family, link, n, rng)
    extra = float(rng.uniform(0.3, 5.0))
    ours = _families.family_rows(family, link, eta, y, a, extra, third)
    theirs = _reference.family_rows(family, link, eta, y, a, extra, third)
    assert ours.shape == (6 if third else 4, n)
    for own, other in zip(ours, theirs, strict=True):
        close(own, other, TEXTBOOK)


@pytest.mark.parametrize("link", ["log", "inverse", "sqrt", "identity"])
@given(n=ROWS, seed=SEEDS)
def test_slopes_in_kappa(link, n, seed):
    """Against fourth-order differences of the textbook rows in log kappa."""
    rng = np.random.default_rng(seed)
    eta, y, a = drawn("nbinom2", link, n, rng)
    kappa, step = float(rng.uniform(0.5, 4.0)), 1e-3

    def at(move):
        return _reference.family_rows("nbinom2", link, eta, y, a, kappa * np.exp(move), False)

    wanted = (8 * (at(step) - at(-step)) - (at(2 * step) - at(-2 * step))) / (12 * step)
    own = _families.negative_binomial_slopes(link, eta, y, a, kappa)
    for one, other in zip(own, wanted, strict=True):
        # truncation and rounding of the differences, in units of the largest value
        np.testing.assert_allclose(
            one, other, rtol=0, atol=1e-8 * max(1.0, np.abs(other).max(initial=0))
        )


@pytest.mark.parametrize("link", _families.LINKS)
@given(seed=SEEDS)
def test_inverse_link(link, seed):
    eta = np.random.default_rng(seed).uniform(0.2, 3.0, 40)
    mean, slope, *_ = _reference.inverse_link(link, eta)
    close(_families.inverse_link(link, eta), [mean, slope], TEXTBOOK)


@pytest.mark.parametrize(
    ("link", "log_p", "log_q"),
    [
        ("logit", special.log_expit, lambda eta: special.log_expit(-eta)),
        ("probit", stats.norm.logcdf, stats.norm.logsf),
        ("cloglog", lambda eta: eta, lambda eta: -np.exp(eta)),
        ("cauchit", stats.cauchy.logcdf, stats.cauchy.logsf),
    ],
)
def test_tails_keep_their_digits(link, log_p, log_q):
    """Where the mean rounds to 0 or 1, log likelihoods are those of the distribution's own tails."""
    eta = np.array([-35.0, -20.0, -9.0]) if link != "cloglog" else np.array([-35.0, -30.0])
    one, zero = np.ones(len(eta)), np.zeros(len(eta))
    yes = _families.family_rows("binomial", link, eta, one, one, 0.0, True)
    no = _families.family_rows("binomial", link, eta, zero, one, 0.0, True)
    np.testing.assert_allclose(yes[0], log_p(eta), rtol=1e-13)
    np.testing.assert_allclose(no[0], log_q(eta), rtol=1e-13)
    if link != "cloglog":
        swapped = _families.family_rows("binomial", link, -eta, one, one, 0.0, True)
        np.testing.assert_allclose(swapped[0], no[0], rtol=1e-13)
    assert np.isfinite(yes).all() and np.isfinite(no).all()
    # the score is the derivative of the log likelihood, also far out
    step = 1e-5
    ends = [
        _families.family_rows("binomial", link, eta + sign * step, one, one, 0.0, True)
        for sign in (1, -1)
    ]
    np.testing.assert_allclose((ends[0][0] - ends[1][0]) / (2 * step), yes[1], rtol=1e-7)
    np.testing.assert_allclose(-(ends[0][1] - ends[1][1]) / (2 * step), yes[3], atol=1e-7)


def test_no_mean_no_likelihood():
    """A linear predictor outside the range of the means gives NaN, which a search steps back from."""
    one = np.ones(1)
    for family, link, eta in [
        ("binomial", "log", 0.3),
        ("binomial", "identity", 1.2),
        ("poisson", "identity", -0.5),
        ("Gamma", "inverse", -2.0),
    ]:
        rows = _families.family_rows(family, link, np.array([eta]), 0.5 * one, one, 0.0, False)
        assert np.isnan(rows[0, 0])


def test_refused():
    one = np.ones(2)
    with pytest.raises(ValueError, match="no link"):
        _families.family_rows("poisson", "logit", one, one, one, 0.0, False)
    with pytest.raises(ValueError, match="eta, y and a"):
        _families.family_rows("poisson", "log", one, one, np.ones(3), 0.0, False)
    with pytest.raises(ValueError, match="codes lie"):
        Cells(np.array([0, 2], dtype=np.int32), 2)
    cells = Cells(np.array([0, 1], dtype=np.int32), 2)
    with pytest.raises(ValueError, match="effects_add"):
        effects_add(cells, None, np.zeros((3, 1)), np.zeros(2))
    with pytest.raises(ValueError, match="z is"):
        effects_sum(cells, np.zeros((3, 1)), one)
    with pytest.raises(ValueError, match="effects_quadratic"):
        effects_quadratic(cells, None, None, np.zeros((2, 2, 1)), 1.0, np.zeros(2))


@given(
    n=ROWS,
    J=st.integers(1, 5),
    k=st.sampled_from([0, 1, 2, 3, 5]),
    m=st.sampled_from([0, 1, 2, 4]),
    seed=SEEDS,
)
def test_effects(n, J, k, m, seed):
    """k = 0 and m = 0 stand for the constant."""
    rng = np.random.default_rng(seed)
    codes = rng.integers(0, J, n, dtype=np.int32)
    cells = Cells(codes, J)
    z = rng.normal(size=(n, k)) if k else None
    y = rng.normal(size=(n, m)) if m else None
    r = rng.normal(size=n)
    close(effects_sum(cells, z, r), _reference.effects_sum(codes, J, z, r))
    close(effects_cross(cells, z, y, r), _reference.effects_cross(codes, J, z, y, r))
    b, Q = rng.normal(size=(J, max(k, 1))), rng.normal(size=(J, max(k, 1), max(m, 1)))
    ours, theirs = r.copy(), r.copy()
    effects_add(cells, z, b, ours)
    _reference.effects_add(codes, z, b, theirs)
    close(ours, theirs)
    effects_quadratic(cells, z, y, Q, -0.7, ours)
    _reference.effects_quadratic(codes, z, y, Q, -0.7, theirs)
    close(ours, theirs)
