"""The krylov engine: exact with unit vectors, and within its Monte-Carlo error with probes."""

from __future__ import annotations

import warnings

import numpy as np
import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st

import mixedfast as mf
from mixedfast.engines.choose import choose
from mixedfast.engines.krylov.engine import KrylovEngine
from mixedfast.errors import ConvergenceWarning, SingularFitWarning

#: Names of the models of the tests below.
FORMULAS = {
    "two factors": "y ~ x + (1 | g0) + (1 | g1)",
    "three factors": "y ~ x + (1 | g0) + (1 | g1) + (1 | g2)",
    "slopes": "y ~ x + (1 + x | g0) + (1 + x | g1)",
    "uncorrelated slopes": "y ~ x + (1 + x || g0) + (1 | g1)",
}


def crossed(n: int, levels: tuple[int, ...], seed: int, weighted: bool = False) -> pd.DataFrame:
    """Draw a crossed design with random intercepts, and random slopes of the first two factors."""
    rng = np.random.default_rng(seed)
    table = {f"g{i}": rng.integers(0, J, n) for i, J in enumerate(levels)}
    x, y = rng.normal(size=n), rng.normal(size=n)
    for i, J in enumerate(levels):
        y += (1.0, 0.5, 0.3)[i] * rng.normal(size=J)[table[f"g{i}"]]
        if i < 2:
            y += (0.5, 0.3)[i] * x * rng.normal(size=J)[table[f"g{i}"]]
    w = rng.uniform(0.5, 2.0, n) if weighted else np.ones(n)
    return pd.DataFrame({**table, "x": x, "y": x + y, "w": w})


def standard_errors(m: mf.LMMResult) -> np.ndarray:
    """Return the standard errors of theta in the internal basis."""
    return np.sqrt(2.0 * np.diag(np.linalg.inv(m._fit.curvature().hessian)))


@pytest.mark.parametrize("name", FORMULAS)
@pytest.mark.parametrize("weighted", [False, True])
def test_unit_vectors_are_exact(name: str, weighted: bool) -> None:
    """Every result of the engine is that of the block engine where probes are unit vectors."""
    table = crossed(400, (30, 12, 5), 3, weighted)
    m = mf.lmer(FORMULAS[name], table, weights="w" if weighted else None, engine="block")
    cp, lambdas = m._fit.cp, m._fit.covariance.lambdas(m._fit.theta_internal)
    block, krylov = choose(cp, "block"), KrylovEngine(cp, probes=1000)
    exact, found = block.factor(lambdas), krylov.factor(lambdas)
    assert exact is not None and found is not None
    assert krylov.is_exact
    assert found[0] == pytest.approx(exact[0], rel=1e-10)
    np.testing.assert_allclose(found[1], exact[1], rtol=1e-10, atol=1e-10 * exact[1].max())
    rng = np.random.default_rng(0)
    F = [rng.normal(size=(g.n_levels, g.k, 3)) for g in cp.groups]
    v = [np.ascontiguousarray(f[:, :, 0]) for f in F]
    pairs = [
        (block.project(), krylov.project()),
        (block.solve(F), krylov.solve(F)),
        (block.times_k(F), krylov.times_k(F)),
        (block.posterior_blocks(), krylov.posterior_blocks()),
        (block.blocks_k(), krylov.blocks_k()),
        (block.cross_k(v), krylov.cross_k(v)),
    ]
    for one, other in pairs:
        for a, b in zip(one, other, strict=True):
            np.testing.assert_allclose(b, a, rtol=1e-9, atol=1e-10 * np.abs(a).max())
    levels = np.array([0, 3, 3, 7]), np.array([1, 4, 0, 4])
    for g, h in ((0, 1), (1, 0)):
        i, j = levels if g == 0 else levels[::-1]
        np.testing.assert_allclose(
            krylov.posterior_pairs(g, h, i, j), block.posterior_pairs(g, h, i, j), atol=1e-10
        )


def test_few_columns_give_the_golden_fit() -> None:
    """A rest with no more columns than probes is fitted without Monte-Carlo error."""
    table = mf.load_dataset("penicillin")
    m = mf.lmer("diameter ~ 1 + (1 | plate) + (1 | sample)", table, engine="krylov")
    exact = mf.lmer("diameter ~ 1 + (1 | plate) + (1 | sample)", table)
    assert m.engine == "krylov"
    assert m.optimization["monte_carlo"]["ratio"] == 0.0
    assert m.criterion == pytest.approx(exact.criterion, abs=1e-8)
    np.testing.assert_allclose(m.theta, exact.theta, rtol=1e-6)


@given(
    seed=st.integers(0, 10_000),
    name=st.sampled_from(sorted(FORMULAS)),
    reml=st.booleans(),
    power=st.sampled_from([-6, 0, 6]),
)
def test_fits_agree_within_their_error(seed: int, name: str, reml: bool, power: int) -> None:
    """The error of theta is within 5 claimed errors or 1e-4 standard errors, in any unit of y."""
    table = crossed(600, (60, 40, 20), seed)
    table["y"] *= 10.0**power
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", (SingularFitWarning, ConvergenceWarning))
        exact = mf.lmer(FORMULAS[name], table, reml, engine="block")
        m = mf.lmer(FORMULAS[name], table, reml, engine="krylov")
    if exact.is_singular:  # theta has no standard error; its optimum has
        assert abs(m.criterion - exact.criterion) < 0.01
        return
    error = np.abs(m._fit.theta_internal - exact._fit.theta_internal) / standard_errors(exact)
    claimed = m._fit.monte_carlo()
    assert claimed is not None
    assert (error < np.maximum(5.0 * claimed.ratio, 1e-4)).all()
    assert abs(m.criterion - exact.criterion) < 5.0 * claimed.criterion + 1e-6


def test_claimed_errors_are_calibrated() -> None:
    """Over 12 designs, the errors of theta are between half of and twice those claimed."""
    ratios, logs = [], []
    for seed in range(12):
        table = crossed(4000, (300, 120), seed)
        exact = mf.lmer(FORMULAS["two factors"], table, engine="block")
        m = mf.lmer(FORMULAS["two factors"], table, engine="krylov")
        claimed = m._fit.monte_carlo()
        assert claimed is not None and claimed.probes >= 16 and claimed.meets_target
        error = (m._fit.theta_internal - exact._fit.theta_internal) / standard_errors(exact)
        ratios.append(error / claimed.ratio)
        logs.append((m.criterion - exact.criterion) / claimed.criterion)
    assert 0.5 < np.sqrt(np.mean(np.square(ratios))) < 2.0
    assert 0.5 < np.sqrt(np.mean(np.square(logs))) < 2.0


def test_a_variance_at_zero_is_found() -> None:
    """A factor without effect gets a zero, and the search leaves a zero that is none."""
    table = crossed(3000, (150, 60), 5)
    rng = np.random.default_rng(0)
    table["none"] = rng.integers(0, 50, len(table))
    formula = "y ~ x + (1 | g0) + (1 | g1) + (1 | none)"
    for seed in range(3):
        table["y2"] = table.y + 0.01 * np.random.default_rng(seed).normal(size=len(table))
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", SingularFitWarning)
            exact = mf.lmer(formula.replace("y ~", "y2 ~"), table, engine="block")
            m = mf.lmer(formula.replace("y ~", "y2 ~"), table, engine="krylov")
            away = mf.lmer(
                formula.replace("y ~", "y2 ~"), table, engine="krylov", start=[0.0, 0.4, 0.1]
            )
        np.testing.assert_allclose(m.theta, exact.theta, atol=1e-3)
        np.testing.assert_allclose(away.theta, exact.theta, atol=1e-3)
        assert m.converged and away.converged


def test_disconnected_parts_and_tiny_levels() -> None:
    """Communities without a common level, and levels of one row, are fitted."""
    parts = [crossed(1500, (100, 50), seed) for seed in range(2)]
    parts[1][["g0", "g1"]] += 1000
    table = pd.concat(parts, ignore_index=True)
    table.loc[:4, "g1"] = np.arange(5000, 5005)
    exact = mf.lmer(FORMULAS["two factors"], table, engine="block")
    m = mf.lmer(FORMULAS["two factors"], table, engine="krylov")
    error = (m._fit.theta_internal - exact._fit.theta_internal) / standard_errors(exact)
    assert np.abs(error).max() < 5e-4


def test_the_same_estimates_again_also_from_a_file(tmp_path: object) -> None:
    """Probes have a fixed seed: two fits are the same, and so is one that was saved."""
    table = crossed(3000, (150, 60), 6)
    first, second = (mf.lmer(FORMULAS["two factors"], table, engine="krylov") for _ in range(2))
    assert (first.theta == second.theta).all() and first.criterion == second.criterion
    first.save(f"{tmp_path}/fit.mf")
    loaded = mf.load(f"{tmp_path}/fit.mf")
    assert loaded.engine == "krylov"
    assert loaded.optimization["monte_carlo"] == first.optimization["monte_carlo"]


def test_an_error_above_the_target_is_a_warning(monkeypatch: pytest.MonkeyPatch) -> None:
    """Where no more probes are allowed, the warning has the error that is left."""
    monkeypatch.setattr("mixedfast.estimation.monte_carlo.MOST_PROBES", 16)
    monkeypatch.setattr("mixedfast.estimation.monte_carlo.TARGET", 1e-9)
    table = crossed(3000, (150, 60), 7)
    with pytest.warns(ConvergenceWarning, match="Monte-Carlo error of theta is"):
        mf.lmer(FORMULAS["two factors"], table, engine="krylov")


def test_results_after_the_fit_agree_with_exact_ones() -> None:
    """Standard errors, modes, predictions and df are those of the block engine."""
    table = crossed(6000, (300, 120), 8)
    exact = mf.lmer(FORMULAS["two factors"], table, engine="block")
    m = mf.lmer(FORMULAS["two factors"], table, engine="krylov")
    assert "Traces are Monte-Carlo estimates" in str(m.summary())
    assert "Monte-Carlo" not in str(exact.summary())
    np.testing.assert_allclose(m.vcov(), exact.vcov(), rtol=1e-5)
    np.testing.assert_allclose(m.predict(), exact.predict(), atol=1e-5)
    for one, other in zip(m._fit.posterior, exact._fit.posterior, strict=True):
        np.testing.assert_allclose(one, other, rtol=2e-2)
    df = [fit.coef_table().df.to_numpy() for fit in (m, exact)]
    np.testing.assert_allclose(df[0], df[1], rtol=1e-3)
    refitted = m.refit(np.ravel(m.simulate(1, seed=1)))
    assert refitted.engine == "krylov" and refitted.converged


def test_one_factor_needs_no_probes() -> None:
    """A model with one factor is fitted by the block engine, exactly."""
    m = mf.lmer("y ~ x + (1 | g0)", crossed(300, (20, 5), 9), engine="krylov")
    assert m.engine == "block" and m.optimization["monte_carlo"] is None


def test_nearly_separate_communities_need_their_directions() -> None:
    """50 communities that share 0.2 % of their rows: 60 directions meet the target."""
    rng = np.random.default_rng(3)
    n, parts = 60_000, 50
    own = rng.integers(0, parts, n)
    other = np.where(rng.random(n) < 0.002, rng.integers(0, parts, n), own)
    g0, g1 = own * 60 + rng.integers(0, 60, n), other * 30 + rng.integers(0, 30, n)
    y = rng.normal(size=n) + 0.7 * rng.normal(size=3000)[g0] + 0.5 * rng.normal(size=1500)[g1]
    table = pd.DataFrame({"g0": g0, "g1": g1, "y": y})
    m = mf.lmer("y ~ 1 + (1 | g0) + (1 | g1)", table, engine="krylov")
    exact = mf.lmer("y ~ 1 + (1 | g0) + (1 | g1)", table, engine="block")
    claimed = m._fit.monte_carlo()
    assert claimed is not None and claimed.meets_target
    assert m.optimization["engine"]["directions"] == 60
    error = (m._fit.theta_internal - exact._fit.theta_internal) / standard_errors(exact)
    assert (np.abs(error) < 5.0 * claimed.ratio).all()
