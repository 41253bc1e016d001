"""Formulas that are wrong or try to run code: a named error, and nothing runs."""

from __future__ import annotations

import pickle
import sys
import threading

import numpy as np
import pytest
from helpers.bad_inputs import (
    ATTACKS,
    FORMULA,
    a_table,
)
from helpers.refused import refused

import mixedfast as mf
from mixedfast import (
    FormulaError,
)
from mixedfast.formula.expressions import allowed

# -- formulas that try to run code -----------------------------------------------------------------

#: What is heard in this thread; other threads (those of a test runner) open files of their own.


_ears = threading.local()


def _listen(event, arguments):
    heard = getattr(_ears, "heard", None)
    if heard is not None and (
        event.startswith(("os.", "subprocess.", "shutil.", "_thread.start")) or event == "open"
    ):
        heard.append(f"{event} {arguments}")


sys.addaudithook(_listen)


@pytest.mark.parametrize(
    "formula",
    [
        *ATTACKS,
        "y ~ x + __import__('os').system('id') + (1 | g)",
        "y ~ `__import__`('os') + (1 | g)",
    ],
)
def test_formulas_run_no_code(formula):
    """Python tells of every file that is opened, every program and every thread that is started."""
    table = a_table()
    with pytest.raises(FormulaError):  # modules that are imported at their first use are imported
        mf.lmer("y ~ unknown(x) + (1 | g)", table)
    try:
        _ears.heard = []
        with pytest.raises(FormulaError):
            mf.lmer(formula, table)
        assert _ears.heard == []
    finally:
        _ears.heard = None
    np.testing.assert_array_equal(table["x"], a_table()["x"])


def test_strings_with_braces_and_backticks_stay_strings():
    m = mf.lmer("y + ('} + {exit()} + {' == 'a') ~ I(('`exit()`' == 'a') + x) + (1 | g)", a_table())
    assert m.params.iloc[1] == pytest.approx(mf.lmer(FORMULA, a_table()).params["x"])


@pytest.mark.parametrize(
    "name",
    [
        "it's",
        'a "b"',
        "a{b}",
        "__import__('os').system('id')",
        "exit()",
        "1; 2",
        "open",
        "id",
        "a\\b",
    ],
)
@pytest.mark.parametrize("right", ["`{}`", "I(`{}` + 0)"])
def test_column_names_are_names_whatever_they_hold(name, right):
    table = a_table()
    table[name] = table.pop("x")
    m = mf.lmer(f"y ~ {right.replace('{}', name)} + (1 | g)", table)
    assert m.params.iloc[1] == pytest.approx(mf.lmer(FORMULA, a_table()).params["x"])


@pytest.mark.parametrize(
    "right", ["`1`", "x + `1`", "0 + ` 1 `", "x:`1`", "x + (0 + `1` | g)", "."]
)
def test_a_column_called_1_is_not_the_intercept(right):
    table = a_table() | {"1": a_table()["w"]}
    formula = f"y ~ {right}" if "|" in right else f"y ~ {right} + (1 | g)"
    refused(
        FormulaError, "a column named 1, which formulaic takes for the intercept", formula, table
    )
    assert "I(`1` + x)" in mf.lmer("y ~ I(`1` + x) + (1 | g)", table).params


def test_a_backtick_in_a_column_name():
    table = {name: a_table()[name] for name in "ygx"} | {
        "x` + __import__('os').system('id') + `y": a_table()["w"]
    }
    refused(
        FormulaError,
        "contains a backtick, which formulas use to quote names: rename the column",
        "y ~ . + (1 | g)",
        table,
    )
    mf.lmer(FORMULA, table)


def test_a_function_of_the_users():
    table = a_table()
    try:
        mf.allow_in_formulas(half=lambda x: x / 2)
        m = mf.lmer("y ~ half(x) + (1 | g)", table)
        assert m.params["half(x)"] == pytest.approx(2 * mf.lmer(FORMULA, table).params["x"])
        again = pickle.loads(pickle.dumps(m))
        new = {"x": [1.0, 2.0], "g": [0, 1]}
        expected = m.predict(new)
        np.testing.assert_array_equal(again.predict(new), expected)
        mf.allow_in_formulas(half=None)
        with pytest.raises(
            FormulaError,
            match=r"unknown function 'half'.*allow your own with mf.allow_in_formulas\(half=",
        ):
            again.predict(new)
        refused(FormulaError, "unknown function 'half'", "y ~ half(x) + (1 | g)", table)
    finally:
        mf.allow_in_formulas(half=None)


def test_functions_allowed_from_many_threads():
    names = [f"f{i}" for i in range(40)]
    try:
        threads = [
            threading.Thread(target=mf.allow_in_formulas, kwargs={name: np.abs}) for name in names
        ]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        assert set(names) <= allowed()
    finally:
        mf.allow_in_formulas(**dict.fromkeys(names))
    assert not set(names) & allowed()


# -- the formula -----------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("formula", "words"),
    [
        ("y ~ x + (1 | g", r"'\(' is never closed in '\(1 \| g'"),
        ("y ~ x + (1 | g))", r"'\)' closes nothing"),
        ("y ~ (x + (1 | g)", "never closed"),
        ("y ~ x", "no random term in 'y ~ x'"),
        ("x + (1 | g)", "no '~'"),
        ("", "no '~'"),
        ("y ~ x + (1 | )", "no grouping factor"),
        ("y ~ x + ( | g)", "nothing before the bar"),
        ("y ~ x + (0 | g)", r"\(0 \| g\) has no effects"),
        ("y ~ x + (1 | g) + (1 | g)", r"\(1 \| g\) occurs twice"),
        ("y ~ nofunc(x) + (1 | g)", "unknown function 'nofunc'"),
        ("y ~ ns(x, df=3) + (1 | g)", r"unknown function 'ns'.*write|cr\(x"),
        ("y ~ relevel(s, 'b') + (1 | g)", "contr.treatment"),
        ("y ~ x + diag(1 | g)", r"diag\(\.\.\.\) in .* is not supported.*\(x \|\| g\)"),
        ("y ~ x + us(x | g) + (1 | g)", r"unknown function 'us'.*write \(x \| g\)"),
        ("y ~ x + (. | g)", r"write out the effects in \(\. \| g\)"),
        ("y ~ x + (1 | log(g))", "make a column of anything else first"),
        ("y ~ x + offset(2) + (1 | g)", "'2' does not name a column"),
        ("y ~ x + offset('w') + (1 | g)", "does not name a column"),
        ("2 ~ x + (1 | g)", "'2' does not name a column"),
        (". ~ x + (1 | g)", "cannot read '.'.*column's name"),
        ("y ~ y + (1 | g)", "the response 'y' is also a predictor"),
        ("y ~ x * y + (1 | g)", "the response 'y' is also a predictor"),
        ("y ~ x + (y | g)", "the response 'y' is also a predictor"),
        ("y ~ x.mean() + (1 | g)", r"'x.mean' in 'x.mean\(\)' is more than arithmetic"),
        ("y ~ np.array([1, 2]) + (1 | g)", "one value per row"),
        (
            "y ~ log(x, 2) + (1 | g)",
            r"log in 'log\(x, 2\)' takes 1 column, not 2; .* log\(x\) / log\(base\)",
        ),
        ("y ~ np.maximum(x, w, x) + (1 | g)", "takes 2 columns, not 3"),
        (
            "y ~ I(x * 2**3**4) + (1 | g)",
            r"'2 \*\* 3 \*\* 4' in .* may never end: write the number itself",
        ),
        ("y ~ I(2**10**9 * x) + (1 | g)", "may never end"),
        ("y ~ I('%9999999999d' % 5) + (1 | g)", "may never end"),
        ("y ~ I(1 << 10**12) + (1 | g)", "may never end"),
        ("y ~ contr.to_csv('stolen') + (1 | g)", r"'contr.to_csv' in .* is more than arithmetic"),
        ("y ~ x + (1 | g) # later", "can only be added with '\\+'"),
    ],
)
def test_formulas(formula, words):
    refused(FormulaError, words, formula)


@pytest.mark.parametrize(
    "fixed",
    ["np + np.where(np > 0, 1, 0)", "`np` * np.sqrt(abs(x))", "Q('contr') + C(s, contr.sum)"],
)
def test_a_column_that_hides_what_formulas_ask_for_functions(fixed):
    """pandas columns have methods of these names, and some write files and change the data."""
    table = {**a_table(), "np": a_table()["x"], "contr": a_table()["w"]}
    with pytest.raises(FormulaError, match=r"uses a column '(np|contr)' and .*: rename the column"):
        mf.lmer(f"y ~ {fixed} + (1 | g)", table)
    mf.lmer("y ~ np + contr + (1 | g)", table)


@pytest.mark.parametrize(
    "fixed",
    ["I(x**2)", "I(2**3 * x)", "I(x * 2**0.5)", "I(x**(1 + 1))", "np.where(x > 0, 2**-1, x)"],
)
def test_powers_that_come_to_an_end(fixed):
    mf.lmer(f"y ~ {fixed} + (1 | g)", a_table())


@pytest.mark.parametrize(
    "formula",
    [None, 3, ["y ~ x + (1 | g)"]],
)
def test_a_formula_that_is_no_string(formula):
    refused(FormulaError, "a formula is a string", formula)


@pytest.mark.parametrize(
    "part",
    [
        "I(" + "+".join(["Days"] * 5000) + ")",
        "I(Days)" + "[0]" * 1000,
        "I(" + "**".join(["Days"] * 3000) + ")",
    ],
    ids=["sums", "subscripts", "powers"],
)
def test_expressions_nested_too_deeply_are_errors_of_the_formula(part: str) -> None:
    with pytest.raises(mf.FormulaError, match="too many nested operations"):
        mf.lmer(f"Reaction ~ {part} + (1 | Subject)", mf.load_dataset("sleepstudy"))
