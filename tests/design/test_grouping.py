"""Grouping factors: the order of terms, and the numbers of combined levels."""

from __future__ import annotations

import numpy as np
from helpers.design_frame import FRAME, design
from hypothesis import given
from hypothesis import strategies as st

from mixedfast.data.categories import factorize
from mixedfast.design.build import build
from mixedfast.design.grouping import apply_numbering, number_groups
from mixedfast.design.new_data import code_new_data
from mixedfast.formula.parser import parse


def test_terms_come_with_most_levels_first_and_ties_as_written() -> None:
    made = design("y ~ 1 + (1 | s) + (1 | k) + (1 | g) + (0 + x | k)")
    assert [(t.group, t.names[0]) for t in made.terms] == [
        ("g", "Intercept"),
        ("k", "Intercept"),
        ("k", "x"),
        ("s", "Intercept"),
    ]
    assert [c.names[0] for c in made.recipe.random] == ["Intercept", "Intercept", "x", "Intercept"]


@given(
    st.integers(0, 2**32 - 1),
    st.sampled_from(["crossed", "a in b", "b in a", "one to one"]),
    st.integers(1, 300),
)
def test_combinations_are_numbered_in_order(seed: int, how: str, n: int) -> None:
    """Nested factors are numbered without looking at pairs, with the same numbers as in order."""
    rng = np.random.default_rng(seed)
    a, b = rng.integers(0, 30, n), rng.integers(0, 20, n)
    if how != "crossed":
        fine, coarse = rng.permutation(30), rng.integers(0, 20, 30)
        pair = (
            (a, coarse[a])
            if how == "a in b"
            else (coarse[a], a)
            if how == "b in a"
            else (a, fine[a])
        )
        a, b = pair
    groups = {name: factorize(values) for name, values in (("a", a), ("b", b))}
    codes, recipe = number_groups("a:b", ("a", "b"), groups)
    pairs = sorted(set(zip(a.tolist(), b.tolist(), strict=True)))
    assert recipe.levels.tolist() == [f"{i}:{j}" for i, j in pairs]
    assert codes.dtype == np.int32
    assert [pairs[code] for code in codes] == list(zip(a.tolist(), b.tolist(), strict=True))
    np.testing.assert_array_equal(apply_numbering(recipe, groups), codes)


def test_nested_groups_number_only_what_occurs() -> None:
    made = design("y ~ 1 + (1 | f/k)")
    inner, outer = made.terms
    labels = FRAME["k"].astype(str) + ":" + FRAME["f"].astype(str)
    assert (inner.group, outer.group) == ("k:f", "f")
    assert inner.levels[inner.codes].tolist() == labels.tolist()
    assert len(inner.levels) == labels.nunique()
    assert outer.levels.tolist() == ["c", "a", "b"]  # the column's order; "never" does not occur
    order = [f"{k}:{f}" for k in range(3) for f in "cab" if f"{k}:{f}" in set(labels)]
    assert inner.levels.tolist() == order  # the first factor varies slowest


def test_three_way_groups() -> None:
    term = design("y ~ 1 + (1 | s:k:b)").terms[0]
    labels = FRAME["s"] + ":" + FRAME["k"].astype(str) + ":" + FRAME["b"].astype(str)
    assert term.levels[term.codes].tolist() == labels.tolist()


def test_crossing_huge_integers_does_not_overflow() -> None:
    big = FRAME["g"].to_numpy() * (2**61 // 12)
    term = build(parse("y ~ 1 + (1 | a:b)"), {"y": FRAME["y"], "a": big, "b": big}).terms[0]
    assert term.levels[term.codes].tolist() == [f"{v}:{v}" for v in big]


@given(
    st.lists(
        st.tuples(st.integers(0, 3), st.integers(0, 3), st.integers(0, 2)), min_size=30, max_size=40
    )
)
def test_any_interaction_of_groups_agrees_with_its_labels(rows: list[tuple[int, int, int]]) -> None:
    a, b, c = (np.array(part) for part in zip(*(rows * 6), strict=True))
    if len(set(rows)) < 2:
        return
    data = {"y": np.arange(len(a), dtype=float), "a": a, "b": b, "c": c}
    made = build(parse("y ~ 1 + (1 | a:b:c)"), data)
    term = made.terms[0]
    assert term.levels[term.codes].tolist() == [
        f"{i}:{j}:{k}" for i, j, k in zip(a, b, c, strict=True)
    ]
    again, _ = code_new_data(made.recipe, data).terms[0]
    np.testing.assert_array_equal(again, term.codes)
