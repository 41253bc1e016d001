"""Pictures: the numbers behind them, labels, and speed with many groups."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Iterator
from functools import cache
from itertools import pairwise

import numpy as np
import pandas as pd
import pytest

import mixedfast as mf
from mixedfast.errors import DataError, MissingLibraryError
from mixedfast.inference.diagnostics.no_pooling import unpooled_effects
from mixedfast.report.plots import data, draw
from mixedfast.report.plots.colours import inks

matplotlib = pytest.importorskip("matplotlib")
matplotlib.use("Agg")
plt = pytest.importorskip("matplotlib.pyplot")

EXACT = 1e-9
"""Two ways to the same number, in double precision."""

FORMULAS = {
    "hsb": "math ~ 1 + ses + (1 + ses | school)",
    "sleepstudy": "Reaction ~ Days + (Days | Subject)",
    "penicillin": "diameter ~ 1 + (1 | plate) + (1 | sample)",
    "cake": "angle ~ recipe * temp + (1 | recipe:replicate)",
}


@cache
def model(name: str) -> mf.LMMResult:
    return mf.lmer(FORMULAS[name], mf.load_dataset(name))


@pytest.fixture(autouse=True)
def _closed() -> Iterator[None]:
    yield
    plt.close("all")


# --- the numbers ----------------------------------------------------------------------------------


def crossed(n: int = 300, seed: int = 0) -> pd.DataFrame:
    draw = np.random.default_rng(seed)
    rows = pd.DataFrame(
        {"g": draw.integers(0, 12, n).astype(str), "h": draw.integers(0, 7, n).astype(str)}
    )
    rows["x"], rows["w"] = draw.normal(5, 2, n), draw.uniform(0.5, 2, n)
    level, slope, other = (
        rows[name].astype(int).map(dict(enumerate(draw.normal(0, 1, 12))))
        for name in ("g", "g", "h")
    )
    rows["y"] = 3 + level + other + (0.5 + slope) * rows.x + draw.normal(0, 1, n)
    return rows


@pytest.mark.parametrize("at", [0, 1])
def test_own_estimates_are_least_squares_on_the_groups_rows(at: int) -> None:
    rows = crossed()
    m = mf.lmer("y ~ x + (x | g) + (1 | h)", rows, weights="w")
    name = list(m.n_groups)[at]
    other = list(m.n_groups)[1 - at]
    modes = m.ranef()
    held = m.params["Intercept"] + m.params["x"] * rows.x
    for column in modes[other]:
        held += rows[other].map(modes[other][column]) * (rows.x if column == "x" else 1.0)
    found = unpooled_effects(m._fit, at)
    for j, level in enumerate(modes[name].index):
        mine = rows[name] == level
        Z = np.column_stack(
            [rows.x[mine] if c == "x" else np.ones(mine.sum()) for c in modes[name]]
        )
        root = np.sqrt(rows.w[mine].to_numpy())
        wanted = np.linalg.lstsq(
            Z * root[:, None], root * (rows.y - held)[mine].to_numpy(), rcond=None
        )[0]
        np.testing.assert_allclose(found[j], wanted, rtol=EXACT, atol=EXACT)


def test_a_group_that_cannot_tell_is_missing() -> None:
    rows = crossed()
    rows.loc[rows.g == "3", "x"] = 4.0
    m = mf.lmer("y ~ x + (x | g)", rows)
    own = data.shrinkage(m)
    assert own[own.level == "3"].own.isna().all()
    assert own[own.level != "3"].own.notna().all()


def test_lines_go_through_the_fitted_values() -> None:
    m = model("hsb")
    lines, rows = data.slopes(m), m.augment()
    for school in ("1224", "9586"):
        line, mine = lines[lines.level == school], rows[rows.school == school]
        np.testing.assert_allclose(np.interp(mine.ses, line.x, line.y), mine[".fitted"], rtol=EXACT)
        assert (line.x.min(), line.x.max()) == (mine.ses.min(), mine.ses.max())
    average = data.population_line(m)
    np.testing.assert_allclose(
        average.y, m.params["Intercept"] + m.params["ses"] * average.x, rtol=EXACT
    )
    assert data.slopes(m, most=50).level.nunique() == 50


def test_lines_may_curve_and_are_averaged_over_the_rows() -> None:
    rows = crossed().assign(
        z=lambda d: np.where(d.h < "3", "low", "high"), b=lambda d: d.w > 1, o=1.5
    )
    m = mf.lmer("y ~ I(x**2) + x + z + b + offset(o) + (1 | g)", rows)
    line = data.population_line(m, "x")
    beta = m.params
    base = beta["Intercept"] + 1.5 + beta["z[T.low]"] * (rows.z == "low").mean()
    base += sum(beta[name] for name in beta.index if name.startswith("b")) * rows.b.mean()
    np.testing.assert_allclose(
        line.y, base + beta["x"] * line.x + beta["I(x ** 2)"] * line.x**2, rtol=EXACT
    )


def test_a_groups_line_is_the_mean_of_its_rows() -> None:
    rows = crossed().assign(z=lambda d: np.where(d.h < "3", "low", "high"))
    m = mf.lmer("y ~ x * z + (x | g) + (1 | h)", rows)
    lines, modes, beta = data.slopes(m, group="g"), m.ranef()["g"], m.params
    for level in ("0", "7"):
        share = (rows[rows.g == level].z == "low").mean()
        slope = beta["x"] + beta["x:z[T.low]"] * share + modes.loc[level, "x"]
        base = beta["Intercept"] + beta["z[T.low]"] * share + modes.loc[level, "Intercept"]
        line = lines[lines.level == level]
        np.testing.assert_allclose(line.y, base + slope * line.x, rtol=EXACT)


def test_the_variable_of_the_lines() -> None:
    assert data.slope_variable(model("hsb")) == "ses"
    assert data.slope_variable(model("cake")) == "temp"
    with pytest.raises(DataError, match="no numeric predictor"):
        data.slope_variable(model("penicillin"))
    with pytest.raises(DataError, match="math"):
        data.slope_variable(model("hsb"), "math")


def test_numbers_under_c_are_categories() -> None:
    rows = crossed().assign(day=lambda d: np.where(d.w > 1, 2, 1))
    m = mf.lmer("y ~ x + C(day) + (x | g)", rows)
    of_days = m.params["C(day)[T.2]"] * (rows.day == 2).mean()
    line = data.population_line(m)
    np.testing.assert_allclose(
        line.y, m.params["Intercept"] + of_days + m.params["x"] * line.x, rtol=EXACT
    )
    with pytest.raises(DataError, match="not a numeric predictor"):
        data.slopes(m, "day")
    assert len(data.slopes(m)) == 12 * 25


def test_a_dollar_in_a_name_starts_no_formula() -> None:
    rows = crossed().assign(h=lambda d: "$" + d.h + "\\frac$")
    m = mf.lmer("y ~ x + (1 | g) + (1 | h)", rows)
    for axes in (
        m.plot.caterpillar("h"),
        m.plot.residuals_by_group("h"),
        m.plot.slopes(group="h"),
        m.plot.shrinkage("h"),
    ):
        ax = np.ravel(axes)[0]
        ax.figure.canvas.draw()
    figure, ax = plt.subplots()
    draw.residuals(ax, data.residuals(m), "p_$a^{$", "$unit$")
    figure.canvas.draw()
    assert ax.get_ylabel() == "$unit$"


def test_quantiles_by_group_are_numpys() -> None:
    m = model("hsb")
    frame = data.residuals_by_group(m).set_index("level")
    rows = pd.DataFrame({"school": m.augment().school.astype(str), "r": m.resid("scaled")})
    mine = rows[rows.school == "1224"].r
    for name, share in {"q05": 0.05, "q25": 0.25, "median": 0.5, "q75": 0.75, "q95": 0.95}.items():
        assert frame.loc["1224", name] == pytest.approx(np.quantile(mine, share), rel=EXACT)
    assert frame.loc["1224", "n"] == len(mine)
    assert frame["median"].is_monotonic_increasing


def test_quantiles_of_the_normal_are_symmetric_and_the_sample_sorted() -> None:
    frame = data.qq(model("sleepstudy"))
    np.testing.assert_allclose(frame.theoretical, -frame.theoretical[::-1].to_numpy(), atol=EXACT)
    np.testing.assert_array_equal(frame["sample"], np.sort(model("sleepstudy").resid("scaled")))
    assert data.qq(model("sleepstudy"), "Subject").term.unique().tolist() == ["Intercept", "Days"]


def test_the_band_of_a_qq_picture_holds_the_share_it_says() -> None:
    n, repeats = 200, 400
    z = np.random.default_rng(0).normal(size=(repeats, n))
    inside = []
    for values in z:
        frame = data.against_normal("z", values)
        assert frame.line.iloc[[n // 4, 3 * n // 4]].tolist() == pytest.approx(
            np.quantile(values, [0.25, 0.75]), abs=0.3
        )
        inside.append(((frame["sample"] >= frame.low) & (frame["sample"] <= frame.high)).mean())
    # the line is fitted to the same values, so somewhat more of them lie inside than 95 %
    assert 0.94 < np.mean(inside) < 1.0


def test_caterpillars_are_modes_with_their_deviations() -> None:
    m = model("sleepstudy")
    frame = data.caterpillar(m, level=0.9)
    modes, variance = m.ranef(cond_var=True)["Subject"]
    days = frame[frame.term == "Days"].set_index("level")
    assert days.estimate.is_monotonic_increasing
    np.testing.assert_array_equal(days.estimate.loc[modes.index], modes.Days)
    width = (days.conf_high - days.conf_low).loc[modes.index]
    np.testing.assert_allclose(
        width, 2 * 1.6448536269514722 * np.sqrt(variance[:, 1, 1]), rtol=EXACT
    )


def test_profiles_pass_through_their_points_and_histograms_have_area_one() -> None:
    m = model("sleepstudy")
    profile = m.profile(["Days", "sigma"])
    frame = data.profile_zeta(profile)
    counted = [
        table.groupby("parameter").size().to_dict()
        for table in (frame[frame.computed], profile.to_frame())
    ]
    assert counted[0] == counted[1]
    assert all((np.diff(part.zeta) > -EXACT).all() for _, part in frame.groupby("parameter"))
    found = data.bootstrap_densities(m.bootstrap(200, seed=1))
    area = (found.density * (found.high - found.low)).groupby(found.parameter).sum()
    np.testing.assert_allclose(area, 1.0, rtol=EXACT)
    pd.testing.assert_frame_equal(m.plot.data("profile_zeta", profile=profile), frame)
    pd.testing.assert_frame_equal(m.plot.data("bootstrap_densities", n=200, seed=1), found)


def test_thinning_keeps_the_ends_and_sampling_repeats_itself() -> None:
    assert data.thinned(10, 20).tolist() == list(range(10))
    assert data.thinned(100_000, 7)[[0, -1]].tolist() == [0, 99_999]
    assert len(data.sampled(1000, 50)) == 50
    np.testing.assert_array_equal(data.sampled(1000, 50), data.sampled(1000, 50))


def test_numbers_come_in_the_callers_library() -> None:
    pl = pytest.importorskip("polars")
    m = mf.lmer(FORMULAS["sleepstudy"], pl.from_pandas(mf.load_dataset("sleepstudy")))
    assert isinstance(m.plot.data("shrinkage"), pl.DataFrame)
    assert m.plot.residuals().get_ylabel() == "Scaled residual"
    with pytest.raises(DataError, match="caterpillar"):
        m.plot.data("pie")


# --- the pictures ---------------------------------------------------------------------------------

PANELS = {
    "residuals": {"hsb": 1, "penicillin": 1, "cake": 1},
    "qq": {"hsb": 3, "penicillin": 3, "cake": 2},
    "caterpillar": {"hsb": 2, "penicillin": 2, "cake": 1},
    "shrinkage": {"hsb": 1, "penicillin": 1, "cake": 1},
    "slopes": {"hsb": 1, "cake": 1},
    "residuals_by_group": {"hsb": 1, "penicillin": 1, "cake": 1},
}


@pytest.mark.parametrize(
    ("picture", "name"), [(picture, name) for picture, of in PANELS.items() for name in of]
)
def test_every_picture_is_drawn_and_labelled(picture: str, name: str) -> None:
    axes = np.atleast_1d(getattr(model(name).plot, picture)())
    assert len(axes) == PANELS[picture][name]
    axes[0].figure.canvas.draw()
    for ax in axes:
        assert ax.get_xlabel() and ax.get_ylabel() and ax.get_title()


@pytest.mark.parametrize(
    "picture", ["caterpillar", "residuals_by_group", "qq", "shrinkage", "slopes"]
)
def test_names_on_the_axes_do_not_overlap(picture: str) -> None:
    for ax in np.atleast_1d(getattr(model("sleepstudy").plot, picture)()):
        ax.figure.canvas.draw()
        for axis, low, high in ((ax.xaxis, 0, 2), (ax.yaxis, 1, 3)):
            boxes = [
                label.get_window_extent() for label in axis.get_ticklabels() if label.get_text()
            ]
            ends = sorted((box.extents[low], box.extents[high]) for box in boxes)
            assert all(before[1] <= after[0] for before, after in pairwise(ends)), picture


def test_profiles_and_bootstraps_draw_themselves() -> None:
    m = model("sleepstudy")
    profile, boot = m.profile(["Days", "sigma"]), m.bootstrap(100, seed=1)
    assert [ax.get_title() for ax in profile.plot()] == ["sigma", "Days"]
    assert len(boot.plot()) == 6
    assert len(m.plot.profile_zeta(profile)) == 2
    assert len(m.plot.bootstrap_densities(boot)) == 6


def test_colours_show_on_the_ground_they_are_drawn_on() -> None:
    m = model("sleepstudy")
    boot = m.bootstrap(50, seed=1)
    for looks, ink in (("default", "black"), ("dark_background", "white")):
        with plt.style.context(looks):
            bars = [
                line
                for line in boot.plot()[0].lines
                if len(line.get_xdata()) == 2 and line.get_linewidth() == 3
            ]
            assert [bar.get_color() for bar in bars] == [ink]
    _, ax = plt.subplots(facecolor="#101010")
    ax.set_facecolor("none")
    assert inks(ax).ink == "white"


def test_long_names_keep_the_end_that_tells_them_apart() -> None:
    names = [draw._short(f"the participant of number {i}") for i in range(10, 20)]
    assert len(set(names)) == 10 and max(map(len, names)) == 18


@pytest.mark.parametrize("size", [(2.5, 2.0), (16.0, 12.0)])
def test_names_are_left_out_where_they_would_overlap(size: tuple[float, float]) -> None:
    _, axes = plt.subplots(1, 2, figsize=(2 * size[0], size[1]))
    ax = model("sleepstudy").plot.caterpillar(ax=axes)[0]
    assert bool(len(ax.get_yticks())) == (size[1] > 10)
    assert ("18 Subjects" in ax.get_ylabel()) == (size[1] < 10)


def test_legends_stay_inside_the_picture() -> None:
    for width in (3.2, 5.0, 9.0):
        figure, ax = plt.subplots(figsize=(width, 4.0), layout="constrained")
        model("hsb").plot.shrinkage(ax=ax)
        figure.canvas.draw()
        assert ax.get_legend().get_window_extent().x1 <= figure.bbox.x1


def test_words_stay_inside_small_pictures() -> None:
    m = mf.lmer("math ~ ses + (ses | school)", mf.load_dataset("hsb"))
    figure = plt.figure(figsize=(2.8, 2.8), layout="constrained")
    ax = figure.subplots()
    m.plot.slopes(ax=ax)
    figure.canvas.draw()
    page = figure.bbox
    for text in (ax.title, ax.xaxis.label, ax.yaxis.label):
        box = text.get_window_extent()
        assert (
            page.x0 <= box.x0 and box.x1 <= page.x1 and page.y0 <= box.y0 and box.y1 <= page.y1
        ), text.get_text()
    plt.close(figure)


def test_pictures_go_on_axes_that_are_given() -> None:
    figure, axes = plt.subplots(1, 2)
    given = model("hsb").plot.caterpillar(ax=axes)
    assert given.tolist() == axes.tolist()
    assert model("hsb").plot.residuals(ax=axes[0]) is axes[0]
    with pytest.raises(DataError, match="3 panels"):
        model("hsb").plot.qq(ax=axes)
    assert plt.get_fignums() == [figure.number]


def test_thirty_thousand_groups_and_many_rows_stay_few_shapes() -> None:
    draw = np.random.default_rng(0)
    g = np.repeat(np.arange(30_000), 2)
    y = draw.normal(size=30_000)[g] + draw.normal(size=len(g))
    m = mf.lmer("y ~ 1 + (1 | g)", {"y": y, "g": g})
    for ax in (
        m.plot.caterpillar()[0],
        m.plot.residuals_by_group(),
        m.plot.residuals(),
        m.plot.shrinkage(),
    ):
        ax.figure.canvas.draw()
        points = sum(len(line.get_xdata()) for line in ax.lines)
        vertices = sum(len(path.vertices) for shape in ax.collections for path in shape.get_paths())
        assert points + vertices < 15_000
        assert (
            "of g" in ax.get_ylabel() + ax.get_xlabel() + ax.get_title()
            or ax.get_xlabel() == "Fitted y"
        )


def test_wrong_names_are_told() -> None:
    m = model("hsb")
    with pytest.raises(DataError, match=r"no grouping factor 'class'.*school"):
        m.plot.caterpillar("class")
    with pytest.raises(DataError, match="two of Intercept, ses"):
        m.plot.shrinkage(terms=("ses", "math"))


def test_without_matplotlib_one_is_told_what_to_install(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "matplotlib.pyplot", None)
    with pytest.raises(MissingLibraryError, match="pip install matplotlib"):
        model("hsb").plot.residuals()
    assert len(model("hsb").plot.data("residuals")) == 7185


def test_numbers_do_not_need_matplotlib() -> None:
    program = (
        "import sys, mixedfast as mf\n"
        "m = mf.lmer('Yield ~ 1 + (1 | Batch)', mf.load_dataset('dyestuff'))\n"
        "m.plot.data('qq'), m.plot.data('caterpillar'), m.summary()\n"
        "sys.exit('matplotlib' in sys.modules)\n"
    )
    assert subprocess.run([sys.executable, "-c", program]).returncode == 0


# --- of a regression ------------------------------------------------------------------------------


def test_pictures_of_a_regression() -> None:
    rows = mf.load_dataset("hsb")
    m = mf.lm("math ~ ses", rows)
    assert m.plot.residuals().get_xlabel() == "Fitted math"
    assert len(m.plot.qq()) == 1
    by_school = m.plot.data("residuals_by_group", group="school")
    ours = pd.Series(m.resid("scaled")).groupby(rows.school.to_numpy()).median()
    np.testing.assert_allclose(
        by_school.set_index("level")["median"].sort_index(), ours.sort_index(), rtol=EXACT
    )
    assert m.plot.residuals_by_group("school").get_ylabel() == "160 schools, sorted by median"
    with pytest.raises(
        mf.NotDefinedError, match=r"plot\.caterpillar: a linear model has no random effects to draw"
    ):
        m.plot.caterpillar()
    with pytest.raises(
        AttributeError, match="no picture 'catapult': choose from residuals, residuals_by_group, qq"
    ):
        _ = m.plot.catapult
    with pytest.raises(DataError, match="no grouping factors: name a column"):
        m.plot.residuals_by_group()
    with pytest.raises(DataError, match="did you mean 'school'"):
        m.plot.residuals_by_group("scool")


def test_residuals_by_any_column_and_rows_without_one() -> None:
    rows = crossed().assign(z=lambda d: np.where(d.h < "3", "low", "high"))
    rows.loc[rows.index[::9], "z"] = None
    rows.loc[rows.index[::7], "x"] = np.nan
    m = mf.lmer("y ~ x + (1 | g)", rows)
    found = m.plot.data("residuals_by_group", group="z")
    used = rows[rows.x.notna()]
    assert found.set_index("level")["n"].to_dict() == used.z.value_counts().to_dict()
    ours = pd.Series(m.resid("scaled"), index=used.index).groupby(used.z).quantile(0.95)
    np.testing.assert_allclose(
        found.set_index("level")["q95"].sort_index(), ours.sort_index(), rtol=EXACT
    )


@pytest.mark.parametrize("inches", [2.2, 2.6, 4.0])
@pytest.mark.parametrize("picture", ["residuals", "residuals_by_group", "shrinkage", "slopes"])
def test_legends_of_small_pictures_are_whole(picture: str, inches: float) -> None:
    figure, ax = plt.subplots(figsize=(inches, 0.8 * inches), layout="constrained")
    getattr(model("hsb").plot, picture)(ax=ax)
    figure.canvas.draw()
    box = ax.get_legend().get_window_extent()
    assert box.x0 >= 0 and box.x1 <= figure.bbox.x1
    assert box.y1 <= ax.title.get_window_extent().y0


def test_the_key_above_one_small_panel_is_whole() -> None:
    axes = model("sleepstudy").profile(["sigma"]).plot()
    figure = axes[0].figure
    figure.canvas.draw()
    assert figure.legends[0].get_window_extent().x1 <= figure.bbox.x1
