"""Columns of X that are summed by cell: which they are, and the same products as from rows."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import mixedfast as mf
from mixedfast.crossprod import dummy_columns
from mixedfast.crossprod.assemble import assemble
from mixedfast.crossprod.dummy_columns import by_cell
from mixedfast.crossprod.pool import place_x
from mixedfast.crossprod.row_sums import row_sums
from mixedfast.crossprod.scaling import choose_scaling
from mixedfast.design.build import build
from mixedfast.design.columns import ColumnFactor, evaluate
from mixedfast.formula.parser import parse

#: Sums of two thousand products, each sum measured by the sizes of its two columns.
ROUNDING = 1e-13
N = 2000
#: What is summed by cell in each: number of columns, of levels, of columns by cell.
FOUND = {
    "y ~ f + (1 | a)": [(9, (10,), 1)],
    "y ~ 0 + f + (0 + x | a)": [(10, (10,), 1)],
    "y ~ x * f + (x | a) + (1 | b)": [(18, (10,), 2)],
    "y ~ x * z + x:z:f + f:z + f + (1 | a)": [(27, (10,), 3)],
    "y ~ f + h + z + (f | b)": [(9, (10,), 1), (8, (9,), 1)],
    "y ~ x + s * h + (1 | a)": [(26, (3, 9), 1)],
    "y ~ s + x:h + h + (1 | a)": [(8, (9,), 1)],
    "y ~ x + h + f:s + (1 | a) + (1 | h)": [(29, (3, 10), 1), (8, (9,), 1)],
}


@pytest.fixture(autouse=True, scope="module")
def small_tables_count():
    """Sum by cell and with threads from two thousand rows on, instead of a million."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(dummy_columns, "_WORTH", 0.0)
        patch.setattr("mixedfast.crossprod.row_sums._ROWS_PER_THREAD", N // 2)
        yield


def a_table(seed, n=N):
    """Return a table with common and rare levels, cells without rows, and numbers far from zero."""
    rng = np.random.default_rng(seed)
    f = np.append(np.arange(10), rng.choice(10, n - 10, p=rng.dirichlet(np.full(10, 0.7))))
    return {
        "y": 1e4 + rng.normal(size=n),
        "x": -7e3 + rng.normal(size=n),
        "z": 1e-3 * rng.normal(size=n),
        "f": np.array(list("abcdefghij"))[f],
        "h": np.array(list("klmnopqrs"))[rng.permutation(np.arange(n) % 9)],
        "s": np.where(f == 4, "u", np.array(list("uvw"))[rng.permutation(np.arange(n) % 3)]),
        "a": rng.integers(0, 12, n),
        "b": rng.integers(0, 4, n),
        "w": 1e6 * rng.uniform(0.2, 4.0, n),
    }


def in_cells(design, columns):
    most = max((len(t.levels) * len(t.columns) for t in design.terms), default=0)
    return by_cell(columns, design.n, most)


def numbers(columns, n, root):
    return np.column_stack(
        [(evaluate(column, n) - shift) * scale * root for column, shift, scale in columns]
    )


@pytest.mark.parametrize("formula", FOUND)
@settings(max_examples=4)
@given(
    st.integers(0, 2**32 - 1),
    st.booleans(),
    st.sampled_from(["treatment", "sum", "helmert", "poly"]),
    st.sampled_from([1, 2]),
)
def test_products_are_those_of_the_rows(formula, seed, weighted, contrast, threads):
    contrasts = {"f": contrast} if "f" in formula else None
    design = build(parse(formula), a_table(seed), "w" if weighted else None, contrasts=contrasts)
    n, basis = design.n, choose_scaling(design)
    columns = [
        *place_x(design.x, n, basis),
        ((ColumnFactor(design.y),), basis.shift[-1], basis.scale[-1]),
    ]
    assert [
        (len(c.expansion.places), c.levels, len(c.base)) for c in in_cells(design, columns)
    ] == FOUND[formula]
    root = np.ones(n) if design.weights is None else np.sqrt(design.weights)
    D = numbers(columns, n, root)
    of_d = np.sqrt((D**2).sum(axis=0))
    of_d[of_d == 0.0] = 1.0
    groups = []
    for term in design.terms:
        groups.append(
            (term.codes, len(term.levels), [(column, 0.25, 2.0) for column in term.columns])
        )
    square, sums = row_sums(
        columns, groups, n, None if design.weights is None else root, threads
    ).products()
    np.testing.assert_array_equal(square, square.T)
    np.testing.assert_allclose(
        square / np.outer(of_d, of_d), D.T @ D / np.outer(of_d, of_d), rtol=0, atol=ROUNDING
    )
    for (codes, J, z), (A, B) in zip(groups, sums, strict=True):
        Z = numbers(z, n, root)
        of_z = np.sqrt((Z**2).sum(axis=0))
        by_level = np.equal.outer(np.arange(J), codes)[:, None, :] * Z.T
        np.testing.assert_allclose(
            A / np.outer(of_z, of_z), by_level @ Z / np.outer(of_z, of_z), rtol=0, atol=ROUNDING
        )
        np.testing.assert_allclose(
            B / np.outer(of_z, of_d), by_level @ D / np.outer(of_z, of_d), rtol=0, atol=ROUNDING
        )


def test_the_same_number_of_threads_gives_the_same_bits():
    design = build(parse("y ~ x * f + (x | a)"), a_table(3))
    for threads in (1, 2):
        one, two = assemble(design, threads), assemble(design, threads)
        np.testing.assert_array_equal(one.xy, two.xy)
        np.testing.assert_array_equal(one.groups[0].B, two.groups[0].B)


@pytest.mark.parametrize(
    ("formula", "n"),
    [
        ("y ~ x + z + s + (1 | a)", N),  # few columns
        ("y ~ x * f + (1 | a)", 100),  # few rows a cell
        ("y ~ f + (1 | many)", N),  # few rows a group
        ("y ~ x:f + (1 | a)", N),  # nothing says where x is
    ],
)
def test_columns_that_are_read_row_by_row(formula, n):
    design = build(parse(formula), a_table(5, n) | {"many": np.arange(n) // 4})
    assert in_cells(design, place_x(design.x, design.n, choose_scaling(design))) == []


@pytest.mark.parametrize(("more", "kinds"), [(0, 1), (1, 0)])
def test_few_rows_are_not_worth_it(monkeypatch, more, kinds):
    design = build(parse("y ~ f + (1 | a)"), a_table(5))
    monkeypatch.setattr(dummy_columns, "_WORTH", N * 9**2 + more)
    assert len(in_cells(design, place_x(design.x, design.n, choose_scaling(design)))) == kinds


@pytest.fixture
def by_rows(monkeypatch):
    """Call a function with every column that is read row by row."""

    def do(something):
        with monkeypatch.context() as patch:
            patch.setattr(dummy_columns, "_FEWEST_COLUMNS", N)
            return something()

    return do


@pytest.mark.parametrize("batches", [1, 3])
@pytest.mark.parametrize("weights", [None, "w"])
def test_fits_are_those_of_the_rows(by_rows, batches, weights):
    table = a_table(11)
    table["f"] = np.where(np.arange(N) == 777, None, table["f"])
    table["y"] += 0.3 * table["a"] + np.random.default_rng(0).normal(size=12)[table["a"]]
    data = (
        [{name: column[i::batches] for name, column in table.items()} for i in range(batches)]
        if batches > 1
        else table
    )
    # s has one value where f is "e": two columns of the interaction are not estimable

    def fit():
        return mf.lmer("y ~ z + s * f + (1 | a)", data, weights=weights)

    ours, theirs = fit(), by_rows(fit)
    assert ours.nobs == theirs.nobs == N - 1
    assert ours.dropped_columns == theirs.dropped_columns != ()
    np.testing.assert_allclose(ours.params, theirs.params, rtol=1e-7)
    assert ours.loglik == pytest.approx(theirs.loglik, rel=1e-11)
