"""An interrupted pass continues from its checkpoint when data and levels are the same."""

from __future__ import annotations

import signal

import numpy as np
import pytest
from helpers.streams import (
    FORMULA,
    SCHOOLS,
    spoil,
)

import mixedfast as mf
from mixedfast.crossprod.streaming.merge import add_in_place
from mixedfast.data.work_units import BATCH_ROWS

pa = pytest.importorskip("pyarrow")

pq = pytest.importorskip("pyarrow.parquet")

pl = pytest.importorskip("polars")

pytestmark = pytest.mark.filterwarnings("ignore::mixedfast.SingularFitWarning")


@pytest.mark.parametrize("during", ["finding levels", "adding up"])
def test_work_goes_on_from_a_checkpoint(folder, tmp_path, small_units, monkeypatch, during):
    whole = mf.crossproducts(FORMULA, folder)
    path, good = tmp_path / "work.mf", (folder / "part-2.parquet").read_bytes()
    levels = {"school": SCHOOLS, "minority": ["No", "Yes"]} if during == "adding up" else None
    assert spoil(folder / "part-2.parquet") == "minority"
    formula = "math ~ minority + (1 | school)"
    with pytest.raises(mf.DataError, match="damaged"):
        mf.crossproducts(formula, folder, checkpoint=path, levels=levels, threads=1)
    kept = mf.load(path)
    assert len(kept.summed_marks if levels else kept.first_marks) == 2
    assert (kept.sums.n if levels else kept.first_pass.n) > 0

    (folder / "part-2.parquet").write_bytes(good)
    read = []
    original = pq.ParquetFile.iter_batches
    monkeypatch.setattr(
        pq.ParquetFile,
        "iter_batches",
        lambda self, rows, **k: read.append(rows) or original(self, rows, **k),
    )
    again = mf.crossproducts(formula, folder, checkpoint=path, levels=levels)
    assert read.count(BATCH_ROWS) == (
        2 if levels else 6
    )  # two units of four were done, of the only pass or of the first
    assert not path.exists()
    np.testing.assert_array_equal(again.xy, mf.crossproducts(formula, folder, levels=levels).xy)
    assert again.n == whole.n


@pytest.fixture
def heard_ctrl_c():
    """Jobs started in the background ignore Ctrl-C, and what they start does too."""
    before = signal.signal(signal.SIGINT, signal.default_int_handler)
    yield
    signal.signal(signal.SIGINT, before)


@pytest.mark.usefixtures("heard_ctrl_c")
def test_ctrl_c_in_the_middle_of_an_addition_comes_after_it(
    folder, tmp_path, small_units, monkeypatch
):
    whole, path = mf.crossproducts(FORMULA, folder), tmp_path / "work.mf"
    done = []

    def add_and_press(total, part):
        done.append(part.n)
        if len(done) == 2:
            signal.raise_signal(signal.SIGINT)
        return add_in_place(total, part)

    with monkeypatch.context() as patched:
        patched.setattr("mixedfast.crossprod.streaming.passes.add_in_place", add_and_press)
        with pytest.raises(KeyboardInterrupt):
            mf.crossproducts(FORMULA, folder, checkpoint=path)
    kept = mf.load(path)
    assert len(kept.summed_marks) == 3
    assert kept.sums.n == sum(
        pq.read_metadata(folder / f"part-{i}.parquet").num_rows for i in range(3)
    )
    again = mf.crossproducts(FORMULA, folder, checkpoint=path)
    np.testing.assert_array_equal(again.xy, whole.xy)
    np.testing.assert_array_equal(again.groups[0].B, whole.groups[0].B)
    assert signal.getsignal(signal.SIGINT) is signal.default_int_handler


def test_a_checkpoint_knows_the_levels_it_was_made_with(folder, tmp_path, small_units):
    path = tmp_path / "work.mf"
    spoil(folder / "part-2.parquet")
    how = {"levels": {"school": SCHOOLS, "minority": ["No", "Yes"]}, "checkpoint": path}
    with pytest.raises(mf.DataError, match="damaged"):
        mf.crossproducts("math ~ minority + (1 | school)", folder, **how)
    with pytest.raises(mf.DataError, match="no checkpoint of this model"):
        mf.crossproducts(
            "math ~ minority + (1 | school)", folder, **{**how, "levels": {"school": SCHOOLS[::-1]}}
        )
    with pytest.raises(mf.DataError, match="no folder"):
        mf.crossproducts(FORMULA, folder, checkpoint=tmp_path / "nowhere" / "work.mf")


def test_a_checkpoint_of_other_data_is_refused(folder, tmp_path, small_units):
    path = tmp_path / "work.mf"
    good = (folder / "part-2.parquet").read_bytes()
    (folder / "part-2.parquet").write_bytes(b"PAR1")
    with pytest.raises(mf.DataError, match="cannot be read"):
        mf.crossproducts(FORMULA, folder, checkpoint=path)
    (folder / "part-2.parquet").write_bytes(good)
    with pytest.raises(mf.DataError, match="no checkpoint of this model"):
        mf.crossproducts("math ~ 1 + (1 | school)", folder, checkpoint=path)
    table = pq.read_table(folder / "part-0.parquet")
    pq.write_table(table.slice(1), folder / "part-0.parquet")
    with pytest.raises(mf.DataError, match=r"part-0\.parquet has changed"):
        mf.crossproducts(FORMULA, folder, checkpoint=path)
