"""Tables and models for comparisons with statsmodels."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest

import mixedfast as mf
import mixedfast.compat.statsmodels as door

theirs = pytest.importorskip("statsmodels.regression.mixed_linear_model")


def nested(seed: int = 6241) -> pd.DataFrame:
    """Rows in subgroups of two sizes within groups, with slopes."""
    random = np.random.default_rng(seed)
    n = 320
    data = pd.DataFrame(random.normal(size=(n, 4)), columns=["x1", "x2", "z1", "z2"])
    data["g"], data["a"], data["b"] = np.arange(n) // 16, np.arange(n) // 4, np.arange(n) // 2
    data["sex"] = np.where(random.random(n) < 0.5, "F", "M")
    data["y"] = data.x1 + data.x2 + (data.sex == "M") + random.normal(size=n)
    for column, sd in (("g", 1.5), ("a", 1.5), ("b", 1.0)):
        data["y"] += sd * random.normal(size=n)[data[column]]
    for z in ("z1", "z2"):
        data["y"] += data[z] * random.normal(size=20)[data.g]
    data["school"] = ["S" + str(9 - g % 10) + str(g) for g in data.g]
    data.index = pd.Index([f"row{i}" for i in range(n)], name="id")
    return data.sample(frac=1.0, random_state=1)


def crossed() -> pd.DataFrame:
    random = np.random.default_rng(4)
    n = 240
    data = pd.DataFrame(
        {
            "x": random.normal(size=n),
            "a": random.integers(0, 15, n),
            "b": random.choice(list("pqrstuvw"), n),
        }
    )
    effects = dict(zip("pqrstuvw", random.normal(size=8), strict=True))
    data["y"] = (
        data.x + random.normal(size=15)[data.a] + data.b.map(effects) + random.normal(size=n)
    )
    data["one"] = 1
    return data


SLEEP, PASTES, PENICILLIN = (
    mf.load_dataset(name) for name in ("sleepstudy", "pastes", "penicillin")
)

NESTED, CROSSED = nested(), crossed()

PENICILLIN["one"] = 1

CASES = {
    "random intercept": (SLEEP, "Reaction ~ Days", {"groups": "Subject"}),
    "random slope": (SLEEP, "Reaction ~ Days", {"groups": "Subject", "re_formula": "~Days"}),
    "groups as an array": (
        SLEEP,
        "Reaction ~ Days",
        {"groups": SLEEP["Subject"], "re_formula": "1 + Days"},
    ),
    "slope without intercept": (NESTED, "y ~ x1", {"groups": "g", "re_formula": "0 + z1 + z2"}),
    "independent slopes": (
        NESTED,
        "y ~ x1",
        {"groups": "g", "vc_formula": {"i": "1", "s": "0 + z1"}},
    ),
    "categories and functions": (
        NESTED,
        "y ~ np.exp(x1 / 4) + C(sex) * x2",
        {"groups": "school", "re_formula": "~z1"},
    ),
    "two levels": (
        PASTES,
        "strength ~ 1",
        {"groups": "batch", "re_formula": "1", "vc_formula": {"cask": "0 + C(cask)"}},
    ),
    "two nested components": (
        NESTED,
        "y ~ x1 + x2",
        {
            "groups": "g",
            "re_formula": "0 + z1 + z2",
            "vc_formula": {"a": "0 + C(a)", "b": "0 + C(b)"},
        },
    ),
    "nested slope": (
        NESTED,
        "y ~ x1",
        {"groups": "g", "re_formula": "1", "vc_formula": {"a": "0 + C(a)", "az": "0 + C(a):z1"}},
    ),
    "crossed": (CROSSED, "y ~ x", {"groups": "one", "vc_formula": {"a": "0 + C(a)", "b": "0 + b"}}),
    "penicillin": (
        PENICILLIN,
        "diameter ~ 1",
        {"groups": "one", "vc_formula": {"plate": "0 + C(plate)", "sample": "0 + C(sample)"}},
    ),
}


def ours_and_theirs(name: str, reml: bool) -> tuple[door.MixedLMResults, theirs.MixedLM]:
    data, formula, arguments = CASES[name]
    return door.mixedlm(formula, data, **arguments).fit(reml=reml), theirs.MixedLM.from_formula(
        formula, data, **arguments
    )


BOTH = [(name, reml) for name in CASES for reml in (True, False)]


def at_our_estimates(
    model: theirs.MixedLM, result: door.MixedLMResults
) -> theirs.MixedLMResultsWrapper:
    """statsmodels' own result, as its ``fit`` would have made it at our parameters."""
    model.reml, model.fe_pen, model.cov_pen, model._cov_sing, model._freepat = (
        result.reml,
        None,
        None,
        0,
        None,
    )
    ours = result.params_object
    params = theirs.MixedLMParams.from_components(
        ours.fe_params, cov_re=ours.cov_re, vcomp=ours.vcomp
    )
    hessian, _ = model.hessian(params)
    scale = model.get_scale(params.fe_params, params.cov_re, params.vcomp)
    out = theirs.MixedLMResults(
        model, params.get_packed(use_sqrt=False, has_fe=True), np.linalg.inv(-hessian) / scale
    )
    out.params_object, out.fe_params, out.scale = params, params.fe_params, scale
    out.cov_re, out.vcomp, out.cov_re_unscaled = (
        scale * params.cov_re,
        scale * params.vcomp,
        params.cov_re,
    )
    out.method, out.converged, out.hist, out.reml = (
        "REML" if model.reml else "ML",
        True,
        None,
        model.reml,
    )
    out.k_fe, out.k_re, out.k_re2, out.k_vc = model.k_fe, model.k_re, model.k_re2, model.k_vc
    out.cov_pen = out.freepat = None
    return theirs.MixedLMResultsWrapper(out)
