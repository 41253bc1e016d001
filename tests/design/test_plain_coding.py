"""Formulas of names are coded as formulaic codes them."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st

from mixedfast.data.frames import as_table
from mixedfast.design import coding
from mixedfast.design.build import Variables
from mixedfast.design.coding import shape_of
from mixedfast.formula.plain_terms import plain_terms
from mixedfast.formula.variables import used_names

formulaic = pytest.importorskip("formulaic")

NAMES = ("x", "z.w", "`my var`", "f", "g_2", "flag", "h")
TABLE = pd.DataFrame(
    {
        "x": [1.0, 2.5, 3.0, 4.0, 0.5, 7.0],
        "z.w": [3, 1, 4, 1, 5, 9],
        "my var": [0.5, 0.25, 0.5, 1.0, 2.0, 3.0],
        "f": pd.Categorical(list("abcabc"), categories=list("cab")),
        "g_2": list("uvuvvu"),
        "flag": [True, False, True, True, False, False],
        "h": pd.Categorical([1, 2, 10, 2, 1, 10]),
    }
)
names = st.sampled_from(NAMES)
products = st.lists(
    st.tuples(names, st.sampled_from([":", "*", " * ", ": "])), min_size=1, max_size=4
)
summands = products.map(
    lambda parts: "".join(name + mark for name, mark in parts[:-1]) + parts[-1][0]
)


@st.composite
def formulas(draw: st.DrawFn) -> str:
    parts = draw(st.lists(summands, min_size=1, max_size=4))
    intercept = draw(st.sampled_from(["", "1", "0", "-1", "+0", "+ 1"]))
    if intercept in ("1", "0"):
        return f"{intercept} + " + " + ".join(parts)
    at = draw(st.integers(1, len(parts)))
    head, rest = " + ".join(parts[:at]), "".join(f" + {part}" for part in parts[at:])
    return f"{head} {intercept}{rest}"


def variables_of(formula: str) -> Variables:
    table = as_table(TABLE)
    columns = {name: table.column(name) for name in used_names(formula)}
    coded = {name: table.grouping(name) for name in columns if name in ("f", "g_2", "flag", "h")}
    return Variables(len(TABLE), columns, coded)


@given(formulas())
def test_random_formulas(formula):
    terms = plain_terms(formula)
    if terms is None:  # the same name twice in a product
        return
    theirs = formulaic.Formula(formula)
    assert [frozenset(f.expr for f in t.factors) - {"1"} for t in theirs] == list(
        map(frozenset, terms)
    )
    shapes = tuple(shape_of(name, variables_of(formula)) for name in used_names(formula))
    own = coding._coding_of_names(formula, shapes, ())
    other = coding._skeleton_coding(formula, shapes, ())
    assert own is not None
    assert own.names == other.names
    assert own.terms == other.terms
    assert own.levels.keys() == other.levels.keys()
    for mine, expected in zip(own.products, other.products, strict=True):
        assert [piece.variable for piece in mine] == [piece.variable for piece in expected]
        for a, b in zip(mine, expected, strict=True):
            assert (a.table is None) == (b.table is None)
            np.testing.assert_array_equal(a.table, b.table)


OTHERS = "log(x) | x + C(f) | x**2 | (x + f):h | x:x | x*x | x - f | x + | +-1 | 0 + x - 1 | 1:x"
MORE = "2*x | x f | x[0] | `a` `b` | x: | `x\\`y` | a%in%b | x + {f} | x. | "


@pytest.mark.parametrize("formula", [part.strip() for part in f"{OTHERS} | {MORE}".split("|")])
def test_other_formulas_are_left_to_formulaic(formula):
    assert plain_terms(formula) is None


def test_names_that_are_the_same_twice_and_single_levels_are_left_to_formulaic():
    shapes = (coding.Shape("f", True, "category", (("int", 1), ("str", "1"))),)
    assert coding._coding_of_names("0 + f", shapes, ()) is None
    shapes = (coding.Shape("f", True, "category", (("str", "a"),)),)
    assert coding._coding_of_names("f", shapes, ()) is None
