"""One's own files: dialects of text, encodings, value labels, and what is read into memory."""

from __future__ import annotations

import gzip
import warnings
from pathlib import Path

import numpy as np
import pandas as pd
import polars as pl
import pytest

import mixedfast as mf
from mixedfast.data import read_table as module
from mixedfast.data.csv_dialect import dialect_of
from mixedfast.data.read_table import read_table

FORMULA = "y ~ x + sex + (1 | school)"


@pytest.fixture
def rows() -> pd.DataFrame:
    """Make 200 pupils in 20 schools."""
    rng = np.random.default_rng(5)
    data = pd.DataFrame(
        {"school": np.repeat(np.arange(20), 10), "x": rng.normal(size=200).round(3)}
    )
    data["sex"] = rng.choice(["fille", "garçon"], 200)
    effects = rng.normal(size=20)[data.school]
    data["y"] = (1 + 0.5 * data.x + effects + rng.normal(size=200)).round(3)
    return data


def labelled(rows: pd.DataFrame) -> pd.DataFrame:
    """Return the table with the sex as numbers 1 and 2."""
    return rows.assign(sex=rows.sex.map({"fille": 1.0, "garçon": 2.0}))


LABELS = {"sex": {1: "fille", 2: "garçon"}}


def write_sav(data: pd.DataFrame, path: str, labels: dict) -> None:
    pyreadstat = pytest.importorskip("pyreadstat")
    pyreadstat.write_sav(data, path, variable_value_labels=labels)


WRITERS = {
    "a.csv": lambda rows, path: rows.to_csv(path, index=False),
    "semicolons.csv": lambda rows, path: rows.to_csv(path, index=False, sep=";", decimal=","),
    "tabs.csv": lambda rows, path: rows.to_csv(path, index=False, sep="\t", decimal=","),
    "bars.csv": lambda rows, path: rows.to_csv(path, index=False, sep="|"),
    "bom.csv": lambda rows, path: rows.to_csv(path, index=False, encoding="utf-8-sig"),
    "utf16.csv": lambda rows, path: rows.to_csv(path, index=False, encoding="utf-16"),
    "a.tsv": lambda rows, path: rows.to_csv(path, index=False, sep="\t"),
    "a.csv.gz": lambda rows, path: rows.to_csv(path, index=False, sep=";", decimal=","),
    "a.csv.zip": lambda rows, path: rows.to_csv(path, index=False),
    "a.parquet": lambda rows, path: rows.to_parquet(path),
    "indexed.parquet": lambda rows, path: rows.set_index("school").to_parquet(path),
    "a.feather": lambda rows, path: rows.to_feather(path),
    "a.dta": lambda rows, path: labelled(rows).to_stata(
        path, write_index=False, value_labels=LABELS, version=118
    ),
    "a.sav": lambda rows, path: write_sav(labelled(rows), path, LABELS),
}


@pytest.mark.parametrize("name", WRITERS)
def test_a_small_file_is_read_into_memory_and_has_everything(rows, name, tmp_path):
    WRITERS[name](rows, tmp_path / name)
    m, whole = mf.lmer(FORMULA, tmp_path / name), mf.lmer(FORMULA, rows)
    assert not m.is_streamed
    pd.testing.assert_series_equal(m.params, whole.params, rtol=1e-10)
    np.testing.assert_allclose(m.fitted, whole.fitted, rtol=1e-10)
    assert list(m.augment()[".fitted"]) == list(m.fitted)
    np.testing.assert_allclose(m.refit(rows.y + 1).params["x"], m.params["x"], rtol=1e-8)
    assert m.influence("school").to_frame().shape[0] == 20
    assert mf.lm("y ~ x + sex", str(tmp_path / name)).nobs == 200
    assert type(m.coef_table()) is pd.DataFrame
    assert mf.crossproducts(FORMULA, tmp_path / name).n == 200


def test_excel(rows, tmp_path):
    pytest.importorskip("openpyxl")
    with pd.ExcelWriter(tmp_path / "a.xlsx") as book:
        rows.to_excel(book, sheet_name="pupils", index=False)
        rows[:3].to_excel(book, sheet_name="notes", index=False)
    with pytest.warns(mf.DataWarning, match="2 sheets, and the first one, 'pupils', is read"):
        m = mf.lmer(FORMULA, tmp_path / "a.xlsx")
    pd.testing.assert_series_equal(m.params, mf.lmer(FORMULA, rows).params)


def test_latin_1_is_read_with_a_warning(rows, tmp_path):
    rows.rename(columns={"school": "école"}).to_csv(
        tmp_path / "a.csv", index=False, encoding="latin-1", sep=";", decimal=","
    )
    formula = FORMULA.replace("school", "école")
    for data in (tmp_path / "a.csv", [tmp_path / "a.csv"]):  # in memory and in batches
        with pytest.warns(mf.DataWarning, match=r"a\.csv is not UTF-8: it is read as Latin-1"):
            m = mf.lmer(formula, data)
        assert m.params.index.tolist() == ["Intercept", "x", "sex[T.garçon]"]


def test_bytes_that_are_not_utf8_far_down(tmp_path):
    lines = ["name;x"] + [f"a{i};{i}" for i in range(5000)] + ["é;1"]
    (tmp_path / "a.csv").write_bytes("\n".join(lines).encode("latin-1"))
    with pytest.warns(mf.DataWarning, match="is not UTF-8"):
        assert read_table(tmp_path / "a.csv").name.iloc[-1] == "é"


@pytest.mark.parametrize("kind", ["list", "folder", "large"])
def test_batches_read_the_same_dialects(rows, kind, tmp_path, monkeypatch):
    rows.to_csv(tmp_path / "a.csv", index=False, sep=";", decimal=",")
    data = {"list": [tmp_path / "a.csv"], "folder": tmp_path, "large": tmp_path / "a.csv"}[kind]
    if kind == "large":
        monkeypatch.setattr(module, "_SMALL_TEXT", 1000)
    m = mf.lmer(FORMULA, data)
    assert m.is_streamed
    pd.testing.assert_series_equal(m.params, mf.lmer(FORMULA, rows).params, rtol=1e-8)


def test_levels_and_checkpoints_read_in_batches(rows, tmp_path):
    rows.to_csv(tmp_path / "a.csv", index=False)
    assert mf.lmer(FORMULA, tmp_path / "a.csv", checkpoint=tmp_path / "sums").is_streamed


def test_folders_of_hive_stay_columns(rows, tmp_path):
    (tmp_path / "year=2024").mkdir()
    path = tmp_path / "year=2024" / "a.parquet"
    rows.to_parquet(path)
    assert mf.lmer(FORMULA, path).is_streamed


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("y,x,g\n1,2,a\n2,3,a,7\n3,4,b\n", "line 3: 4 values, and the header has 3 names"),
        ("y,x,g\n1,2,a\n2,3\n3,4,b\n", "line 3: 2 values, and the header has 3 names"),
        ("y,x\n1,2,a\n2,3,b\n3,4,c\n", "line 2: 3 values, and the header has 2 names"),
        ("y,x,x\n1,2,3\n", "two columns 'x'"),
        ("", "cannot be read"),
    ],
)
@pytest.mark.parametrize("packed", [False, True])
def test_lines_of_other_lengths(text, words, packed, tmp_path):
    path = tmp_path / ("a.csv.gz" if packed else "a.csv")
    path.write_bytes(gzip.compress(text.encode()) if packed else text.encode())
    with pytest.raises(mf.DataError, match=words):
        read_table(path)


def test_missing_values_in_the_last_column_are_no_short_lines(tmp_path):
    (tmp_path / "a.csv").write_text('a,b\n1,\n2,"x,y"\n\n"3",5\n')
    found = read_table(tmp_path / "a.csv")
    assert found.shape == (3, 2) and found.b.isna().sum() == 1


@pytest.mark.parametrize(
    ("head", "found"),
    [
        ("a,b\n1.5,2\n", (",", ".")),
        ("a;b\n1,5;2\n", (";", ",")),
        ("a;b\n1.5;2,5\n", (";", ".")),
        ("a;b\n1.234,5;2\n", (";", ".")),
        ('"a;b;c",d\n1,2\n', (",", ".")),
        ("a\n1,5\n", (",", ".")),
    ],
)
def test_dialects(head, found):
    dialect = dialect_of(head.encode(), "a.csv")
    assert (dialect.separator, dialect.decimal) == found


@pytest.mark.parametrize("name", ["a.dta", "a.sav"])
def test_value_labels_of_some_values_keep_the_numbers(rows, name, tmp_path):
    data = labelled(rows)
    data["age"] = np.where(np.arange(200) % 50, np.arange(200) % 30 + 20.0, -9)
    labels = {**LABELS, "age": {-9: "no answer"}}
    if name == "a.dta":
        data.to_stata(tmp_path / name, write_index=False, value_labels=labels, version=118)
    else:
        write_sav(data, tmp_path / name, labels)
    with pytest.warns(mf.DataWarning, match=r"'age' holds numbers, some of which.*-9 'no answer'"):
        found = read_table(tmp_path / name)
    assert found.age.dtype.kind == "f"
    assert found.sex.cat.categories.tolist() == ["fille", "garçon"]
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        assert read_table(tmp_path / name, labels=False).sex.tolist() == data.sex.tolist()


def test_two_codes_with_one_label(rows, tmp_path):
    data = labelled(rows)
    write_sav(data, tmp_path / "a.sav", {"sex": {1: "same", 2: "same"}})
    assert read_table(tmp_path / "a.sav").sex.cat.categories.tolist() == ["same (1)", "same (2)"]


def test_whole_numbers_beside_missing_values_keep_their_digits(tmp_path):
    big = 2**53 + 1
    pl.DataFrame({"id": [big, None, 3]}).write_parquet(tmp_path / "a.parquet")
    assert read_table(tmp_path / "a.parquet").id[0] == big


@pytest.mark.parametrize("name", ["a.dta", "a.sav", "a.xlsx", "a.feather", "a.parquet"])
def test_damaged_files(name, tmp_path):
    for library, ending in (("pyreadstat", "sav"), ("openpyxl", "xlsx")):
        if name.endswith(ending):
            pytest.importorskip(library)
    (tmp_path / name).write_bytes(b"this is no such file" * 20)
    with pytest.raises(mf.DataError, match=rf"{name} cannot be read as"):
        mf.lmer(FORMULA, tmp_path / name)


@pytest.mark.parametrize(
    ("name", "library"), [("a.sav", "pyreadstat"), ("a.xlsx", "openpyxl"), ("a.feather", "pyarrow")]
)
def test_a_library_that_is_missing_is_named(name, library, tmp_path, monkeypatch):
    (tmp_path / name).write_bytes(b"x")
    for place in ("mixedfast.data.read_table.find_spec", "mixedfast.data.labelled_files.find_spec"):
        monkeypatch.setattr(place, lambda _: None)
    with pytest.raises(mf.MissingLibraryError, match=f"pip install {library}"):
        read_table(tmp_path / name)


def test_parquet_with_a_damaged_description_for_pandas_is_an_error_of_data(tmp_path: Path) -> None:
    pa, parquet = pytest.importorskip("pyarrow"), pytest.importorskip("pyarrow.parquet")
    path = tmp_path / "rows.parquet"
    table = pa.Table.from_pandas(pd.DataFrame({"y": [1.0, 2.0]}))
    about = table.schema.metadata[b"pandas"]
    damaged = about.replace(b'"pandas_type"', b'"pandaz_type"')
    parquet.write_table(table.replace_schema_metadata({b"pandas": damaged}), path)
    with pytest.raises(mf.DataError, match=r"rows\.parquet cannot be read as Parquet"):
        read_table(path)
