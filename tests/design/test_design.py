"""Designs: formulaic's columns without formulaic's memory, lme4's terms, and every refusal."""

from __future__ import annotations

import warnings
from typing import Any

import numpy as np
import pandas as pd
import pytest
from formulaic import model_matrix
from formulaic.errors import DataMismatchWarning
from helpers.design_frame import FRAME, ROUNDING, USED, N, changed, design

from mixedfast.design.build import build
from mixedfast.design.columns import ColumnFactor, evaluate, matrix, take
from mixedfast.design.new_data import code_new_data
from mixedfast.errors import DataError, FormulaError, NotIdentifiedError
from mixedfast.formula.parser import parse

PLAIN = [
    "1",
    "0",
    "x",
    "x + z",
    "0 + x",
    "x - 1",
    "b",
    "0 + b",
    "b*x",
    "b*f + b:s",
    "x*z",
    "x:z",
    "k + k:x",
    "f",
    "0 + f",
    "s + f",
    "0 + f + s",
    "f*s",
    "f:s",
    "0 + f:s",
    "x*f",
    "x:f",
    "0 + x:f",
    "x*f - x",
    "f/x",
    "f*s*x",
    "(x + f + s)^2",
    "f + s:f + x:s",
    "C(k)",
    "C(k)*x",
    "C(h) + h",
    "C(b):x",
    "C(s):C(k)",
    "0 + C(k):s",
    "C(f, contr.sum)",
    "C(f, contr.sum):x",
    "C(f, contr.helmert)*s",
    "C(k, contr.poly)",
    "C(f, contr.treatment('a'))",
    "C(f, contr.sum)*C(s, contr.sum)",
    "C(f, levels=['b', 'a', 'c'])",
    "`my var`*f",
]

PYTHON = [
    "poly(x, 2)",
    "bs(x, df=4)*s",
    "log(x) + f",
    "log(x)*b",
    "I(x**2):f",
    "scale(x)*z",
    "3:x",
    "{x + z}",
    "cr(x, df=3)",
]


@pytest.mark.parametrize("formula", [*PLAIN, *PYTHON])
def test_names_and_values_are_formulaics(formula: str) -> None:
    made = design(f"y ~ {formula}")
    theirs = model_matrix(formula, USED, output="numpy")
    assert made.x_names == tuple(theirs.model_spec.column_names)
    np.testing.assert_allclose(matrix(made.x, N), theirs, **ROUNDING)
    assert [t.name for t in made.fixed_terms if t.factors] == [
        str(t) for t in theirs.model_spec.formula if str(t) != "1"
    ]
    assert [i for t in made.fixed_terms for i in t.columns] == list(range(len(made.x)))
    assert made.has_intercept == ("Intercept" in made.x_names)


@pytest.mark.parametrize("formula", PLAIN)
def test_plain_formulas_stay_products_of_the_users_arrays(formula: str) -> None:
    made = design(f"y ~ {formula}")
    for column in made.x:
        for factor in column:
            if factor.table is None:
                assert any(
                    np.shares_memory(factor.values, FRAME[name].to_numpy())
                    for name in ("x", "z", "k", "b", "h", "my var")
                )
            else:
                assert factor.values.dtype == np.int32 and factor.table.dtype == np.float64


def test_random_columns_follow_the_same_rules() -> None:
    made = design("y ~ x + (x*s | g) + (0 + f || g)")
    wide, diagonal = made.terms
    assert wide.names == ("Intercept", "x", "s[T.v]", "x:s[T.v]")
    assert diagonal.names == ("f[c]", "f[a]", "f[b]")
    assert (wide.correlated, diagonal.correlated) == (True, False)
    assert wide.codes is diagonal.codes  # terms on one group share its codes
    np.testing.assert_allclose(
        matrix(wide.columns, N), model_matrix("x*s", USED, output="numpy"), **ROUNDING
    )


def test_fixed_terms_tell_their_factors_and_kinds() -> None:
    term = design("y ~ x*C(f, contr.sum) + poly(z, 2)").fixed_terms[-1]
    assert (term.name, term.variables, term.kinds) == (
        "x:C(f, contr.sum)",
        ("x", "f"),
        ("numeric", "categorical"),
    )
    assert (term.factors, term.columns) == (("x", "C(f, contr.sum)"), (6, 7))


# --- contrasts ------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("name", "marked"),
    [("sum", "contr.sum"), ("contr.helmert", "contr.helmert"), ("poly", "contr.poly")],
)
def test_contrasts_argument_codes_as_C_does(name: str, marked: str) -> None:
    made = design("y ~ f*x + (f | s)", contrasts={"f": name})
    theirs = model_matrix(f"C(f, {marked})*x", USED, output="numpy")
    np.testing.assert_allclose(matrix(made.x, N), theirs, **ROUNDING)
    plain = [column.replace(f"C(f, {marked})", "f") for column in theirs.model_spec.column_names]
    assert list(made.x_names) == plain
    assert made.terms[0].names == tuple(plain[:3])


def test_contrast_matrix() -> None:
    coding = np.array([[1.0, 0.0], [0.0, 2.0], [-1.0, -2.0]])
    for formula in ("f*s", "f + log(x)"):
        made = design(f"y ~ {formula}", contrasts={"f": coding})
        codes = USED["f"].cat.codes.to_numpy()
        np.testing.assert_array_equal(matrix(made.x, N)[:, 1:3], coding[codes])


def test_two_contrasts_of_one_formula_do_not_share_a_coding() -> None:
    first = design("y ~ f", contrasts={"f": np.eye(3)[:, 1:]})
    second = design("y ~ f", contrasts={"f": 2 * np.eye(3)[:, 1:]})
    np.testing.assert_array_equal(2 * matrix(first.x, N)[:, 1:], matrix(second.x, N)[:, 1:])


def test_levels_equal_in_python_keep_their_own_names() -> None:
    names = [
        design("y ~ C(v)", {"y": FRAME["y"], "v": FRAME["b"].astype(kind)}).x_names[1]
        for kind in (bool, int, float)
    ]
    assert names == ["C(v)[T.True]", "C(v)[T.1]", "C(v)[T.1.0]"]


# --- makes of tables ------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "formula", ["y ~ x*f + b + C(k) + (1 + z | g) + (1 | s:g)", "y ~ poly(x, 2)*f + (1 | g)"]
)
def test_tables_of_every_make_give_one_design(formula: str) -> None:
    pl, pa = pytest.importorskip("polars"), pytest.importorskip("pyarrow")
    first = design(formula)
    levels = ["c", "a", "never", "b"]
    makes = {
        "polars": pl.from_pandas(FRAME.astype({"f": str})).with_columns(
            pl.col("f").cast(pl.Enum(levels))
        ),
        "arrow": pa.Table.from_pandas(FRAME),
        "dict": {name: FRAME[name] if name == "f" else FRAME[name].to_numpy() for name in FRAME},
    }
    for made in (design(formula, data) for data in makes.values()):
        assert made.x_names == first.x_names
        np.testing.assert_array_equal(made.y, first.y)
        np.testing.assert_array_equal(matrix(made.x, N), matrix(first.x, N))
        for mine, theirs in zip(made.terms, first.terms, strict=True):
            assert (mine.group, mine.names) == (theirs.group, theirs.names)
            np.testing.assert_array_equal(mine.codes, theirs.codes)
            assert mine.levels.tolist() == theirs.levels.tolist()
            np.testing.assert_array_equal(matrix(mine.columns, N), matrix(theirs.columns, N))


# --- missing values, weights, offsets -------------------------------------------------------------


def holes() -> pd.DataFrame:
    frame = FRAME.astype({"g": float})
    frame.loc[[1, 2], "x"] = np.nan
    frame.loc[2, "y"] = np.nan
    frame.loc[5, "f"] = None
    frame.loc[7, "g"] = np.nan
    frame.loc[9, "s"] = None
    frame.loc[11, "my var"] = np.nan  # not used, so not missed
    return frame


def test_missing_values_are_counted_by_variable() -> None:
    weights = np.ones(N)
    weights[12] = np.nan
    made = design("y ~ x*f + (1 | g/s)", holes(), weights=weights)
    gone = [1, 2, 5, 7, 9, 12]
    assert (made.n, made.n_dropped) == (N - 6, 6)
    assert made.missing == {"y": 1, "x": 2, "f": 1, "g": 1, "s": 1, "weights": 1}
    assert made.kept_rows is not None
    assert made.kept_rows.tolist() == [i for i in range(N) if i not in gone]
    kept = FRAME.drop(index=gone)
    np.testing.assert_array_equal(made.y, kept["y"])
    np.testing.assert_allclose(
        matrix(made.x, made.n),
        model_matrix("x*f", kept.assign(f=kept.f.cat.remove_unused_categories()), output="numpy"),
        **ROUNDING,
    )
    assert made.terms[1].levels[made.terms[1].codes].tolist() == kept["g"].tolist()


def test_no_missing_values_means_all_rows() -> None:
    made = design("y ~ x + (1 | g)")
    assert made.kept_rows is None and made.n_dropped == 0 and made.missing == {}


def test_a_level_that_only_missing_rows_had_is_dropped() -> None:
    frame = FRAME.copy()
    frame.loc[frame["f"] == "b", "x"] = np.nan
    assert design("y ~ x + f", frame).x_names == ("Intercept", "x", "f[T.a]")


def test_raise_on_missing_names_the_columns() -> None:
    with pytest.raises(DataError, match=r"'y' \(1\), 'x' \(2\)"):
        design("y ~ x + (1 | g)", holes(), na_action="raise")


def test_weights_and_offsets() -> None:
    made = design("y ~ x + offset(z) + offset(log(x)) + (1 | g)", weights="x", offset=np.arange(N))
    np.testing.assert_array_equal(made.weights, FRAME["x"])
    expected = FRAME["z"].astype(float) + np.log(FRAME["x"]) + np.arange(N)
    np.testing.assert_allclose(made.offset, expected, **ROUNDING)
    assert design("y ~ x").offset is None and design("y ~ x").weights is None


def test_response_expression() -> None:
    np.testing.assert_array_equal(design("log(x) ~ z + (1 | g)").y, np.log(FRAME["x"]))
    np.testing.assert_array_equal(design("x - y ~ z + (1 | g)").y, FRAME["x"] - FRAME["y"])
    assert design("k ~ x").y.dtype == np.float64


def test_dot_is_the_columns_used_nowhere_else() -> None:
    data = FRAME[["y", "x", "z", "s", "g", "k"]]
    assert design("y ~ . + (z | g)", data, weights="x").x_names == ("Intercept", "s[T.v]", "k")
    assert design("y ~ I(x*1.5) + (1 | g)", data).x_names == ("Intercept", "I(x * 1.5)")


HALF = np.where(FRAME["b"], 1, np.nan)

OTHER_HALF = np.where(FRAME["b"], np.nan, 1)

ONE_INFINITE = np.where(np.arange(N) == 3, np.inf, 1)


@pytest.mark.parametrize(
    ("formula", "data", "error", "says"),
    [
        ("y ~ xx + (1 | g)", FRAME, DataError, "no column 'xx'"),
        ("y ~ x + (1 | gg)", FRAME, DataError, "did you mean 'g'"),
        ("y ~ log(w) + (1 | g)", FRAME, DataError, "no column 'w'"),
        ("y ~ ns(x, 3) + (1 | g)", FRAME, FormulaError, "unknown function 'ns'"),
        ("y ~ poly(x, 0.5) + (1 | g)", FRAME, FormulaError, "cannot evaluate"),
        ("y ~ log(x + (1 | g)", FRAME, FormulaError, "never closed"),
        ("y ~ x ++ + (1 | g)", FRAME, FormulaError, "cannot read"),
        ("y ~ I(x +) + (1 | g)", FRAME, FormulaError, "cannot"),
        ("s ~ x + (1 | g)", FRAME, DataError, "response 's'"),
        ("log(s) ~ x + (1 | g)", FRAME, DataError, "response 's'"),
        ("y ~ x + (1 | g)", FRAME.iloc[:0], DataError, "no rows"),
        ("y ~ x + (1 | g)", changed(x=np.nan), DataError, "every value of 'x'"),
        ("y ~ x + (1 | g)", changed(y=HALF, x=OTHER_HALF), DataError, "no row is complete"),
        ("y ~ x + (1 | g)", changed(x=ONE_INFINITE), DataError, "'x' holds 1 infinite"),
        ("y ~ x + (1 | g)", changed(y=-ONE_INFINITE), DataError, "'y' holds 1 infinite"),
        ("y ~ x + (1 | x)", FRAME, DataError, "'x' groups the rows"),
        ("y ~ x + (1 | one)", changed(one="a"), DataError, "'one' has one level"),
        (
            "y ~ x + (1 | row)",
            changed(row=range(N)),
            NotIdentifiedError,
            "'row' has as many levels",
        ),
        ("y ~ x + (f + x | s:g)", FRAME, NotIdentifiedError, "random effects for 60 rows"),
        ("y ~ x + (0 | g)", FRAME, FormulaError, "no effects"),
        ("y ~ x + (v | g)", changed(v=3.0), NotIdentifiedError, "'v' is a multiple of 'Intercept'"),
        ("y ~ x + (0 + v | g)", changed(v=0.0), NotIdentifiedError, "'v' is zero"),
        (
            "y ~ x + (x + v | s)",
            changed(v=-2 * FRAME["x"]),
            NotIdentifiedError,
            "'v' is a multiple of 'x'",
        ),
    ],
)
def test_refusals_name_what_is_wrong(
    formula: str, data: Any, error: type[Exception], says: str
) -> None:
    with pytest.raises(error, match=says):
        design(formula, data)


@pytest.mark.parametrize(
    ("formula", "says"), [("log(y) ~ x", r"'log\(y\)'"), ("y ~ log(v)", r"'log\(v\)'")]
)
def test_functions_that_give_no_number(formula: str, says: str) -> None:
    with pytest.raises(DataError, match=says + " is not a finite"):
        design(formula, changed(v=FRAME["x"] - 4))


# pandas 3 announces that what formulaic does here will be an error
@pytest.mark.filterwarnings("ignore:Constructing a Categorical with a dtype:DeprecationWarning")
@pytest.mark.parametrize(
    "formula", ["y ~ C(f, levels=['a', 'b'])", "y ~ C(f, levels=['a', 'b']) + log(x)"]
)
def test_levels_that_leave_out_data(formula: str) -> None:
    with (
        pytest.warns(DataMismatchWarning),
        pytest.raises(DataError, match="leaves out levels of 'f'"),
    ):
        design(formula)


def test_a_data_column_called_intercept_is_not_the_intercept() -> None:
    made = design("y ~ 0 + Intercept + log(x)", changed(Intercept=FRAME["z"]))
    assert not made.has_intercept
    np.testing.assert_array_equal(matrix(made.x, N)[:, 0], FRAME["z"])


@pytest.mark.parametrize(
    ("options", "says"),
    [
        ({"weights": np.ones(3)}, "weights has 3 values for 60 rows"),
        ({"offset": np.ones(61)}, "offset has 61 values"),
        ({"weights": np.arange(N)}, "1 are zero or negative"),
        ({"weights": "y"}, "zero or negative"),
        ({"weights": "s"}, "holds categories"),
        ({"weights": "w"}, "no column 'w'"),
        ({"offset": np.full(N, np.inf)}, "offset holds infinite"),
        ({"offset": np.full(N, np.nan)}, "every value of 'offset'"),
        ({"na_action": "pass"}, "na_action"),
        ({"contrasts": {"q": "sum"}}, "'q', which is not in the formula"),
        ({"contrasts": {"x": "sum"}}, "C\\(x, contr.sum\\)"),
        ({"contrasts": {"f": "sums"}}, "unknown contrast 'sums'"),
        ({"contrasts": {"f": np.eye(2)}}, "one finite row for each of the 3 levels"),
    ],
)
def test_refused_options(options: dict[str, Any], says: str) -> None:
    with pytest.raises(DataError, match=says):
        design("y ~ x + f + (1 | g)", **options)


def test_a_column_with_a_hole_in_the_first_sample_is_not_taken_for_zero() -> None:
    """The check looks at a few rows first; a column that is zero on those is not refused."""
    n = 6000
    data = {"y": np.arange(n), "x": (np.arange(n) == 4321) * 1.0, "g": np.arange(n) % 50}
    assert design("y ~ 1 + (0 + x | g)", data).terms[0].names == ("x",)
    data["v"] = np.where(np.arange(n) == 4321, 2.0, 1.0)
    assert design("y ~ 1 + (v | g)", data).terms[0].names == ("Intercept", "v")


def test_a_slope_constant_in_every_group_warns() -> None:
    data = changed(v=FRAME["g"] % 3)
    with pytest.warns(UserWarning, match="'v' has a single value in every group of 'g'"):
        design("y ~ x + (1 + v | g)", data)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        design("y ~ x + (1 + x | g)", data)
        design("y ~ x + (0 + v | g)", data)


def test_a_covariate_far_from_zero_is_not_taken_for_a_constant() -> None:
    assert (
        design("y ~ x + (1 + v | g)", changed(v=2000 + FRAME["x"] * 1e-6)).terms[0].names[1] == "v"
    )


# --- columns --------------------------------------------------------------------------------------


def test_columns_of_any_dtype_and_stride() -> None:
    base = np.arange(12)
    for dtype in ("float64", "float32", "int64", "int32", "int16", "int8", "uint8", "bool"):
        values = base.astype(dtype)[::-2]
        expected = values.astype(float)
        np.testing.assert_array_equal(evaluate((ColumnFactor(values),), 6), expected)
        np.testing.assert_array_equal(
            evaluate(take((ColumnFactor(values),), slice(1, 4)), 3), expected[1:4]
        )
        np.testing.assert_array_equal(
            evaluate((ColumnFactor(values), ColumnFactor(values)), 6), expected**2
        )


def test_evaluating_never_returns_the_users_memory() -> None:
    values = np.ones(3)
    evaluate((ColumnFactor(values),), 3)[:] = 7
    assert values.tolist() == [1, 1, 1]


@pytest.mark.parametrize("dtype", ["int64", "int16", "uint8", "Int64"])
def test_powers_of_whole_numbers_do_not_overflow(dtype: str) -> None:
    x = pd.Series(np.arange(1, 201)).astype(dtype)
    frame = pd.DataFrame({"y": x, "x": x, "g": np.arange(200) % 4})
    design = build(parse("y**10 ~ I(x**9) + (1 | g)"), frame)
    numbers = np.arange(1.0, 201.0)
    np.testing.assert_allclose(evaluate(design.x[1], 200), numbers**9, rtol=1e-13)
    np.testing.assert_allclose(design.y, numbers**10, rtol=1e-13)


def test_functions_that_users_of_r_expect() -> None:
    frame = {"y": np.arange(9.0), "x": np.arange(9.0), "g": np.arange(9) % 3}
    design = build(parse("sqrt(y) ~ sqrt(x) + abs(x - 2) + (log1p(x) | g)"), frame)
    assert design.x_names == ("Intercept", "sqrt(x)", "abs(x - 2)")
    np.testing.assert_array_equal(design.y, np.sqrt(np.arange(9.0)))
    again = code_new_data(design.recipe, {"x": [9.0], "g": [1]})
    np.testing.assert_array_equal(evaluate(again.x[1], 1), [3.0])
