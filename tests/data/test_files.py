"""Files as they come: CSV with late types, odd folders, parts without values, damage."""

from __future__ import annotations

from itertools import pairwise

import numpy as np
import pandas as pd
import pytest
from helpers.cases import frame

import mixedfast as mf

pa = pytest.importorskip("pyarrow")
pq = pytest.importorskip("pyarrow.parquet")
datasets = pytest.importorskip("pyarrow.dataset")

# sums of the same numbers in another order and about another shift
ROUNDING = 1e-9
FORMULA = "y ~ x + sex + (1 + x | school) + (1 | item)"
LISTED = {"school": [f"s{i:02d}" for i in range(12)], "item": list(range(7)), "sex": ["F", "M"]}


@pytest.fixture(scope="module")
def rows():
    rng = np.random.default_rng(11)
    n = 900
    school, item, sex = rng.integers(0, 12, n), rng.integers(0, 7, n), rng.integers(0, 2, n)
    x = rng.normal(size=n).round(2)
    effects = (
        rng.normal(size=12)[school]
        + rng.normal(0, 0.5, 12)[school] * x
        + rng.normal(0, 0.7, 7)[item]
    )
    y = (1 + 0.5 * x + 0.3 * sex + effects + rng.normal(size=n)).round(3)
    names = {
        "sex": np.array(["F", "M"])[sex],
        "school": [f"s{i:02d}" for i in school],
        "item": item,
    }
    return pd.DataFrame({"y": y, "x": x, **names})


def cut(rows, count=3):
    edges = np.linspace(0, len(rows), count + 1).astype(int)
    return [rows.iloc[a:b] for a, b in pairwise(edges)]


def table(rows):
    return pa.Table.from_pandas(rows, preserve_index=False)


def write(folder, parts, **options):
    for i, part in enumerate(parts):
        pq.write_table(part, folder / f"{i}.parquet", **options)
    return folder


def same(ours, theirs):
    ours.library = theirs.library = "pandas"
    assert (ours.nobs, ours.n_groups) == (theirs.nobs, theirs.n_groups)
    assert ours.criterion == pytest.approx(theirs.criterion, rel=ROUNDING)
    assert list(ours.params.index) == list(theirs.params.index)
    np.testing.assert_allclose(ours.params, theirs.params, rtol=ROUNDING, atol=ROUNDING)
    np.testing.assert_allclose(
        ours.bse, theirs.bse, rtol=1e-8
    )  # theta moves a little where the optimum is flat
    for group, modes in theirs.ranef().items():
        assert list(map(str, ours.ranef()[group].index)) == list(map(str, modes.index))


# --- CSV ------------------------------------------------------------------------------------------


@pytest.fixture
def one_block(monkeypatch):
    """Types are guessed from the first rows: so few of them that tests need no megabytes."""
    from mixedfast.data import csv_files

    read = csv_files._reader

    def reader(path, types=None):

        if types is None:
            first = pd.read_csv(path, nrows=20)
            return pa.Table.from_pandas(first, preserve_index=False).to_reader()
        return read(path, types)

    monkeypatch.setattr(csv_files, "_reader", reader)


@pytest.mark.usefixtures("one_block")
@pytest.mark.parametrize("late", [lambda v: v.round(), lambda v: v * np.nan])
def test_numbers_that_show_their_type_late(rows, tmp_path, late):
    """Whole numbers, or nothing, in the first rows; fractions further on, and in other files."""
    data = rows.assign(x=np.where(np.arange(len(rows)) < 100, late(rows.x), rows.x))
    text = data.assign(
        x=[
            ("" if np.isnan(v) else repr(int(v)) if i < 100 else repr(v))
            for i, v in enumerate(data.x)
        ]
    )
    for i, part in enumerate(cut(text)):
        part.to_csv(tmp_path / f"{i}.csv", index=False)
    m = mf.lmer(FORMULA, tmp_path)
    same(m, mf.lmer(FORMULA, data))
    assert len(m.fitted) == data.x.notna().sum()


def test_rows_read_before_a_type_is_widened_come_once(tmp_path):
    from mixedfast.data.csv_files import Csv

    values = [*range(200_000), 0.5]  # more than one block of text
    (tmp_path / "a.csv").write_text("x\n" + "\n".join(map(str, values)) + "\n")
    read = [
        v for part in Csv(tmp_path / "a.csv", {"x": pa.int64()})() for v in part["x"].to_pylist()
    ]
    assert read == values


@pytest.mark.usefixtures("one_block")
def test_text_among_numbers_is_named(rows, tmp_path):
    rows.assign(x=rows.x.astype(str).where(rows.index != 700, "three")).to_csv(
        tmp_path / "a.csv", index=False
    )
    with pytest.raises(mf.DataError, match=r"a\.csv.*column 'x'.*'three'"):
        mf.lmer(FORMULA, tmp_path)


def test_dates_in_csv_are_labels_and_other_letters_are_told(rows, tmp_path):
    days = (pd.Timestamp("2024-01-01") + pd.to_timedelta(rows["item"], "D")).dt.strftime("%Y-%m-%d")
    rows.assign(item=days).to_csv(tmp_path / "a.csv", index=False)
    same(mf.lmer(FORMULA, tmp_path), mf.lmer(FORMULA, rows.assign(item=days)))
    with_accents = rows.assign(school="é" + rows.school.astype(str))
    with_accents.to_csv(tmp_path / "a.csv", index=False, encoding="latin1")
    with pytest.warns(mf.DataWarning, match=r"a\.csv is not UTF-8: it is read as Latin-1"):
        m = mf.lmer(FORMULA, tmp_path)
    same(m, mf.lmer(FORMULA, with_accents))


def test_lines_of_other_length_are_told_without_a_column(rows, tmp_path):
    lines = rows.to_csv(index=False).splitlines()
    (tmp_path / "a.csv").write_text("\n".join([*lines[:50], lines[50] + ",1", *lines[51:]]))
    with pytest.raises(
        mf.DataError, match=r"a\.csv, line '.*': 6 values, and the header has 5 names"
    ):
        mf.lmer(FORMULA, tmp_path)


# --- types and names ------------------------------------------------------------------------------


@pytest.mark.parametrize("column", ["y", "x", "sex", "school", "item"])
@pytest.mark.parametrize("where", [0, 2])
def test_a_file_may_have_no_value_of_a_column(rows, tmp_path, column, where):
    parts = list(map(table, cut(rows)))
    place = parts[where].column_names.index(column)
    parts[where] = parts[where].set_column(place, column, pa.nulls(parts[where].num_rows))
    rest = rows.drop(cut(rows)[where].index)
    same(mf.lmer(FORMULA, write(tmp_path, parts)), mf.lmer(FORMULA, rest))
    if where or column in ("y", "x", "item"):
        same(mf.lmer(FORMULA, parts), mf.lmer(FORMULA, rest))
    else:
        with pytest.raises(
            mf.DataError,
            match=f"batch 1: column '{column}' holds text here and only missing values in batch 0",
        ):
            mf.lmer(FORMULA, parts)


def test_a_column_that_is_there_twice_is_told(rows, tmp_path):
    parts = list(map(table, cut(rows)))
    twice = parts[1].append_column("x", parts[1]["x"])
    with pytest.raises(mf.DataError, match="two columns 'x'"):
        mf.lmer(FORMULA, [twice])
    with pytest.raises(mf.DataError, match=r"1\.parquet has two columns 'x'"):
        mf.lmer(FORMULA, write(tmp_path, [parts[0], twice]))


def test_folders_may_hold_any_label(rows, tmp_path):
    labels = {"s00": "a b", "s01": "5%", "s02": "c/d", "s03": "é=1", "s04": "7"}
    data = rows.assign(school=rows.school.replace(labels))
    data.loc[data["sex"].eq("M") & data["item"].eq(3), "school"] = None
    by = datasets.partitioning(pa.schema([("school", pa.string())]), flavor="hive")
    datasets.write_dataset(table(data), tmp_path, format="parquet", partitioning=by)
    same(mf.lmer(FORMULA, tmp_path), mf.lmer(FORMULA, data))


def test_folders_of_csv_files(rows, tmp_path):
    for item, part in rows.groupby("item"):
        (tmp_path / f"item={item}").mkdir()
        part.drop(columns="item").to_csv(tmp_path / f"item={item}" / "a.csv", index=False)
    same(mf.lmer(FORMULA, tmp_path), mf.lmer(FORMULA, rows))


# --- Arrow datasets -------------------------------------------------------------------------------


class Recorded:
    """An Arrow dataset that notes which columns are asked of it."""

    def __init__(self, dataset):
        self.dataset, self.schema, self.asked = dataset, dataset.schema, []

    def to_batches(self, columns):
        self.asked.append(tuple(columns))
        return self.dataset.to_batches(columns=columns)


def test_a_dataset_is_asked_for_the_columns_of_the_formula(rows, tmp_path):
    from mixedfast.crossprod.streaming import stream_crossproducts
    from mixedfast.data.batches import Dataset
    from mixedfast.design.request import Request
    from mixedfast.formula.parser import parse

    write(tmp_path, [table(part.assign(other=1.0)) for part in cut(rows)])
    recorded = Recorded(datasets.dataset(tmp_path))
    cp, _ = stream_crossproducts(Request(parse(FORMULA), Dataset(recorded)))
    same(mf.fit(cp), mf.lmer(FORMULA, rows))
    assert {name for columns in recorded.asked for name in columns} == {
        "y",
        "x",
        "sex",
        "school",
        "item",
    }


def test_a_damaged_file_of_a_dataset_is_named(rows, tmp_path):
    write(tmp_path, list(map(table, cut(rows))))
    (tmp_path / "1.parquet").write_bytes((tmp_path / "1.parquet").read_bytes()[:200])
    with pytest.raises(mf.DataError, match=r"1\.parquet, column 'y', cannot be read"):
        mf.lmer(FORMULA, datasets.dataset(tmp_path))
    with pytest.raises(mf.DataError, match=r"dataset cannot be read: .*1\.parquet"):
        mf.lmer(FORMULA, datasets.dataset(tmp_path).filter(datasets.field("x") > -9))


# --- damage ---------------------------------------------------------------------------------------


@pytest.mark.parametrize("compression", ["none", "snappy", "zstd"])
def test_a_byte_that_was_turned_is_noticed_where_pages_have_checksums(rows, tmp_path, compression):
    """Spark writes checksums, as pyarrow can: every page of a column that is read is checked."""
    write(tmp_path, list(map(table, cut(rows))), compression=compression, write_page_checksum=True)
    path = tmp_path / "1.parquet"
    whole, group = path.read_bytes(), pq.ParquetFile(path).metadata.row_group(0)
    noticed = 0
    for at in range(group.num_columns):
        chunk = group.column(at)
        last = (
            (chunk.dictionary_page_offset or chunk.data_page_offset)
            + chunk.total_compressed_size
            - 1
        )
        turned = bytearray(whole)
        turned[last] ^= 1
        path.write_bytes(turned)
        with pytest.raises(
            mf.DataError, match=rf"1\.parquet is damaged, column '{chunk.path_in_schema}'"
        ):
            mf.lmer(FORMULA, tmp_path)
        noticed += 1
    assert noticed == 5


def test_damaged_labels_are_told(rows, tmp_path):
    write(tmp_path, list(map(table, cut(rows))), compression="none", use_dictionary=False)
    path = tmp_path / "1.parquet"
    content = path.read_bytes()
    path.write_bytes(content.replace(b"s07", b"s\xff7"))
    with pytest.raises(mf.DataError, match=r"1\.parquet: column 'school' is damaged: .*UTF8"):
        mf.lmer(FORMULA, tmp_path)


def test_values_that_the_sample_did_not_show_to_be_too_large(rows):
    many = pd.concat([rows] * 30, ignore_index=True)
    many.loc[12_345, "x"] = 1e200
    for data in (many, [many]):
        with pytest.raises(
            mf.DataError, match="values of 'x' are so large that their squares overflow"
        ):
            mf.lmer(FORMULA, data)


@pytest.mark.filterwarnings("error::RuntimeWarning")
def test_one_wild_value_leaves_a_start(rows):
    """An age of 1,000,000: the moments cancel, and the search begins without them."""
    many = pd.concat([rows] * 8, ignore_index=True)
    many.loc[1501, "x"] = 1e6
    assert mf.lmer(FORMULA, many).converged


# --- levels ---------------------------------------------------------------------------------------

MORE = {
    "school": [*LISTED["school"], "s98", "s99"],
    "item": [-1, *LISTED["item"]],
    "sex": LISTED["sex"],
}
MODELS = [
    "y ~ x + (1 | school)",
    FORMULA,
    "y ~ x + (1 | school / item)",
    "y ~ (0 + x | school)",
    "y ~ x + (1 | item) + (x || school)",
]


@pytest.mark.filterwarnings("ignore::mixedfast.SingularFitWarning")
@pytest.mark.parametrize("formula", MODELS)
def test_levels_that_no_row_has_are_no_groups(rows, formula, tmp_path):
    data = rows.assign(fixed=rows.school.str[1:].astype(int) % 4)
    formula = formula.replace("~ ", "~ fixed + ")
    levels = {name: values for name, values in MORE.items() if name in formula}
    whole = mf.lmer(formula, data)
    cp = mf.crossproducts(formula, [data], levels=levels)
    m = mf.lmer(formula, cut(data), levels=levels)
    for found in (
        m,
        mf.fit(cp),
        mf.fit(cp + mf.crossproducts(formula, [data.iloc[:0], data.iloc[:1]], levels=levels)),
    ):
        if found.nobs == whole.nobs:
            same(found, whole)
            for method in ("group", "between-within", "containment", "hlm", "kenward-roger"):
                if method in ("hlm", "group", "between-within") and "item" in formula:
                    continue  # these are not defined for several factors
                mine, theirs = (
                    found.coef_table(ddf=method)["df"],
                    whole.coef_table(ddf=method)["df"],
                )
                np.testing.assert_allclose(mine, theirs, rtol=1e-6, err_msg=method)
        else:
            assert found.nobs == whole.nobs + 1 and found.n_groups == whole.n_groups
    np.testing.assert_allclose(m.fitted, whole.fitted, rtol=1e-7)
    m.augment_to(tmp_path / "out.parquet")
    assert pq.read_table(tmp_path / "out.parquet").num_rows == len(data)
    assert [len(group.levels) for group in cp.groups] >= [
        len(group.levels) for group in whole._fit.cp.groups
    ]


@pytest.mark.parametrize("form", [list, iter, lambda parts: lambda: iter(parts)])
def test_first_batches_without_a_complete_row_where_levels_are_given(rows, form):
    parts = [rows.iloc[:0], rows.iloc[:5].assign(y=np.nan), *cut(rows)]
    same(mf.lmer(FORMULA, form(parts), levels=LISTED), mf.lmer(FORMULA, rows))
    with pytest.raises(mf.DataError, match="no row is complete: values are missing in 'y'"):
        mf.lmer(FORMULA, form(parts[:2]), levels=LISTED)


def test_first_batches_without_rows_need_not_know_their_types(rows):
    unknown = pa.table({name: pa.nulls(0) for name in rows.columns})
    for form in (list, iter, lambda parts: lambda: iter(parts)):
        same(
            mf.lmer(FORMULA, form([unknown, unknown, *cut(rows)]), levels=LISTED),
            mf.lmer(FORMULA, rows),
        )
    with pytest.raises(
        mf.DataError, match=r"batch 2: column 'y' holds text here .* and number in batch 1"
    ):
        mf.lmer(FORMULA, [unknown, rows, rows.assign(y="a")])


def test_levels_of_arrow_and_sets(rows):
    same(
        mf.lmer(FORMULA, [rows], levels={"school": pa.array(LISTED["school"])}),
        mf.lmer(FORMULA, rows),
    )
    with pytest.raises(mf.DataError, match="must be a list of levels in their order"):
        mf.lmer(FORMULA, [rows], levels={"school": set(LISTED["school"])})


def test_a_checkpoint_is_the_path_of_a_file(tmp_path):
    for given, message in ((tmp_path, "is a folder"), (5, "takes the path of a file")):
        with pytest.raises(mf.MixedFastError, match=message):
            mf.crossproducts("math ~ ses + (1 | school)", [frame("hsb")], checkpoint=given)


# --- parts of the rows ----------------------------------------------------------------------------


@pytest.mark.filterwarnings("ignore::mixedfast.SingularFitWarning")
@pytest.mark.parametrize("form", [lambda part: part, lambda part: [part]])
@pytest.mark.parametrize(
    "formula",
    [
        "y ~ year + x + (year | school)",
        "y ~ x + (year || school)",
        "y ~ x + (1 | school) + (1 | year)",
        "y ~ x + (1 | school / year)",
    ],
)
def test_a_year_is_added(rows, formula, form):
    """In the rows of one year a slope by year is not identified; only the sum must be."""
    data = rows.assign(year=2020 + np.arange(len(rows)) % 4)
    parts = [mf.crossproducts(formula, form(part)) for _, part in data.groupby("year")]
    found, whole = mf.fit(sum(parts)), mf.lmer(formula, data)
    assert found.criterion == pytest.approx(whole.criterion, rel=ROUNDING)
    np.testing.assert_allclose(found.bse, whole.bse, rtol=1e-6)
    if "school / year" not in formula:
        with pytest.raises((mf.DataError, mf.NotIdentifiedError), match="year"):
            mf.fit(parts[0])


@pytest.mark.parametrize("form", [lambda part: part, lambda part: [part]])
@pytest.mark.parametrize("size", [1, 2, 60])
def test_a_school_of_any_size_is_added(rows, form, size):
    mine = rows[rows.school == "s03"].head(size)
    one, others = (
        mf.crossproducts(FORMULA, form(part), levels={"sex": ["F", "M"]})
        for part in (mine, rows.drop(mine.index))
    )
    for total in (one + others, others + one):
        same(mf.fit(total), mf.lmer(FORMULA, rows))
    with pytest.raises(
        (mf.DataError, mf.NotIdentifiedError),
        match=r"'school' has one level only|'item' has as many levels",
    ):
        mf.fit(one)
