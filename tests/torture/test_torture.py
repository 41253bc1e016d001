"""Every model of the corpus.

No start finds a lower criterion, no optimizer of R does, and the certificate tells the truth.

``make torture`` runs all of them; an ordinary test run takes a sample.
"""

from __future__ import annotations

import os
import re
import warnings
from pathlib import Path

import numpy as np
import pytest
from corpus import CASES, all_cases, documented_cases, sample
from families import Case
from verdict import REFEREE, examine, theta_of_r

import mixedfast as mf
from mixedfast.estimation.small_search import small_system

MODELS = [*(all_cases() if os.environ.get("TORTURE") == "all" else sample()), *documented_cases()]

ROOT = Path(__file__).parents[2]
PLACES = (ROOT, Path(mf.__file__).parents[1])  # away from the tree the package is elsewhere

#: The criterion may be this much above the lowest one found (deviance units).
TOLERANCE = 1e-6


@pytest.mark.parametrize("case", MODELS, ids=str)
def test_hard_model(case: Case) -> None:
    if case.refused is not None:
        with pytest.raises(case.refused):
            mf.lmer(case.formula, case.data, REML=case.reml, **case.options)
        return
    found = examine(case)
    assert bool(found.said) == (not found.converged)
    if not found.searched:
        assert found.reason
        return
    assert np.isfinite(found.above_r) or case.name not in REFEREE, "R's optimum checks nothing"
    assert not found.above_starts > TOLERANCE + found.resolution
    assert not found.above_r > TOLERANCE + found.resolution


@pytest.mark.parametrize("case", MODELS, ids=str)
def test_compiled_searches_end_at_the_optimum_of_an_engine(case: Case) -> None:
    """Where sums have too few digits for the compiled search, an engine searches for both."""
    if case.refused is not None or "engine" in case.options:
        pytest.skip("no choice of a search")
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", mf.MixedFastWarning)
        chosen = mf.lmer(case.formula, case.data, REML=case.reml, **case.options)
        if small_system(chosen._fit.cp, case.reml) is None:
            pytest.skip("not a small model")
        other = mf.lmer(case.formula, case.data, REML=case.reml, engine="block", **case.options)
    assert chosen.converged == other.converged
    assert chosen.criterion == pytest.approx(other.criterion, rel=1e-10, abs=1e-10)


def test_theta_of_r_is_found_by_name() -> None:
    """lme4 puts the factor with more levels first, and writes a:b for b:a."""
    data = mf.load_dataset("pastes")
    fit = mf.lmer("strength ~ 1 + (1 | batch) + (1 | batch:cask)", data)._fit
    best = {
        "theta": [7.0, 3.0],
        "terms": [
            {"group": "cask:batch", "columns": ["(Intercept)"]},
            {"group": "batch", "columns": ["(Intercept)"]},
        ],
    }
    found = dict(
        zip(
            (fit.cp.groups[term.group].name for term in fit.covariance.terms),
            theta_of_r(fit, best),
            strict=True,
        )
    )
    assert found == {"batch": 3.0, "batch:cask": 7.0}


def test_the_corpus_is_large() -> None:
    everything = list(all_cases())
    assert len(everything) >= 900
    assert len({case.name for case in everything}) == len(everything)
    assert len(REFEREE) >= 500
    assert set(REFEREE) <= {case.name for case in everything}
    assert all(np.isfinite(best["best"]) for best in REFEREE.values())


@pytest.mark.parametrize(
    "page", sorted(CASES.glob("*/README.md")), ids=lambda path: path.parent.name
)
def test_a_case_tells_what_it_taught(page: Path) -> None:
    text = page.read_text()
    for part in ("What went wrong", "What was learnt", "Which code"):
        assert f"**{part}.**" in text
    for named in re.findall(r"`((?:mixedfast|tests)/[\w/]+\.py)`", text):
        assert any((folder / named).exists() for folder in PLACES), named
