"""Two reasons at once, and numbers at the edge of what a double holds.

A family is a function of a seed, as in `families`. Its docstring says what makes it hard and, where
it taught something, what.
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pandas as pd
from families import Case, Random, grouped, respond, slopes_of

import mixedfast as mf

__all__ = ["COMBINED"]


def effects(random: Random, codes: pd.Series, sd: float) -> np.ndarray:
    """Return an effect for each row, by its code."""
    return sd * random.normal(size=int(codes.max()) + 1)[codes]


def crossed(random: Random, n: int, **levels: int) -> pd.DataFrame:
    """Rows with a code of each factor drawn at random, and two covariates."""
    data = pd.DataFrame({name: random.integers(0, size, n) for name, size in levels.items()})
    data["x1"], data["x2"] = random.normal(size=(2, n))
    return data


def nested_crossed_sloped(seed: int) -> Case:
    """Draw rooms in schools, raters across them, and slopes on two levels.

    One of the four variances is zero.
    """
    random = np.random.default_rng(30000 + seed)
    data = pd.DataFrame({"school": np.repeat(np.arange(12), 30)})
    data["room"] = np.arange(len(data)) // 6
    data["rater"] = random.integers(0, 9, len(data))
    data["x1"] = random.normal(size=len(data))
    sd = np.where(np.arange(4) == seed % 4, 0.0, [1.0, 0.7, 0.8, 0.4])
    data["y"] = data.x1 * (1.0 + effects(random, data.school, sd[3])) + random.normal(
        size=len(data)
    )
    for name, own in zip(("school", "room", "rater"), sd, strict=False):
        data["y"] += effects(random, data[name], own)
    formulas = (
        "y ~ x1 + (x1 | school/room) + (1 | rater)",
        "y ~ x1 + (x1 | school) + (1 | room) + (x1 | rater)",
    )
    return Case("", formulas[seed // 4 % 2], data, seed % 3 != 0)


def one_correlation_of_one(seed: int) -> Case:
    """Two terms with slopes, and the correlation in one of them is 1 or -1."""
    random = np.random.default_rng(30100 + seed)
    data = crossed(random, 400, g=25, h=18)
    b = random.normal(size=25)[data.g]
    sign = 1.0 if seed % 2 else -1.0
    data["y"] = (
        b
        + sign * 0.6 * b * data.x1
        + effects(random, data.h, 0.8)
        + effects(random, data.h, 0.5) * data.x2
    )
    data["y"] += random.normal(size=400)
    return Case("", "y ~ x1 + x2 + (x1 | g) + (x2 | h)", data, seed % 3 != 0)


def eight_slopes_of_low_rank(seed: int) -> Case:
    """Eight slopes in sixty groups whose effects have rank one or three."""
    random = np.random.default_rng(30200 + seed)
    L = random.normal(size=(9, 1 if seed % 2 else 3)) * 0.5
    return Case("", slopes_of(8), respond(random, grouped(random, 60, 12, 8), L), seed % 3 != 0)


def crossed_weights(seed: int) -> Case:
    """Weights over twelve orders of magnitude where two factors cross."""
    random = np.random.default_rng(30300 + seed)
    data = crossed(random, 300, g=25, h=10)
    data["w"] = 10.0 ** random.uniform(-6, 6, 300)
    data["y"] = data.x1 + effects(random, data.g, 1.0) + effects(random, data.h, 0.5)
    data["y"] += random.normal(size=300) / np.sqrt(data.w)
    formula = "y ~ x1 + (x1 | g) + (1 | h)" if seed % 2 else "y ~ x1 + (1 | g) + (1 | h)"
    return Case("", formula, data, seed % 3 != 0, options={"weights": "w"})


def far_responses(seed: int) -> Case:
    """Draw a response near 1e9 whose spread is one, with and without an intercept."""
    random = np.random.default_rng(30400 + seed)
    data = respond(random, grouped(random, 20, None, 1), np.diag([1.0, 0.5]))
    data["y"] += 1e9 * (-1.0 if seed % 2 else 1.0)
    data["f"] = np.where(random.random(len(data)) < 0.5, "a", "b")
    formulas = ("y ~ x1 + (x1 | g)", "y ~ 0 + f + x1 + (x1 | g)", "y ~ f*x1 + (1 | g)")
    return Case("", formulas[seed % 3], data, seed % 4 < 2)


def one_row_more(seed: int) -> Case:
    """One or two rows more than fixed effects: one or two contrasts say all there is to say."""
    random = np.random.default_rng(30500 + seed)
    p = 4 + seed % 5
    n = p + 1 + seed % 2
    data = pd.DataFrame(random.normal(size=(n, p - 1)), columns=[f"x{j + 1}" for j in range(p - 1)])
    data["g"] = np.arange(n) % 3
    data["y"] = random.normal(size=n) + random.normal(size=n)[data.g]
    return Case("", "y ~ " + " + ".join(f"x{j + 1}" for j in range(p - 1)) + " + (1 | g)", data)


def single_rows_with_slopes(seed: int) -> Case:
    """Most groups have one row and a slope of their own all the same."""
    random = np.random.default_rng(30600 + seed)
    sizes = np.r_[np.ones(40, int), np.full(10, 9)]
    data = pd.DataFrame({"g": np.repeat(np.arange(50), sizes)})
    data["x1"] = random.normal(size=len(data))
    L = np.array([[1.0, 0.0], [0.3, 0.6]]) * (seed % 3 > 0)
    return Case(
        "", slopes_of(1, "||" if seed % 4 == 3 else "|"), respond(random, data, L), seed % 2 == 0
    )


def one_partition_with_slopes(seed: int) -> Case:
    """Slopes by one partition under two names, correlated in both, in one, or in neither."""
    random = np.random.default_rng(30700 + seed)
    data = respond(random, grouped(random, 25, 6, 1), np.array([[1.0, 0.0], [0.4, 0.5]]))
    data["h"] = [f"level {i}" for i in (data.g * 3) % 25]
    formulas = (
        "y ~ x1 + (x1 | g) + (x1 | h)",
        "y ~ x1 + (x1 || g) + (x1 | h)",
        "y ~ x1 + (x1 | g) + (1 | g:h)",
        "y ~ x1 + (1 | g/h) + (0 + x1 | h)",
    )
    return Case("", formulas[seed % 4], data, seed % 3 != 0)


def empty_cells(seed: int) -> Case:
    """Interactions of grouping factors and of fixed factors with cells that no row is in."""
    random = np.random.default_rng(30800 + seed)
    data = crossed(random, 120, a=12, b=9)
    data = data[(data.a + data.b) % 3 != 0].reset_index(drop=True)
    data["f"], data["k"] = "f" + (data.a % 3).astype(str), "k" + (data.b % 4).astype(str)
    data = data[~((data.f == "f1") & (data.k == "k2"))].reset_index(drop=True)
    data["y"] = (
        data.x1
        + effects(random, data.a, 1.0)
        + effects(random, data.b, seed % 3 / 2)
        + random.normal(size=len(data))
    )
    formulas = (
        "y ~ f*k + x1 + (1 | a) + (1 | b) + (1 | a:b)",
        "y ~ f:k + (x1 | a:f) + (1 | b)",
        "y ~ f*k + (1 | a/b)",
    )
    return Case("", formulas[seed % 3], data, seed % 2 == 0)


def categories_as_slopes(seed: int) -> Case:
    """Draw a category as a random slope, where groups lack some of its levels.

    Coded by contrasts, and as one effect per level.
    """
    random = np.random.default_rng(30900 + seed)
    data = grouped(random, 30, 9, 1)
    k = 2 + seed % 3
    codes = random.integers(0, k + 1, len(data))
    codes = np.where((data.g % 3 == 0) & (codes == k), 0, codes)
    data["f"] = np.array(list("abcde"))[codes]
    b = random.normal(size=(30, k + 1)) * (1.0 if seed % 2 else [0.0, *np.ones(k)])
    data["y"] = (
        b[data.g, codes] + effects(random, data.g, 0.5) + 0.7 * random.normal(size=len(data))
    )
    return Case("", f"y ~ f + ({'0 + ' if seed // 2 % 2 else ''}f | g)", data, seed % 3 != 0)


def a_slope_twice(seed: int) -> Case:
    """One slope in two terms on one factor, alone and beside an intercept, only splits a variance.

    The same term twice is refused.
    """
    random = np.random.default_rng(31000 + seed)
    data = respond(random, grouped(random, 25, 8, 2), np.diag([1.0, 0.5, 0.4]))
    kinds: list[tuple[str, type[Exception] | None]] = [
        ("y ~ x1 + (1 | g) + (0 + x1 | g) + (0 + x1 | g)", mf.FormulaError),
        ("y ~ x1 + (x1 | g) + (0 + x1 | g)", None),
        ("y ~ x1 + x2 + (x1 | g) + (x2 | g)", None),
        ("y ~ x1 + x2 + (1 | g) + (0 + x1 + x2 | g)", None),
    ]
    formula, refused = kinds[seed % 4]
    return Case("", formula, data, seed % 3 != 0, refused)


def years_and_their_powers(seed: int) -> Case:
    """Draw raw powers of the years 2000 to 2026 among the fixed effects and the slopes.

    After a shift the square is still all but a multiple of the year, and the cube agrees with both
    to five digits.
    """
    random = np.random.default_rng(31100 + seed)
    data = grouped(random, 24, 27)
    data["t"] = 2000.0 + np.tile(np.arange(27), 24)
    s = (data.t - 2013.0) / 8.0
    b = random.normal(size=(24, 4)) * [1.0, 0.6, 0.5, 0.3]
    data["y"] = (
        5.0 + s + sum(b[data.g, j] * s**j for j in range(4)) + 0.5 * random.normal(size=len(data))
    )
    formulas = (
        "y ~ t + I(t**2) + (t + I(t**2) | g)",
        "y ~ t + I(t**2) + I(t**3) + (t | g)",
        "y ~ t + I(t**2) + I(t**3) + (t + I(t**2) + I(t**3) | g)",
    )
    return Case("", formulas[seed % 3], data, seed % 2 == 0)


def seconds_of_a_day(seed: int) -> Case:
    """Seconds since 1970 within one day, and their squares, as slopes."""
    random = np.random.default_rng(31200 + seed)
    data = grouped(random, 25, 12)
    hour = np.tile(np.arange(12.0), 25)
    data["t"] = 1.7e9 + 3600.0 * hour
    s = (hour - 5.5) / 3.5
    b = random.normal(size=(25, 3)) * [1.0, 0.5, 0.4]
    data["y"] = s + sum(b[data.g, j] * s**j for j in range(3)) + 0.7 * random.normal(size=len(data))
    formulas = (
        "y ~ t + (t | g)",
        "y ~ t + I(t**2) + (t | g)",
        "y ~ t + I(t**2) + (t + I(t**2) | g)",
    )
    return Case("", formulas[seed % 3], data, seed % 4 < 2)


def constant_in_crossed_cells(seed: int) -> Case:
    """Draw a response that is constant by group but for noise of 1e-3 or less.

    A second factor or a slope comes with it.
    """
    random = np.random.default_rng(31300 + seed)
    data = crossed(random, 150, g=15, h=6)
    data["y"] = effects(random, data.g, 1.0) + 10.0 ** -(3 + seed % 2) * random.normal(size=150)
    return Case(
        "", "y ~ x1 + (1 | g) + (1 | h)" if seed % 2 else "y ~ x1 + (x1 | g)", data, seed % 3 != 0
    )


def reproduced(seed: int) -> Case:
    """Draw a response that the random effects reproduce to the last digit.

    The residual variance tends to zero, and the fit says so.
    """
    random = np.random.default_rng(31400 + seed)
    data = grouped(random, 20, 6, 1)
    b = random.normal(size=(20, 2)) * [1.0, seed % 2]
    data["y"] = 2.0 + data.x1 + b[data.g, 0] + b[data.g, 1] * data.x1
    return Case("", "y ~ x1 + (x1 | g)" if seed % 2 else "y ~ x1 + (1 | g)", data, seed % 3 != 0)


def two_kinds_of_groups(seed: int) -> Case:
    """Draw a few large groups that differ much and many small ones that do not.

    Both kinds suggest different values of the one variance.
    """
    random = np.random.default_rng(31500 + seed)
    sizes = np.r_[np.full(3, 80), np.full(30 + seed, 3)]
    data = pd.DataFrame({"g": np.repeat(np.arange(len(sizes)), sizes)})
    data["x1"] = random.normal(size=len(data))
    b = np.r_[[-12.0, 0.0, 12.0], np.zeros(30 + seed)]
    slope = np.r_[np.zeros(3), 1.5 * random.normal(size=30 + seed)] * (seed % 2)
    data["y"] = b[data.g] + slope[data.g] * data.x1 + random.normal(size=len(data))
    return Case("", "y ~ x1 + (x1 | g)", data, seed % 3 != 0)


def one_number_wrong(seed: int) -> Case:
    """Draw a typing error of 1e8 in the response or in the covariate of a slope."""
    random = np.random.default_rng(31600 + seed)
    data = respond(random, grouped(random, 20, 8, 1), np.diag([1.0, 0.5]))
    data.loc[17, "y" if seed % 2 else "x1"] = 1e8
    return Case(
        "", "y ~ x1 + (x1 | g)" if seed % 4 < 2 else "y ~ x1 + (1 | g)", data, seed % 3 != 0
    )


def whole_numbers_of_53_bits(seed: int) -> Case:
    """Whole numbers just below 2**53, as response, covariate or name of a group."""
    random = np.random.default_rng(31700 + seed)
    data = respond(random, grouped(random, 20, 8, 1), np.diag([1.0, 0.5]))
    large = 2**53 - 4096
    if seed % 3 == 0:
        data["y"] = large + np.round(100 * data.y).astype(np.int64)
    elif seed % 3 == 1:
        data["x1"] = large + np.round(500 * data.x1).astype(np.int64)
    else:
        data["g"] = large + data.g
    return Case("", slopes_of(1), data, seed % 2 == 0)


def rare_dummies(seed: int) -> Case:
    """Draw a dummy that is one in three rows, as fixed effect and as slope."""
    random = np.random.default_rng(31800 + seed)
    data = grouped(random, 20, 6)
    data["x1"] = 0.0
    data.loc[random.choice(len(data), 3 + seed % 3, replace=False), "x1"] = 1.0
    data = respond(random, data, np.diag([1.0, float(seed % 2)]))
    return Case("", slopes_of(1, "||" if seed % 4 == 3 else "|"), data, seed % 3 != 0)


def dummies_for_the_intercept(seed: int) -> Case:
    """Draw two dummies that add up to the intercept, as random effects with and without it."""
    random = np.random.default_rng(31900 + seed)
    data = grouped(random, 30, 8, 1)
    data["d1"] = (random.random(len(data)) < 0.5).astype(float)
    data["d2"] = 1.0 - data.d1
    b = random.normal(size=(30, 2)) @ np.array([[1.0, 0.8], [0.0, 0.3]])
    data["y"] = (
        data.x1
        + np.where(data.d1 == 1.0, b[data.g, 0], b[data.g, 1])
        + random.normal(size=len(data))
    )
    formulas = (
        "y ~ x1 + d1 + (0 + d1 + d2 | g)",
        "y ~ x1 + d1 + (d1 + d2 | g)",
        "y ~ x1 + d1 + (1 | g) + (0 + d1 + d2 || g)",
    )
    return Case("", formulas[seed % 3], data, seed % 2 == 0)


def slopes_of_products(seed: int) -> Case:
    """Slopes of a product whose one side is constant within groups, with both main effects."""
    random = np.random.default_rng(32000 + seed)
    data = grouped(random, 40, 8, 1)
    data["x2"] = random.normal(size=40)[data.g]
    b = random.normal(size=(40, 2)) * [1.0, 0.5]
    data["y"] = (
        data.x1 * data.x2
        + b[data.g, 0]
        + b[data.g, 1] * data.x1 * data.x2
        + random.normal(size=len(data))
    )
    formulas = (
        "y ~ x1*x2 + (x1 + x1:x2 | g)",
        "y ~ x1*x2 + (x1*x2 | g)",
        "y ~ x1*x2 + (1 | g) + (0 + x1:x2 | g)",
    )
    return Case("", formulas[seed % 3], data, seed % 4 < 2)


def two_or_three_groups(seed: int) -> Case:
    """Slopes that vary over two or three groups: correlations of one, with next to no evidence."""
    random = np.random.default_rng(32100 + seed)
    data = respond(random, grouped(random, 2 + seed % 2, 20, 1), np.diag([1.0, 0.5]))
    data["h"] = random.integers(0, 2, len(data))
    return Case(
        "",
        "y ~ x1 + (x1 | g) + (1 | h)" if seed // 2 % 2 else "y ~ x1 + (x1 | g)",
        data,
        seed % 3 != 0,
    )


def five_factors_of_few_levels(seed: int) -> Case:
    """Five crossed factors with two to four levels each, some without any variance."""
    random = np.random.default_rng(32200 + seed)
    data = crossed(random, 200, a=2, b=3, c=4, d=3, e=2)
    data["y"] = data.x1 + sum(
        effects(random, data[name], (seed + i) % 3 / 2) for i, name in enumerate("abcde")
    )
    data["y"] += random.normal(size=200)
    return Case("", "y ~ x1 + (1 | a) + (1 | b) + (1 | c) + (1 | d) + (1 | e)", data, seed % 2 == 0)


def tiny_and_huge_units(seed: int) -> Case:
    """Responses in units of 1e-60 and 1e60, beside covariates in units of 1e-30 and 1e30."""
    random = np.random.default_rng(32300 + seed)
    data = respond(random, grouped(random, 25, 8, 2), np.diag([1.0, 0.5, 0.3]))
    data["y"] *= 1e60 if seed % 2 else 1e-60
    data["x1"] *= 1e30 if seed % 4 < 2 else 1e-30
    return Case("", slopes_of(2, "||" if seed % 3 == 2 else "|"), data, seed % 3 != 0)


def random_walks(seed: int) -> Case:
    """Draw residuals that are random walks within groups.

    Slopes and their squares take up what they can.
    """
    random = np.random.default_rng(32400 + seed)
    data = grouped(random, 20, 25)
    data["t"] = np.tile(np.arange(25.0), 20)
    data["y"] = random.normal(size=(20, 25)).cumsum(axis=1).ravel()
    formulas = (
        "y ~ t + (t | g)",
        "y ~ t + (t + I(t**2) | g)",
        "y ~ t + (t + I(t**2) + I(t**3) | g)",
    )
    return Case("", formulas[seed % 3], data, seed % 2 == 0)


def slopes_alike_to_five_digits(seed: int) -> Case:
    """Two or three slopes whose columns agree to five digits, their whole covariance estimated."""
    random = np.random.default_rng(32500 + seed)
    k = 2 + seed % 2
    data = grouped(random, 40, 9, k)
    shared = random.normal(size=len(data))
    own = data[[f"x{j + 1}" for j in range(k)]].to_numpy()
    for j in range(k):
        data[f"x{j + 1}"] = shared + 1e-5 * own[:, j]
    b = random.normal(size=(40, k)) * 0.5 * (seed % 3 > 0)
    data["y"] = shared * (1.0 + effects(random, data.g, 0.4)) + (own * b[data.g]).sum(axis=1)
    data["y"] += effects(random, data.g, 0.5) + random.normal(size=len(data))
    return Case("", slopes_of(k), data, seed % 2 == 0)


COMBINED: dict[Callable[[int], Case], int] = {
    nested_crossed_sloped: 8,
    one_correlation_of_one: 4,
    eight_slopes_of_low_rank: 4,
    crossed_weights: 4,
    far_responses: 6,
    one_row_more: 6,
    single_rows_with_slopes: 4,
    one_partition_with_slopes: 8,
    empty_cells: 6,
    categories_as_slopes: 8,
    a_slope_twice: 8,
    years_and_their_powers: 6,
    seconds_of_a_day: 6,
    constant_in_crossed_cells: 4,
    reproduced: 4,
    two_kinds_of_groups: 8,
    one_number_wrong: 8,
    whole_numbers_of_53_bits: 6,
    rare_dummies: 6,
    dummies_for_the_intercept: 6,
    slopes_of_products: 6,
    two_or_three_groups: 8,
    five_factors_of_few_levels: 4,
    tiny_and_huge_units: 6,
    random_walks: 6,
    slopes_alike_to_five_digits: 8,
}
