"""Damaged files, columns that differ or are missing: named in the error."""

from __future__ import annotations

import numpy as np
import pytest
from helpers.cases import frame
from helpers.streams import (
    FORMULA,
    same_fit,
    spoil,
)

import mixedfast as mf

pa = pytest.importorskip("pyarrow")

pq = pytest.importorskip("pyarrow.parquet")

pl = pytest.importorskip("polars")

pytestmark = pytest.mark.filterwarnings("ignore::mixedfast.SingularFitWarning")


def test_a_corrupt_file_is_named_with_its_column(folder):
    name = spoil(folder / "part-2.parquet")
    with pytest.raises(mf.DataError, match=rf"part-2\.parquet is damaged, column '{name}'"):
        mf.lmer(
            f"math ~ {name} + (1 | school)" if name not in ("math", "school") else FORMULA, folder
        )
    (folder / "part-2.parquet").write_bytes(b"PAR1 nothing more")
    with pytest.raises(mf.DataError, match=r"part-2\.parquet cannot be read as Parquet"):
        mf.lmer(FORMULA, folder)


def test_columns_that_differ_are_named(folder):
    path = folder / "part-3.parquet"
    table = pq.read_table(path)
    pq.write_table(table.drop_columns(["ses"]), path)
    with pytest.raises(mf.DataError, match=r"part-3\.parquet has no column 'ses'"):
        mf.lmer(FORMULA, folder)
    at = table.column_names.index("ses")
    pq.write_table(table.set_column(at, "ses", table.column("ses").cast(pa.string())), path)
    with pytest.raises(mf.DataError, match=r"part-3\.parquet: column 'ses' holds text"):
        mf.lmer(FORMULA, folder)
    pq.write_table(table.set_column(at, "ses", pa.array(np.full(table.num_rows, np.inf))), path)
    with pytest.raises(mf.DataError, match=r"part-3\.parquet: column 'ses' holds \d+ infinite"):
        mf.lmer(FORMULA, folder)


def test_a_column_that_is_nowhere_is_named(folder):
    with pytest.raises(mf.DataError, match=r"'sess'.*did you mean 'ses'"):
        mf.lmer("math ~ sess + (1 | school)", folder)
    with pytest.raises(mf.DataError, match="no file matches"):
        mf.lmer(FORMULA, str(folder / "*.nothing"))


def test_a_batch_may_have_no_complete_row():
    data = frame("sleepstudy").assign(
        w=lambda d: 1.0 + np.arange(len(d)) % 3, Days=lambda d: d.Days.astype(float)
    )
    data.loc[:9, "Days"] = np.nan
    table = pa.Table.from_pandas(data, preserve_index=False)
    formula = "Reaction ~ Days + (1 | Subject)"
    same_fit(
        mf.lmer(formula, [table[:10], table[10:]], weights="w"), mf.lmer(formula, data, weights="w")
    )


def test_arrays_do_not_go_with_batches(folder):
    with pytest.raises(mf.DataError, match="weights must be the name of a column"):
        mf.lmer(FORMULA, folder, weights=np.ones(7185))
