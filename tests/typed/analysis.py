"""What a user with a strict type checker writes; checked by test_types.py, never run."""

from __future__ import annotations

from pathlib import Path
from typing import assert_type

import numpy as np
import pandas as pd

import mixedfast as mf


def fit(path: Path) -> mf.LMMResult:
    students = mf.load_dataset("hsb")
    m = mf.lmer(
        "math ~ ses + (ses | school)", students, REML=True, weights=None, engine="auto", threads=2
    )
    m.save(path)
    assert_type(m.params, pd.Series)
    assert_type(m.sigma, float)
    assert_type(m.n_groups, dict[str, int])
    assert_type(m.theta, np.ndarray)
    assert_type(m.fitted, np.ndarray)
    return m


def tables(m: mf.LMMResult) -> list[pd.DataFrame]:
    return [
        m.varcorr,
        m.vcov("kenward-roger"),
        m.coef_table(ddf="satterthwaite", level=0.9),
        m.coef_table(mf.KenwardRoger(traces="stochastic")),
        m.anova(type="II"),
        m.contrast({"ses": 1.0}, ddf="residual", joint=True),
        m.confint("profile", progress=False),
        m.emmeans("sex").pairs(adjust="holm"),
        m.emmeans("sex").contrast("control", adjust="dunnett").to_frame(),
        m.emtrends("ses", "sex").pairs(),
        m.profile(["sigma"]).confint(),
        m.bootstrap(10, seed=1, progress="auto").confint(type="bca"),
        m.influence("school").dfbetas,
        m.tidy(["fixed", "ran_pars"], conf_int=True),
        m.glance(),
        m.augment(),
        mf.anova(m, m.update(". ~ . + sex"), refit=True),
    ]


def rows(m: mf.LMMResult) -> np.ndarray:
    drawn = m.simulate(10, seed=1, newdata={"ses": [0.0], "school": ["1224"]}, re=["school"])
    return np.concatenate([m.resid("scaled"), m.hatvalues(), m.cooks_distance(), drawn[:, 0]])


def sums(path: str) -> mf.LMMResult:
    cp = mf.crossproducts("math ~ ses + (1 | school)", path)
    assert_type(cp + cp, mf.CrossProducts)
    return mf.fit(cp + cp, REML=False)


def line(students: pd.DataFrame) -> tuple[str, float, pd.DataFrame]:
    ols = mf.lm("math ~ ses", students)
    return ols.summary().to_latex(), ols.r2().adjusted, ols.anova()


def pages(m: mf.LMMResult) -> tuple[str, str]:
    return str(m.summary()), mf.page(m.anova(), "Tests").to_markdown()
