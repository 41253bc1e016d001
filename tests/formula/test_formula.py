"""The formula language: what is cut out, what is left, and what every mistake says."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mixedfast.errors import FormulaError
from mixedfast.formula.parser import expand_dot, parse, plain_name
from mixedfast.formula.variables import factors


def squeeze(text: str) -> str:
    return "".join(text.split())


@pytest.mark.parametrize(
    ("formula", "fixed", "random"),
    [
        ("y ~ x + (1 | g)", "x", ["(1 | g)"]),
        ("y ~ (1|g)", "1", ["(1 | g)"]),
        ("y ~ (1|g) + x", "x", ["(1 | g)"]),
        ("y ~ 0 + x + (1|g)", "0+x", ["(1 | g)"]),
        ("y ~ (1|g) - 1", "1-1", ["(1 | g)"]),
        ("y ~ x + (1|g) - 1", "x-1", ["(1 | g)"]),
        ("y ~ a*b + (1 + x || g) + z", "a*b+z", ["(1 + x || g)"]),
        ("y ~ (x + (1|g)) * z", "(x)*z", ["(1 | g)"]),
        ("y ~ I((x|y)) + (1 | g)", "I((x|y))", ["(1 | g)"]),
        ("y ~ {x | z} + (1 | g)", "{x|z}", ["(1 | g)"]),
        ("y ~ f('(1|a)') + (1 | g)", "f('(1|a)')", ["(1 | g)"]),
        ("y ~ `odd (1|name)` + (1 | g)", "`odd(1|name)`", ["(1 | g)"]),
        ("y ~ x + (1 | `my g`)", "x", ["(1 | my g)"]),
        ("y ~ (a+b)^2 + (1|g)", "(a+b)^2", ["(1 | g)"]),
        # nesting: lme4's terms in lme4's order under lme4's names
        ("y ~ (1 | a/b)", "1", ["(1 | b:a)", "(1 | a)"]),
        ("y ~ (1 | a/b/c)", "1", ["(1 | c:(b:a))", "(1 | b:a)", "(1 | a)"]),
        ("y ~ (1 | a/b:c)", "1", ["(1 | b:c:a)", "(1 | a)"]),
        ("y ~ (1 | a:b/c)", "1", ["(1 | c:(a:b))", "(1 | a:b)"]),
        ("y ~ (x || a/b)", "1", ["(x || b:a)", "(x || a)"]),
        ("y ~ (1 | f*g)", "1", ["(1 | f)", "(1 | g)", "(1 | f:g)"]),
        ("y ~ (1 | c:(b:a))", "1", ["(1 | c:(b:a))"]),
        ("y ~ (1 | g) + (0 + x | g)", "1", ["(1 | g)", "(0 + x | g)"]),
        # R's spellings
        ("y ~ I(x^2) + factor(f) + (1 | factor(g))", "I(x**2)+C(f)", ["(1 | g)"]),
        ("y ~ (1 + I(x^2) | g)", "1", ["(1 + I(x**2) | g)"]),
        ("y ~ as.factor(f) + `factor(z)` + (1|g)", "C(f)+`factor(z)`", ["(1 | g)"]),
    ],
)
def test_fixed_and_random_parts(formula: str, fixed: str, random: list[str]) -> None:
    spec = parse(formula)
    assert squeeze(spec.fixed) == fixed
    assert [str(term) for term in spec.random] == random


def test_grouping_columns_of_a_nested_term() -> None:
    assert [term.factors for term in parse("y ~ (1 | a/b/c)").random] == [
        ("c", "b", "a"),
        ("b", "a"),
        ("a",),
    ]


def test_offsets_are_taken_out() -> None:
    spec = parse("y ~ offset(z) + x + offset(log(t^2)) + (1 | g)")
    assert (spec.fixed.split(), spec.offsets) == (["x"], ("z", "log(t**2)"))


def test_a_name_that_ends_in_offset_is_not_an_offset() -> None:
    assert parse("y ~ my_offset + (1 | g)").offsets == ()


def test_response_may_be_an_expression() -> None:
    assert parse("log(y^2) ~ 1 + (1 | g)").response == "log(y**2)"


def test_without_random_terms_when_asked() -> None:
    assert parse("y ~ x", require_random=False).random == ()


@pytest.mark.parametrize(
    ("formula", "says"),
    [
        ("y + x", "no '~'"),
        ("y ~ x ~ z", "more than one '~'"),
        ("~ x + (1|g)", "no response"),
        ("y ~ ", "nothing after"),
        ("y ~ x", "mf.lm"),
        ("y ~ x + 1 | g", "parentheses"),
        ("y ~ x + (1 | g", "never closed"),
        ("y ~ x + (1 | g))", "closes nothing"),
        ("y ~ x + (1 | g]", "closes nothing"),
        ("y ~ `x + (1 | g)", "never closed"),
        ("y ~ ( | g)", "nothing before the bar"),
        ("y ~ (1 | )", "no grouping factor"),
        ("y ~ (1 ||| g)", "too many bars"),
        ("y ~ (1 | g | h)", "too many bars"),
        ("y ~ ((1 | g) | h)", "contains another one"),
        ("y ~ (x | g1 + g2)", r"\(x \| g1\) \+ \(x \| g2\)"),
        ("y ~ (1 | g[1])", "cannot read the grouping"),
        ("y ~ (1 | 3)", "cannot read the grouping"),
        ("y ~ (1 | log(g))", "cannot read the grouping"),
        ("y ~ (1 | g h)", "cannot read the grouping"),
        ("y ~ (1 | a*b*c)", "one by one"),
        ("y ~ x:(1 | g)", "can only be added with '\\+'"),
        ("y ~ x - (1 | g)", "can only be added with '\\+'"),
        ("y ~ offset() + (1 | g)", "offset\\(\\) is empty"),
        ("y ~ I(offset(z) + 1) + (1 | g)", "write it as a term of its own"),
        ("y ~ x + offset(log(offset(z))) + (1 | g)", "write it as a term of its own"),
        ("y ~ x + (1 + offset(z) | g)", "write it as a term of its own"),
        ("y ~ (1 | g) + (1 | g)", "occurs twice"),
        ("y ~ (1 | a/b) + (1 | a)", "occurs twice"),
    ],
)
def test_mistakes_are_named(formula: str, says: str) -> None:
    with pytest.raises(FormulaError, match=says):
        parse(formula)


def test_a_formula_is_a_string() -> None:
    with pytest.raises(FormulaError, match="int"):
        parse(3)  # type: ignore[arg-type]


def test_dot() -> None:
    assert expand_dot(".:z + I(x.y)", ("a", "b c")) == "(a + `b c`):z + I(x.y)"
    assert expand_dot("`.` + x", ("a",)) == "`.` + x"
    with pytest.raises(FormulaError, match="no other columns"):
        expand_dot(".", ())


names = st.from_regex(r"[a-z_][a-z0-9_]{0,4}(\.[a-z]{1,3})?", fullmatch=True) | st.text(
    alphabet="ab |()~+:/'\"[]{}^.", min_size=1, max_size=6
).filter(lambda text: text.strip() == text)


def written(name: str) -> str:
    return name if plain_name(name) else f"`{name}`"


@given(
    fixed=st.lists(names, min_size=1, max_size=4, unique=True),
    random=st.lists(
        st.tuples(names, names, st.booleans()), min_size=1, max_size=4, unique_by=lambda t: t[:2]
    ),
    data=st.data(),
)
def test_terms_come_apart_whatever_their_names_and_order(
    fixed: list[str], random: list[tuple[str, str, bool]], data: st.DataObject
) -> None:
    bars = [f"({written(x)} {'|' if c else '||'} {written(g)})" for x, g, c in random]
    order = data.draw(st.permutations([*map(written, fixed), *bars]))
    spec = parse("y ~ " + " + ".join(order))
    assert sorted(squeeze(part) for part in spec.fixed.split(" + ")) == sorted(
        squeeze(part) for name in fixed for part in written(name).split(" + ")
    )
    expected = [item for item in order if item in bars]
    found = [
        f"({t.expr} {'|' if t.correlated else '||'} {written(t.factors[0])})" for t in spec.random
    ]
    assert found == expected


@given(st.text(alphabet="y~x(1|g)+:/ `'*^-.{}[]", max_size=25))
def test_no_text_breaks_the_reader(text: str) -> None:
    """Either a spec comes back, or an error of ours; never another exception."""
    try:
        spec = parse(text)
    except FormulaError:
        return
    assert spec.random


@pytest.mark.parametrize(
    "formula", ["(a + b) ^ 40", "((a + b)^5)^5", "(a*b*c*d*e*f*g)**3", "x + (a + b + c + d)**19"]
)
def test_powers_that_would_never_end_are_refused(formula: str) -> None:
    with pytest.raises(FormulaError, match="too many interactions"):
        factors(formula)


@pytest.mark.parametrize(
    "formula",
    [
        "(a + b + c + d + e)^4",
        "I(x ** 40) + (a + b)^2",
        "a^50",
        "`(a + b)^40` + x",
        "(a+b)^2 + (c+d)^2",
    ],
)
def test_other_powers_are_not(formula: str) -> None:
    assert factors(formula)


def test_more_than_one_part_is_refused() -> None:
    with pytest.raises(FormulaError, match="more than one part"):
        factors("x + y ~ z")


@pytest.mark.parametrize(
    "formula",
    ["y ～ x + (1 | g)", "y ~ x − 1 + (1 | g)", "y ~ x\u200b + (1 | g)", "y ~ x + (1 ｜ g)"],
)
def test_characters_that_look_like_others_are_named(formula: str) -> None:
    with pytest.raises(FormulaError, match=r"write '|invisible character"):
        parse(formula)


def test_names_may_hold_any_letters_and_quotes_anything() -> None:
    spec = parse("größe ~ Δt + `a − b` + C(f, contr.treatment('x｜y')) + (1 | 学校)")
    assert spec.random[0].factors == ("学校",)
