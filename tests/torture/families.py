"""Models that are hard for a reason, a family for each reason.

A family is a function of a seed. Its docstring says what makes it hard and what it taught. `corpus`
lists all of them, and the shapes of `reported`.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import pandas as pd

import mixedfast as mf

__all__ = ["FAMILIES", "Case", "grouped", "respond", "slopes_of"]

Random = np.random.Generator


@dataclass(frozen=True, eq=False)
class Case:
    """One model: fit ``formula`` to ``data``.

    ``refused`` is the class of the error, when it must be an error.
    """

    name: str
    formula: str
    data: pd.DataFrame
    reml: bool = True
    refused: type[Exception] | None = None
    options: dict[str, Any] = field(default_factory=dict)

    def __str__(self) -> str:
        return self.name


def grouped(random: Random, J: int, size: int | None, k: int = 0) -> pd.DataFrame:
    """Rows in J groups of a size (or of 2 to 12), with k covariates x1, x2, ..."""
    sizes = np.full(J, size) if size else random.integers(2, 13, J)
    data = pd.DataFrame({"g": np.repeat(np.arange(J), sizes)})
    for j in range(k):
        data[f"x{j + 1}"] = random.normal(size=len(data))
    return data


def respond(random: Random, data: pd.DataFrame, L: np.ndarray, sigma: float = 1.0) -> pd.DataFrame:
    """Return a response with fixed effects of one and effects L u of (1, x1, ...) by g, L (k, r)."""
    k = len(L)
    Z = np.column_stack([np.ones(len(data)), *(data[f"x{j}"] for j in range(1, k))])
    b = random.normal(size=(data.g.max() + 1, L.shape[1])) @ L.T
    return data.assign(
        y=1.0
        + Z[:, 1:].sum(axis=1)
        + (Z * b[data.g]).sum(axis=1)
        + sigma * random.normal(size=len(data))
    )


def slopes_of(k: int, bar: str = "|") -> str:
    xs = " + ".join(f"x{j + 1}" for j in range(k))
    return f"y ~ 1 + {xs} + (1 + {xs} {bar} g)"


def near_singular(seed: int) -> Case:
    """Draw true correlations of 0.99 to 0.9999, or variances near zero.

    The optimum is near the boundary, or by chance on it.

    Taught: a certificate in units of the deviance; a gradient near zero says little where the
    surface is flat.
    """
    random = np.random.default_rng(1000 + seed)
    rho = 1.0 - 10.0 ** -random.uniform(2, 4)
    L = np.array([[1.0, 0.0], [rho, np.sqrt(1 - rho**2)]]) * (1.0 if seed % 2 else 0.1)
    data = respond(random, grouped(random, int(random.integers(8, 60)), None, 1), L)
    return Case("", slopes_of(1), data, seed % 3 != 0)


def exactly_singular(seed: int) -> Case:
    """Draw from a covariance of rank one or zero.

    Most optima are on the boundary, some at a stationary point that is not an optimum.

    Taught: theta = 0 is stationary whatever the data say, so the certificate looks along vv' out of
    the boundary too.
    """
    random = np.random.default_rng(2000 + seed)
    k = 1 + seed % 3
    L = np.zeros((k + 1, 1)) if seed % 4 == 0 else random.normal(size=(k + 1, 1))
    data = respond(random, grouped(random, int(random.integers(10, 40)), None, k), L)
    return Case("", slopes_of(k, "||" if seed % 5 == 0 else "|"), data, seed % 2 == 0)


def variance_ratios(seed: int) -> Case:
    """Draw standard deviations between groups of 1e-6 to 1e6 times the residual one.

    Taught: the start must follow the moments; theta is held inside 0.05 to 20 there, and Newton
    does the rest.
    """
    random = np.random.default_rng(3000 + seed)
    ratio = 10.0 ** (-6 + 12 * (seed % 25) / 24)
    data = respond(random, grouped(random, 30, None, 1), np.diag([ratio, np.sqrt(ratio)]))
    return Case("", slopes_of(1) if seed % 2 else "y ~ x1 + (1 | g)", data)


def scaling(seed: int) -> Case:
    """Columns in units twelve orders of magnitude apart, or far from zero.

    Taught: shift and scale before accumulating; the criterion must not notice the units.
    """
    random = np.random.default_rng(4000 + seed)
    data = respond(random, grouped(random, 25, 8, 2), np.diag([1.0, 0.5, 0.3]))
    power = 6.0 * (1.0 if seed % 2 else -1.0) * (0.5 + 0.5 * random.random())
    data["x1"] *= 10.0**power
    data["x2"] *= 10.0**-power
    if seed % 3 == 0:
        data["x1"] += 1e3 * data.x1.std()
    data["y"] = data.y * 10.0 ** random.integers(-6, 7) + (1e6 if seed % 4 == 0 else 0.0)
    return Case("", slopes_of(2), data, seed % 2 == 0)


def many_slopes(seed: int) -> Case:
    """Three to eight correlated slopes, up to 45 variance parameters, of full and of lower rank.

    Taught: with more variance parameters than the data can tell apart the optimum is singular in
    several directions at once.
    """
    random = np.random.default_rng(5000 + seed)
    k = 3 + seed % 6
    rank = k + 1 if seed % 2 else 2
    data = respond(
        random, grouped(random, 25 + 5 * k, 3 * k, k), random.normal(size=(k + 1, rank)) * 0.7
    )
    return Case("", slopes_of(k), data, seed % 4 != 0)


def two_a_group(seed: int) -> Case:
    """Draw two observations per group, with an intercept.

    Where some groups are larger, with a slope too.

    Taught: differences within pairs and sums of pairs estimate two variances, and there is nothing
    else to go by.
    """
    random = np.random.default_rng(6000 + seed)
    data = grouped(random, 40, 2, 1)
    slope = seed % 3 == 0
    if slope:
        data = pd.concat([data, grouped(random, 5, 3, 1)], ignore_index=True).sort_values(
            "g", ignore_index=True
        )
    data = respond(random, data, np.diag([1.0, 0.6 if slope else 0.0]) * (seed % 4))
    return Case("", "y ~ x1 + (x1 | g)" if slope else "y ~ x1 + (1 | g)", data, seed % 2 == 0)


def one_a_group(seed: int) -> Case:
    """One observation a group but for a few: the variance between groups rests on those few.

    With one each the model is not identified, and is refused by name.
    """
    random = np.random.default_rng(7000 + seed)
    data = grouped(random, 40, 1, 1)
    if seed % 5:
        data = pd.concat([data, data.head(1 + seed % 7)], ignore_index=True)
    data = respond(random, data.assign(x1=random.normal(size=len(data))), np.diag([2.0, 0.0]))
    return Case(
        "", "y ~ x1 + (1 | g)", data, seed % 2 == 0, None if seed % 5 else mf.NotIdentifiedError
    )


def confounded(seed: int) -> Case:
    """Draw two grouping factors that are the same, or almost.

    Only the sum of their variances is determined.

    Taught: the deviance is flat along a line of theta, and any point of it is an optimum.
    """
    random = np.random.default_rng(8000 + seed)
    data = respond(random, grouped(random, 25, 6, 1), np.diag([1.0, 0.0]))
    data["h"] = (data.g * 7) % 25
    if seed % 3 == 1:
        data.loc[data.index[:3], "h"] = 3
    formula = "y ~ x1 + (1 | g) + (1 | h)" if seed % 2 else "y ~ x1 + (x1 | g) + (1 | h)"
    return Case("", formula, data, seed % 4 != 0)


def disconnected(seed: int) -> Case:
    """Crossed factors in several islands that share no level.

    Taught: each island is factored by itself; fixed effects alone tie them together.
    """
    random = np.random.default_rng(9000 + seed)
    islands = 2 + seed % 4
    parts = []
    for island in range(islands):
        n = int(random.integers(15, 60))
        a, b = 10 * island + random.integers(0, 6, n), 10 * island + random.integers(0, 4, n)
        parts.append(pd.DataFrame({"a": a, "b": b, "x": random.normal(size=n)}))
    data = pd.concat(parts, ignore_index=True)
    u, v = random.normal(size=100), random.normal(size=100) * (seed % 3)
    data["y"] = data.x + u[data.a] + v[data.b] + random.normal(size=len(data))
    return Case(
        "",
        "y ~ x + (1 | a) + (1 | b)" if seed % 2 else "y ~ x + (x | a) + (1 | b)",
        data,
        seed % 3 != 0,
    )


def barely(seed: int) -> Case:
    """Hardly more rows than fixed effects.

    Taught: under ML the residual variance may run to zero with the variance between groups; under
    REML a handful of contrasts decides.
    """
    random = np.random.default_rng(10000 + seed)
    p = 5 + seed % 8
    n = p + 3 + seed % 5
    data = pd.DataFrame(random.normal(size=(n, p - 1)), columns=[f"x{j + 1}" for j in range(p - 1)])
    data["g"] = np.arange(n) % max(2, n // 3)
    data["y"] = random.normal(size=n) + random.normal(size=n)[data.g]
    return Case("", "y ~ " + " + ".join(f"x{j + 1}" for j in range(p - 1)) + " + (1 | g)", data)


def many_fixed(seed: int) -> Case:
    """Draw a fixed factor with hundreds of levels, or its interaction with a covariate.

    Once it has 1,000 levels.

    Taught: the dense part of the system is X's; its determinant is most of the REML criterion.
    """
    random = np.random.default_rng(11000 + seed)
    levels = 1000 if seed == 10 else 60 + 20 * seed
    n = levels * (3 if seed == 10 else 5)
    data = pd.DataFrame({"f": [f"f{i}" for i in np.arange(n) % levels], "x": random.normal(size=n)})
    data["g"] = random.integers(0, 40, n)
    data["y"] = (
        random.normal(size=levels)[np.arange(n) % levels]
        + 0.7 * random.normal(size=40)[data.g]
        + random.normal(size=n)
    )
    return Case(
        "", "y ~ f*x + (1 | g)" if seed % 4 == 0 else "y ~ f + x + (x | g)", data, seed % 2 == 0
    )


def duplicated(seed: int) -> Case:
    """Draw a column twice, a sum of others, a term on the same group twice, an empty cell.

    Taught: dependent columns of X are dropped and named; random terms that repeat each other are
    refused or flat.
    """
    random = np.random.default_rng(12000 + seed)
    data = respond(random, grouped(random, 20, 6, 2), np.diag([1.0, 0.5, 0.0]))
    data["twice"], data["total"] = 2 * data.x1, data.x1 + data.x2
    data["f"] = np.where(data.g % 2, "u", "v")
    data["g2"] = data.g.astype(str)
    kinds: list[tuple[str, type[Exception] | None]] = [
        ("y ~ x1 + twice + x2 + total + (1 | g)", None),
        ("y ~ x1 + x2 + (1 | g) + (0 + x1 | g)", None),
        ("y ~ x1 + f + (1 | g) + (1 | g2)", None),
        ("y ~ f*x1 + C(g) + (1 | f)", None),
        ("y ~ x1 + (1 | g) + (1 | g)", mf.FormulaError),
        ("y ~ x1 + (x1 + twice | g)", mf.NotIdentifiedError),
    ]
    formula, refused = kinds[seed % len(kinds)]
    return Case("", formula, data, seed % 2 == 0, refused)


def constant(seed: int) -> Case:
    """Draw a response that is constant or reproduced by the fixed effects.

    Nothing is left to estimate, and an error says so.

    Nearly so is a model like any other.
    """
    random = np.random.default_rng(13000 + seed)
    data = grouped(random, 15, 5, 1)
    value = [0.0, 1.0, 1e6, -3.3][seed % 4]
    data["y"] = value + (data.x1 if seed % 3 == 1 else 0.0)
    refused: type[Exception] | None = mf.NotIdentifiedError
    if seed % 3 == 2:
        data["y"] += 1e-5 * random.normal(size=len(data)) * max(abs(value), 1.0)
        refused = None
    return Case("", "y ~ x1 + (1 | g)", data, seed % 2 == 0, refused)


def exact_groups(seed: int) -> Case:
    """Draw a response that is constant within groups, or nearly so.

    The variance ratio tends to infinity.

    Taught: with no residual left there is no finite optimum; the search must end and say so in
    plain words.
    """
    random = np.random.default_rng(14000 + seed)
    data = grouped(random, 12, 5, 1)
    data["y"] = random.normal(size=12)[data.g] + 10.0 ** -(2 + seed % 5) * random.normal(
        size=len(data)
    )
    return Case("", "y ~ 1 + (1 | g)" if seed % 2 else "y ~ x1 + (1 | g)", data, seed % 3 != 0)


def lopsided(seed: int) -> Case:
    """One group holds nearly all rows, levels appear once, covariates vary in one group only.

    Taught: what one group says about a slope is all there is.
    """
    random = np.random.default_rng(15000 + seed)
    J = 12
    codes = np.concatenate([np.zeros(200, dtype=int), np.arange(1, J), random.integers(1, J, 6)])
    data = pd.DataFrame({"g": codes, "x1": random.normal(size=len(codes))})
    if seed % 3 == 0:
        data.loc[data.g > 3, "x1"] = 0.5
    data = respond(random, data, np.diag([1.0, 0.5]))
    return Case("", "y ~ x1 + (x1 | g)" if seed % 2 else "y ~ x1 + (1 | g)", data, seed % 4 != 0)


#: Seeds of `lopsided` whose likelihood has two optima that differ.
TWO_OPTIMA = (107,)


def two_optima(seed: int) -> Case:
    """Draw a lopsided design whose likelihood has two interior optima, 0.003 apart.

    Taught: where one group holds nearly all rows the start from moments is that group's, and a
    second start is worth its milliseconds.
    """
    return lopsided(TWO_OPTIMA[seed])


def outliers(seed: int) -> Case:
    """Draw a response with Cauchy errors or effects: one number outweighs all others.

    Taught: several local optima are possible; the moment start and theta = 1 must not end in
    different ones unnoticed.
    """
    random = np.random.default_rng(16000 + seed)
    data = respond(random, grouped(random, 20, 6, 1), np.diag([1.0, 0.5]))
    noise = random.standard_cauchy(len(data)) if seed % 2 else random.standard_cauchy(20)[data.g]
    data["y"] += noise
    return Case("", slopes_of(1), data, seed % 3 != 0)


def weighted(seed: int) -> Case:
    """Weights spread over up to twelve orders of magnitude.

    Taught: a few rows decide everything, and the rest must not drown them in rounding.
    """
    random = np.random.default_rng(17000 + seed)
    data = respond(random, grouped(random, 20, 8, 1), np.diag([1.0, 0.4]))
    data["w"] = 10.0 ** random.uniform(-1, 1, len(data)) ** (1 + 2 * (seed % 3)) * 10.0 ** float(
        random.integers(-6, 7)
    )
    return Case("", slopes_of(1), data, seed % 2 == 0, options={"weights": "w"})


def slopes_nearly_alike(seed: int) -> Case:
    """Two to four slopes whose columns agree to two, three or four digits.

    Taught: the more alike the columns, the longer and narrower the likelihood's valley. At five
    digits a search may end at its limit, and says so; one column and a difference from it say the
    same and are no trouble.
    """
    random = np.random.default_rng(23000 + seed)
    k = 2 + seed % 3
    data = grouped(random, 40, 9, k)
    shared = random.normal(size=len(data))
    for j in range(k):
        data[f"x{j + 1}"] = shared + 10.0 ** -(2 + seed % 3) * data[f"x{j + 1}"]
    L = np.diag(0.5 * (random.random(k + 1) < 0.6))
    L[1:, 1] += 0.4
    return Case(
        "", slopes_of(k, "||" if seed % 4 == 0 else "|"), respond(random, data, L), seed % 2 == 0
    )


def shares_of_a_whole(seed: int) -> Case:
    """Draw slopes of shares that add up to the intercept, such as hours of a day.

    One direction of the effects is never observed.

    Taught: what the data do not tell, the likelihood leaves flat or at zero; a certificate must
    hold on a face as well.
    """
    random = np.random.default_rng(23100 + seed)
    data = grouped(random, 30, None)
    data[["x1", "x2", "x3"]] = random.dirichlet(np.ones(3), len(data))
    data["y"] = data.x1 + random.normal(size=30)[data.g] + data.x2 * random.normal(size=30)[data.g]
    data["y"] += 0.5 * random.normal(size=len(data))
    formula = (
        "y ~ 0 + x1 + x2 + x3 + (1 + x1 + x2 + x3 | g)"
        if seed % 2
        else "y ~ x1 + x2 + (1 + x1 + x2 + x3 || g)"
    )
    return Case("", formula, data, seed % 3 != 0)


def weights_of_a_heavy_tail(seed: int) -> Case:
    """Lognormal weights that a few rows have nearly all of, with two slopes.

    Taught: sums of rows err by more than a unit in their last place. Where 6e-7 of y'y was left,
    two searches ended in the same theta and 1.5e-6 apart; rows are read once more sixteen times
    earlier now.
    """
    random = np.random.default_rng(9200 + seed)
    data = respond(
        random,
        grouped(random, 30, None, 2),
        np.diag([1.0, 0.5, 0.3]) * (random.random(3) < 0.8)[:, None],
    )
    data["w"] = np.exp((2 + seed % 6) * random.normal(size=len(data)))
    return Case("", slopes_of(2), data, seed % 2 == 0, options={"weights": "w"})


def slopes_that_few_groups_show(seed: int) -> Case:
    """Two rows a group, and a covariate that is zero in most of them.

    Taught: a slope that three groups in ten show is a model like any other, whatever the noise.
    """
    random = np.random.default_rng(23300 + seed)
    g = np.repeat(np.arange(60), 2)
    data = pd.DataFrame(
        {"g": g, "x1": np.where(random.random(120) < 0.3, random.normal(size=120), 0.0)}
    )
    data["h"] = random.integers(0, 7, 120)
    data["y"] = (
        1.0
        + data.x1
        + (seed % 3) * random.normal(size=60)[g]
        + (seed % 2) * data.x1 * random.normal(size=60)[g]
    )
    data["y"] += 10.0 ** -(seed % 4) * random.normal(size=120)
    formulas = ("y ~ x1 + (1 | g) + (x1 | h)", "y ~ x1 + (0 + x1 | g) + (1 | h)")
    return Case("", formulas[seed % 2], data, seed % 3 != 0)


def nearly_one_factor(seed: int) -> Case:
    """Two factors that differ in a few rows in a hundred.

    Taught: those rows alone tell the two variances apart, and one of them often ends at zero.
    """
    random = np.random.default_rng(23400 + seed)
    g = random.integers(0, 50, 150)
    h = np.where(random.random(150) < 0.02 * (1 + seed % 4), random.integers(0, 50, 150), g)
    data = pd.DataFrame({"g": g, "h": h, "x1": random.normal(size=150)})
    data["y"] = (
        data.x1
        + random.normal(size=50)[g]
        + (seed % 3) * random.normal(size=50)[h]
        + 0.3 * random.normal(size=150)
    )
    return Case(
        "",
        "y ~ x1 + (1 | g) + (1 | h)" if seed % 2 else "y ~ x1 + (x1 | g) + (1 | h)",
        data,
        seed % 3 != 0,
    )


COLLECTED = (
    ("sleepstudy", "Reaction ~ Days + (Days | Subject)"),
    ("sleepstudy", "Reaction ~ Days + (Days || Subject)"),
    ("sleepstudy", "Reaction ~ Days + I(Days**2) + (Days + I(Days**2) | Subject)"),
    ("dyestuff", "Yield ~ 1 + (1 | Batch)"),
    ("dyestuff2", "Yield ~ 1 + (1 | Batch)"),
    ("penicillin", "diameter ~ 1 + (1 | plate) + (1 | sample)"),
    ("pastes", "strength ~ 1 + (1 | batch/cask)"),
    ("cake", "angle ~ recipe * temperature + (1 | recipe:replicate)"),
    ("cake", "angle ~ recipe * temperature + (1 | replicate/recipe)"),
    ("hsb", "math ~ ses + (ses | school)"),
    ("hsb", "math ~ ses*sex + (ses*sex | school)"),
)


def collected(seed: int) -> Case:
    """Fit the data sets of textbooks, with random parts up to those that break other programs."""
    name, formula = COLLECTED[seed // 2]
    return Case("", formula, mf.load_dataset(name), seed % 2 == 0)


FAMILIES: dict[Callable[[int], Case], int] = {
    near_singular: 25,
    exactly_singular: 25,
    variance_ratios: 25,
    scaling: 25,
    many_slopes: 18,
    two_a_group: 20,
    one_a_group: 20,
    confounded: 18,
    disconnected: 20,
    barely: 25,
    many_fixed: 12,
    duplicated: 12,
    constant: 12,
    exact_groups: 15,
    lopsided: 24,
    two_optima: len(TWO_OPTIMA),
    outliers: 20,
    weighted: 18,
    collected: 2 * len(COLLECTED),
    slopes_nearly_alike: 18,
    shares_of_a_whole: 12,
    weights_of_a_heavy_tail: 18,
    slopes_that_few_groups_show: 12,
    nearly_one_factor: 12,
}
