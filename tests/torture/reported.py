"""Shapes that users of other programs complained of, rebuilt by generators of our own.

A family is a function of a seed, as in `families`. Its docstring says what the shape is, where it
was reported (the tracker of a project and a number), and what it asks of a fit. Their data are not
ours to copy, and are not here.
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pandas as pd
from families import Case, grouped, respond, slopes_of

import mixedfast as mf

__all__ = ["REPORTED"]


def repeated_readings(seed: int) -> Case:
    """Draw animals in areas, measured several times with hardly a difference.

    The residual variance is a millionth of the others.

    lme4 489: "Downdated VtV is not positive definite", then max|grad| = 0.75 and "very large
    eigenvalue". The residual sum of squares is a difference of sums a trillion times larger.
    """
    random = np.random.default_rng(20000 + seed)
    animals = np.arange(30 + seed)
    data = pd.DataFrame({"animal": np.repeat(animals, 3)})
    data["area"] = data.animal % 6
    data["spm"] = (
        random.normal(size=len(data)) if seed % 2 else random.normal(size=len(animals))[data.animal]
    )
    noise = 10.0 ** -(3 + seed % 4) * random.normal(size=len(data))
    data["y"] = (
        0.3 * data.spm
        + random.normal(size=6)[data.area]
        + random.normal(size=len(animals))[data.animal]
        + noise
    )
    return Case("", "y ~ spm + (1 | area/animal)", data, seed % 3 != 0)


def hertz(seed: int) -> Case:
    """Draw a covariate in Hz, near 1e9, with random slopes in few groups.

    A second factor is crossed with the groups.

    lme4 173: works after a division by 1e6. The criterion must not notice the unit.
    """
    random = np.random.default_rng(20100 + seed)
    benchmark, processor = (
        part.ravel() for part in np.meshgrid(np.arange(8), np.arange(5 + seed % 3))
    )
    data = pd.DataFrame({"benchmark": benchmark, "processor": processor}).loc[
        lambda d: d.index.repeat(4)
    ]
    step = np.tile(np.arange(4), len(benchmark))
    data["frequency"] = 1e9 * (0.8 + 0.4 * step)
    slope = 1.0 + 0.3 * random.normal(size=10)[data.processor]
    data["y"] = (
        2.0
        + slope * step
        + random.normal(size=8)[data.benchmark]
        + 0.2 * random.normal(size=len(data))
    )
    bar = "||" if seed % 4 == 3 else "|"
    formula = f"y ~ frequency + (1 | benchmark) + (frequency {bar} processor)"
    return Case("", formula, data.reset_index(drop=True), seed % 2 == 0)


def more_effects_than_rows(seed: int) -> Case:
    """Draw as many random effects as rows, or more, in crossed factors.

    No factor has a level for every row.

    lme4 214: q = n, too many warnings. The model is identified all the same: what counts is the
    covariances.
    """
    random = np.random.default_rng(20200 + seed)
    n = 60
    data = pd.DataFrame(
        {
            "a": np.arange(n) // 2,
            "b": random.permutation(n) // (2 + seed % 2),
            "x": random.normal(size=n),
        }
    )
    data["a"] = data.a if seed % 2 else data.a // 2
    data["y"] = (
        data.x
        + random.normal(size=n)[data.a]
        + random.normal(size=n)[data.b]
        + random.normal(size=n)
    )
    formula = "y ~ x + (1 | a) + (1 | b)" if seed % 2 else "y ~ x + (x || a) + (1 | b)"
    return Case("", formula, data, seed % 3 != 0)


def maximal(seed: int) -> Case:
    """Draw data for the maximal model of a 2 x 2 experiment with crossed subjects and items.

    The true covariances are far simpler.

    lmerTest 37: 22 of 24 such models singular; MixedModels.jl 220. Twenty covariance parameters,
    most of them not there.
    """
    random = np.random.default_rng(20300 + seed)
    subjects, items = 16 + 2 * (seed % 4), 12
    s, i = (part.ravel() for part in np.meshgrid(np.arange(subjects), np.arange(items)))
    data = pd.DataFrame({"s": s, "i": i})
    data["a"], data["b"] = (s + i) % 2 - 0.5, (s + i) // 2 % 2 - 0.5
    data = data[random.random(len(data)) > 0.05].reset_index(drop=True)
    effect = random.normal(size=subjects)[data.s] + 0.5 * random.normal(size=items)[data.i]
    if seed % 2:
        effect += 0.4 * random.normal(size=subjects)[data.s] * data.a
    data["y"] = effect + 0.3 * data.a + random.normal(size=len(data))
    formula = "y ~ a*b + (a*b | s) + (1 | i)" if seed % 3 else "y ~ a*b + (a*b | s) + (a + b | i)"
    return Case("", formula, data, seed % 2 == 0)


def pairs_of_people(seed: int) -> Case:
    """Draw a condition of three levels that varies within people and their few groups.

    lmerTest 30: singular, and a negative eigenvalue of -1600 that another program does not see.
    """
    random = np.random.default_rng(20400 + seed)
    people = 24
    data = pd.DataFrame({"person": np.repeat(np.arange(people), 6)})
    data["team"] = data.person // 4
    data["condition"] = np.array(["a", "b", "c"])[np.arange(len(data)) % 3]
    data["own"], data["other"] = random.normal(size=(2, len(data)))
    data["y"] = (
        0.4 * data.own
        + 0.5 * random.normal(size=people)[data.person]
        + random.normal(size=len(data))
    )
    return Case(
        "", "y ~ (own + other)*condition + (condition | person) + (1 | team)", data, seed % 2 == 0
    )


def millions(seed: int) -> Case:
    """Covariates from minus to plus millions, with random slopes.

    MixedModels.jl 313 and 611: "matrix is not positive definite", gone after a division by a
    million.
    """
    random = np.random.default_rng(20500 + seed)
    data = respond(random, grouped(random, 30, None, 2), np.diag([1.0, 0.5, 0.2]))
    data["x1"] = 5e6 * data.x1
    data["x2"] = 2e6 * data.x2 + (1e7 if seed % 2 else 0.0)
    return Case("", slopes_of(2, "||" if seed % 3 == 0 else "|"), data, seed % 2 == 0)


def many_groups_without_variance(seed: int) -> Case:
    """Thousands of groups of five between which nothing varies, or a millionth of the rest.

    statsmodels 4847: runs without end, or a variance of 1e-12.
    """
    random = np.random.default_rng(20600 + seed)
    data = grouped(random, 2000, 5, 1)
    data["y"] = (
        data.x1
        + 10.0 ** -(seed % 4) * 1e-3 * random.normal(size=2000)[data.g]
        + random.normal(size=len(data))
    )
    return Case("", "y ~ x1 + (1 | g)" if seed % 2 else "y ~ x1 + (x1 | g)", data, seed % 3 != 0)


def subject_covariates(seed: int) -> Case:
    """Random slopes of what is constant within groups, such as the age of a subject.

    statsmodels 7051 and 9138: "Singular matrix". Slope and intercept of a subject cannot be told
    apart, their variances can (a variance that changes with age); the block of every group has rank
    one.
    """
    random = np.random.default_rng(20700 + seed)
    subjects = 30 + seed
    data = pd.DataFrame({"g": np.repeat(np.arange(subjects), 4)})
    age = random.normal(size=subjects)
    data["age"], data["x"] = age[data.g], random.normal(size=len(data))
    spread = np.abs(1.0 + 0.5 * age) if seed % 2 else np.ones(subjects)
    data["y"] = (
        data.x + (spread * random.normal(size=subjects))[data.g] + random.normal(size=len(data))
    )
    return Case(
        "",
        "y ~ x + age + (age | g)" if seed % 3 else "y ~ x + age + (x + age | g)",
        data,
        seed % 2 == 0,
    )


def samples_of_patients(seed: int) -> Case:
    """Draw samples within patients, most samples with a single row.

    CATALYST 160 and diffcyt 25: "very large eigenvalue". Sample and residual are told apart by the
    few with two rows; with one row each the model is refused.
    """
    random = np.random.default_rng(20800 + seed)
    patients = 14
    data = pd.DataFrame({"patient": np.repeat(np.arange(patients), 2)})
    data["sample"] = np.arange(len(data))
    refused = mf.NotIdentifiedError if seed % 6 == 5 else None
    if refused is None:
        data = pd.concat([data, data.iloc[: 2 + seed % 3]], ignore_index=True)
    data["arm"] = np.where(data.patient % 2, "drug", "placebo")
    data["y"] = (
        random.normal(size=patients)[data.patient] + 0.5 * random.normal(size=28)[data["sample"]]
    )
    data["y"] += 0.3 * random.normal(size=len(data))
    return Case("", "y ~ arm + (1 | patient) + (1 | sample)", data, seed % 2 == 0, refused)


def ceiling(seed: int) -> Case:
    """Ratings from 1 to 5, nearly all of them 5: many groups without any variation.

    The shape of scales at their ceiling, and of 0/1 responses with rare ones, that are given to
    linear models.
    """
    random = np.random.default_rng(20900 + seed)
    data = grouped(random, 40, 6, 1)
    latent = 2.0 + 0.5 * random.normal(size=40)[data.g] + random.normal(size=len(data))
    data["y"] = np.clip(np.round(4.0 + latent), 1, 5) if seed % 2 else (latent < 0.3).astype(float)
    data.loc[data.index[0], "y"] = 2.0
    return Case(
        "", "y ~ x1 + (x1 | g)" if seed % 3 == 0 else "y ~ x1 + (1 | g)", data, seed % 4 < 2
    )


def raw_years(seed: int) -> Case:
    """Calendar years and their squares, or times in seconds since 1970, with random slopes.

    "Some predictor variables are on very different scales" is lme4's warning. A shift of the origin
    is part of the model only where intercept and slope are correlated; with ``||`` the origin
    counts, and is kept.
    """
    random = np.random.default_rng(21000 + seed)
    data = grouped(random, 20, 9)
    t = np.tile(np.arange(9), 20)
    data["t"] = 2000.0 + t if seed % 2 else 1.6e9 + 3600.0 * t
    intercept, slope = random.normal(size=(2, 20))
    data["y"] = (
        5.0 + intercept[data.g] + (0.2 + 0.1 * slope[data.g]) * t + random.normal(size=len(data))
    )
    fixed = "t + I(t**2)" if seed % 4 == 1 else "t"
    return Case("", f"y ~ {fixed} + (t | g)", data, seed % 3 != 0)


def holes(seed: int) -> Case:
    """Values missing from the response, a covariate and the grouping factor, whole groups gone.

    What is left must be the model of the complete rows, and no level that has no row counts.
    """
    random = np.random.default_rng(21100 + seed)
    data = respond(random, grouped(random, 25, 8, 2), np.diag([1.0, 0.5, 0.0]))
    share = 0.05 + 0.05 * (seed % 5)
    data["g"] = pd.Series([f"g{i}" for i in data.g], dtype=object)
    for name in ("y", "x1", "g"):
        data.loc[random.random(len(data)) < share, name] = None
    data.loc[data.g == "g3", "x2"] = np.nan
    return Case(
        "", "y ~ x1 + x2 + (x1 | g)" if seed % 2 else "y ~ x1 + x2 + (1 | g)", data, seed % 3 != 0
    )


def twelve_orders_of_weights(seed: int) -> Case:
    """Weights over twelve orders of magnitude within one model.

    A handful of rows decides about the coefficients, the rest still count in the determinants.
    """
    random = np.random.default_rng(21200 + seed)
    data = respond(random, grouped(random, 30, 8, 1), np.diag([1.0, 0.4]))
    data["w"] = 10.0 ** random.uniform(-6, 6, len(data))
    data["y"] += random.normal(size=len(data)) / np.sqrt(data.w) if seed % 2 else 0.0
    return Case(
        "",
        "y ~ x1 + (1 | g)" if seed % 3 else "y ~ x1 + (x1 | g)",
        data,
        seed % 4 < 2,
        options={"weights": "w"},
    )


def twelve_orders_of_units(seed: int) -> Case:
    """Draw four covariates in units from 1e-6 to 1e6 in one random part.

    The response has another unit.
    """
    random = np.random.default_rng(21300 + seed)
    data = respond(random, grouped(random, 40, 10, 4), np.diag([1.0, 0.5, 0.5, 0.3, 0.2]))
    for j, power in enumerate(random.permutation([-6, -2, 2, 6])):
        data[f"x{j + 1}"] *= 10.0**power
    data["y"] *= 10.0 ** float(random.integers(-9, 10))
    return Case("", slopes_of(4, "||" if seed % 2 else "|"), data, seed % 3 != 0)


def eight_slopes(seed: int) -> Case:
    """Eight slopes in fewer groups than there are covariance parameters.

    45 parameters and 20 groups: the likelihood has its optimum on a face of the cone.
    """
    random = np.random.default_rng(21400 + seed)
    L = np.diag(np.r_[1.0, 0.5 * (np.arange(8) < 1 + seed % 8)])
    data = respond(random, grouped(random, 20, 14, 8), L)
    return Case("", slopes_of(8, "||" if seed % 2 else "|"), data, seed % 3 != 0)


def one_factor_three_times(seed: int) -> Case:
    """Factors that are the same partition under several names, nested in themselves, with slopes.

    The sum of their variances is determined and nothing else; it must be found, and said to be
    flat.
    """
    random = np.random.default_rng(21500 + seed)
    data = respond(random, grouped(random, 20, 7, 1), np.diag([1.0, 0.5]))
    data["h"] = [f"h{(3 * i) % 20}" for i in data.g]
    data["k"] = (data.g + 5) % 20
    formulas = (
        "y ~ x1 + (1 | g) + (1 | h) + (1 | k)",
        "y ~ x1 + (x1 | g) + (0 + x1 | h)",
        "y ~ x1 + (1 | g/h)",
    )
    return Case("", formulas[seed % 3], data, seed % 2 == 0)


def fifteen_hundred_fixed(seed: int) -> Case:
    """Fifteen hundred fixed effects and a random part: the dense part of the system is X's."""
    random = np.random.default_rng(21600 + seed)
    levels = 1500
    n = 2 * levels + 500
    f = np.arange(n) % levels
    data = pd.DataFrame(
        {"f": [f"f{i}" for i in f], "x": random.normal(size=n), "g": random.integers(0, 50, n)}
    )
    data["y"] = (
        random.normal(size=levels)[f] + 0.5 * random.normal(size=50)[data.g] + random.normal(size=n)
    )
    return Case("", "y ~ f + x + (1 | g)", data, seed % 2 == 0)


def chains(seed: int) -> Case:
    """Draw crossed factors whose levels meet in a chain or a star.

    One level connects two otherwise separate parts.

    Almost disconnected: comparisons across the bridge rest on a single row.
    """
    random = np.random.default_rng(21700 + seed)
    length = 15 + seed
    a = np.repeat(np.arange(length), 2)
    b = (
        np.r_[0, np.repeat(np.arange(1, length), 2), length]
        if seed % 2
        else np.where(np.arange(2 * length) % 2, 0, a)
    )
    data = pd.DataFrame({"a": a, "b": b, "x": random.normal(size=2 * length)})
    data = pd.concat([data, data.iloc[:6]], ignore_index=True)
    data["y"] = data.x + random.normal(size=length)[data.a] + random.normal(size=length + 1)[data.b]
    data["y"] += 0.5 * random.normal(size=len(data))
    return Case("", "y ~ x + (1 | a) + (1 | b)", data, seed % 3 != 0)


def zipf(seed: int) -> Case:
    """Draw three crossed factors whose levels occur as often as words do.

    A few everywhere, most once.
    """
    random = np.random.default_rng(21800 + seed)
    n = 600
    data = pd.DataFrame({name: (random.zipf(1.6, n) - 1) % 60 for name in "abc"})
    data["x"] = random.normal(size=n)
    data["y"] = data.x + sum(
        s * random.normal(size=60)[data[name]]
        for s, name in zip((1.0, 0.5, 0.1), "abc", strict=True)
    )
    data["y"] += random.normal(size=n)
    formula = (
        "y ~ x + (1 | a) + (1 | b) + (1 | c)" if seed % 2 else "y ~ x + (x | a) + (1 | b) + (1 | c)"
    )
    return Case("", formula, data, seed % 3 != 0)


def negative_correlation(seed: int) -> Case:
    """Draw observations that are negatively correlated within groups.

    The best variance between groups would be negative.

    The estimate is zero, with a slope that is not.
    """
    random = np.random.default_rng(21900 + seed)
    data = grouped(random, 30, 4, 1)
    noise = random.normal(size=len(data))
    noise -= 0.95 * pd.Series(noise).groupby(data.g).transform("mean").to_numpy()
    data["y"] = (
        data.x1 * (1.0 + (0.6 * random.normal(size=30)[data.g] if seed % 2 else 0.0)) + noise
    )
    return Case("", "y ~ x1 + (x1 | g)" if seed % 3 else "y ~ x1 + (x1 || g)", data, seed % 4 < 2)


def deep(seed: int) -> Case:
    """Four levels of nesting with units that have one or two below them."""
    random = np.random.default_rng(22000 + seed)
    n = 120
    d = np.arange(n) // 1
    data = pd.DataFrame(
        {"class": d // 2, "school": d // 5, "town": d // 17, "x": random.normal(size=n)}
    )
    data["y"] = data.x + sum(
        random.normal(size=n)[data[name]] for name in ("class", "school", "town")
    )
    data["y"] += (0.01 if seed % 3 == 2 else 1.0) * random.normal(size=n)
    data = data.rename(columns={"class": "room"})
    return Case("", "y ~ x + (1 | town/school/room)", data, seed % 2 == 0)


def rows_twice(seed: int) -> Case:
    """Draw every row of a table several times, as a wrong merge makes it.

    An identifier of the row is a grouping factor.

    Rows of one identifier are the same, so nothing is left for the residual: no finite optimum, and
    that is said.
    """
    random = np.random.default_rng(22100 + seed)
    data = respond(random, grouped(random, 10, 5, 1), np.diag([1.0, 0.0]))
    data["id"] = np.arange(len(data))
    data = data.loc[data.index.repeat(2 + seed % 2)].reset_index(drop=True)
    if seed % 3 == 2:
        data["y"] += 1e-7 * random.normal(size=len(data))
    return Case(
        "", "y ~ x1 + (1 | g) + (1 | id)" if seed % 2 else "y ~ x1 + (1 | id)", data, seed % 4 < 2
    )


def hardly_any_noise(seed: int) -> Case:
    """Draw standard deviations between groups of 1e3 to 1e9 times the residual one.

    Crossed, nested and with slopes.

    Simulated and computed responses look like this. The criterion is only as good as the residual
    sum of squares.
    """
    random = np.random.default_rng(22200 + seed)
    noise = 1e-9 if seed >= 28 else 10.0 ** -(3 + seed % 6)
    data = respond(random, grouped(random, 20, 8, 1), np.diag([1.0, 0.5]), noise)
    data["h"] = random.integers(0, 7, len(data))
    if seed % 3 == 1:
        data["y"] += random.normal(size=7)[data.h]
    formulas = ("y ~ x1 + (x1 | g)", "y ~ x1 + (x1 || g) + (1 | h)", "y ~ x1 + (x1 | g) + (1 | h)")
    return Case("", formulas[seed % 3], data, seed % 2 == 0)


REPORTED: dict[Callable[[int], Case], int] = {
    repeated_readings: 20,
    hertz: 12,
    more_effects_than_rows: 15,
    maximal: 16,
    pairs_of_people: 12,
    millions: 15,
    many_groups_without_variance: 10,
    subject_covariates: 15,
    samples_of_patients: 18,
    ceiling: 16,
    raw_years: 16,
    holes: 16,
    twelve_orders_of_weights: 16,
    twelve_orders_of_units: 16,
    eight_slopes: 16,
    one_factor_three_times: 15,
    fifteen_hundred_fixed: 1,
    chains: 16,
    zipf: 14,
    negative_correlation: 16,
    deep: 12,
    rows_twice: 12,
    hardly_any_noise: 30,
}
