"""Files of an earlier version load and give the numbers they gave then.

`saved/README.md` says how they were made.
"""

from __future__ import annotations

import json
import re
import shutil
import subprocess
import sys
import zipfile
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

import mixedfast as mf
from mixedfast._stored import REGISTRY
from mixedfast.crossprod import dummy_columns
from mixedfast.data import work_units

SAVED = Path(__file__).parent / "saved"
EXPECTED = json.loads((SAVED / "expected.json").read_text())
RESULTS = sorted(name for name in EXPECTED if "coef_table" in EXPECTED[name])
PASSES = ["first_pass", "second_pass"]

# (1 | recipe) beside the fixed effects of recipe
NOT_IDENTIFIED = {name: list[str]() for name in RESULTS} | {
    "nested": ["Intercept", "recipe[S.A]", "recipe[S.B]"]
}

# another processor's BLAS rounds differently
ROUNDING = 1e-8


def same_estimates(m, expected):
    assert getattr(m, "criterion", m.loglik) == pytest.approx(expected["criterion"], rel=1e-10)
    np.testing.assert_allclose(m.params, expected["params"], rtol=ROUNDING)


@pytest.mark.parametrize("name", RESULTS)
def test_results_give_the_numbers_they_gave(name):
    m, expected = mf.load(SAVED / f"{name}.mixedfast"), EXPECTED[name]
    same_estimates(m, expected)
    table = pd.DataFrame(expected["coef_table"])
    assert list(m.coef_table().columns) == list(table.columns)
    # estimates of coefficients whose variance is not identified have no standard error any more
    table.loc[m.params.index.isin(NOT_IDENTIFIED[name]), table.columns != "estimate"] = np.nan
    np.testing.assert_allclose(m.coef_table(), table, rtol=1e-6, atol=1e-12)


@pytest.mark.parametrize(
    ("name", "data", "response"),
    [("nested", "cake", "angle"), ("regression", "sleepstudy", "Reaction")],
)
def test_rows_that_were_kept_are_there(name, data, response):
    m = mf.load(SAVED / f"{name}.mixedfast")
    np.testing.assert_allclose(m.fitted + m.resid(), mf.load_dataset(data)[response])


def test_cross_products_give_the_fit_they_gave():
    cp = mf.load(SAVED / "crossproducts.mixedfast")
    same_estimates(mf.fit(cp), EXPECTED["crossproducts"])


@pytest.mark.parametrize("name", PASSES)
def test_an_interrupted_pass_goes_on(name, tmp_path, monkeypatch):
    pytest.importorskip("pyarrow")
    monkeypatch.setattr(work_units, "UNIT_ROWS", 1)
    monkeypatch.setattr(dummy_columns, "_FEWEST_COLUMNS", 1)
    monkeypatch.setattr(dummy_columns, "_WORTH", 0.0)
    cake = mf.load_dataset("cake").astype({"recipe": str, "replicate": str})
    path = shutil.copy(SAVED / f"{name}.mixedfast", tmp_path)
    kept = mf.load(path)
    assert kept.first_marks + kept.summed_marks == ("0:135",)
    cp = mf.crossproducts(EXPECTED[name]["formula"], [cake[:135], cake[135:]], checkpoint=path)
    assert not Path(path).exists()
    same_estimates(mf.fit(cp), EXPECTED[name])


def test_every_class_that_a_file_may_hold_is_in_one_of_these():
    found = set()
    for path in SAVED.glob("*.mixedfast"):
        header = zipfile.ZipFile(path).read("header.json").decode()
        found |= set(re.findall(r'"class": "(\w+)"', header))
    assert found == set(REGISTRY)


def test_a_fresh_process_knows_every_class():
    """Nothing but `mixedfast.load` imports the classes."""
    program = f"""
import pathlib, mixedfast
for path in pathlib.Path({str(SAVED)!r}).glob("*.mixedfast"):
    print(type(mixedfast.load(path)).__name__)
from mixedfast._stored import REGISTRY
from mixedfast.data.storage_schema import hints_of
assert all(hints_of(name) for name in REGISTRY)
print(len(REGISTRY))
"""
    told = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True)
    assert told.returncode == 0, told.stderr
    *kinds, count = told.stdout.split()
    assert set(kinds) == {"LMMResult", "GLMMResult", "OLSResult", "CrossProducts", "Checkpoint"}
    assert int(count) == len(REGISTRY)
