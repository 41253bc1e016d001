"""Engines that hold the rows sum them by GROUP BY.

The fit is the same as in memory, and expressions that they cannot compute are named.
"""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest
from helpers.cases import frame, golden, golden_names
from helpers.lazy_engines import ENGINES, far_apart, holes, in_duckdb
from helpers.streams import ROUNDING, as_text, options, same_fit, same_sums

import mixedfast as mf

pa = pytest.importorskip("pyarrow")
duckdb = pytest.importorskip("duckdb")
pl = pytest.importorskip("polars")

pytestmark = pytest.mark.filterwarnings("ignore::mixedfast.SingularFitWarning")

#: These take seconds an engine.
SLOW = {"insteval", "insteval_ml", "hsb_factors_best"}
#: Every third model in DuckDB, which plans many expressions slowly, and all in Polars. The slow
#: tests have the rest.
IN_BRIEF = [
    (name, engine)
    for i, name in enumerate(name for name in golden_names() if name not in SLOW)
    for engine in (["polars", "duckdb"] if i % 3 == 0 else ["polars"])
]
#: Of these, the ones with more products than the others, and models that differ from another one in
#: little.
LIKE_ANOTHER = {"cake", "cake_poly", "trial_threeway", "trial_ml", "words_cond_weights"}

#: Names that SQL, patterns of polars, or a parser of formulas may read as something else.
HOSTILE_NAMES = ["a.b", '"x"', 'x"', "*", "^x.*$", " x", "x ", "x'); drop table t; --", "$1"]


@pytest.fixture(params=ENGINES)
def engine(request):
    return ENGINES[request.param]


@pytest.mark.parametrize(
    ("name", "engine"),
    [
        pytest.param(*case, marks=pytest.mark.exhaustive if case[0] in LIKE_ANOTHER else ())
        for case in IN_BRIEF
    ],
)
def test_engines_give_the_fit_of_the_table_in_memory(name, engine):
    same_as_in_memory(name, ENGINES[engine])


@pytest.mark.slow
@pytest.mark.parametrize(
    ("name", "engine"),
    [
        (name, engine)
        for name in golden_names()
        for engine in ENGINES
        if (name, engine) not in IN_BRIEF
    ],
)
def test_engines_give_the_fit_of_every_other_table(name, engine):
    same_as_in_memory(name, ENGINES[engine])


def same_as_in_memory(name, engine):
    """Compare a golden model fitted by GROUP BY and from rows."""
    record, how = golden(name), options(golden(name))
    data = as_text(frame(record["dataset"]))
    whole, pushed = (
        mf.lmer(record["formula_py"], data, **how),
        mf.lmer(record["formula_py"], engine(data), **how),
    )
    same_fit(pushed, whole)
    if pushed._fit.cp.constant is not None and whole._fit.cp.constant is not None:
        same_sums(pushed._fit.cp, whole._fit.cp)


@pytest.mark.parametrize(
    ("year", "spread", "level"), [(2000.0, 1e-3, 1e9), (1.7e9, 10.0, 1e6), (0.0, 1e6, -1e9)]
)
@pytest.mark.parametrize("formula", ["y ~ x + t + (1 + t | g)", "y ~ x + t + (1 | g) + (1 | h)"])
def test_columns_far_from_zero_lose_no_digits(formula, year, spread, level, engine):
    """Sums are taken about a shift.

    A year with a spread of a thousandth, seconds since 1970, a response of a billion.
    """
    rng = np.random.default_rng(11)
    n, groups = 4000, rng.integers(0, 80, 4000)
    z, x, effects = rng.normal(size=n), rng.normal(size=n), rng.normal(size=(80, 2))
    y = level + 0.5 * x + z + effects[groups, 0] + 0.4 * effects[groups, 1] * z + rng.normal(size=n)
    data = pd.DataFrame(
        {"y": y, "x": x, "t": year + spread * z, "g": groups, "h": rng.integers(0, 12, n)}
    )
    whole, pushed = mf.lmer(formula, data), mf.lmer(formula, engine(data))
    same_sums(pushed._fit.cp, whole._fit.cp)
    assert pushed.criterion == pytest.approx(whole.criterion, rel=1e-11)
    assert pushed.sigma == pytest.approx(whole.sigma, rel=1e-11)
    np.testing.assert_allclose(pushed.bse, whole.bse, rtol=1e-9)
    pushed.library = whole.library = "pandas"
    assert (np.abs(pushed.params - whole.params) < 1e-9 * whole.bse).all()


@pytest.mark.parametrize(
    "formula",
    [
        "y ~ x + (1 | g)",
        "y ~ x + (1 + x | s)",
        "y ~ t + I(t ** 2) + (0 + x | b:g)",
        "y ~ x + offset(o) + (1 | g) + (1 | s)",
    ],
)
@pytest.mark.parametrize("apart", [1e3, 1e4])
def test_groups_far_apart_are_read_once_more(formula, apart, engine):
    far_apart(formula, apart, engine)


def locked(data, folder):
    """Return the rows of a file opened read-only, on a restricted connection.

    It may read neither Python's variables nor other files.
    """
    with duckdb.connect(str(folder / "rows.duckdb")) as making:
        making.register("given", pa.Table.from_pandas(data, preserve_index=False))
        making.execute("create table rows as from given")
    rows = duckdb.connect(str(folder / "rows.duckdb"), read_only=True)
    for setting in (
        "python_enable_replacements = false",
        "enable_external_access = false",
        "lock_configuration = true",
    ):
        rows.execute(f"set {setting}")
    return rows.table("rows")


def in_hive(data, folder):
    """Return the rows of Parquet files in folders that name a column, on a restricted connection.

    It may not read Python's variables.
    """
    pytest.importorskip("pyarrow.parquet").write_to_dataset(
        pa.Table.from_pandas(data.assign(part=data.g % 3), preserve_index=False),
        folder / "rows",
        partition_cols=["part"],
    )
    rows = duckdb.connect()
    rows.execute("set python_enable_replacements = false")
    return rows.sql(f"from read_parquet('{folder}/rows/*/*.parquet', hive_partitioning = true)")


@pytest.mark.parametrize("rows", [locked, in_hive])
@pytest.mark.parametrize(
    "formula", ["y ~ t + I(t ** 2) + (0 + x | b:g)", "y ~ x + offset(o) + (1 | g) + (1 | s)"]
)
def test_duckdb_needs_no_door_but_the_relation(formula, rows, tmp_path):
    far_apart(formula, 1e4, lambda data: rows(data, tmp_path))


@pytest.mark.parametrize("apart", [1.0, 1e4])
def test_names_and_labels_of_any_kind(apart, engine):
    """Names with capitals, blanks and quotes, and with the package's own names in both cases.

    DuckDB does not distinguish upper and lower case.
    """
    rng = np.random.default_rng(14)
    codes, x = rng.integers(0, 15, 900), rng.normal(size=900)
    labels = np.array([f'{i}\'s "é",[\\ ' for i in range(14)] + [""])
    data = pd.DataFrame(
        {
            "Y": apart * rng.normal(size=15)[codes] + x + rng.normal(size=900),
            "the 'x\"": x,
            'Clinic"s name': labels[codes],
            "_mixedfast0": 1.0,
            "_MixedFast1": 2.0,
            "k0": 3,
            "S0": 4,
        }
    )
    formula = 'Y ~ `the \'x"` + (1 | `Clinic"s name`)'
    whole, pushed = mf.lmer(formula, data), mf.lmer(formula, engine(data))
    assert (whole._fit.remainder is not None) == (apart > 1.0)
    assert pushed.criterion == pytest.approx(whole.criterion, rel=1e-9)
    np.testing.assert_allclose(pushed.bse, whole.bse, rtol=1e-9)
    pushed.library = "pandas"
    assert list(pushed.ranef()['Clinic"s name'].index) == sorted(labels)


@pytest.mark.parametrize("apart", [1.0, 1e4])
@pytest.mark.parametrize("name", HOSTILE_NAMES)
def test_names_that_engines_read_as_patterns(name, apart, engine):
    """The numbers are those of the table in memory, as a covariate, a slope and a group."""
    rng = np.random.default_rng(15)
    codes, x = rng.integers(0, 15, 600), rng.normal(size=600)
    data = pd.DataFrame(
        {
            "y": apart * rng.normal(size=15)[codes] + x + rng.normal(size=600),
            "x2": rng.normal(size=600),
            name: x,
            f"{name}g": np.array([f"c{i}" for i in range(15)])[codes],
        }
    )
    formula = f"y ~ x2 + `{name}` + (1 | `{name}g`)"
    whole, pushed = mf.lmer(formula, data), mf.lmer(formula, engine(data))
    assert pushed.criterion == pytest.approx(whole.criterion, rel=1e-9)
    np.testing.assert_allclose(pushed.params, whole.params, rtol=1e-7)
    assert list(pushed.params.index) == list(whole.params.index)


@pytest.mark.parametrize("kind", ["view", "table"])
def test_nothing_is_left_in_the_database_of_the_user(kind):
    """Names of the user that look like ours keep what they name, and nothing new appears."""
    rng = np.random.default_rng(16)
    codes = rng.integers(0, 15, 600)
    data = pd.DataFrame(
        {"y": 1e4 * rng.normal(size=15)[codes] + rng.normal(size=600), "x": rng.normal(size=600)}
    ).assign(g=codes)
    connection = duckdb.connect()
    connection.register("registered", data)
    connection.execute("create table t as select * from registered")
    connection.unregister("registered")
    for name in ("_mixedfast", "_mixedfast0", "_mixedfast_column0"):
        connection.execute(f"create {kind} {name} as select 42 as precious")
    everything = "select * from (select view_name from duckdb_views() union all "
    everything += "select table_name from duckdb_tables()) order by 1"
    before = connection.sql(everything).fetchall()
    m = mf.lmer("y ~ x + (1 | g)", connection.table("t"))
    assert m._fit.remainder is not None  # rows were joined with a small table
    assert connection.sql(everything).fetchall() == before
    assert connection.sql("select * from _mixedfast").fetchall() == [(42,)]


def test_nothing_is_left_but_rounding(engine):
    rng = np.random.default_rng(13)
    g = np.repeat(np.arange(50), 4)
    data = pd.DataFrame({"y": rng.normal(size=50)[g] + 0.1, "x": rng.normal(size=200), "g": g})
    with pytest.warns(mf.ConvergenceWarning) as told:
        mf.lmer("y ~ x + (1 | g)", data)
    with pytest.warns(mf.ConvergenceWarning) as told_too:
        mf.lmer("y ~ x + (1 | g)", engine(data))
    assert str(told_too[0].message) == str(told[0].message)


def test_categories_with_an_order_keep_it():
    data = frame(golden("orthodont_slope")["dataset"])
    formula = golden("orthodont_slope")["formula_py"]
    enums = {
        name: pl.Enum([str(level) for level in data[name].cat.categories])
        for name in data.select_dtypes("category")
    }
    lazy = (
        pl.from_pandas(as_text(data))
        .with_columns(pl.col(name).cast(kind) for name, kind in enums.items())
        .lazy()
    )
    same_fit(mf.lmer(formula, lazy), mf.lmer(formula, data))


@pytest.mark.parametrize(
    "formula",
    [
        "Reaction ~ scale(Days) + (scale(Days) | Subject)",
        "Reaction ~ center(Days) + I(Days ** 2) + (1 | Subject)",
        "Reaction ~ scale(log(Days + 1), ddof=0) + (1 | Subject)",
        "log(Reaction) ~ np.sqrt(Days) + exp(-Days / 4) + C(Days) + (1 | Subject)",
        "Reaction ~ standardize(Days) + log10(Days + 1) + (Days || Subject)",
        "Reaction ~ Days + offset(2 * Days) + (Days || Subject)",
        "Reaction ~ 0 + Days + (0 + Days | Subject)",
        "Reaction ~ . + (1 | Subject)",
    ],
)
def test_what_engines_compute(formula, engine):
    data = as_text(frame("sleepstudy"))
    same_fit(mf.lmer(formula, engine(data)), mf.lmer(formula, data))


@pytest.mark.parametrize(
    "term",
    [
        "poly(Days, 2)",
        "bs(Days, df=4)",
        "bs(Days, knots=[3])",
        "floor(Days / 2)",
        "Days ** Days",
        "Days > 4",
    ],
)
def test_what_engines_cannot_compute_is_named(term, engine):
    written = term if "(" in term else f"I({term})"
    with pytest.raises(mf.DataError, match=term.split("(")[0].split(" ")[0]):
        mf.lmer(f"Reaction ~ {written} + (1 | Subject)", engine(frame("sleepstudy")))


@pytest.mark.parametrize("broken", ["log(Days)", "I(1 / Days)", "np.sqrt(Days - 5)"])
def test_numbers_that_are_none_are_counted(broken, engine):
    data = as_text(frame("sleepstudy"))
    with pytest.raises(mf.DataError, match="not a finite number in"):
        mf.lmer(f"Reaction ~ {broken} + (1 | Subject)", engine(data))
    infinite = data.assign(Days=data.Days.astype(float).where(np.arange(len(data)) != 7, np.inf))
    with pytest.raises(mf.DataError, match=r"'Days'.*not a finite number in 1 row"):
        mf.lmer("Reaction ~ Days + (1 | Subject)", engine(infinite))


def test_null_and_nan_are_left_out_alike(engine):
    rng = np.random.default_rng(6)
    data = as_text(frame("hsb")).assign(
        w=lambda d: 0.5 + rng.random(len(d)), shift=lambda d: rng.normal(size=len(d))
    )
    data = holes(data, ["math", "ses", "sex", "school", "w", "shift", "size"], rng)
    formula, how = (
        "math ~ ses * sex + size + (1 + ses | school)",
        {"weights": "w", "offset": "shift"},
    )
    whole = mf.lmer(formula, data, **how)
    same_fit(mf.lmer(formula, engine(data), **how), whole)
    nan = pa.Table.from_pandas(data, preserve_index=False, safe=False)
    for name in ("math", "ses"):  # NaN where the others are NULL
        nan = nan.set_column(
            nan.column_names.index(name), name, pa.array(data[name].to_numpy(), from_pandas=False)
        )
    lazy = duckdb.from_arrow(nan) if engine is in_duckdb else pl.from_arrow(nan).lazy()
    same_fit(mf.lmer(formula, lazy, **how), whole)
    with pytest.raises(mf.DataError, match="missing values in"):
        mf.lmer(formula, engine(data), na_action="raise", **how)


def test_sums_are_safe_far_from_zero(engine):
    data = as_text(frame("hsb")).assign(math=lambda d: d.math + 1e7, ses=lambda d: d.ses + 1e5)
    formula = "math ~ ses + (1 + ses | school)"
    ours, theirs = mf.lmer(formula, engine(data)), mf.lmer(formula, data)
    assert ours.criterion == pytest.approx(theirs.criterion, rel=ROUNDING)
    assert ours.sigma == pytest.approx(theirs.sigma, rel=1e-8)


def test_columns_that_others_nearly_determine(engine):
    data = as_text(frame("sleepstudy")).assign(year=lambda d: 2000.0 + d.Days)
    formula = "Reaction ~ year + I(year ** 2) + I(year ** 3) + (1 | Subject)"
    whole, pushed = mf.lmer(formula, data), mf.lmer(formula, engine(data))
    assert len(whole.params) == 4
    pushed.library = "pandas"
    pd.testing.assert_frame_equal(pushed.coef_table(), whole.coef_table(), rtol=1e-5)


def test_weights_too_far_from_one_are_refused(engine):
    data = as_text(frame("sleepstudy")).assign(w=1e120)
    with pytest.raises(mf.DataError, match="weights run from 1e\\+120"):
        mf.lmer("Reaction ~ Days + (1 | Subject)", engine(data), weights="w")


def test_given_levels_and_addition(engine):
    data = as_text(frame("hsb"))
    levels = {"sex": ["Female", "Male"], "school": sorted(data.school.unique())}
    formula = "math ~ ses * sex + (1 + ses | school)"
    cut = len(data) // 2
    a, b = (
        mf.crossproducts(formula, engine(part), levels=levels) for part in (data[:cut], data[cut:])
    )
    same_fit(mf.fit(a + b), mf.lmer(formula, data))
    with pytest.raises(
        mf.DataError,
        match=r"'sex' has levels .* among the 2 known ones: 'Male'; name them all in levels=",
    ):
        mf.crossproducts(formula, engine(data), levels={"sex": ["Female", "X"]})


def test_numbers_as_groups_and_decimals_as_numbers():
    data = frame("hsb").assign(school=lambda d: d.school.astype(str).astype(int))
    rows = duckdb.connect()
    rows.register(
        "hsb", pa.Table.from_pandas(data[["math", "ses", "school"]], preserve_index=False)
    )
    relation = rows.sql(
        "select math::decimal(9, 3) as math, ses, school::double as school, ses > 0 as high from hsb"
    )
    pushed = mf.lmer("math ~ ses + high + (1 | school)", relation)
    same_fit(pushed, mf.lmer("math ~ ses + high + (1 | school)", data.assign(high=data.ses > 0)))
    assert pushed.ranef()["school"].index.dtype.kind == "i"


def test_inference_and_prediction_need_no_rows(engine):
    data = as_text(frame("hsb"))
    formula = "math ~ ses + sex + (1 + ses | school)"
    ours, theirs = mf.lmer(formula, engine(data)), mf.lmer(formula, data)
    ours.library = "pandas"
    pd.testing.assert_frame_equal(
        ours.coef_table(ddf="kenward-roger"), theirs.coef_table(ddf="kenward-roger"), rtol=1e-6
    )
    pd.testing.assert_frame_equal(ours.anova(), theirs.anova(), rtol=1e-6)
    np.testing.assert_allclose(ours.predict(data[:50]), theirs.predict(data[:50]), rtol=1e-7)
    with pytest.raises(mf.DataError, match="rows"):
        _ = ours.fitted


def test_columns_and_arrays_are_named(engine):
    data = as_text(frame("hsb"))
    with pytest.raises(mf.DataError, match=r"'sess'.*did you mean 'ses'"):
        mf.lmer("math ~ sess + (1 | school)", engine(data))
    with pytest.raises(mf.DataError, match="weights must be the name of a column"):
        mf.lmer("math ~ ses + (1 | school)", engine(data), weights=np.ones(len(data)))
    dates = engine(data.assign(day=pd.Timestamp("2026-01-01")))
    with pytest.raises(mf.DataError, match=r"'day' holds Datetime"):
        mf.lmer("math ~ day + (1 | school)", dates)
    with pytest.raises(mf.DataError, match="response 'sex'"):
        mf.lmer("sex ~ ses + (1 | school)", engine(data))


@pytest.mark.parametrize(
    ("change", "match"),
    [
        (
            {"weights": "amount"},
            r"column 'amount' holds text where numbers are needed: cast it in the engine first",
        ),
        (
            {"offset": "amount"},
            r"column 'amount' holds text where numbers are needed: cast it in the engine first",
        ),
        (
            {"fixed": "offset(amount)"},
            r"column 'amount' holds text where numbers are needed: cast it in the engine first",
        ),
        (
            {"fixed": "I(amount * 2)"},
            r"column 'amount' holds categories where 'I\(amount \* 2\)' needs numbers",
        ),
        ({"fixed": "scale(amount)"}, r"column 'amount' holds text where 'amount' needs numbers"),
        (
            {"levels": {"Subject": [308, 309]}},
            r"column 'Subject' has levels .* among the 2 known ones: '308', '309', '310'",
        ),
    ],
)
def test_text_is_no_number(change, match, engine):
    """Not even text of numerals, which engines would read as such."""
    data = as_text(frame("sleepstudy")).assign(
        amount=lambda d: np.where(np.arange(len(d)) % 2, "12", "13")
    )
    how = dict(change)
    with pytest.raises(mf.DataError, match=match):
        mf.lmer(f"Reaction ~ {how.pop('fixed', 'Days')} + (1 | Subject)", engine(data), **how)
