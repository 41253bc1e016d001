"""The bootstrap without rows: moments of draws, refits, and the distribution from rows."""

from __future__ import annotations

import warnings
from contextlib import contextmanager

import numpy as np
import pytest
from helpers.cases import fitted_model, frame, golden

import mixedfast as mf
from mixedfast.covariance.relative import SINGULAR_TOLERANCE
from mixedfast.design.columns import matrix
from mixedfast.engines.choose import choose
from mixedfast.estimation.local_model import DirectModel
from mixedfast.estimation.newton import minimize
from mixedfast.estimation.refits import new_engine, refit, scores
from mixedfast.inference.intervals import bootstrap as room
from mixedfast.inference.intervals.bootstrap import row_space_bootstrap
from mixedfast.inference.intervals.bootstrap_intervals import bootstrap_limits
from mixedfast.inference.intervals.response_sampler import ResponseSampler
from mixedfast.results.bootstrap import Bootstrap
from mixedfast.results.tabled import tabled

HSB = "math ~ ses + (ses | school)"
DESIGNS = {
    "slope": ("clinics_slope", None),
    "nested": ("pastes", None),
    "crossed": ("penicillin", None),
    "weighted": ("clinics_weights", "w"),
}


def bootstrap(fit, *arguments, **options) -> Bootstrap:
    return tabled(Bootstrap, room.bootstrap(fit, *arguments, **options), "pandas")


@pytest.fixture(scope="module")
def hsb() -> mf.LMMResult:
    return mf.lmer(HSB, frame("hsb"))


def generators(n: int, seed: int = 0) -> list[np.random.Generator]:
    return [np.random.default_rng([seed, i]) for i in range(n)]


# -- draws -----------------------------------------------------------------------------------------


def rows_of(m: mf.LMMResult) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """sqrt(W) [Z X], and the mean and covariance of sqrt(W) y*, internal basis, dense."""
    f, design, cp = m._fit, m._design, m._fit.cp
    root = np.ones(design.n) if design.weights is None else np.sqrt(design.weights)
    X = (matrix([design.x[j] for j in cp.kept], design.n) - cp.shift[:-1]) * cp.scale[:-1]
    lambdas, Zs, V = f.covariance.lambdas(f.theta_internal), [], np.eye(design.n)
    for g, group in enumerate(cp.groups):
        terms = [t for t, shape in zip(design.terms, cp.terms, strict=True) if shape.group == g]
        columns = np.hstack([matrix(t.columns, design.n) for t in terms])
        columns = (columns - group.shift) * group.scale * root[:, None]
        Z = np.zeros((design.n, group.n_levels, group.k))
        Z[np.arange(design.n), terms[0].codes] = columns
        H = lambdas[g] @ lambdas[g].T
        V += np.einsum("ija,ab,kjb->ik", Z, H, Z)
        Zs.append(Z.reshape(design.n, -1))
    D = np.hstack([*Zs, X * root[:, None]])
    sigma2 = f.solution.r2 / f.nu
    return D, X * root[:, None] @ f.solution.beta, sigma2 * V


@pytest.mark.parametrize("name", DESIGNS)
def test_draws_have_the_model_s_moments(name):
    m = fitted_model(DESIGNS[name][0])
    D, mean, V = rows_of(m)
    R = 20_000
    sampler = ResponseSampler(m._fit)
    assert sampler.rank == np.linalg.matrix_rank(D)
    drawn = sampler.draw(generators(R))
    found = np.column_stack([*(zy.reshape(R, -1) for zy in drawn.zy), drawn.xy])
    wanted, cov = D.T @ mean, D.T @ V @ D
    # five standard errors of a mean and of a covariance of normals, over some thousand entries
    sd = np.sqrt(np.diag(cov))
    assert (np.abs(found.mean(axis=0) - wanted) < 5.0 * sd / np.sqrt(R)).all()
    allowed = 6.0 * np.sqrt((cov**2 + np.outer(sd**2, sd**2)) / R)
    assert (np.abs(np.cov(found.T) - cov) < allowed).all()
    # y'y: E = tr V + m'm, Var = 2 tr V^2 + 4 m'V m
    expected, variance = np.trace(V) + mean @ mean, 2.0 * np.sum(V * V) + 4.0 * mean @ V @ mean
    assert drawn.yy.mean() == pytest.approx(expected, abs=5.0 * np.sqrt(variance / R))
    assert drawn.yy.var() == pytest.approx(
        variance, rel=0.1
    )  # the variance of a variance: about 1.5% at R = 20,000


def test_a_draw_is_a_possible_response(hsb):
    """The Schur complement of y in [Z X y]'[Z X y] is what is left of e: it cannot be negative."""
    f = hsb._fit
    drawn = ResponseSampler(f).draw(generators(50))
    A, zy = f.cp.groups[0].A, drawn.zy[0]
    explained = np.einsum("rja,jab,rjb->r", zy, np.linalg.inv(A), zy)
    left = (drawn.yy - explained) / (f.solution.r2 / f.nu)
    df = f.cp.n - 320  # X lies in the span of Z
    assert left.mean() == pytest.approx(df, abs=5.0 * np.sqrt(2.0 * df / 50))


# -- refits ----------------------------------------------------------------------------------------


@pytest.mark.parametrize("reml", [True, False])
@pytest.mark.parametrize(
    "name",
    [
        "hsb_seed",
        "clinics_factor_slope",
        "dyestuff",
        "clinics_uncorrelated",
        "pastes",
        "penicillin",
        "words_crossed",
    ],
)
def test_searches_together_end_where_one_search_ends(name, reml):
    case = golden(name)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", mf.SingularFitWarning)
        f = mf.lmer(case["formula_py"], frame(case["dataset"]), REML=reml)._fit
    drawn = ResponseSampler(f).draw(generators(40))
    found = refit(f, drawn, new_engine(f))
    assert found.converged.all()
    for r in range(40):
        system = f.new_system(cp=drawn.crossproducts(f.cp, r))
        alone = minimize(system, f.theta_internal, DirectModel(exact=True))
        # both searches stop within 1e-9 of a minimum; where it is singular, that from the identity
        # may be lower
        assert system.solve(found.theta[r]).deviance <= alone.deviance + 1e-7
        for ours, theirs in (
            (found.r2[r], system.solution.r2),
            (found.beta[r], system.solution.beta),
            (found.LX[r], system.solution.LX),
            (found.deviance[r], system.solution.deviance),
        ):
            assert ours == pytest.approx(theirs, rel=1e-9, abs=1e-12)


@pytest.mark.parametrize("name", ["pastes", "penicillin", "hsb_seed"])
def test_scores_are_those_of_each_response(name):
    f = fitted_model(name)._fit
    drawn = ResponseSampler(f).draw(generators(3))
    found = scores(f, drawn, new_engine(f))
    residual = np.append(-f.solution.beta, 1.0)
    for r in range(3):
        system = f.new_system(cp=drawn.crossproducts(f.cp, r))
        system.solve(f.theta_internal)
        e = system.products @ residual
        v = [c[:, :, 0] for c in system.engine.project(residual[:, None])]
        squares = f.covariance.elements_of([own.T @ own for own in v])
        alone = np.concatenate([e[:-1], squares, [residual @ e]])
        assert found[r] == pytest.approx(alone, rel=1e-8, abs=1e-8 * np.abs(alone).max())


@pytest.mark.parametrize("kind", ["block", "cholmod"])
def test_an_engine_that_takes_another_response_is_a_new_engine(kind):
    f = fitted_model("words_slopes")._fit
    cp = ResponseSampler(f).draw(generators(1)).crossproducts(f.cp, 0)
    used, new = choose(f.cp, kind), choose(cp, kind)
    lambdas = f.covariance.lambdas(f.theta_internal)
    used.factor(lambdas)
    used.project()
    used.blocks_k()
    used.take(cp)
    for ours, theirs in zip(used.factor(lambdas), new.factor(lambdas), strict=True):
        assert np.array_equal(ours, theirs)
    for ours, theirs in zip(
        [*used.project(), *used.blocks_k()], [*new.project(), *new.blocks_k()], strict=True
    ):
        assert np.array_equal(ours, theirs)


# -- the whole -------------------------------------------------------------------------------------


@pytest.mark.filterwarnings("ignore::mixedfast.SingularFitWarning")
@pytest.mark.parametrize(
    "name",
    [
        "slope",
        "crossed",
        pytest.param("nested", marks=pytest.mark.exhaustive),
        pytest.param("weighted", marks=pytest.mark.exhaustive),
    ],
)
def test_the_distribution_is_the_row_space_one(name):
    from scipy.stats import ks_2samp

    m = fitted_model(DESIGNS[name][0])
    fast, slow = bootstrap(m._fit, 400, seed=1), row_space_bootstrap(m._fit, m._design, 400, seed=2)
    assert fast.names == slow.names
    assert fast.n_failed == slow.n_failed == 0
    for a, b in zip(fast.replicates.T, slow.replicates.T, strict=True):
        # a zero variance ends at 0 or at rounding, which is no difference
        a, b = (np.round(part[np.isfinite(part)], 5) for part in (a, b))
        # some thirty comparisons with fixed seeds: each at one in a thousand
        assert ks_2samp(a, b).pvalue > 1e-3
        assert abs(a.mean() - b.mean()) < 4.0 * np.hypot(a.std(), b.std()) / 20.0


@pytest.mark.parametrize(
    ("name", "n"), [("hsb_seed", 150), ("pastes", 150), ("classes_nested", 80)]
)
def test_the_same_bits_for_any_number_of_threads(name, n):
    f = fitted_model(name)._fit
    runs = [bootstrap(f, n, seed=7, threads=threads) for threads in (1, 2, 5)]
    for other in runs[1:]:
        assert np.array_equal(runs[0].replicates, other.replicates, equal_nan=True)
    assert not np.array_equal(runs[0].replicates, bootstrap(f, n, seed=8).replicates)


def test_a_replicate_does_not_depend_on_how_many_there_are(hsb):
    """Only the batches' shapes differ, which moves the last bits."""
    few, many = bootstrap(hsb._fit, 10, seed=7), bootstrap(hsb._fit, 100, seed=7)
    assert few.replicates == pytest.approx(many.replicates[:10], rel=1e-6)


def test_the_fit_is_left_alone(hsb):
    before = hsb._fit.theta_internal.copy(), hsb._fit.cp.xy.copy(), hsb._fit.cp.groups[0].B.copy()
    bootstrap(hsb._fit, 20, seed=1)
    after = hsb._fit.theta_internal, hsb._fit.cp.xy, hsb._fit.cp.groups[0].B
    assert all(np.array_equal(a, b) for a, b in zip(before, after, strict=True))


@pytest.mark.parametrize("type", ["percentile", "basic", "bca"])
def test_intervals_hold_the_estimate_and_nest(hsb, type):
    found = bootstrap(hsb._fit, 600, seed=11)
    wide, narrow = found.confint(0.95, type=type), found.confint(0.5, type=type)
    assert wide.index.tolist() == found.names
    assert (wide["conf_low"] <= narrow["conf_low"]).all()
    assert (narrow["conf_high"] <= wide["conf_high"]).all()
    for name in ("sd_Intercept|school", "sigma", "Intercept", "ses"):
        estimate = found.estimates[found.names.index(name)]
        assert wide.loc[name, "conf_low"] < estimate < wide.loc[name, "conf_high"]


def test_bca_of_a_variance_is_skewed_the_right_way():
    """sigma^2 chi^2_nu / nu has a known exact interval; BCa comes nearer to it than percentiles do.

    Balanced one-way layout, 6 batches of 5: sigma has 24 degrees of freedom.
    """
    from scipy.stats import chi2

    f = mf.lmer("Yield ~ 1 + (1 | Batch)", mf.load_dataset("dyestuff"))._fit
    found = bootstrap(f, 4000, seed=5)
    exact = f.sigma * np.sqrt(24.0 / chi2.ppf([0.975, 0.025], 24))
    miss = {
        type: np.abs(found.confint(type=type).loc["sigma"].to_numpy() - exact).max()
        for type in ("percentile", "bca")
    }
    assert miss["bca"] < 0.6 * miss["percentile"]


def test_singular_replicates_are_counted():
    f = fitted_model("pastes")._fit
    found = bootstrap(f, 200, seed=1)
    sds, sigma = (found.to_frame().filter(regex=part) for part in ("^sd_", "^sigma$"))
    zero = (sds.to_numpy() < SINGULAR_TOLERANCE * sigma.to_numpy()).any(axis=1)
    assert found.n_singular > 0
    assert found.n_singular == zero.sum()


def test_an_interrupted_run_keeps_what_is_done(hsb, monkeypatch, capsys):
    ticks = []

    @contextmanager
    def impatient(total, label, progress):
        def advance(count):
            ticks.append(count)
            if len(ticks) == 2:
                raise KeyboardInterrupt

        yield advance

    whole = bootstrap(hsb._fit, 1000, seed=3, threads=1)
    monkeypatch.setattr(room, "bar", impatient)
    found = bootstrap(hsb._fit, 1000, seed=3, threads=1)
    assert found.requested == 1000
    assert 0 < found.n_done < 1000
    assert np.array_equal(found.replicates, whole.replicates[: found.n_done], equal_nan=True)
    assert "of 1000 replicates" in repr(found)
    assert "interrupted" in capsys.readouterr().err
    ticks.clear()
    with pytest.raises(
        KeyboardInterrupt
    ):  # a table of intervals does not tell from how many replicates it is
        hsb.confint("boot", n=1000, seed=3)


def test_bad_arguments(hsb):
    with pytest.raises(ValueError, match="n=0: a whole number from 1"):
        bootstrap(hsb._fit, 0)
    found = bootstrap(hsb._fit, 5, seed=1)
    with pytest.raises(ValueError, match="one of 'percentile'"):
        found.confint(type="normal")
    with pytest.raises(ValueError, match="between 0 and 1"):
        found.confint(level=95)
    assert isinstance(found, Bootstrap)
    assert found.to_frame().shape == (5, 6)
    rows = row_space_bootstrap(hsb._fit, hsb._design, 2, seed=1)
    with pytest.raises(ValueError, match="needs the scores"):
        bootstrap_limits(rows, type="bca")
