"""Names of statsmodels and R: the errors say which name is used here."""

from __future__ import annotations

import copy
import pickle

import pytest

import mixedfast as mf
from mixedfast.results.foreign_names import _ATTRIBUTES


@pytest.fixture(scope="module")
def m() -> mf.LMMResult:
    """Return a fit of the sleep study."""
    return mf.lmer("Reaction ~ Days + (Days | Subject)", mf.load_dataset("sleepstudy"))


@pytest.mark.parametrize(
    ("name", "instead"),
    [
        ("pvalues", r"coef_table\(\)\['p_value'\]"),
        ("conf_int", r"confint\(\)"),
        ("llf", "loglik"),
        ("fittedvalues", "fitted"),
        ("random_effects", r"ranef\(\)"),
        ("fixef", "params"),
        ("VarCorr", "varcorr"),
        ("deviance", "criterion"),
        ("isSingular", "is_singular"),
    ],
)
def test_attributes_name_what_to_use(m, name, instead):
    with pytest.raises(AttributeError, match=f"LMMResult has no attribute '{name}': use {instead}"):
        getattr(m, name)


def test_every_hint_names_a_member_of_some_result(m):
    regression = mf.lm("y ~ x", {"y": [1.0, 2.0, 4.0, 3.0], "x": [0, 1, 2, 4]})
    for name in _ATTRIBUTES:
        errors = []
        for result in (m, regression):
            if not hasattr(type(result), name):
                with pytest.raises(AttributeError) as error:
                    getattr(result, name)
                errors.append(str(error.value))
        assert any(": use " in text for text in errors), name


def test_unknown_attributes_stay_unknown(m):
    with pytest.raises(AttributeError, match=r"^LMMResult has no attribute 'nonsense'$") as error:
        m.nonsense  # noqa: B018
    assert (error.value.name, error.value.obj) == ("nonsense", m)
    assert not hasattr(m, "nonsense")
    assert pickle.loads(pickle.dumps(m)).criterion == copy.deepcopy(m).criterion == m.criterion


@pytest.mark.parametrize(
    ("given", "words"),
    [
        ({"reml": False}, "'reml': write REML=False"),
        ({"method": "ML"}, "'method': write REML=False"),
        ({"method": "REML"}, "write REML=True"),
        ({"family": "binomial"}, "'family': .*normal response"),
        ({"subset": "x > 0"}, "leave out rows of the data first"),
        ({"groups": "Subject"}, r"\(1 \| Subject\)"),
        ({"control": None}, "a single optimizer"),
        ({"Weights": "w"}, "write weights='w'"),
        ({"nonsense": 1}, r"lmer\(\) has no argument 'nonsense'$"),
    ],
)
def test_arguments_name_what_to_write(given, words):
    with pytest.raises(TypeError, match=words):
        mf.lmer("Reaction ~ Days + (1 | Subject)", mf.load_dataset("sleepstudy"), **given)


def test_regressions_have_no_reml():
    with pytest.raises(
        TypeError, match=r"lm\(\) has no argument 'reml': least squares has no REML"
    ):
        mf.lm("y ~ x", {}, reml=False)  # type: ignore[call-arg]


def test_update_repeats_the_hint(m):
    with pytest.raises(TypeError, match="write REML=False"):
        m.update(reml=False)


@pytest.mark.parametrize(
    ("name", "words"),
    [
        ("mixedlm", "compat.statsmodels"),
        ("fixef", "the attribute params"),
        ("read_csv", "mf.read_table"),
    ],
)
def test_functions_of_the_package(name, words):
    with pytest.raises(AttributeError, match=f"no attribute '{name}': use .*{words}"):
        getattr(mf, name)
    with pytest.raises(AttributeError, match=r"no attribute 'nonsense'$"):
        mf.nonsense  # noqa: B018
