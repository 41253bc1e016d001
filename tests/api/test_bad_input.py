"""Input that cannot be fitted gets a named error that says which column or term.

Input that can be fitted gets no unearned warning.
"""

from __future__ import annotations

import warnings

import numpy as np
import pandas as pd
import pytest
from helpers.bad_inputs import (
    CHAPTERS,
    FORMULA,
    PAGE,
    N,
    a_fit,
    a_table,
    outcome,
    page,
    with_value,
)
from helpers.cases import frame, golden, golden_names
from helpers.refused import refused

import mixedfast as mf
from mixedfast import (
    ConvergenceWarning,
    DataError,
    NotIdentifiedError,
    SingularFitWarning,
)


def test_the_table_itself_is_good():
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        assert mf.lmer(FORMULA, a_table(), weights="w").converged


# -- the page of wrong inputs ----------------------------------------------------------------------


@pytest.mark.parametrize(
    "bad", [bad for chapter in CHAPTERS for bad in chapter.inputs], ids=lambda bad: bad.shown
)
def test_every_input_of_the_page_is_refused_by_a_named_error(bad):
    name, message = outcome(bad)
    assert issubclass(getattr(mf, name), mf.MixedFastError)
    assert message


@pytest.mark.skipif(not PAGE.exists(), reason="the tests run away from the docs")
def test_the_page_is_up_to_date():
    assert sum(len(chapter.inputs) for chapter in CHAPTERS) >= 60
    assert PAGE.read_text(encoding="utf-8") == page(), (
        "python tests/helpers/bad_inputs.py writes the page anew"
    )


@pytest.mark.parametrize(
    "ask",
    [
        lambda m: m.simulate(10**13),
        lambda m: m.simulate(10**13, newdata=a_table()),
        lambda m: m.bootstrap(10**13),
        lambda m: m.confint(method="boot", n=10**13),
    ],
)
def test_answers_larger_than_memory_are_refused(ask):
    with pytest.raises(
        mf.ArgumentError,
        match=r"needs [\d,]+ GiB of memory, and this machine has \d+: ask for fewer",
    ):
        ask(a_fit())


# -- the data --------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "formula",
    [
        "y ~ q + (1 | g)",
        "y ~ x + (1 | q)",
        "q ~ x + (1 | g)",
        "y ~ x + (q | g)",
        "y ~ x + (1 | g:q)",
    ],
)
def test_a_missing_column_is_named(formula):
    refused(DataError, "no column 'q'", formula)


def test_a_string_response_is_named():
    refused(DataError, "the response 's'", "s ~ x + (1 | g)")


@pytest.mark.parametrize(
    "data",
    [
        {},
        pd.DataFrame(),
        {k: v[:0] for k, v in a_table().items()},
        pd.DataFrame(a_table()).iloc[:0],
    ],
)
def test_an_empty_table(data):
    refused(DataError, "no rows", data=data)


@pytest.mark.parametrize("data", [5, "no such file", [1, 2], None])
def test_data_that_are_no_table(data):
    with pytest.raises(DataError, match="data must be a data frame"):
        mf.lmer(FORMULA, data)


def test_rows_as_dicts():
    rows = pd.DataFrame(a_table()).to_dict("records")
    refused(DataError, "a dict of single values, one row: make a data frame", data=rows)


def test_columns_of_different_lengths():
    refused(DataError, "'x': 50", data=a_table(x=np.ones(50)))


@pytest.mark.parametrize("name", ["y", "x", "w", "g"])
def test_a_column_that_is_all_missing_is_named(name):
    given = {"weights": "w"} if name == "w" else {}
    word = "weights" if name == "w" else name
    refused(
        DataError,
        f"every value of '{word}' is missing",
        data=a_table(**{name: np.full(N, np.nan)}),
        **given,
    )


@pytest.mark.parametrize("value", [np.inf, -np.inf])
@pytest.mark.parametrize("name", ["y", "x"])
def test_infinities_are_named_with_their_row(name, value):
    refused(
        DataError, f"column '{name}' holds 1 infinite values .*row 3", data=with_value(name, value)
    )


@pytest.mark.parametrize("value", [0.0, -1.0])
def test_weights_that_are_not_positive(value):
    refused(DataError, "weights must be positive; 1", data=with_value("w", value), weights="w")


@pytest.mark.parametrize("name", ["weights", "offset"])
def test_infinite_weights_and_offset(name):
    refused(DataError, f"{name} holds infinite", data=with_value("w", np.inf), **{name: "w"})


@pytest.mark.parametrize("name", ["weights", "offset"])
@pytest.mark.parametrize(
    ("values", "words"),
    [(np.ones(N - 1), "59 values for 60 rows"), (np.ones((N, 1)), "dimensions")],
)
def test_weights_and_offset_of_the_wrong_shape(name, values, words):
    refused(DataError, f"{name}.* {words}", **{name: values})


def test_weights_that_are_no_numbers_or_not_there():
    refused(DataError, "no column 'q'", weights="q")
    refused(DataError, "weights='s'", weights="s")


def test_duplicate_column_names():
    rows = pd.DataFrame(a_table())
    refused(DataError, "two columns are called 'x'", data=pd.concat([rows, rows[["x"]]], axis=1))


def test_a_series_in_another_order_is_not_taken_by_position():
    rows = pd.DataFrame(a_table())
    for name in ("weights", "offset"):
        refused(
            DataError,
            f"{name} is a Series whose index differs",
            data=rows,
            **{name: rows["w"][::-1]},
        )
        mf.lmer(FORMULA, rows, **{name: rows["w"]})


@pytest.mark.parametrize("name", ["weights", "offset"])
@pytest.mark.parametrize("value", [2.0, 3, {"w": 1}, (v for v in range(N))])
def test_weights_and_offset_that_are_no_column(name, value):
    refused(DataError, f"{name} is the name of a column, or one number per row", **{name: value})


def test_labels_that_are_no_numbers_are_not_printed_whole():
    with pytest.raises(DataError, match=r"^weights holds categories where numbers are needed$"):
        mf.lmer(FORMULA, a_table(), weights=a_table()["s"])


def test_numbers_in_text():
    text = a_table()["x"].astype(str)
    refused(
        DataError,
        "column 'x' is a predictor and holds a different label in each of 60 rows",
        data=a_table(x=text),
    )
    refused(DataError, "the response 'y' holds strings", data=a_table(y=text))


@pytest.mark.parametrize(
    ("make", "words"),
    [
        (
            lambda g: g.astype(np.uint64) + np.uint64(2**63),
            r"column 'g' holds whole numbers of 2\*\*63 or more",
        ),
        (
            lambda g: pd.array([None, *(g[1:] + 2**60)], dtype="Int64"),
            r"column 'g' has missing values.*above 2\*\*53",
        ),
    ],
)
def test_identifiers_that_floats_would_merge(make, words):
    refused(DataError, words, data=a_table(g=make(np.arange(N) % 6)))


def test_a_response_of_several_columns():
    refused(DataError, "does not give one number per row", "[y, x] ~ w + (1 | g)")


@pytest.mark.parametrize(
    "values", [np.ones(N) + 1j, np.arange(N).astype("M8[D]"), np.array([object()] * N)]
)
def test_columns_a_model_cannot_use(values):
    refused(DataError, "column 'x' has dtype", data=a_table(x=values))


@pytest.mark.parametrize("name", ["y", "x"])
def test_values_whose_squares_do_not_fit(name):
    for factor, word in (
        (1e200, "overflow"),
        (1e80, "overflow"),
        (1e-80, "vanish"),
        (1e-200, "vanish"),
    ):
        refused(
            DataError,
            f"'{name}' are so .* {word}",
            data=a_table(**{name: factor * a_table()[name]}),
        )


@pytest.mark.parametrize("factor", [1e-200, 1e200])
def test_weights_too_far_from_one(factor):
    refused(
        DataError,
        "weights run from",
        data=a_table(w=factor * (1.0 + np.arange(N) % 3)),
        weights="w",
    )


@pytest.mark.parametrize("factor", [1e-60, 1e60])
def test_units_of_any_ordinary_size(factor):
    """Tables and tests of a response and a covariate in odd units, as in even ones."""
    plain = mf.lmer(FORMULA, a_table())
    odd = mf.lmer(FORMULA, a_table(x=a_table()["x"] * factor, y=a_table()["y"] * factor))
    columns = ["df", "statistic", "p_value"]
    assert odd.coef_table()[columns].to_numpy() == pytest.approx(
        plain.coef_table()[columns].to_numpy(), rel=1e-6
    )
    assert odd.anova().f_value.tolist() == pytest.approx(plain.anova().f_value.tolist(), rel=1e-6)
    str(odd.summary())


@pytest.mark.parametrize(
    "formula", ["y ~ log(x) + (1 | g)", "log(x) ~ w + (1 | g)", "y ~ w + (log(x) | g)"]
)
def test_expressions_without_a_value(formula):
    refused(DataError, r"'log\(x\)' is not a finite number", formula)


# -- what the data cannot tell ---------------------------------------------------------------------


def test_one_level():
    refused(DataError, "'g' has one level", data=a_table(g=np.zeros(N)))


def test_as_many_levels_as_rows():
    refused(NotIdentifiedError, r"'g' has as many levels \(60\)", data=a_table(g=np.arange(N)))


def test_as_many_effects_as_rows():
    refused(
        NotIdentifiedError,
        "60 random effects for 60 rows",
        "y ~ x + (x | g)",
        a_table(g=np.arange(N) // 2),
    )


def test_a_slope_that_is_constant_everywhere_or_zero():
    refused(
        NotIdentifiedError,
        "'z' is a multiple of 'Intercept'",
        "y ~ x + (z | g)",
        a_table(z=np.ones(N)),
    )
    refused(NotIdentifiedError, "'z' is zero", "y ~ x + (0 + z | g)", a_table(z=np.zeros(N)))


def test_a_slope_that_is_constant_in_every_group_is_fitted_with_a_warning():
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        mf.lmer("y ~ x + (1 + z || g)", a_table(z=1.0 + np.arange(N) % 6))
    assert "'z' has a single value in every group of 'g'" in str(caught[0].message)
    assert {w.category for w in caught[1:]} <= {SingularFitWarning}


@pytest.mark.parametrize("y", [np.full(N, 3.3), np.zeros(N), 1.0 + 2.0 * a_table()["x"]])
def test_a_response_without_a_residual(y):
    refused(NotIdentifiedError, "reproduce the response", data=a_table(y=y))


def test_a_response_that_its_groups_explain_entirely():
    """The likelihood has no maximum: no error, for the fit is a limit, but never silence."""
    with pytest.warns(ConvergenceWarning, match="residual variance runs to zero"):
        assert not mf.lmer(FORMULA, a_table(y=1.0 * (np.arange(N) % 6))).converged


def test_more_columns_than_rows():
    rng = np.random.default_rng(1)
    data = {"y": rng.normal(size=9), "g": np.arange(9) % 3} | {
        f"x{i}": rng.normal(size=9) for i in range(10)
    }
    formula = "y ~ " + " + ".join(f"x{i}" for i in range(10)) + " + (1 | g)"
    refused(NotIdentifiedError, "9 rows cannot determine", formula, data)


def test_columns_that_others_determine_are_named_not_refused():
    x = a_table()["x"]
    m = mf.lmer("y ~ x + twice + zero + (1 | g)", a_table(twice=2.0 * x, zero=np.zeros(N)))
    assert m.dropped_columns == ("twice", "zero")
    assert np.isnan(m.params[["twice", "zero"]]).all()
    assert m.params.drop(["twice", "zero"]).to_numpy() == pytest.approx(
        mf.lmer(FORMULA, a_table()).params.to_numpy()
    )


# -- options ---------------------------------------------------------------------------------------


def test_an_unknown_engine():
    refused(DataError, "engine='fast'", engine="fast")


def test_an_unknown_na_action():
    refused(DataError, "na_action.*'ignore'", na_action="ignore")


def test_missing_values_that_must_not_be_there():
    refused(
        DataError, r"missing values in 'x' \(1\)", data=with_value("x", np.nan), na_action="raise"
    )


def test_unknown_contrasts():
    refused(
        DataError, "'q', which is not in the formula", "y ~ s + (1 | g)", contrasts={"q": "sum"}
    )
    refused(DataError, "unknown contrast 'zzz'", "y ~ s + (1 | g)", contrasts={"s": "zzz"})


@pytest.mark.parametrize("value", ["sum", ["sum"], 3])
def test_contrasts_that_are_no_dict(value):
    refused(DataError, "contrasts= is a dict", "y ~ s + (1 | g)", contrasts=value)


@pytest.mark.parametrize(
    "value", [{"a": [1, 0]}, "contr", None, 3, np.ones((2, 2)), [[1, np.nan]] * 3]
)
def test_a_contrast_that_is_none(value):
    refused(DataError, "contrast.*'s'", "y ~ s + (1 | g)", contrasts={"s": value})


@pytest.mark.parametrize("value", ["ML", "REML", "False", None, 0, 1, 2.0, []])
def test_reml_is_true_or_false(value):
    refused(DataError, "REML=.*True for restricted", REML=value)


@pytest.mark.parametrize(
    "start", [[1.0, 2.0], [], [[1.0]], 1.0, [np.nan], [np.inf], ["a"], [1e200]]
)
def test_a_start_that_is_no_theta(start):
    refused(DataError, "start", start=start)


@pytest.mark.parametrize("threads", [0, -1, "two", 1.5, True])
def test_a_number_of_threads_that_is_none(threads):
    refused(mf.ArgumentError, "threads", threads=threads)


# -- effects that cannot be told apart -------------------------------------------------------------


def warned(words, formula, data):
    """`lmer` fits and says these words first, at the caller's line."""
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        m = mf.lmer(formula, data)
    assert words in str(caught[0].message)
    assert caught[0].filename == __file__
    assert {w.category for w in caught[1:]} <= {SingularFitWarning}
    return m


def test_two_columns_that_group_the_rows_alike():
    data = a_table(h=np.array(list("fedcba"))[a_table()["g"]])
    one = mf.lmer(FORMULA, data)
    two = warned(
        "the variances of (Intercept | g) and (Intercept | h) cannot be separated",
        "y ~ x + (1 | g) + (1 | h)",
        data,
    )
    assert two.criterion == pytest.approx(one.criterion, rel=1e-10)
    assert (two.theta**2).sum() == pytest.approx(float(one.theta[0] ** 2), rel=1e-6)
    warned(
        "the variances of (Intercept | g2:g) and (Intercept | g) cannot",
        "y ~ x + (1 | g/g2)",
        a_table(g2=a_table()["g"]),
    )


def test_an_effect_in_two_terms_of_one_group():
    warned(
        "the variances of (Intercept | g) and (Intercept | g.1) cannot be separated",
        "y ~ x + (x | g) + (1 | g)",
        a_table(),
    )


@pytest.mark.parametrize(
    "random", ["(1 | g) + (0 + x | g)", "(1 | g) + (0 + x | h)", "(1 | g) + (1 | k)"]
)
def test_effects_that_can_be_told_apart_pass_in_silence(random):
    data = a_table(h=5 - a_table()["g"], k=(np.arange(N) // 6) % 6)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        warnings.simplefilter("ignore", SingularFitWarning)
        mf.lmer(f"y ~ x + {random}", data)


# -- warnings --------------------------------------------------------------------------------------


# the second model of InstEval has the rows of the first and takes ten seconds


@pytest.mark.parametrize("name", [name for name in golden_names() if name != "insteval_ml"])
def test_warnings_are_earned(name):
    record = golden(name)
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        m = mf.lmer(
            record["formula_py"],
            frame(record["dataset"]),
            REML=record["REML"],
            weights=record.get("weights"),
        )
    expected = [SingularFitWarning] if m.is_singular else []
    assert [w.category for w in caught] == expected
    for w in caught:
        assert any(group in str(w.message) for group in m.n_groups)
        assert w.filename == __file__  # it points at the user's line, not into the package
