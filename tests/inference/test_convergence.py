"""How a fit went, told in words; principal components of random effects."""

from __future__ import annotations

import numpy as np
import pytest
from helpers.cases import fitted_model, frame, topic

import mixedfast as mf
from mixedfast.inference.diagnostics.repca import components

MODELS = topic("everyday")


@pytest.mark.parametrize("name", list(MODELS))
def test_components_are_lme4_s(name):
    m = fitted_model(name)
    for group, sd in MODELS[name]["rePCA"].items():
        np.testing.assert_allclose(m.rePCA()[group].sd, sd, rtol=1e-5)
    for found, H in zip(components(m._fit), _relative(m), strict=True):
        np.testing.assert_allclose(found.rotation * found.sd**2 @ found.rotation.T, H, atol=1e-12)


def _relative(m):
    return [block @ block.T for block in m._fit.covariance.lambdas(m.theta)]


def test_terms_on_one_group_are_taken_together():
    m = mf.lmer("y ~ x + z + (x | g) + (0 + z | g)", frame("clinics"))
    table = m.rePCA()["g"]
    assert table.columns.tolist() == ["sd", "proportion", "cumulative", "Intercept", "x", "z"]
    assert table.proportion.sum() == pytest.approx(1.0) and (np.diff(table.sd) <= 0).all()


def test_a_good_fit():
    told = mf.lmer(
        "Reaction ~ Days + (Days | Subject)", mf.load_dataset("sleepstudy")
    ).convergence()
    assert told.converged and not told.singular and told.could_fall < 1e-4
    assert str(told).startswith("Converged to a local optimum. (Largest") and "Singular" not in str(
        told
    )
    assert told._repr_html_().startswith("<ul><li>Converged")


@pytest.mark.filterwarnings("ignore::mixedfast.SingularFitWarning")
@pytest.mark.parametrize(
    ("formula", "what"),
    [
        (
            "y_flat ~ x + (1 | g)",
            "the variance of Intercept between levels of g is estimated as zero",
        ),
        (
            "y_flat ~ x + (x | g)",
            "the variances of Intercept and x between levels of g are estimated as zero",
        ),
        (
            "y_line ~ x + (x | g)",
            "the correlation of Intercept and x between levels of g is estimated as ",
        ),
        ("y_fan ~ x + (x || g)", "the variance of Intercept between"),
    ],
)
def test_singular_fits_say_what_is_missing(formula, what):
    m = mf.lmer(formula, frame("edge"))
    told = m.convergence()
    assert told.converged and len(told.singular) == 1
    assert "local optimum" not in str(told)  # a second search started from lambda = I
    assert what in told.singular[0] and what in str(told)
    assert (m.rePCA()["g"].sd < 1e-4).any()


def test_a_search_cut_short(monkeypatch):
    from mixedfast.estimation import newton

    monkeypatch.setattr(newton, "MAX_ITERATIONS", 0)
    with pytest.warns(mf.ConvergenceWarning):
        m = mf.lmer(
            "Reaction ~ Days + (Days | Subject)",
            mf.load_dataset("sleepstudy"),
            start=[20.0, 0.0, 5.0],
            engine="block",
        )
    told = m.convergence()
    assert not told.converged and told.could_fall > 1e-4
    assert str(told).startswith("Not converged: ") and "start=" in str(told)


def test_theta_that_was_given():
    from mixedfast.estimation.fit import solve_at
    from mixedfast.results import LMMResult

    cp = mf.crossproducts("Reaction ~ Days + (1 | Subject)", mf.load_dataset("sleepstudy"))
    assert "theta was given" in str(LMMResult(solve_at(cp, np.array([1.0]))).convergence())
