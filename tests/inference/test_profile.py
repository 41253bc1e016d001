"""Likelihood profiles against lme4's intervals, another kind of search, and at the boundary."""

from __future__ import annotations

import math
import warnings

import numpy as np
import pytest
from helpers.cases import frame, golden, golden_names
from scipy.optimize import minimize

import mixedfast as mf
from mixedfast.inference.intervals import profile as room
from mixedfast.inference.intervals.parameters import list_parameters
from mixedfast.inference.intervals.profile import (
    _coefficient_evaluator,
    _ml_optimum,
    _variance_evaluator,
)
from mixedfast.results.profile import Profile
from mixedfast.results.tabled import tabled

#: Of an interval's own width. lme4 interpolates its profile by a spline, which is good to about
#: this.
INTERVAL = 1e-3
#: zeta against a simplex search: the search ends within 1e-9 of the deviance, and zeta is at least
#: 0.3 there.
ZETA = 1e-6

# lme4 does not get these profiles right (flat likelihoods, an end left open)
KNOWN_BAD = {"orthodont_slope"}
WITH_PROFILE = [
    name for name in golden_names() if "profile_ci" in golden(name) and name not in KNOWN_BAD
]


def fit(formula: str, data, **options):
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", mf.SingularFitWarning)
        return mf.lmer(formula, data, **options)._fit


def profile(fit, *arguments, **options) -> Profile:
    return tabled(Profile, room.profile(fit, *arguments, **options), "pandas")


@pytest.fixture(scope="module")
def sleep():
    return fit("Reaction ~ Days + (Days | Subject)", mf.load_dataset("sleepstudy"))


def test_there_are_golden_profiles():
    assert len(WITH_PROFILE) >= 10


@pytest.mark.parametrize("name", WITH_PROFILE)
def test_intervals_are_lme4_s(name):
    case = golden(name)
    wanted = np.array([[row["2.5 %"], row["97.5 %"]] for row in case["profile_ci"]], dtype=float)
    found = profile(
        fit(
            case["formula_py"],
            frame(case["dataset"]),
            REML=case["REML"],
            weights=case.get("weights"),
        )
    )
    ours = found.confint().to_numpy()
    assert (np.abs(ours - wanted) <= INTERVAL * np.ptp(wanted, axis=1)[:, None]).all()


def by_simplex(f, held: str, value: float) -> float:
    """Return the smallest ML deviance of a one-factor slope model with one parameter held.

    It is found without derivatives.
    """
    system, n, y_scale = f.new_system(reml=False), f.cp.n, f.cp.scale[-1]

    def deviance(at):
        one, two, rho, sigma = np.exp(at[0]), np.exp(at[1]), np.tanh(at[2]), np.exp(at[3])
        one, two, rho, sigma = {
            "sd_Intercept": (value, two, rho, sigma),
            "sd_Days": (one, value, rho, sigma),
            "cor": (one, two, value, sigma),
            "sigma": (one, two, rho, value),
        }[held]
        theta = np.array([one, rho * two, two * math.sqrt(1.0 - rho**2)]) / sigma
        solution = system.solve(f.covariance.to_internal(theta))
        return (
            solution.ldL2
            + n * math.log(2 * math.pi * sigma**2)
            + solution.r2 / (y_scale * sigma) ** 2
        )

    options = {"xatol": 1e-9, "fatol": 1e-11, "maxiter": 8000, "maxfev": 8000}
    return min(
        minimize(
            deviance,
            [math.log(24.0), math.log(6.0), rho, math.log(25.0)],
            method="Nelder-Mead",
            options=options,
        ).fun
        for rho in (-0.5, 0.1, 0.6)
    )


@pytest.mark.parametrize(
    ("held", "name"),
    [
        ("sd_Intercept", "sd_Intercept|Subject"),
        ("sd_Days", "sd_Days|Subject"),
        ("cor", "cor_Days.Intercept|Subject"),
        ("sigma", "sigma"),
    ],
)
def test_zeta_is_the_constrained_minimum_s(sleep, held, name):
    found = profile(sleep, [name])
    trace = found.traces[name]
    for i in np.flatnonzero(np.abs(trace.zeta) > 0.3)[[0, -1]]:
        assert by_simplex(sleep, held, trace.value[i]) - found.deviance == pytest.approx(
            trace.zeta[i] ** 2, abs=ZETA
        )


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("sd_Intercept|Subject", 18.0),
        ("cor_Days.Intercept|Subject", 0.4),
        ("sd_Days|Subject", 8.0),
        ("sigma", 28.0),
        ("Intercept", 260.0),
        ("Days", 8.0),
    ],
)
def test_the_envelope_gives_the_slope(sleep, name, value):
    """d deviance / d value as the searches report it, against differences of constrained minima."""
    parameter = next(p for p in list_parameters(sleep.cp) if p.name == name)
    system = sleep.new_system(reml=False)
    theta, _ = _ml_optimum(sleep, system)
    if parameter.kind == "beta":
        evaluate = _coefficient_evaluator(sleep, system, parameter, theta)
    else:
        evaluate = _variance_evaluator(
            system, parameter, theta, math.sqrt(system.solution.r2 / sleep.cp.n)
        )
    h = 1e-3 * abs(value)
    below, at, above = (evaluate(value + step) for step in (-h, 0.0, h))
    # central differences: h^2 times a third derivative of order one, and 1e-9 / h from the
    # searches' ends
    assert at[1] == pytest.approx((above[0] - below[0]) / (2.0 * h), rel=1e-4)


def test_an_end_that_the_likelihood_does_not_set_is_the_bound():
    found = profile(fit("Yield ~ 1 + (1 | Batch)", mf.load_dataset("dyestuff2")))
    ends = found.confint()
    assert ends.loc["sd_Intercept|Batch", "conf_low"] == 0.0
    assert 0.0 < ends.loc["sd_Intercept|Batch", "conf_high"] < 5.0
    assert found.traces["sd_Intercept|Batch"].closed == (True, False)


def test_a_correlation_that_a_zero_variance_allows_is_free():
    """orthodont: sd_age = 0 is inside the interval, and with it any correlation."""
    case = golden("orthodont_slope")
    ends = profile(fit(case["formula_py"], frame(case["dataset"]), REML=case["REML"])).confint()
    assert ends.loc["sd_age|Subject", "conf_low"] == 0.0
    assert ends.loc["cor_age.Intercept|Subject"].tolist() == [-1.0, 1.0]


def test_a_correlation_of_one_is_the_upper_end():
    case = golden("edge_line")
    ends = profile(fit(case["formula_py"], frame(case["dataset"]), REML=case["REML"])).confint()
    # lme4 1.1-31: 0.568247 (its spline; ours computes the end itself)
    assert ends.loc["cor_x.Intercept|g"].tolist() == pytest.approx([0.568247, 1.0], abs=1e-3)


def test_a_reml_fit_is_profiled_on_the_ml_deviance(sleep):
    other = fit("Reaction ~ Days + (Days | Subject)", mf.load_dataset("sleepstudy"), REML=False)
    assert profile(sleep).confint().to_numpy() == pytest.approx(
        profile(other).confint().to_numpy(), rel=1e-5
    )


def test_intervals_follow_the_units_of_the_response():
    data = frame("sleepstudy")
    scaled = data.assign(Reaction=1e-6 * data["Reaction"] + 3.0)
    plain = profile(fit("Reaction ~ Days + (Days | Subject)", data)).confint()
    moved = profile(fit("Reaction ~ Days + (Days | Subject)", scaled)).confint()
    cor = "cor_Days.Intercept|Subject"
    assert moved.loc[cor].tolist() == pytest.approx(plain.loc[cor].tolist(), rel=1e-4)
    for name in ("sd_Days|Subject", "sigma", "Days"):
        assert (1e6 * moved.loc[name]).tolist() == pytest.approx(plain.loc[name].tolist(), rel=1e-4)


def test_a_profile_leaves_the_fit_alone(sleep):
    before = sleep.theta_internal.copy(), sleep.deviance, [v.copy() for v in sleep.system.v]
    profile(sleep)
    assert np.array_equal(before[0], sleep.theta_internal)
    assert before[1] == sleep.deviance
    assert all(np.array_equal(a, b) for a, b in zip(before[2], sleep.system.v, strict=True))


def test_a_subset_and_other_levels(sleep):
    found = profile(sleep, ["Days", "sigma"], max_level=0.9)
    assert list(found.confint(0.8).index) == ["sigma", "Days"]
    inner, outer = found.confint(0.5), found.confint(0.9)
    assert (outer["conf_low"] < inner["conf_low"]).all()
    assert (inner["conf_high"] < outer["conf_high"]).all()
    assert found.to_frame().columns.tolist() == ["parameter", "value", "zeta"]
    with pytest.raises(ValueError, match=r"max_level=0\.95"):
        found.confint(0.95)
    with pytest.raises(ValueError, match="no parameter named 'Dyas'"):
        profile(sleep, ["Dyas"])
