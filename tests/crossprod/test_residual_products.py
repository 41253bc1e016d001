"""Residual sums of squares that are a tiny part of y'y, and a second pass over the rows."""

from __future__ import annotations

import warnings
from decimal import Decimal, localcontext
from itertools import pairwise

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import mixedfast as mf
import mixedfast.crossprod.residual_products as module
from mixedfast.crossprod.collinearity import well_conditioned
from mixedfast.crossprod.residual_products import residual_products
from mixedfast.design.build import build
from mixedfast.engines.choose import choose
from mixedfast.engines.refinement import Refined
from mixedfast.estimation.fit import SMALL_SHARE, fit_crossproducts
from mixedfast.estimation.fit_rows import NO_RESIDUALS, fit_rows
from mixedfast.estimation.pls import PLSSystem
from mixedfast.estimation.steps import CERTIFICATE_TOLERANCE
from mixedfast.formula.parser import parse


def table(noise: float, seed: int = 0, groups: int = 12, size: int = 5) -> pd.DataFrame:
    """Return groups whose members are nearly the same."""
    random = np.random.default_rng(seed)
    data = pd.DataFrame(
        {"g": np.repeat(np.arange(groups), size), "h": random.integers(0, 4, groups * size)}
    )
    data["x"] = random.normal(size=len(data))
    data["y"] = (
        random.normal(size=groups)[data.g] + 2.0 * data.x + noise * random.normal(size=len(data))
    )
    return data


def digits_of_sixty(data: pd.DataFrame, theta: float) -> float:
    """Return the REML criterion of y ~ 1 + x + (1 | g), in decimal arithmetic."""
    with localcontext() as context:
        context.prec = 60
        pi = Decimal("3.14159265358979323846264338327950288419716939937510582097494")
        theta2, n, p = Decimal(theta) ** 2, len(data), 2
        S = [[Decimal(0)] * 3 for _ in range(3)]
        logdet = Decimal(0)
        for _, rows in data.groupby("g"):
            D = [
                [Decimal(1), Decimal(float(x)), Decimal(float(y))]
                for x, y in zip(rows.x, rows.y, strict=True)
            ]
            shrink = theta2 / (1 + theta2 * len(D))
            logdet += (1 + theta2 * len(D)).ln()
            total = [sum(row[a] for row in D) for a in range(3)]
            for a in range(3):
                for b in range(3):
                    S[a][b] += sum(row[a] * row[b] for row in D) - shrink * total[a] * total[b]
        pivots = []
        for a in range(3):
            pivots.append(S[a][a])
            for b in range(a + 1, 3):
                ratio = S[b][a] / S[a][a]
                S[b] = [S[b][c] - ratio * S[a][c] for c in range(3)]
        nu = n - p
        return float(
            logdet + pivots[0].ln() + pivots[1].ln() + nu * (1 + (2 * pi * pivots[2] / nu).ln())
        )


@pytest.mark.parametrize("noise", [1e-4, 1e-6, 1e-8])
def test_criterion_has_the_digits_of_sixty_digit_arithmetic(noise: float) -> None:
    data = table(noise)
    m = mf.lmer("y ~ x + (1 | g)", data)
    assert m.converged
    assert m._fit.remainder is not None
    # the 16 digits of y itself are 1e-16 / noise of a residual
    assert m.criterion == pytest.approx(
        digits_of_sixty(data, float(m.theta[0])), abs=1e-9 + 5e-15 / noise
    )
    nearby = [digits_of_sixty(data, float(m.theta[0]) * factor) for factor in (0.999, 1.001)]
    assert m.criterion < min(nearby)
    assert m.sigma == pytest.approx(noise, rel=0.3)


def test_ordinary_data_are_read_once() -> None:
    m = mf.lmer("Reaction ~ Days + (Days | Subject)", mf.load_dataset("sleepstudy"))
    assert m._fit.remainder is None
    assert m._fit.share > SMALL_SHARE


def prepared(formula: str, data: pd.DataFrame, weights: str | None = None):
    design = build(parse(formula), data, weights=weights)
    return design, well_conditioned(design)


FORMULAS = (
    "y ~ x + (1 | g)",
    "y ~ x + (x | g)",
    "y ~ x + (x || g)",
    "y ~ x + (1 | g) + (1 | h)",
    "y ~ x + (x | g) + (1 | h)",
)


@settings(max_examples=40, deadline=None)
@given(
    st.sampled_from(FORMULAS),
    st.sampled_from(["block", "cholmod"]),
    st.integers(0, 10**6),
    st.booleans(),
    st.sampled_from([0.0, 1e-6, 0.3, 20.0]),
)
def test_whatever_is_taken_out_the_square_is_the_same(
    formula, engine, seed, weighted, small
) -> None:
    """On easy data it is the engine's own, with any gamma and delta, singular lambdas included."""
    random = np.random.default_rng(seed)
    data = table(1.0, seed)
    data["w"] = random.uniform(0.5, 2.0, len(data))
    design, cp = prepared(formula, data, "w" if weighted else None)
    chosen = choose(cp, engine)
    theta = random.normal(size=cp.covariance.n_theta)
    theta[-1] *= small
    lambdas = cp.covariance.lambdas(theta)
    _, S = chosen.factor(lambdas)
    gamma = random.normal(size=cp.p)
    delta = [random.normal(size=(g.n_levels, g.k, cp.p + 1)) for g in cp.groups]
    refined = Refined(chosen, residual_products(cp, design, gamma, delta))
    T = np.eye(cp.p + 1)
    T[:-1, -1] = -gamma
    size = np.sqrt(np.diag(T.T @ cp.xy @ T))
    np.testing.assert_allclose(
        refined.square(lambdas) / np.outer(size, size),
        T.T @ S @ T / np.outer(size, size),
        atol=1e-9,
    )
    K, C = refined.blocks_k(), refined.project()
    K_own, C_own = chosen.blocks_k(), chosen.project()
    for new, old in zip([*K, *C], [*K_own, *C_own], strict=True):
        np.testing.assert_allclose(new, old, atol=1e-8 * max(1.0, np.abs(old).max()))


@pytest.mark.parametrize("formula", FORMULAS)
@pytest.mark.parametrize("reml", [True, False])
def test_gradient_is_the_slope_of_the_criterion(formula: str, reml: bool) -> None:
    design, cp = prepared(formula, table(1e-4, 3))
    fit = fit_rows(cp, design, reml)
    assert fit.remainder is not None
    system = PLSSystem(fit.cp, choose(fit.cp, "auto"), reml, fit.remainder)
    theta = fit.theta_internal * np.linspace(0.5, 2.0, len(fit.theta))
    theta = np.where(theta == 0.0, 0.01, theta)
    system.solve(theta)
    slopes = theta * system.gradient()
    for j in range(len(theta)):
        step = np.zeros(len(theta))
        step[j] = 1e-4 * theta[j]
        up, down = (system.solve(theta + sign * step).deviance for sign in (1, -1))
        assert (up - down) / 2e-4 == pytest.approx(slopes[j], rel=1e-4, abs=1e-2)


# beside such groups the slopes' variance is rounding, or nothing
@pytest.mark.filterwarnings("ignore::mixedfast.SingularFitWarning")
@pytest.mark.parametrize("noise", [1e-5, 1e-7])
def test_units_and_fixed_effects_do_not_matter(noise: float) -> None:
    data = table(noise, 5)
    plain = mf.lmer("y ~ x + (x | g)", data)
    other = mf.lmer("y ~ x + (x | g)", data.assign(y=1024.0 * data.y))
    moved = mf.lmer("y ~ x + (x | g)", data.assign(y=data.y + 3.0 - 5.0 * data.x))
    nu = len(data) - 2
    assert other.criterion - nu * 2.0 * np.log(1024.0) == pytest.approx(plain.criterion, abs=1e-8)
    # adding them rounds y to 16 digits, which are 1e-16 / noise of a residual
    assert moved.criterion == pytest.approx(plain.criterion, abs=10 * nu * 1e-15 / noise)
    assert moved.params["x"] == pytest.approx(plain.params["x"] - 5.0, abs=1e-9)


def test_inference_and_files_keep_the_digits(tmp_path) -> None:
    data = table(1e-6, 7)
    m = mf.lmer("y ~ x + (1 | g)", data)
    ml = m.update(REML=False)
    assert ml.criterion == pytest.approx(
        mf.lmer("y ~ x + (1 | g)", data, REML=False).criterion, abs=1e-9
    )
    m.save(tmp_path / "fit.mf")
    again = mf.load(tmp_path / "fit.mf")
    assert again._fit.resolution == pytest.approx(m._fit.resolution)
    pd.testing.assert_frame_equal(again.coef_table(), m.coef_table())
    # 48 residual contrasts within groups, one of them x's
    assert m.coef_table()["df"]["x"] == pytest.approx(47.0, rel=1e-3)
    assert m.refit(data.y.to_numpy()).criterion == pytest.approx(m.criterion, abs=1e-9)


def test_sums_alone_say_how_little_they_know() -> None:
    cp = mf.crossproducts("y ~ x + (1 | g)", table(1e-6))
    with pytest.warns(mf.ConvergenceWarning, match="sums of 16 digits"):
        m = mf.fit(cp)
    assert not m.converged
    assert m.params["x"] == pytest.approx(2.0, abs=1e-5)


@pytest.mark.parametrize("formula", ["y ~ 1 + (1 | g)", "y ~ x + (1 | g)"])
def test_nothing_left_is_said(formula: str) -> None:
    data = table(0.0)
    data["y"] = data.y - 2.0 * data.x * (formula == "y ~ 1 + (1 | g)")
    data["y"] = data.groupby("g").y.transform("first") + (2.0 * data.x if "x" in formula else 0.0)
    with pytest.warns(mf.ConvergenceWarning, match="residual variance runs to zero"):
        m = mf.lmer(formula, data)
    assert not m.converged
    assert m._fit.optimum.message == NO_RESIDUALS


def test_likelihood_ratio_tests_refit_with_the_remainder() -> None:
    data = table(1e-6, 9)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        formulas = ["y ~ x + (1 | g)", "y ~ x + h + (1 | g)"]
        found = mf.anova(*(mf.lmer(formula, data) for formula in formulas))
        direct = [mf.lmer(formula, data, REML=False).criterion for formula in formulas]
    assert found["chisq"].iloc[1] == pytest.approx(direct[0] - direct[1], abs=1e-8)


def test_crossproducts_fit_with_a_remainder_matches_rows() -> None:
    design, cp = prepared("y ~ x + (1 | g)", table(1e-6, 11))
    fit = fit_rows(cp, design)
    again = fit_crossproducts(fit.cp, True, remainder=fit.remainder)
    assert again.deviance == pytest.approx(fit.deviance, abs=1e-9)


@pytest.mark.parametrize("noise", [1e-4, 1e-6, 1e-8])
@pytest.mark.parametrize("weights", [None, "w"])
def test_batches_are_read_once_more_too(noise: float, weights: str | None) -> None:
    pa = pytest.importorskip("pyarrow")
    random = np.random.default_rng(13)
    data = table(noise, 12).assign(w=lambda d: random.uniform(0.5, 2.0, len(d)))
    data.loc[7, "x"] = np.nan
    rows = pa.Table.from_pandas(data)
    whole = mf.lmer("y ~ x + (x || g)", data, weights=weights)
    for edges in ([0, 60], [0, 30, 60], range(61)):
        batches = [rows.slice(a, b - a) for a, b in pairwise(edges)]
        parts = mf.lmer("y ~ x + (x || g)", batches, weights=weights)
        assert parts.converged
        assert parts.criterion == pytest.approx(whole.criterion, abs=1e-8 + 5e-15 / noise)
        assert parts.sigma == pytest.approx(whole.sigma, rel=1e-7)


def test_an_iterator_cannot_be_read_once_more_and_sums_say_what_would_help() -> None:
    pa = pytest.importorskip("pyarrow")
    data = table(1e-6, 14)
    with pytest.warns(
        mf.ConvergenceWarning, match="in memory, from files or from an engine.: it reads them again"
    ):
        once = mf.lmer(
            "y ~ x + (1 | g)", iter([pa.Table.from_pandas(data)]), levels={"g": range(12)}
        )
    assert not once.converged
    assert once.params["x"] == pytest.approx(2.0, abs=1e-5)


@pytest.mark.parametrize("weighted", [False, True])
def test_rows_taken_out_in_blocks_give_the_same_sums(monkeypatch, weighted: bool) -> None:
    random = np.random.default_rng(4)
    data = table(1e-3, 4)
    data["w"] = random.uniform(0.5, 2.0, len(data))
    design, cp = prepared("y ~ x + (x | g) + (1 | h)", data, "w" if weighted else None)
    gamma = random.normal(size=cp.p)
    delta = [random.normal(size=(g.n_levels, g.k, cp.p + 1)) for g in cp.groups]
    whole = residual_products(cp, design, gamma, delta)
    monkeypatch.setattr(module, "_BLOCK_NUMBERS", 1)
    assert len(list(module._row_blocks(len(data), cp))) == 5
    blocks = residual_products(cp, design, gamma, delta)
    np.testing.assert_allclose(blocks.ww, whole.ww, rtol=1e-12)
    for part, own in zip(blocks.zw, whole.zw, strict=True):
        np.testing.assert_allclose(part, own, rtol=1e-12, atol=1e-12)
    assert blocks.rounding == whole.rounding


def crossed(noise: float) -> pd.DataFrame:
    """Two crossed factors and a slope, and next to no residual."""
    data = table(1.0, 2)
    random = np.random.default_rng(2)
    effects = (
        random.normal(size=12)[data.g]
        + random.normal(size=12)[data.g] * data.x
        + random.normal(size=4)[data.h]
    )
    return data.assign(y=effects + noise * random.normal(size=len(data)))


def test_several_factors_and_no_noise_are_told_in_words() -> None:
    with pytest.warns(mf.ConvergenceWarning, match="sums of 16 digits"):
        m = mf.lmer("y ~ x + (x | g) + (1 | h)", crossed(1e-9))
    assert not m.converged
    assert m._fit.out_of_digits or m._fit.resolution > CERTIFICATE_TOLERANCE


def test_what_rounding_hides_is_said_of_a_converged_fit() -> None:
    m = mf.lmer("y ~ x + (1 | g) + (1 | h)", table(1e-4, 3).assign(y=lambda d: d.y + d.h))
    assert m.converged
    assert 1e-6 < m._fit.resolution < CERTIFICATE_TOLERANCE
    assert f"accurate to {m._fit.resolution:.1g} only" in str(m.convergence())
    with pytest.warns(mf.SingularFitWarning):  # h has no effects of its own
        noisy = mf.lmer("y ~ x + (1 | g) + (1 | h)", table(1.0, 3))
    assert "Rounding" not in str(noisy.convergence())
