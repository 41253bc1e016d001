"""Data read in batches give the fit of the data read at once."""

from __future__ import annotations

import re

import numpy as np
import pandas as pd
import pytest
from helpers.cases import frame, golden, golden_names
from helpers.streams import (
    FORMULA,
    ROUNDING,
    SCHOOLS,
    as_text,
    batches,
    options,
    same_fit,
    same_sums,
)

import mixedfast as mf

pa = pytest.importorskip("pyarrow")

pq = pytest.importorskip("pyarrow.parquet")

pl = pytest.importorskip("polars")

pytestmark = pytest.mark.filterwarnings("ignore::mixedfast.SingularFitWarning")

#: A batch of one row that is summed by itself takes 1.5 ms; batches of one row put together take
#: 0.1 ms each.
SHORT, LONG = 150, 1000

#: Batches of one row, each summed by itself: short tables, and some with weights, missing values
#: and contrasts.
ONE_ROW = ["sleepstudy", "clinics_weights", "clinics_gaps", "trial_sum"]

#: Of these, the ones that `make test` takes.
ONE_ROW_IN_BRIEF = {"dyestuff", "edge_line"}


def rows_of(name):
    return len(frame(golden(name)["dataset"]))


def marked(names, mark, chosen):
    """Return the names as parameters, the chosen ones with the mark."""
    return [pytest.param(name, marks=mark if chosen(name) else ()) for name in names]


def in_batches(name, *counts):
    """Check that the rows of a golden model in so many batches give the fit of all rows at once."""
    record, how = golden(name), options(golden(name))
    data = frame(record["dataset"])
    whole = mf.lmer(record["formula_py"], data, **how)
    for count in counts:
        parts = mf.lmer(record["formula_py"], batches(data, count), **how)
        same_fit(parts, whole)
        if parts._fit.cp.constant is not None:
            same_sums(parts._fit.cp, whole._fit.cp)
    np.testing.assert_allclose(parts.fitted, whole.fitted, rtol=1e-7, atol=1e-6 * whole.sigma)


@pytest.mark.parametrize(
    "name",
    marked(golden_names(), pytest.mark.exhaustive, lambda name: name.startswith("insteval")),
)
@pytest.mark.usefixtures("small_units")
def test_batches_give_the_fit_of_the_whole(name):
    in_batches(name, 1, 2, 7)


@pytest.mark.parametrize(
    "name",
    marked(
        [name for name in golden_names() if rows_of(name) <= SHORT or name in ONE_ROW],
        pytest.mark.exhaustive,
        lambda name: name not in ONE_ROW_IN_BRIEF,
    ),
)
@pytest.mark.usefixtures("small_units")
def test_rows_summed_one_by_one_give_the_fit_of_the_whole(name):
    in_batches(name, rows_of(name))


@pytest.mark.parametrize(
    "name", marked(golden_names(), pytest.mark.slow, lambda name: rows_of(name) > LONG)
)
def test_batches_of_one_row_give_the_fit_of_the_whole(name):
    record, how = golden(name), options(golden(name))
    data = frame(record["dataset"])
    same_fit(
        mf.lmer(record["formula_py"], batches(data, len(data)), **how),
        mf.lmer(record["formula_py"], data, **how),
    )


@pytest.mark.slow
@pytest.mark.usefixtures("small_units")
@pytest.mark.parametrize("name", [name for name in golden_names() if rows_of(name) > SHORT])
def test_many_batches_summed_one_by_one_give_the_fit_of_the_whole(name):
    record, how = golden(name), options(golden(name))
    data = frame(record["dataset"])
    same_fit(
        mf.lmer(record["formula_py"], batches(data, 150), **how),
        mf.lmer(record["formula_py"], data, **how),
    )


def test_short_batches_are_put_together_and_the_one_at_fault_is_named():
    data = as_text(frame("sleepstudy"))
    table = pa.Table.from_pandas(
        data.assign(Subject=data.Subject.astype(str)), preserve_index=False
    )
    coded = table.set_column(2, "Subject", table.column("Subject").dictionary_encode())
    mixed = [
        part.slice(at, 1)
        for part in (table, coded)
        for at in range(90 * (part is coded), 90 + 90 * (part is coded))
    ]
    whole = mf.crossproducts("Reaction ~ Days + (Days | Subject)", data)
    same_sums(mf.crossproducts("Reaction ~ Days + (Days | Subject)", mixed), whole)
    mixed[17] = mixed[17].set_column(1, "Days", pa.array([np.inf]))
    with pytest.raises(mf.DataError, match="batch 17: column 'Days' holds 1 infinite"):
        mf.crossproducts("Reaction ~ Days + (Days | Subject)", mixed)
    with pytest.raises(
        mf.DataError, match="batch 40: column 'Subject' has levels that are not among"
    ):
        mf.crossproducts(
            "Reaction ~ Days + (Days | Subject)",
            [table.slice(4 * i, 4) for i in range(45)],
            levels={"Subject": sorted(set(data.Subject.astype(str)[:160]))},
        )


def test_the_sums_do_not_depend_on_threads():
    data = batches(frame("hsb"), 5)
    one, two = (
        mf.crossproducts("math ~ ses + (ses | school)", data, threads=count) for count in (1, 2)
    )
    np.testing.assert_array_equal(one.xy, two.xy)
    np.testing.assert_array_equal(one.groups[0].B, two.groups[0].B)


def test_paths_folders_globs_lists(folder):
    whole = mf.lmer(FORMULA, frame("hsb"))
    files = sorted(folder.glob("*.parquet"))
    for data in (folder, str(folder), str(folder / "*.parquet"), files, [str(f) for f in files]):
        same_fit(mf.lmer(FORMULA, data), whole)


def test_iterables_functions_readers(folder):
    whole = mf.lmer(FORMULA, frame("hsb"))
    parts = batches(frame("hsb"), 3)
    dataset = pytest.importorskip("pyarrow.dataset").dataset(folder)
    for data in (
        parts,
        tuple(parts),
        lambda: iter(parts),
        dataset,
        [frame("hsb")],
        [p.to_batches()[0] for p in parts],
    ):
        same_fit(mf.lmer(FORMULA, data), whole)


def test_an_iterator_is_spooled_and_says_so():
    whole = mf.lmer(FORMULA, frame("hsb"))
    with pytest.warns(UserWarning, match="temporary file"):
        m = mf.lmer(FORMULA, iter(batches(frame("hsb"), 3)))
    same_fit(m, whole)
    assert len(m.fitted) == whole.nobs
    reader = pa.Table.from_pandas(frame("hsb"), preserve_index=False).to_reader(1000)
    with pytest.warns(UserWarning, match="temporary file"):
        same_fit(mf.lmer(FORMULA, reader), whole)


@pytest.mark.filterwarnings("error::UserWarning")
def test_given_levels_make_one_pass():
    data = frame("hsb")
    passes = []

    def once():
        passes.append(1)
        return iter(batches(data, 3))

    whole = mf.lmer(FORMULA, data)
    same_fit(mf.lmer(FORMULA, once, levels={"school": SCHOOLS}), whole)
    assert len(passes) == 2  # one to look at the first batch, one to read
    same_fit(mf.lmer(FORMULA, iter(batches(data, 3)), levels={"school": SCHOOLS}), whole)
    with pytest.raises(mf.DataError, match=r"batch \d.*'school'.*9586"):
        mf.lmer(FORMULA, once, levels={"school": SCHOOLS[:-1]})


def test_given_levels_make_parts_add():
    record = golden("trial_sum")
    data = frame(record["dataset"])
    names = list(data.select_dtypes("category"))
    levels = {name: list(data[name].cat.categories) for name in names}
    cut = len(data) // 3
    how = {"contrasts": options(record)["contrasts"], "levels": levels}
    a, b = (
        mf.crossproducts(record["formula_py"], part, **how) for part in (data[:cut], data[cut:])
    )
    same_fit(
        mf.fit(a + b, REML=record["REML"]), mf.lmer(record["formula_py"], data, **options(record))
    )


@pytest.mark.parametrize(
    "formula",
    [
        "Reaction ~ scale(Days) + (scale(Days) | Subject)",
        "Reaction ~ center(Days) + I(Days ** 2) + (1 | Subject)",
        "Reaction ~ scale(log(Days + 1), ddof=0) + (1 | Subject)",
        "Reaction ~ scale(Days, center=False) + (1 | Subject)",
        "Reaction ~ bs(Days, knots=[3, 6]) + (1 | Subject)",
        "log(Reaction) ~ np.sqrt(Days) + C(Days) + (1 | Subject)",
        "Reaction ~ . + (1 | Subject)",
        "Reaction ~ Days + offset(2 * Days) + (Days || Subject)",
    ],
)
def test_transforms_use_the_whole_column(formula):
    data = frame("sleepstudy")
    same_fit(mf.lmer(formula, batches(data, 4)), mf.lmer(formula, data))


@pytest.mark.parametrize("term", ["poly(Days, 2)", "bs(Days, df=4)", "cr(Days, df=3)"])
def test_transforms_that_need_all_rows_are_refused_by_name(term):
    with pytest.raises(mf.DataError, match=re.escape(term)):
        mf.lmer(f"Reaction ~ {term} + (1 | Subject)", batches(frame("sleepstudy"), 2))


def test_columns_that_others_nearly_determine(tmp_path):
    data = frame("sleepstudy").assign(year=lambda d: 2000.0 + d.Days)
    formula = "Reaction ~ year + I(year ** 2) + I(year ** 3) + (1 | Subject)"
    whole = mf.lmer(formula, data)
    assert len(whole.params) == 4
    pd.testing.assert_frame_equal(
        mf.lmer(formula, batches(data, 5)).coef_table(), whole.coef_table(), rtol=1e-5
    )


def test_what_only_all_rows_can_tell():
    data = frame("hsb").assign(
        twin=lambda d: d.school.astype(str) + "x", level=lambda d: d.mean_ses, same=3.0
    )
    parts = batches(data, 4)
    with pytest.warns(
        UserWarning, match=r"\(Intercept \| school\) and \(Intercept \| twin\) cannot"
    ) as seen:
        mf.lmer("math ~ 1 + (1 | school) + (1 | twin)", parts)
    assert seen[0].filename == __file__
    with pytest.warns(UserWarning, match="'level' has a single value in every group") as seen:
        mf.lmer("math ~ level + (1 + level | school)", parts)
    assert seen[0].filename == __file__
    with pytest.raises(mf.NotIdentifiedError, match="'same' is zero or a constant"):
        mf.lmer("math ~ 1 + (1 + same | school)", parts)
    with pytest.raises(mf.DataError, match="one level only"):
        mf.lmer("math ~ 1 + (1 | same)", parts)


def test_a_level_without_rows_stays_in_the_sums_and_is_no_group():
    data = frame("hsb")
    levels = {"school": [*SCHOOLS, "a new school"]}
    assert mf.crossproducts(FORMULA, batches(data, 2), levels=levels).groups[0].n_levels == 161
    m = mf.lmer(FORMULA, batches(data, 2), levels=levels)
    same_fit(m, mf.lmer(FORMULA, data))
    assert m.n_groups == {"school": 160}


def test_missing_values_are_left_out_alike():
    rng = np.random.default_rng(5)
    data = frame("hsb").assign(track=lambda d: np.where(d.school.astype(int) % 2, "a", "b"))
    data["track"] = data.track.astype(object)
    for column in ("math", "ses", "track", "school"):
        data[column] = data[column].where(rng.random(len(data)) > 0.02)
    formula = "math ~ ses * track + (1 + ses | school)"
    whole = mf.lmer(formula, data)
    for count in (1, 7):
        same_fit(mf.lmer(formula, batches(data, count)), whole)
    with pytest.raises(mf.DataError, match="missing values in"):
        mf.lmer(formula, batches(data, 3), na_action="raise")


def as_type(table, name, kind):
    at = table.column_names.index(name)
    return table.set_column(at, name, table.column(name).cast(kind))


def in_words(table, index):
    column = table.column("school").combine_chunks().dictionary_encode()
    coded = pa.DictionaryArray.from_arrays(column.indices.cast(index), column.dictionary)
    return table.set_column(table.column_names.index("school"), "school", coded)


@pytest.mark.parametrize(
    ("first", "second"),
    [
        (lambda t: in_words(t, pa.int8()), lambda t: in_words(t.slice(7), pa.int32())),
        (lambda t: in_words(t, pa.int16()), lambda t: t),
        (lambda t: t, lambda t: in_words(t, pa.int16())),
        (lambda t: as_type(t, "sex", pa.large_string()), lambda t: t),
        (
            lambda t: as_type(t, "sex", pa.string_view()),
            lambda t: as_type(t, "school", pa.string_view()),
        ),
        (lambda t: as_type(t, "ses", pa.decimal128(12, 3)), lambda t: t),
        (lambda t: as_type(t, "school", pa.int32()), lambda t: as_type(t, "school", pa.int64())),
        (lambda t: as_type(t, "school", pa.uint64()), lambda t: as_type(t, "school", pa.float64())),
        (lambda t: pl.from_arrow(t), lambda t: pl.from_arrow(t)),
        (
            lambda t: pl.from_arrow(t).with_columns(pl.col("sex").cast(pl.Categorical)),
            lambda t: pl.from_arrow(t),
        ),
    ],
)
def test_parts_may_hold_one_thing_in_different_types(first, second, tmp_path):
    data = as_text(frame("hsb"))[["math", "ses", "sex", "school"]]
    table = pa.Table.from_pandas(data, preserve_index=False)
    a, b = first(table.slice(0, 120)), second(table.slice(120))
    rows = len(b) - len(data) + 120  # the first case leaves some out
    formula = "math ~ ses + sex + (1 | school)"
    whole = mf.lmer(formula, pd.concat([data[:120], data[120 - rows :]]))
    m = mf.lmer(formula, [a, b])
    assert m.criterion == pytest.approx(whole.criterion, rel=ROUNDING) and m.nobs == whole.nobs
    m.augment_to(tmp_path / "out.parquet")
    assert pq.read_metadata(tmp_path / "out.parquet").num_rows == m.nobs


def test_what_no_model_can_use_is_named():
    day = pa.array(pd.date_range("2026-01-01", periods=20).date)
    rows = [
        pa.table(
            {"y": np.arange(20.0), "g": np.arange(20) % 4, "day": day, "many": pa.array([[1]] * 20)}
        )
    ]
    for name, kind in (("day", "date32"), ("many", "list")):
        with pytest.raises(mf.DataError, match=rf"column '{name}' holds {kind}"):
            mf.lmer(f"y ~ {name} + (1 | g)", rows)


@pytest.mark.parametrize(
    "levels", [["a"], {"sxe": ["F"]}, {"school": "a"}, {"school": []}, {"school": ["a", "a"]}]
)
def test_levels_are_checked(folder, levels):
    with pytest.raises(mf.DataError, match=r"levels|'sxe' in the data; did you mean 'sex'"):
        mf.lmer(FORMULA, folder, levels=levels)


def test_files_without_rows_and_addresses(folder):
    whole = mf.lmer(FORMULA, folder)
    table = pq.read_table(folder / "part-0.parquet")
    pq.write_table(table.slice(0, 0), folder / "a.parquet")
    pq.write_table(table.slice(0, 0), folder / "z.parquet")
    same_fit(mf.lmer(FORMULA, folder), whole)
    with pytest.raises(mf.DataError, match="no rows"):
        mf.lmer(FORMULA, folder / "a.parquet")
    with pytest.raises(mf.DataError, match="Arrow dataset"):
        mf.lmer(FORMULA, "s3://bucket/*.parquet")
    (folder / "a.parquet").write_bytes(b"")
    with pytest.raises(mf.DataError, match=r"a\.parquet cannot be read as Parquet"):
        mf.lmer(FORMULA, folder)


def test_empty_batches_and_batches_without_a_complete_row():
    data = frame("hsb")
    table = pa.Table.from_pandas(data, preserve_index=False)
    nothing = pa.Table.from_pandas(data[:50].assign(math=np.nan), preserve_index=False)
    m = mf.lmer(FORMULA, [table.slice(0, 0), table.slice(0, 3000), nothing, table.slice(3000)])
    assert m.nobs == len(data) and m._fit.cp.meta.missing == {"math": 50}
    assert m.criterion == pytest.approx(mf.lmer(FORMULA, data).criterion, rel=ROUNDING)
    with pytest.raises(mf.DataError, match="math"):
        mf.lmer(FORMULA, [nothing])


def test_csv_files(tmp_path):
    data = frame("hsb")
    for i in range(3):
        data[i::3].to_csv(tmp_path / f"{i}.csv", index=False)
    m = mf.lmer(FORMULA, tmp_path)
    assert m.criterion == pytest.approx(mf.lmer(FORMULA, data).criterion, rel=ROUNDING)


def test_folders_named_by_a_value_are_a_column(tmp_path):
    data = frame("hsb")
    for size, part in data.groupby("size"):
        where = tmp_path / f"size={size}"
        where.mkdir()
        pq.write_table(
            pa.Table.from_pandas(part.drop(columns="size"), preserve_index=False),
            where / "0.parquet",
        )
    formula = "math ~ size + (1 | school)"
    assert mf.lmer(formula, tmp_path).criterion == pytest.approx(
        mf.lmer(formula, data).criterion, rel=ROUNDING
    )


def test_only_the_columns_of_the_formula_are_read(folder, monkeypatch):
    asked = []
    read = pq.ParquetFile.iter_batches

    def iter_batches(self, *args, columns=None, **more):
        asked.append(tuple(columns))
        return read(self, *args, columns=columns, **more)

    monkeypatch.setattr(pq.ParquetFile, "iter_batches", iter_batches)
    mf.lmer(FORMULA, folder)
    assert set(asked) == {
        ("school",),
        ("math", "ses", "school"),
    }  # no value is missing: levels need no other column


def test_a_first_pass_over_keys_alone_is_taken_back_when_a_value_is_missing(folder):
    """Footers count NULL and not NaN.

    A school whose rows all have a NaN has no row, and is no level.
    """
    data = frame("hsb")
    gone = data.school == data.school.iloc[-1]
    holes = data.assign(ses=data.ses.where(~gone))
    for i, part in enumerate(batches(holes.assign(ses=0.0), 4)):
        values = holes.ses.to_numpy()[len(holes) * i // 4 : len(holes) * (i + 1) // 4]
        at = part.column_names.index("ses")
        pq.write_table(
            part.set_column(at, "ses", pa.array(values, from_pandas=False)),
            folder / f"part-{i}.parquet",
        )
        assert (
            pq.ParquetFile(folder / f"part-{i}.parquet")
            .metadata.row_group(0)
            .column(at)
            .statistics.null_count
            == 0
        )
    m = mf.lmer(FORMULA, folder)
    same_fit(m, mf.lmer(FORMULA, holes))
    assert m.n_groups == {"school": 159}
    with pytest.raises(mf.DataError, match=rf"missing values in 'ses' \({gone.sum()}\)"):
        mf.lmer(FORMULA, folder, na_action="raise")


def test_text_is_read_as_a_short_list_and_places_in_it(folder):
    """Every file, and every row group, has a list of its own.

    Entries that no complete row has are no levels.
    """
    data = as_text(frame("hsb")).assign(
        track=lambda d: np.where(np.arange(len(d)) < 3000, "b", "a")
    )
    data.loc[:9, "track"], data.loc[:9, "math"] = "only where math is missing", np.nan
    for i, part in enumerate(batches(data, 4)):
        pq.write_table(
            part, folder / f"part-{i}.parquet", row_group_size=500, use_dictionary=i != 2
        )
    formula = "math ~ ses * track + sex + (1 | school:track)"
    m = mf.lmer(formula, folder)
    same_fit(m, mf.lmer(formula, data))
    m.augment_to(folder / "out.parquet")
    there, here = (
        pq.read_schema(folder / name).field("track").type
        for name in ("part-0.parquet", "out.parquet")
    )
    assert here == there


# --- after the fit --------------------------------------------------------------------------------


def test_inference_needs_no_rows(folder):
    whole, streamed = mf.lmer(FORMULA, frame("hsb")), mf.lmer(FORMULA, folder)
    for ddf in ("satterthwaite", "kenward-roger", "group", "residual"):
        pd.testing.assert_frame_equal(
            streamed.coef_table(ddf=ddf), whole.coef_table(ddf=ddf), rtol=1e-6
        )
    pd.testing.assert_frame_equal(streamed.anova(), whole.anova(), rtol=1e-6)
    pd.testing.assert_frame_equal(streamed.varcorr, whole.varcorr, rtol=1e-6)
    pd.testing.assert_frame_equal(streamed.confint(), whole.confint(), rtol=1e-5)
    assert streamed.icc() == pytest.approx(whole.icc()) and streamed.r2() == pytest.approx(
        whole.r2()
    )
    assert "math ~ ses" in str(streamed.summary())
    new = frame("hsb")[:20]
    np.testing.assert_allclose(streamed.predict(new), whole.predict(new), rtol=1e-7)


def test_fitted_values_stream_back_to_parquet(folder, tmp_path):
    data = frame("hsb")
    whole, m = mf.lmer(FORMULA, data), mf.lmer(FORMULA, folder)
    m.augment_to(tmp_path / "out.parquet", columns=["sex"])
    out = pq.read_table(tmp_path / "out.parquet").to_pandas()
    assert list(out) == ["math", "ses", "school", "sex", ".fitted", ".resid", ".fixed"]
    np.testing.assert_allclose(out[".fitted"], whole.fitted, rtol=1e-7)
    np.testing.assert_allclose(out[".resid"], whole.resid(), atol=1e-6)
    np.testing.assert_allclose(m.resid("scaled"), whole.resid("scaled"), atol=1e-6)
    with pytest.raises(mf.DataError, match="all rows in memory"):
        m.augment()
    m.save(tmp_path / "m.mf")
    back = mf.load(tmp_path / "m.mf")
    back.augment_to(tmp_path / "again.parquet", data=folder)
    np.testing.assert_array_equal(
        pq.read_table(tmp_path / "again.parquet").column(".fitted"), out[".fitted"]
    )
    with pytest.raises(mf.DataError, match="give them as data="):
        back.augment_to(tmp_path / "never.parquet")


def test_pairs_of_levels_are_added_in_their_order():
    """Pairs that are there are added to, new ones come between them."""
    from mixedfast.crossprod.blocks import PairProducts
    from mixedfast.crossprod.streaming.merge import _add_pairs

    rng = np.random.default_rng(4)
    shape, dense = (9, 7), np.zeros((9, 7, 2, 1))
    total = PairProducts(np.zeros(10, np.int64), np.empty(0, np.int32), np.empty((0, 2, 1)))
    for count in (0, 3, 20, 63, 1, 40):
        cells = np.sort(rng.permutation(63)[:count])
        data = rng.integers(1, 9, (count, 2, 1)).astype(float)
        indptr = np.concatenate([[0], np.cumsum(np.bincount(cells // 7, minlength=9))])
        total = _add_pairs(
            total, PairProducts(indptr, (cells % 7).astype(np.int32), data.copy()), 7
        )
        dense[cells // 7, cells % 7] += data
        rows = np.repeat(np.arange(9), np.diff(total.indptr))
        assert total.indices.dtype == np.int32 and len(rows) == np.count_nonzero(dense[..., 0, 0])
        assert (np.diff(rows * 7 + total.indices) > 0).all() and shape == dense.shape[:2]
        np.testing.assert_array_equal(total.data, dense[rows, total.indices])
