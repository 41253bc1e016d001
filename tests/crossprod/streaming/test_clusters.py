"""Engines of several processes: Dask, Spark in local mode, and Ibis.

One worker of the local Dask cluster dies.
"""

from __future__ import annotations

import os
import signal
import threading
import time
from functools import cache

import numpy as np
import pandas as pd
import pytest
from helpers.cases import frame, golden, golden_names
from helpers.lazy_engines import far_apart, holes
from helpers.streams import as_text, options, same_fit

import mixedfast as mf

pytestmark = [
    pytest.mark.slow,
    pytest.mark.filterwarnings("ignore::mixedfast.SingularFitWarning"),
    # narwhals announces a package of its own for Dask
    pytest.mark.filterwarnings("ignore:Dask support is moving out of Narwhals:FutureWarning"),
]

FORMULA = "math ~ ses * sex + (1 + ses | school)"
FAR = "y ~ t + I(t ** 2) + (0 + x | b:g)"
every_model = pytest.mark.parametrize("name", golden_names())


def same_as_in_memory(name, rows):
    """Compare a golden model fitted from the sums of an engine and from rows."""
    record, how = golden(name), options(golden(name))
    whole = mf.lmer(record["formula_py"], as_text(frame(record["dataset"])), **how)
    same_fit(mf.lmer(record["formula_py"], rows(record["dataset"]), **how), whole)


@pytest.fixture(scope="module")
def cluster():
    distributed = pytest.importorskip("distributed")
    with (
        distributed.LocalCluster(
            n_workers=3, threads_per_worker=1, processes=True, dashboard_address=None
        ) as running,
        distributed.Client(running) as client,
    ):
        yield client


@pytest.fixture
def folder(tmp_path):
    pa = pytest.importorskip("pyarrow")
    pq = pytest.importorskip("pyarrow.parquet")
    data = as_text(frame("hsb"))
    for i in range(24):
        pq.write_table(
            pa.Table.from_pandas(data[i::24], preserve_index=False), tmp_path / f"{i:02d}.parquet"
        )
    return tmp_path


def slowly(part):
    time.sleep(0.1)
    return part


@pytest.fixture(scope="module")
def dask_rows(cluster):
    """Return a data set in the memory of the workers."""
    dd = pytest.importorskip("dask.dataframe")
    return cache(lambda dataset: dd.from_pandas(as_text(frame(dataset)), npartitions=3).persist())


@every_model
def test_dask_gives_the_fit_of_the_table_in_memory(dask_rows, name):
    same_as_in_memory(name, dask_rows)


def test_dask_reads_groups_far_apart_once_more(cluster):
    dd = pytest.importorskip("dask.dataframe")
    far_apart(FAR, 1e4, lambda data: dd.from_pandas(data, npartitions=3))


def test_dask_keeps_the_order_of_categories(cluster):
    dd = pytest.importorskip("dask.dataframe")
    record = golden("orthodont_slope")
    data = frame(record["dataset"])
    same_fit(
        mf.lmer(record["formula_py"], dd.from_pandas(data, npartitions=3)),
        mf.lmer(record["formula_py"], data),
    )


def odd_frames():
    """Frames that clusters hold and tables in memory are not: by what is odd about them."""
    dd, dask = pytest.importorskip("dask.dataframe"), pytest.importorskip("dask")
    data = as_text(frame("hsb"))
    texts = ["sex", "school"]
    rows = dd.from_pandas(data.assign(at=range(len(data))), npartitions=4)
    late = data.assign(at=range(len(data))).query("at >= 4000").drop(columns="at")
    coded = data.head(0).astype(dict.fromkeys(texts, "category"))
    parts = [
        dask.delayed(part.astype(dict.fromkeys(texts, "category")))
        for part in (data[:3], data[3:900], data[900:])
    ]
    return {
        "parts without rows": (rows[rows["at"] >= 4000], late),
        "unknown categories": (rows.astype(dict.fromkeys(texts, "category")), data),
        "categories of each part": (dd.from_delayed(parts, meta=coded, verify_meta=False), data),
        "text of pyarrow": (
            dd.from_pandas(data.astype(dict.fromkeys(texts, "string[pyarrow]")), npartitions=3),
            data,
        ),
    }


@pytest.mark.parametrize(
    "oddity",
    ["parts without rows", "unknown categories", "categories of each part", "text of pyarrow"],
)
def test_dask_frames_of_any_kind(cluster, oddity):
    rows, data = odd_frames()[oddity]
    same_fit(mf.lmer(FORMULA, rows), mf.lmer(FORMULA, data))


def test_a_worker_that_dies_changes_nothing(cluster, folder):
    dd = pytest.importorskip("dask.dataframe")
    data = dd.read_parquet(folder)
    undisturbed = mf.crossproducts(FORMULA, data)
    pids = list(cluster.run(os.getpid).values())
    killed = []

    def kill():
        time.sleep(1.0)
        os.kill(pids[0], signal.SIGKILL)
        killed.append(pids[0])

    thread = threading.Thread(target=kill)
    thread.start()
    start = time.monotonic()
    disturbed = mf.crossproducts(FORMULA, data.map_partitions(slowly, meta=data._meta))
    took = time.monotonic() - start
    thread.join()
    assert killed and took > 1.0  # the worker died while the sums were made
    now = set(cluster.run(os.getpid).values())
    assert killed[0] not in now
    np.testing.assert_allclose(disturbed.xy, undisturbed.xy, rtol=1e-12, atol=1e-9)
    np.testing.assert_allclose(
        disturbed.groups[0].B, undisturbed.groups[0].B, rtol=1e-12, atol=1e-9
    )
    same_fit(mf.fit(disturbed), mf.lmer(FORMULA, as_text(frame("hsb"))))


@pytest.fixture(scope="module")
def ibis_rows():
    ibis, pl = pytest.importorskip("ibis"), pytest.importorskip("polars")
    return cache(
        lambda dataset: ibis.polars.connect(
            {"rows": pl.from_pandas(as_text(frame(dataset))).lazy()}
        ).table("rows")
    )


@every_model
def test_ibis_gives_the_fit_of_the_table_in_memory(ibis_rows, name):
    same_as_in_memory(name, ibis_rows)


def test_ibis_reads_groups_far_apart_once_more():
    ibis, pl = pytest.importorskip("ibis"), pytest.importorskip("polars")
    far_apart(
        FAR,
        1e4,
        lambda data: ibis.polars.connect({"rows": pl.from_pandas(data).lazy()}).table("rows"),
    )


def test_ibis_in_duckdb_says_what_to_give():
    ibis, formula = pytest.importorskip("ibis"), "math ~ ses * sex + (1 + ses | school)"
    connection = ibis.duckdb.connect()
    connection.con.register("rows", as_text(frame("hsb")))
    table = connection.table("rows")
    with pytest.raises(mf.DataError, match=r"connection\.con\.sql\(ibis\.to_sql\(table\)\)"):
        mf.lmer(formula, table)
    same_fit(
        mf.lmer(formula, connection.con.sql(ibis.to_sql(table))),
        mf.lmer(formula, as_text(frame("hsb"))),
    )


@pytest.fixture(scope="module")
def spark():
    sql = pytest.importorskip("pyspark.sql")
    session = (
        sql.SparkSession.builder.master("local[2]")
        .config("spark.ui.enabled", "false")
        .config("spark.sql.shuffle.partitions", "3")
        .config("spark.driver.bindAddress", "127.0.0.1")
        .config("spark.driver.host", "127.0.0.1")
        .getOrCreate()
    )
    yield session
    session.stop()


def spark_rows(session, data, where):
    """Through Parquet, as clusters read: pandas' NaN becomes NULL on the way."""
    data.to_parquet(where, index=False)
    return session.read.parquet(str(where))


@pytest.fixture(scope="module")
def spark_tables(spark, tmp_path_factory):
    """Return a data set that Spark keeps in memory."""
    folder = tmp_path_factory.mktemp("spark")
    return cache(
        lambda dataset: spark_rows(
            spark, as_text(frame(dataset)), folder / f"{dataset}.parquet"
        ).cache()
    )


@every_model
def test_spark_gives_the_fit_of_the_table_in_memory(spark_tables, name):
    same_as_in_memory(name, spark_tables)


def test_spark_reads_groups_far_apart_once_more(spark, tmp_path):
    far_apart(FAR, 1e4, lambda data: spark_rows(spark, data, tmp_path / "rows.parquet"))


def test_spark_leaves_out_null_and_nan_alike(spark, tmp_path):
    rng = np.random.default_rng(6)
    data = holes(
        as_text(frame("hsb")).assign(w=lambda d: 0.5 + rng.random(len(d))),
        ["math", "ses", "sex", "w"],
        rng,
    )
    whole = mf.lmer(FORMULA, data, weights="w")
    rows = spark_rows(spark, data, tmp_path / "rows.parquet")
    same_fit(mf.lmer(FORMULA, rows, weights="w"), whole)
    from pyspark.sql import functions

    nan = rows.withColumn("ses", functions.coalesce("ses", functions.lit(float("nan"))))
    same_fit(mf.lmer(FORMULA, nan, weights="w"), whole)


def test_spark_columns_of_any_kind(spark, folder):
    """Decimals, nullable integers, and columns of no use to a model beside those of the formula."""
    rows = spark.read.parquet(str(folder)).selectExpr(
        "1 as `a.b`",
        "*",
        "named_struct('ses', ses) as nested",
        "array(ses) as many",
        "current_timestamp() as now",
        "cast(ses as decimal(20, 12)) as exact",
        "case when ses > 1 then null else cast(size as int) end as whole",
    )
    data = as_text(frame("hsb")).assign(
        exact=lambda d: d.ses, whole=lambda d: d["size"].where(~(d.ses > 1))
    )
    formula = "math ~ exact + whole + (1 + exact | school)"
    same_fit(mf.lmer(formula, rows), mf.lmer(formula, data))
    for bad, match in (
        ("now", "'now' holds Datetime"),
        ("nested", "'nested' holds Struct"),
        (
            "`a.b`",
            "'a.b': Spark takes a dot in a name for a field; rename it with withColumnRenamed first",
        ),
    ):
        with pytest.raises(mf.DataError, match=match):
            mf.lmer(f"math ~ {bad} + (1 | school)", rows)
    with pytest.raises(
        mf.DataError, match="columns 'ses' and 'Ses': Spark tells no capitals apart"
    ):
        mf.lmer("math ~ ses + (1 | school)", rows.selectExpr("*", "ses as Ses"))


@pytest.mark.parametrize("broken", ["log(ses)", "I(1 / (ses - ses))", "np.sqrt(ses)"])
def test_spark_counts_numbers_that_are_none(spark, folder, broken):
    rows = spark.read.parquet(str(folder))
    with pytest.raises(mf.DataError, match="not a finite number in"):
        mf.lmer(f"math ~ {broken} + (1 | school)", rows)


def test_spark_scales_and_transforms(spark, folder):
    formula = "math ~ scale(ses) + I(ses ** 2) + exp(ses) + (scale(ses) | school)"
    whole = mf.lmer(formula, as_text(frame("hsb")))
    pushed = mf.lmer(formula, spark.read.parquet(str(folder)))
    same_fit(pushed, whole)
    pd.testing.assert_frame_equal(pushed.coef_table(), whole.coef_table(), rtol=1e-6)
