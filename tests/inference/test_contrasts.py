"""Contrasts: what users may write, and the tests against R's contest."""

from __future__ import annotations

import numpy as np
import pytest
from helpers.cases import frame, golden, renamed, topic

import mixedfast as mf
from mixedfast.errors import FormulaError, NotIdentifiedError
from mixedfast.inference.hypotheses.contrasts import hypothesis
from mixedfast.results.tables import contrast

NAMES = [
    "Intercept",
    "ses",
    "ses:sex[T.Male]",
    "sex[T.Male]",
    "poly(x, 2)[1]",
    "I(x ** 2)",
    "C(f, contr.sum)[S.a]",
    "f[T.a-b]",
    "bs(z, df=4)[1]",
    "(x == 'a')[T.True]",
    "my var",
]


def row(**weights: float) -> np.ndarray:
    out = np.zeros(len(NAMES))
    for name, weight in weights.items():
        out[NAMES.index(name)] = weight
    return out


@pytest.mark.parametrize(
    ("text", "rows", "values"),
    [
        ("ses = 0", [{"ses": 1}], [0]),
        ("ses", [{"ses": 1}], [0]),
        ("-ses == 2", [{"ses": -1}], [2]),
        ("2*ses - sex[T.Male] = 1", [{"ses": 2, "sex[T.Male]": -1}], [1]),
        ("2*(ses - 1) = sex[T.Male]/4", [{"ses": 2, "sex[T.Male]": -0.25}], [2]),
        ("ses = ses:sex[T.Male] = 3", [{"ses": 1}, {"ses:sex[T.Male]": 1}], [3, 3]),
        ("ses:sex[T.Male] + ses", [{"ses": 1, "ses:sex[T.Male]": 1}], [0]),
        ("poly(x, 2)[1] = 0, f[T.a-b] = -1.5e1", [{"poly(x, 2)[1]": 1}, {"f[T.a-b]": 1}], [0, -15]),
        (
            "I(x ** 2) - .5*C(f, contr.sum)[S.a]",
            [{"I(x ** 2)": 1, "C(f, contr.sum)[S.a]": -0.5}],
            [0],
        ),
        ("bs(z, df=4)[1] = my var", [{"bs(z, df=4)[1]": 1, "my var": -1}], [0]),
        ("(x == 'a')[T.True] = 0", [{"(x == 'a')[T.True]": 1}], [0]),
        ("ses + ses - +2", [{"ses": 2}], [2]),
    ],
)
def test_equations(text, rows, values):
    L, rhs = hypothesis(text, NAMES)
    np.testing.assert_allclose(L, [row(**r) for r in rows], atol=1e-15)
    np.testing.assert_allclose(rhs, values, atol=1e-15)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("se = 0", "no coefficient 'se': did you mean 'ses'"),
        ("ses:sex[T.Mal] = 0", "did you mean 'ses:sex"),
        ("sesx", "no coefficient 'sesx'"),
        ("ses*ses = 1", "multiplies coefficients"),
        ("1/ses = 1", "divide by numbers"),
        ("ses/0", "divide by numbers"),
        ("3 = 4", "contains no coefficient"),
        ("2 ses", "at 'ses'"),
        ("(ses", "at 'its end'"),
        ("ses = ", "at 'its end'"),
        ("", "at 'its end'"),
        ("ses ! 2", "at '! 2'"),
    ],
)
def test_equations_that_cannot_be_read(text, message):
    with pytest.raises(FormulaError, match=message):
        hypothesis(text, NAMES)


def test_dicts_arrays_and_lists_say_the_same():
    L, _ = hypothesis([{"ses": 2, "Intercept": -1}, "sex[T.Male]"], NAMES)
    np.testing.assert_array_equal(L, hypothesis(L, NAMES)[0])
    np.testing.assert_array_equal(L[0], hypothesis(L[0].tolist(), NAMES)[0][0])
    np.testing.assert_array_equal(L, hypothesis(["2*ses - Intercept", "sex[T.Male]"], NAMES)[0])


def test_wrong_shapes_say_what_is_needed():
    with pytest.raises(FormulaError, match="one weight for each of the 11 coefficients"):
        hypothesis([1.0, 2.0], NAMES)
    with pytest.raises(FormulaError, match="finite numbers are needed"):
        hypothesis(np.full(len(NAMES), np.nan), NAMES)
    with pytest.raises(FormulaError, match="there is no coefficient 'age'"):
        hypothesis({"age": 1}, NAMES)


@pytest.fixture(scope="module")
def sleep():
    return mf.lmer("Reaction ~ Days + (Days | Subject)", frame("sleepstudy"))


def test_rhs_is_added_to_what_an_equation_says(sleep):
    one = contrast(sleep._fit, "Days = 4", rhs=6)
    two = contrast(sleep._fit, [0, 1], rhs=[10])
    assert one.index.tolist() == ["Days = 10"]
    np.testing.assert_array_equal(one.to_numpy(), two.to_numpy())
    with pytest.raises(FormulaError, match="rhs holds 2 values for 1"):
        contrast(sleep._fit, "Days", rhs=[1, 2])


def test_confidence_level(sleep):
    wide, narrow = (contrast(sleep._fit, "Days", level=level).iloc[0] for level in (0.99, 0.5))
    assert wide.conf_low < narrow.conf_low < wide.estimate < narrow.conf_high < wide.conf_high


def test_coefficients_that_were_left_out_cannot_have_a_weight():
    m = mf.lmer("y ~ x + x_copy + f + (1 | g)", frame("clinics"))
    with pytest.raises(NotIdentifiedError, match="x_copy"):
        contrast(m._fit, "x_copy")
    whole = contrast(m._fit, [0.0 if name != "x" else 1.0 for name in m.params.index])
    assert whole["estimate"].iloc[0] == m.params["x"]


# --- against R's contest --------------------------------------------------------------------------

SINGLE = {
    "estimate": "Estimate",
    "std_error": "Std. Error",
    "statistic": "t value",
    "conf_low": "lower",
    "conf_high": "upper",
}
QUESTIONS = [(model, label) for model, record in topic("contests").items() for label in record]
#: R's optimum is good to about 1e-5 in theta, and estimates, standard errors and t follow it.
ESTIMATE = 1e-5
DF = 1e-4


@pytest.mark.parametrize("ddf", ["satterthwaite", "kenward-roger"])
@pytest.mark.parametrize(("model", "label"), QUESTIONS)
def test_contests(model, label, ddf):
    record, question = golden(model), topic("contests")[model][label]
    if ddf not in question:
        pytest.skip("pbkrtest leaves out prior weights")
    m = mf.lmer(record["formula_py"], frame(record["dataset"]), weights=record.get("weights"))
    names = renamed(list(record["fixef"]), model)
    L = np.zeros((len(question["L"]), len(m.params)))
    L[:, [m.params.index.get_loc(name) for name in names]] = question["L"]
    single = contrast(m._fit, L, question["rhs"], ddf)
    scale = max(abs(r["Std. Error"]) for r in question[ddf]["single"])
    for (_, ours), theirs in zip(single.iterrows(), question[ddf]["single"], strict=True):
        for mine, name in SINGLE.items():
            assert ours[mine] == pytest.approx(theirs[name], rel=ESTIMATE, abs=ESTIMATE * scale)
        assert ours.df == pytest.approx(theirs["df"], rel=DF)
        assert ours.p_value == pytest.approx(theirs["Pr(>|t|)"], abs=1e-6)
    joint = contrast(m._fit, L, question["rhs"], ddf, joint=True).iloc[0]
    theirs = question[ddf]["joint"]
    assert joint.num_df == theirs["NumDF"]
    assert joint.f_value == pytest.approx(theirs["F value"], rel=2e-5)
    assert joint.den_df == pytest.approx(theirs["DenDF"], rel=DF)
    assert joint.p_value == pytest.approx(theirs["Pr(>F)"], abs=1e-6)


def test_combinations_that_contradict_one_another_are_refused(sleep):
    """0 = 1 has no df; what is said twice is said once."""
    twice = contrast(sleep._fit, [[0, 1], [0, 2]], rhs=[10, 20], joint=True)
    once = contrast(sleep._fit, [[0, 1]], rhs=[10], joint=True)
    np.testing.assert_allclose(twice.to_numpy(), once.to_numpy(), rtol=1e-10)
    with pytest.raises(FormulaError, match="contradict"):
        contrast(sleep._fit, [[0, 1], [0, 2]], rhs=[10, 21], joint=True)


@pytest.mark.parametrize("scale", [1e-8, 1.0, 1e8])
def test_a_contradiction_is_seen_in_every_unit(sleep, scale):
    with pytest.raises(FormulaError, match="contradict"):
        contrast(
            sleep._fit, [[0, scale], [0, 2 * scale]], rhs=[10 * scale, 20.1 * scale], joint=True
        )
    contrast(
        sleep._fit,
        [[0, scale], [0, 2 * scale], [1, 0]],
        rhs=[10 * scale, 20 * scale, 300.0],
        joint=True,
    )
